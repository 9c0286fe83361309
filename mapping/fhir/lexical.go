package fhir

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// classed tests a text of which classesOf has said what its bytes are.
type classed func(s string, all uint8) bool

// lexical gives the test of a primitive type: is a text of its form (FHIR R4 §2.24.0.1)? A test that begins
// with what the bytes are is given as that too.
func lexical(typ string) (func(string) bool, classed) {
	if alone := formOf(typ); alone != nil {
		return alone, nil
	}
	by := classed(plain) // string, markdown
	switch typ {
	case "uri", "url", "canonical":
		by = uri
	case "code":
		by = code
	}
	return func(s string) bool { return by(s, classesOf(s)) }, by
}

// formOf gives the test of a type whose characters are those of its own grammar; nil for one of free text.
func formOf(typ string) func(string) bool {
	switch typ {
	case "boolean":
		return func(s string) bool { return s == "true" || s == "false" }
	case "integer":
		return func(s string) bool {
			rest, negative := strings.CutPrefix(s, "-")
			return whole(rest, maxInt32) || negative && rest == "2147483648"
		}
	case "unsignedInt":
		return func(s string) bool { return whole(s, maxInt32) }
	case "positiveInt":
		return func(s string) bool { return s != "0" && whole(s, maxInt32) }
	case "decimal":
		return func(s string) bool { return decimal(s) && finite(s) }
	case "oid":
		return func(s string) bool { rest, ok := strings.CutPrefix(s, "urn:oid:"); return ok && oid(rest) }
	case "uuid":
		return func(s string) bool { rest, ok := strings.CutPrefix(s, "urn:uuid:"); return ok && uuid(rest) }
	case "id":
		return id
	case "date":
		return date
	case "dateTime":
		return func(s string) bool { return date(s) || instant(s) }
	case "instant":
		return instant
	case "time":
		return func(s string) bool { return s != "" && clock(s) == len(s) }
	case "base64Binary":
		return base64Text
	case "xhtml":
		return xhtml
	}
	return nil
}

const maxInt32 = "2147483647"

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// whole is a number without sign, fraction or leading zeros, of most at most.
func whole(s, most string) bool {
	if s == "" || digits(s) != len(s) || len(s) > 1 && s[0] == '0' {
		return false
	}
	return len(s) < len(most) || len(s) == len(most) && s <= most
}

// decimal is also the grammar of a JSON number (RFC 8259 §6).
func decimal(s string) bool {
	s = strings.TrimPrefix(s, "-")
	n := digits(s)
	if n == 0 || n > 1 && s[0] == '0' {
		return false
	}
	s = s[n:]
	if rest, ok := strings.CutPrefix(s, "."); ok {
		if n = digits(rest); n == 0 {
			return false
		}
		s = rest[n:]
	}
	if s == "" {
		return true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return false
	}
	if s = s[1:]; s != "" && (s[0] == '+' || s[0] == '-') {
		s = s[1:]
	}
	return s != "" && digits(s) == len(s)
}

// finite tells whether a decimal is within what its readers hold: a power of ten beyond a double's is no
// clinical value, and google/fhir refuses the whole resource for it.
func finite(s string) bool {
	if !strings.ContainsAny(s, "eE") {
		return true
	}
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

// What a byte of a text can be; one pass gathers what a text has.
const (
	solid   = 1 << iota // not white space
	blank               // space, tab, line ends
	control             // other bytes under 32, and none of them may stand in a FHIR text
	special             // is escaped in JSON
	wide                // part of a character beyond ASCII
	hexLow              // a digit of a UUID: 0 to 9, a to f
)

// classes says what each byte is.
var classes = func() (c [256]uint8) {
	for b := range c {
		switch {
		case b == ' ':
			c[b] = blank
		case b == '\t' || b == '\n' || b == '\r':
			c[b] = blank | special
		case b < ' ':
			c[b] = control | special
		case b == '"' || b == '\\':
			c[b] = solid | special
		case b >= utf8.RuneSelf:
			c[b] = solid | wide
		case b >= '0' && b <= '9' || b >= 'a' && b <= 'f':
			c[b] = solid | hexLow
		default:
			c[b] = solid
		}
	}
	return c
}()

// classesOf gathers what a text has. Eight bytes at a time are looked at together; only those with one that
// is neither a space nor plainly solid ASCII are looked at each.
func classesOf(s string) (all uint8) {
	const ones, low, high = 0x0101010101010101, 0x7f7f7f7f7f7f7f7f, 0x8080808080808080
	for ; len(s) >= 8; s = s[8:] {
		x := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | // one load
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		shown := (x | high) - ones*' '                            // the high bit of every byte from the space on
		plain := ((x ^ ones*'"') + low) & ((x ^ ones*'\\') + low) // and of every one that JSON does not escape
		if x&high != 0 || shown&plain&high != high {
			for i := range 8 {
				all |= classes[s[i]]
			}
			continue
		}
		black := ((x ^ ones*' ') + low) & high // the high bit of every byte but a space
		if black != 0 {
			all |= solid
		}
		if black != high {
			all |= blank
		}
	}
	for i := range len(s) {
		all |= classes[s[i]]
	}
	return all
}

// plain is any text but an empty one or one of white space only, without control characters but tab and
// line ends.
func plain(s string, all uint8) bool {
	return all&(solid|control) == solid && (all&wide == 0 || utf8.ValidString(s))
}

// uri has no white space and no control characters, a percent sign begins an escape, and what stands before
// the first colon is a scheme (RFC 3986 §2.1 and §3.1); what it leads to is for the one who follows it.
func uri(s string, all uint8) bool {
	if all&(solid|control|blank) != solid || all&wide != 0 && !utf8.ValidString(s) {
		return false
	}
	for i := strings.IndexByte(s, '%'); i >= 0; {
		if i+2 >= len(s) || !hexDigit(s[i+1]) || !hexDigit(s[i+2]) {
			return false
		}
		next := strings.IndexByte(s[i+3:], '%')
		if next < 0 {
			break
		}
		i += 3 + next
	}
	for i := range len(s) {
		switch s[i] {
		case ':':
			return scheme(s[:i])
		case '/', '?', '#':
			return true
		}
	}
	return true
}

func hexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func scheme(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20 // a letter in lower case
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || !(s[i] >= '0' && s[i] <= '9' || s[i] == '+' || s[i] == '-' || s[i] == '.')) {
			return false
		}
	}
	return s != ""
}

func oid(s string) bool {
	if s == "" || s[0] < '0' || s[0] > '2' {
		return false
	}
	for s != "" {
		n := digits(s)
		if n == 0 || n > 1 && s[0] == '0' {
			return false
		}
		if s = s[n:]; s == "" {
			return true
		}
		if s[0] != '.' {
			return false
		}
		if s = s[1:]; s == "" {
			return false
		}
	}
	return false
}

func uuid(s string) bool {
	if len(s) != 36 {
		return false
	}
	all := uint8(hexLow)
	for _, part := range [...]string{s[:8], s[9:13], s[14:18], s[19:23], s[24:]} {
		for i := range len(part) {
			all &= classes[part[i]]
		}
	}
	return all != 0 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-'
}

func id(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// code has no white space at its ends and single spaces inside.
func code(s string, all uint8) bool {
	if all&blank != 0 && (all&special != 0 && strings.ContainsAny(s, "\t\r\n") ||
		s[0] == ' ' || s[len(s)-1] == ' ' || strings.Contains(s, "  ")) {
		return false
	}
	return all&(solid|control) == solid && (all&wide == 0 || utf8.ValidString(s))
}

// calendar gives how many bytes of s are a date of year, month or day precision; 0 when none.
func calendar(s string) int {
	if len(s) < 4 || digits(s[:4]) != 4 || s[:4] == "0000" {
		return 0
	}
	if len(s) < 7 || s[4] != '-' {
		return 4
	}
	if m := s[5:7]; digits(m) != 2 || m < "01" || m > "12" {
		return 0
	}
	if len(s) < 10 || s[7] != '-' {
		return 7
	}
	if d := s[8:10]; digits(d) != 2 || d < "01" || d > lastDay(s[:4], s[5:7]) {
		return 0
	}
	return 10
}

// lastDay gives the last day of a month, for years of the Gregorian calendar.
func lastDay(year, month string) string {
	switch month {
	case "04", "06", "09", "11":
		return "30"
	case "02":
		if y, _ := strconv.Atoi(year); y%4 == 0 && (y%100 != 0 || y%400 == 0) {
			return "29"
		}
		return "28"
	}
	return "31"
}

func date(s string) bool { n := calendar(s); return n > 0 && n == len(s) }

// clock gives how many bytes of s are hh:mm:ss with a fraction or without; 0 when none.
func clock(s string) int {
	if len(s) < 8 || s[2] != ':' || s[5] != ':' || digits(s[:2]) != 2 || digits(s[3:5]) != 2 || digits(s[6:8]) != 2 {
		return 0
	}
	if s[:2] > "23" || s[3:5] > "59" || s[6:8] > "60" {
		return 0
	}
	n := 8
	if n < len(s) && s[n] == '.' {
		f := digits(s[n+1:])
		if f == 0 {
			return 0
		}
		n += 1 + f
	}
	return n
}

// zone is Z or an offset of at most 14 hours.
func zone(s string) bool {
	if s == "Z" {
		return true
	}
	if len(s) != 6 || s[0] != '+' && s[0] != '-' || s[3] != ':' || digits(s[1:3]) != 2 || digits(s[4:6]) != 2 {
		return false
	}
	return s[1:3] <= "13" && s[4:6] <= "59" || s[1:] == "14:00"
}

func instant(s string) bool {
	if len(s) < 20 || s[10] != 'T' || calendar(s) != 10 {
		return false
	}
	n := clock(s[11:])
	return n > 0 && zone(s[11+n:])
}

// base64Text is base64 with padding, with line ends or without: R4 lets white space stand between groups.
func base64Text(s string) bool {
	n, pad := 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
		case c == '=':
			pad++
		case pad > 0:
			return false
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/':
			n++
		default:
			return false
		}
	}
	return n > 0 && pad <= 2 && (n+pad)%4 == 0
}
