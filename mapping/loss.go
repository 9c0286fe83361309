package mapping

import (
	"bytes"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// account tells for every valued leaf what became of it.
func (r *run) account(m *message, res *Result) {
	t := tally{run: r, m: m, res: res, del: r.m.Delimiters()}
	for i := range r.m.Segments() {
		seg := r.m.Segment(i)
		for n, v := range r.fields(seg) {
			if n < 2 && seg.Is("MSH") { // the delimiters themselves
				t.leaf(&leafAt{seg, n + 1, 1, 1, 0}, v.Offset(), v.Raw())
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
	run *run
	m   *message
	res *Result
	del hl7.Delimiters
}

// leafAt is where a leaf stands: its path in numbers.
type leafAt struct {
	seg                   hl7.Segment
	field, rep, comp, sub int
}

// field splits a field into its leaves.
func (t *tally) field(seg hl7.Segment, n int, v hl7.Value) {
	at, rest, rep := v.Offset(), v.Raw(), 0
	if len(rest) == 0 {
		return
	}
	del := t.del // without what the field does not have
	for _, c := range [...]*byte{&del.Repetition, &del.Subcomponent} {
		if bytes.IndexByte(rest, *c) < 0 {
			*c = 0
		}
	}
	for more := len(rest) > 0; more; {
		var one []byte
		one, rest, more = cut(rest, del.Repetition)
		rep++
		comps, comp, pos := one, 0, at
		for any := len(one) > 0; any; {
			var c []byte
			c, comps, any = cut(comps, del.Component)
			comp++
			if at := (leafAt{seg, n, rep, comp, 0}); del.Subcomponent == 0 {
				t.leaf(&at, pos, c)
			} else {
				t.component(&at, pos, c)
			}
			pos += len(c) + 1
		}
		at += len(one) + 1
	}
}

func (t *tally) component(at *leafAt, pos int, c []byte) {
	if bytes.IndexByte(c, t.del.Subcomponent) < 0 {
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
	if sep == 0 {
		return b, nil, false
	}
	const near = 16 // most parts are short: a call for each costs more than looking
	for i := range min(len(b), near) {
		if b[i] == sep {
			return b[:i], b[i+1:], true
		}
	}
	if len(b) > near {
		if i := bytes.IndexByte(b[near:], sep); i >= 0 {
			i += near
			return b[:i], b[i+1:], true
		}
	}
	return b, nil, false
}

// leaf counts one leaf; empty ones and `""` say nothing.
func (t *tally) leaf(at *leafAt, pos int, raw []byte) {
	if len(raw) == 0 || len(raw) == 2 && raw[0] == '"' && raw[1] == '"' {
		return
	}
	t.res.Leaves.Valued++
	if t.run.used.has(pos) {
		t.res.Leaves.Mapped++
		return
	}
	if reason := t.m.ignored(at); reason != "" {
		t.res.Leaves.Ignored++
		if t.run.trace != nil {
			t.run.trace.Ignored = append(t.run.trace.Ignored, IgnoredLeaf{at.path().String(), reason})
		}
		return
	}
	t.res.Leaves.Unmapped++
	t.res.Unmapped = append(t.res.Unmapped, at.path())
}

func (at *leafAt) path() hl7.Path { return at.seg.Path(at.field).Repeat(at.rep).Part(at.comp, at.sub) }

// ignored gives the reason for leaving a place out, "" when there is none.
func (m *message) ignored(at *leafAt) string {
	for i := range m.ignore {
		x := &m.ignore[i]
		if x.field == at.field && (x.comp == 0 || x.comp == at.comp) && at.seg.Is(x.segment) {
			return x.reason
		}
	}
	return ""
}

// unuse makes the leaves of a segment unmapped again.
func (r *run) unuse(seg hl7.Segment) {
	if !seg.OK() {
		return
	}
	fields := r.fields(seg)
	if len(fields) == 0 {
		return
	}
	last := fields[len(fields)-1]
	r.used.unset(fields[0].Offset(), last.Offset()+len(last.Raw()))
}

// bitmap has one bit for each byte of a message.
type bitmap []uint64

// fresh gives an empty bitmap for n bytes in the memory of b.
func (b bitmap) fresh(n int) bitmap {
	words := (n + 63) / 64
	b = slices.Grow(b[:0], words)[:words]
	clear(b)
	return b
}

func (b bitmap) has(i int) bool { return b[i/64]>>(i%64)&1 != 0 }

// set sets the bits from start to before end.
func (b bitmap) set(start, end int) {
	for w := start / 64; w*64 < end; w++ {
		b[w] |= between(start-w*64, end-w*64)
	}
}

// unset is the opposite of set.
func (b bitmap) unset(start, end int) {
	for w := start / 64; w*64 < end; w++ {
		b[w] &^= between(start-w*64, end-w*64)
	}
}

// between gives the bits of a word from one to before another, both counted from the word's first.
func between(from, to int) uint64 {
	return ^uint64(0) << max(from, 0) &^ (^uint64(0) << min(to, 64))
}

// traceMark is a traced element until the Bundle is finished and paths stand.
type traceMark struct {
	el   fhir.Element
	from []string
	rule string
}

// traced notes what a rule wrote, when asked to.
func (r *run) traced(rule *rule, parent fhir.Element, d *fhir.ElementDef, in *input) {
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
func leavesOf(m *hl7.Message, in *input) map[string]bool {
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
		t.Elements = append(t.Elements, TracedElement{Path: path, From: append([]string{}, m.from...), Rule: m.rule})
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
