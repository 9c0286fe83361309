package image

import (
	"math"

	"github.com/dermgate/dermgate/mapping/image/jpeg"
)

// halved is above how many pixels every second row of MCUs is compared: a million windows tell enough.
const halved = 4e6

// Likeness says how like two pictures of one size are; of more than 4 MP, every second row of MCUs is asked.
type Likeness struct {
	SSIM float64 // structural similarity (Wang and others 2004), 1 for the same, of luma 0.8 and of each chroma 0.1
	PSNR float64 // of luma, in dB; +Inf for the same
}

// comparison adds up the likeness of two pictures of the same kind, band by band.
type comparison struct {
	planes []plane
	next   int // the row that comes next: a second reading is passed over
	a, b   jpeg.Samples
}

// plane compares two planes of samples: SSIM in windows of 8 by 8 samples, four apart, each made of cells of 4
// by 4.
type plane struct {
	above, here []cell
	similar     float64 // sum over windows
	windows     int
	squares     int64 // of differences
	samples     int64
}

// cell has the sums over 4 by 4 samples of both pictures: of each, of all squares, of products.
type cell struct{ a, b, squares, products int32 }

// add compares two bands at the same place.
func (c *comparison) add(a, b *jpeg.Band) {
	if a.Row != c.next {
		return
	}
	c.next++
	if a.Row%2 == 1 && a.Width*a.Height > halved {
		for i := range c.planes {
			c.planes[i].here = c.planes[i].here[:0] // no window reaches over the gap
		}
		return
	}
	if c.planes == nil {
		c.planes = make([]plane, len(a.Components))
	}
	for i := range c.planes {
		a.Samples(i, &c.a)
		b.Samples(i, &c.b)
		c.planes[i].add(&c.a, &c.b)
	}
}

func (p *plane) add(a, b *jpeg.Samples) {
	across := a.Width / 4
	for y := 0; y+4 <= a.Height; y += 4 {
		p.above, p.here = p.here, p.above
		if cap(p.here) < across {
			p.here = make([]cell, across)
		}
		p.here = p.here[:across]
		for x := range p.here {
			p.here[x] = sums(a.Pix[y*a.Stride+4*x:], a.Stride, b.Pix[y*b.Stride+4*x:], b.Stride)
			k := &p.here[x]
			p.squares += int64(k.squares - 2*k.products)
		}
		p.samples += 16 * int64(across)
		if len(p.above) == across {
			p.window()
		}
	}
}

func sums(a []byte, strideA int, b []byte, strideB int) (k cell) {
	for y := range 4 {
		r, s := (*[4]byte)(a[y*strideA:]), (*[4]byte)(b[y*strideB:])
		v0, v1, v2, v3 := int32(r[0]), int32(r[1]), int32(r[2]), int32(r[3])
		w0, w1, w2, w3 := int32(s[0]), int32(s[1]), int32(s[2]), int32(s[3])
		k.a += v0 + v1 + v2 + v3
		k.b += w0 + w1 + w2 + w3
		k.squares += v0*v0 + v1*v1 + v2*v2 + v3*v3 + w0*w0 + w1*w1 + w2*w2 + w3*w3
		k.products += v0*w0 + v1*w1 + v2*w2 + v3*w3
	}
	return k
}

// window adds the windows between two rows of cells.
func (p *plane) window() {
	const n, c1, c2 = 64, 0.01 * 255 * 0.01 * 255, 0.03 * 255 * 0.03 * 255
	for x := 1; x < len(p.here); x++ {
		k, l, m, o := &p.above[x-1], &p.above[x], &p.here[x-1], &p.here[x]
		a, b := float64(k.a+l.a+m.a+o.a)/n, float64(k.b+l.b+m.b+o.b)/n
		variances := float64(k.squares+l.squares+m.squares+o.squares)/n - a*a - b*b
		covariance := float64(k.products+l.products+m.products+o.products)/n - a*b
		p.similar += (2*a*b + c1) * (2*covariance + c2) / ((a*a + b*b + c1) * (variances + c2))
	}
	p.windows += max(0, len(p.here)-1)
}

func (p *plane) ssim() float64 {
	if p.windows == 0 { // too small for one
		return 1
	}
	return p.similar / float64(p.windows)
}

// likeness gives the result. Three components are weighed as luma and chroma, others alike.
func (c *comparison) likeness() (l Likeness) {
	if len(c.planes) == 0 {
		return Likeness{1, math.Inf(1)}
	}
	weights := []float64{0.8, 0.1, 0.1}
	for i := range c.planes {
		w := 1 / float64(len(c.planes))
		if len(c.planes) == len(weights) {
			w = weights[i]
		}
		l.SSIM += w * c.planes[i].ssim()
	}
	if l.PSNR = math.Inf(1); c.planes[0].squares == 0 {
		return l
	}
	l.PSNR = 10 * math.Log10(255*255*float64(c.planes[0].samples)/float64(c.planes[0].squares))
	return l
}
