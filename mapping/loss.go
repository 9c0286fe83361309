package mapping

import (
	"bytes"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// account tells for every valued leaf what became of it.
func (r *run) account(m *message, res *Result) {
	t := tally{run: r, m: m, res: res, field: 1}
	leaves := r.pieces.Leaves()
	t.deletions(leaves)
	for w, used := range r.used {
		res.Leaves.Valued += bits.OnesCount64(leaves[w])
		res.Leaves.Mapped += bits.OnesCount64(leaves[w] & used)
		for left := leaves[w] &^ used; left != 0; left &= left - 1 {
			t.left(t.at(w*64 + bits.TrailingZeros64(left)))
		}
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
	run *run
	m   *message
	res *Result

	segment, field int // of the leaf looked at last

	nulls int      // leaves that are `""`
	null  hl7.Path // the first of them
}

// leafAt is where a leaf stands: its path in numbers; sub is 0 in a component of one.
type leafAt struct {
	seg                   hl7.Segment
	field, rep, comp, sub int
}

// at finds the place of a leaf that begins at a byte of the message, behind the one before.
func (t *tally) at(pos int) leafAt {
	r := t.run
	for r.m.Segment(t.segment).End() <= pos {
		t.segment, t.field = t.segment+1, 1
	}
	v := r.pieces.Field(t.segment, t.field)
	for v.Offset()+v.Size() <= pos {
		t.field++
		v = r.pieces.Field(t.segment, t.field)
	}
	at := leafAt{r.m.Segment(t.segment), t.field, 1, 1, 0}
	if t.field < 3 && at.seg.Is("MSH") { // the delimiters themselves
		return at
	}
	del, raw, from := r.m.Delimiters(), v.Raw(), 0
	for i, c := range raw[:pos-v.Offset()] {
		switch {
		case c == 0: // what is not declared parts nothing
		case c == del.Repetition:
			at.rep, at.comp, from = at.rep+1, 1, i+1
		case c == del.Component:
			at.comp, from = at.comp+1, i+1
		}
	}
	several, sub := false, 1
	for i, c := range raw[from:] {
		if c != 0 && (c == del.Repetition || c == del.Component) {
			break
		}
		if c != 0 && c == del.Subcomponent {
			several = true
			if v.Offset()+from+i < pos {
				sub++
			}
		}
	}
	if several {
		at.sub = sub
	}
	return at
}

// deletions finds the leaves that are `""`: they carry nothing.
func (t *tally) deletions(leaves []uint64) {
	raw, del := t.run.m.Bytes(), t.run.m.Delimiters()
	ends := string([]byte{del.Field, del.Repetition, del.Component, del.Subcomponent})
	for pos := 0; ; pos++ {
		next := bytes.Index(raw[pos:], []byte(`""`))
		if next < 0 {
			break
		}
		if pos += next; leaves[pos/64]>>(pos%64)&1 == 0 {
			continue
		}
		at := t.at(pos)
		if end := pos + 2; end < at.seg.End() && (raw[end] == 0 || strings.IndexByte(ends, raw[end]) < 0) {
			continue
		}
		leaves[pos/64] &^= 1 << (pos % 64)
		if t.run.used.has(pos) || t.restated(&at) {
			continue
		}
		if t.nulls++; t.nulls == 1 {
			t.null = at.path()
		}
	}
	t.segment, t.field = 0, 1
}

// left tells what became of a leaf that no rule has carried over.
func (t *tally) left(at leafAt) {
	if x := t.ignored(&at); x != nil {
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
	of := t.m.ignore[at.seg.Name()]
	for i := range of {
		x := &of[i]
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
	if at := uint(start) % 64; at+uint(n) <= 64 { // as mostly
		b[uint(start)/64] |= ^uint64(0) >> (-uint(n) % 64) << at
		return
	}
	b.setFar(start, n)
}

// setFar is set for bits of several words.
func (b bitmap) setFar(start, n int) {
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
