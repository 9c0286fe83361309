package mapping

import (
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// conversion makes the text of a FHIR primitive from the text of a value; why is the text when it
// cannot, and "" with an empty result means that there is nothing to write.
type conversion func(r *run, in string) (out, why string)

// conversions into FHIR by their name in a map, which is the name of the FHIR type they give.
var conversions = map[string]conversion{
	"string": plainText, "markdown": plainText, "code": codeText, "id": idText, "uri": uriText, "url": uriText,
	"canonical": uriText, "boolean": booleanText, "integer": integerText, "positiveInt": positiveText, "unsignedInt": integerText,
	"decimal": decimalText, "date": dateText, "dateTime": dateTimeText, "instant": instantText,
	"time": timeText,
}

// proof tells why what a conversion makes is sound in its element (fhir/sound.go) without another look at it. That it is
// so, tests hold against the validator.
type proof uint8

const (
	unproven proof = iota
	byForm         // it makes nothing but what is of the type's form, in ASCII that JSON takes as it is
	asText         // a clean text that does not begin with a space is that already
	asCode         // so is a clean text without any space
	asURI          // what it makes is of the type's form, and of a clean text JSON takes it as it is
)

// proofs are those of conversions. None tells anything of a required binding.
var proofs = map[string]proof{
	"string": asText, "markdown": asText, "code": asCode, "id": byForm, "uri": asURI, "url": asURI, "canonical": asURI,
	"boolean": byForm, "integer": byForm, "positiveInt": byForm, "unsignedInt": byForm, "decimal": byForm, "date": byForm,
	"dateTime": byForm, "instant": byForm, "time": byForm, "system": asURI,
}

// leads tells the conversions that read the first component of a composite, as every version before the
// composite existed had it (TS of v2.3 is the DTM of v2.7).
func leads(how string) bool {
	switch how {
	case "date", "dateTime", "instant", "decimal":
		return true
	}
	return false
}

func plainText(_ *run, in string) (string, string) {
	if in != "" && in[0] > ' ' && above(in, ' '-1) { // as most are
		return in, ""
	}
	solid, clean := false, true
	for i := 0; i < len(in); i++ {
		c := in[i]
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' {
			clean = false
		} else if c > ' ' {
			solid = true
		}
	}
	if !solid {
		return "", ""
	}
	if !clean { // FHIR has no control characters: shown as what Unicode calls their pictures
		in = strings.Map(func(c rune) rune {
			if c < ' ' && c != '\t' && c != '\n' && c != '\r' {
				return c + 0x2400
			}
			return c
		}, in)
	}
	return in, ""
}

// above tells a text whose bytes are all above one of ASCII, eight at a time.
func above(s string, c byte) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	least := ones * uint64(c+1)
	for ; len(s) >= 8; s = s[8:] {
		x := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | // one load
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		if ((x|high)-least|x)&high != high { // the high bit of every byte that is
			return false
		}
	}
	for i := range len(s) {
		if s[i] <= c {
			return false
		}
	}
	return true
}

func codeText(r *run, in string) (string, string) {
	if above(in, ' ') {
		return in, ""
	}
	if !strings.ContainsAny(in, " \t\r\n") {
		return plainText(r, in)
	}
	return plainText(r, strings.Join(strings.Fields(in), " "))
}

func idText(_ *run, in string) (string, string) {
	if len(in) > 64 {
		return "", "longer than the 64 characters of an id"
	}
	for i := 0; i < len(in); i++ {
		if c := in[i]; !wordByte(c) && c != '-' && c != '.' || c == '_' {
			return "", "not an id: letters, digits, hyphens and dots only"
		}
	}
	return in, ""
}

func uriText(_ *run, in string) (string, string) {
	out := escapedURI(in)
	if out != "" && !uriType().Fits(out) {
		return "", "not a URI"
	}
	return out, ""
}

var uriType = sync.OnceValue(func() *fhir.Type { t, _ := fhir.R4().Datatype("uri"); return t })

// escapedURI escapes what may not stand in a URI: white space inside, and a percent sign that begins no escape.
func escapedURI(in string) string {
	if above(in, ' ') && strings.IndexByte(in, '%') < 0 && (in == "" || in[0] < utf8.RuneSelf && in[len(in)-1] < utf8.RuneSelf) {
		return in
	}
	in = strings.TrimSpace(in)
	if !strings.ContainsAny(in, " \t\r\n%") {
		return in
	}
	var out strings.Builder
	for i := range len(in) {
		switch c := in[i]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n', c == '%' && (i+2 >= len(in) || !isHex(in[i+1]) || !isHex(in[i+2])):
			fmt.Fprintf(&out, "%%%02X", c)
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

func booleanText(_ *run, in string) (string, string) {
	switch strings.ToUpper(strings.TrimSpace(in)) {
	case "Y", "YES", "TRUE", "1":
		return "true", ""
	case "N", "NO", "FALSE", "0":
		return "false", ""
	}
	return "", "neither yes nor no"
}

func integerText(_ *run, in string) (string, string) {
	in = strings.TrimSpace(in)
	n := strings.TrimLeft(in, "0")
	if n == "" && in != "" {
		n = "0"
	}
	for i := 0; i < len(n); i++ {
		if !isDigit(n[i]) || i > 8 {
			return "", "not a whole number"
		}
	}
	return n, ""
}

func positiveText(r *run, in string) (string, string) {
	out, why := integerText(r, in)
	if out == "0" {
		return "", "not a whole number above 0"
	}
	return out, why
}

// decimalText keeps the digits as sent: precision carries meaning.
func decimalText(_ *run, in string) (string, string) {
	in = strings.TrimPrefix(strings.TrimSpace(in), "+")
	sign := ""
	if rest, ok := strings.CutPrefix(in, "-"); ok {
		sign, in = "-", rest
	}
	whole, fraction, point := strings.Cut(in, ".")
	for _, part := range []string{whole, fraction} {
		for i := 0; i < len(part); i++ {
			if !isDigit(part[i]) {
				return "", "not a number"
			}
		}
	}
	if whole == "" && fraction == "" || len(in) > 18 {
		return "", "not a number"
	}
	trimmed := strings.TrimLeft(whole, "0")
	if trimmed == "" {
		trimmed = "0"
	}
	if sign == "" && trimmed == whole && (!point || fraction != "") {
		return in, ""
	}
	if fraction != "" {
		return sign + trimmed + "." + fraction, ""
	}
	return sign + trimmed, ""
}

const notTime = "not a date or time in any form known here"

func dateText(r *run, in string) (string, string) {
	m, ok := parseMoment(in)
	if !ok {
		return "", notTime
	}
	r.arena.scratch = m.appendDate(r.arena.scratch[:0])
	return r.arena.keep(r.arena.scratch), ""
}

func dateTimeText(r *run, in string) (string, string) {
	if last := &r.lastTime; in != "" && in == last.in {
		r.unsure = r.unsure || last.unsure
		return last.out, ""
	}
	m, ok := parseMoment(in)
	if !ok {
		return "", notTime
	}
	var sure bool
	r.arena.scratch, sure = m.appendTime(r.arena.scratch[:0], &r.zone)
	r.unsure = r.unsure || !sure
	r.lastTime = again{in: in, out: r.arena.keep(r.arena.scratch), unsure: !sure}
	return r.lastTime.out, ""
}

func instantText(r *run, in string) (string, string) {
	m, ok := parseMoment(in)
	if !ok {
		return "", notTime
	}
	var sure bool
	r.arena.scratch, ok, sure = m.appendInstant(r.arena.scratch[:0], &r.zone)
	if !ok {
		return "", "a point in time needs at least its day"
	}
	r.unsure = r.unsure || !sure
	return r.arena.keep(r.arena.scratch), ""
}

// timeText reads an HL7 time of day (HH[MM[SS[.S…]]], v2.8 §2.A.75), with colons too.
func timeText(_ *run, in string) (string, string) {
	in = strings.ReplaceAll(strings.TrimSpace(in), ":", "")
	whole, fraction, point := strings.Cut(in, ".")
	if len(whole) == 2 || len(whole) == 4 {
		whole += "0000"[:6-len(whole)]
	}
	digits := func(s string) bool { return strings.Trim(s, "0123456789") == "" }
	if len(whole) != 6 || !digits(whole) || !digits(fraction) || point && fraction == "" ||
		whole[:2] > "23" || whole[2:4] > "59" || whole[4:] > "59" {
		return "", "not a time of day"
	}
	out := whole[:2] + ":" + whole[2:4] + ":" + whole[4:]
	if point {
		out += "." + fraction
	}
	return out, ""
}

func isOID(s string) bool {
	if len(s) < 3 || s[0] < '0' || s[0] > '2' || s[1] != '.' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if !isDigit(s[i]) && (s[i] != '.' || s[i-1] == '.') {
			return false
		}
	}
	return s[len(s)-1] != '.'
}
