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
	focus          bool   // has a focal length or a distance
	density        density
	colourSpace    uint16  // 1 sRGB, 0xffff uncalibrated; 0 when not stated
	adobeRGB       bool    // interoperability index R03: uncalibrated means Adobe RGB (DCF 2.0 §3.2)
	icc            section // the colour profile
	width, height  int     // of the first directory
	depth          int
	pages          int // directories chained behind the first
	private        []string
	settings       bool // has tags that are not private and are not kept either
}

type rational struct{ num, den uint32 }

// density is how many pixels there are on a length.
type density struct {
	across, down rational
	unit         uint16 // 2 inch, 3 centimetre; 0 when not stated
}

// perMetre is a density in pixels per metre.
func perMetre(across, down uint32) density {
	return density{rational{across, 100}, rational{down, 100}, 3}
}

func (d density) stated() bool { return d.unit != 0 && d.across.den != 0 && d.down.den != 0 }

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
	b     section
	order binary.ByteOrder
	exif
	todo   []pointer // each directory once; in the order of reading, what is read included
	tables int       // of pointers, read
	late   struct{ captured, zone, depth, xResolution, yResolution, icc entry }
}

// entry is a field of a directory. Those whose value stands elsewhere are read when the directories are done
// and the last one of a tag is known: reading goes back and forth a few times, however many entries there are.
type entry [12]byte

// readBlock reads an EXIF block of another format, in which a second directory describes a thumbnail.
func readBlock(b section) exif {
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
func readExif(b section) (exif, error) {
	r := exifReader{b: b}
	head := b.bytes(0, 8)
	switch {
	case head == nil:
		return r.exif, issue.New(issue.Structure, "", "a TIFF structure that is cut off")
	case string(head[:4]) == "II*\x00":
		r.order = binary.LittleEndian
	case string(head[:4]) == "MM\x00*":
		r.order = binary.BigEndian
	default:
		return r.exif, issue.New(issue.Structure, "", "no TIFF structure")
	}
	r.follow(r.order.Uint32(head[4:]), mainRole)
	for i := 0; i < len(r.todo); i++ {
		if r.todo[i].role == pageRole {
			r.pages++
		}
		r.directory(r.todo[i])
	}
	r.captured = r.text(r.late.captured[:], "0000:00:00 00:00:00")
	r.zone = r.text(r.late.zone[:], "+00:00")
	r.depth = int(r.first16(r.late.depth[:]))
	r.density.across, r.density.down = r.rational(r.late.xResolution[:]), r.rational(r.late.yResolution[:])
	r.icc = r.stretch(r.late.icc[:])
	return r.exif, nil
}

// follow notes a directory to be read, unless it was noted before or there are too many.
func (r *exifReader) follow(at uint32, as role) {
	if len(r.todo) == mostDirectories || slices.ContainsFunc(r.todo, func(p pointer) bool { return p.at == at }) {
		r.add("exif")
		return
	}
	r.todo = append(r.todo, pointer{at, as})
}

func (x *exif) add(name string) {
	if !slices.Contains(x.private, name) {
		x.private = append(x.private, name)
	}
}

// directory reads one directory and notes those it points at.
func (r *exifReader) directory(p pointer) {
	count := r.b.bytes(int64(p.at), 2)
	if count == nil {
		r.add("exif")
		return
	}
	n, at := int64(r.order.Uint16(count)), int64(p.at)+2
	if at+12*n > r.b.n {
		r.add("exif")
		n = (r.b.n - at) / 12
	}
	for end := at + 12*n; at < end; at += 12 {
		e := r.b.bytes(at, 12)
		if e == nil {
			return
		}
		r.entry(e, p.role)
	}
	next := r.b.bytes(at, 4)
	if next == nil || p.role != mainRole && p.role != pageRole {
		return
	}
	if next := r.order.Uint32(next); next != 0 {
		r.follow(next, pageRole)
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
		r.follow(r.number(e), subRole)
	case tagInterop:
		r.follow(r.number(e), interopRole)
	case tagCaptured:
		r.late.captured = entry(e)
	case tagZone:
		r.late.zone = entry(e)
	case tagDistance, tagFocalLength:
		r.focus = true
	case tagColourSpace:
		r.colourSpace = uint16(r.number(e))
	case tagICC:
		r.late.icc = entry(e)
	}
	if in == mainRole {
		r.mainEntry(tag, e)
	}
	if tag == tagSubIFDs {
		r.subdirectories(e) // last, since e does not outlive it
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
		r.late.depth = entry(e)
	case tagXResolution:
		r.late.xResolution = entry(e)
	case tagYResolution:
		r.late.yResolution = entry(e)
	case tagUnit:
		r.density.unit = uint16(r.number(e))
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

// value gives the first bytes of an entry's value, as many as wanted; nil when there are fewer or the value
// lies outside. unit is the size of one item of the type wanted, in bytes.
func (r *exifReader) value(e []byte, unit, want int64) []byte {
	n, at := int64(r.order.Uint32(e[4:]))*unit, int64(r.order.Uint32(e[8:]))
	switch {
	case n < want:
		return nil
	case n <= 4:
		return e[8 : 8+want]
	case at+n > r.b.n:
		return nil
	}
	return r.b.bytes(at, want)
}

// stretch gives where an entry's value of more than four bytes stands; nothing when it lies outside.
func (r *exifReader) stretch(e []byte) section {
	n, at := int64(r.order.Uint32(e[4:])), int64(r.order.Uint32(e[8:]))
	if n <= 4 || at+n > r.b.n {
		return section{}
	}
	return r.b.part(at, n)
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
	if v := r.value(e, 2, 2); v != nil {
		return r.order.Uint16(v)
	}
	return 0
}

func (r *exifReader) rational(e []byte) rational {
	if v := r.value(e, 8, 8); v != nil {
		return rational{r.order.Uint32(v), r.order.Uint32(v[4:])}
	}
	return rational{}
}

// subdirectories follows one pointer, or a table of them. A table needs another look into the file, so their
// number is limited as that of directories is.
func (r *exifReader) subdirectories(e []byte) {
	n := r.order.Uint32(e[4:])
	if n == 1 {
		r.follow(r.order.Uint32(e[8:]), subRole)
		return
	}
	if r.tables++; n == 0 || n > mostDirectories || r.tables > mostDirectories {
		r.add("exif")
		return
	}
	v := r.value(e, 4, 4*int64(n))
	if v == nil {
		r.add("exif")
	}
	for ; len(v) >= 4; v = v[4:] {
		r.follow(r.order.Uint32(v), subRole)
	}
}

// text reads a text of the shape of form, where 0 stands for a digit and + for a sign; "" for any other.
// It is written again into what travels on, so nothing else may pass as a date.
func (r *exifReader) text(e []byte, form string) string {
	v := r.value(e, 1, int64(len(form)))
	if v == nil {
		return ""
	}
	for i, want := range []byte(form) {
		digit := v[i] >= '0' && v[i] <= '9'
		sign := v[i] == '+' || v[i] == '-'
		if want == '0' && !digit || want == '+' && !sign || want != '0' && want != '+' && v[i] != want {
			return ""
		}
	}
	return string(v)
}
