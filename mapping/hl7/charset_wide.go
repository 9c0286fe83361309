package hl7

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// wide is UTF-16 or UTF-32 as a sender writes it.
type wide struct {
	unit   int // bytes: 2 or 4
	little bool
	mark   bool // a byte order mark comes first
}

// wideOf tells whether b is UTF-16 or UTF-32, by its byte order mark or by the segment name that an HL7
// message or batch starts with.
func wideOf(b []byte) (wide, bool) {
	for _, w := range [...]wide{{unit: 4, little: true}, {unit: 4}, {unit: 2, little: true}, {unit: 2}} {
		if len(b) < w.unit {
			continue
		}
		if w.at(b) == 0xfeff {
			w.mark = true
			return w, true
		}
		if w.starts(b) {
			return w, true
		}
	}
	return wide{}, false
}

// starts tells whether a header segment's name stands behind the filler.
func (w wide) starts(b []byte) bool {
	for len(b) >= w.unit && w.at(b) < utf8.RuneSelf && filler(byte(w.at(b))) {
		b = b[w.unit:]
	}
	if len(b) < 3*w.unit {
		return false
	}
	var word [3]byte
	for i := range word {
		c := w.at(b[i*w.unit:])
		if c >= utf8.RuneSelf {
			return false
		}
		word[i] = byte(c)
	}
	return nameOf(word[:], 0).header()
}

// at reads the first unit of b.
func (w wide) at(b []byte) rune {
	switch {
	case w.unit == 2 && w.little:
		return rune(binary.LittleEndian.Uint16(b))
	case w.unit == 2:
		return rune(binary.BigEndian.Uint16(b))
	case w.little:
		return rune(binary.LittleEndian.Uint32(b))
	}
	return rune(binary.BigEndian.Uint32(b))
}

// decode gives UTF-8; what is no character is U+FFFD, and makes ok false.
func (w wide) decode(b []byte) (text []byte, ok bool) {
	if w.mark {
		b = b[w.unit:]
	}
	text, ok = make([]byte, 0, len(b)/w.unit+len(b)/8), true
	for len(b) >= w.unit {
		r := w.at(b)
		b = b[w.unit:]
		if w.unit == 2 && utf16.IsSurrogate(r) {
			pair := rune(utf8.RuneError)
			if len(b) >= 2 {
				pair = utf16.DecodeRune(r, w.at(b))
			}
			if pair != utf8.RuneError {
				b = b[2:]
			}
			r = pair
			ok = ok && r != utf8.RuneError
		}
		ok = ok && utf8.ValidRune(r)
		text = utf8.AppendRune(text, r)
	}
	if len(b) > 0 { // half a character
		text, ok = utf8.AppendRune(text, utf8.RuneError), false
	}
	return text, ok
}

// encode writes UTF-8 text.
func (w wide) encode(text []byte) []byte {
	out := make([]byte, 0, (len(text)+1)*w.unit)
	if w.mark {
		out = w.append(out, 0xfeff)
	}
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		text = text[n:]
		if hi, lo := utf16.EncodeRune(r); w.unit == 2 && hi != utf8.RuneError {
			out = w.append(w.append(out, hi), lo)
			continue
		}
		out = w.append(out, r)
	}
	return out
}

func (w wide) append(out []byte, r rune) []byte {
	switch {
	case w.unit == 2 && w.little:
		return binary.LittleEndian.AppendUint16(out, uint16(r))
	case w.unit == 2:
		return binary.BigEndian.AppendUint16(out, uint16(r))
	case w.little:
		return binary.LittleEndian.AppendUint32(out, uint32(r))
	}
	return binary.BigEndian.AppendUint32(out, uint32(r))
}

// size is how many bytes text takes, byte order mark not counted.
func (w wide) size(text []byte) int {
	n := 0
	for len(text) > 0 {
		r, k := utf8.DecodeRune(text)
		text = text[k:]
		if n += w.unit; w.unit == 2 && r > 0xffff {
			n += 2
		}
	}
	return n
}
