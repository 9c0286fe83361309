package mapping

import (
	"slices"
	"strconv"

	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// account tells for every valued leaf what became of it.
func (r *run) account(m *message, res *Result) {
	t := tally{run: r, m: m, res: res}
	del := r.m.Delimiters()
	t.kind[del.Repetition], t.kind[del.Component], t.kind[del.Subcomponent] = repetition, component, subcomponent
	t.kind[0], t.kind[del.Field] = none, wholeField // 0: not declared
	for i := range r.m.Segments() {
		t.segment(r.m.Segment(i))
	}
	t.deleted()
	if r.trace != nil {
		r.trace.finish(r, res)
		res.Trace = r.trace
	}
}

// deleted tells that a sender wants something deleted (`""`, HL7 v2.8 §2.5.3.4) that the Bundle does not say is deleted,
// once a message: who reads it must not keep what is missing in it as unchanged.
func (t *tally) deleted() {
	switch {
	case t.nulls == 1:
		t.res.Issues = append(t.res.Issues, issue.Warn(issue.Value, t.null.String(), `"" asks to delete, which the Bundle does not say`))
	case t.nulls > 1:
		t.res.Issues = append(t.res.Issues, issue.Warn(issue.Value, t.null.String(),
			`"" asks to delete, which the Bundle does not say; here and at `+strconv.Itoa(t.nulls-1)+" more places"))
	}
}

// tally goes over the leaves of a message in order. It sees what hl7.Message.Leaves does, without its cost:
// every message is counted.
type tally struct {
	run  *run
	m    *message
	res  *Result
	kind [256]part // of each byte

	ignore []ignored // of the segment

	nulls int      // leaves that are `""`
	null  hl7.Path // the first of them
}

// part is what a byte ends inside a segment.
type part uint8

const (
	none part = iota
	subcomponent
	component
	repetition
	wholeField
)

// leafAt is where a leaf stands: its path in numbers; sub is 0 in a component of one.
type leafAt struct {
	seg                   hl7.Segment
	field, rep, comp, sub int
}

// segment splits a segment into its leaves.
func (t *tally) segment(seg hl7.Segment) {
	fields := t.run.pieces.Fields(seg.Index())
	if fields == 0 {
		return
	}
	t.ignore = t.m.ignore[seg.Name()]
	at := leafAt{seg, 1, 1, 1, 0}
	if seg.Is("MSH") { // its first two fields are the delimiters themselves
		for ; at.field <= min(fields, 2); at.field++ {
			v := t.run.pieces.Field(seg.Index(), at.field)
			t.leaf(&at, v.Offset(), v.Raw())
		}
		if fields < 3 {
			return
		}
	}
	start := t.run.pieces.Field(seg.Index(), at.field).Offset()
	raw, from := t.run.m.Bytes()[start:seg.End()], 0
	for i, c := range raw {
		ends := t.kind[c]
		if ends == none {
			continue
		}
		if ends == subcomponent && at.sub == 0 {
			at.sub = 1
		}
		t.leaf(&at, start+from, raw[from:i])
		switch from = i + 1; ends {
		case subcomponent:
			at.sub++
		case component:
			at.comp, at.sub = at.comp+1, 0
		case repetition:
			at.rep, at.comp, at.sub = at.rep+1, 1, 0
		case wholeField:
			at.field, at.rep, at.comp, at.sub = at.field+1, 1, 1, 0
		}
	}
	t.leaf(&at, start+from, raw[from:])
}

// leaf counts one leaf; empty ones and `""` carry nothing.
func (t *tally) leaf(at *leafAt, pos int, raw []byte) {
	if len(raw) == 0 {
		return
	}
	if len(raw) == 2 && raw[0] == '"' && raw[1] == '"' {
		if t.run.used.has(pos) || t.restated(at) {
			return
		}
		if t.nulls++; t.nulls == 1 {
			t.null = at.path()
		}
		return
	}
	t.res.Leaves.Valued++
	if t.run.used.has(pos) {
		t.res.Leaves.Mapped++
		return
	}
	if x := t.ignored(at); x != nil {
		t.res.Leaves.Ignored++
		if t.run.trace != nil {
			t.run.trace.Ignored = append(t.run.trace.Ignored, IgnoredLeaf{at.path().String(), x.reason})
		}
		return
	}
	t.res.Leaves.Unmapped++
	t.res.Unmapped = append(t.res.Unmapped, at.path())
}

// restated tells a part that is deleted of a patient's field whose other parts the Bundle has: what has been sent whole
// replaces what was there, and the part is not in it.
func (t *tally) restated(at *leafAt) bool {
	if !t.run.snapshot || !at.seg.Is("PID") && !at.seg.Is("PD1") {
		return false
	}
	v := t.run.repetition(at.seg, at.field, at.rep)
	for i := range v.Size() {
		if t.run.used.has(v.Offset() + i) {
			return true
		}
	}
	return false
}

func (at *leafAt) path() hl7.Path { return at.seg.Path(at.field).Repeat(at.rep).Part(at.comp, at.sub) }

// ignored gives the first rule that leaves a place out, nil when there is none.
func (t *tally) ignored(at *leafAt) (first *ignored) {
	for i := range t.ignore {
		x := &t.ignore[i]
		if x.field != at.field || x.comp != 0 && x.comp != at.comp {
			continue
		}
		if first == nil {
			first = x
		}
		if t.run.o.Ran == nil {
			break
		}
		t.run.o.Ran.note(x.at) // and of each map that says so too
	}
	return first
}

// unuse makes the leaves of a segment unmapped again.
func (r *run) unuse(seg hl7.Segment) {
	if !seg.OK() {
		return
	}
	first, last := r.field(seg, 1), r.field(seg, r.pieces.Fields(seg.Index()))
	r.used.unset(first.Offset(), last.Offset()+last.Size())
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

// set sets n bits from start on.
func (b bitmap) set(start, n int) {
	if at := start % 64; at+n <= 64 { // as mostly
		b[start/64] |= ^uint64(0) >> (64 - n) << at
		return
	}
	for w, end := start/64, start+n; w*64 < end; w++ {
		b[w] |= between(start-w*64, end-w*64)
	}
}

// unset clears the bits from start to before end.
func (b bitmap) unset(start, end int) {
	for w := start / 64; w*64 < end; w++ {
		b[w] &^= between(start-w*64, end-w*64)
	}
}

// copy sets the bits from one place on that are set from another on.
func (b bitmap) copy(from, to, n int) {
	for i := range n {
		if b.has(from + i) {
			b[(to+i)/64] |= 1 << ((to + i) % 64)
		}
	}
}

// between gives the bits of a word from one to before another, both counted from the word's first.
func between(from, to int) uint64 {
	return ^uint64(0) << max(from, 0) &^ (^uint64(0) << min(to, 64))
}
