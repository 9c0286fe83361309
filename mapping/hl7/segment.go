package hl7

import (
	"bytes"
	"iter"
	"math/bits"
)

// Segment is one segment of a message. The zero Segment has no fields.
type Segment struct {
	m *Message
	i int
}

// OK tells a segment from none.
func (s Segment) OK() bool { return s.m != nil }

// Name gives its letters, "" for none.
func (s Segment) Name() string {
	if s.m == nil {
		return ""
	}
	return s.entry().name.String()
}

// Is compares the name without making a string.
func (s Segment) Is(segment string) bool {
	return s.m != nil && s.entry().name == letters(segment)
}

func (s Segment) entry() *entry { return &s.m.segs[s.i] }

// body is where the first field separator stands.
func (e *entry) body() uint32 { return e.start + e.name.len() }

// Index is the place in the message, counted from 0.
func (s Segment) Index() int { return s.i }

// Occurrence is the place among the segments of the same name, counted from 1.
func (s Segment) Occurrence() int {
	if s.m == nil {
		return 0
	}
	return int(s.entry().occurrence)
}

// Raw gives the segment's bytes without terminator.
func (s Segment) Raw() []byte {
	if s.m == nil {
		return nil
	}
	e := s.entry()
	return s.m.raw[e.start:e.end:e.end]
}

// Path gives the place of field n of this segment; the occurrence is left out when it is the first.
func (s Segment) Path(n int) Path {
	if s.m == nil {
		return Path{}
	}
	p := Path{seg: s.entry().name, field: uint32(n)}
	if o := s.entry().occurrence; o > 1 {
		p.occ = o
	}
	return p
}

// Fields counts them, as the standard numbers them: 2 for `PID|1|x`.
func (s Segment) Fields() int {
	if s.m == nil {
		return 0
	}
	n := bytes.Count(s.Raw(), []byte{s.m.del.Field})
	if s.entry().name.header() {
		n++
	}
	return n
}

// Field gives field n; absent when the segment ends before it.
func (s Segment) Field(n int) Value {
	if s.m == nil || n < 1 {
		return Value{}
	}
	e := s.entry()
	lvl := levelField
	if e.name.header() {
		if n == 1 {
			return s.separator()
		}
		if n--; n == 1 {
			lvl = levelLiteral
		}
	}
	start, end, ok := nthPart(s.m.raw, e.body(), e.end, s.m.del.Field, n)
	if !ok {
		return Value{}
	}
	return Value{m: s.m, start: start, end: end, level: lvl}
}

// separator gives field 1 of a header segment.
func (s Segment) separator() Value {
	e := s.entry()
	if e.end < e.start+4 {
		return Value{}
	}
	return Value{m: s.m, start: e.start + 3, end: e.start + 4, level: levelLiteral}
}

// AppendFields appends all fields to fields, and the first repetition of each to firsts: one pass over the
// bytes, for a reader that wants every field.
func (s Segment) AppendFields(fields, firsts []Value) (_, _ []Value) {
	if s.m == nil {
		return fields, firsts
	}
	e, d, raw := s.entry(), &s.m.del, s.m.raw
	f := Value{m: s.m, start: e.body() + 1, level: levelField}
	if e.name.header() {
		v := s.separator()
		if v.m == nil {
			return fields, firsts
		}
		fields, firsts, f.level = append(fields, v), append(firsts, v), levelLiteral
	}
	if f.start > e.end {
		return fields, firsts
	}
	one := uint32(0) // where the first repetition ends, 0 while it goes on
	for i := f.start; i < e.end; i += 8 {
		for hits := marks(raw, i, e.end, d.Field, d.Repetition); hits != 0; hits &= hits - 1 {
			at := i + uint32(bits.TrailingZeros64(hits))/8
			if raw[at] != d.Field {
				if one == 0 {
					one = at
				}
				continue
			}
			f.end = at
			fields, firsts = append(fields, f), append(firsts, f.until(one))
			f.start, f.level, one = at+1, levelField, 0
		}
	}
	f.end = e.end
	return append(fields, f), append(firsts, f.until(one))
}

// until gives the first repetition of a field, which ends at a place; 0: with the field.
func (v Value) until(end uint32) Value {
	if v.level == levelField {
		if v.level = levelRepetition; end != 0 {
			v.end = end
		}
	}
	return v
}

// All walks the fields in order with their numbers; unlike Field in a loop it is linear.
func (s Segment) All() iter.Seq2[int, Value] {
	return func(yield func(int, Value) bool) {
		if s.m == nil {
			return
		}
		e, n := s.entry(), 0
		header := e.name.header()
		if header {
			if v := s.separator(); v.m == nil || !yield(1, v) {
				return
			}
			n = 1
		}
		for pos := e.body(); pos < e.end; {
			v := Value{m: s.m, start: pos + 1, end: e.end, level: levelField}
			if i := nth(s.m.raw, v.start, e.end, s.m.del.Field, 1); i >= 0 {
				v.end = uint32(i)
			}
			if n++; header && n == 2 {
				v.level = levelLiteral
			}
			if !yield(n, v) {
				return
			}
			pos = v.end
		}
	}
}
