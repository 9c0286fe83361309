package jpeg

import (
	"bytes"
	"image"
	"image/jpeg"
	"testing"
)

// Whatever form a picture is written in, its coefficients are read back the same, and image/jpeg sees the
// same pixels.
func TestRewritingLosesNothing(t *testing.T) {
	smaller := 0
	for name, b := range files(t) {
		t.Run(name, func(t *testing.T) {
			p := decode(t, b)
			sequential, err := p.EncodeSequential()
			if err != nil {
				t.Fatal(err)
			}
			best, err := p.Encode()
			if err != nil {
				t.Fatal(err)
			}
			progressive := p.EncodeProgressive()
			if len(best) != min(len(sequential), len(progressive)) {
				t.Errorf("Encode gives %d bytes of %d and %d", len(best), len(sequential), len(progressive))
			}
			if len(best) < len(b) {
				smaller++
			}
			for form, out := range map[string][]byte{"sequential": sequential, "progressive": progressive, "best": best} {
				again := decode(t, out)
				if d := differs(p, again); d != "" {
					t.Errorf("%s: %s", form, d)
				}
				if again.Progressive && form == "sequential" || !again.Progressive && form == "progressive" {
					t.Errorf("%s is of the other form", form)
				}
				samePixels(t, form, b, out)
			}
		})
	}
	if smaller < 20 {
		t.Errorf("only %d pictures became smaller", smaller)
	}
}

func samePixels(t *testing.T, form string, a, b []byte) {
	t.Helper()
	x, errX := jpeg.Decode(bytes.NewReader(a))
	y, errY := jpeg.Decode(bytes.NewReader(b))
	if (errX == nil) != (errY == nil) {
		t.Fatalf("%s: before %v, after %v", form, errX, errY)
	}
	if errX != nil {
		return
	}
	for j := x.Bounds().Min.Y; j < x.Bounds().Max.Y; j++ {
		for i := x.Bounds().Min.X; i < x.Bounds().Max.X; i++ {
			if x.At(i, j) != y.At(i, j) {
				t.Fatalf("%s: another pixel at %d,%d", form, i, j)
			}
		}
	}
}

// What the reader makes samples of agrees with image/jpeg: transforms in whole numbers round differently in
// one of some hundred samples, never by more than one level.
func TestSamplesAgreeWithImageJPEG(t *testing.T) {
	compared := 0
	for name, b := range files(t) {
		t.Run(name, func(t *testing.T) {
			theirs := planes(t, b)
			if theirs == nil {
				t.Skip("image/jpeg gives no planes of it")
			}
			compared++
			p := decode(t, b)
			samples, off := 0, 0
			if err := p.Bands()(func(band *Band) error {
				for i := range theirs {
					var s Samples
					band.Samples(i, &s)
					n, d := compare(t, &s, &theirs[i], 8*band.Row*band.Components[i].V)
					samples, off = samples+n, off+d
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			all := 0
			for _, plane := range theirs {
				all += plane.Rect.Dx() * plane.Rect.Dy()
			}
			if samples != all || off*50 > samples+500 {
				t.Errorf("%d samples of %d, %d of them off by one", samples, all, off)
			}
		})
	}
	if compared < 30 {
		t.Errorf("compared %d files only", compared)
	}
}

func compare(t *testing.T, s *Samples, theirs *image.Gray, top int) (n, off int) {
	t.Helper()
	for y := range s.Height {
		for x := range s.Width {
			n++
			switch d := int(s.Pix[y*s.Stride+x]) - int(theirs.Pix[(top+y)*theirs.Stride+x]); d {
			case 0:
			case 1, -1:
				off++
			default:
				t.Fatalf("sample %d,%d is off by %d", x, top+y, d)
			}
		}
	}
	return n, off
}

// Rows that are read one at a time are those of the whole, and make the same file.
func TestStreamsAreThePicture(t *testing.T) {
	for name, b := range files(t) {
		t.Run(name, func(t *testing.T) {
			p := decode(t, b)
			rows := 0
			if err := Stream(b, Limits{})(func(band *Band) error {
				for i, c := range band.Components {
					for y := range band.rows(i) {
						for x := range c.Across {
							at := y*c.stride + x
							if [64]int16(band.Planes[i].coefs[64*at:]) != [64]int16(p.Coefficients(i, x, band.Row*c.V+y)) {
								t.Fatalf("block %d,%d of component %d differs", x, band.Row*c.V+y, i)
							}
						}
					}
				}
				rows++
				return nil
			}); err != nil || rows != p.mcusDown() {
				t.Fatalf("%d rows of %d: %v", rows, p.mcusDown(), err)
			}
			streamed, err := EncodeBands(Stream(b, Limits{}))
			if err != nil {
				t.Fatal(err)
			}
			if whole, err := p.EncodeSequential(); err != nil || !bytes.Equal(streamed, whole) {
				t.Errorf("another file comes of the stream: %d and %d bytes, %v", len(streamed), len(whole), err)
			}
			if streamed, err = EncodeProgressive(Stream(b, Limits{})); err != nil || !bytes.Equal(streamed, p.EncodeProgressive()) {
				t.Errorf("another progressive file comes of the stream: %d bytes, %v", len(streamed), err)
			}
		})
	}
}
