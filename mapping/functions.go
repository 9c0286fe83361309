package mapping

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// function is one of ours that an expression may call on a text; either test or text is set.
type function struct {
	name string
	doc  string
	test func(string) bool
	text func(string) string
}

var functions = []function{
	{name: "mod11", doc: "ten digits, spaces and hyphens aside, with a right Modulus 11 check digit (NHS Data Dictionary)", test: mod11},
	{name: "digits", doc: "the text without spaces and hyphens", text: digits},
	{name: "tail", doc: "the text without its first character", text: tail},
	{name: "ods", doc: "the shape of an ODS code: 3 to 10 capitals and digits, a digit among them, or three letters of which the first is R, T (trusts) or Q (integrated care boards)", test: odsShape},
	{name: "number", doc: "a decimal number as FHIR writes it, a leading + or point aside", test: func(s string) bool { t, _ := decimalText(nil, s); return t != "" }},
	{name: "isTime", doc: "a date or time in a form that the date conversions read", test: func(s string) bool { _, ok := parseMoment(s); return ok }},
}

func (f function) celType() *cel.Type {
	if f.test != nil {
		return cel.BoolType
	}
	return cel.StringType
}

// bind gives the function to CEL.
func (f function) bind(v ref.Val) ref.Val {
	s, _ := v.(types.String)
	if f.test != nil {
		return types.Bool(f.test(string(s)))
	}
	return types.String(f.text(string(s)))
}

// after gives the time so much later, in HL7's form and with the offset that it came with; "" for what is no time of
// day, no number, or no unit of time up to days. A clock change on the way is not seen: both are times on a wall.
func after(from, amount, unit string) string {
	m, ok := parseMoment(from)
	n, err := strconv.ParseFloat(strings.TrimSpace(amount), 64)
	each, known := spans[strings.ToUpper(strings.TrimSpace(unit))]
	if !ok || m.precision < 4 || err != nil || !(n >= 0 && n <= 1e6) || !known {
		return ""
	}
	t := time.Date(m.n[0], time.Month(m.n[1]), m.n[2], m.n[3], m.n[4], m.n[5], 0, time.UTC).Add(time.Duration(n * float64(each)))
	out := t.Format("20060102150405")
	if m.hasOffset {
		out += time.Unix(0, 0).In(time.FixedZone("", m.offset*60)).Format("-0700")
	}
	return out
}

// spans are the units of time that after reads, in capitals. M is a minute, as in HL7's own intervals (TQ.3).
var spans = map[string]time.Duration{
	"S": time.Second, "SEC": time.Second, "SECS": time.Second, "SECOND": time.Second, "SECONDS": time.Second,
	"M": time.Minute, "MIN": time.Minute, "MINS": time.Minute, "MINUTE": time.Minute, "MINUTES": time.Minute,
	"H": time.Hour, "HR": time.Hour, "HRS": time.Hour, "HOUR": time.Hour, "HOURS": time.Hour,
	"D": 24 * time.Hour, "DAY": 24 * time.Hour, "DAYS": 24 * time.Hour,
}

// digits drops what people put between groups of digits.
func digits(s string) string {
	if !strings.ContainsAny(s, " -") {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, s)
}

// mod11 checks an NHS number: weights 10 to 2, 11 minus the remainder, 11 standing for 0, 10 never valid.
func mod11(s string) bool {
	sum, n := 0, 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == ' ' || c == '-':
			continue
		case c < '0' || c > '9' || n == 10:
			return false
		case n < 9:
			sum += int(c-'0') * (10 - n)
		default:
			check := 11 - sum%11
			if check == 11 {
				check = 0
			}
			if check != int(c-'0') {
				return false
			}
		}
		n++
	}
	return n == 10
}

func odsShape(s string) bool {
	if len(s) < 3 || len(s) > 10 {
		return false
	}
	digit := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digit = true
		case c < 'A' || c > 'Z':
			return false
		}
	}
	return digit || len(s) == 3 && (s[0] == 'R' || s[0] == 'T' || s[0] == 'Q') // PAS, LAB and EPR are systems
}

// tail drops the first character.
func tail(s string) string {
	if s == "" {
		return ""
	}
	_, n := utf8.DecodeRuneInString(s)
	return s[n:]
}
