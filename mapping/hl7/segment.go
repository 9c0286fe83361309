package hl7

import (
	"bytes"
	"iter"
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

// Number is SegmentNumber of the name.
func (s Segment) Number() int {
	if s.m == nil {
		return 0
	}
	return standard().numbers[s.entry().name]
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

// End is where the segment ends in the message's bytes, without terminator.
func (s Segment) End() int {
	if s.m == nil {
		return 0
	}
	return int(s.entry().end)
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
