package hl7

import (
	"cmp"
	"math/bits"
)

// Pieces are a message taken apart in one pass, for a reader that wants every field: where its fields lie, the first
// repetition of each, and the components of that. Segments are given by their index, fields and components as the
// standard numbers them. The zero Pieces are of no message; Reset uses them again.
type Pieces struct {
	m        *Message
	segments []segmentPieces // and one more, where the fields of the last end
	fields   []piece         // and one more, where the parts of the last end
	parts    []uint32        // where each component ends
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
	p.m, p.segments, p.fields, p.parts = m, p.segments[:0], p.fields[:0], p.parts[:0]
	if m == nil {
		return
	}
	for i := range m.segs {
		p.segments = append(p.segments, segmentPieces{fields: uint32(len(p.fields))})
		p.segment(&m.segs[i])
	}
	p.segments = append(p.segments, segmentPieces{fields: uint32(len(p.fields))})
}

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
	raw, d, start := p.m.raw, &p.m.del, e.body()+1
	if start > e.end {
		return
	}
	if e.name.header() {
		enc := until(raw, start, e.end, d.Field)
		p.literal(start-1, start)
		p.literal(start, enc)
		if start = enc + 1; enc == e.end {
			return
		}
	}
	f := piece{start: start, parts: uint32(len(p.parts))}
	for i := start; i < e.end; i += 8 {
		for hits := d.marks(raw, i, e.end); hits != 0; hits &= hits - 1 {
			at := i + uint32(bits.TrailingZeros64(hits))/8
			c := raw[at]
			if f.first == 0 { // in the first repetition
				p.part(&f, at)
				if c == d.Repetition {
					f.first = at
				}
			}
			if c == d.Field {
				p.field(f, at)
				f = piece{start: at + 1, parts: uint32(len(p.parts))}
			}
		}
	}
	if f.first == 0 {
		p.part(&f, e.end)
	}
	p.field(f, e.end)
}

// literal takes in a field that is not split.
func (p *Pieces) literal(start, end uint32) {
	f := piece{start: start, parts: uint32(len(p.parts)), literal: true}
	p.part(&f, end)
	p.field(f, end)
}

// field takes in a field.
func (p *Pieces) field(f piece, end uint32) {
	repeats := f.first != 0
	if f.end = end; !repeats {
		f.first = end
	}
	p.fields = append(p.fields, f)
	s := &p.segments[len(p.segments)-1]
	bit := uint64(1) << (uint32(len(p.fields)) - s.fields) // a shift by 64 or more gives 0
	if f.start < end {
		s.valued |= bit
	}
	if repeats {
		s.repeated |= bit
	}
}

// part takes in a component of a field.
func (p *Pieces) part(f *piece, end uint32) {
	if f.count < mostParts {
		p.parts, f.count = append(p.parts, end), f.count+1
	}
}

// marks tells which of the eight bytes from i on, and before end, part fields, repetitions or components: the high
// bit of each that does.
func (d *Delimiters) marks(b []byte, i, end uint32) uint64 {
	word := wordAt(b, i)
	hits := zeros(word^ones*uint64(d.Field)) | zeros(word^ones*uint64(cmp.Or(d.Repetition, d.Field))) |
		zeros(word^ones*uint64(cmp.Or(d.Component, d.Field)))
	if left := end - i; left < 8 {
		hits &= 1<<(8*left) - 1
	}
	return hits
}
