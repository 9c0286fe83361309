package fhir

import (
	"strings"
	"sync"

	"github.com/dermgate/dermgate/mapping/issue"
)

// mostFaults is where the validator and the reader stop counting: nobody reads further, and a hostile
// message must not make a list longer than itself.
const mostFaults = 100

// Validate checks a resource against the schema: required elements, empty ones, the form of primitives,
// codes of required bindings, choices given twice, the types that references may point at, the invariants
// that matter here (see invariant.go) and, in a Bundle, that its references to one of its own lead
// somewhere. Places are FHIR paths. Unknown elements and cardinality cannot be wrong in a tree: Add refuses
// them and Read reports them. It stops at 100 issues. What it finds sound it notes in the tree, for itself and
// for the writer.
func Validate(e Element) issue.List {
	if !e.OK() {
		return nil
	}
	v, _ := validators.Get().(*validator)
	if v == nil {
		v = new(validator)
	}
	v.root = e
	v.resource(e)
	v.root = Element{}
	found := v.issues
	v.issues = nil
	validators.Put(v)
	return found
}

// validators are used again for the memory of their indexes.
var validators sync.Pool

type validator struct {
	issues  issue.List
	spare   *index  // not in use
	root    Element // the resource that "#id" references look in
	bundle  *index  // of the innermost Bundle; nil outside one
	message bool    // that Bundle is a message: nothing but it can be asked for what it refers to
}

// fault reports trouble with a child of e, or with e itself when name is "".
func (v *validator) fault(k issue.Kind, e Element, name, text string) {
	if v.full() {
		return
	}
	where := e.Path()
	if name != "" {
		where += "." + name
	}
	v.issues = append(v.issues, issue.New(k, where, text))
}

func (v *validator) full() bool { return len(v.issues) >= mostFaults }

// resource validates a resource.
func (v *validator) resource(e Element) {
	if e.n().typ.Name != "Bundle" {
		v.object(e)
		return
	}
	outer, message := v.bundle, v.message
	v.bundle, v.message = v.index(e), e.Child("type").Text() == "message"
	v.object(e)
	v.done(v.bundle)
	v.bundle, v.message = outer, message
}

// object validates an element that is not primitive.
func (v *validator) object(e Element) {
	n := e.n()
	if n.first == 0 && n.def != nil {
		v.fault(issue.Value, e, "", "an empty element")
		return
	}
	typ := n.typ
	if typ.needs&^n.has != 0 {
		v.lacking(e, n.has)
	}
	if typ.ruled {
		v.rules(e)
	}
	v.children(e)
}

// rules holds an element against what its type asks for beside its required elements.
func (v *validator) rules(e Element) {
	typ, has := e.n().typ, e.n().has
	if typ.refers != nil {
		v.reference(e)
	}
	for i := range typ.ties {
		if t := &typ.ties[i]; t.broken(has) {
			v.fault(issue.Required, e, t.lacks.Shown(), t.text)
		}
	}
	if typ.lack != nil {
		if d, why := typ.lack(e, has); d != nil {
			v.fault(issue.Required, e, d.Shown(), why)
		}
	}
	if typ.clash != nil {
		if child, why := typ.clash(e, has); child.OK() {
			v.fault(issue.Structure, child, "", why)
		}
	}
	for _, r := range typ.rules {
		r(v, e, has)
	}
}

// children validates what stands in an element, in one pass: repetitions and the forms of a choice are
// neighbours.
func (v *validator) children(e Element) {
	nodes := e.t.nodes
	var before *ElementDef
	for i := nodes[e.i].first; i != 0; {
		n := &nodes[i]
		c := Element{e.t, i}
		i = n.next
		if d := n.def; d != before {
			if before != nil && d.mask == before.mask {
				v.fault(issue.Structure, c, "", "a choice given twice")
			}
			before = d
		}
		switch {
		case n.data == sound && n.first == 0: // as most are
			continue
		case n.typ.Kind == Primitive:
			v.primitive(c)
		case n.typ.Kind != Resource:
			v.object(c)
		case n.def.Name == "contained":
			v.resource(c)
		default:
			outer := v.root
			v.root = c
			v.resource(c)
			v.root = outer
		}
		if v.full() {
			return
		}
	}
}

// Shown is the element's name as the specification writes it: value[x].
func (d *ElementDef) Shown() string {
	if d.Choice != "" {
		return d.Choice + "[x]"
	}
	return d.Name
}

// present is a set of elements of one type by their order: the forms of a choice are one element.
type present uint64

func (d *ElementDef) bit() present { return d.mask }

// Lacking gives the first element that is missing, required as such or beside another one that is there; nil when none
// is.
func (e Element) Lacking() *ElementDef {
	typ := e.n().typ
	if typ.needs == 0 && len(typ.ties) == 0 && typ.lack == nil {
		return nil
	}
	has := e.n().has
	d, _ := typ.missing(has)
	if d == nil && typ.lack != nil {
		d, _ = typ.lack(e, has)
	}
	return d
}

// lacking reports the required elements that are not there.
func (v *validator) lacking(e Element, has present) {
	for _, d := range e.n().typ.required {
		if d.bit()&has == 0 {
			v.fault(issue.Required, e, d.Shown(), "required")
		}
	}
}

func (v *validator) primitive(e Element) {
	n := e.n()
	switch {
	case n.data != 0: // sound, or streamed: the writer makes its base64
	case n.text == "" && n.first == 0:
		v.fault(issue.Value, e, "", "an empty value")
	case n.text == "": // extensions instead of a value
	default:
		v.text(e)
	}
	if n.first != 0 {
		v.children(e)
	}
}

func (v *validator) text(e Element) {
	n := e.n()
	fits, bare := n.typ.fits(n.text)
	switch {
	case !fits:
		v.fault(issue.Value, e, "", "not of the form of a "+n.typ.Name)
	case !n.def.Allows(n.text):
		v.fault(issue.Code, e, "", "a code outside its required value set"+near(n.text, n.def.Binding.Codes))
	case bare:
		n.data = sound
	}
}

// near suggests a code; it names codes of the standard only, never the value.
func near(got string, codes []string) string {
	if len(codes) <= 8 {
		return ": want one of " + strings.Join(codes, ", ")
	}
	if s := issue.Nearest(got, codes); s != "" {
		return ": did you mean " + s + "?"
	}
	return ""
}
