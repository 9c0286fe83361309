package hl7

import (
	"bytes"
	"unicode/utf8"

	"golang.org/x/text/encoding/japanese"
)

// jisDesignations of ISO-2022-JP with JIS X 0212 and half-width katakana (RFC 1468, RFC 2237): what stands
// behind ESC. JIS X 0201 romaji are read as ASCII, for messages are delimited in it.
var jisDesignations = []struct {
	escape string
	designation
}{
	{"(B", designation{size: 1}},
	{"(J", designation{size: 1}},
	{"$B", designation{size: 2, decode: through(japanese.EUCJP)}},
	{"$@", designation{size: 2, decode: through(japanese.EUCJP)}},
	{"$(D", designation{size: 2, decode: through(japanese.EUCJP, 0x8f)}},
	{"(I", designation{size: 1, decode: through(japanese.EUCJP, 0x8e)}},
}

// decodeJIS gives the text of a message whose lines each begin and end in ASCII. What is no character, or
// is cut by the end of its line, is U+FFFD, and so is a line that does not end in ASCII: delimiters may have
// been read as parts of characters.
func decodeJIS(b []byte) (text []byte, ok bool) {
	text, ok = make([]byte, 0, len(b)+len(b)/2), true
	for len(b) > 0 {
		n := bytes.IndexAny(b, "\r\n")
		if n < 0 {
			n = len(b)
		}
		var fits bool
		text, fits = appendJISLine(text, b[:n])
		if ok = ok && fits; n < len(b) {
			text = append(text, b[n])
			n++
		}
		b = b[n:]
	}
	return text, ok
}

func appendJISLine(dst, b []byte) ([]byte, bool) {
	ok, in := true, designation{size: 1}
	for len(b) > 0 {
		if b[0] == 0x1b {
			d, n := jisDesignation(b[1:])
			if b = b[1+n:]; n > 0 {
				in = d
				continue
			}
			dst, ok = utf8.AppendRune(dst, utf8.RuneError), false
			continue
		}
		n := in.size
		switch {
		case in.decode == nil && b[0] < utf8.RuneSelf:
			dst = append(dst, b[0])
		case in.decode == nil || len(b) < n || !graphic(b[:n]):
			dst, ok, n = utf8.AppendRune(dst, utf8.RuneError), false, 1
		default:
			from := len(dst)
			dst = in.decode(dst, b[:n])
			ok = ok && !bytes.ContainsRune(dst[from:], utf8.RuneError)
		}
		b = b[n:]
	}
	if in.decode != nil {
		dst, ok = utf8.AppendRune(dst, utf8.RuneError), false
	}
	return dst, ok
}

// jisDesignation reads what stands behind ESC; 0 bytes when it is none.
func jisDesignation(b []byte) (designation, int) {
	for _, d := range jisDesignations {
		if bytes.HasPrefix(b, []byte(d.escape)) {
			return d.designation, len(d.escape)
		}
	}
	return designation{}, 0
}

// graphic tells bytes of which a character may be made in seven bits.
func graphic(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}
