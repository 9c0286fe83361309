package image

import (
	"bytes"
	stdimage "image"
	"image/jpeg"
	"math"
	"testing"

	ours "github.com/dermgate/dermgate/mapping/image/jpeg"
)

func decoded(t testing.TB, b []byte) *ours.Picture {
	t.Helper()
	p, err := ours.Decode(b, ours.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Likeness is that of the formula, computed here window by window of image/jpeg's luma.
func TestLikeness(t *testing.T) {
	b := aJPEG(t, 203, 117)
	p := decoded(t, b)
	q := p.Quantisers().Coarser(3.3)
	got, err := compare(p.Bands(), q)
	if err != nil {
		t.Fatal(err)
	}
	coarse, err := ours.EncodeProgressive(ours.Requantise(p.Bands(), q, nil))
	if err != nil {
		t.Fatal(err)
	}
	planes := [2][3]stdimage.Gray{}
	for i, b := range [][]byte{b, coarse} {
		m, err := jpeg.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		y := m.(*stdimage.YCbCr)
		half := stdimage.Rect(0, 0, 102, 59)
		planes[i] = [3]stdimage.Gray{{Pix: y.Y, Stride: y.YStride, Rect: y.Rect}, {Pix: y.Cb, Stride: y.CStride, Rect: half}, {Pix: y.Cr, Stride: y.CStride, Rect: half}}
	}
	want := 0.
	for i, weight := range []float64{0.8, 0.1, 0.1} {
		want += weight * ssim(&planes[0][i], &planes[1][i])
	}
	if psnr := psnr(&planes[0][0], &planes[1][0]); math.Abs(got.SSIM-want) > 0.002 || math.Abs(got.PSNR-psnr) > 0.05 {
		t.Errorf("%+v, by the formula %.4f, %.2f dB", got, want, psnr)
	}
	if same, err := compare(p.Bands(), p.Quantisers()); err != nil || same != sameness {
		t.Errorf("a picture is like itself: %+v %v", same, err)
	}
	if got.SSIM > 0.99 || got.SSIM < 0.5 {
		t.Errorf("no example: %+v", got)
	}
}

func ssim(a, b *stdimage.Gray) float64 {
	sum, n := 0., 0.
	for y := 0; y+8 <= a.Rect.Dy(); y += 4 {
		for x := 0; x+8 <= a.Rect.Dx(); x += 4 {
			var sa, sb, saa, sbb, sab float64
			for j := range 8 {
				for i := range 8 {
					v, w := float64(a.GrayAt(x+i, y+j).Y), float64(b.GrayAt(x+i, y+j).Y)
					sa, sb, saa, sbb, sab = sa+v, sb+w, saa+v*v, sbb+w*w, sab+v*w
				}
			}
			ma, mb := sa/64, sb/64
			va, vb, c := saa/64-ma*ma, sbb/64-mb*mb, sab/64-ma*mb
			c1, c2 := 2.55*2.55, 7.65*7.65
			sum += (2*ma*mb + c1) * (2*c + c2) / ((ma*ma + mb*mb + c1) * (va + vb + c2))
			n++
		}
	}
	return sum / n
}

func psnr(a, b *stdimage.Gray) float64 {
	sum := 0.
	for y := range a.Rect.Dy() {
		for x := range a.Rect.Dx() {
			d := float64(a.GrayAt(x, y).Y) - float64(b.GrayAt(x, y).Y)
			sum += d * d
		}
	}
	return 10 * math.Log10(255*255*float64(a.Rect.Dx()*a.Rect.Dy())/sum)
}

// luma gives that of image/jpeg.
func luma(t testing.TB, b []byte) *stdimage.Gray {
	t.Helper()
	m, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	y := m.(*stdimage.YCbCr)
	return &stdimage.Gray{Pix: y.Y, Stride: y.YStride, Rect: y.Rect}
}
