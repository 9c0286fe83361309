package mapping

import (
	"strconv"
	"strings"
	"time"
)

// moment is a date or time as precise as it was written.
type moment struct {
	n         [6]int // year, month, day, hour, minute, second
	precision int    // how many of n were given
	fraction  string // of the second, digits as sent
	offset    int    // minutes east of UTC
	hasOffset bool
}

// parseMoment reads HL7 times (YYYY[MM[DD[HH[MM[SS[.S…]]]]]][+ZZZZ], v2.8 §2.A.22) and the forms UK senders
// use beside them: 1926-08-11, 2025-05-05 23:23:32, 2025-05-05T23:23:32Z, 01/10/1948, 20000101+, 19480000.
func parseMoment(s string) (moment, bool) {
	s = strings.TrimSpace(s)
	if len(s) == 10 && s[2] == '/' && s[5] == '/' { // day first: this is the UK
		s = s[6:10] + s[3:5] + s[0:2]
	}
	r := momentReader{s: s}
	m, ok := r.read()
	if !ok {
		return moment{}, false
	}
	return m, m.valid()
}

type momentReader struct{ s string }

func (r *momentReader) read() (m moment, ok bool) {
	if m.n[0], ok = r.number(4); !ok {
		return m, false
	}
	m.precision = 1
	for i := 1; i < 6; i++ {
		rest := r.s
		switch {
		case i < 3:
			if r.eat("-") && (len(r.s) < 2 || !isDigit(r.s[0])) {
				return m, false
			}
			if i == 1 && strings.HasPrefix(rest, "-") && len(rest) == 5 && isDigit(rest[3]) && isDigit(rest[4]) {
				r.s = rest // 2001-0500 is a year with an offset
			}
		case i == 3:
			if !r.eat("T") {
				r.eat(" ")
			}
		default:
			r.eat(":")
		}
		n, ok := r.number(2)
		if !ok {
			r.s = rest
			break
		}
		m.n[i], m.precision = n, i+1
	}
	for m.precision == 3 && m.n[2] == 0 || m.precision == 2 && m.n[1] == 0 { // 19480000: the year is known
		m.precision--
	}
	if m.precision == 6 && r.eat(".") {
		i := 0
		for i < len(r.s) && isDigit(r.s[i]) {
			i++
		}
		m.fraction, r.s = r.s[:i], r.s[i:]
	}
	return m, r.zone(&m) && r.s == ""
}

// zone reads Z, +0100, +01:00, or a bare + that some senders leave.
func (r *momentReader) zone(m *moment) bool {
	if r.eat("Z") {
		m.hasOffset = true
		return true
	}
	sign := 1
	switch {
	case r.s == "":
		return true
	case r.eat("-"):
		sign = -1
	case !r.eat("+"):
		return false
	}
	if r.s == "" {
		return sign > 0
	}
	h, ok := r.number(2)
	if !ok {
		return false
	}
	r.eat(":")
	min, ok := r.number(2)
	m.offset, m.hasOffset = sign*(h*60+min), true
	return ok && (h < 14 && min < 60 || h == 14 && min == 0)
}

func (r *momentReader) eat(word string) bool {
	if !strings.HasPrefix(r.s, word) {
		return false
	}
	r.s = r.s[len(word):]
	return true
}

func (r *momentReader) number(width int) (int, bool) {
	if len(r.s) < width {
		return 0, false
	}
	n := 0
	for i := range width {
		if !isDigit(r.s[i]) {
			return 0, false
		}
		n = n*10 + int(r.s[i]-'0')
	}
	r.s = r.s[width:]
	return n, true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// valid tells a moment that the calendar has.
func (m *moment) valid() bool {
	if m.n[0] == 0 || m.n[3] > 23 || m.n[4] > 59 || m.n[5] > 59 {
		return false
	}
	if m.precision >= 2 && (m.n[1] < 1 || m.n[1] > 12) {
		return false
	}
	if m.precision >= 3 {
		return m.n[2] >= 1 && m.n[2] <= daysIn(m.n[0], m.n[1])
	}
	return true
}

// daysIn counts the days of a month.
func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// appendDate writes a FHIR date: YYYY, YYYY-MM or YYYY-MM-DD.
func (m *moment) appendDate(dst []byte) []byte {
	dst = appendPadded(dst, m.n[0], 4)
	for i := 1; i < min(m.precision, 3); i++ {
		dst = appendPadded(append(dst, '-'), m.n[i], 2)
	}
	return dst
}

// appendTime writes a FHIR dateTime; one with an hour gets seconds and an offset, which FHIR demands. sure
// is false when the clock of the zone shows that time twice or never.
func (m *moment) appendTime(dst []byte, zone *clock) (out []byte, sure bool) {
	dst = m.appendDate(dst)
	if m.precision < 4 {
		return dst, true
	}
	return m.appendClock(dst, zone)
}

func (m *moment) appendClock(dst []byte, zone *clock) ([]byte, bool) {
	for i, sep := range [...]byte{'T', ':', ':'} {
		dst = appendPadded(append(dst, sep), m.n[3+i], 2)
	}
	if m.fraction != "" {
		dst = append(append(dst, '.'), m.fraction...)
	}
	offset, sure := m.offset, true
	if !m.hasOffset {
		offset, sure = zone.offset(m)
	}
	if offset == 0 {
		return append(dst, "+00:00"...), sure
	}
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	dst = appendPadded(append(dst, sign), offset/60, 2)
	return appendPadded(append(dst, ':'), offset%60, 2), sure
}

// appendInstant is appendTime for an instant: a day stands for its midnight, less is refused.
func (m *moment) appendInstant(dst []byte, zone *clock) (out []byte, ok, sure bool) {
	if m.precision < 3 {
		return dst, false, true
	}
	dst, sure = m.appendClock(m.appendDate(dst), zone)
	return dst, true, sure
}

// local gives the offset in minutes of a zone at that time.
func (m *moment) local(zone *time.Location) (offset int, sure bool) {
	t := time.Date(m.n[0], time.Month(max(m.n[1], 1)), max(m.n[2], 1), m.n[3], m.n[4], m.n[5], 0, zone)
	_, seconds := t.Zone()
	same := func(u time.Time) bool { return u.Hour() == m.n[3] && u.Minute() == m.n[4] }
	return seconds / 60, same(t) && !same(t.Add(time.Hour)) && !same(t.Add(-time.Hour))
}

// appendPadded writes n with leading zeros.
func appendPadded(dst []byte, n, width int) []byte {
	if width == 2 && n < 100 {
		return append(dst, '0'+byte(n/10), '0'+byte(n%10))
	}
	for p := width - 1; p > 0 && n < pow10[p]; p-- {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

var pow10 = [...]int{1, 10, 100, 1000}

// appendHL7 writes the moment as an HL7 time of the given version, in the zone's local time where the FHIR
// text named an offset.
func (m *moment) appendHL7(dst []byte, zone *time.Location) []byte {
	if m.precision < 4 {
		for i := range m.precision {
			dst = appendPadded(dst, m.n[i], 2+2*boolInt(i == 0))
		}
		return dst
	}
	t := time.Date(m.n[0], time.Month(m.n[1]), m.n[2], m.n[3], m.n[4], m.n[5], 0, time.FixedZone("", m.offset*60))
	return t.In(zone).AppendFormat(dst, "20060102150405-0700")
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
