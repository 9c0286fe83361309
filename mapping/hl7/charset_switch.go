package hl7

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// designation is a set that a \C..\ or \M..\ sequence switches to (HL7 v2.8 §2.7.2; the digits are those of
// the ISO 2022 escape sequence): for bytes below 0x80 (G0) or above (G1), until the next one or the end of
// the value.
type designation struct {
	set    string // as MSH-18 must name it; "" where any alternate does: back to ASCII
	high   bool   // G1
	size   int    // bytes of a character
	decode func(dst, b []byte) []byte
}

// designations by their digits.
var designations = map[string]designation{
	"2842":   {size: 1},
	"284A":   {set: "ISO IR87", size: 1, decode: romaji},
	"2949":   {set: "ISO IR87", high: true, size: 1, decode: through(japanese.EUCJP, 0x8e)},
	"2442":   {set: "ISO IR87", size: 2, decode: through(japanese.EUCJP)},
	"242844": {set: "ISO IR87", size: 2, decode: through(japanese.EUCJP, 0x8f)},
	"242943": {set: "KS X 1001", high: true, size: 2, decode: through(korean.EUCKR)},
	"242941": {set: "GB 18030-2000", high: true, size: 2, decode: through(simplifiedchinese.GBK)},
	"2D41":   latin("8859/1", charmap.ISO8859_1),
	"2D42":   latin("8859/2", charmap.ISO8859_2),
	"2D43":   latin("8859/3", charmap.ISO8859_3),
	"2D44":   latin("8859/4", charmap.ISO8859_4),
	"2D4C":   latin("8859/5", charmap.ISO8859_5),
	"2D47":   latin("8859/6", charmap.ISO8859_6),
	"2D46":   latin("8859/7", charmap.ISO8859_7),
	"2D48":   latin("8859/8", charmap.ISO8859_8),
	"2D4D":   latin("8859/9", charmap.ISO8859_9),
	"2D62":   latin("8859/15", charmap.ISO8859_15),
}

func latin(name string, table *charmap.Charmap) designation {
	return designation{set: name, high: true, size: 1, decode: through(table)}
}

// through decodes characters by an encoding in which their bytes are above 0x7f, behind a prefix.
func through(e encoding.Encoding, prefix ...byte) func(dst, b []byte) []byte {
	return func(dst, b []byte) []byte {
		character := append([]byte(nil), prefix...)
		for _, c := range b {
			character = append(character, c|0x80)
		}
		text, err := e.NewDecoder().Bytes(character)
		if err != nil || utf8.RuneCount(text) != 1 {
			return utf8.AppendRune(dst, utf8.RuneError)
		}
		return append(dst, text...)
	}
}

// romaji is ASCII but for two characters (JIS X 0201).
func romaji(dst, b []byte) []byte {
	switch b[0] {
	case '\\':
		return append(dst, "¥"...)
	case '~':
		return append(dst, "‾"...)
	}
	return append(dst, b...)
}

// switches tells messages whose text needs appendSwitched: their sets may change within a value, or their
// hexadecimal data is of another set than their text.
func (m *Message) switches() bool { return len(m.alternates) > 0 || m.codec != nil }

// shift reads one value: the sets in force, and the bytes not decoded yet.
type shift struct {
	m         *Message
	low, high designation
	run       []byte
	dst       []byte
	bad       bool
}

// appendSwitched decodes a value's escapes and character sets together, since what one escape sequence says
// decides how the bytes behind it read. A switch to a set that is not known, or that MSH-18 does not name,
// stays as it stands. ok is false when bytes are no characters of the set in force.
func (m *Message) appendSwitched(dst, raw []byte) (text []byte, ok bool) {
	s := shift{m: m, dst: dst}
	escape := m.del.Escape
	for {
		i := -1
		if escape != 0 {
			i = bytes.IndexByte(raw, escape)
		}
		if i < 0 {
			s.run = append(s.run, raw...)
			break
		}
		s.run, raw = append(s.run, raw[:i]...), raw[i+1:]
		j := bytes.IndexByte(raw, escape)
		if j < 0 || !s.sequence(raw[:j]) {
			s.run = append(s.run, escape)
			continue
		}
		raw = raw[j+1:]
	}
	s.flush()
	return s.dst, !s.bad
}

// sequence takes one escape sequence in; false when it is none.
func (s *shift) sequence(seq []byte) bool {
	if d, ok := s.m.designates(seq); ok {
		s.flush()
		if d.high {
			s.high = d
		} else {
			s.low = d
		}
		return true
	}
	if len(seq) > 0 && seq[0] == 'X' && s.m.codec != nil {
		return s.hex(seq[1:])
	}
	n := len(s.run)
	run, known := appendSequence(s.run, seq, &s.m.del)
	if s.run = run; !known {
		s.run = run[:n]
	}
	return known
}

// hex takes hexadecimal data in: bytes of the sender's set in a text that has been transcoded.
func (s *shift) hex(digits []byte) bool {
	b, ok := appendHex(nil, digits)
	if !ok || ascii(b) {
		s.run = append(s.run, b...)
		return ok
	}
	bound := *s.m.codec
	bound.wide.mark = false
	text, fits := bound.decode(b)
	s.bad = s.bad || !fits
	s.run = append(s.run, text...)
	return true
}

// designates finds the set a sequence switches to.
func (m *Message) designates(seq []byte) (designation, bool) {
	if len(m.alternates) == 0 || len(seq) < 5 || seq[0] != 'C' && seq[0] != 'M' {
		return designation{}, false
	}
	d, ok := designations[string(bytes.ToUpper(seq[1:]))]
	if !ok || (seq[0] == 'M') != (d.size > 1) || d.set != "" && !slices.Contains(m.alternates, d.set) {
		return designation{}, false
	}
	return d, true
}

// flush decodes the bytes since the last switch. What no switch is about is in the message's own set.
func (s *shift) flush() {
	for run := s.run; len(run) > 0; {
		high := run[0] >= utf8.RuneSelf
		n := 1
		for n < len(run) && (run[n] >= utf8.RuneSelf) == high {
			n++
		}
		d := s.low
		if high {
			d = s.high
		}
		if d.decode == nil {
			s.bad = s.bad || !s.m.set.fits(run[:n])
			s.dst = s.m.set.appendUTF8(s.dst, run[:n])
		} else {
			s.characters(d, run[:n])
		}
		run = run[n:]
	}
	s.run = s.run[:0]
}

// characters decodes bytes of a designated set; space and control characters are no part of it.
func (s *shift) characters(d designation, b []byte) {
	for len(b) > 0 {
		if b[0] <= ' ' || b[0] == 0x7f {
			s.dst, b = append(s.dst, b[0]), b[1:]
			continue
		}
		n := min(d.size, len(b))
		from := len(s.dst)
		if n < d.size {
			s.dst = utf8.AppendRune(s.dst, utf8.RuneError)
		} else {
			s.dst = d.decode(s.dst, b[:n])
		}
		s.bad = s.bad || bytes.ContainsRune(s.dst[from:], utf8.RuneError)
		b = b[n:]
	}
}
