package image

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/dermgate/dermgate/mapping/issue"
)

// gamut tells how the numbers of a profile become those of sRGB: through light, and a matrix from its three colours to the
// three of sRGB (ICC.1 annex F.3). What sRGB cannot show becomes the nearest that it can, channel by channel.
type gamut struct {
	grey    bool
	light   [3][256]float32
	mix     [3][3]float32
	clipped bool // a colour that sRGB cannot show has come
}

// fromD50 makes light of sRGB's colours of X, Y and Z under D50: the inverse of the matrix of its own profile (IEC 61966-2-1,
// adapted by Bradford's method as ICC.1 annex E asks).
var fromD50 = [3][3]float64{{3.1341359, -1.6173863, -0.4906619}, {-0.9787955, 1.9161415, 0.0334540}, {0.0719630, -0.2289414, 1.4053427}}

// clearly is how much light outside what sRGB shows is more than rounding.
const clearly = 0.005

// newGamut reads a profile of three colours, or of grey. nil: its numbers are those of sRGB already.
func newGamut(icc []byte) (*gamut, error) {
	p := iccReader{icc}
	if len(icc) < 132 || string(icc[36:40]) != "acsp" || string(icc[20:24]) != "XYZ " {
		return nil, unmixed()
	}
	g := &gamut{grey: string(icc[16:20]) == "GRAY"}
	names := []string{"rTRC", "gTRC", "bTRC"}
	if g.grey {
		names = []string{"kTRC", "kTRC", "kTRC"}
	}
	for i, name := range names {
		curve := p.curve(p.tag(name))
		if curve == nil {
			return nil, unmixed()
		}
		for v := range g.light[i] {
			g.light[i][v] = float32(curve(float64(v) / 255))
		}
	}
	if !g.grey && !g.matrix(p) {
		return nil, unmixed()
	}
	if g.plain() {
		return nil, nil
	}
	return g, nil
}

func unmixed() error {
	return issue.New(issue.UnsupportedType, "", "a photo whose colour profile is not of three colours or grey: it cannot be told in sRGB")
}

func (g *gamut) matrix(p iccReader) bool {
	for i, name := range []string{"rXYZ", "gXYZ", "bXYZ"} {
		b := p.tag(name)
		if len(b) < 20 || string(b[:4]) != "XYZ " {
			return false
		}
		for row := range 3 {
			sum := 0.
			for k := range 3 {
				sum += fromD50[row][k] * fixed16(b[8+4*k:])
			}
			g.mix[row][i] = float32(sum)
		}
	}
	return true
}

// plain tells whether no number would change by more than one.
func (g *gamut) plain() bool {
	for _, v := range []byte{0, 16, 64, 128, 192, 255} {
		for i := range 3 {
			row := []byte{v, v, v}
			row[i] = 255 - v
			was := bytes.Clone(row)
			if g.grey {
				row, was = row[:1], was[:1]
			}
			g.row(row)
			for k := range row {
				if d := int(row[k]) - int(was[k]); d < -1 || d > 1 {
					g.clipped = false
					return false
				}
			}
		}
	}
	return true
}

// row turns the samples of a row, one or three a pixel, into those of sRGB.
func (g *gamut) row(row []byte) {
	c := theCurves()
	if g.grey {
		for i, v := range row {
			row[i] = rounded(c.encode(g.light[0][v]))
		}
		return
	}
	for ; len(row) >= 3; row = row[3:] {
		r, gr, b := g.light[0][row[0]], g.light[1][row[1]], g.light[2][row[2]]
		for i := range 3 {
			v := g.mix[i][0]*r + g.mix[i][1]*gr + g.mix[i][2]*b
			g.clipped = g.clipped || v < -clearly || v > 1+clearly
			row[i] = rounded(c.encode(v))
		}
	}
}

func rounded(v float32) byte { return byte(min(max(v, 0), 255) + 0.5) }

// iccReader reads a profile (ICC.1 §7, §10).
type iccReader struct{ b []byte }

// tag gives the data of an element; nil when there is none.
func (p iccReader) tag(name string) []byte {
	n := int(min(binary.BigEndian.Uint32(p.b[128:]), 200))
	for i := range n {
		e := 132 + 12*i
		if e+12 > len(p.b) {
			return nil
		}
		if string(p.b[e:e+4]) != name {
			continue
		}
		at, size := uint64(binary.BigEndian.Uint32(p.b[e+4:])), uint64(binary.BigEndian.Uint32(p.b[e+8:]))
		if at+size > uint64(len(p.b)) {
			return nil
		}
		return p.b[at : at+size]
	}
	return nil
}

// fixed16 is an s15Fixed16Number.
func fixed16(b []byte) float64 { return float64(int32(binary.BigEndian.Uint32(b))) / 65536 }

// curve gives the function of a curve, from a code to light, both 0 to 1; nil when it is none (§10.6, §10.18).
func (p iccReader) curve(b []byte) func(float64) float64 {
	switch {
	case len(b) < 12:
	case string(b[:4]) == "curv":
		return sampledCurve(b)
	case string(b[:4]) == "para":
		return parametricCurve(b)
	}
	return nil
}

func sampledCurve(b []byte) func(float64) float64 {
	n, data := int(min(binary.BigEndian.Uint32(b[8:]), 1<<16)), b[12:]
	switch {
	case n == 0:
		return func(x float64) float64 { return x }
	case len(data) < 2*n:
		return nil
	case n == 1:
		gamma := float64(binary.BigEndian.Uint16(data)) / 256
		return func(x float64) float64 { return math.Pow(x, gamma) }
	}
	at := func(i int) float64 { return float64(binary.BigEndian.Uint16(data[2*i:])) / 65535 }
	return func(x float64) float64 {
		place := x * float64(n-1)
		i := min(int(place), n-2)
		return at(i) + (at(i+1)-at(i))*(place-float64(i))
	}
}

// parametricCurve is one of five kinds of powers, each with a straight line for the dark but the first.
func parametricCurve(b []byte) func(float64) float64 {
	counts := [...]int{1, 3, 4, 5, 7}
	kind := int(binary.BigEndian.Uint16(b[8:]))
	if kind >= len(counts) || len(b) < 12+4*counts[kind] {
		return nil
	}
	v := [7]float64{1: 1}
	for i := range counts[kind] {
		v[i] = fixed16(b[12+4*i:])
	}
	g, a, bb, c, d, e, f := v[0], v[1], v[2], v[3], v[4], v[5], v[6]
	switch kind {
	case 1:
		c, d = 0, -bb/a
	case 2:
		c, d, e, f = 0, -bb/a, c, c
	}
	return func(x float64) float64 {
		y := c*x + f
		if kind == 0 || x >= d {
			y = math.Pow(max(a*x+bb, 0), g) + e
		}
		if !(y >= 0 && y <= 1) {
			y = min(max(y, 0), 1)
			if math.IsNaN(y) {
				y = 0
			}
		}
		return y
	}
}
