package photoworker

import (
	"bytes"
	"context"
	stdimage "image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"slices"
	"testing"

	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/issue"
)

// asJPEG is a destination that takes nothing else.
func asJPEG(to image.Target) image.Target {
	to.Types, to.Decode = []image.Type{image.JPEG}, new(Decoder).Decode(context.Background())
	return to
}

func fitted(t *testing.T, b []byte, to image.Target) (*image.Fitted, stdimage.Image) {
	t.Helper()
	p, err := image.Fit(bytes.NewReader(b), image.Limits{}, to, image.Floor{Side: 10})
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(io.NewSectionReader(p, 0, p.Size()))
	if err != nil {
		t.Fatal(err)
	}
	im, err := jpeg.Decode(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	return p, im
}

// shaded is a picture as smooth as skin, in colours, with a mark on it.
func shaded(w, h int) *stdimage.NRGBA {
	im := stdimage.NewNRGBA(stdimage.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			v := 30 * math.Sin(float64(x)/17) * math.Cos(float64(y)/23)
			im.SetNRGBA(x, y, color.NRGBA{uint8(190 + v), uint8(140 + v/2), uint8(120 - v), 255})
		}
	}
	return im
}

func encoded(t *testing.T, im stdimage.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, im); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// far is how far two pictures are from each other, in levels on average.
func far(a, b stdimage.Image) float64 {
	sum, r := 0., a.Bounds()
	for y := range r.Dy() {
		for x := range r.Dx() {
			ar, ag, ab, _ := a.At(r.Min.X+x, r.Min.Y+y).RGBA()
			br, bg, bb, _ := b.At(b.Bounds().Min.X+x, b.Bounds().Min.Y+y).RGBA()
			sum += math.Abs(float64(ar)-float64(br)) + math.Abs(float64(ag)-float64(bg)) + math.Abs(float64(ab)-float64(bb))
		}
	}
	return sum / 257 / 3 / float64(r.Dx()*r.Dy())
}

func TestAPhotoOfAnotherTypeBecomesAJPEG(t *testing.T) {
	for _, size := range [][2]int{{203, 101}, {8, 8}, {1, 1}, {17, 40}} { // whole blocks and parts
		im := shaded(size[0], size[1])
		p, got := fitted(t, encoded(t, im), asJPEG(image.Target{}))
		if p.Step != image.Converted || p.Original.Type != image.PNG || p.Result.Type != image.JPEG || p.Quality < 90 || p.Encodes != 1 {
			t.Errorf("%v: %s of %s to %s, quality %d, %d encodes", size, p.Step, p.Original.Type, p.Result.Type, p.Quality, p.Encodes)
		}
		if got.Bounds().Dx() != size[0] || got.Bounds().Dy() != size[1] || far(im, got) > 1.5 {
			t.Errorf("%v: %v, %.2f levels from the original", size, got.Bounds(), far(im, got))
		}
	}
}

func TestItFitsTheLimitsToo(t *testing.T) {
	im := shaded(900, 700)
	whole, _ := fitted(t, encoded(t, im), asJPEG(image.Target{}))
	limit := whole.Size() * 2 / 3
	p, got := fitted(t, encoded(t, im), asJPEG(image.Target{Bytes: limit}))
	if p.Size() > limit || p.Step != image.Converted || p.Quality >= whole.Quality || far(im, got) > 2.5 {
		t.Errorf("%d bytes of %d: %s, quality %d, %.2f levels from the original", p.Size(), limit, p.Step, p.Quality, far(im, got))
	}
	p, got = fitted(t, encoded(t, im), asJPEG(image.Target{Pixels: 100_000}))
	if n := got.Bounds().Dx() * got.Bounds().Dy(); n > 100_000 || n < 90_000 || p.Step != image.Resized {
		t.Errorf("%v: %s", got.Bounds(), p.Step)
	}
}

func TestWhatGoesWithIt(t *testing.T) {
	p, _ := fitted(t, file(t, "icc_profile.png"), asJPEG(image.Target{}))
	if !p.Result.ICC {
		t.Error("the colour profile is gone")
	}
	glass := shaded(30, 30)
	glass.SetNRGBA(3, 3, color.NRGBA{0, 0, 0, 0})
	if p, _ = fitted(t, encoded(t, glass), asJPEG(image.Target{})); !slices.Equal(p.Lost, []string{"transparency"}) {
		t.Errorf("lost %v", p.Lost)
	}
	if p, _ = fitted(t, file(t, "hopper_orientation_6.webp"), asJPEG(image.Target{})); p.Result.Orientation != 6 {
		t.Errorf("which way up: %d", p.Result.Orientation)
	}
	p, im := fitted(t, file(t, "cheers_1440x960.heic"), asJPEG(image.Target{Bytes: 400_000}))
	if p.Result.Orientation != 1 || im.Bounds().Dx() != 1440 || p.Size() > 400_000 || p.Likeness.SSIM < 0.95 {
		t.Errorf("HEIC: %+v", p)
	}
}

func TestADICOMPhotoIsTakenOut(t *testing.T) {
	p, im := fitted(t, file(t, "SC_rgb_small_odd_jpeg.dcm"), asJPEG(image.Target{}))
	if p.Step != image.Converted || p.Original.Type != image.DICOM || p.Result.Type != image.JPEG || im.Bounds().Dx() != 3 || !slices.Contains(p.Removed, "patient") {
		t.Errorf("%+v", p)
	}
}

func TestWhatIsTakenStaysAsItIs(t *testing.T) {
	b := encoded(t, shaded(40, 30))
	p, err := image.Fit(bytes.NewReader(b), image.Limits{}, image.Target{Types: []image.Type{image.JPEG, image.PNG}, Decode: new(Decoder).Decode(context.Background())}, image.Floor{})
	if err != nil || p.Step != image.Untouched {
		t.Errorf("%v %v", p, err)
	}
	if _, err := image.Fit(bytes.NewReader([]byte("%PDF-1.4 x")), image.Limits{}, asJPEG(image.Target{}), image.Floor{}); issue.From(err) == nil || issue.From(err).Kind != issue.UnsupportedType {
		t.Errorf("a document: %v", err)
	}
}
