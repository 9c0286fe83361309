package image

import (
	"bytes"
	"encoding/binary"
	"math"
)

// resizedSegments are the application segments of a photo whose sides became shorter by a factor: density goes
// with them, so that lengths measured in the photo stay, and the EXIF block tells no other size.
func resizedSegments(segments [][]byte, factor float64) (out [][]byte) {
	for _, s := range segments {
		data := s[4:]
		switch {
		case s[1] == mAPP0 && len(data) == jfifLength && bytes.HasPrefix(data, []byte(jfifName)):
			s = jfifDensity(s, factor)
		case s[1] == mAPP1 && bytes.HasPrefix(data, []byte(exifName)):
			x := readBlock(newWindow(bytes.NewReader(data[len(exifName):])).whole())
			x.density.across, x.density.down = x.density.across.times(factor), x.density.down.times(factor)
			block := x.minimal()
			if block == nil {
				continue
			}
			s = appSegment(mAPP1, exifName, block)
		}
		out = append(out, s)
	}
	return out
}

// jfifDensity scales the density of a JFIF segment (T.871 §10.1) when it has a unit.
func jfifDensity(s []byte, factor float64) []byte {
	const unit, across, down = 4 + 7, 4 + 8, 4 + 10
	if s[unit] == 0 { // the shape of pixels only
		return s
	}
	s = bytes.Clone(s)
	for _, at := range []int{across, down} {
		d := float64(binary.BigEndian.Uint16(s[at:])) * factor
		binary.BigEndian.PutUint16(s[at:], uint16(max(1, math.Round(d))))
	}
	return s
}

// times scales a fraction, to a hundredth.
func (r rational) times(factor float64) rational {
	if r.den == 0 {
		return r
	}
	v := math.Round(float64(r.num) / float64(r.den) * factor * 100)
	if v < 1 || v > math.MaxUint32 {
		return rational{}
	}
	return rational{uint32(v), 100}
}
