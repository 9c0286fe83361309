package fhir

import (
	"strconv"
	"strings"

	"github.com/dermgate/dermgate/mapping/issue"
)

// defaultNesting is deeper than any R4 resource needs; what is deeper is an attack (191 KB of brackets took
// google/fhir 4.5 s).
const defaultNesting = 64

// ReadOptions for Read.
type ReadOptions struct {
	MaxNesting int  // objects and arrays within each other; 0: 64
	NoJudge    bool // skip google/fhir's second opinion
}

// Read reads a resource from JSON, strictly: no unknown, duplicate or wrongly cased key, no byte order
// mark, no trailing bytes, no lone surrogate, no nesting beyond the limit. Everything is kept: primitive
// extensions, contained resources, the text of decimals. google/fhir then gives a second opinion. Any
// error issue means that the element must not be used. What Validate checks is not checked here.
//
// The tree shares one copy of b, which lives as long as it does. Time is linear in len(b); it stops at 100
// issues.
func Read(b []byte, o ReadOptions) (Element, issue.List) {
	if o.MaxNesting <= 0 {
		o.MaxNesting = defaultNesting
	}
	r := reader{scanner: scanner{s: string(b), most: o.MaxNesting}, t: NewTree()}
	root := r.document()
	if r.syntax != nil {
		return Element{}, append(issue.List{r.syntax}, r.issues...)
	}
	if r.issues.Worst() == nil && !o.NoJudge {
		r.issues = append(r.issues, judge(root, o.MaxNesting)...)
	}
	return root, r.issues
}

// reader builds a tree from JSON after the schema. What is wrong with the content is gathered in issues.
type reader struct {
	scanner
	t      *Tree
	issues issue.List
}

func (r *reader) fault(k issue.Kind, where, text string) {
	r.issues = append(r.issues, issue.New(k, where, text))
	if len(r.issues) >= mostFaults {
		r.fail("too many faults to read on")
	}
}

func (r *reader) document() Element {
	if strings.HasPrefix(r.s, "\xef\xbb\xbf") {
		r.fail("a byte order mark is no JSON")
		return Element{}
	}
	typ := r.resourceType()
	if r.syntax != nil {
		return Element{}
	}
	root, err := r.t.NewResource(typ)
	if err != nil {
		r.syntax = issue.New(issue.UnsupportedType, "resourceType", "no resource type of FHIR R4")
		return Element{}
	}
	r.object(root)
	if r.peek(); r.i < len(r.s) {
		r.fail("something follows the resource")
	}
	return root
}

// resourceType looks ahead for the resourceType of the object that begins here: it need not come first.
// Where it comes last, what is before it is scanned once more for every resource around it.
func (r *reader) resourceType() string {
	ahead := r.scanner
	typ, found := "", false
	if ahead.open('{') {
		for n := 0; !found && ahead.more('}', n); n++ {
			if found = ahead.key() == "resourceType"; !found {
				ahead.skip()
			} else if ahead.peek() == '"' {
				typ = ahead.str()
			}
		}
		if typ == "" {
			ahead.fail("a resource without resourceType")
		}
	}
	r.syntax = ahead.syntax
	return typ
}

// seen remembers the keys of one object, by the place of the element: birthDate and _birthDate.
type seen struct {
	value, beside [8]uint64 // no type of R4 has more than 512 elements
	resourceType  bool
}

// first tells whether a key stands for the first time.
func (s *seen) first(d *ElementDef, beside bool) bool {
	set := &s.value
	if beside {
		set = &s.beside
	}
	word, bit := &set[d.at/64], uint64(1)<<(d.at%64)
	fresh := *word&bit == 0
	*word |= bit
	return fresh
}

// object reads the members of an object into an element.
func (r *reader) object(e Element) {
	if !r.open('{') {
		return
	}
	var s seen
	n := 0
	for ; r.more('}', n); n++ {
		if key := r.key(); r.syntax == nil {
			r.member(e, key, &s)
		}
	}
	if n == 0 && r.syntax == nil {
		r.fault(issue.Value, e.Path(), "an empty object")
	}
	r.close('}')
}

func (r *reader) member(e Element, key string, s *seen) {
	if key == "resourceType" && e.Type().Kind == Resource {
		if s.resourceType {
			r.fault(issue.Structure, e.Path()+".resourceType", "the key stands twice")
		}
		s.resourceType = true
		r.skip()
		return
	}
	name, beside := strings.CutPrefix(key, "_")
	d, ok := e.Type().Element(name)
	if !ok || beside && d.Type.Kind != Primitive {
		r.fault(issue.Structure, e.Path()+"."+safe(key), "unknown element"+meant(name, e.Type()))
		r.skip()
		return
	}
	m := member{e, d, beside}
	switch {
	case !s.first(d, beside):
		r.fault(issue.Structure, m.path(-1), "the key stands twice")
		r.skip()
	case d.Repeats():
		r.array(m)
	default:
		r.value(m, e.childOf(d), Element{}, -1)
	}
}

// member is a key of an object: the definition it names, and whether it is the "_name" beside a primitive.
type member struct {
	parent Element
	def    *ElementDef
	beside bool
}

// path names the k-th repetition, or the member itself when k is negative.
func (m member) path(k int) string {
	p := m.parent.Path() + "."
	if m.beside {
		p += "_"
	}
	p += m.def.Name
	if k >= 0 {
		p += "[" + strconv.Itoa(k) + "]"
	}
	return p
}

func (r *reader) array(m member) {
	if r.peek() != '[' {
		r.fault(issue.Structure, m.path(-1), "want an array")
		r.skip()
		return
	}
	if !r.open('[') {
		return
	}
	// "given" and "_given" meet in one row of elements: at is the one that the other key made, or none.
	at, last := m.parent.Child(m.def.Name), Element{}
	n := 0
	for ; r.more(']', n); n++ {
		last = r.value(m, at, last, n)
		at = last.following()
	}
	if n == 0 && r.syntax == nil {
		r.fault(issue.Value, m.path(-1), "an empty array")
	}
	r.close(']')
}

// value reads the k-th value of a member (-1: the only one) into at, or where that is none into a new
// element behind last. It returns the element, none after a fault.
func (r *reader) value(m member, at, last Element, k int) Element {
	switch {
	case m.def.Type.Kind == AnyResource:
		return r.nested(m, last, k)
	case m.def.Type.Kind == Primitive && !m.beside:
		return r.primitive(m, at, last, k)
	case m.beside && k >= 0 && r.peek() == 'n' && r.literal() == "null":
		return r.slot(m, at, last)
	case r.peek() != '{':
		r.fault(issue.Structure, m.path(k), "want an object")
		r.skip()
		return Element{}
	}
	e := r.slot(m, at, last)
	r.object(e)
	return e
}

// slot gives at, or where that is none a new element behind last.
func (r *reader) slot(m member, at, last Element) Element {
	if at.OK() {
		return at
	}
	return r.add(m, m.def.Type, last)
}

func (r *reader) add(m member, typ *Type, last Element) Element {
	if last.OK() {
		return m.parent.insertAfter(last.i, m.def, typ)
	}
	return m.parent.insert(m.def, typ)
}

func (r *reader) nested(m member, last Element, k int) Element {
	if r.peek() != '{' {
		r.fault(issue.Structure, m.path(k), "want a resource")
		r.skip()
		return Element{}
	}
	typ := r.resourceType()
	if r.syntax != nil {
		return Element{}
	}
	rt, ok := R4().Resource(typ)
	if !ok {
		r.fault(issue.UnsupportedType, m.path(k), "no resource type of FHIR R4")
		r.skip()
		return Element{}
	}
	e := r.add(m, rt, last)
	r.object(e)
	return e
}

func (r *reader) primitive(m member, at, last Element, k int) Element {
	typ := m.def.Type
	switch r.peek() {
	case '"':
		if typ.form != quoted {
			r.fault(issue.Value, m.path(k), "a "+typ.Name+" is not written in quotes")
		}
		text := r.str()
		if text == "" && r.syntax == nil {
			r.fault(issue.Value, m.path(k), "an empty value")
		}
		return r.filled(m, at, last, text)
	case '{', '[':
		r.fault(issue.Structure, m.path(k), "want a "+typ.Name)
		r.skip()
		return Element{}
	}
	text := r.literal()
	switch is := literalForm(text); {
	case r.syntax != nil:
		return Element{}
	case text == "null" && k >= 0:
		return r.slot(m, at, last)
	case is == quoted || is != typ.form:
		r.fault(issue.Value, m.path(k), "want a "+typ.Name)
		return Element{}
	}
	return r.filled(m, at, last, text)
}

// literalForm tells a number from a boolean; null, which is neither, is quoted.
func literalForm(text string) form {
	switch text {
	case "true", "false":
		return boolean
	case "null":
		return quoted
	}
	return number
}

func (r *reader) filled(m member, at, last Element, text string) Element {
	e := r.slot(m, at, last)
	e.n().text = text
	return e
}

// safe keeps an unknown key out of answers unless it looks like an element's name.
func safe(key string) string {
	for _, c := range key {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_') {
			return "(key)"
		}
	}
	if len(key) > 40 {
		return "(key)"
	}
	return key
}

// meant suggests the element that an unknown key most likely was to be.
func meant(name string, t *Type) string {
	names := make([]string, len(t.Elements))
	for i, d := range t.Elements {
		names[i] = d.Name
	}
	if n := issue.Nearest(name, names); n != "" {
		return ": did you mean " + n + "?"
	}
	return ""
}
