package mapping

import (
	"slices"
	"sort"
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// traceMark is a traced element until the Bundle is finished and paths stand.
type traceMark struct {
	el   fhir.Element
	in   hl7.Value // that it was made from
	from []string  // the same where it was computed of several
	rule pos
	by   string // in place of a rule
}

// sent is a valued leaf of the message: where it begins in the message's bytes, and its name.
type sent struct {
	start int
	name  string
}

// watch makes the run record what its rules write.
func (r *run) watch() {
	r.trace = &Trace{Elements: []TracedElement{}, Unmapped: []string{}, Ignored: []IgnoredLeaf{}} // no null in JSON
	for p, v := range r.m.Leaves() {
		if v.Valued() {
			r.sent = append(r.sent, sent{v.Offset(), p.String()})
		}
	}
}

// traced notes what the rule wrote, when asked to.
func (r *rule) traced(s *scope, parent fhir.Element, d *fhir.ElementDef) {
	if s.run.trace == nil {
		return
	}
	mark := traceMark{el: parent, rule: r.pos, in: s.in.v}
	if d != nil {
		mark.el = parent.LastDef(d)
	}
	if s.in.at == nowhere {
		mark.from = s.in.from
	}
	s.run.marks = append(s.run.marks, mark)
}

// declared notes the profile that a resource declares as its own rule, when a trace is asked for.
func (r *run) declared(el fhir.Element) {
	if r.trace != nil {
		r.marks = append(r.marks, traceMark{el: el.At("meta.profile"), by: el.Type().Profile().URL})
	}
}

// leaves names the valued leaves inside an input.
func (r *run) leaves(in hl7.Value) []string {
	from := func(pos int) int {
		return sort.Search(len(r.sent), func(i int) bool { return r.sent[i].start >= pos })
	}
	inside := r.sent[from(in.Offset()):from(in.Offset()+in.Size())]
	out := make([]string, len(inside))
	for i, leaf := range inside {
		out[i] = leaf.name
	}
	return out
}

// finish names the elements from their resources down: "Patient.identifier[0].value".
func (t *Trace) finish(r *run, res *Result) {
	t.Elements = slices.Grow(t.Elements, len(r.marks))
	for i := range r.marks {
		m := &r.marks[i]
		path := m.el.Path()
		if i := strings.Index(path, ".resource."); i >= 0 {
			path = resourceOf(m.el) + path[i+len(".resource"):]
		} else if !strings.HasPrefix(path, "Bundle.") {
			continue // taken out again
		}
		out := TracedElement{Path: path, Rule: m.by, Site: m.rule.layer > 0}
		if m.by == "" {
			out.Rule = m.rule.String()
		}
		if out.From = append([]string{}, m.from...); m.from == nil {
			out.From = r.leaves(m.in)
		}
		slices.Sort(out.From)
		t.Elements = append(t.Elements, out)
	}
	for _, p := range res.Unmapped {
		t.Unmapped = append(t.Unmapped, p.String())
	}
}

// resourceOf gives the type of the resource an element is in.
func resourceOf(el fhir.Element) string {
	for e := el; e.OK(); e = e.Parent() {
		if e.Type().Kind == fhir.Resource {
			return e.Type().Name
		}
	}
	return ""
}
