package hl7

import (
	"iter"
	"strconv"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Path is a compiled place in a message: SEG[occurrence]-field[repetition].component.subcomponent. What is
// not stated is 0 and reads as the first; a path without a field names the segment. Paths are comparable.
type Path struct {
	seg                        name
	occ, field, rep, comp, sub uint32
}

// limit of each number in a path: well above what a message within its size limit can hold.
const pathLimit = 1 << 28

// ParsePath compiles a path such as "PID-3[2].1.2", "OBX[2]-5" or "RF1". The error is an *issue.Issue.
func ParsePath(s string) (Path, error) {
	r := pathReader{s: s}
	p, ok := r.path()
	if !ok || r.s != "" {
		return Path{}, issue.New(issue.Value, "", "not an HL7 path: want SEG[n]-field[n].component.subcomponent, such as PID-3[2].1")
	}
	return p, nil
}

// MustPath is ParsePath for paths written in code; it panics on a bad one.
func MustPath(s string) Path {
	p, err := ParsePath(s)
	if err != nil {
		panic("hl7: bad path " + strconv.Quote(s))
	}
	return p
}

// pathReader eats a path from the front.
type pathReader struct{ s string }

func (r *pathReader) path() (p Path, ok bool) {
	if p.seg = nameOf(r.s, 0); p.seg == 0 {
		return p, false
	}
	r.s = r.s[p.seg.len():]
	if p.occ, ok = r.index(); !ok {
		return p, false
	}
	if !r.eat('-') {
		return p, true
	}
	if p.field, ok = r.number(); !ok {
		return p, false
	}
	if p.rep, ok = r.index(); !ok {
		return p, false
	}
	for _, n := range [...]*uint32{&p.comp, &p.sub} {
		if !r.eat('.') {
			break
		}
		if *n, ok = r.number(); !ok {
			return p, false
		}
	}
	return p, true
}

func (r *pathReader) eat(c byte) bool {
	if r.s == "" || r.s[0] != c {
		return false
	}
	r.s = r.s[1:]
	return true
}

// index reads "[n]" or nothing.
func (r *pathReader) index() (uint32, bool) {
	if !r.eat('[') {
		return 0, true
	}
	n, ok := r.number()
	return n, ok && r.eat(']')
}

// number reads a number from 1 to pathLimit, without leading zero.
func (r *pathReader) number() (uint32, bool) {
	n, i := uint32(0), 0
	for ; i < len(r.s) && digit(r.s[i]) && n < pathLimit/10; i++ {
		n = n*10 + uint32(r.s[i]-'0')
	}
	ok := i > 0 && r.s[0] != '0'
	r.s = r.s[i:]
	return n, ok
}

// String writes the path as ParsePath reads it; "" for the zero Path.
func (p Path) String() string {
	if p.seg == 0 {
		return ""
	}
	return string(p.Append(make([]byte, 0, 24)))
}

// Append writes the path to dst.
func (p Path) Append(dst []byte) []byte {
	dst = appendIndex(p.seg.append(dst), p.occ)
	if p.field == 0 {
		return dst
	}
	dst = strconv.AppendUint(append(dst, '-'), uint64(p.field), 10)
	dst = appendIndex(dst, p.rep)
	if p.comp == 0 {
		return dst
	}
	dst = strconv.AppendUint(append(dst, '.'), uint64(p.comp), 10)
	if p.sub == 0 {
		return dst
	}
	return strconv.AppendUint(append(dst, '.'), uint64(p.sub), 10)
}

func appendIndex(dst []byte, n uint32) []byte {
	if n == 0 {
		return dst
	}
	return append(strconv.AppendUint(append(dst, '['), uint64(n), 10), ']')
}

// MarshalText writes String.
func (p Path) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is ParsePath.
func (p *Path) UnmarshalText(b []byte) (err error) { *p, err = ParsePath(string(b)); return err }

// Segment gives the segment name, "" for the zero Path.
func (p Path) Segment() string {
	if p.seg == 0 {
		return ""
	}
	return p.seg.String()
}

// Occurrence of the segment, 0 when not stated.
func (p Path) Occurrence() int { return int(p.occ) }

// Field number, 0 when the path names a segment.
func (p Path) Field() int { return int(p.field) }

// Repetition of the field, 0 when not stated.
func (p Path) Repetition() int { return int(p.rep) }

// Component number, 0 when not stated.
func (p Path) Component() int { return int(p.comp) }

// Subcomponent number, 0 when not stated.
func (p Path) Subcomponent() int { return int(p.sub) }

// At gives the same path in the n-th segment of its name (0: not stated).
func (p Path) At(occurrence int) Path { p.occ = uint32(occurrence); return p }

// Repeat gives the same path in the n-th repetition (0: not stated).
func (p Path) Repeat(n int) Path { p.rep = uint32(n); return p }

// Part gives the path of component c (0: not stated) and its sub-component s (0: not stated).
func (p Path) Part(c, s int) Path { p.comp, p.sub = uint32(c), uint32(s); return p }

// Get reads a place. A path that ends at the field gives the whole field, all its repetitions; one that
// names a component reads the first repetition unless it says which. Nothing is allocated.
func (m *Message) Get(p Path) Value { return m.find(p.seg, max(p.occ, 1)).Get(p) }

// Get reads a place in this segment, whatever segment and occurrence p names.
func (s Segment) Get(p Path) Value {
	v := s.Field(int(p.field))
	if p.rep > 0 {
		v = v.Repetition(int(p.rep))
	}
	if p.comp > 0 {
		v = v.Component(int(p.comp))
	}
	if p.sub > 0 {
		v = v.Subcomponent(int(p.sub))
	}
	return v
}

// Leaves walks every leaf that is present or null, in order, each with its place: the segment's occurrence
// from the second on, always repetition and component, the sub-component where the component has several.
// "PID-3[1].1", "OBX[2]-5[1].5", "PID-3[1].4.2".
func (m *Message) Leaves() iter.Seq2[Path, Value] {
	return func(yield func(Path, Value) bool) {
		for i := range m.segs {
			for p, v := range m.segment(i).Leaves() {
				if !yield(p, v) {
					return
				}
			}
		}
	}
}

// Leaves walks the leaves of one segment, as Message.Leaves does.
func (s Segment) Leaves() iter.Seq2[Path, Value] {
	return func(yield func(Path, Value) bool) {
		for n, f := range s.All() {
			for p, v := range f.leaves(s.Path(n)) {
				if !yield(p, v) {
					return
				}
			}
		}
	}
}

// leaves of a field whose place is p.
func (v Value) leaves(p Path) iter.Seq2[Path, Value] {
	return func(yield func(Path, Value) bool) {
		for r, rep := range v.EachRepetition() {
			for c, comp := range rep.EachComponent() {
				if comp.start == comp.end {
					continue
				}
				at := p.Repeat(r).Part(c, 0)
				if !comp.leaf(at, yield) {
					return
				}
			}
		}
	}
}

// leaf yields a component, or its sub-components when it has several.
func (v Value) leaf(p Path, yield func(Path, Value) bool) bool {
	if v.Subcomponents() == 1 {
		return yield(p, v)
	}
	for n, sub := range v.EachSubcomponent() {
		if sub.start < sub.end && !yield(p.Part(p.Component(), n), sub) {
			return false
		}
	}
	return true
}
