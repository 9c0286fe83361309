package jpeg

// NewPicture makes an empty picture of a size in pixels, to be drawn. Of like, components with their names
// and sampling factors, Adobe and Segments are taken. Its quantisers are of 1, which keeps all that samples
// of 8 bits say.
func NewPicture(width, height int, like *Header) *Picture {
	p := &Picture{Header: *drawn(width, height, like)}
	p.Planes = p.Header.planes(p.mcusDown())
	return p
}

// drawn is the header of such a picture.
func drawn(width, height int, like *Header) *Header {
	h := *like
	h.Width, h.Height, h.Progressive = width, height, false
	h.Components = append([]Component(nil), like.Components...)
	h.measure()
	fine := new([64]uint16)
	for k := range fine {
		fine[k] = 1
	}
	for i := range h.Components {
		h.Components[i].Quant = fine
	}
	return &h
}

// Draw takes the eight rows of samples of a row of blocks. A row is as many samples as the component is
// blocks Across, times eight.
func (p *Picture) Draw(component, row int, pix []byte, stride int) {
	p.Planes[component].draw(&p.Components[component], row, pix, stride)
}

func (p *Plane) draw(c *Component, row int, pix []byte, stride int) {
	for x := range c.Across {
		at := row*c.stride + x
		p.masks[at] = forward(pix[8*x:], stride, (*[64]int16)(p.coefs[blockSize*at:]))
	}
}

// Sketch is a picture as NewPicture makes it, written with one scan while it is drawn from the top: what is held is a
// row of MCUs and the file, which is larger than it had to be.
type Sketch struct {
	band  Band
	have  []int // rows of blocks of each component that are drawn
	lines scanWriter
}

// NewSketch makes an empty one.
func NewSketch(width, height int, like *Header) *Sketch {
	s := &Sketch{band: Band{Header: drawn(width, height, like)}, have: make([]int, len(like.Components))}
	s.band.Planes = s.band.planes(1)
	q := sequential{Header: s.band.Header}
	for i := range s.band.tableCount() {
		q.dc[i], q.ac[i] = anyPicture()
		s.lines.dc[i].code, s.lines.ac[i].code = q.dc[i], q.ac[i]
	}
	s.lines.header, s.lines.out = s.band.Header, q.head()
	return s
}

// anyPicture are tables with codes for all symbols, shorter ones for shorter runs and smaller numbers.
func anyPicture() (dc, ac *codes) {
	var d, a frequencies
	for size := range 16 {
		d[size] = 1 << (16 - size)
		for run := range 16 {
			if size > 0 {
				a[run<<4|size] = 1 << (32 - size - run)
			}
		}
	}
	a[0], a[0xf0] = 1<<26, 1<<16
	return d.codes(), a.codes()
}

// Header is what stands before the coefficients.
func (s *Sketch) Header() *Header { return s.band.Header }

// Draw takes the next row of blocks of a component, as Picture.Draw does. All rows of a row of MCUs are drawn before one of
// the next.
func (s *Sketch) Draw(component int, pix []byte, stride int) error {
	row := s.have[component]
	s.band.Planes[component].draw(&s.band.Components[component], row, pix, stride)
	s.have[component]++
	for i, n := range s.have {
		if n < s.band.rows(i) {
			return nil
		}
	}
	clear(s.have)
	if err := s.lines.band(&s.band); err != nil {
		return err
	}
	s.band.Row++
	return nil
}

// Bytes gives the file when all is drawn.
func (s *Sketch) Bytes() []byte {
	s.lines.end()
	return append(s.lines.out, 0xff, mEOI)
}

// robidoux has steps that fall off slowly and treat both axes alike, as Nicolas Robidoux made them for
// ImageMagick, row by row.
var robidoux = [64]uint16{
	16, 16, 16, 18, 25, 37, 56, 85,
	16, 17, 20, 27, 34, 40, 53, 75,
	16, 20, 24, 31, 43, 62, 91, 135,
	18, 27, 31, 40, 53, 74, 106, 156,
	25, 34, 43, 53, 69, 94, 131, 189,
	37, 40, 62, 74, 94, 124, 169, 238,
	56, 53, 91, 106, 131, 169, 226, 311,
	85, 75, 135, 156, 189, 238, 311, 418,
}

// NewQuantisers gives steps for new pictures, the same for all components: colour is as much part of what is
// seen as brightness. Their quality is about 95; Coarser makes others.
func NewQuantisers(components int) (q Quantisers) {
	steps := new([64]uint16)
	for k, n := range natural {
		steps[k] = max(1, (robidoux[n]+8)/16)
	}
	for range components {
		q = append(q, steps)
	}
	return q
}
