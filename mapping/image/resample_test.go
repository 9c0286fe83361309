package image

import (
	stdimage "image"
	"image/color"
	"math"
	"math/rand"
	"testing"

	ours "github.com/dermgate/dermgate/mapping/image/jpeg"
)

// painted makes a picture of three components of a function of the place, without rounding to coarse steps.
// Chroma is sampled once in h by v pixels.
func painted(w, h, ch, cv int, paint func(x, y int) color.RGBA) *ours.Picture {
	like := ours.Header{Adobe: -1, Components: []ours.Component{{ID: 1, H: ch, V: cv}, {ID: 2, H: 1, V: 1}, {ID: 3, H: 1, V: 1}}}
	p := ours.NewPicture(w, h, &like)
	for i, c := range p.Components {
		stride, fh, fv := 8*c.Across, ch/c.H, cv/c.V
		pix := make([]byte, stride*8)
		for row := range c.Down {
			for y := range 8 {
				for x := range stride {
					sum := 0
					for dy := range fv {
						for dx := range fh {
							at := paint(min(x*fh+dx, w-1), min((8*row+y)*fv+dy, h-1))
							ycc := [3]uint8{}
							ycc[0], ycc[1], ycc[2] = color.RGBToYCbCr(at.R, at.G, at.B)
							sum += int(ycc[i])
						}
					}
					pix[y*stride+x] = byte((sum + fh*fv/2) / (fh * fv))
				}
			}
			p.Draw(i, row, pix, stride)
		}
	}
	return p
}

// pixels gives the samples of one component.
func pixels(t *testing.T, p *ours.Picture, component int) *stdimage.Gray {
	t.Helper()
	w, h := p.PlaneSize(component)
	out := stdimage.NewGray(stdimage.Rect(0, 0, w, h))
	y := 0
	if err := p.Bands()(func(b *ours.Band) error {
		var s ours.Samples
		b.Samples(component, &s)
		for r := range s.Height {
			copy(out.Pix[y*out.Stride:], s.Pix[r*s.Stride:][:s.Width])
			y++
		}
		return nil
	}); err != nil || y != h {
		t.Fatal(y, err)
	}
	return out
}

func resampled(t *testing.T, p *ours.Picture, w, h int) *ours.Picture {
	t.Helper()
	out, err := resample(p.Bands(), &p.Header, w, h)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A fine chessboard gives half the light of a white one, whose code is 188: averaged codes would give 128.
func TestResizingIsInLinearLight(t *testing.T) {
	board := painted(64, 64, 1, 1, func(x, y int) color.RGBA {
		v := uint8(255 * ((x + y) % 2))
		return color.RGBA{v, v, v, 255}
	})
	half := pixels(t, resampled(t, board, 32, 32), 0)
	for y := 4; y < 28; y++ {
		for x := 4; x < 28; x++ {
			if v := half.GrayAt(x, y).Y; v < 185 || v > 191 {
				t.Fatalf("%d at %d,%d", v, x, y)
			}
		}
	}
}

// Plain colours stay, whatever the sampling and the size, to the last row and column.
func TestResizingKeepsColours(t *testing.T) {
	for _, c := range []color.RGBA{{200, 120, 90, 255}, {10, 20, 200, 255}, {255, 255, 255, 255}, {3, 2, 1, 255}} {
		for _, sampling := range [][2]int{{1, 1}, {2, 1}, {1, 2}, {2, 2}, {4, 1}, {4, 2}} {
			p := painted(101, 75, sampling[0], sampling[1], func(int, int) color.RGBA { return c })
			out := resampled(t, p, 67, 50)
			y, cb, cr := color.RGBToYCbCr(c.R, c.G, c.B)
			for i, want := range []uint8{y, cb, cr} {
				for _, got := range pixels(t, out, i).Pix {
					if d := int(got) - int(want); d < -1 || d > 1 {
						t.Fatalf("%v, %v: component %d is %d for %d", c, sampling, i, got, want)
					}
				}
			}
		}
	}
}

// Nothing moves: a picture that is its own mirror image stays one, each way.
func TestResizingIsCentred(t *testing.T) {
	rnd := rand.New(rand.NewSource(5))
	var noise [50][50]uint8
	for y := range noise {
		for x := range noise[y] {
			noise[y][x] = uint8(60 + rnd.Intn(130))
		}
	}
	p := painted(96, 96, 2, 2, func(x, y int) color.RGBA {
		v := noise[min(y, 95-y)][min(x, 95-x)]
		return color.RGBA{v, v / 2, 255 - v, 255}
	})
	for _, side := range []int{95, 64, 48, 33, 17} {
		out := resampled(t, p, side, side)
		for i := range 3 {
			g := pixels(t, out, i)
			w, h := g.Rect.Dx(), g.Rect.Dy()
			if side%2 == 1 && i > 0 {
				continue // the middle column is half of a chroma sample: it has no mirror image
			}
			for y := range h {
				for x := range w {
					a, b, c := int(g.GrayAt(x, y).Y), int(g.GrayAt(w-1-x, y).Y), int(g.GrayAt(x, h-1-y).Y)
					if max(a, b, c)-min(a, b, c) > 4 {
						t.Fatalf("side %d, component %d: %d, %d, %d at %d,%d", side, i, a, b, c, x, y)
					}
				}
			}
		}
	}
}

// Weights of each new sample add up to one, and are symmetrical in the middle.
func TestTaps(t *testing.T) {
	for _, n := range [][2]int{{4000, 2390}, {100, 99}, {100, 100}, {7, 3}, {5, 1}, {1, 1}} {
		for i, tap := range taps(n[0], n[1]) {
			sum := float32(0)
			for _, w := range tap.weights {
				sum += w
			}
			if math.Abs(float64(sum)-1) > 1e-5 || tap.from < 0 || tap.from+len(tap.weights) > n[0] {
				t.Fatalf("%v: sample %d: %+v", n, i, tap)
			}
		}
	}
}
