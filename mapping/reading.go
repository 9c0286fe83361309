package mapping

import "github.com/dermgate/dermgate/mapping/hl7"

// value reads one place in a scope: the current repetition where the scope stands on one of that field, else
// the first that the place names. The path says where it was, for issues and traces.
func (p *place) value(s *scope) (hl7.Value, hl7.Path) {
	if p.segment == "" {
		return p.read(s), p.below(s)
	}
	v, seg := p.repetition(s)
	switch {
	case !seg.OK():
		return hl7.Value{}, hl7.Path{}
	case p.current(s, seg):
		return p.part(v, s.path)
	}
	return p.part(v, seg.Path(p.field).Repeat(max(p.rep, 1)))
}

// of tells whether the place is in the segment that a map is about.
func (p *place) of(segment string) bool {
	return p.segment == segment && p.rep <= 1 && !p.every && !p.everywhere && segment != "NTE"
}

// read is value without the path.
func (p *place) read(s *scope) hl7.Value {
	switch {
	case p.own && !s.away:
		if p.comp > 0 && p.sub == 0 && s.field != p.field { // as most are
			return s.run.pieces.Component(s.seg.Index(), p.field, p.comp)
		}
		return p.mine(s)
	case p.segment != "":
		seg := p.seg(s)
		switch {
		case !seg.OK():
			return hl7.Value{}
		case p.current(s, seg):
			return p.down(s.value)
		}
		return p.in(s.run, seg)
	case p.comp == 0:
		return s.value
	case p.sub > 0 && !s.deep:
		return s.parts.At(p.comp).Subcomponent(p.sub)
	}
	return s.parts.At(p.comp)
}

// seg gives the segment that a scope sees under the place's name first; a condition on the map's own segment is never
// about another of its name.
func (p *place) seg(s *scope) hl7.Segment {
	if l := &s.run.layout; s.home.OK() && l.is(s.home.Index(), l.row(p.name)) && !s.on(p.name) {
		return s.home
	}
	return s.run.relative(s.seg, p.name)
}

// mine reads a place of the map's own segment, on which the scope is.
func (p *place) mine(s *scope) hl7.Value {
	if s.field == p.field && p.rep == 0 && s.path.Repetition() > 1 {
		return p.down(s.value)
	}
	return p.in(s.run, s.seg)
}

// in reads the place in a segment of its name.
func (p *place) in(r *run, seg hl7.Segment) hl7.Value {
	if p.rep > 1 {
		return p.down(r.repetition(seg, p.field, p.rep))
	}
	if p.comp == 0 {
		return r.pieces.First(seg.Index(), p.field)
	}
	v := r.pieces.Component(seg.Index(), p.field, p.comp)
	if p.sub > 0 {
		v = v.Subcomponent(p.sub)
	}
	return v
}

// repetition gives the repetition that a place is in, and its segment.
func (p *place) repetition(s *scope) (hl7.Value, hl7.Segment) {
	seg := p.seg(s)
	switch {
	case !seg.OK():
		return hl7.Value{}, seg
	case p.current(s, seg):
		return s.value, seg
	}
	return s.run.repetition(seg, p.field, p.rep), seg
}

// current tells whether the scope stands on the repetition that the place is in.
func (p *place) current(s *scope, seg hl7.Segment) bool {
	return s.field == p.field && s.seg == seg && p.rep == 0
}

// below gives the path of a place of a data type map.
func (p *place) below(s *scope) hl7.Path {
	switch {
	case p.comp == 0:
		return s.path
	case s.deep:
		return s.path.Part(s.path.Component(), p.comp)
	}
	return s.path.Part(p.comp, p.sub)
}

// part goes down from a repetition to the place's component.
func (p *place) part(v hl7.Value, at hl7.Path) (hl7.Value, hl7.Path) {
	if p.comp == 0 {
		return v, at
	}
	return p.down(v), at.Part(p.comp, p.sub)
}

// down is part without the path.
func (p *place) down(v hl7.Value) hl7.Value {
	if p.comp == 0 {
		return v
	}
	v = v.Component(p.comp)
	if p.sub > 0 {
		v = v.Subcomponent(p.sub)
	}
	return v
}
