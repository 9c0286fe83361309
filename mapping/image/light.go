package image

import (
	"math"
	"sync"
)

// Samples are codes of light, and averages of codes are too dark: filters work on light itself. The curve is
// that of sRGB (IEC 61966-2-1), which Display P3 shares and the other profiles of cameras are near to.

// finer is how many steps of a code are told apart on the way to light.
const finer = 4

// curves are the two directions of the curve.
type curves struct {
	light [255*finer + 1]float32  // of a code times finer
	code  [lightSteps + 2]float32 // of light times lightSteps, 0 to 255
}

const lightSteps = 4095

// theCurves are made once: 5,000 powers.
var theCurves = sync.OnceValue(func() *curves {
	c := new(curves)
	for i := range c.light {
		v := float64(i) / (255 * finer)
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		c.light[i] = float32(v)
	}
	for i := range c.code {
		v := float64(i) / lightSteps
		if v <= 0.0031308 {
			v *= 12.92
		} else {
			v = 1.055*math.Pow(v, 1/2.4) - 0.055
		}
		c.code[i] = float32(255 * v)
	}
	return c
})

// encode gives the code of light, 0 to 255 with what is behind the point.
func (c *curves) encode(light float32) float32 {
	x := min(max(light, 0), 1) * lightSteps
	i := int(x)
	a := c.code[i]
	return a + (c.code[i+1]-a)*(x-float32(i))
}

// colours tells how the components of a picture make light.
type colours uint8

const (
	asStored colours = iota // inks, of which light is not to be had: codes are filtered
	grey                    // one component of light
	redGreenBlue
	lumaChroma // T.871 §7
)

// toLight makes channels of light of a row of components, which it overwrites.
func (k colours) toLight(rows [][]float32) {
	c := theCurves()
	switch k {
	case grey, redGreenBlue:
		for _, row := range rows {
			for x, v := range row {
				row[x] = c.light[step(v)]
			}
		}
	case lumaChroma:
		ys, bs, rs := rows[0], rows[1], rows[2]
		for x, y := range ys {
			cb, cr := bs[x]-128, rs[x]-128
			ys[x] = c.light[step(y+1.402*cr)]
			bs[x] = c.light[step(y-0.344136*cb-0.714136*cr)]
			rs[x] = c.light[step(y+1.772*cb)]
		}
	}
}

// toBytes writes a row of components as samples, three or one a pixel.
func (k colours) toBytes(rows [][]float32, out []byte) {
	switch k {
	case grey:
		for x, v := range rows[0] {
			out[x] = rounded(v)
		}
	case redGreenBlue:
		for x, v := range rows[0] {
			out[3*x], out[3*x+1], out[3*x+2] = rounded(v), rounded(rows[1][x]), rounded(rows[2][x])
		}
	case lumaChroma:
		for x, y := range rows[0] {
			cb, cr := rows[1][x]-128, rows[2][x]-128
			out[3*x], out[3*x+1], out[3*x+2] = rounded(y+1.402*cr), rounded(y-0.344136*cb-0.714136*cr), rounded(y+1.772*cb)
		}
	}
}

// step is the place of a code in curves.light.
func step(v float32) int { return int(min(max(v, 0), 255)*finer + 0.5) }

// toCodes makes components of channels of light, 0 to 255, over them.
func (k colours) toCodes(rows [][]float32) {
	c := theCurves()
	switch k {
	case grey, redGreenBlue:
		for _, row := range rows {
			for x, v := range row {
				row[x] = c.encode(v)
			}
		}
	case lumaChroma:
		rs, gs, bs := rows[0], rows[1], rows[2]
		for x := range rs {
			r, g, b := c.encode(rs[x]), c.encode(gs[x]), c.encode(bs[x])
			y := 0.299*r + 0.587*g + 0.114*b
			rs[x], gs[x], bs[x] = y, (b-y)/1.772+128, (r-y)/1.402+128
		}
	}
}
