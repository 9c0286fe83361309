package hl7

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"github.com/dermgate/dermgate/mapping/issue"
)

// charset is a character set of HL7 table 0211. One whose characters above ASCII never contain a delimiter
// byte is read in place; any other is transcoded before the message is split, if the source declares it.
type charset struct {
	name  string // as HL7 spells it; "" none declared; the sender's own word when unknown
	kind  charsetKind
	table *charmap.Charmap // single byte sets
	codec *codec           // transcoded sets
}

type charsetKind uint8

const (
	undeclared charsetKind = iota // read as UTF-8
	inUTF8
	inASCII
	singleByte
	transcoded // cannot be read in place
	unknownSet
)

// unreadable is said of a set that is not known.
const unreadable = "a character set this gateway cannot read: want UNICODE UTF-8, ASCII, 8859/1 to 8859/15, cp1252 " +
	"or one of those that are transcoded"

// bytesOf tells whether both sets write a character as the same bytes.
func (c charset) bytesOf(d charset) bool {
	return c.readable() && d.readable() && c.table == d.table && max(c.kind, inUTF8) == max(d.kind, inUTF8)
}

// readable tells a set that is read in place.
func (c charset) readable() bool { return c.kind < transcoded }

// singleByteSets by their squeezed name.
var singleByteSets = map[string]charset{
	"88591":  {name: "8859/1", table: charmap.ISO8859_1},
	"88592":  {name: "8859/2", table: charmap.ISO8859_2},
	"88593":  {name: "8859/3", table: charmap.ISO8859_3},
	"88594":  {name: "8859/4", table: charmap.ISO8859_4},
	"88595":  {name: "8859/5", table: charmap.ISO8859_5},
	"88596":  {name: "8859/6", table: charmap.ISO8859_6},
	"88597":  {name: "8859/7", table: charmap.ISO8859_7},
	"88598":  {name: "8859/8", table: charmap.ISO8859_8},
	"88599":  {name: "8859/9", table: charmap.ISO8859_9},
	"885910": {name: "8859/10", table: charmap.ISO8859_10},
	"885911": {name: "8859/11", table: charmap.Windows874}, // TIS-620, of which windows-874 is a superset
	"885913": {name: "8859/13", table: charmap.ISO8859_13},
	"885914": {name: "8859/14", table: charmap.ISO8859_14},
	"885915": {name: "8859/15", table: charmap.ISO8859_15},
	"CP1252": {name: "cp1252", table: charmap.Windows1252},
}

// charsetOf finds a set by the names senders use for it; it allocates only for unusual spellings.
func charsetOf(word []byte) charset {
	switch string(word) {
	case "", `""`:
		return charset{}
	case "UNICODE UTF-8":
		return charset{name: "UNICODE UTF-8", kind: inUTF8}
	case "ASCII":
		return charset{name: "ASCII", kind: inASCII}
	}
	key := squeeze(word)
	switch key {
	case "UNICODEUTF8", "UTF8":
		return charset{name: "UNICODE UTF-8", kind: inUTF8}
	case "ASCII", "USASCII", "ISOIR6":
		return charset{name: "ASCII", kind: inASCII}
	case "LATIN1":
		key = "88591"
	case "WINDOWS1252":
		key = "CP1252"
	}
	if c, ok := singleByteSets[strings.TrimPrefix(key, "ISO")]; ok {
		c.kind = singleByte
		return c
	}
	if c, ok := transcodedSets[key]; ok {
		return c
	}
	return charset{name: string(word), kind: unknownSet}
}

// squeeze drops everything but letters and digits, in capitals: "iso-8859-1" → "ISO88591".
func squeeze(word []byte) string {
	out := make([]byte, 0, len(word))
	for _, c := range bytes.ToUpper(word) {
		if letter(c) || digit(c) {
			out = append(out, c)
		}
	}
	return string(out)
}

// appendUTF8 decodes b; bytes the set does not have become U+FFFD, which CheckCharset reports.
func (c charset) appendUTF8(dst, b []byte) []byte {
	if c.table == nil {
		return append(dst, bytes.ToValidUTF8(b, []byte("\uFFFD"))...)
	}
	for _, x := range b {
		if x < utf8.RuneSelf {
			dst = append(dst, x)
			continue
		}
		dst = utf8.AppendRune(dst, c.table.DecodeByte(x))
	}
	return dst
}

// appendFrom encodes UTF-8 text; false when the set lacks a character (of which nothing is appended).
func (c charset) appendFrom(dst []byte, text string) ([]byte, bool) {
	if c.kind == inUTF8 || c.kind == undeclared {
		return append(dst, text...), utf8.ValidString(text)
	}
	ok := true
	for _, r := range text {
		if r < utf8.RuneSelf {
			dst = append(dst, byte(r))
			continue
		}
		b, has := byte(0), false
		if c.table != nil && r != utf8.RuneError {
			b, has = c.table.EncodeRune(r)
		}
		if !has {
			ok = false
			continue
		}
		dst = append(dst, b)
	}
	return dst, ok
}

// holds tells whether b is text of the set: unlike fits it does not take C1 control characters for text.
func (c charset) holds(b []byte) bool {
	if c.table == nil {
		return c.fits(b)
	}
	for _, x := range b {
		if r := c.table.DecodeByte(x); x >= utf8.RuneSelf && (r == utf8.RuneError || r < 0xa0) {
			return false
		}
	}
	return true
}

// Charset gives the character set in force, as HL7 table 0211 spells it: MSH-18, else what the source
// declares, else "".
func (m *Message) Charset() string { return m.set.name }

// AssumeCharset sets the character set to read with when MSH-18 says nothing, as ParseIn does; a set that
// must be transcoded comes too late here. The issue is for such a set and for one that is not known.
func (m *Message) AssumeCharset(name string) error {
	if m.set.kind != undeclared {
		return nil
	}
	c := charsetOf([]byte(name))
	if !c.readable() {
		return issue.New(issue.Value, "", unreadable)
	}
	m.set, m.assumed = c, true
	return nil
}

// CheckCharset tells what is wrong with the message's characters: a set that cannot be read (error at
// MSH-18), bytes its set does not have, or has for control characters alone (error at each place, at most
// charsetIssues), characters above ASCII without MSH-18 or of another set than it names (warnings).
func (m *Message) CheckCharset() issue.List {
	if trouble := m.checkDeclared(); trouble != nil {
		return issue.List{trouble}
	}
	plainBytes := ascii(m.raw)
	var found issue.List
	if m.overruled {
		found = append(found, issue.Warn(issue.Value, "MSH-18", "the bytes are of another character set: read as "+m.set.name+", which the source declares"))
	}
	if !plainBytes && (m.assumed || m.set.kind == undeclared) {
		read := m.set.name
		if read == "" {
			read = "UNICODE UTF-8"
		}
		found = append(found, issue.Warn(issue.Required, "MSH-18", "no character set declared: read as "+read))
	}
	if plainBytes && len(m.alternates) == 0 && !bytes.Contains(m.raw, []byte{m.del.Escape, 'X'}) {
		return found
	}
	return append(found, m.badBytes()...)
}

// checkDeclared looks at MSH-18: what it names must be read in place or have been transcoded, its
// repetitions too when the text is switched by escape bytes (ISO 2022), whose characters may be delimiters.
func (m *Message) checkDeclared() *issue.Issue {
	switch m.set.kind {
	case transcoded:
		return issue.New(issue.Value, "MSH-18", "characters of this set may contain delimiter bytes: it is read only from a source that declares it (charset)")
	case unknownSet:
		return issue.New(issue.Value, "MSH-18", "a character set this gateway cannot read")
	}
	if m.codec != nil || len(m.alternates) == 0 || bytes.IndexByte(m.raw, 0x1b) < 0 {
		return nil
	}
	for n, name := range m.alternates[1:] {
		if charsetOf([]byte(name)).kind == transcoded {
			p := m.Segment(0).Path(18).Repeat(n + 2)
			return issue.New(issue.Value, p.String(), "switched to by escape bytes: it is read only from a source that declares it (charset)")
		}
	}
	return nil
}

// charsetIssues bounds the places reported for one message.
const charsetIssues = 20

func (m *Message) badBytes() issue.List {
	var found issue.List
	var buf []byte
	for p, v := range m.Leaves() {
		var ok bool
		if buf, ok = v.appendChecked(buf[:0]); ok {
			continue
		}
		found = append(found, issue.New(issue.Value, p.String(), "bytes that are no characters of the declared set"))
		if len(found) == charsetIssues {
			break
		}
	}
	if m.invalid && found == nil { // in no leaf: delimiters, or between segments
		found = append(found, issue.New(issue.Value, "MSH", "bytes that are no characters of the declared set"))
	}
	return found
}

// appendChecked gives the value's bytes or text, for its memory, and whether all are characters of its set.
func (v Value) appendChecked(dst []byte) ([]byte, bool) {
	if v.level != levelLiteral && v.m.switches() {
		dst, ok := v.m.appendSwitched(dst, v.Raw())
		return dst, ok && !(v.m.invalid && bytes.ContainsRune(dst, utf8.RuneError))
	}
	dst = v.AppendBytes(dst)
	return dst, v.m.set.holds(dst)
}

// fits tells whether b is text of the set.
func (c charset) fits(b []byte) bool {
	switch {
	case c.kind == inASCII:
		return ascii(b)
	case c.table == nil:
		return utf8.Valid(b)
	}
	for _, x := range b {
		if x >= utf8.RuneSelf && c.table.DecodeByte(x) == utf8.RuneError {
			return false
		}
	}
	return true
}
