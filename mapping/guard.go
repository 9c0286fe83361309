package mapping

import (
	"slices"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// What depends on the message is guarded while it is translated: an element that lacks what it cannot be without is
// taken out again, and so is a child that may not stand beside another. The sender is told, and the leaves that they
// were made from are unmapped again.

// guard is the slot of an element on the way of some rule that can be incomplete.
type guard int

// hold takes an element away that has not become valid, and says so.
func (g guard) hold(p *program, s *scope) {
	el := s.slots[g]
	if !el.OK() || !el.Parent().OK() {
		return
	}
	d := el.Lacking()
	switch {
	case d == nil:
		s.run.trim(el, s.seg.Path(0), func(child *fhir.ElementDef) { p.forget(s, int(g), child) })
	case el.Type().Linkable(d): // a link of the message may fill it
		s.run.waiting = append(s.run.waiting, waiting{el, p, int(g), s.seg, s.value, s.deep})
	default:
		s.run.dismiss(el, s.seg.Path(0), d)
		p.forget(s, int(g), nil)
		for up := s.run.outer; up != s.el && up.Empty(); up = s.run.outer {
			s.run.remove(up)
		}
	}
}

// complete takes away what a data type map, and the constants beside it, have left incomplete; false when it did.
func (r *rule) complete(s *scope) bool {
	at, _ := r.to.reach(s) // it has been reached before
	el := at.LastDef(r.to.def)
	d := el.Lacking()
	if d == nil {
		s.run.trim(el, r.where(s), func(*fhir.ElementDef) { s.run.unuseValue(s.in.v) })
		return true
	}
	s.run.dismiss(el, r.where(s), d)
	s.run.unuseValue(s.in.v)
	if r.to.slot >= 0 {
		s.slots[r.to.slot] = fhir.Element{}
	}
	r.to.prune(s)
	return false
}

// dismiss takes an element out that lacks another one.
func (r *run) dismiss(el fhir.Element, at hl7.Path, lacks *fhir.ElementDef) {
	r.issues = append(r.issues, lacking(el, at, lacks))
	r.remove(el)
}

func lacking(el fhir.Element, at hl7.Path, lacks *fhir.ElementDef) *issue.Issue {
	return issue.Warn(issue.Required, at.String(), "no "+el.Type().Name+" could be made: its "+lacks.Shown()+" is missing")
}

// remove takes an element out; outer is what it stood in.
func (r *run) remove(el fhir.Element) {
	r.outer = el.Parent()
	el.Remove()
}

// trim takes out of an element what may not stand beside the rest of it; forget makes the leaves of such a child
// unmapped.
func (r *run) trim(el fhir.Element, at hl7.Path, forget func(child *fhir.ElementDef)) {
	for {
		child, why := el.Excess()
		if !child.OK() {
			return
		}
		r.warn(issue.Value, at, "no "+el.Type().Name+"."+child.Name()+" could be made: "+why)
		forget(child.Def())
		child.Remove()
	}
}

// waiting is an element that lacks a reference until the links are written, and what it is made from.
type waiting struct {
	el    fhir.Element
	by    *program // nil: a link
	slot  int
	seg   hl7.Segment
	value hl7.Value
	deep  bool
}

// forget makes the leaves unmapped that the element is made from.
func (w *waiting) forget(r *run, child *fhir.ElementDef) {
	if w.by == nil {
		return
	}
	s := r.scope(&r.bare)
	s.seg, s.value, s.deep = w.seg, w.value, w.deep
	first := len(r.parts)
	if !w.by.segment {
		s.part()
	}
	w.by.forget(s, w.slot, child)
	r.parts = r.parts[:first]
	r.done(s)
}

// settle takes those away that no link has filled, and what cannot stand without them.
func (r *run) settle() {
	for i := range r.waiting {
		w := &r.waiting[i]
		if !w.el.Parent().OK() {
			continue
		}
		d := w.el.Lacking()
		if d == nil {
			r.trim(w.el, w.seg.Path(0), func(child *fhir.ElementDef) { w.forget(r, child) })
			continue
		}
		r.dismiss(w.el, w.seg.Path(0), d)
		w.forget(r, nil)
		for up := r.outer; up.Type().Kind != fhir.Resource && (up.Empty() || up.Lacking() != nil); up = r.outer {
			r.remove(up)
		}
	}
}

// undone takes out resources that lack a required element after all: the leaves they were made from are
// unmapped again, and the sender is told. It tells whether any went.
func (r *run) undone(m *message) bool {
	kept := 0
	var gone []string
	for i := range r.instances {
		in := &r.instances[i]
		d := in.el.Lacking()
		if d != nil {
			if !in.alias {
				found := lacking(in.el, in.seg.Path(0), d)
				if in.el.Type().Name == "MessageHeader" { // no message without it
					found.Severity = issue.Error
				}
				r.issues = append(r.issues, found)
				gone = append(gone, in.url.String())
				r.unuse(in.seg)
				in.el.Parent().Remove()
			}
			continue
		}
		r.trim(in.el, in.seg.Path(0), func(child *fhir.ElementDef) { m.forget(r, in, child) })
		if kept != i {
			r.instances[kept] = *in
		}
		kept++
	}
	r.instances = r.instances[:kept]
	for _, url := range gone {
		for _, in := range r.instances {
			dropReference(in.el, url)
		}
	}
	return len(gone) > 0
}

// dropReference takes away the references to a resource that is gone, and what cannot stand without them.
func dropReference(el fhir.Element, url string) (dropped bool) {
	for c := range el.Children("") {
		switch {
		case c.Child("reference").Text() == url:
			c.Remove()
		case !dropReference(c, url):
			continue
		case c.Empty() || c.Lacking() != nil:
			c.Remove()
		}
		dropped = true
	}
	return dropped
}

// forget makes the leaves unmapped that the maps of a resource have written in one of its own elements.
func (m *message) forget(r *run, in *instance, child *fhir.ElementDef) {
	if in.group == byReference {
		return
	}
	s := r.scope(&r.bare)
	defer r.done(s)
	s.seg = in.seg
	for _, p := range m.groups[in.group].maps {
		p.forget(s, noSlot, child)
	}
}

// noSlot stands for the element that a map is on.
const noSlot = -1

// forget makes the leaves unmapped that rules of the map have written in the element of a slot, or in one child of it.
func (p *program) forget(s *scope, slot int, child *fhir.ElementDef) {
	for i := range p.rules {
		r := &p.rules[i]
		if r.from == nil || !r.to.inside(slot, child) {
			continue
		}
		if r.from.segment == "" {
			s.run.unuseValue(r.from.read(s))
			continue
		}
		for c := r.from.cursor(s, true); c.next(); {
			s.run.unuseValue(c.value)
		}
	}
}

// inside tells whether a target is in the element of a slot, and which child of it when there is one.
func (t *target) inside(slot int, child *fhir.ElementDef) bool {
	i := -1
	if slot != noSlot {
		i = slices.IndexFunc(t.way, func(st step) bool { return st.slot == slot })
		if i < 0 {
			return false
		}
	}
	switch {
	case child == nil:
		return true
	case i+1 < len(t.way):
		return t.way[i+1].def == child
	}
	return t.def == child
}

// unuseValue makes a value unmapped again.
func (r *run) unuseValue(v hl7.Value) {
	if n := v.Size(); n > 0 {
		r.used.unset(v.Offset(), v.Offset()+n)
	}
}

// blank tells a resource of which nothing but its id is written.
func blank(resource fhir.Element) bool {
	n := 0
	for range resource.Children("") {
		if n++; n > 1 {
			return false
		}
	}
	return true
}
