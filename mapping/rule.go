package mapping

import (
	"slices"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// rule is one compiled FROM -> TO: HOW into FHIR. What tells that a rule has nothing to do stands first: most
// rules are left there.
type rule struct {
	field   int // from is this field of the map's own segment, and no note: it is found without a search; 0: no
	part    int // from is in this component of the value that a data type map is about; 0: no
	missing *missing
	to      target
	from    *place // where it reads; nil when value is set
	when    *expr
	value   *expr
	write   writer
	join    bool // all values are one
	set     []constant
	slots   int // of set
	pos     pos
}

// writer puts the scope's input into the target; false when nothing could be written.
type writer func(r *rule, s *scope) bool

// input is a value on its way: from a place of the message, or computed.
type input struct {
	v    hl7.Value
	path hl7.Path
	text string   // when computed
	from []string // places it was computed from, for a trace
}

// constant is written beside what a rule writes.
type constant struct {
	to   target
	text string
}

// missing is the issue for a rule that found nothing.
type missing struct{ severity issue.Severity }

// program is one compiled map of a segment or data type.
type program struct {
	src     *source
	segment bool // reads a segment, not a data type
	typ     *fhir.Type
	slots   int
	rules   []rule
	checks  []*check
	guards  []guard
}

// guard is an element on the way of some rule, and what it must have to be valid.
type guard struct {
	slot int
	must []*fhir.ElementDef
}

// check is a compiled condition that means trouble.
type check struct {
	place place
	when  *expr
	issue issue.Issue
}

// invoke runs a map on an element, in the scope of its caller but for what differs.
func (p *program) invoke(s *scope) {
	base := len(s.run.slots)
	s.slots = s.run.push(p.slots)
	first := len(s.run.parts)
	if p.segment {
		s.fields = s.run.fields(s.seg)
	} else {
		s.parts = s.run.split(s.value, s.deep)
	}
	for i := range p.rules {
		p.rules[i].run(s)
	}
	for _, c := range p.checks {
		c.run(s)
	}
	for _, g := range p.guards {
		g.hold(s)
	}
	s.run.slots, s.run.parts = s.run.slots[:base], s.run.parts[:first]
}

// hold takes an element away that has not become valid, and says so.
func (g *guard) hold(s *scope) {
	el := s.slots[g.slot]
	if !el.OK() || !el.Parent().OK() {
		return
	}
	if name := lacking(el, g.must); name != "" {
		s.run.issues = append(s.run.issues, issue.Warn(issue.Required, s.seg.Path(0).String(),
			"no "+el.Type().Name+" could be made: its "+name+" is missing"))
		el.Remove()
	}
}

// split gives the parts a data type map reads: components, or the sub-components of a component.
func (r *run) split(v hl7.Value, deep bool) []hl7.Value {
	base := len(r.parts)
	if deep {
		for _, c := range v.EachSubcomponent() {
			r.parts = append(r.parts, c)
		}
	} else {
		for _, c := range v.EachComponent() {
			r.parts = append(r.parts, c)
		}
	}
	return r.parts[base:len(r.parts):len(r.parts)]
}

func (c *check) run(s *scope) {
	if !c.when.yes(s) {
		return
	}
	_, at := c.place.value(s)
	found := c.issue
	found.Where = at.String()
	s.run.issues = append(s.run.issues, &found)
}

// run tries the rule in a scope.
func (r *rule) run(s *scope) {
	if r.empty(s) && r.missing == nil || r.to.taken(s) {
		return
	}
	wrote := false
	if r.value != nil {
		wrote = r.computed(s)
	} else {
		wrote = r.placed(s)
	}
	if !wrote && r.missing != nil && (r.when == nil || r.when.yes(s)) {
		s.run.missed(r, s)
	}
}

// empty tells at once that there is nothing at the rule's place, as at most places of most messages.
func (r *rule) empty(s *scope) bool {
	switch {
	case r.field > 0:
		return r.field > len(s.fields) || len(s.fields[r.field-1].Raw()) == 0
	case r.part > 0:
		return r.part > len(s.parts) || len(s.parts[r.part-1].Raw()) == 0
	}
	p := r.from
	if p == nil || p.everywhere {
		return false
	}
	if p.segment == "" {
		return len(s.value.Raw()) == 0
	}
	return s.seg.Is(p.segment) && len(s.run.field(s.seg, p.field).Raw()) == 0
}

func (r *rule) computed(s *scope) bool {
	if r.when != nil && !r.when.yes(s) {
		return false
	}
	s.in = input{text: r.value.str(s)}
	if s.run.trace != nil {
		s.in.from = r.value.places(s)
	}
	if s.in.text == "" || !r.put(s) {
		return false
	}
	r.value.carried(s)
	return true
}

// placed goes over the values of the place. Each is the current repetition of its field while the condition
// and the rule look at it.
func (r *rule) placed(s *scope) bool {
	if r.join {
		s.in = input{}
		return r.put(s)
	}
	p := r.from
	if p.segment == "" {
		v, at := p.inside(s)
		return r.one(s, v, at)
	}
	wrote := false
	many := r.to.def.Repeats() && r.to.slot < 0
	seg, field, value, path := s.seg, s.field, s.value, s.path
	if r.field > 0 || !many && !p.everywhere && seg.Is(p.segment) {
		current := p.rep == 0 && field == p.field && !(many && p.every)
		from, to := p.rep, p.rep
		if p.rep == 0 {
			from, to = 1, 1
			if many && !current {
				to = s.run.field(seg, p.field).Repetitions()
			}
		}
		for n := from; n <= to; n++ {
			if !current {
				s.field, s.value, s.path = p.field, s.run.repetition(seg, p.field, n), seg.Path(p.field).Repeat(n)
			}
			v, at := p.part(s.value, s.path)
			wrote = r.one(s, v, at) || wrote
		}
		s.field, s.value, s.path = field, value, path
		return wrote
	}
	for c := r.from.cursor(s, many); c.next(); {
		if c.seg.OK() {
			s.seg, s.field, s.value, s.path = c.seg, r.from.field, c.whole, c.at
		}
		if r.when == nil || r.when.yes(s) {
			s.in = input{v: c.value, path: c.path}
			wrote = r.put(s) || wrote
		}
		s.seg, s.field, s.value, s.path = seg, field, value, path
		if wrote && !many {
			break
		}
	}
	return wrote
}

// one writes a single value, if there is one and the condition holds.
func (r *rule) one(s *scope, v hl7.Value, at hl7.Path) bool {
	if !v.Valued() || r.when != nil && !r.when.yes(s) {
		return false
	}
	s.in = input{v: v, path: at}
	return r.put(s)
}

// put writes the scope's input and what is set beside it.
func (r *rule) put(s *scope) bool {
	if !r.write(r, s) {
		return false
	}
	s.run.writes++
	if r.when != nil && !r.join {
		r.when.carried(s)
	}
	if len(r.set) == 0 {
		return true
	}
	el, slots, base := s.el, s.slots, len(s.run.slots)
	s.el, _ = r.to.reach(s)
	if r.to.def.Type.Kind != fhir.Primitive {
		s.el = last(s.el, r.to.def)
	}
	s.slots = s.run.push(r.slots)
	for i := range r.set {
		k := &r.set[i]
		if k.to.taken(s) {
			continue
		}
		if at, ok := k.to.reach(s); ok {
			_ = at.SetDef(k.to.def, k.text) // cannot fail: compiled to a primitive
			s.run.traced(r, at, k.to.def, &s.in)
		}
	}
	s.el, s.slots, s.run.slots = el, slots, s.run.slots[:base]
	return true
}

// last gives the child of a definition that was added last.
func last(el fhir.Element, d *fhir.ElementDef) fhir.Element {
	var found fhir.Element
	for c := range el.ChildrenDef(d) {
		found = c
	}
	return found
}

// setText writes a primitive at the rule's target.
func (r *rule) setText(s *scope, text string) bool {
	el, ok := r.to.reach(s)
	if !ok {
		return false
	}
	if err := el.SetDef(r.to.def, text); err != nil {
		return false
	}
	if r.to.slot >= 0 && !r.to.def.Repeats() {
		s.slots[r.to.slot] = el
	}
	s.run.use(s.in.v)
	s.run.traced(r, el, r.to.def, &s.in)
	return true
}

// add adds a complex element at the rule's target.
func (r *rule) add(s *scope) (fhir.Element, bool) {
	el, ok := r.to.reach(s)
	if !ok {
		return el, false
	}
	child, err := el.AddDef(r.to.def)
	if err != nil {
		return el, false
	}
	if r.to.slot >= 0 {
		s.slots[r.to.slot] = child
	}
	return child, true
}

// setElement adds a complex element at the rule's target and lets fill it; it is taken away again when
// nothing came.
func (r *rule) setElement(s *scope, fill func(fhir.Element) bool) bool {
	el, ok := r.to.reach(s)
	if !ok {
		return false
	}
	child, err := el.AddDef(r.to.def)
	if err != nil {
		return false
	}
	if !fill(child) {
		child.Remove()
		r.to.prune(s)
		return false
	}
	if r.to.slot >= 0 {
		s.slots[r.to.slot] = child
	}
	return true
}

// push gives n fresh slots on the stack of slots.
func (r *run) push(n int) []fhir.Element {
	base := len(r.slots)
	r.slots = slices.Grow(r.slots, n)[:base+n]
	clear(r.slots[base:])
	return r.slots[base : base+n : base+n]
}

// scope gives a fresh scope that sees what its parent sees.
func (r *run) scope(parent *scope) *scope {
	if n := len(r.scopes); n > 0 {
		s := r.scopes[n-1]
		r.scopes = r.scopes[:n-1]
		*s = *parent
		return s
	}
	s := new(scope)
	*s = *parent
	return s
}

// done gives a scope back.
func (r *run) done(s *scope) { r.scopes = append(r.scopes, s) }

// missed reports a rule that had to find something and did not.
func (r *run) missed(rule *rule, s *scope) {
	found := &issue.Issue{Kind: issue.Required, Severity: rule.missing.severity, Text: "required and absent"}
	if rule.from != nil {
		_, at := rule.from.value(s)
		found.Where = at.String()
		if found.Where == "" {
			found.Where = rule.from.String()
		}
		if v, _ := rule.from.value(s); v.Valued() {
			if rule.missing.severity == issue.Warning {
				return // its conversion or table has told
			}
			found.Kind, found.Text = issue.Code, "not a value this gateway knows"
		}
	} else if rule.value != nil {
		for _, v := range rule.value.reads {
			if v.name == "kind" && r.kind.trouble != nil {
				found = r.kind.trouble
			}
		}
	}
	r.issues = append(r.issues, found)
}
