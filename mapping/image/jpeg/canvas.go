package jpeg

// NewPicture makes an empty picture of a size in pixels, to be drawn. Of like, components with their names
// and sampling factors, Adobe and Segments are taken. Its quantisers are of 1, which keeps all that samples
// of 8 bits say.
func NewPicture(width, height int, like *Header) *Picture {
	p := &Picture{Header: *like}
	p.Width, p.Height, p.Progressive = width, height, false
	p.Components = append([]Component(nil), like.Components...)
	p.measure()
	fine := new([64]uint16)
	for k := range fine {
		fine[k] = 1
	}
	for i := range p.Components {
		p.Components[i].Quant = fine
	}
	p.Planes = p.Header.planes(p.mcusDown())
	return p
}

// Draw takes the eight rows of samples of a row of blocks. A row is as many samples as the component is
// blocks Across, times eight.
func (p *Picture) Draw(component, row int, pix []byte, stride int) {
	c, plane := &p.Components[component], &p.Planes[component]
	for x := range c.Across {
		at := row*c.stride + x
		plane.masks[at] = forward(pix[8*x:], stride, (*[64]int16)(plane.coefs[blockSize*at:]))
	}
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
