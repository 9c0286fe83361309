package photoworker

import (
	stdimage "image"
	"image/color"

	"github.com/dermgate/dermgate/mapping/issue"
)

// rastered gives a decoded picture row by row. What is transparent lies on white, as on the page it will be seen on.
func rastered(im stdimage.Image) (*decoded, error) {
	b := im.Bounds()
	p := &decoded{Head: Head{Width: b.Dx(), Height: b.Dy(), Samples: 3}}
	if p.Width < 1 || p.Height < 1 {
		return nil, issue.New(issue.Structure, "", "a photo without width or height")
	}
	at := func(y int) int { return b.Min.Y + y }
	switch im := im.(type) {
	case *stdimage.Gray:
		p.Samples = 1
		p.row = func(y int, dst []byte) { copy(dst, im.Pix[y*im.Stride:]) }
	case *stdimage.Gray16:
		p.Samples, p.Reduced = 1, true
		p.row = func(y int, dst []byte) {
			for x := range dst {
				dst[x] = eight(uint32(im.Gray16At(b.Min.X+x, at(y)).Y))
			}
		}
	case *stdimage.CMYK:
		return nil, issue.New(issue.UnsupportedType, "", "printing colours (CMYK) are only read in a JPEG")
	default:
		p.Blended = transparent(im)
		p.Reduced = deep(im)
		p.row = func(y int, dst []byte) {
			for x := range p.Width {
				r, g, bl, a := im.At(b.Min.X+x, at(y)).RGBA() // multiplied by a
				white := 0xffff - a
				dst[3*x], dst[3*x+1], dst[3*x+2] = eight(r+white), eight(g+white), eight(bl+white)
			}
		}
		if grey(im) && !p.Blended {
			p.narrow()
		}
	}
	return p, nil
}

// narrow makes rows of one sample of rows whose three are the same.
func (p *decoded) narrow() {
	wide, row := make([]byte, 3*p.Width), p.row
	p.Samples = 1
	p.row = func(y int, dst []byte) {
		row(y, wide)
		for x := range dst {
			dst[x] = wide[3*x]
		}
	}
}

// eight rounds 16 bits to 8.
func eight(v uint32) byte { return byte((min(v, 0xffff)*255 + 0x7fff) / 0xffff) }

func transparent(im stdimage.Image) bool {
	if o, ok := im.(interface{ Opaque() bool }); ok {
		return !o.Opaque()
	}
	return false
}

func deep(im stdimage.Image) bool {
	switch im.(type) {
	case *stdimage.RGBA64, *stdimage.NRGBA64:
		return true
	}
	return false
}

// grey tells a palette of greys.
func grey(im stdimage.Image) bool {
	p, ok := im.(*stdimage.Paletted)
	if !ok {
		return false
	}
	for _, c := range p.Palette {
		if v := color.NRGBAModel.Convert(c).(color.NRGBA); v.R != v.G || v.G != v.B {
			return false
		}
	}
	return true
}
