package mapping

import (
	"regexp"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// walk is a compiled FHIR path that is read: elements by name, through references, picked by system, code or
// extension. It may begin at a resource of the Bundle.
type walk struct {
	word  string // as the map writes it
	from  string // resource type it begins at; "" at the scope's own element
	steps []walkStep
	typ   *fhir.Type // of what it leads to
	many  bool       // may lead to several elements
}

// walkStep is one step of a walk.
type walkStep struct {
	name    string
	index   int    // -1: all
	resolve bool   // the element is a Reference: go on in what it names
	target  string // type the Reference must name; "" any
	url     string // of an extension: go on in its value
	system  string // the element must have it
	code    string // its type or code must have it
}

// fhirPlace is what looks like a FHIR path in an expression.
var fhirPlace = regexp.MustCompile(`\b[A-Za-z][A-Za-z0-9]*(\([A-Za-z0-9-]+\))?(\[[0-9]+\])?(\.[a-z][A-Za-z0-9]*(\([A-Za-z0-9-]+\))?(\[[0-9]+\])?)*`)

// walk compiles a path to read, from the map's own type or from a resource of the Bundle.
func (c *compiler) walk(t text, typ *fhir.Type) (*walk, bool) {
	steps, ok := c.stepsOf(t)
	if !ok {
		return nil, false
	}
	w := &walk{word: t.s}
	if rt, is := c.schema.Resource(steps[0].name); is {
		w.from, typ, steps = steps[0].name, rt, steps[1:]
	}
	types := []*fhir.Type{typ}
	for i, s := range steps {
		st := walkStep{name: s.name, index: s.index}
		d, ok := c.anyElement(types, s)
		if !ok {
			return nil, false
		}
		types = []*fhir.Type{d.Type}
		if s.arg != "" && !c.pick(&st, d, s) {
			return nil, false
		}
		if st.url != "" {
			types = []*fhir.Type{c.names.extensions[s.arg].value.Type}
		}
		if d.Type.Name == "Reference" && (st.resolve || i < len(steps)-1 && !has(d.Type, steps[i+1].name)) {
			st.resolve = true
			types = c.targets(d, st.target)
		}
		if d.Repeats() && s.index < 0 {
			w.many = true
		}
		if s.arg != "" {
			w.many = false
		}
		w.steps = append(w.steps, st)
	}
	w.typ = types[0]
	return w, true
}

func has(t *fhir.Type, name string) bool { _, ok := t.Element(name); return ok }

// anyElement finds an element in any of several types; the fault names the first.
func (c *compiler) anyElement(types []*fhir.Type, s pathStep) (*fhir.ElementDef, bool) {
	for _, t := range types {
		if d, ok := t.Element(s.name); ok {
			return d, true
		}
	}
	return c.element(types[0], s)
}

// targets gives the types that a Reference may name.
func (c *compiler) targets(d *fhir.ElementDef, only string) []*fhir.Type {
	names := d.Targets
	if only != "" {
		names = []string{only}
	} else if names == nil {
		names = c.schema.ResourceNames()
	}
	var out []*fhir.Type
	for _, n := range names {
		if t, ok := c.schema.Resource(n); ok {
			out = append(out, t)
		}
	}
	return out
}

// pick compiles what stands in parentheses of a step that is read.
func (c *compiler) pick(st *walkStep, d *fhir.ElementDef, s pathStep) bool {
	switch {
	case s.name == "extension":
		x, ok := c.names.extensions[s.arg]
		if !ok {
			c.faults.add(s.at, "no extension %s in names.yaml%s", s.arg, meant(s.arg, keys(c.names.extensions)))
			return false
		}
		c.names.used[s.arg] = true
		st.url = x.url.s
	case d.Type.Name == "Reference":
		if _, ok := c.schema.Resource(s.arg); !ok || d.Targets != nil && !slices.Contains(d.Targets, s.arg) {
			c.faults.add(s.at, "%s may not point at a %s; want %s", s.name, s.arg, strings.Join(d.Targets, ", "))
			return false
		}
		st.resolve, st.target = true, s.arg
	case has(d.Type, "system") && (c.names.systems[s.arg].s != "" || !has(d.Type, "type")):
		uri, ok := c.system(text{s.arg, s.at})
		st.system = uri
		return ok
	case has(d.Type, "type") || has(d.Type, "code"):
		st.code = s.arg
	default:
		c.faults.add(s.at, "%s has neither system, type nor code to pick by", d.Type.Name)
		return false
	}
	return true
}

// each calls yield with every element the walk leads to, until it says stop.
func (w *walk) each(s *scope, yield func(fhir.Element) bool) {
	if w.from == "" {
		w.down(s, s.node, 0, yield)
		return
	}
	for r := range s.out.bundle.All(w.from) {
		if !w.down(s, r, 0, yield) {
			return
		}
	}
}

// down goes on from an element at a step; false when yield has said stop.
func (w *walk) down(s *scope, el fhir.Element, i int, yield func(fhir.Element) bool) bool {
	if i == len(w.steps) {
		return yield(el)
	}
	st := &w.steps[i]
	n := 0
	for c := range el.Children(st.name) {
		if !st.takes(c) {
			continue
		}
		if n++; st.index >= 0 && n-1 != st.index {
			continue
		}
		next := c
		switch {
		case st.resolve:
			next = s.out.bundle.Resolve(c.Child("reference").Text())
			if !next.OK() || st.target != "" && next.Type().Name != st.target {
				continue
			}
		case st.url != "":
			next = extensionValue(c)
		}
		if !w.down(s, next, i+1, yield) {
			return false
		}
	}
	return true
}

// takes tells whether an element is one that the step picks.
func (st *walkStep) takes(c fhir.Element) bool {
	switch {
	case st.url != "":
		return c.Child("url").Text() == st.url
	case st.system != "":
		return c.Child("system").Text() == st.system
	case st.code != "":
		for _, name := range [...]string{"type", "code"} {
			for coding := range c.Child(name).Children("coding") {
				if coding.Child("code").Text() == st.code {
					return true
				}
			}
		}
		return false
	}
	return true
}

// extensionValue gives the value[x] of an extension.
func extensionValue(x fhir.Element) fhir.Element {
	for c := range x.Children("") {
		if c.Def().Choice == "value" {
			return c
		}
	}
	return fhir.Element{}
}

// first gives the first element a walk leads to.
func (w *walk) first(s *scope) fhir.Element {
	var found fhir.Element
	w.each(s, func(e fhir.Element) bool { found = e; return false })
	return found
}

// variable lets an expression read the text a walk leads to, "" for none.
func (w *walk) variable() variable {
	return variable{text: func(s *scope) string { return w.first(s).Text() }}
}
