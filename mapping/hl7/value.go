package hl7

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"iter"
	"math/bits"
)

// Presence of a value: HL7 v2.8 §2.5.3.
type Presence uint8

const (
	Absent  Presence = iota // the segment ends before it, or there is no such segment
	Empty                   // nothing between its delimiters: no statement
	Null                    // `""`: what the receiver holds is to be deleted
	Present                 // a value
)

// String names the presence.
func (p Presence) String() string { return [...]string{"absent", "empty", "null", "present"}[p] }

// level of a value: which delimiters may still split it.
type level uint8

const (
	levelField level = iota
	levelRepetition
	levelComponent
	levelSubcomponent
	levelLiteral // MSH-1 and MSH-2: the delimiters themselves, neither split nor unescaped
)

// Value is a piece of a message: a field, a repetition, a component or a sub-component. The zero Value is
// absent. A value may be asked for any lower part: the component of a field is that of its first repetition.
type Value struct {
	m          *Message
	start, end uint32
	level      level
}

// Raw gives the bytes as they stand, escapes and lower delimiters included; nil when absent.
func (v Value) Raw() []byte {
	if v.m == nil {
		return nil
	}
	return v.m.raw[v.start:v.end:v.end]
}

// Offset is where the value starts in the message's bytes.
func (v Value) Offset() int { return int(v.start) }

// Presence tells absent, empty, null and present apart. A value made of lower delimiters only (`^^`) says
// nothing and is empty.
func (v Value) Presence() Presence {
	if v.m == nil {
		return Absent
	}
	raw := v.Raw()
	if len(raw) == 2 && raw[0] == '"' && raw[1] == '"' {
		return Null
	}
	for _, c := range raw {
		if !v.splits(c) {
			return Present
		}
	}
	return Empty
}

// splits tells whether c is a delimiter below the value's level.
func (v Value) splits(c byte) bool {
	d := &v.m.del
	switch v.level {
	case levelField:
		return c != 0 && (c == d.Repetition || c == d.Component || c == d.Subcomponent)
	case levelRepetition:
		return c != 0 && (c == d.Component || c == d.Subcomponent)
	case levelComponent:
		return c != 0 && c == d.Subcomponent
	}
	return false
}

// Valued tells whether the value is present.
func (v Value) Valued() bool {
	return v.start < v.end && (alone[v.m.raw[v.start]] || v.Presence() == Present)
}

// alone tells the characters that cannot be a delimiter or begin the null value: each is a value by itself.
var alone = func() (is [256]bool) {
	for c := range is {
		is[c] = letter(byte(c)) || digit(byte(c))
	}
	return is
}()

// Size is how many bytes Raw has.
func (v Value) Size() int { return int(v.end - v.start) }

// Repetitions counts them: 0 when absent, else at least 1.
func (v Value) Repetitions() int { return v.parts(levelRepetition) }

// Components counts those of the first repetition: 0 when absent, else at least 1.
func (v Value) Components() int { return v.parts(levelComponent) }

// Subcomponents counts those of the first component: 0 when absent, else at least 1.
func (v Value) Subcomponents() int { return v.parts(levelSubcomponent) }

// Repetition gives the i-th, counted from 1; absent when there is none.
func (v Value) Repetition(i int) Value { return v.part(levelRepetition, i) }

// Component gives the i-th of the first repetition, counted from 1; absent when there is none.
func (v Value) Component(i int) Value {
	switch {
	case v.m == nil || i < 1 || v.level > levelRepetition:
		return v.part(levelComponent, i)
	case v.level == levelField && v.end-v.start <= near && v.m.del.Component != 0:
		return v.component(i)
	}
	return v.down(levelComponent).piece(levelComponent, i)
}

// component gives a component of the first repetition of a short field in one pass.
func (v Value) component(i int) Value {
	d, raw := &v.m.del, v.m.raw
	part := Value{m: v.m, start: v.start, end: v.end, level: levelComponent}
	for at := v.start; at < v.end; at += 8 {
		for hits := marks(raw, at, v.end, d.Component, d.Repetition); hits != 0; hits &= hits - 1 {
			end := at + uint32(bits.TrailingZeros64(hits))/8
			switch {
			case i == 1:
				part.end = end
				return part
			case raw[end] != d.Component: // the first repetition ends
				return Value{}
			}
			i, part.start = i-1, end+1
		}
	}
	if i > 1 {
		return Value{}
	}
	return part
}

// Subcomponent gives the i-th of the first component of the first repetition, counted from 1.
func (v Value) Subcomponent(i int) Value { return v.part(levelSubcomponent, i) }

// EachRepetition walks them with their numbers; unlike Repetition in a loop it is linear.
func (v Value) EachRepetition() iter.Seq2[int, Value] { return v.each(levelRepetition) }

// EachComponent walks those of the first repetition with their numbers.
func (v Value) EachComponent() iter.Seq2[int, Value] { return v.each(levelComponent) }

// EachSubcomponent walks those of the first component with their numbers.
func (v Value) EachSubcomponent() iter.Seq2[int, Value] { return v.each(levelSubcomponent) }

// delimiter that separates parts of a level.
func (d *Delimiters) at(l level) byte {
	switch l {
	case levelRepetition:
		return d.Repetition
	case levelComponent:
		return d.Component
	case levelSubcomponent:
		return d.Subcomponent
	}
	return 0
}

// down gives the first part of v at a level above or equal to l-1, so that v can be split into parts of l.
func (v Value) down(l level) Value {
	for v.level < l-1 {
		v = v.next(v.level+1, v.start)
	}
	return v
}

// next gives the part of level l that starts at pos.
func (v Value) next(l level, pos uint32) Value {
	p := Value{m: v.m, start: pos, end: v.end, level: l}
	if sep := v.m.del.at(l); sep != 0 {
		if i := nth(v.m.raw, pos, v.end, sep, 1); i >= 0 {
			p.end = uint32(i)
		}
	}
	return p
}

func (v Value) part(l level, i int) Value {
	if v.m == nil || i < 1 {
		return Value{}
	}
	if v = v.down(l); v.level >= l { // already there: a part has itself as its only part
		if i > 1 {
			return Value{}
		}
		return v
	}
	return v.piece(l, i)
}

// piece gives the i-th part of the level below v's.
func (v Value) piece(l level, i int) Value {
	sep := v.m.del.at(l)
	switch {
	case i > 1 && sep == 0:
		return Value{}
	case i > 1:
		var ok bool
		if v.start, v.end, ok = nthPart(v.m.raw, v.start, v.end, sep, i-1); !ok {
			return Value{}
		}
	case sep != 0:
		v.end = until(v.m.raw, v.start, v.end, sep)
	}
	v.level = l
	return v
}

func (v Value) parts(l level) int {
	if v.m == nil {
		return 0
	}
	if v = v.down(l); v.level >= l {
		return 1
	}
	sep := v.m.del.at(l)
	if sep == 0 {
		return 1
	}
	return 1 + bytes.Count(v.Raw(), []byte{sep})
}

func (v Value) each(l level) iter.Seq2[int, Value] {
	return func(yield func(int, Value) bool) {
		if v.m == nil {
			return
		}
		w := v.down(l)
		if w.level >= l {
			yield(1, w)
			return
		}
		for i, p := 1, w.next(l, w.start); yield(i, p) && p.end != w.end; i++ {
			p = w.next(l, p.end+1)
		}
	}
}

// nthPart gives the part that stands behind the n-th c from from on, up to the c after it or to; not ok when there
// are fewer. It is nth twice in one pass where both are near, as they mostly are.
func nthPart(b []byte, from, to uint32, c byte, n int) (start, end uint32, ok bool) {
	i, same := from, ones*uint64(c)
	for ; i < to && int(i)+8 <= len(b) && i < from+near; i += 8 {
		hits := zeros(binary.LittleEndian.Uint64(b[i:]) ^ same)
		if left := to - i; left < 8 {
			hits &= 1<<(8*left) - 1 // not what lies beyond
		}
		k := bits.OnesCount64(hits)
		if k < n {
			n -= k
			continue
		}
		for ; n > 1; n-- {
			hits &= hits - 1
		}
		start = i + uint32(bits.TrailingZeros64(hits))/8 + 1
		for hits &= hits - 1; hits == 0; hits = zeros(binary.LittleEndian.Uint64(b[i:]) ^ same) {
			if i += 8; i >= to || int(i)+8 > len(b) || i >= from+near {
				return start, until(b, min(i, to), to, c), true
			}
		}
		return start, min(to, i+uint32(bits.TrailingZeros64(hits))/8), true
	}
	at := nth(b, i, to, c, n)
	if at < 0 {
		return 0, 0, false
	}
	return uint32(at) + 1, until(b, uint32(at)+1, to, c), true
}

// until gives the index of the first c between from and to, to when there is none.
func until(b []byte, from, to uint32, c byte) uint32 {
	if at := nth(b, from, to, c, 1); at >= 0 {
		return uint32(at)
	}
	return to
}

// In every byte of a word: 1, all bits but the highest, the highest.
const ones, low, high = 0x0101010101010101, 0x7f7f7f7f7f7f7f7f, 0x8080808080808080

// zeros sets the high bit of every byte that is zero, and no other.
func zeros(x uint64) uint64 { return ^((x&low + low) | x | low) }

// Parts are the components of a repetition, or the sub-components of a component.
type Parts struct {
	m      *Message
	ends   []uint32 // of each
	start  uint32   // of the first
	level  level
	valued uint64
}

// Len counts them.
func (p *Parts) Len() int { return len(p.ends) }

// Valued has bit n when part n, of the first 63, has any text.
func (p *Parts) Valued() uint64 { return p.valued }

// At gives the n-th, counted from 1; absent when there is none.
func (p *Parts) At(n int) Value {
	if uint(n-1) >= uint(len(p.ends)) {
		return Value{}
	}
	v := Value{m: p.m, start: p.start, end: p.ends[n-1], level: p.level}
	if n > 1 {
		v.start = p.ends[n-2] + 1
	}
	return v
}

// Parts gives the components of the first repetition, or when deep the sub-components of the first component. Where
// they end goes behind room, whose rest is given back.
func (v Value) Parts(deep bool, room []uint32) (Parts, []uint32) {
	l := levelComponent
	if deep {
		l = levelSubcomponent
	}
	if v.m == nil {
		return Parts{}, room
	}
	v = v.down(l)
	sep, first := byte(0), len(room)
	p := Parts{m: v.m, start: v.start, level: max(v.level, l)}
	if v.level < l {
		sep = v.m.del.at(l)
	}
	if sep != 0 {
		for i := v.start; i < v.end; i += 8 {
			for hits := marks(v.m.raw, i, v.end, sep, sep); hits != 0; hits &= hits - 1 {
				room = append(room, i+uint32(bits.TrailingZeros64(hits))/8)
			}
		}
	}
	room = append(room, v.end)
	p.ends = room[first:len(room):len(room)]
	p.valued = valued(p.start, p.ends)
	return p, room
}

// valued tells which of the parts that end there have any text, as Parts.Valued does.
func valued(start uint32, ends []uint32) (has uint64) {
	for i, end := range ends {
		if start < end {
			has |= 1 << (i + 1) // a shift by 64 or more gives 0
		}
		start = end + 1
	}
	return has
}

// marks tells which of the eight bytes from i on, and before end, are one of two delimiters: the high bit of
// each that is. A delimiter that is not declared is none.
func marks(b []byte, i, end uint32, one, two byte) uint64 {
	word := wordAt(b, i)
	x, y := word^ones*uint64(one), word^ones*uint64(cmp.Or(two, one))
	hits := zeros(x) | zeros(y)
	if left := end - i; left < 8 {
		hits &= 1<<(8*left) - 1
	}
	return hits
}

// wordAt gives the eight bytes from i on, zero beyond the last.
func wordAt(b []byte, i uint32) uint64 {
	if int(i)+8 <= len(b) {
		return binary.LittleEndian.Uint64(b[i:])
	}
	var last [8]byte
	copy(last[:], b[i:])
	return binary.LittleEndian.Uint64(last[:])
}

// near is how many bytes nth counts word by word before it leaves the rest to bytes.IndexByte: most places
// are near, and a call into the vector code for each of many short fields costs more than counting them.
const near = 256

// nth gives the index in b of the n-th c between from and to, -1 when there are fewer.
func nth(b []byte, from, to uint32, c byte, n int) int {
	i, end, same := int(from), int(to), ones*uint64(c)
	for ; i < end && i+8 <= len(b) && i < int(from)+near; i += 8 {
		hits := zeros(binary.LittleEndian.Uint64(b[i:]) ^ same) // c has become a zero byte
		if i+8 > end {
			hits &= 1<<(8*(end-i)) - 1 // not what lies beyond
		}
		k := bits.OnesCount64(hits)
		if k < n {
			n -= k
			continue
		}
		for ; n > 1; n-- {
			hits &= hits - 1
		}
		return i + bits.TrailingZeros64(hits)/8
	}
	for ; i < end; i, n = i+1, n-1 {
		j := bytes.IndexByte(b[i:end], c)
		if j < 0 {
			return -1
		}
		if i += j; n == 1 {
			return i
		}
	}
	return -1
}
