package mapping

import (
	"strconv"
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// target is where a rule writes: the way from the map's element down, and the element at its end.
type target struct {
	slot int              // where the invocation keeps it, so that a later rule reaches into it; -1: nowhere
	sole bool             // nothing but the rules with this slot writes it: what is kept there tells all
	def  *fhir.ElementDef // the element written
	way  []step
	top  string // first element of the way, for the check of required ones
}

// step is an element on the way. The first rule that needs it adds it, later ones of the same invocation
// find it in its slot.
type step struct {
	def    *fhir.ElementDef
	slot   int
	index  int            // as the map writes it; -1: none
	url    *fhir.Constant // of an extension: written when it is added
	system string         // an existing element with this system is meant; none is added
	there  bool           // a primitive, which has to have its value: an extension of it is meant
	absent bool           // a primitive that has none: the extension that says why is meant
}

// absentReason is the extension that stands in a primitive in place of its value (FHIR R4, data-absent-reason).
const absentReason = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"

// names are the systems and extensions that maps speak of by name.
type names struct {
	systems    map[string]text
	extensions map[string]extension
	used       map[string]bool
}

// extension is a declared extension: its url and the type of its value.
type extension struct {
	url   text
	value *fhir.ElementDef // valueCode
	at    pos
}

// pathStep is "identifier[0](NHSNumber)" taken apart.
type pathStep struct {
	name, arg string
	index     int // -1: none
	at        pos
}

// stepsOf splits a FHIR path of a map; a fault when it is malformed.
func (c *compiler) stepsOf(t text) ([]pathStep, bool) {
	var out []pathStep
	if strings.HasSuffix(t.s, ".") {
		c.faults.add(t.at.plus(len(t.s)-1), "a path ends with an element")
		return nil, false
	}
	for col := 0; col < len(t.s); {
		word := nextStep(t.s[col:])
		s := pathStep{name: word, index: -1, at: t.at.plus(col)}
		if i := strings.IndexByte(s.name, '('); i >= 0 && strings.HasSuffix(s.name, ")") {
			s.name, s.arg = s.name[:i], s.name[i+1:len(s.name)-1]
		}
		if i := strings.IndexByte(s.name, '['); i >= 0 && strings.HasSuffix(s.name, "]") {
			n, err := strconv.Atoi(s.name[i+1 : len(s.name)-1])
			if err != nil || n < 0 {
				c.faults.add(s.at, "an index is a number from 0: %s", word)
				return nil, false
			}
			s.name, s.index = s.name[:i], n
		}
		out = append(out, s)
		col += len(word) + 1
	}
	return out, len(out) > 0
}

// nextStep gives a path up to its first dot outside parentheses.
func nextStep(path string) string {
	depth := 0
	for i, c := range path {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '.' && depth == 0:
			return path[:i]
		}
	}
	return path
}

// element finds an element of a type by its name in a map; a fault when there is none.
func (c *compiler) element(t *fhir.Type, s pathStep) (*fhir.ElementDef, bool) {
	d, ok := t.Element(s.name)
	if ok {
		return d, true
	}
	known := make([]string, 0, len(t.Elements))
	for _, e := range t.Elements {
		known = append(known, e.Name)
	}
	why := meant(s.name, known)
	if s.name == t.Name && t.Kind == fhir.Resource {
		why = "; the path begins inside the " + t.Name
	}
	if choices := t.Choices(s.name); len(choices) > 0 {
		why = "; a choice is written with its type, such as " + choices[0].Name
	}
	c.faults.add(s.at, "%s has no element %s%s", t.Name, s.name, why)
	return nil, false
}

// target compiles the TO of a rule into FHIR.
func (c *compiler) target(t text, sh *shape) (*target, bool) {
	steps, ok := c.stepsOf(t)
	if !ok {
		return nil, false
	}
	out := &target{slot: -1, top: steps[0].name}
	typ, path := sh.typ, ""
	for i, s := range steps {
		d, ok := c.element(typ, s)
		if !ok {
			return nil, false
		}
		path += "." + s.name + "(" + s.arg + ")"
		if s.index >= 0 {
			path += strconv.Itoa(s.index)
			if !d.Repeats() {
				c.faults.add(s.at, "%s.%s does not repeat: no index", typ.Name, s.name)
				return nil, false
			}
		}
		last := i == len(steps)-1
		if s.arg != "" {
			st, ok := c.argument(d, s, sh, path)
			if !ok {
				return nil, false
			}
			out.way = append(out.way, st)
			typ = d.Type
			if last && st.url != nil {
				out.def, out.top = c.names.extensions[s.arg].value, s.name+"("+s.arg+")"
				path += ".value"
				out.slot = sh.slot(path)
				sh.note(t, steps)
				return out, true
			}
			if last {
				c.faults.add(s.at, "a selected element is on the way: name what is written in it")
				return nil, false
			}
			if st.url != nil {
				sh.guards[st.slot] = true
			}
			continue
		}
		if !last {
			if d.Type.Kind == fhir.Primitive {
				if d.Repeats() || steps[i+1].name != "extension" {
					c.faults.add(s.at, "%s is a %s: nothing is inside it", s.name, d.Type.Name)
					return nil, false
				}
				absent := c.names.extensions[steps[i+1].arg].url.s == absentReason
				out.way = append(out.way, step{def: d, slot: sh.slot(path + "."), index: s.index, there: !absent, absent: absent})
				typ = d.Type
				continue
			}
			out.way = append(out.way, step{def: d, slot: sh.slot(path), index: s.index})
			if d.Type.Demanding() {
				sh.guards[sh.slot(path)] = true
			}
			typ = d.Type
			continue
		}
		out.def = d
		if !d.Repeats() || s.index >= 0 {
			out.slot = sh.slot(path)
		}
	}
	sh.note(t, steps)
	return out, true
}

// argument compiles what stands in parentheses: the name of an extension, or of a system that selects.
func (c *compiler) argument(d *fhir.ElementDef, s pathStep, sh *shape, path string) (step, bool) {
	if s.name == "extension" {
		x, ok := c.names.extensions[s.arg]
		if !ok {
			c.faults.add(s.at, "no extension %s in names.yaml%s", s.arg, meant(s.arg, keys(c.names.extensions)))
			return step{}, false
		}
		c.names.used[s.arg] = true
		def, _ := d.Type.Element("url")
		url, _ := fhir.NewConstant(def, x.url.s) // cannot fail: a primitive
		return step{def: d, slot: sh.slot(path), index: s.index, url: url}, true
	}
	if _, ok := d.Type.Element("system"); !ok {
		c.faults.add(s.at, "%s has no system to select by", d.Type.Name)
		return step{}, false
	}
	sys, ok := c.system(text{s.arg, s.at})
	return step{def: d, slot: sh.slot(path), index: -1, system: sys}, ok
}

// system gives the uri of a named system.
func (c *compiler) system(t text) (string, bool) {
	uri, ok := c.names.systems[t.s]
	if !ok {
		c.faults.add(t.at, "no system %s in names.yaml%s", t.s, meant(t.s, keys(c.names.systems)))
		return "", false
	}
	c.names.used[t.s] = true
	return uri.s, true
}

// reach gives the element the target's last one stands in, adding what is missing on the way. False where a
// selected element is not there.
func (t *target) reach(s *scope) (fhir.Element, bool) {
	el := s.el
	for i := range t.way {
		st := &t.way[i]
		next := s.slots[st.slot]
		if !next.OK() {
			next = st.find(el)
		}
		if st.absent && next.Text() != "" {
			return el, false
		}
		if !next.OK() {
			if st.system != "" || st.there || el.Chosen(st.def) {
				t.prune(s)
				return el, false
			}
			next, _ = el.AddDef(st.def) // cannot fail: find looked for a single one
			if st.url != nil {
				_ = next.SetConstant(st.url) // cannot fail: next is there
			}
		}
		s.slots[st.slot] = next
		el = next
	}
	return el, true
}

// find looks for a step's element among those that another map may have made.
func (st *step) find(el fhir.Element) fhir.Element {
	if st.system == "" && st.def.Repeats() {
		return fhir.Element{}
	}
	if st.system == "" {
		return el.ChildDef(st.def)
	}
	for c := range el.ChildrenDef(st.def) {
		if c.Child("system").Text() == st.system {
			return c
		}
	}
	return fhir.Element{}
}

// gathers tells a target that each run of the map adds to: a repeating element, or an extension.
func (t *target) gathers() bool {
	return t.def.Repeats() || len(t.way) > 0 && t.way[len(t.way)-1].url != nil && t.way[len(t.way)-1].index < 0
}

// taken tells whether a single element has its value already: the first rule that has one wins.
func (t *target) taken(s *scope) bool {
	if t.slot < 0 {
		return false
	}
	if s.slots[t.slot].OK() {
		return true
	}
	if t.sole && s.fresh || t.def.Repeats() {
		return false
	}
	el := s.el
	for i := range t.way {
		next := s.slots[t.way[i].slot]
		if !next.OK() {
			next = t.way[i].find(el)
		}
		if !next.OK() {
			return false
		}
		el = next
	}
	return el.ChildDef(t.def).OK() || el.Chosen(t.def)
}

// prune takes away the elements on the way that a failed rule has left empty.
func (t *target) prune(s *scope) {
	for i := len(t.way) - 1; i >= 0; i-- {
		el := s.slots[t.way[i].slot]
		if !el.OK() {
			continue
		}
		if t.way[i].there {
			return
		}
		for c := range el.Children("") {
			if url := t.way[i].url; url == nil || c.Def() != url.Def() {
				return
			}
		}
		el.Remove()
		s.slots[t.way[i].slot] = fhir.Element{}
	}
}
