package jpeg

// Samples are the rows of samples of one component in a band, 0 to 255.
type Samples struct {
	Pix    []byte
	Stride int // bytes from row to row
	Width  int // samples that belong to the picture
	Height int
}

// Samples makes the samples of a component of a band. dst is used when it is large enough.
func (b *Band) Samples(component int, dst *Samples) {
	c, plane := &b.Components[component], &b.Planes[component]
	rows := b.rows(component)
	dst.Stride = 8 * c.Across
	dst.Width = divUp(b.Width*c.H, b.hMax)
	dst.Height = min(8*rows, divUp(b.Height*c.V, b.vMax)-8*b.Row*c.V)
	if n := dst.Stride * 8 * c.V; cap(dst.Pix) < n {
		dst.Pix = make([]byte, n)
	} else {
		dst.Pix = dst.Pix[:n]
	}
	for v := range rows {
		for x := range c.Across {
			at := v*c.stride + x
			inverse((*[64]int16)(plane.coefs[blockSize*at:]), plane.masks[at], c.Quant, dst.Pix[8*(v*dst.Stride+x):], dst.Stride)
		}
	}
}

// Means gives the lowest and the highest mean of the blocks of a component of a band, in levels of 256 from the middle on.
func (b *Band) Means(component int) (low, high int) {
	c, plane := &b.Components[component], &b.Planes[component]
	low, high = 1<<16, -1<<16
	for y := range b.rows(component) {
		for x := range c.Across {
			v := int(plane.coefs[blockSize*(y*c.stride+x)]) * int(c.Quant[0]) / 8
			low, high = min(low, v), max(high, v)
		}
	}
	return low, high
}
