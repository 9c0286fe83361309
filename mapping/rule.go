package mapping

import (
	"slices"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// rule is one compiled FROM -> TO: HOW into FHIR. A message runs some hundred rules once each: what all of them ask
// for stands first, so that the processor fetches little of each.
type rule struct {
	field   int32      // from is this field of the map's own segment, and no note: it is found without a search; 0: no
	part    int32      // from is in this component of the value that a data type map is about; 0: no
	many    bool       // it writes every value there is
	join    bool       // all values are one
	plain   bool       // it writes one primitive, and nothing beside it
	lead    bool       // of a composite it converts the first component
	once    bool       // a value that reads as one before it in the resource is not written again
	whole   bool       // what a map has written here can be incomplete, and goes then
	from    *place     // where it reads; nil when value is set
	when    *expr      // nil: always
	convert conversion // into a primitive; nil: only write knows
	proof   proof      // of what convert makes
	missing *missing
	value   *expr
	to      target
	write   writer
	set     []constant
	slots   int32 // of set
	pos     pos
}

// writer puts the scope's input into the target; false when nothing could be written.
type writer func(r *rule, s *scope) bool

// constant is written beside what a rule writes.
type constant struct {
	to   target
	text *fhir.Constant
}

// missing is the issue for a rule that found nothing.
type missing struct{ severity issue.Severity }

// run tries the rule in a scope.
func (r *rule) run(s *scope) {
	wrote := false
	switch {
	case r.join:
		s.in.v, s.in.at, s.in.from = hl7.Value{}, nowhere, nil
		wrote = r.put(s)
	case r.value != nil:
		wrote = r.compute(s)
	case r.from.segment == "":
		s.in.v, s.in.at = r.from.read(s), inValue
		wrote = r.one(s)
	case r.field > 0 && r.first(s):
		s.in.v, s.in.at = r.from.in(s.run, s.seg), inFirst
		wrote = r.one(s)
	case r.field > 0 || !r.many && !r.from.everywhere && s.on(r.from.name):
		wrote = r.here(s)
	default:
		wrote = r.elsewhere(s)
	}
	if !wrote && r.missing != nil && r.holds(s) {
		s.run.missed(r, s)
	}
}

func (r *rule) compute(s *scope) bool {
	if !r.holds(s) {
		return false
	}
	s.in.v, s.in.at, s.in.text = hl7.Value{}, nowhere, r.value.str(s)
	if s.run.trace != nil {
		s.in.from = r.value.places(s)
	}
	if s.in.text == "" || !r.put(s) {
		return false
	}
	r.value.carried(s)
	return true
}

// here goes over the values of the place in the scope's segment. Each is the current repetition of its field while
// the condition and the rule look at it.
func (r *rule) here(s *scope) (wrote bool) {
	p := r.from
	seg, field, value, path := s.seg, s.field, s.value, s.path
	current := p.rep == 0 && field == p.field && !(r.many && p.every)
	from, to := p.rep, p.rep
	if p.rep == 0 {
		from, to = 1, 1
		if r.many && !current {
			to = s.run.repetitions(seg, p.field)
		}
	}
	for n := from; n <= to; n++ {
		if !current {
			s.field, s.value, s.path = p.field, s.run.repetition(seg, p.field, n), seg.Path(p.field).Repeat(n)
		}
		s.in.v, s.in.at = p.down(s.value), inValue
		wrote = r.one(s) || wrote
	}
	s.field, s.value, s.path = field, value, path
	return wrote
}

// elsewhere goes over the values of a place in other segments, as here does.
func (r *rule) elsewhere(s *scope) (wrote bool) {
	seg, field, value, path := s.seg, s.field, s.value, s.path
	for c := r.from.cursor(s, r.many); c.next(); {
		if c.seg.OK() {
			s.seg, s.field, s.value, s.path = c.seg, r.from.field, c.whole, c.at
			if c.seg != seg {
				s.home, s.away = seg, true
			}
		}
		if r.holds(s) {
			s.in.v, s.in.at, s.in.path = c.value, byPath, c.path
			wrote = r.put(s) || wrote
		}
		s.seg, s.field, s.value, s.path, s.home, s.away = seg, field, value, path, hl7.Segment{}, false
		if wrote && !r.many {
			break
		}
	}
	return wrote
}

// first tells that the rule reads one repetition of its field, the first, and that the scope stands on no other one of
// any field: it need not be moved.
func (r *rule) first(s *scope) bool {
	p := r.from
	switch {
	case p.rep > 1 || s.path.Repetition() > 1 || p.field >= 64:
		return false
	case !r.many || p.rep == 1 || s.run.pieces.Repeated(s.seg.Index())>>p.field&1 == 0:
		return true
	}
	return s.field == p.field && !p.every
}

// one writes the scope's input, if there is one and the condition holds.
func (r *rule) one(s *scope) bool {
	switch {
	case !s.in.v.Valued(), r.when != nil && !r.holds(s):
		return false
	case r.plain:
		return r.copy(s)
	}
	return r.put(s)
}

// holds tells whether the rule's condition does.
func (r *rule) holds(s *scope) bool {
	switch {
	case r.when == nil:
		return true
	case !s.told:
		return r.when.yes(s)
	}
	return r.when.rest == nil || r.when.rest(s)
}

// copy converts the scope's input and writes it as a primitive, with nothing beside it: what most rules do.
func (r *rule) copy(s *scope) bool {
	out, proven := r.converted(s)
	if out == "" {
		return false
	}
	el := s.el
	if len(r.to.way) > 0 {
		var ok bool
		if el, ok = r.to.reach(s); !ok {
			return false
		}
	}
	if !r.text(el, out, proven) || !r.wrote(s, el) {
		return false
	}
	s.run.writes++
	s.run.o.Ran.note(r.pos)
	if r.when != nil {
		r.when.carried(s)
	}
	return true
}

// converted gives the scope's input as the rule converts it, "" when there is nothing to write; the sender is told
// why there is not. proven is for a text that is sound in its element.
func (r *rule) converted(s *scope) (out string, proven bool) {
	in, clean := r.given(s, r.lead)
	return r.convertedOf(s, in, clean)
}

func (r *rule) convertedOf(s *scope, in string, clean bool) (out string, proven bool) {
	if clean {
		switch {
		case r.proof == asText && in[0] > ' ', r.proof == asCode && above(in, ' '): // as most are
			return in, true
		}
	}
	out, why := r.convert(s.run, in)
	if s.run.unsure {
		s.run.unsure = false
		s.run.warn(issue.Value, r.where(s), "this clock time comes twice or never in the sender's time zone")
	}
	if why != "" {
		s.run.warn(issue.Value, r.where(s), why)
		return "", false
	}
	return out, r.proof == byForm || clean && r.proof == asURI
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
