package image

import (
	"bytes"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"

	"github.com/dermgate/dermgate/fixtures/photos"
)

func seed(f *testing.F) {
	names, err := filepath.Glob("testdata/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	photo := aJPEG(f, 16, 16)
	f.Add(photo)
	f.Add(withExif(photo, phone(6)))
	f.Add(photos.WithEverything(photo, 6))
	f.Add(aHEIC(phone(6), photos.DisplayP3()))
	f.Add(pngProfile(f, photos.AdobeRGB()))
	f.Add(append(photo, photo...))
	f.Add(aPNG(f))
	f.Add(aGIF(f, 2))
	f.Add([]byte("\xff\xd8\xff\xe1\x00\x10Exif\x00\x00II*\x00\x08\x00\x00\x00"))
}

func FuzzSniff(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if got := Sniff(b); int(got) >= len(types) || (len(b) == 0) && got != Unknown {
			t.Errorf("type %d", got)
		}
	})
}

func FuzzInspect(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := inspect(b, Limits{})
		Remarks(bytes.NewReader(b), facts)
		if icc, err := Profile(bytes.NewReader(b)); len(icc) > mostProfile || err != nil && len(icc) > 0 {
			t.Errorf("a profile of %d bytes, %v", len(icc), err)
		}
		if err == nil && facts.Type.Photo() && facts.measured() && int64(facts.Width)*int64(facts.Height) > 64e6 {
			t.Errorf("%d by %d passed", facts.Width, facts.Height)
		}
		if err == nil && (facts.Orientation < 1 || facts.Orientation > 8) {
			t.Errorf("orientation %d", facts.Orientation)
		}
		if err != nil && kindOf(err) == "" {
			t.Errorf("an error that is no issue: %v", err)
		}
	})
}

// Whatever comes out of Strip holds nothing private, strips to itself, and decodes to what it decoded to.
func FuzzStrip(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		out, removed, err := strip(b)
		if !bytes.Equal(b, before) {
			t.Fatal("the original was changed")
		}
		if err != nil || len(removed) == 0 {
			return
		}
		if len(out) > len(b)+64 { // a minimal EXIF block may be longer than the broken one it replaces
			t.Errorf("%d bytes became %d", len(b), len(out))
		}
		facts, err := inspect(out, Limits{Bytes: 1 << 40, Pixels: 1 << 62})
		if err != nil || len(facts.Private) > 0 {
			t.Errorf("left %v, %v", facts.Private, err)
		}
		if facts.Type != JPEG || facts.Width*facts.Height > 1<<16 {
			return
		}
		x, errX := jpeg.Decode(bytes.NewReader(b))
		y, errY := jpeg.Decode(bytes.NewReader(out))
		if errX == nil && (errY != nil || !equalPixels(x, y)) {
			t.Errorf("the picture changed: %v", errY)
		}
	})
}
