package mapping

import (
	"math/bits"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// program is one compiled map of a segment or data type.
type program struct {
	src     *source
	segment bool // reads a segment, not a data type
	name    segName
	typ     *fhir.Type
	slots   int
	rules   []rule
	plan    []plan
	checks  []*check
	guards  []guard
}

// check is a compiled condition that means trouble.
type check struct {
	place place
	when  *expr
	issue issue.Issue
	pos   pos
}

// invoke runs a map on an element, in the scope of its caller but for what differs.
func (p *program) invoke(s *scope) {
	base := len(s.run.slots)
	s.slots = s.run.push(p.slots)
	first := len(s.run.parts)
	var valued uint64
	if p.segment {
		valued = s.run.pieces.Valued(s.seg.Index())
	} else {
		s.part()
		valued = s.parts.Valued()
	}
	for i := range p.plan {
		stretch := &p.plan[i]
		left, told := stretch.possible(s, valued)
		for ; left != 0; left &= left - 1 {
			i := bits.TrailingZeros64(left)
			r := &p.rules[stretch.first+i]
			if slot := r.to.slot; slot >= 0 && (s.slots[slot].OK() || !(r.to.sole && s.fresh) && r.to.taken(s)) {
				continue
			}
			s.told = told>>i&1 != 0
			r.run(s)
		}
	}
	if s.run.snapshot && p.segment && p.typ.Name == "Patient" {
		p.delete(s)
	}
	for _, c := range p.checks {
		c.run(s)
	}
	for _, g := range p.guards {
		g.hold(p, s)
	}
	s.run.slots, s.run.parts = s.run.slots[:base], s.run.parts[:first]
}

// part finds the parts that a data type map reads: components, or the sub-components of a component.
func (s *scope) part() {
	if s.path.Component() == 0 && s.path.Field() > 0 && s.seg.OK() {
		var taken bool
		if s.parts, taken = s.run.pieces.Parts(s.seg.Index(), s.path.Field(), s.value); taken {
			return
		}
	}
	s.parts, s.run.parts = s.value.Parts(s.deep, s.run.parts)
}

func (c *check) run(s *scope) {
	if !c.when.yes(s) {
		return
	}
	_, at := c.place.value(s)
	found := c.issue
	found.Where = at.String()
	s.run.o.Ran.note(c.pos)
	s.run.issues = append(s.run.issues, &found)
}
