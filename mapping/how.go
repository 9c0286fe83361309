package mapping

import (
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// primitive writes what the rule converts.
func primitive(r *rule, s *scope) bool {
	out, proven := r.converted(s)
	return out != "" && r.setText(s, out, proven)
}

// mapped writes by a data type map.
func mapped(p *program) writer {
	return func(r *rule, s *scope) bool {
		el, ok := r.to.reach(s)
		if !ok {
			return false
		}
		child, err := el.AddDef(r.to.def)
		if err != nil {
			return false
		}
		before := s.run.writes
		inner := s.run.scope(s)
		inner.value, inner.path, inner.el, inner.fresh = s.in.v, r.where(s), child, true
		inner.deep = inner.path.Component() > 0
		p.invoke(inner)
		s.run.done(inner)
		if s.run.writes == before || child.Empty() {
			child.Remove()
			r.to.prune(s)
			return false
		}
		if r.to.slot >= 0 {
			s.slots[r.to.slot] = child
		}
		return true
	}
}

// referred writes a reference to a resource that a data type map makes. The same text under the same map is
// the same resource: a doctor whom three fields name is one Practitioner.
func referred(p *program, reference *fhir.ElementDef) writer {
	return func(r *rule, s *scope) bool {
		url, ok := s.run.resourceOf(p, r, s)
		if !ok {
			return false
		}
		return r.setElement(s, func(el fhir.Element) bool {
			r.traced(s, el, nil)
			return el.SetUUID(reference, url) == nil
		})
	}
}

// resourceOf makes the resource of a value, or finds the one that was made of the same text.
func (r *run) resourceOf(p *program, rule *rule, s *scope) (url fhir.UUID, ok bool) {
	for _, m := range r.made {
		if m.by == p && string(m.of.Raw()) == string(s.in.v.Raw()) {
			if n := s.in.v.Size(); n > 0 {
				r.used.copy(m.of.Offset(), s.in.v.Offset(), n)
			}
			return m.url, true
		}
	}
	where := rule.where(s)
	url = r.url(p.src.name.s+"\x1f"+where.String(), 0, 0)
	el, err := r.bundle.AddType(url, p.typ)
	if err != nil {
		return url, false // cannot happen: the type is compiled
	}
	before := r.writes
	inner := r.scope(s)
	inner.value, inner.path, inner.el, inner.resource, inner.fresh = s.in.v, where, el, el, true
	inner.deep = where.Component() > 0
	p.invoke(inner)
	r.done(inner)
	if r.writes == before || blank(el) {
		el.Parent().Remove()
		return url, false
	}
	r.made = append(r.made, made{instance: instance{group: byReference, seg: s.seg, el: el, url: url}, by: p, of: s.in.v})
	return url, true
}

// joined writes all values of the place as lines of one text: notes and texts that a sender has spread over
// repetitions and segments. Empty lines between them stay.
func joined(r *rule, s *scope) bool {
	text, _ := plainText(s.run, s.run.arena.keep(r.linesOf(s)))
	if text == "" {
		return false
	}
	return r.setText(s, text, false)
}

// linesOf gives all values of the place as lines, in scratch memory.
func (r *rule) linesOf(s *scope) []byte {
	buf := s.run.lines[:0]
	c := r.from.cursor(s, true)
	for line, last := 0, 0; c.advance(); line++ {
		if r.when != nil && !r.at(&c, s) {
			line--
			continue
		}
		if !c.value.Valued() {
			continue
		}
		for ; last < line; last++ {
			buf = append(buf, '\n')
		}
		buf = c.value.AppendText(buf)
		s.run.use(c.value)
	}
	s.run.lines = buf
	return buf
}

// at tells whether the rule's condition holds for the value a cursor is at.
func (r *rule) at(c *cursor, s *scope) bool {
	seg, field, value, path := s.seg, s.field, s.value, s.path
	if c.seg.OK() {
		s.seg, s.field, s.value, s.path, s.away = c.seg, r.from.field, c.whole, c.at, c.seg != seg
	}
	ok := r.when.yes(s)
	if ok {
		r.when.carried(s)
	}
	s.seg, s.field, s.value, s.path, s.away = seg, field, value, path, false
	return ok
}

// prefixed joins two texts in the arena.
func (r *run) prefixed(prefix, text string) string {
	r.arena.scratch = append(append(r.arena.scratch[:0], prefix...), text...)
	return r.arena.keep(r.arena.scratch)
}

func (r *run) warn(k issue.Kind, at hl7.Path, text string) {
	r.issues = append(r.issues, issue.Warn(k, at.String(), text))
}
