package image

import "encoding/binary"

const bmpHeader = 34 // bytes that are read: the file header and the beginning of the bitmap header

// bmp reads the header. A BMP has no place for metadata but behind its end.
func (a *anatomy) bmp(f section) error {
	b := f.bytes(0, bmpHeader)
	if b == nil {
		return cutOff()
	}
	le := binary.LittleEndian
	a.Width, a.Height = int(int32(le.Uint32(b[18:]))), int(int32(le.Uint32(b[22:])))
	if a.Height < 0 { // rows from the top
		a.Height = -a.Height
	}
	if d := f.bytes(38, 8); d != nil && le.Uint32(d) > 0 && le.Uint32(d[4:]) > 0 && le.Uint32(f.bytes(14, 4)) >= 40 {
		a.density = perMetre(le.Uint32(d), le.Uint32(d[4:]))
	}
	bits := int64(le.Uint16(b[28:])) // a pixel
	a.Depth = 8
	end := int64(le.Uint32(b[2:])) // the file's size, which some writers get wrong
	if compression := le.Uint32(b[30:]); (compression == 0 || compression == 3) && a.Width > 0 {
		row := (int64(a.Width)*bits + 31) / 32 * 4
		from := int64(le.Uint32(b[10:]))
		if int64(a.Height) > (f.n-from)/max(row, 1) { // divided, since the product may overflow
			return cutOff()
		}
		end = max(end, from+row*int64(a.Height))
	}
	if end < bmpHeader || end >= f.n {
		a.keep(f)
		return nil
	}
	a.private("trailing")
	a.keep(f.part(0, end))
	return nil
}
