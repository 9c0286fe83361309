package fhir

import (
	"fmt"
	"strings"
)

// Constant is a text that was held against an element once, so that Validate and the writer need not look at
// it each time it is set. Only NewConstant makes one.
type Constant struct {
	def  *ElementDef
	text string
	data int32 // sound, or 0: Validate will say what is wrong with it
}

// NewConstant holds a text against an element. The error names an element that is no primitive.
func NewConstant(d *ElementDef, text string) (*Constant, error) {
	if d.Type.Kind != Primitive {
		return nil, fmt.Errorf("fhir: %s is no primitive", d.Name)
	}
	c := &Constant{def: d, text: text}
	if fits, bare := d.Type.fits(text); fits && bare && d.Allows(text) {
		c.data = sound
	}
	return c, nil
}

// Def is the element it was held against.
func (c *Constant) Def() *ElementDef { return c.def }

// Sound tells whether the text is as its element wants it.
func (c *Constant) Sound() bool { return c.data == sound }

// SetConstant is SetDef for a constant of the element.
func (e Element) SetConstant(c *Constant) error {
	if !e.OK() {
		return fmt.Errorf("fhir: %s of no element", c.def.Name)
	}
	e.set(c.def, c.text, c.data)
	return nil
}

// SetSound is SetDef for a text of which the caller has proof that it is of the element's form and that JSON takes it
// without an escape: neither Validate nor the writer looks at it. A required binding is looked at all the same.
func (e Element) SetSound(d *ElementDef, text string) error {
	if !e.OK() || d.Type.Kind != Primitive || d.Binding != nil {
		return e.SetDef(d, text)
	}
	e.set(d, text, sound)
	return nil
}

// UUID is a urn:uuid: that is of its form, whatever element it is set in.
type UUID struct {
	url  string
	data int32 // sound, or 0 in the zero UUID
}

// MakeUUID gives the urn:uuid: of 16 bytes. Its text goes into a builder, from where it is taken without a copy.
func MakeUUID(b [16]byte, in *strings.Builder) UUID {
	const hex = "0123456789abcdef"
	var text [65]byte // so that no place needs a check
	copy(text[:], urnUUID+"........-....-....-....-")
	for i, c := range b {
		at := uuidPlaces[i] & 63
		text[at], text[at+1] = hex[c>>4], hex[c&15]
	}
	n := in.Len()
	in.Write(text[:len(urnUUID)+36])
	return UUID{in.String()[n:], sound}
}

const urnUUID = "urn:uuid:"

// uuidPlaces are where the bytes of a UUID stand in its text.
var uuidPlaces = [16]uint8{9, 11, 13, 15, 18, 20, 23, 25, 28, 30, 33, 35, 37, 39, 41, 43}

// String gives it with its "urn:uuid:".
func (u UUID) String() string { return u.url }

// SetUUID is SetDef for a UUID.
func (e Element) SetUUID(d *ElementDef, u UUID) error {
	if name := d.Type.Name; u.data != sound || name != "uri" && name != "string" {
		return e.SetDef(d, u.url)
	}
	return e.SetSound(d, u.url)
}

// Fits tells whether a text is of the form of an element, a primitive; its code may yet be outside a required binding.
func (d *ElementDef) Fits(text string) bool { return d.Type.Kind == Primitive && d.Type.lexical(text) }

// Fits tells whether a text is of a primitive's form.
func (t *Type) Fits(text string) bool { return t.Kind == Primitive && t.lexical(text) }

// Refers tells whether one of an element's References, by their definition and that of their reference, names a UUID.
func (e Element) Refers(d, reference *ElementDef, u UUID) bool {
	if !e.OK() {
		return false
	}
	for c := e.n().first; c != 0; c = e.t.nodes[c].next {
		if n := &e.t.nodes[c]; n.def != d || n.first == 0 {
			continue
		}
		if r := (Element{e.t, c}).ChildDef(reference); r.OK() && r.n().text == u.url {
			return true
		}
	}
	return false
}

// fits tells whether a text is of a primitive's form, and whether it is bare: JSON escapes none of it.
func (t *Type) fits(s string) (fits, bare bool) {
	if t.classed == nil {
		return t.lexical(s), t.Name != "base64Binary" && t.Name != "xhtml"
	}
	all := classesOf(s)
	return t.classed(s, all), all&special == 0
}
