package jpeg

import (
	"errors"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Limits on a picture, checked before it is decoded.
type Limits struct {
	Pixels int64 // width times height; 0: 64 million
	Scans  int   // passes over the picture, in which one of a few KB can keep a decoder busy for hours; 0: 100
	Memory int64 // bytes of coefficients that Decode may hold; 0: 320 MiB, enough for 48 MP without subsampling
}

func (l Limits) withDefaults() Limits {
	if l.Pixels <= 0 {
		l.Pixels = 64e6
	}
	if l.Scans <= 0 {
		l.Scans = 100
	}
	if l.Memory <= 0 {
		l.Memory = 320 << 20
	}
	return l
}

const blockSize = 64 // coefficients

// Header is what stands before the coefficients.
type Header struct {
	Width, Height int // pixels
	Progressive   bool
	Components    []Component
	// Adobe is the colour transform of an Adobe APP14 segment (T.872 §6.5.3): 0 none, which makes three
	// components RGB and four CMYK, 1 YCbCr, 2 YCCK; -1 when there is no such segment.
	Adobe int
	// Segments are the APPn and COM segments whole, marker included, in their order.
	Segments [][]byte
	hMax     int
	vMax     int
}

// Component is one of the planes of a picture.
type Component struct {
	ID           byte
	H, V         int         // samples in an MCU, as sampling factors 1 to 4
	Quant        *[64]uint16 // of the quantiser, in zigzag order
	Across, Down int         // blocks that hold samples of the picture
	stride       int         // blocks in a row, filled up to whole MCUs
}

// Plane holds the coefficients of some rows of blocks of a component.
type Plane struct {
	coefs []int16  // 64 a block, in zigzag order, quantised
	masks []uint64 // a block: bit k is set where coefficient k is not 0
}

// Picture is a JPEG down to its coefficients.
type Picture struct {
	Header
	Planes []Plane // as Components
}

// Coefficients gives the quantised coefficients of the block at a place, in zigzag order.
func (p *Picture) Coefficients(component, x, y int) []int16 {
	i := blockSize * (y*p.Components[component].stride + x)
	return p.Planes[component].coefs[i : i+blockSize : i+blockSize]
}

// RGB tells that the components are red, green and blue rather than luma and chroma: Adobe says so, or
// their names do.
func (h *Header) RGB() bool {
	if len(h.Components) != 3 {
		return false
	}
	if h.Adobe >= 0 {
		return h.Adobe == 0
	}
	c := h.Components
	return c[0].ID == 'R' && c[1].ID == 'G' && c[2].ID == 'B' && !h.jfif()
}

// jfif tells whether there is a JFIF segment, which makes three components YCbCr (T.871 §6.1).
func (h *Header) jfif() bool {
	for _, s := range h.Segments {
		if s[1] == mAPP0 && len(s) >= 9 && string(s[4:9]) == "JFIF\x00" {
			return true
		}
	}
	return false
}

// MCU gives the size of an MCU of an interleaved scan in pixels.
func (h *Header) MCU() (width, height int) { return 8 * h.hMax, 8 * h.vMax }

// PlaneSize gives how many samples a component has (T.81 §A.1.1).
func (h *Header) PlaneSize(component int) (width, height int) {
	c := &h.Components[component]
	return divUp(h.Width*c.H, h.hMax), divUp(h.Height*c.V, h.vMax)
}

// mcusAcross is the number of MCUs of an interleaved scan in a row.
func (h *Header) mcusAcross() int { return divUp(h.Width, 8*h.hMax) }

// mcusDown is the number of rows of MCUs.
func (h *Header) mcusDown() int { return divUp(h.Height, 8*h.vMax) }

// measure computes the number of blocks from size and sampling.
func (h *Header) measure() {
	h.hMax, h.vMax = 1, 1
	for _, c := range h.Components {
		h.hMax, h.vMax = max(h.hMax, c.H), max(h.vMax, c.V)
	}
	for i := range h.Components {
		c := &h.Components[i]
		c.Across = divUp(divUp(h.Width*c.H, h.hMax), 8)
		c.Down = divUp(divUp(h.Height*c.V, h.vMax), 8)
		c.stride = h.mcusAcross() * c.H
	}
}

// plane makes room for some rows of MCUs.
func (h *Header) planes(mcuRows int) []Plane {
	out := make([]Plane, len(h.Components))
	for i, c := range h.Components {
		n := c.stride * c.V * mcuRows
		out[i] = Plane{make([]int16, blockSize*n), make([]uint64, n)}
	}
	return out
}

// Memory gives the bytes that the coefficients of a whole picture take.
func (h *Header) Memory() (n int64) {
	for _, c := range h.Components {
		n += int64(c.stride) * int64(c.V) * int64(h.mcusDown()) * (2*blockSize + 8)
	}
	return n
}

// Band is one row of MCUs of a picture.
type Band struct {
	*Header
	Row    int // of MCUs, from the top
	Planes []Plane
}

// rows gives how many rows of blocks of a component hold samples in the band.
func (b *Band) rows(component int) int {
	c := &b.Components[component]
	return max(0, min(c.V, c.Down-b.Row*c.V))
}

// Bands is a picture as a row of bands, which may be read more than once. What a band holds is good until
// the next.
type Bands func(yield func(*Band) error) error

// Bands gives the rows of MCUs of a picture that is held.
func (p *Picture) Bands() Bands {
	return func(yield func(*Band) error) error {
		band := Band{&p.Header, 0, make([]Plane, len(p.Planes))}
		for ; band.Row < p.mcusDown(); band.Row++ {
			for i, c := range p.Components {
				n := c.stride * c.V
				from, to := band.Row*n, (band.Row+1)*n
				band.Planes[i] = Plane{p.Planes[i].coefs[blockSize*from : blockSize*to], p.Planes[i].masks[from:to]}
			}
			if err := yield(&band); err != nil {
				return err
			}
		}
		return nil
	}
}

func divUp(a, b int) int { return (a + b - 1) / b }

func broken(text string) error { return issue.New(issue.Structure, "", "a JPEG "+text) }

func refused(text string) error { return issue.New(issue.UnsupportedType, "", text) }

// errCutOff says that the bytes end before the picture does.
var errCutOff = errors.New("cut off")

// said gives an error for a caller.
func said(err error) error {
	if err == errCutOff {
		return broken("that is cut off")
	}
	return err
}
