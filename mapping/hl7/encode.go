package hl7

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Builder writes a message segment by segment. Values may be set in any order within a segment; the last
// one set for a place stands. Trailing empty places are not written.
type Builder struct {
	del   Delimiters
	set   charset
	segs  []string
	cells []cell
	err   error
}

// cell is one value and its place; numbers from 1.
type cell struct {
	seg, field, rep, comp, sub int
	raw                        []byte
}

// NewBuilder starts an empty message. Text is written as UTF-8 unless Charset says otherwise; MSH-18 is for
// the caller to set. Delimiters without an escape character are refused (Err): text could not be written.
func NewBuilder(d Delimiters) *Builder {
	b := &Builder{del: d}
	if d.Field == 0 || d.Component == 0 || d.Repetition == 0 || d.Escape == 0 || d.Subcomponent == 0 {
		b.err = issue.New(issue.Value, "MSH-2", "delimiters missing")
	}
	return b
}

// Charset sets the character set of the texts that follow, by its HL7 table 0211 name.
func (b *Builder) Charset(name string) {
	b.set = charsetOf([]byte(name))
	if !b.set.readable() {
		b.fail(issue.New(issue.Value, "MSH-18", "a character set this gateway cannot write"))
	}
}

func (b *Builder) fail(i *issue.Issue) {
	if b.err == nil {
		b.err = i
	}
}

// Segment begins a segment; what is set from now on belongs to it.
func (b *Builder) Segment(name string) {
	if packed(name) == 0 {
		b.fail(issue.New(issue.Value, "", "not a segment name"))
		return
	}
	b.segs = append(b.segs, name)
}

// Set writes text into a place of the current segment, escaped and in the message's character set; 0 for
// rep, comp or sub means the first. The text `""` writes the null value. A character that the set lacks is
// an error (Err), never a substitute.
func (b *Builder) Set(field, rep, comp, sub int, text string) {
	if text == `""` {
		b.SetRaw(field, rep, comp, sub, []byte(text))
		return
	}
	encoded, ok := b.set.appendFrom(nil, text)
	if !ok {
		b.fail(issue.New(issue.Value, b.place(field, rep, comp, sub), "a character that the message's character set lacks"))
	}
	b.SetRaw(field, rep, comp, sub, AppendEscaped(nil, encoded, b.del))
}

// SetRaw writes bytes as they stand: delimiters in them split, and the caller answers for that. Bytes that
// would end the segment or its MLLP frame (CR, LF, VT, FS) are left out.
func (b *Builder) SetRaw(field, rep, comp, sub int, raw []byte) {
	if len(b.segs) == 0 || field < 1 {
		b.fail(issue.New(issue.Value, "", "a value outside any segment"))
		return
	}
	if bytes.ContainsAny(raw, "\r\n\x0b\x1c") {
		raw = bytes.Map(func(r rune) rune {
			if r == '\r' || r == '\n' || r == 0x0b || r == 0x1c {
				return -1
			}
			return r
		}, raw)
	}
	b.cells = append(b.cells, cell{len(b.segs) - 1, field, max(rep, 1), max(comp, 1), max(sub, 1), raw})
}

// Copy writes a field as another message has it: its bytes where delimiters and character set allow, else
// its leaves, each with its text.
func (b *Builder) Copy(field int, v Value) {
	raw := v.Raw()
	if len(raw) == 0 {
		return
	}
	if v.m.del == b.del && (v.m.set.bytesOf(b.set) || plain(raw, b.del.Escape)) && !v.m.switches() {
		b.SetRaw(field, 1, 1, 1, raw)
		return
	}
	for rep, r := range v.EachRepetition() {
		for comp, c := range r.EachComponent() {
			for sub, leaf := range c.EachSubcomponent() {
				if len(leaf.Raw()) > 0 {
					b.Set(field, rep, comp, sub, leaf.Text())
				}
			}
		}
	}
}

func (b *Builder) place(field, rep, comp, sub int) string {
	if len(b.segs) == 0 {
		return ""
	}
	name, n := b.segs[len(b.segs)-1], 0
	for _, s := range b.segs {
		if s == name {
			n++
		}
	}
	p := Path{seg: packed(name), field: uint32(field), rep: uint32(rep), comp: uint32(comp), sub: uint32(sub)}
	if n > 1 {
		p.occ = uint32(n)
	}
	return p.String()
}

// Err gives the first thing that could not be written as asked, an *issue.Issue; nil when all is well.
func (b *Builder) Err() error { return b.err }

// Bytes gives the message, segments ended by CR. It is not to be sent when Err is set.
func (b *Builder) Bytes() []byte {
	slices.SortStableFunc(b.cells, func(x, y cell) int {
		return cmp.Or(cmp.Compare(x.seg, y.seg), cmp.Compare(x.field, y.field), cmp.Compare(x.rep, y.rep),
			cmp.Compare(x.comp, y.comp), cmp.Compare(x.sub, y.sub))
	})
	var out []byte
	cells := b.cells
	for i, s := range b.segs {
		n := 0
		for n < len(cells) && cells[n].seg == i {
			n++
		}
		out = b.appendSegment(out, s, cells[:n])
		cells = cells[n:]
	}
	return out
}

func (b *Builder) appendSegment(out []byte, s string, cells []cell) []byte {
	out = append(out, s...)
	at := cell{rep: 1, comp: 1, sub: 1}
	if packed(s).header() {
		out = append(append(out, b.del.Field), b.del.encoding()...)
		at.field = 2
	}
	for i, c := range cells {
		if len(c.raw) == 0 || i+1 < len(cells) && c.same(cells[i+1]) || at.field == 2 && packed(s).header() && c.field <= 2 {
			continue
		}
		out = b.appendGap(out, &at, c)
		out = append(out, c.raw...)
	}
	return append(out, '\r')
}

func (c cell) same(d cell) bool {
	return c.field == d.field && c.rep == d.rep && c.comp == d.comp && c.sub == d.sub
}

// appendGap writes the delimiters that lead from one place to the next.
func (b *Builder) appendGap(out []byte, at *cell, to cell) []byte {
	if at.field < to.field {
		out = appendN(out, b.del.Field, to.field-at.field)
		*at = cell{field: to.field, rep: 1, comp: 1, sub: 1}
	}
	if at.rep < to.rep {
		out = appendN(out, b.del.Repetition, to.rep-at.rep)
		at.rep, at.comp, at.sub = to.rep, 1, 1
	}
	if at.comp < to.comp {
		out = appendN(out, b.del.Component, to.comp-at.comp)
		at.comp, at.sub = to.comp, 1
	}
	out = appendN(out, b.del.Subcomponent, to.sub-at.sub)
	at.sub = to.sub
	return out
}

func appendN(out []byte, c byte, n int) []byte {
	for ; n > 0; n-- {
		out = append(out, c)
	}
	return out
}

// AppendEncoded writes the message anew from its parts: every segment, field, repetition, component and
// sub-component joined by its delimiter, with what stood between the segments. It equals Bytes for every
// message that Parse takes; `gateway hl7` reports the comparison as round_trip.
func (m *Message) AppendEncoded(dst []byte) []byte {
	pos := uint32(0)
	for i, s := range m.All() {
		dst = append(dst, m.raw[pos:m.segs[i].start]...)
		dst = m.segs[i].name.append(dst)
		for n, f := range s.All() {
			if n > 1 || !m.segs[i].name.header() {
				dst = m.appendSeparated(dst, s, n)
			}
			dst = f.appendEncoded(dst)
		}
		pos = m.segs[i].end
	}
	return append(dst, m.raw[pos:]...)
}

// appendSeparated writes the separator before field n; MSH-1 is the one before MSH-2.
func (m *Message) appendSeparated(dst []byte, s Segment, n int) []byte {
	if n == 2 && s.entry().name.header() {
		return dst
	}
	return append(dst, m.del.Field)
}

func (v Value) appendEncoded(dst []byte) []byte {
	if v.level >= levelSubcomponent {
		return append(dst, v.Raw()...)
	}
	for n, part := range v.each(v.level + 1) {
		if n > 1 {
			dst = append(dst, v.m.del.at(v.level+1))
		}
		dst = part.appendEncoded(dst)
	}
	return dst
}

// With gives a copy of the message with one value set, escaped and in the message's character set; missing
// fields, repetitions and components before it are added empty. The issue is for a segment that is not
// there, for MSH-1 and MSH-2, and for text the character set lacks.
func (m *Message) With(p Path, text string) ([]byte, error) {
	s := m.find(p.seg, max(p.occ, 1))
	switch {
	case !s.OK():
		return nil, issue.New(issue.NotFound, p.String(), "no such segment")
	case p.field == 0 || s.entry().name.header() && p.field <= 2:
		return nil, issue.New(issue.Value, p.String(), "this place cannot be set")
	}
	encoded, ok := m.set.appendFrom(nil, text)
	if !ok {
		return nil, issue.New(issue.Value, p.String(), "a character that the message's character set lacks")
	}
	if text != `""` {
		encoded = AppendEscaped(nil, encoded, m.del)
	}
	e := s.entry()
	field := int(p.field) + 1 // the name stands before the first separator
	if e.name.header() {
		field--
	}
	places := [...]setting{
		{m.del.Field, field}, {m.del.Repetition, int(p.rep)}, {m.del.Component, int(p.comp)}, {m.del.Subcomponent, int(p.sub)},
	}
	deep := 1
	for i, n := range [...]uint32{p.rep, p.comp, p.sub} {
		if n > 0 {
			deep = i + 2
		}
	}
	for _, pl := range places[:deep] {
		if pl.sep == 0 && pl.n > 1 {
			return nil, issue.New(issue.Value, p.String(), "MSH-2 declares no delimiter for this place ("+strconv.Itoa(pl.n)+")")
		}
	}
	out := append(make([]byte, 0, len(m.raw)+len(encoded)+16), m.raw[:e.start]...)
	out = appendWith(out, s.Raw(), places[:deep], encoded)
	if out, ok = m.outward(append(out, m.raw[e.end:]...)); !ok {
		return nil, issue.New(issue.Value, p.String(), "a character that the message's character set lacks")
	}
	return out, nil
}

// setting is one level of a place: which delimiter splits it, and the part wanted (0: the first).
type setting struct {
	sep byte
	n   int
}

// appendWith writes raw with the place replaced by value, adding the parts that are missing.
func appendWith(out, raw []byte, at []setting, value []byte) []byte {
	if len(at) == 0 {
		return append(out, value...)
	}
	sep, n := at[0].sep, max(at[0].n, 1)
	for ; n > 1; n-- {
		i := len(raw)
		if j := bytes.IndexByte(raw, sep); j >= 0 {
			i = j
		}
		out = append(append(out, raw[:i]...), sep)
		raw = raw[min(i+1, len(raw)):]
	}
	end := len(raw)
	if sep != 0 {
		if j := bytes.IndexByte(raw, sep); j >= 0 {
			end = j
		}
	}
	out = appendWith(out, raw[:end], at[1:], value)
	return append(out, raw[end:]...)
}
