package image

import "encoding/binary"

// exifName begins the APP1 segment that holds an EXIF block (DC-008 §4.7.2.1).
const exifName = "Exif\x00\x00"

// field is one entry of a directory to be written.
type field struct {
	tag, kind uint16 // kind: 2 ASCII, 3 SHORT, 4 LONG, 5 RATIONAL, 7 UNDEFINED
	count     uint32
	value     []byte // little endian
}

func short16(tag, v uint16) field {
	return field{tag, 3, 1, binary.LittleEndian.AppendUint16(nil, v)}
}

func long32(tag uint16, v uint32) field {
	return field{tag, 4, 1, binary.LittleEndian.AppendUint32(nil, v)}
}

func ascii(tag uint16, s string) field {
	return field{tag, 2, uint32(len(s) + 1), append([]byte(s), 0)}
}

func fraction(tag uint16, v rational) field {
	return field{tag, 5, 1, binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, v.num), v.den)}
}

// minimal writes the TIFF structure of what a stripped photo keeps: which way up, density, when it was
// taken, colour space. nil when there is nothing to keep.
func (x exif) minimal() []byte {
	main, sub := x.mainFields(), x.subFields()
	if len(main) == 0 && len(sub) == 0 {
		return nil
	}
	const first = 8 // offset of the first directory
	out := []byte("II*\x00\x08\x00\x00\x00")
	if len(sub) == 0 {
		return append(out, directory(first, main)...)
	}
	subAt := first + uint32(len(directory(first, append(main, long32(tagExif, 0)))))
	out = append(out, directory(first, append(main, long32(tagExif, subAt)))...)
	if !x.adobeRGB {
		return append(out, directory(subAt, sub)...)
	}
	interopAt := subAt + uint32(len(directory(subAt, append(sub, long32(tagInterop, 0)))))
	out = append(out, directory(subAt, append(sub, long32(tagInterop, interopAt)))...)
	return append(out, directory(interopAt, []field{ascii(tagInteropIndex, "R03")})...)
}

// mainFields of the first directory, in the order of their tags as TIFF wants them.
func (x exif) mainFields() (fields []field) {
	if x.orientation > 1 {
		fields = append(fields, short16(tagOrientation, uint16(x.orientation)))
	}
	if d := x.density; d.stated() {
		fields = append(fields, fraction(tagXResolution, d.across), fraction(tagYResolution, d.down), short16(tagUnit, d.unit))
	}
	return fields
}

func (x exif) subFields() (fields []field) {
	if x.captured != "" {
		fields = append(fields, ascii(tagCaptured, x.captured))
		if x.zone != "" {
			fields = append(fields, ascii(tagZone, x.zone))
		}
	}
	if x.colourSpace != 0 {
		fields = append(fields, short16(tagColourSpace, x.colourSpace))
	}
	if len(fields) == 0 {
		return nil
	}
	return append([]field{{tagVersion, 7, 4, []byte("0232")}}, fields...)
}

// directory writes one directory that will stand at an offset, the values that do not fit behind it.
func directory(at uint32, fields []field) []byte {
	le := binary.LittleEndian
	dir := le.AppendUint16(nil, uint16(len(fields)))
	rest := at + 2 + 12*uint32(len(fields)) + 4
	var values []byte
	for _, f := range fields {
		dir = le.AppendUint16(le.AppendUint16(dir, f.tag), f.kind)
		dir = le.AppendUint32(dir, f.count)
		if len(f.value) <= 4 {
			dir = append(append(dir, f.value...), make([]byte, 4-len(f.value))...)
			continue
		}
		dir = le.AppendUint32(dir, rest+uint32(len(values)))
		values = append(values, f.value...)
		if len(values)%2 == 1 {
			values = append(values, 0) // values begin at even offsets (TIFF 6.0 §2)
		}
	}
	dir = le.AppendUint32(dir, 0) // no next directory
	return append(dir, values...)
}
