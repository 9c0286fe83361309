package fhir

import (
	"strings"

	"github.com/dermgate/dermgate/mapping/issue"
)

// mostFaults is where the validator and the reader stop counting: nobody reads further, and a hostile
// message must not make a list longer than itself.
const mostFaults = 100

// Validate checks a resource against the schema: required elements, empty ones, the form of primitives,
// codes of required bindings, choices given twice, the types that references may point at, the invariants
// that matter here (see invariant.go) and, in a Bundle, that its references to one of its own lead
// somewhere. Places are FHIR paths. Unknown elements and cardinality cannot be wrong in a tree: Add refuses
// them and Read reports them. It stops at 100 issues.
func Validate(e Element) issue.List {
	if !e.OK() {
		return nil
	}
	var v validator
	v.resource(e, e)
	return v.issues
}

type validator struct {
	issues  issue.List
	bundle  *index // of the innermost Bundle; nil outside one
	message bool   // that Bundle is a message: nothing but it can be asked for what it refers to
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

// resource validates a resource; root is the one that its "#id" references look in.
func (v *validator) resource(e, root Element) {
	if e.n().typ.Name != "Bundle" {
		v.object(e, root)
		return
	}
	outer, message := v.bundle, v.message
	v.bundle, v.message = v.index(e), e.Child("type").Text() == "message"
	v.object(e, root)
	v.bundle, v.message = outer, message
}

// object validates an element that is not primitive.
func (v *validator) object(e, root Element) {
	n := e.n()
	if n.first == 0 && n.def != nil {
		v.fault(issue.Value, e, "", "an empty element")
		return
	}
	for _, d := range n.typ.required {
		if !present(e, d) {
			v.fault(issue.Required, e, d.shown(), "required")
		}
	}
	if n.typ.Name == "Reference" {
		v.reference(e, root)
	}
	for _, r := range n.typ.rules {
		r(v, e)
	}
	v.children(e, root)
}

// children validates what stands in an element, in one pass: repetitions and the forms of a choice are
// neighbours.
func (v *validator) children(e, root Element) {
	var before *ElementDef
	for i := e.n().first; i != 0 && !v.full(); {
		c := Element{e.t, i}
		n := c.n()
		i = n.next
		if before != nil && before != n.def && n.def.Choice != "" && before.Choice == n.def.Choice {
			v.fault(issue.Structure, c, "", "a choice given twice")
		}
		before = n.def
		switch {
		case n.typ.Kind == Primitive:
			v.primitive(c)
		case n.typ.Kind != Resource:
			v.object(c, root)
		case n.def.Name == "contained":
			v.resource(c, root)
		default:
			v.resource(c, c)
		}
	}
}

// shown is the element's name as the specification writes it: value[x].
func (d *ElementDef) shown() string {
	if d.Choice != "" {
		return d.Choice + "[x]"
	}
	return d.Name
}

func present(e Element, d *ElementDef) bool {
	for c := e.n().first; c != 0; c = e.t.nodes[c].next {
		if got := e.t.nodes[c].def; got == d || d.Choice != "" && got.Choice == d.Choice {
			return true
		}
	}
	return false
}

func (v *validator) primitive(e Element) {
	n := e.n()
	switch {
	case n.data != 0: // streamed: the writer makes its base64
	case n.text == "" && n.first == 0:
		v.fault(issue.Value, e, "", "an empty value")
	case n.text == "": // extensions instead of a value
	case !n.typ.lexical(n.text):
		v.fault(issue.Value, e, "", "not of the form of a "+n.typ.Name)
	case !n.def.Allows(n.text):
		v.fault(issue.Code, e, "", "a code outside its required value set"+near(n.text, n.def.Binding.Codes))
	}
	if n.first != 0 {
		v.children(e, e)
	}
}

// near suggests a code; it names codes of the standard only, never the value.
func near(got string, codes []string) string {
	if len(codes) <= 8 {
		return ": want one of " + strings.Join(codes, ", ")
	}
	if s := Nearest(got, codes); s != "" {
		return ": did you mean " + s + "?"
	}
	return ""
}
