package dicom

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/dermgate/dermgate/mapping/issue"
)

// tag of an element, group and element number.
type tag uint32

func (t tag) String() string { return fmt.Sprintf("(%04X,%04X)", uint32(t)>>16, uint32(t)&0xffff) }

// Elements that are read or written (PS3.6).
const (
	metaLength          tag = 0x00020000
	mediaClass          tag = 0x00020002
	mediaInstance       tag = 0x00020003
	transferSyntax      tag = 0x00020010
	implementationClass tag = 0x00020012
	characterSet        tag = 0x00080005
	sopClass            tag = 0x00080016
	sopInstance         tag = 0x00080018
	studyDate           tag = 0x00080020
	acquisition         tag = 0x0008002A
	contentDate         tag = 0x00080023
	studyTime           tag = 0x00080030
	contentTime         tag = 0x00080033
	accession           tag = 0x00080050
	modality            tag = 0x00080060
	manufacturer        tag = 0x00080070
	model               tag = 0x00081090
	referrer            tag = 0x00080090
	codeValue           tag = 0x00080100
	codeScheme          tag = 0x00080102
	codeMeaning         tag = 0x00080104
	zoneOffset          tag = 0x00080201
	anatomicRegion      tag = 0x00082218
	patientName         tag = 0x00100010
	patientID           tag = 0x00100020
	idIssuer            tag = 0x00100021
	birthDate           tag = 0x00100030
	patientSex          tag = 0x00100040
	lightPolarisation   tag = 0x00161001
	colourTemperature   tag = 0x00161002
	contactMethod       tag = 0x00161003
	magnification       tag = 0x00161005
	deviceSerial        tag = 0x00181000
	software            tag = 0x00181020
	studyInstance       tag = 0x0020000D
	seriesInstance      tag = 0x0020000E
	studyID             tag = 0x00200010
	seriesNumber        tag = 0x00200011
	instanceNumber      tag = 0x00200013
	orientation         tag = 0x00200020
	frameOfReference    tag = 0x00200052
	positionReference   tag = 0x00201040
	seriesLaterality    tag = 0x00200060
	imageLaterality     tag = 0x00200062
	samplesPerPixel     tag = 0x00280002
	photometric         tag = 0x00280004
	planar              tag = 0x00280006
	frames              tag = 0x00280008
	rows                tag = 0x00280010
	columns             tag = 0x00280011
	pixelSpacing        tag = 0x00280030
	bitsAllocated       tag = 0x00280100
	bitsStored          tag = 0x00280101
	highBit             tag = 0x00280102
	pixelRepresentation tag = 0x00280103
	burnedIn            tag = 0x00280301
	recognisable        tag = 0x00280302
	iccProfile          tag = 0x00282000
	lossy               tag = 0x00282110
	lossyMethod         tag = 0x00282114
	acquisitionContext  tag = 0x00400555
	pixelData           tag = 0x7FE00010
	item                tag = 0xFFFEE000
	itemEnd             tag = 0xFFFEE00D
	sequenceEnd         tag = 0xFFFEE0DD
)

// undefined is the length of what ends by a delimiter.
const undefined = 0xffffffff

// Limits of a dataset: a photo has some two hundred elements, and codes nest three deep.
const (
	mostElements = 20_000
	mostNested   = 16
)

// syntax is how a dataset is written: implicit value representations, and which byte comes first.
type syntax struct {
	implicit bool
	order    binary.ByteOrder
}

// element is one of a dataset. Its value is part of the file; that of a sequence its items.
type element struct {
	tag   tag
	vr    string
	value []byte
	at    int // where its value begins in the file
	open  bool
}

// reader walks a dataset.
type reader struct {
	b     []byte
	at    int
	s     syntax
	count int
}

func broken(at int, text string, args ...any) *issue.Issue {
	return issue.New(issue.Structure, fmt.Sprintf("byte %d", at), "DICOM: "+fmt.Sprintf(text, args...))
}

// long are the value representations whose length has four bytes (PS3.5 §7.1.2).
func long(vr string) bool {
	switch vr {
	case "OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV":
		return true
	}
	return false
}

// next reads the element at the reader's place and goes behind it; behind the header only of one of undefined length.
func (r *reader) next() (element, error) {
	start := r.at
	if r.count++; r.count > mostElements {
		return element{}, broken(start, "more elements than a photo has")
	}
	if len(r.b)-r.at < 8 {
		return element{}, broken(start, "cut off in the header of an element")
	}
	e := element{tag: tag(r.s.order.Uint16(r.b[r.at:]))<<16 | tag(r.s.order.Uint16(r.b[r.at+2:]))}
	r.at += 4
	length := uint32(0)
	switch {
	case r.s.implicit || e.tag>>16 == 0xFFFE:
		length = r.s.order.Uint32(r.b[r.at:])
		r.at += 4
	default:
		e.vr = string(r.b[r.at : r.at+2])
		if !long(e.vr) {
			length = uint32(r.s.order.Uint16(r.b[r.at+2:]))
			r.at += 4
			break
		}
		if len(r.b)-r.at < 8 {
			return element{}, broken(start, "cut off in the header of %v", e.tag)
		}
		length = r.s.order.Uint32(r.b[r.at+4:])
		r.at += 8
	}
	e.at = r.at
	if length == undefined {
		e.open = true
		return e, nil
	}
	if uint64(length) > uint64(len(r.b)-r.at) {
		return element{}, broken(start, "%v is longer than the file", e.tag)
	}
	e.value = r.b[r.at : r.at+int(length)]
	r.at += int(length)
	return e, nil
}

// close goes behind an element of undefined length, and gives it its value.
func (r *reader) close(e *element, depth int) error {
	if depth > mostNested {
		return broken(e.at, "%v nests deeper than a photo's codes", e.tag)
	}
	end := sequenceEnd
	if e.tag == item {
		end = itemEnd
	}
	if e.vr == "UN" { // what is in it is written with implicit value representations (PS3.5 §6.2.2)
		defer func(s syntax) { r.s = s }(r.s)
		r.s = syntax{implicit: true, order: binary.LittleEndian}
	}
	for {
		before := r.at
		inner, err := r.next()
		if err != nil {
			return err
		}
		if inner.tag == end {
			e.value = r.b[e.at:before]
			return nil
		}
		if inner.open {
			if err := r.close(&inner, depth+1); err != nil {
				return err
			}
		}
	}
}

// dataset is the elements of one level by tag.
type dataset map[tag]element

// read reads elements to the end, or to the pixels, whose header alone is read when they are encapsulated.
func (r *reader) read() (dataset, error) {
	out := dataset{}
	for r.at < len(r.b) {
		e, err := r.next()
		if err != nil {
			return nil, err
		}
		if e.tag == pixelData {
			out[e.tag] = e
			return out, nil
		}
		if e.open {
			if err := r.close(&e, 0); err != nil {
				return nil, err
			}
		}
		out[e.tag] = e
	}
	return out, nil
}

// text gives a value as text, its padding taken off; of several the first.
func (d dataset) text(t tag) string {
	first, _, _ := strings.Cut(string(d[t].value), "\\")
	return strings.Trim(first, " \x00")
}

// number gives an unsigned short; of none the other one given.
func (d dataset) number(s syntax, t tag, otherwise int) int {
	if v := d[t].value; len(v) >= 2 {
		return int(s.order.Uint16(v))
	}
	return otherwise
}

// first gives the first item of a sequence; nil when there is none.
func (d dataset) first(s syntax, t tag) dataset {
	seq, ok := d[t]
	if !ok || len(seq.value) == 0 {
		return nil
	}
	r := &reader{b: seq.value, s: s}
	e, err := r.next()
	if err != nil || e.tag != item {
		return nil
	}
	if e.open && r.close(&e, 0) != nil {
		return nil
	}
	inside := &reader{b: e.value, s: s}
	out, err := inside.read()
	if err != nil {
		return nil
	}
	return out
}
