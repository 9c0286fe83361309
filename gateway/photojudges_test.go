package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	stdimage "image"
	_ "image/gif"
	"image/jpeg"
	_ "image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/tiff"
	_ "golang.org/x/image/webp"

	"github.com/dermgate/dermgate/mapping/image"
)

// judged is a photo of the set after gateway photo.
type judged struct {
	specimen
	answer   photoAnswer
	refusal  string
	out      []byte // nil when it was refused
	from, to string // files
}

// The photo set goes through gateway photo for a destination as e-RS is. Each photo takes the step it should; exiftool finds
// nothing private in any derivative and what must stay in all of them; where pixels are said to be the same, image/jpeg and
// djpeg say so too. With -v the table is printed.
func TestPhotoSet(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	set := photoSet(t)
	if len(set) < 60 {
		t.Errorf("%d photos in the set", len(set))
	}
	all := make([]judged, len(set))
	var wg sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				all[i] = fitted(t, set[i], filepath.Join(folder, fmt.Sprintf("%03d", i)))
			}
		})
	}
	for i := range set {
		next <- i
	}
	close(next)
	wg.Wait()
	named := exifTool(t, folder)
	twice, same, derived := 0, 0, 0
	for _, j := range all {
		if j.step(t); j.out == nil {
			continue
		}
		derived++
		j.private(t, named[j.to])
		j.kept(t, named[j.from], named[j.to])
		if lossless := j.answer.Step == "stripped" || j.answer.Step == "optimised"; lossless && j.isJPEG() {
			same++
			twice += j.identical(t)
		}
	}
	if same < 30 || twice < 2*same-4 { // image/jpeg does not read every form
		t.Errorf("%d lossless derivatives, judged %d times", same, twice)
	}
	t.Log("\n" + table(t, all))
	if !t.Failed() {
		t.Logf("%d photos. exiftool finds no GPS, serial number, comment or XMP in any of the %d derivatives. Of %d stripped or optimised JPEGs image/jpeg and djpeg see the same pixels as before.",
			len(all), derived, same)
	}
}

// fitted runs the verb.
func fitted(t *testing.T, s specimen, folder string) judged {
	j := judged{specimen: s, from: filepath.Join(folder, "from", s.name), to: filepath.Join(folder, "to", s.name)}
	for _, name := range []string{j.from, j.to} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(j.from, s.file, 0o600); err != nil {
		t.Error(err)
	}
	args := []string{"--types", "jpeg,png,gif,tiff,dicom", "--min-side", "16", "--min-ssim", "0.9"}
	if s.most > 0 {
		args = append(args, "--max-bytes", fmt.Sprint(len(s.file)*s.most/100))
	}
	args = append(args, j.from, "-o", j.to)
	var exit int
	if s.isJPEG() {
		j.answer, exit, _ = photoRun(t, nil, args...)
	} else {
		j.answer, exit = builtRun(t, args...)
	}
	if exit != 0 {
		if len(j.answer.Issues) > 0 {
			j.refusal = j.answer.Issues[0].Text
		}
		return j
	}
	var err error
	if j.out, err = os.ReadFile(j.to); err != nil {
		t.Error(err)
	}
	return j
}

// builtRun runs the verb of the built program: workers that are tests, or watched by the race detector, are slow.
func builtRun(t *testing.T, args ...string) (a photoAnswer, exit int) {
	path, err := binary()
	if err != nil {
		t.Error(err)
		return a, 2
	}
	cmd := exec.Command(path, append([]string{"photo"}, args...)...)
	out, err := cmd.Output()
	if e := json.Unmarshal(out, &a); e != nil {
		t.Errorf("%v: %v, %v", args, err, e)
	}
	return a, cmd.ProcessState.ExitCode()
}

// step sees that the step is the one wanted, within what the destination takes.
func (j *judged) step(t *testing.T) {
	switch {
	case j.text != "" && (j.out != nil || !strings.Contains(j.refusal, j.text)):
		t.Errorf("%s: %s, refused %q, want a refusal of %q", j.name, j.answer.Step, j.refusal, j.text)
	case j.text != "" || j.out == nil && j.may && strings.Contains(j.refusal, "cannot be brought to"):
	case j.out == nil:
		t.Errorf("%s: refused: %s", j.name, j.refusal)
	case j.specimen.step != "" && j.answer.Step != j.specimen.step:
		t.Errorf("%s: %s, want %s", j.name, j.answer.Step, j.specimen.step)
	case j.most > 0 && len(j.out) > len(j.file)*j.most/100:
		t.Errorf("%s: %d bytes", j.name, len(j.out))
	}
}

// exifTool gives what exiftool says of the files in a folder, by file, group and tag.
func exifTool(t *testing.T, folder string) map[string]map[string]any {
	t.Helper()
	out, err := exec.Command("exiftool", "-r", "-j", "-a", "-u", "-n", "-G1", "-s", "-ee", folder).Output() // exit 1: a file it does not like
	var said []map[string]any
	if e := json.Unmarshal(out, &said); e != nil {
		t.Fatalf("exiftool (make judges): %v, %v", err, e)
	}
	named := map[string]map[string]any{}
	for _, one := range said {
		name, _ := one["SourceFile"].(string)
		named[name] = one
	}
	return named
}

// shown are the groups of exiftool that may be left, and of EXIF the tags that name nobody. A group that is not known is private.
var shown = regexp.MustCompile(`^(SourceFile|(ExifTool|System|File|JFIF|Adobe|PNG|PNG-pHYs|GIF|RIFF|Composite|ICC[-_][A-Za-z]+|ICC_Profile#?):.*|` +
	`(IFD0|ExifIFD|InteropIFD|IFD1|IFD2|SubIFD[0-9]*|Ducky):.*)$`)

// hidden are tags that must be in no derivative, in whatever group.
var hidden = regexp.MustCompile(`(?i):.*(gps|serial|owner|artist|author|creator|copyright|by-line|caption|comment|description$|imagedescription|` +
	`uniqueid|uuid|hostcomputer|makernote|thumbnail|preview|previewimage|mpf|xmp|iptc|photoshop|jumb|trailer|patient|history|documentname|software.*user)`)

// profileTags are descriptions of colour profiles, which say who made the profile.
var profileTags = regexp.MustCompile(`^ICC[-_]|^SourceFile|^System:`)

// private sees that nothing private is left.
func (j *judged) private(t *testing.T, tags map[string]any) {
	if tags == nil {
		t.Errorf("%s: exiftool says nothing of it", j.name)
		return
	}
	for tag, value := range tags {
		switch {
		case !shown.MatchString(tag):
			t.Errorf("%s: exiftool finds %s in it, which is of no group that may be left", j.name, tag)
		case hidden.MatchString(tag) && !profileTags.MatchString(tag):
			t.Errorf("%s: exiftool finds %s in it", j.name, tag)
		}
		if s, ok := value.(string); ok && !strings.HasPrefix(tag, "S") && strings.Contains(s, "Testcase") {
			t.Errorf("%s: %s names the patient", j.name, tag)
		}
	}
	if bytes.Contains(j.out, []byte("Testcase")) || bytes.Contains(j.out, []byte("SN-1234567890")) {
		t.Errorf("%s: the patient or the device is named", j.name)
	}
}

// kept sees that which way up, when, how large and in which colours stayed.
func (j *judged) kept(t *testing.T, before, after map[string]any) {
	was, err := image.Inspect(bytes.NewReader(j.file), image.Limits{})
	if err != nil {
		t.Errorf("%s: %v", j.name, err)
		return
	}
	is, err := image.Inspect(bytes.NewReader(j.out), image.Limits{})
	switch {
	case err != nil || is.Orientation != was.Orientation || is.Width*j.answer.Original.Height != is.Height*j.answer.Original.Width && j.answer.Step != "resized" && was.Type != image.DICOM:
		t.Errorf("%s: %+v of %+v, %v", j.name, is, was, err)
	case was.Type != image.DICOM && (is.Captured != was.Captured || is.Zone != was.Zone):
		t.Errorf("%s: taken %s%s, and it was %s%s", j.name, is.Captured, is.Zone, was.Captured, was.Zone)
	}
	if was.Type != image.DICOM {
		x, errX := image.Profile(bytes.NewReader(j.file))
		if y, err := image.Profile(bytes.NewReader(j.out)); err != nil || errX != nil || !bytes.Equal(x, y) {
			t.Errorf("%s: a profile of %d bytes, and it was %d, %v %v", j.name, len(y), len(x), err, errX)
		}
	}
	scale := 1.
	if j.answer.Step == "resized" {
		scale = float64(is.Width) / float64(was.Width)
	}
	if was, is := perInch(before)*scale, perInch(after); was > 0 && math.Abs(is-was) > 0.02*was {
		t.Errorf("%s: %.1f pixels an inch, not %.1f", j.name, is, was)
	}
}

// perInch is the density that exiftool reads, in pixels an inch; 0: none.
func perInch(tags map[string]any) float64 {
	if perMetre, ok := tags["PNG-pHYs:PixelsPerUnitX"].(float64); ok && tags["PNG-pHYs:PixelUnits"] == 1. {
		return perMetre * 0.0254
	}
	for _, group := range []string{"IFD0", "JFIF"} {
		x, ok := tags[group+":XResolution"].(float64)
		switch unit := tags[group+":ResolutionUnit"]; {
		case !ok:
		case group == "IFD0" && unit == 3. || group == "JFIF" && unit == 2.:
			return x * 2.54
		case group == "IFD0" && unit == 2. || group == "JFIF" && unit == 1.:
			return x
		}
	}
	return 0
}

// identical compares the pixels before and after by two decoders, and tells how many read the photo.
func (j *judged) identical(t *testing.T) (by int) {
	x, errX := jpeg.Decode(bytes.NewReader(j.file))
	y, errY := jpeg.Decode(bytes.NewReader(j.out))
	switch {
	case errX == nil && errY == nil && bytes.Equal(samples(x), samples(y)):
		by++
	case errX == nil || errY == nil:
		t.Errorf("%s: image/jpeg sees other pixels: %v, %v", j.name, errX, errY)
	}
	before, errX := exec.Command("djpeg", "-pnm", j.from).Output()
	after, errY := exec.Command("djpeg", "-pnm", j.to).Output()
	switch {
	case len(before) > 0 && bytes.Equal(before, after) && (errX == nil) == (errY == nil):
		by++
	default:
		t.Errorf("%s: djpeg sees other pixels: %d and %d bytes, %v, %v", j.name, len(before), len(after), errX, errY)
	}
	return by
}

// samples gives all samples of a picture as decoded.
func samples(im stdimage.Image) []byte {
	switch im := im.(type) {
	case *stdimage.Gray:
		return im.Pix
	case *stdimage.CMYK:
		return im.Pix
	case *stdimage.RGBA:
		return im.Pix
	case *stdimage.YCbCr:
		var out []byte
		for y := range im.Rect.Dy() {
			for x := range im.Rect.Dx() {
				c := im.YCbCrAt(x, y)
				out = append(out, c.Y, c.Cb, c.Cr)
			}
		}
		return out
	}
	return nil
}

// table shows what became of each photo. PSNR and SSIM are of luma, counted here from what Go's decoders see.
func table(t *testing.T, all []judged) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "photo\tstep\tbytes before\tafter\tPSNR\tSSIM\tremoved, (lost)")
	for _, j := range all {
		if j.out == nil {
			fmt.Fprintf(w, "%s\trefused\t%d\t\t\t\t%s\n", j.name, len(j.file), j.refusal)
			continue
		}
		gone := strings.Join(j.answer.Removed, " ")
		if j.answer.Lost != nil {
			gone += " (" + strings.Join(j.answer.Lost, " ") + ")"
		}
		psnr, ssim := j.likeness(t)
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\t%s\n", j.name, j.answer.Step, len(j.file), len(j.out), psnr, ssim, gone)
	}
	w.Flush()
	return b.String()
}

// likeness compares the derivative with the original; after resizing it is what the verb says.
func (j *judged) likeness(t *testing.T) (psnr, ssim string) {
	x, _, errX := stdimage.Decode(bytes.NewReader(j.file))
	y, _, errY := stdimage.Decode(bytes.NewReader(j.out))
	switch {
	case errX != nil || errY != nil || x.Bounds().Size() != y.Bounds().Size():
		if j.answer.Quality == 0 {
			return "", ""
		}
		return fmt.Sprintf("%.1f*", j.answer.PSNR), fmt.Sprintf("%.4f*", j.answer.SSIM)
	}
	p, s := lumaOf(x).like(lumaOf(y))
	if harmed := j.answer.Step == "requantised" || j.answer.Step == "converted" && j.isJPEG(); harmed && (math.Abs(p-j.answer.PSNR) > 0.5 || s < 0.9) {
		t.Errorf("%s: PSNR %.2f dB, and the verb says %.2f; SSIM %.4f", j.name, p, j.answer.PSNR, s)
	}
	if math.IsInf(p, 1) {
		return "same", "1"
	}
	return fmt.Sprintf("%.1f", p), fmt.Sprintf("%.4f", s)
}
