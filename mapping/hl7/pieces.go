package hl7

import (
	"cmp"
	"math/bits"
	"slices"
)

// Pieces are a message taken apart in one pass, for a reader that wants every field: where its fields lie, the first
// repetition of each, and the components of that. Segments are given by their index, fields and components as the
// standard numbers them. The zero Pieces are of no message; Reset uses them again.
type Pieces struct {
	m        *Message
	segments []segmentPieces // and one more, where the fields of the last end
	fields   []piece         // and one more, where the parts of the last end
	parts    []uint32        // where each component ends
	leaves   []uint64        // see Leaves
}

type segmentPieces struct {
	fields   uint32 // the place of the first in Pieces.fields
	valued   uint64 // has bit n when field n, of the first 63, has any text
	repeated uint64 // has bit n when field n, of the first 63, has several repetitions
}

// piece is where a field lies.
type piece struct {
	start, end uint32
	first      uint32 // where its first repetition ends
	parts      uint32 // the place of its first component in Pieces.parts
	count      uint32 // of components kept
	literal    bool   // it is not split
}

// mostParts is how many components of a repetition Pieces keep: more than any data type has.
const mostParts = 32

// Reset takes a message apart; nil forgets the last one and keeps the memory.
func (p *Pieces) Reset(m *Message) {
	p.m, p.segments, p.fields, p.parts, p.leaves = m, p.segments[:0], p.fields[:0], p.parts[:0], p.leaves[:0]
	if m == nil {
		return
	}
	n := len(m.raw)/64 + 2 // one more for what lies across two words
	p.leaves = slices.Grow(p.leaves, n)[:n]
	clear(p.leaves)
	for i := range m.segs {
		p.segments = append(p.segments, segmentPieces{fields: uint32(len(p.fields))})
		p.segment(&m.segs[i])
	}
	p.segments = append(p.segments, segmentPieces{fields: uint32(len(p.fields))})
}

// Leaves has bit i%64 of word i/64 when at byte i of the message begins a field, repetition, component or sub-component
// that is not split any further and not empty. There are more words than bytes need.
func (p *Pieces) Leaves() []uint64 { return p.leaves }

// Valued tells which fields of a segment have any text, delimiters included: bit n is field n; those from 64 on are
// not told.
func (p *Pieces) Valued(segment int) uint64 { return p.segments[segment].valued }

// Repeated tells which fields of a segment have several repetitions, as Valued does.
func (p *Pieces) Repeated(segment int) uint64 { return p.segments[segment].repeated }

// Fields counts those of a segment.
func (p *Pieces) Fields(segment int) int {
	return int(p.segments[segment+1].fields - p.segments[segment].fields)
}

// at gives the place of a field, nil when there is none.
func (p *Pieces) at(segment, n int) *piece {
	from, to := p.segments[segment].fields, p.segments[segment+1].fields
	if uint(n-1) >= uint(to-from) {
		return nil
	}
	return &p.fields[from+uint32(n)-1]
}

// Field gives a field; absent when there is none.
func (p *Pieces) Field(segment, n int) Value {
	f := p.at(segment, n)
	if f == nil {
		return Value{}
	}
	return Value{m: p.m, start: f.start, end: f.end, level: f.level(levelField)}
}

// First gives the first repetition of a field; absent when there is none.
func (p *Pieces) First(segment, n int) Value {
	f := p.at(segment, n)
	if f == nil {
		return Value{}
	}
	return Value{m: p.m, start: f.start, end: f.first, level: f.level(levelRepetition)}
}

// Component gives a component of the first repetition of a field; absent when there is none.
func (p *Pieces) Component(segment, n, component int) Value {
	f := p.at(segment, n)
	switch {
	case f == nil || component < 1:
		return Value{}
	case component <= int(f.count):
		parts, start := p.parts[f.parts:], f.start
		if component > 1 {
			start = parts[component-2] + 1
		}
		return Value{m: p.m, start: start, end: parts[component-1], level: f.level(levelComponent)}
	case f.count < mostParts:
		return Value{}
	}
	return p.First(segment, n).Component(component)
}

// Span tells where a component of the first repetition of a field lies, the whole repetition for component 0: the offsets
// of its first byte and of that behind its last, the same when it is absent or empty.
func (p *Pieces) Span(segment, n, component int) (from, to int) {
	f := p.at(segment, n)
	switch {
	case f == nil:
		return 0, 0
	case component == 0:
		return int(f.start), int(f.first)
	case component == 1 && f.count > 0:
		return int(f.start), int(p.parts[f.parts])
	case component <= int(f.count):
		parts := p.parts[int(f.parts)+component-2:]
		return int(parts[0]) + 1, int(parts[1])
	}
	v := p.Component(segment, n, component)
	return v.Offset(), v.Offset() + v.Size()
}

// Parts gives the components of a value that is the first repetition of a field; false when it is not, or has more of
// them than Pieces keep.
func (p *Pieces) Parts(segment, n int, v Value) (Parts, bool) {
	f := p.at(segment, n)
	if f == nil || f.start != v.start || f.first != v.end || f.count == mostParts {
		return Parts{}, false
	}
	ends := p.parts[f.parts:][:f.count:f.count]
	return Parts{m: p.m, start: f.start, ends: ends, level: f.level(levelComponent), valued: valued(f.start, ends)}, true
}

// level is l but for the first two fields of a header segment: those are the delimiters themselves.
func (f *piece) level(l level) level {
	if f.literal {
		return levelLiteral
	}
	return l
}

// segment takes one segment apart.
func (p *Pieces) segment(e *entry) {
	raw, start := p.m.raw, e.body()+1
	if start > e.end {
		return
	}
	if e.name.header() {
		enc := until(raw, start, e.end, p.m.del.Field)
		p.literal(start-1, start)
		p.literal(start, enc)
		if start = enc + 1; enc == e.end {
			return
		}
	}
	d := &p.m.del
	field, repetition := ones*uint64(d.Field), ones*uint64(cmp.Or(d.Repetition, d.Field))
	component, subcomponent := ones*uint64(cmp.Or(d.Component, d.Field)), ones*uint64(cmp.Or(d.Subcomponent, d.Field))
	behind := uint64(high >> 56) // a delimiter stands before start
	s := &p.segments[len(p.segments)-1]
	fields, parts := p.fields, p.parts
	valued, repeated, bit := uint64(0), uint64(0), uint64(2)<<(uint32(len(fields))-s.fields) // a shift by 64 or more gives 0
	f := piece{start: start, parts: uint32(len(parts))}
	for i := start; i < e.end; i += 8 {
		word, inside := wordAt(raw, i), ^uint64(0)
		if left := e.end - i; left < 8 {
			inside = 1<<(8*left) - 1
		}
		hits := zeros(word^field) | zeros(word^repetition) | zeros(word^component)
		ends := hits | zeros(word^subcomponent)
		p.begin(i, ^ends&(ends<<8|behind)&high&inside)
		behind = ends >> 56
		for hits &= inside; hits != 0; hits &= hits - 1 {
			at := i + uint32(bits.TrailingZeros64(hits))/8
			c := raw[at]
			if f.first == 0 { // in the first repetition
				if f.count < mostParts {
					parts, f.count = append(parts, at), f.count+1
				}
				if c == d.Repetition {
					f.first = at
				}
			}
			if c != d.Field {
				continue
			}
			if f.start < at {
				valued |= bit
			}
			if f.end = at; f.first == 0 {
				f.first = at
			} else {
				repeated |= bit
			}
			fields, bit = append(fields, f), bit<<1
			f = piece{start: at + 1, parts: uint32(len(parts))}
		}
	}
	p.fields, p.parts = fields, parts
	s.valued, s.repeated = s.valued|valued, s.repeated|repeated
	if f.first == 0 {
		p.part(&f, e.end)
	}
	p.field(&f, e.end)
}

// begin notes the leaves that begin in the eight bytes from i on: the high bit of each.
func (p *Pieces) begin(i uint32, high uint64) {
	if high == 0 {
		return
	}
	eight := high >> 7 * 0x0102040810204080 >> 56 // one bit a byte
	p.leaves[i/64] |= eight << (i % 64)
	p.leaves[i/64+1] |= eight >> (64 - i%64) // a shift by 64 gives 0
}

// literal takes in a field that is not split.
func (p *Pieces) literal(start, end uint32) {
	f := piece{start: start, parts: uint32(len(p.parts)), literal: true}
	p.part(&f, end)
	if p.field(&f, end); start < end {
		p.begin(start, high&-high)
	}
}

// field takes in a field.
func (p *Pieces) field(f *piece, end uint32) {
	s := &p.segments[len(p.segments)-1]
	bit := uint64(2) << (uint32(len(p.fields)) - s.fields) // a shift by 64 or more gives 0
	if f.start < end {
		s.valued |= bit
	}
	if f.end = end; f.first == 0 {
		f.first = end
	} else {
		s.repeated |= bit
	}
	p.fields = append(p.fields, *f)
}

// part takes in a component of a field.
func (p *Pieces) part(f *piece, end uint32) {
	if f.count < mostParts {
		p.parts, f.count = append(p.parts, end), f.count+1
	}
}
