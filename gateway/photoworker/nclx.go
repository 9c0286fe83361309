package photoworker

import (
	stdimage "image"
	"image/color"
	"math"
	"strconv"
)

// nclx is how brightness and colour were made of red, green and blue (ITU-T H.273): which matrix, and whether only 16 to 235
// of the 256 levels are used, as in video.
type nclx struct {
	matrix int // H.273 table 4; 2: not said, which is read as 6, as in a JPEG
	narrow bool
}

func (n nclx) String() string { return strconv.Itoa(n.matrix) }

// weights are those of red and blue in brightness, by matrix.
func (n nclx) weights() (r, b float64, ok bool) {
	switch n.matrix {
	case 2, 5, 6:
		return 0.299, 0.114, true
	case 1:
		return 0.2126, 0.0722, true
	case 9:
		return 0.2627, 0.0593, true
	}
	return 0, 0, false
}

func (n nclx) unusual() bool { _, _, ok := n.weights(); return !ok }

// jpeg tells whether colours are coded as in a JPEG.
func (n nclx) jpeg() bool { return !n.narrow && (n.matrix == 2 || n.matrix == 5 || n.matrix == 6) }

// video is a picture whose colours are coded otherwise than those of a JPEG.
type video struct {
	*stdimage.YCbCr
	nclx
}

// ColorModel is that of At.
func (v *video) ColorModel() color.Model { return color.RGBAModel }

// At gives a pixel.
func (v *video) At(x, y int) color.Color {
	c := v.YCbCrAt(x, y)
	wr, wb, _ := v.weights()
	bright, blue, red := float64(c.Y), float64(c.Cb)-128, float64(c.Cr)-128
	if v.narrow {
		bright, blue, red = (bright-16)*255/219, blue*255/224, red*255/224
	}
	r := bright + 2*(1-wr)*red
	b := bright + 2*(1-wb)*blue
	g := (bright - wr*r - wb*b) / (1 - wr - wb)
	return color.RGBA{clamp(r), clamp(g), clamp(b), 255}
}

func clamp(v float64) uint8 { return uint8(math.Round(min(max(v, 0), 255))) }
