package mapping

import (
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// put writes the scope's input and what is set beside it.
func (r *rule) put(s *scope) bool {
	before := s.run.writes
	again := r.once && s.run.repeats(r, s)
	if !again && !r.write(r, s) {
		return false
	}
	if r.once && !again {
		s.run.saids = append(s.run.saids, said{r, s.resource, s.in.v})
	}
	s.run.writes++
	s.run.o.Ran.note(r.pos)
	if r.when != nil && !r.join {
		r.when.carried(s)
	}
	if len(r.set) > 0 && !again {
		r.beside(s)
	}
	if r.whole && !again && !r.complete(s) {
		s.run.writes = before
		return false
	}
	return true
}

// said is a value that a rule with once: true has written.
type said struct {
	rule     *rule
	resource fhir.Element
	value    hl7.Value
}

// repeats tells whether the scope's input has been written by this rule in this resource; it is as mapped as
// that one then.
func (r *run) repeats(rule *rule, s *scope) bool {
	for _, x := range r.saids {
		if x.rule == rule && x.resource == s.resource && string(x.value.Raw()) == string(s.in.v.Raw()) {
			r.used.copy(x.value.Offset(), s.in.v.Offset(), s.in.v.Size())
			return true
		}
	}
	return false
}

// beside writes what is set beside a value.
func (r *rule) beside(s *scope) {
	el, slots, base := s.el, s.slots, len(s.run.slots)
	s.el, _ = r.to.reach(s)
	if r.to.def.Type.Kind != fhir.Primitive {
		s.el = s.el.LastDef(r.to.def)
	}
	s.slots = s.run.push(int(r.slots))
	for i := range r.set {
		k := &r.set[i]
		if k.to.taken(s) {
			continue
		}
		if at, ok := k.to.reach(s); ok {
			_ = at.SetConstant(k.text) // cannot fail: at is there
			r.traced(s, at, k.to.def)
		}
	}
	s.el, s.slots, s.run.slots = el, slots, s.run.slots[:base]
}

// setText writes a primitive at the rule's target.
func (r *rule) setText(s *scope, text string, proven bool) bool {
	el, ok := r.to.reach(s)
	return ok && r.text(el, text, proven) && r.wrote(s, el)
}

// text writes a text at the end of the way.
func (r *rule) text(el fhir.Element, text string, proven bool) bool {
	if proven {
		return el.SetSound(r.to.def, text) == nil
	}
	return el.SetDef(r.to.def, text) == nil
}

// setConstant writes a constant of the rule's target.
func (r *rule) setConstant(s *scope, c *fhir.Constant) bool {
	el, ok := r.to.reach(s)
	return ok && el.SetConstant(c) == nil && r.wrote(s, el)
}

// wrote notes that a primitive has been written in an element.
func (r *rule) wrote(s *scope, el fhir.Element) bool {
	if r.to.slot >= 0 && !r.to.def.Repeats() {
		s.slots[r.to.slot] = el
	}
	s.run.use(s.in.v)
	if s.run.trace != nil {
		r.traced(s, el, r.to.def)
	}
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
