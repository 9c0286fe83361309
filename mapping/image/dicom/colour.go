package dicom

import (
	"encoding/binary"
	"image/color"

	"github.com/dermgate/dermgate/mapping/issue"
)

// rgb gives samples as grey, or as red, green and blue of each pixel in turn.
func rgb(in []byte, colour string, samples, n int, byPlane bool) ([]byte, error) {
	switch {
	case samples == 1 && (colour == "MONOCHROME2" || colour == ""):
		return in, nil
	case samples == 1 && colour == "MONOCHROME1": // black is the highest
		out := make([]byte, n)
		for i, v := range in {
			out[i] = 255 - v
		}
		return out, nil
	case samples == 3 && colour == "RGB" && !byPlane:
		return in, nil
	case samples != 3 || colour != "RGB" && colour != "YBR_FULL":
		return nil, unsupported("a picture in the colours %.16q", colour)
	}
	out := make([]byte, 3*n)
	for i := range n {
		a, b, c := 3*i, 3*i+1, 3*i+2
		if byPlane {
			a, b, c = i, n+i, 2*n+i
		}
		x, y, z := in[a], in[b], in[c]
		if colour == "YBR_FULL" {
			x, y, z = color.YCbCrToRGB(x, y, z)
		}
		out[3*i], out[3*i+1], out[3*i+2] = x, y, z
	}
	return out, nil
}

// swapped gives words with their two bytes the other way round.
func swapped(b []byte) []byte {
	out := make([]byte, len(b))
	for i := 0; i+1 < len(b); i += 2 {
		out[i], out[i+1] = b[i+1], b[i]
	}
	if n := len(b); n%2 == 1 {
		out[n-1] = b[n-1]
	}
	return out
}

// unpack decodes run lengths (PS3.5 annex G): a table of segments, then each sample's plane as PackBits.
func unpack(b []byte, samples, n, at int) ([]byte, error) {
	if len(b) < 64 {
		return nil, broken(at, "run lengths without their table")
	}
	if count := binary.LittleEndian.Uint32(b); count != uint32(samples) {
		return nil, broken(at, "run lengths of %d planes, and the picture has %d", count, samples)
	}
	out := make([]byte, 0, samples*n)
	for i := range samples {
		from := binary.LittleEndian.Uint32(b[4+4*i:])
		to := uint32(len(b))
		if i+1 < samples {
			to = binary.LittleEndian.Uint32(b[8+4*i:])
		}
		if from < 64 || from > to || to > uint32(len(b)) {
			return nil, broken(at, "a plane of run lengths lies outside the picture")
		}
		var err error
		if out, err = appendRuns(out, b[from:to], n, at); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// appendRuns appends the n bytes of a plane.
func appendRuns(out, b []byte, n, at int) ([]byte, error) {
	end := len(out) + n
	for len(out) < end {
		if len(b) < 2 {
			return nil, broken(at, "run lengths end before the picture")
		}
		switch c := int(int8(b[0])); {
		case c == -128:
			b = b[1:]
		case c < 0:
			for range min(1-c, end-len(out)) {
				out = append(out, b[1])
			}
			b = b[2:]
		default:
			if len(b) < c+2 {
				return nil, broken(at, "run lengths end before the picture")
			}
			out = append(out, b[1:1+min(c+1, end-len(out))]...)
			b = b[c+2:]
		}
	}
	return out, nil
}

// marked gives a JPEG that says what DICOM said of its colours. Readers outside DICOM take three components without an
// Adobe marker for luminance and colour; when they are red, green and blue, a marker has to say so, and JFIF, which knows
// no such JPEG, has to go.
func marked(b []byte, colour string) ([]byte, error) {
	if len(b) > 0 && b[len(b)-1] == 0 { // the padding of an odd length
		b = b[:len(b)-1]
	}
	if len(b) < 4 || b[0] != 0xff || b[1] != 0xd8 {
		return nil, issue.New(issue.Structure, "", "DICOM: the picture says that it is a JPEG and is none")
	}
	if colour != "RGB" {
		return b, nil
	}
	out := append([]byte{0xff, 0xd8}, "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"...)
	rest := b[2:]
	for len(rest) >= 4 && rest[0] == 0xff && (rest[1] == 0xe0 || rest[1] == 0xee) {
		size := 2 + int(binary.BigEndian.Uint16(rest[2:]))
		if size > len(rest) {
			break
		}
		rest = rest[size:]
	}
	return append(out, rest...), nil
}
