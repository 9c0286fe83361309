package image

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/mapping/issue"
)

// exif is what is read of an EXIF block or a TIFF file.
type exif struct {
	orientation    int    // 1 to 8; 0 when not stated
	captured, zone string // as written
	density        [2]rational
	unit           uint16 // of density: 2 inch, 3 centimetre; 0 when not stated
	colourSpace    uint16 // 1 sRGB, 0xffff uncalibrated; 0 when not stated
	adobeRGB       bool   // interoperability index R03: uncalibrated means Adobe RGB (DCF 2.0 §3.2)
	icc            bool
	width, height  int // of the first directory
	depth          int
	pages          int // directories chained behind the first
	private        []string
	settings       bool // has tags that are not private and are not kept either
}

type rational struct{ num, den uint32 }

// role of a directory decides what its tags mean.
type role uint8

const (
	mainRole    role = iota // the first one
	pageRole                // chained behind the first: a thumbnail in EXIF, a page in TIFF
	subRole                 // EXIF, or SubIFDs of TIFF
	interopRole             // interoperability
)

// pointer is a directory still to be read.
type pointer struct {
	at   uint32
	role role
}

// mostDirectories bounds chains and loops; a camera writes five.
const mostDirectories = 64

// exifReader reads a TIFF structure.
type exifReader struct {
	b     []byte
	order binary.ByteOrder
	exif
	todo []pointer
}

// readBlock reads an EXIF block of another format, in which a second directory describes a thumbnail.
func readBlock(b []byte) exif {
	x, err := readExif(b)
	if err != nil {
		x.add("exif")
	}
	if x.pages > 0 {
		x.add("thumbnail")
	}
	return x
}

// readExif reads a TIFF structure, following each directory once. What points outside, repeats or goes on
// too long is not an error: it is noted as the private thing "exif", so that Strip removes it.
func readExif(b []byte) (exif, error) {
	r := exifReader{b: b}
	switch {
	case len(b) < 8:
		return r.exif, issue.New(issue.Structure, "", "a TIFF structure that is cut off")
	case string(b[:4]) == "II*\x00":
		r.order = binary.LittleEndian
	case string(b[:4]) == "MM\x00*":
		r.order = binary.BigEndian
	default:
		return r.exif, issue.New(issue.Structure, "", "no TIFF structure")
	}
	var seen []uint32
	r.todo = []pointer{{at: r.order.Uint32(b[4:])}}
	for len(r.todo) > 0 {
		p := r.todo[0]
		r.todo = r.todo[1:]
		if slices.Contains(seen, p.at) || len(seen) == mostDirectories {
			r.add("exif")
			continue
		}
		seen = append(seen, p.at)
		if p.role == pageRole {
			r.pages++
		}
		r.directory(p)
	}
	return r.exif, nil
}

func (x *exif) add(name string) {
	if !slices.Contains(x.private, name) {
		x.private = append(x.private, name)
	}
}

// directory reads one directory and notes those it points at.
func (r *exifReader) directory(p pointer) {
	if int64(p.at)+2 > int64(len(r.b)) {
		r.add("exif")
		return
	}
	n := int(r.order.Uint16(r.b[p.at:]))
	at := int(p.at) + 2
	if at+12*n > len(r.b) {
		r.add("exif")
		n = (len(r.b) - at) / 12
	}
	for end := at + 12*n; at < end; at += 12 {
		r.entry(r.b[at:at+12], p.role)
	}
	if at+4 > len(r.b) || p.role != mainRole && p.role != pageRole {
		return
	}
	if next := r.order.Uint32(r.b[at:]); next != 0 {
		r.todo = append(r.todo, pointer{next, pageRole})
	}
}

func (r *exifReader) entry(e []byte, in role) {
	tag := r.order.Uint16(e)
	if in == interopRole {
		r.adobeRGB = r.adobeRGB || tag == tagInteropIndex && strings.HasPrefix(string(e[8:]), "R03")
		return
	}
	r.classify(tag)
	switch tag {
	case tagExif:
		r.todo = append(r.todo, pointer{r.number(e), subRole})
	case tagInterop:
		r.todo = append(r.todo, pointer{r.number(e), interopRole})
	case tagSubIFDs:
		r.subdirectories(e)
	case tagCaptured:
		r.captured = r.text(e, "0000:00:00 00:00:00")
	case tagZone:
		r.zone = r.text(e, "+00:00")
	case tagColourSpace:
		r.colourSpace = uint16(r.number(e))
	case tagICC:
		r.icc = true
	}
	if in == mainRole {
		r.mainEntry(tag, e)
	}
}

// mainEntry reads the tags that mean something in the first directory only.
func (r *exifReader) mainEntry(tag uint16, e []byte) {
	switch tag {
	case tagOrientation:
		if o := r.number(e); o >= 1 && o <= 8 {
			r.orientation = int(o)
		}
	case tagWidth:
		r.width = int(r.number(e))
	case tagHeight:
		r.height = int(r.number(e))
	case tagDepth:
		r.depth = int(r.first16(e))
	case tagXResolution, tagYResolution:
		r.density[tag-tagXResolution] = r.rational(e)
	case tagUnit:
		r.unit = uint16(r.number(e))
	}
}

func (r *exifReader) classify(tag uint16) {
	name, private := privateTags[tag]
	switch {
	case private:
		r.add(name)
	case !plainTags[tag]:
		r.add("other")
	case !keptTags[tag]:
		r.settings = true
	}
}

// value gives the bytes of an entry's value, nil when they lie outside. unit is the size of one item of the
// type wanted, in bytes.
func (r *exifReader) value(e []byte, unit int64) []byte {
	n := int64(r.order.Uint32(e[4:])) * unit
	if n <= 4 {
		return e[8 : 8+n]
	}
	at := int64(r.order.Uint32(e[8:]))
	if at+n > int64(len(r.b)) {
		return nil
	}
	return r.b[at : at+n]
}

// number reads a SHORT (type 3) or LONG.
func (r *exifReader) number(e []byte) uint32 {
	if r.order.Uint16(e[2:]) == 3 {
		return uint32(r.order.Uint16(e[8:]))
	}
	return r.order.Uint32(e[8:])
}

// first16 reads the first of several SHORTs.
func (r *exifReader) first16(e []byte) uint16 {
	if v := r.value(e, 2); len(v) >= 2 {
		return r.order.Uint16(v)
	}
	return 0
}

func (r *exifReader) rational(e []byte) rational {
	if v := r.value(e, 8); len(v) >= 8 {
		return rational{r.order.Uint32(v), r.order.Uint32(v[4:])}
	}
	return rational{}
}

func (r *exifReader) subdirectories(e []byte) {
	if r.order.Uint32(e[4:]) == 1 {
		r.todo = append(r.todo, pointer{r.order.Uint32(e[8:]), subRole})
		return
	}
	v := r.value(e, 4)
	if len(v) < 4 || len(v) > 4*mostDirectories {
		r.add("exif")
		return
	}
	for ; len(v) >= 4; v = v[4:] {
		r.todo = append(r.todo, pointer{r.order.Uint32(v), subRole})
	}
}

// text reads a text of the shape of form, where 0 stands for a digit and + for a sign; "" for any other.
// It is written again into what travels on, so nothing else may pass as a date.
func (r *exifReader) text(e []byte, form string) string {
	v := r.value(e, 1)
	if len(v) < len(form) {
		return ""
	}
	for i, want := range []byte(form) {
		digit := v[i] >= '0' && v[i] <= '9'
		sign := v[i] == '+' || v[i] == '-'
		if want == '0' && !digit || want == '+' && !sign || want != '0' && want != '+' && v[i] != want {
			return ""
		}
	}
	return string(v[:len(form)])
}
