package hl7

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"

	"github.com/dermgate/dermgate/mapping/issue"
)

// codec reads and writes whole messages in a character set whose characters may contain delimiter bytes.
type codec struct {
	encoding encoding.Encoding // nil: UTF-16 or UTF-32
	wide     wide              // when encoding is nil
}

// transcodedSets by their squeezed name. Those of the table lead to the set's canonical entry, so that every
// name of a family is the same set.
var transcodedSets = func() map[string]charset {
	out := map[string]charset{}
	add := func(name string, c *codec, names ...string) {
		for _, n := range append(names, name) {
			out[squeeze([]byte(n))] = charset{name: name, kind: transcoded, codec: c}
		}
	}
	add("SHIFT-JIS", &codec{encoding: japanese.ShiftJIS}, "SJIS", "Windows-31J", "CP932", "MS932")
	add("ISO IR87", &codec{encoding: japanese.ISO2022JP}, "ISO-2022-JP", "ISO IR14", "ISO IR159", "JIS X 0208")
	add("GB 18030-2000", &codec{encoding: simplifiedchinese.GB18030}, "GB18030", "GBK", "GB2312", "CP936")
	add("BIG-5", &codec{encoding: traditionalchinese.Big5})
	add("KS X 1001", &codec{encoding: korean.EUCKR}, "EUC-KR", "KSC5601", "CP949")
	add("UNICODE UTF-16", &codec{wide: wide{unit: 2}}, "UTF-16", "UTF-16LE", "UTF-16BE")
	add("UNICODE UTF-32", &codec{wide: wide{unit: 4}}, "UTF-32", "UTF-32LE", "UTF-32BE")
	return out
}()

// decode gives the UTF-8 text of a message; false when bytes are no characters of the set, or may not be:
// they are U+FFFD in the text.
func (c *codec) decode(b []byte) ([]byte, bool) {
	if c.encoding == nil {
		return c.wide.decode(b)
	}
	if c.encoding == japanese.ISO2022JP { // x/text takes invalid second bytes for others
		return decodeJIS(b)
	}
	text, err := c.encoding.NewDecoder().Bytes(b)
	return text, err == nil && !bytes.ContainsRune(text, utf8.RuneError)
}

// encode writes text in the set; false when it lacks a character, which is then a substitute.
func (c *codec) encode(text []byte) ([]byte, bool) {
	if c.encoding == nil {
		return c.wide.encode(text), true
	}
	if out, err := c.encoding.NewEncoder().Bytes(text); err == nil {
		return out, true
	}
	out, err := encoding.ReplaceUnsupported(c.encoding.NewEncoder()).Bytes(text)
	if err != nil { // text that is no UTF-8
		return text, false
	}
	return out, false
}

// ParseIn reads a message of a source that declares the character set it sends in; "" declares none, and
// is Parse. The rules:
//
//   - MSH-18 absent: the declared set is read (CheckCharset warns when that matters).
//   - MSH-18 names a set: that one is read. When the bytes are no text of it and are text of the declared
//     set, the declared set is read instead, with a warning. C1 control characters are no text here: 0x92
//     under 8859/1 is an apostrophe of cp1252 if the source says so.
//   - A declared set whose characters may contain delimiter bytes (Shift-JIS, ISO IR87, GB 18030, BIG-5,
//     KS X 1001, UTF-16, UTF-32) is transcoded to UTF-8 before the message is split, unless MSH-18 names
//     another set and the bytes are text of that. Bytes then gives the text and Original the input.
//   - MSH-18 names such a set and the source does not declare it: an error at MSH-18.
//
// The error is Parse's, or of kind Value for a declared set that is not known.
func ParseIn(b []byte, declared string) (*Message, error) {
	set := charsetOf([]byte(declared))
	switch set.kind {
	case unknownSet:
		return nil, issue.New(issue.Value, "", unreadable)
	case transcoded:
		return parseTranscoded(b, set)
	}
	m, err := Parse(b)
	if err != nil || set.kind == undeclared {
		return m, err
	}
	switch {
	case m.set.kind == undeclared:
		m.set, m.assumed = set, true
	case m.set.readable() && m.set.name != set.name && !m.set.holds(b) && set.holds(b):
		m.set, m.overruled = set, true
	}
	return m, nil
}

func parseTranscoded(b []byte, set charset) (*Message, error) {
	bound := *set.codec
	if bound.encoding == nil {
		w, ok := wideOf(b)
		if !ok || w.unit != bound.wide.unit {
			return notWide(b)
		}
		bound.wide = w
	} else if m, err := Parse(b); err == nil && m.set.readable() && m.set.kind != undeclared && !m.declares(set.name) && m.set.holds(b) {
		return m, nil
	}
	text, ok := bound.decode(b)
	m, err := Parse(text)
	if err != nil {
		return nil, err
	}
	m.original, m.codec, m.invalid = b, &bound, !ok
	named := m.set.kind
	if named == transcoded && m.set.name != set.name || named == unknownSet {
		return m, nil // CheckCharset has it
	}
	m.assumed = named == undeclared && !m.declares(set.name)
	m.overruled = named != undeclared && !m.declares(set.name)
	m.set = charset{name: set.name, kind: inUTF8}
	return m, nil
}

// notWide reads a message of a source that declares UTF-16 or UTF-32 and sent something else.
func notWide(b []byte) (*Message, error) {
	m, err := Parse(b)
	if err == nil && m.set.kind == undeclared {
		m.set, m.assumed = charset{name: "UNICODE UTF-8", kind: inUTF8}, true
	}
	return m, err
}

// repetitionsRead bounds how many character sets of MSH-18 are looked at.
const repetitionsRead = 16

// readAlternates notes the sets that MSH-18 names, when it repeats.
func (m *Message) readAlternates(sets Value) {
	for n, v := range sets.EachRepetition() {
		if n > repetitionsRead {
			break
		}
		m.alternates = append(m.alternates, charsetOf(v.word()).name)
	}
}

// word gives a value without copying it, where it has no escape.
func (v Value) word() []byte {
	if raw := v.Raw(); v.m == nil || v.m.del.Escape == 0 || bytes.IndexByte(raw, v.m.del.Escape) < 0 {
		return raw
	}
	return v.AppendBytes(nil)
}

// declares tells whether MSH-18 names the set, first or as an alternate.
func (m *Message) declares(set string) bool {
	return m.set.name == set || slices.Contains(m.alternates, set)
}

// Original gives the input byte for byte, where Bytes gives the text it was transcoded to (ParseIn); for
// every other message the two are the same.
func (m *Message) Original() []byte {
	if m.codec != nil {
		return m.original
	}
	return m.raw
}

// outward writes text of the message's own kind in the sender's set.
func (m *Message) outward(text []byte) ([]byte, bool) {
	if m.codec == nil {
		return text, true
	}
	return m.codec.encode(text)
}

// CharsetNames lists the character sets by the names a source may declare, as HL7 table 0211 spells them (and
// CP1252, which it lacks): first those that are read in place and can be written, then those that are transcoded.
func CharsetNames() (plain, transcoded []string) {
	plain = []string{"ASCII", "UNICODE UTF-8"}
	for _, c := range singleByteSets {
		plain = append(plain, strings.ToUpper(c.name))
	}
	for _, c := range transcodedSets {
		transcoded = append(transcoded, c.name)
	}
	slices.SortFunc(plain, naturally)
	slices.Sort(transcoded)
	return plain, slices.Compact(transcoded)
}

// naturally compares names so that 8859/9 comes before 8859/10.
func naturally(a, b string) int {
	if pa, pb := strings.HasPrefix(a, "8859/"), strings.HasPrefix(b, "8859/"); pa && pb && len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// InPlace tells whether messages in a character set, by its name or one of its usual spellings, can be split
// as they stand. Others are transcoded first (ParseIn), or not known.
func InPlace(charset string) bool { return charsetOf([]byte(charset)).readable() }
