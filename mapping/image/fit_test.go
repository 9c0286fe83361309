package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/fixtures/photos"
	ours "github.com/dermgate/dermgate/mapping/image/jpeg"
	"github.com/dermgate/dermgate/mapping/issue"
)

func bytesOf(t testing.TB, f File) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size()))
	if err != nil || int64(len(b)) != f.Size() {
		t.Fatal(len(b), f.Size(), err)
	}
	return b
}

func fit(t testing.TB, b []byte, to Target, floor Floor) *Fitted {
	t.Helper()
	f, err := Fit(bytes.NewReader(b), Limits{}, to, floor)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A photo goes no further down the ladder than it must, and the record tells what happened.
func TestTheLadderStopsAtTheFirstStepThatFits(t *testing.T) {
	clean := photos.Lesion{Seed: 3, View: photos.CloseUp, Width: 1600, Height: 1200, Quality: 96}.JPEG()
	dirty := append(photos.WithPrivate(clean, 6), "behind the end"...)
	whole := int64(len(clean))
	for _, c := range []struct {
		name    string
		photo   []byte
		to      Target
		step    Step
		removed bool
	}{
		{"fits", clean, Target{Bytes: whole}, Untouched, false},
		{"no limits", clean, Target{}, Untouched, false},
		{"private", dirty, Target{}, WasStripped, true},
		{"private and too large", dirty, Target{Bytes: int64(len(dirty)) - 1}, WasStripped, true},
		{"one byte too large", clean, Target{Bytes: whole - 1}, Optimised, false},
		{"four in a hundred too large", clean, Target{Bytes: whole * 96 / 100}, Optimised, false},
		{"a tenth too large", clean, Target{Bytes: whole * 90 / 100}, Requantised, false},
		{"half, private", dirty, Target{Bytes: whole / 2}, Resized, true},
		{"an eighth", clean, Target{Bytes: whole / 8}, Resized, false},
		{"pixels", clean, Target{Pixels: 1600*1200 - 1}, Resized, false},
		{"pixels that fit", clean, Target{Pixels: 1600 * 1200}, Untouched, false},
		{"pixels and bytes", dirty, Target{Pixels: 1e6, Bytes: whole / 6}, Resized, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := fit(t, c.photo, c.to, Floor{Side: 400})
			b := bytesOf(t, f)
			t.Logf("%d bytes to %d, %s, quality %d, %+v, %d×%d", len(c.photo), len(b), f.Step, f.Quality, f.Likeness, f.Result.Width, f.Result.Height)
			if f.Step != c.step || c.removed != (len(f.Removed) > 0) {
				t.Errorf("%s, removed %v", f.Step, f.Removed)
			}
			if c.to.Bytes > 0 && int64(len(b)) > c.to.Bytes || c.to.Pixels > 0 && int64(f.Result.Width)*int64(f.Result.Height) > c.to.Pixels {
				t.Errorf("%d bytes, %d×%d pixels: does not fit", len(b), f.Result.Width, f.Result.Height)
			}
			if f.OriginalSHA256 != sha256.Sum256(c.photo) || f.SHA256 != sha256.Sum256(b) || f.Original.Bytes != int64(len(c.photo)) || f.Result.Bytes != int64(len(b)) {
				t.Errorf("the record is of other bytes: %+v", f)
			}
			checkStep(t, f, c.photo, b)
		})
	}
}

// checkStep holds a derivative against what its step promises.
func checkStep(t *testing.T, f *Fitted, original, b []byte) {
	t.Helper()
	if len(f.Result.Private) > 0 {
		t.Errorf("private metadata stays: %v", f.Result.Private)
	}
	if o, r := f.Original, f.Result; o.Orientation != r.Orientation || o.Captured != r.Captured || o.Zone != r.Zone || o.ICC != r.ICC {
		t.Errorf("metadata is lost: %+v of %+v", r, o)
	}
	switch f.Step {
	case Untouched:
		if !bytes.Equal(original, b) || f.Encodes > 0 {
			t.Error("not the original")
		}
	case WasStripped, Optimised:
		if f.Encodes > 1 || f.Quality != 0 || f.Likeness != sameness {
			t.Errorf("%+v", f)
		}
		samePicture(t, "", original, b)
	case Requantised:
		if f.Encodes > 2 || f.Quality < 1 || f.Likeness.SSIM < 0.95 || f.Result.Width != f.Original.Width || f.Result.Height != f.Original.Height {
			t.Errorf("%+v", f)
		}
	case Resized:
		shape := float64(f.Result.Width) / float64(f.Result.Height) * float64(f.Original.Height) / float64(f.Original.Width)
		if f.Encodes > 4 || f.Likeness.SSIM < 0.95 || shape < 0.99 || shape > 1.01 {
			t.Errorf("%+v", f)
		}
	}
	if _, err := jpeg.Decode(bytes.NewReader(b)); err != nil {
		if _, before := jpeg.Decode(bytes.NewReader(original)); before == nil {
			t.Errorf("image/jpeg does not read the derivative: %v", err)
		}
	}
}

// What is asked for is used: a limit that a finer picture would keep is kept closely.
func TestTheLimitIsUsed(t *testing.T) {
	photo := photos.Lesion{Seed: 4, View: photos.Dermoscopic, Width: 1600, Height: 1200, Quality: 96}.JPEG()
	for _, percent := range []int64{90, 80, 70, 50, 30, 15} {
		limit := int64(len(photo)) * percent / 100
		f := fit(t, photo, Target{Bytes: limit}, Floor{SSIM: 0.9, Side: 400})
		t.Logf("%d%%: %s, %d of %d bytes, quality %d, SSIM %.3f, %d pixels wide, %d encodes", percent, f.Step, f.Size(), limit, f.Quality, f.Likeness.SSIM, f.Result.Width, f.Encodes)
		if f.Size() < limit*93/100 && (f.Step != Resized || f.Quality < 85) {
			t.Errorf("%d%%: %d of %d bytes", percent, f.Size(), limit)
		}
	}
}

// Steps that the floor allows are used up to the floor.
func TestStepsGoDownToTheFloor(t *testing.T) {
	photo := photos.Lesion{Seed: 10, View: photos.CloseUp, Width: 1600, Height: 1200, Quality: 85}.JPEG()
	f := fit(t, photo, Target{Bytes: int64(len(photo)) * 89 / 100}, Floor{Quality: 79})
	t.Logf("%s, quality %d, %+v", f.Step, f.Quality, f.Likeness)
	if f.Step != Requantised || f.Quality < 79 || f.Quality > 82 {
		t.Errorf("%s to quality %d", f.Step, f.Quality)
	}
}

func TestUnderTheFloorIsRefused(t *testing.T) {
	photo := photos.Lesion{Seed: 4, View: photos.CloseUp, Width: 1200, Height: 900, Quality: 95}.JPEG()
	for text, c := range map[string]struct {
		to    Target
		floor Floor
	}{
		"a likeness (SSIM) of 0.95 and 900":  {Target{Bytes: 20_000}, Floor{Side: 900}},
		"keep quality 95":                    {Target{Bytes: 200_000}, Floor{Quality: 95, Side: 900}},
		"a likeness (SSIM) of 0.99 and 1000": {Target{Bytes: int64(len(photo)) / 2}, Floor{SSIM: 0.99}},
		"and 500000 pixels":                  {Target{Pixels: 500_000}, Floor{Side: 800}},
	} {
		_, err := Fit(bytes.NewReader(photo), Limits{}, c.to, c.floor)
		if i := issue.From(err); err == nil || i.Kind != issue.TooLong || !strings.Contains(i.Text, text) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := Fit(bytes.NewReader(photo), Limits{}, Target{Bytes: int64(len(photo)) / 2}, Floor{SSIM: 0.95, Side: 500}); err != nil {
		t.Errorf("above the floor: %v", err)
	}
}

func TestWhatDoesNotFitIsRefusedByName(t *testing.T) {
	for text, c := range map[string]struct {
		photo []byte
		to    Target
		kind  issue.Kind
	}{
		"PNG is not taken there":            {aPNG(t), Target{Types: []Type{JPEG, TIFF}}, issue.UnsupportedType},
		"only JPEGs can be made smaller":    {aPNG(t), Target{Bytes: 100}, issue.TooLong},
		"an empty file":                     {nil, Target{}, issue.Required},
		"cut off":                           {aJPEG(t, 640, 480)[:30000], Target{Bytes: 20000}, issue.Structure},
		"a PDF of 13 bytes":                 {[]byte("%PDF-1.4 text"), Target{Bytes: 5}, issue.TooLong},
		"cannot be taken out of TIFF":       {sample(t, "child_ifd.tiff"), Target{}, issue.UnsupportedType},
		"a JPEG with a restart marker lost": {lostRestart(t), Target{Bytes: 500}, issue.Structure},
	} {
		_, err := Fit(bytes.NewReader(c.photo), Limits{}, c.to, Floor{})
		if i := issue.From(err); err == nil || i.Kind != c.kind || !strings.Contains(i.Text, text) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := Fit(&hardFile{b: aJPEG(t, 640, 480), broken: 30000, cause: io.ErrClosedPipe}, Limits{}, Target{Bytes: 10}, Floor{}); err == nil {
		t.Error("a file that cannot be read fits")
	}
}

func lostRestart(t *testing.T) []byte {
	b, err := os.ReadFile("jpeg/testdata/restart-1x1.jpg")
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte{0xff, 0xd3})
	return slices.Delete(b, at, at+2)
}

// A photo too large to hold is read in rows: fewer bytes saved, the same rules.
func TestLargePhotosAreReadInRows(t *testing.T) {
	photo := photos.Lesion{Seed: 6, View: photos.CloseUp, Width: 1600, Height: 1200, Quality: 96}.JPEG()
	for _, c := range []struct {
		percent int
		step    Step
	}{{99, Optimised}, {90, Requantised}, {40, Resized}} {
		to := Target{Bytes: int64(len(photo) * c.percent / 100)}
		l, err := newLadder(photo, to, Floor{SSIM: 0.9, Side: 400, Quality: 75}, 1<<20)
		if err != nil || l.held {
			t.Fatalf("held: %v %v", l, err)
		}
		out, err := l.down(false)
		if err != nil || out.step != c.step && c.step != Resized || int64(len(out.bytes)) > to.Bytes {
			t.Fatalf("%d%%: %v %v", c.percent, out, err)
		}
		p := decoded(t, out.bytes)
		if out.step == Optimised {
			samePicture(t, "", photo, out.bytes)
		}
		t.Logf("%d%%: %s, %d bytes of %d, %d×%d, %+v", c.percent, out.step, len(out.bytes), to.Bytes, p.Width, p.Height, out.likeness)
	}
}

// Density and orientation are about the photo, so they follow it when it is resized.
func TestResizedMetadata(t *testing.T) {
	photo := photos.Lesion{Seed: 6, View: photos.CloseUp, Width: 800, Height: 600, Quality: 95}.JPEG()
	le := binary.LittleEndian
	tiff := append([]byte("II*\x00\x08\x00\x00\x00"), directory(8, []field{short16(tagOrientation, 8), fraction(tagXResolution, rational{600, 2}),
		fraction(tagYResolution, rational{300, 1}), short16(tagUnit, 2), long32(0xa002, 800)})...)
	photo = withExif(photo, tiff)
	photo = with(photo, mAPP2, append([]byte("ICC_PROFILE\x00\x01\x01"), "profile"...))
	photo = with(photo, mAPP0, []byte("JFIF\x00\x01\x02\x01\x01\x2c\x01\x2c\x00\x00")) // 300 dots an inch
	f := fit(t, photo, Target{Pixels: 200 * 150 * 4}, Floor{Side: 100})
	b := bytesOf(t, f)
	if f.Step != Resized || f.Result.Width != 400 || f.Result.Height != 300 || f.Result.Orientation != 8 || !f.Result.ICC {
		t.Fatalf("%+v", f.Result)
	}
	if !bytes.Contains(b, []byte("JFIF\x00\x01\x02\x01\x00\x96\x00\x96")) {
		t.Error("JFIF density is not 150")
	}
	if !bytes.Contains(b, le.AppendUint32(le.AppendUint32(nil, 15000), 100)) {
		t.Error("EXIF density is not 150")
	}
	if bytes.Contains(b, []byte{0x02, 0xa0}) && bytes.Contains(b, le.AppendUint32(nil, 800)) {
		t.Error("EXIF tells the old width")
	}
}

// Every JPEG of the tests that can be decoded fits into two thirds of its bytes, or is refused by name.
func TestFitOfEveryFile(t *testing.T) {
	fitted := 0
	for _, folder := range []string{"testdata", "jpeg/testdata", "../../fixtures/photos"} {
		names, _ := filepath.Glob(filepath.Join(folder, "*.jpg"))
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			f, err := Fit(bytes.NewReader(b), Limits{}, Target{Bytes: int64(len(b)) * 2 / 3}, Floor{SSIM: 0.5, Side: 16, Quality: 10})
			if err != nil {
				if k := issue.From(err).Kind; k != issue.TooLong && k != issue.UnsupportedType && k != issue.Structure {
					t.Errorf("%s: %v", name, err)
				}
				t.Logf("%s: %v", name, err)
				continue
			}
			fitted++
			checkLoosely(t, name, f, b)
		}
	}
	if fitted < 30 {
		t.Errorf("only %d files fit", fitted)
	}
}

func checkLoosely(t *testing.T, name string, f *Fitted, original []byte) {
	t.Helper()
	b := bytesOf(t, f)
	if len(b) > len(original)*2/3 || len(f.Result.Private) > 0 || f.Result.Orientation != f.Original.Orientation {
		t.Errorf("%s: %d bytes of %d, %+v", name, len(b), len(original), f.Result)
	}
	if _, err := ours.Decode(b, ours.Limits{}); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// FuzzFit: whatever the bytes, there is a derivative that fits and can be read, or an issue.
func FuzzFit(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		to := Target{Bytes: int64(len(b))/2 + 50, SRGB: len(b)%2 == 0}
		got, err := Fit(bytes.NewReader(b), Limits{Pixels: 1 << 18}, to, Floor{SSIM: 0.3, Side: 8, Quality: 5})
		if err != nil {
			if issue.From(err).Kind == issue.Internal {
				t.Fatal(err)
			}
			return
		}
		if got.Size() > to.Bytes {
			t.Errorf("%d bytes for %d", got.Size(), to.Bytes)
		}
		if got.Original.Type == JPEG && got.Step != Untouched && got.Step != WasStripped {
			decoded(t, bytesOf(t, got))
		}
	})
}
