package dicom

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/mapping/issue"
)

const many = 1 << 20 // pixels

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The digests are of what dcmj2pnm (dcmtk 3.6.7) makes of the same files.
func TestPixelsAreThoseOfAnotherReader(t *testing.T) {
	for name, want := range map[string]string{
		"SC_rgb_rle.dcm":                  "e641ab7e020245b77153f9ae2fad9d122ff29189",
		"SC_rgb_small_odd.dcm":            "6fd9a2c5405a194e4bd3e5a99013488a4a18d6b5",
		"SC_rgb_small_odd_big_endian.dcm": "6fd9a2c5405a194e4bd3e5a99013488a4a18d6b5",
		"ExplVR_BigEnd.dcm":               "1db547bb4409770f047933be45b90551fe5b070e",
	} {
		p, err := Read(file(t, name), many)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if sum := sha1.Sum(p.Pixels); hex.EncodeToString(sum[:]) != want || len(p.Pixels) != p.Width*p.Height*p.Samples {
			t.Errorf("%s: %d bytes of pixels with SHA-1 %x, want %s", name, len(p.Pixels), sum, want)
		}
	}
}

// A JPEG comes out as it stands, and any reader sees its colours: the picture is bands of pure colours, and the first
// is red in the RGB files whose JPEG alone would say otherwise.
func TestAJPEGComesOutWithItsColours(t *testing.T) {
	for name, want := range map[string][3]uint32{
		"SC_rgb_dcmtk_s4.dcm":        {255, 126, 131},
		"SC_rgb_jpeg.dcm":            {244, 244, 244},
		"SC_rgb_jpeg_app14_dcmd.dcm": {246, 246, 246},
	} {
		p, err := Read(file(t, name), many)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		im, err := jpeg.Decode(bytes.NewReader(p.JPEG))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r, g, b, _ := im.At(10, 10).RGBA()
		for i, v := range [3]uint32{r >> 8, g >> 8, b >> 8} {
			if d := int(v) - int(want[i]); d < -2 || d > 2 {
				t.Errorf("%s: the pixel 10,10 is %d, %d, %d, want %v", name, r>>8, g>>8, b>>8, want)
			}
		}
	}
}

func TestWhatIsNotReadIsNamed(t *testing.T) {
	for name, want := range map[string]struct {
		kind issue.Kind
		text string
	}{
		"SC_rgb_jpeg_gdcm.dcm":     {issue.UnsupportedType, "lossless JPEG"},
		"JPEG2000.dcm":             {issue.UnsupportedType, "JPEG 2000"},
		"JPGExtended.dcm":          {issue.UnsupportedType, "8 bits"},
		"SC_rgb_rle_16bit.dcm":     {issue.UnsupportedType, "8 bits"},
		"SC_rgb_rle_2frame.dcm":    {issue.UnsupportedType, "several frames"},
		"MR_truncated.dcm":         {issue.Structure, "(7FE0,0010) is longer than the file"},
		"meta_missing_tsyntax.dcm": {issue.Structure, "no transfer syntax"},
		"UN_sequence.dcm":          {issue.UnsupportedType, "lossless JPEG"},
		"nested_priv_SQ.dcm":       {issue.Structure, "without width"},
	} {
		_, err := Read(file(t, name), many)
		if i := issue.From(err); i == nil || i.Kind != want.kind || !strings.Contains(i.Text, want.text) {
			t.Errorf("%s: %v, want %s %q", name, err, want.kind, want.text)
		}
	}
	if _, err := Read(file(t, "SC_rgb_rle.dcm"), 9_999); issue.From(err) == nil || issue.From(err).Kind != issue.TooLong {
		t.Errorf("more pixels than may be: %v", err)
	}
}

// sample is a JPEG of the size that Wrap is told.
func sample(t testing.TB) []byte {
	p, err := Read(file(t, "SC_rgb_dcmtk_s4.dcm"), many)
	if err != nil {
		t.Fatal(err)
	}
	return p.JPEG
}

func wrapping() Wrapping {
	at := time.Date(2026, 11, 24, 10, 5, 0, 0, time.FixedZone("", 0))
	return Wrapping{PatientID: "9990001014", Issuer: "NHS", Family: "Testcäse", Given: "Rosalind", BirthDate: "19680412", Sex: "F", Accession: "REFAG0001",
		Referrer: "Okafor", Captured: at, Region: Code{"70559009", "SCT", "Skin of left forearm"}, Laterality: "L",
		Study: UID([16]byte{1}), Series: UID([16]byte{2}), Instance: UID([16]byte{3}), Number: 1, Width: 100, Height: 100, Samples: 3, ICC: []byte("profile"), Dermoscopic: true}
}

func TestWhatIsWrappedIsReadAgain(t *testing.T) {
	photo := sample(t)
	b, err := Wrap(photo, wrapping())
	if err != nil {
		t.Fatal(err)
	}
	p, err := Read(b, many)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.JPEG, photo) {
		t.Error("the JPEG is another one")
	}
	p.JPEG = nil
	want := Photo{Class: Dermoscopic, Syntax: jpegBaseline, Width: 100, Height: 100, Samples: 3, Captured: "20261124100500.000000+0000", Zone: "+0000",
		Modality: "DMS", Region: Code{"70559009", "SCT", "Skin of left forearm"}, Laterality: "L", PatientID: "9990001014", Issuer: "NHS"}
	if string(p.ICC) != "profile\x00" {
		t.Errorf("profile %q", p.ICC)
	}
	p.ICC = nil
	if got := *p; got.Class != want.Class || got.Region != want.Region || got.Captured != want.Captured || got.PatientID != want.PatientID ||
		got.Laterality != want.Laterality || got.Modality != want.Modality || got.Issuer != want.Issuer || got.Width != 100 || got.Height != 100 {
		t.Errorf("%+v", got)
	}
}

func TestWhatCannotBeFiledIsNamed(t *testing.T) {
	photo := sample(t)
	for want, spoil := range map[string]func(*Wrapping){
		"patient id":       func(w *Wrapping) { w.PatientID = "" },
		"accession number": func(w *Wrapping) { w.Accession = "12345678901234567" },
		"family name":      func(w *Wrapping) { w.Family = `a\b` },
		"captured":         func(w *Wrapping) { w.Captured = time.Time{} },
	} {
		w := wrapping()
		spoil(&w)
		if _, err := Wrap(photo, w); issue.From(err) == nil || issue.From(err).Where != want {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := Wrap([]byte("\x89PNG"), wrapping()); err == nil {
		t.Error("a PNG was wrapped")
	}
}

func TestUID(t *testing.T) {
	for want, uuid := range map[string][16]byte{
		"2.25.0": {},
		"2.25.329800735698586629295641978511506172918": {0xf8, 0x1d, 0x4f, 0xae, 0x7d, 0xec, 0x11, 0xd0, 0xa7, 0x65, 0x00, 0xa0, 0xc9, 0x1e, 0x6b, 0xf6}, // PS3.5 annex B.2
	} {
		if got := UID(uuid); got != want {
			t.Errorf("%x is %s, want %s", uuid, got, want)
		}
	}
}

// FuzzRead: whatever the bytes, an answer comes, and a picture has as many samples as it says.
func FuzzRead(f *testing.F) {
	names, err := filepath.Glob("testdata/*.dcm")
	if err != nil || len(names) == 0 {
		f.Fatal(names, err)
	}
	for _, name := range names {
		f.Add(file(f, filepath.Base(name)))
	}
	wrapped, err := Wrap(sample(f), wrapping())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wrapped)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Read(b, many)
		if err != nil {
			if issue.From(err) == nil {
				t.Errorf("no issue: %v", err)
			}
			return
		}
		if p.JPEG == nil && len(p.Pixels) != p.Width*p.Height*p.Samples {
			t.Errorf("%d samples of %dx%dx%d", len(p.Pixels), p.Width, p.Height, p.Samples)
		}
	})
}
