package mapping

import (
	"strconv"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// run makes the resources of a group.
func (g *group) run(r *run, n int) {
	if g.eachSeg.letters == "" {
		g.instance(r, n, hl7.Segment{}, 0)
		return
	}
	for seg := r.after(g.eachSeg, -1); seg.OK(); seg = r.after(g.eachSeg, seg.Index()) {
		if r.continues(seg) {
			continue
		}
		if g.each == nil {
			g.instance(r, n, seg, 0)
			continue
		}
		if f := g.each.field; f < 64 && r.pieces.Valued(seg.Index())>>f&1 == 0 {
			continue
		}
		for rep := 1; rep <= r.repetitions(seg, g.each.field); rep++ {
			if r.repetition(seg, g.each.field, rep).Valued() {
				g.instance(r, n, seg, rep)
			}
		}
	}
}

// continues tells a note that another one stands before: they are one.
func (r *run) continues(seg hl7.Segment) bool {
	return seg.Index() > 0 && r.layout.is(seg.Index(), r.layout.bound[0]) && r.layout.is(seg.Index()-1, r.layout.bound[0])
}

// instance makes one resource, unless its condition or a resource of the same key says no.
func (g *group) instance(r *run, n int, seg hl7.Segment, rep int) {
	s := r.scope(&r.bare)
	defer r.done(s)
	s.seg = seg
	if rep > 0 {
		s.field, s.value, s.path = g.each.field, r.repetition(seg, g.each.field, rep), seg.Path(g.each.field).Repeat(rep)
	}
	if g.where != nil {
		if !g.where.yes(s) {
			return
		}
		g.where.carried(s)
	}
	made := instance{group: n, seg: seg, rep: rep}
	if g.key != nil {
		if made.key = g.key.str(s); made.key != "" {
			for _, other := range r.instances {
				if other.group == n && other.key == made.key {
					other.seg, other.rep, other.alias = seg, rep, true
					r.instances = append(r.instances, other)
					r.o.Ran.note(g.at)
					return
				}
			}
		}
	}
	made.url = r.url(g.name, seg.Occurrence(), rep)
	el, err := r.bundle.AddType(made.url, g.resource)
	if err != nil {
		return // cannot happen: the type is compiled
	}
	made.el, s.el, s.resource, s.fresh = el, el, el, true
	before := r.writes
	g.fill(r, s)
	if g.eachSeg.letters != "" && (r.writes == before || blank(el)) {
		el.Parent().Remove()
		return
	}
	r.instances = append(r.instances, made)
	r.o.Ran.note(g.at)
}

// fill runs the maps of a group on a resource: on its own segment, or on every segment of the map's name
// that the scope sees.
func (g *group) fill(r *run, s *scope) {
	outer, field, value, path := s.seg, s.field, s.value, s.path
	for _, p := range g.maps {
		s.seg, s.field, s.value, s.path = outer, field, value, path
		if !p.segment || r.layout.is(index(outer), r.layout.row(p.name)) {
			p.invoke(s)
			s.fresh = false
			continue
		}
		if outer.OK() {
			for seg := r.relative(outer, p.name); seg.OK(); seg = r.following(outer, p.name, seg, true) {
				s.seg, s.field, s.path = seg, 0, hl7.Path{}
				p.invoke(s)
				s.fresh = false
			}
			continue
		}
		for seg := r.after(p.name, -1); seg.OK(); seg = r.after(p.name, seg.Index()) {
			if !r.continues(seg) {
				s.seg, s.field, s.path = seg, 0, hl7.Path{}
				p.invoke(s)
				s.fresh = false
			}
		}
	}
}

// link writes the references of all resources.
func (m *message) link(r *run) {
	for i := range r.instances {
		from := &r.instances[i]
		if from.alias {
			continue
		}
		g := m.groups[from.group]
		for j := range g.links {
			g.links[j].write(r, m, from)
			if r.snapshot && g.typ == "Patient" {
				g.links[j].delete(r, m, from)
			}
		}
	}
}

func (l *link) write(r *run, m *message, from *instance) {
	wrote, said := false, len(l.to.way) > 0 || from.el.ChildDef(l.to.def).OK()
	here := index(from.seg)
	for i, want := range l.groups {
		for k := r.firsts[want]; k < len(r.instances) && r.instances[k].group == want; k++ {
			to := &r.instances[k]
			if l.near[i] && to.seg != from.seg || to.el == from.el || r.layout.apart(here, index(to.seg)) {
				continue
			}
			if l.single && wrote {
				return
			}
			wrote = l.put(r, from, to, said) || wrote
		}
	}
}

// put writes one reference, once. said tells that there may be another than the link has written.
func (l *link) put(r *run, from, to *instance, said bool) bool {
	at := from.el
	if len(l.to.way) > 0 {
		s := r.scope(&r.bare)
		s.el = from.el
		base := len(r.slots)
		s.slots = r.push(l.slots)
		l.adopt(s)
		var ok bool
		at, ok = l.to.reach(s)
		r.slots = r.slots[:base]
		r.done(s)
		if !ok {
			return false
		}
		for up := at; up != from.el; up = up.Parent() { // what the maps have not made may lack more
			if up.Type().Demanding() {
				r.waiting = append(r.waiting, waiting{el: up, seg: from.seg})
			}
		}
	}
	if said := at.ChildDef(l.to.def); l.single && said.OK() { // by a rule: by other means, such as an identifier, or whole
		return !said.ChildDef(l.ref).OK() && said.SetUUID(l.ref, to.url) == nil
	}
	if !l.single && (said || to.alias) && at.Refers(l.to.def, l.ref, to.url) {
		return false
	}
	if at.Chosen(l.to.def) {
		return false
	}
	return at.Refer(l.to.def, to.url) == nil
}

// adopt lets a link reach into elements that the maps have made, where it names them by index.
func (l *link) adopt(s *scope) {
	el := s.el
	for _, st := range l.to.way {
		if st.index < 0 || !el.OK() {
			return
		}
		n, parent := 0, el
		el = fhir.Element{}
		for c := range parent.Children(st.def.Name) {
			if n == st.index {
				el = c
			}
			n++
		}
		s.slots[st.slot] = el
	}
}

// meets checks how often the segments stand. The error is for a message about a second patient, whom no Bundle may mix
// with the first.
func (m *message) meets(r *run) error {
	for _, x := range m.expect {
		n := r.m.Count(x.segment)
		switch {
		case n < x.min:
			i := issue.New(issue.Required, x.segment, "the segment is required and absent")
			if x.lenient && !r.o.Enforce {
				i.Severity = issue.Warning
			}
			r.issues = append(r.issues, i)
		case x.segment == "PID" && x.max == 1 && n > 1:
			return issue.New(issue.Structure, "PID[2]", "a second patient: each needs a message of their own")
		case x.max >= 0 && n > x.max:
			where := x.segment + "[" + strconv.Itoa(x.max+1) + "]"
			r.issues = append(r.issues, issue.New(issue.Structure, where, "more of this segment than the message may have"))
		}
	}
	return nil
}
