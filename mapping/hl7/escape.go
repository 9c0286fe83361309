package hl7

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Text gives the value as UTF-8 text with escapes rendered (HL7 v2.8 §2.7): delimiters, hexadecimal data in
// the message's character set, line breaks and spaces of formatted text; highlighting and layout without
// meaning for plain text vanish; local (\Z..\) and character set (\C..\, \M..\) sequences and what is not an
// escape sequence at all stay as they are. Delimiters that still split the value stay too: nothing is lost
// when a sender wrote an unescaped "&". MSH-1 and MSH-2 are given as they stand.
func (v Value) Text() string {
	raw := v.Raw()
	if v.level == levelLiteral || v.m == nil || plain(raw, v.m.del.Escape) {
		return string(raw)
	}
	return string(v.AppendText(nil))
}

// plain tells bytes that are their own text: ASCII without an escape.
func plain(b []byte, escape byte) bool {
	if escape == 0 {
		return ascii(b)
	}
	for same := ones * uint64(escape); len(b) >= 8; b = b[8:] {
		if x := binary.LittleEndian.Uint64(b); (x|zeros(x^same))&high != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= utf8.RuneSelf || c == escape {
			return false
		}
	}
	return true
}

func ascii(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b)&high != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// AppendText appends Text to dst.
func (v Value) AppendText(dst []byte) []byte {
	if v.m == nil {
		return dst
	}
	if raw := v.Raw(); plain(raw, v.m.del.Escape) {
		return append(dst, raw...)
	}
	if v.level != levelLiteral && v.m.switches() {
		dst, _ = v.m.appendSwitched(dst, v.Raw())
		return dst
	}
	n := len(dst)
	dst = v.AppendBytes(dst)
	if ascii(dst[n:]) {
		return dst
	}
	return v.m.set.appendUTF8(dst[:n], bytes.Clone(dst[n:]))
}

// AppendBytes appends the value with escapes decoded but its character set left alone: for embedded data.
func (v Value) AppendBytes(dst []byte) []byte {
	raw := v.Raw()
	if v.m == nil || v.level == levelLiteral || v.m.del.Escape == 0 {
		return append(dst, raw...)
	}
	return appendUnescaped(dst, raw, &v.m.del)
}

func appendUnescaped(dst, raw []byte, d *Delimiters) []byte {
	for {
		i := bytes.IndexByte(raw, d.Escape)
		if i < 0 {
			return append(dst, raw...)
		}
		dst, raw = append(dst, raw[:i]...), raw[i+1:]
		j := bytes.IndexByte(raw, d.Escape)
		if j < 0 { // no partner: a character like any other
			return append(append(dst, d.Escape), raw...)
		}
		n := len(dst)
		var known bool
		if dst, known = appendSequence(dst, raw[:j], d); known {
			raw = raw[j+1:]
			continue
		}
		dst = append(dst[:n], d.Escape) // verbatim; its partner may start a sequence of its own
	}
}

// appendSequence renders what stands between two escape characters; false when it is no known sequence.
func appendSequence(dst, seq []byte, d *Delimiters) ([]byte, bool) {
	if len(seq) == 0 {
		return dst, false
	}
	switch seq[0] {
	case 'X':
		return appendHex(dst, seq[1:])
	case 'Z', 'C', 'M':
		dst = append(append(dst, d.Escape), seq...)
		return append(dst, d.Escape), true
	case '.':
		return appendFormat(dst, seq[1:])
	}
	if len(seq) > 1 {
		return dst, false
	}
	switch seq[0] {
	case 'H', 'N':
		return dst, true
	case 'E':
		return append(dst, d.Escape), true
	}
	if c := d.named(seq[0]); c != 0 {
		return append(dst, c), true
	}
	return dst, false
}

// named gives the delimiter a letter stands for in an escape sequence, 0 for none.
func (d *Delimiters) named(letter byte) byte {
	switch letter {
	case 'F':
		return d.Field
	case 'S':
		return d.Component
	case 'T':
		return d.Subcomponent
	case 'R':
		return d.Repetition
	case 'P':
		return d.Truncation
	}
	return 0
}

func appendHex(dst, digits []byte) ([]byte, bool) {
	n := len(dst)
	dst, err := hex.AppendDecode(dst, digits)
	if err != nil || len(digits) == 0 {
		return dst[:n], false
	}
	return dst, true
}

// maxSpace bounds the lines or columns one formatting command may ask for: a page.
const maxSpace = 99

// appendFormat renders a formatting command of FT (HL7 v2.8 §2.7.6) as plain text.
func appendFormat(dst, cmd []byte) ([]byte, bool) {
	if len(cmd) < 2 {
		return dst, false
	}
	arg := strings.TrimSpace(string(cmd[2:]))
	n, err := strconv.Atoi(arg)
	if arg == "" {
		n, err = 1, nil
	}
	if err != nil {
		return dst, false
	}
	n = max(0, min(n, maxSpace))
	switch strings.ToLower(string(cmd[:2])) {
	case "br", "ce":
		return append(dst, '\n'), true
	case "sp":
		return append(dst, bytes.Repeat([]byte{'\n'}, n)...), true
	case "sk", "ti":
		return append(dst, bytes.Repeat([]byte{' '}, n)...), true
	case "in", "fi", "nf":
		return dst, true
	}
	return dst, false
}

// AppendEscaped appends text so that it reads back as the same text and as nothing else: delimiters by
// name, LF as \.br\ (unless the dot is a delimiter), every other control character as \Xhh\ (so that no text
// can end a segment or an MLLP frame). Without an escape character declared, delimiters and control
// characters become a space.
func AppendEscaped(dst, text []byte, d Delimiters) []byte {
	for _, c := range text {
		switch {
		case c == '\n' && d.Escape != 0 && d.letterOf('.') == 0:
			dst = append(dst, d.Escape, '.', 'b', 'r', d.Escape)
		case c < ' ' || c == 0x7f:
			dst = appendHexEscape(dst, c, d.Escape)
		case c >= utf8.RuneSelf || letter(c) || digit(c) || c == ' ':
			dst = append(dst, c)
		default:
			dst = appendMark(dst, c, &d)
		}
	}
	return dst
}

func appendHexEscape(dst []byte, c, escape byte) []byte {
	const digits = "0123456789ABCDEF"
	if escape == 0 {
		return append(dst, ' ')
	}
	return append(dst, escape, 'X', digits[c>>4], digits[c&15], escape)
}

// appendMark appends a punctuation character, escaped when it is a delimiter.
func appendMark(dst []byte, c byte, d *Delimiters) []byte {
	letter := d.letterOf(c)
	switch {
	case letter == 0:
		return append(dst, c)
	case d.Escape == 0:
		return append(dst, ' ')
	}
	return append(dst, d.Escape, letter, d.Escape)
}

// letterOf gives the letter that stands for a delimiter in an escape sequence, 0 for any other character.
func (d *Delimiters) letterOf(c byte) byte {
	switch c {
	case d.Field:
		return 'F'
	case d.Component:
		return 'S'
	case d.Repetition:
		return 'R'
	case d.Subcomponent:
		return 'T'
	case d.Escape:
		return 'E'
	case d.Truncation:
		return 'P'
	}
	return 0
}
