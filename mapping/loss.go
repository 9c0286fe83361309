package mapping

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// account tells for every valued leaf what became of it.
func (r *run) account(m *message, res *Result) {
	slices.SortFunc(r.used, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	t := tally{run: r, m: m, res: res, del: r.m.Delimiters()}
	for i := range r.m.Segments() {
		seg := r.m.Segment(i)
		for n, v := range r.values[r.starts[i]:r.starts[i+1]] {
			if n < 2 && seg.Is("MSH") { // the delimiters themselves
				t.leaf(leafAt{seg, n + 1, 1, 1, 0}, v.Offset(), v.Raw())
				continue
			}
			t.field(seg, n+1, v)
		}
	}
	if r.trace != nil {
		r.trace.finish(r, res)
		res.Trace = r.trace
	}
}

// tally goes over the leaves of a message in order. It sees what hl7.Message.Leaves does, without its cost:
// every message is counted.
type tally struct {
	run   *run
	m     *message
	res   *Result
	del   hl7.Delimiters
	next  int    // span that comes next
	reach uint32 // farthest end of the spans before
}

// leafAt is where a leaf stands: its path in numbers.
type leafAt struct {
	seg                   hl7.Segment
	field, rep, comp, sub int
}

// field splits a field into its leaves.
func (t *tally) field(seg hl7.Segment, n int, v hl7.Value) {
	at, rest, rep := v.Offset(), v.Raw(), 0
	for more := len(rest) > 0; more; {
		var one []byte
		one, rest, more = cut(rest, t.del.Repetition)
		rep++
		comps, comp, pos := one, 0, at
		for any := len(one) > 0; any; {
			var c []byte
			c, comps, any = cut(comps, t.del.Component)
			comp++
			t.component(leafAt{seg, n, rep, comp, 0}, pos, c)
			pos += len(c) + 1
		}
		at += len(one) + 1
	}
}

func (t *tally) component(at leafAt, pos int, c []byte) {
	if t.del.Subcomponent == 0 || bytes.IndexByte(c, t.del.Subcomponent) < 0 {
		t.leaf(at, pos, c)
		return
	}
	for more := true; more; {
		var s []byte
		s, c, more = cut(c, t.del.Subcomponent)
		at.sub++
		t.leaf(at, pos, s)
		pos += len(s) + 1
	}
}

// cut splits b at the first separator; more tells whether there was one.
func cut(b []byte, sep byte) (before, after []byte, more bool) {
	if sep != 0 {
		if i := bytes.IndexByte(b, sep); i >= 0 {
			return b[:i], b[i+1:], true
		}
	}
	return b, nil, false
}

// leaf counts one leaf; empty ones and `""` say nothing.
func (t *tally) leaf(at leafAt, pos int, raw []byte) {
	if len(raw) == 0 || len(raw) == 2 && raw[0] == '"' && raw[1] == '"' {
		return
	}
	used, start := t.run.used, uint32(pos)
	for t.next < len(used) && used[t.next].start <= start {
		t.reach = max(t.reach, used[t.next].end)
		t.next++
	}
	t.res.Leaves.Valued++
	if start < t.reach {
		t.res.Leaves.Mapped++
		return
	}
	p := at.seg.Path(at.field).Repeat(at.rep).Part(at.comp, at.sub)
	if reason := t.m.ignored(at.seg, p); reason != "" {
		t.res.Leaves.Ignored++
		if t.run.trace != nil {
			t.run.trace.Ignored = append(t.run.trace.Ignored, IgnoredLeaf{p.String(), reason})
		}
		return
	}
	t.res.Leaves.Unmapped++
	t.res.Unmapped = append(t.res.Unmapped, p)
}

// ignored gives the reason for leaving a place out, "" when there is none.
func (m *message) ignored(seg hl7.Segment, p hl7.Path) string {
	for i := range m.ignore {
		x := &m.ignore[i]
		if x.field == p.Field() && (x.comp == 0 || x.comp == p.Component()) && seg.Is(x.segment) {
			return x.reason
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
	} else {
		mark.from = in.from
	}
	r.marks = append(r.marks, mark)
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
