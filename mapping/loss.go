package mapping

import (
	"cmp"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// account tells for every valued leaf what became of it.
func (r *run) account(m *message, res *Result) {
	slices.SortFunc(r.used, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	next, reach := 0, uint32(0) // reach is the farthest end of the spans that begin before the leaf
	for p, v := range r.m.Leaves() {
		if !v.Valued() {
			continue
		}
		start := uint32(v.Offset())
		for next < len(r.used) && r.used[next].start <= start {
			reach = max(reach, r.used[next].end)
			next++
		}
		res.Leaves.Valued++
		switch reason := m.ignored(p); {
		case start < reach:
			res.Leaves.Mapped++
		case reason != "":
			res.Leaves.Ignored++
			if r.trace != nil {
				r.trace.Ignored = append(r.trace.Ignored, IgnoredLeaf{p.String(), reason})
			}
		default:
			res.Leaves.Unmapped++
			res.Unmapped = append(res.Unmapped, p)
		}
	}
	if r.trace == nil {
		return
	}
	r.trace.finish(r, res)
	res.Trace = r.trace
}

// ignored gives the reason for leaving a place out, "" when there is none.
func (m *message) ignored(p hl7.Path) string {
	for _, i := range m.ignore[p.Segment()] {
		if i.field == p.Field() && (i.comp == 0 || i.comp == p.Component()) {
			return i.reason
		}
	}
	return ""
}

// unuse makes the leaves of a segment unmapped again.
func (r *run) unuse(seg hl7.Segment) {
	raw := seg.Raw()
	if len(raw) == 0 {
		return
	}
	first := uint32(seg.Field(1).Offset())
	r.used = slices.DeleteFunc(r.used, func(s span) bool { return s.start >= first && s.end <= first+uint32(len(raw)) })
}

// traceMark is a traced element until the Bundle is finished and paths stand.
type traceMark struct {
	el   fhir.Element
	from []string
	rule string
}

// traced notes what a rule wrote, when asked to.
func (r *run) traced(rule *rule, parent fhir.Element, d *fhir.ElementDef, in input) {
	if r.trace == nil {
		return
	}
	el := parent
	if d != nil {
		el = last(parent, d)
	}
	mark := traceMark{el: el, rule: rule.pos.String()}
	if in.path.Field() > 0 {
		for p := range leavesOf(r.m, in) {
			mark.from = append(mark.from, p)
		}
	} else if rule.value != nil {
		mark.from = rule.computedFrom(r)
	}
	r.marks = append(r.marks, mark)
}

// computedFrom names the places of an expression; the source's own rules name theirs.
func (rule *rule) computedFrom(r *run) []string {
	var out []string
	for _, v := range rule.value.reads {
		switch v.name {
		case "kind":
			out = append(out, r.o.Kind.From.String())
		case "urgency":
			out = append(out, r.o.Urgency.From.String())
		default:
			if v.place != "" {
				out = append(out, v.place)
			}
		}
	}
	return out
}

// leavesOf names the valued leaves inside an input.
func leavesOf(m *hl7.Message, in input) map[string]bool {
	out := map[string]bool{}
	start, end := in.v.Offset(), in.v.Offset()+len(in.v.Raw())
	for p, v := range m.Leaves() {
		if v.Valued() && v.Offset() >= start && v.Offset() < end {
			out[p.String()] = true
		}
	}
	return out
}

// finish names the elements from their resources down: "Patient.identifier[0].value".
func (t *Trace) finish(r *run, res *Result) {
	for _, m := range r.marks {
		path := m.el.Path()
		if i := strings.Index(path, ".resource."); i >= 0 {
			path = resourceOf(m.el) + path[i+len(".resource"):]
		} else if !strings.HasPrefix(path, "Bundle.") {
			continue // taken out again
		}
		slices.Sort(m.from)
		t.Elements = append(t.Elements, TracedElement{Path: path, From: m.from, Rule: m.rule})
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
