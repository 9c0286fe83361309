package image

import (
	"bytes"
	stdimage "image"
	"image/color"
	"image/jpeg"
	"math"
	"slices"
	"testing"

	"github.com/dermgate/dermgate/fixtures/photos"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Display P3 in sRGB, by the matrix between their colours under D65 (CSS Color 4 §18) rather than by profiles.
func TestP3BecomesSRGB(t *testing.T) {
	g, err := newGamut(photos.DisplayP3())
	if err != nil || g == nil {
		t.Fatal(g, err)
	}
	light := func(v float64) float64 {
		if v /= 255; v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	code := func(v float64) float64 {
		if v = min(max(v, 0), 1); v <= 0.0031308 {
			return 255 * 12.92 * v
		}
		return 255 * (1.055*math.Pow(v, 1/2.4) - 0.055)
	}
	for _, p := range [][3]byte{{200, 140, 120}, {90, 60, 50}, {128, 128, 128}, {255, 255, 255}, {0, 0, 0}, {180, 60, 60}, {250, 10, 20}} {
		r, gr, b := light(float64(p[0])), light(float64(p[1])), light(float64(p[2]))
		want := [3]float64{code(1.2249*r - 0.2247*gr), code(-0.0420*r + 1.0419*gr), code(-0.0197*r - 0.0786*gr + 1.0979*b)}
		g.clipped = false
		got := slices.Clone(p[:])
		g.row(got)
		for i := range want {
			if math.Abs(float64(got[i])-want[i]) > 1.2 {
				t.Errorf("%v is %v, want %.1f", p, got, want)
			}
		}
		if red := p == [3]byte{250, 10, 20}; g.clipped != red {
			t.Errorf("%v: outside sRGB: %t", p, g.clipped)
		}
	}
	for name, icc := range map[string][]byte{"sRGB": photos.SRGB()} {
		if g, err := newGamut(icc); g != nil || err != nil {
			t.Errorf("%s is to be changed: %v", name, err)
		}
	}
	if g, err := newGamut(photos.AdobeRGB()); g == nil || err != nil {
		t.Errorf("Adobe RGB is not to be changed: %v", err)
	}
}

// A photo of P3 goes to who shows profiles as it is, and to who does not with other numbers that look the same.
func TestColoursForADestinationWithoutProfiles(t *testing.T) {
	patch := stdimage.NewRGBA(stdimage.Rect(0, 0, 480, 480))
	for y := range 480 {
		for x := range 480 {
			patch.SetRGBA(x, y, color.RGBA{200, 140, 120, 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, patch, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	p3 := withExif(with(b.Bytes(), mAPP2, append([]byte(iccName+"\x01\x01"), photos.DisplayP3()...)), phone(6))
	if f := fit(t, p3, Target{}, Floor{}); f.Step != WasStripped || !f.Result.ICC {
		t.Errorf("who shows profiles gets %+v", f)
	}
	f := fit(t, p3, Target{SRGB: true}, Floor{})
	if f.Step != Converted || f.Result.ICC || f.Result.Orientation != 6 || f.Result.Captured == "" || f.Result.Width != 480 || f.Lost != nil || !slices.Contains(f.Removed, "gps") {
		t.Errorf("%+v", f)
	}
	im, err := jpeg.Decode(bytes.NewReader(bytesOf(t, f)))
	if err != nil {
		t.Fatal(err)
	}
	r, g, bl, _ := im.At(240, 240).RGBA()
	for i, d := range []int{int(r>>8) - 214, int(g>>8) - 137, int(bl>>8) - 116} {
		if d < -2 || d > 2 {
			t.Errorf("sample %d is off by %d: %d %d %d", i, d, r>>8, g>>8, bl>>8)
		}
	}
	if half := fit(t, p3, Target{SRGB: true, Bytes: f.Size() / 2}, Floor{Side: 100}); half.Size() > f.Size()/2 || half.Result.ICC {
		t.Errorf("smaller: %+v", half)
	}
	plain := with(b.Bytes(), mAPP2, append([]byte(iccName+"\x01\x01"), photos.SRGB()...))
	if f := fit(t, plain, Target{SRGB: true}, Floor{}); f.Step != Untouched {
		t.Errorf("of sRGB: %+v", f)
	}
	inks := with(b.Bytes(), mAPP2, append([]byte(iccName+"\x01\x01"), make([]byte, 200)...))
	if _, err := Fit(bytes.NewReader(inks), Limits{}, Target{SRGB: true}, Floor{}); kindOf(err) != issue.UnsupportedType {
		t.Errorf("a profile that is none: %v", err)
	}
}

// Whatever stands in a profile, there are samples or an issue.
func FuzzProfile(f *testing.F) {
	f.Add(photos.DisplayP3())
	f.Add(photos.AdobeRGB())
	f.Add(photos.SRGB())
	f.Fuzz(func(t *testing.T, icc []byte) {
		g, err := newGamut(icc)
		if err != nil || g == nil {
			return
		}
		g.row([]byte{0, 100, 200, 255, 255, 255})
	})
}
