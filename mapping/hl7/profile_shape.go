package hl7

// shape is what the characters of a primitive must look like.
type shape uint8

const (
	open      shape = iota // not known, or the versions disagree
	shapeText              // anything
	shapeNM
	shapeSI
	shapeSNM
	shapeDT
	shapeTM
	shapeDTM
	shapeID
)

func shapeOf(datatype string) shape {
	switch datatype {
	case "NM":
		return shapeNM
	case "SI":
		return shapeSI
	case "SNM":
		return shapeSNM
	case "DT":
		return shapeDT
	case "TM":
		return shapeTM
	case "DTM":
		return shapeDTM
	case "ID":
		return shapeID
	case "ST", "TX", "FT", "IS", "GTS", "TN":
		return shapeText
	}
	return open
}

// want says what a value should have been.
func (s shape) want() string {
	switch s {
	case shapeNM:
		return "not a number (NM): want digits, with at most one sign before and one point among them"
	case shapeSI:
		return "not a sequence number (SI): want digits"
	case shapeSNM:
		return "not a string of digits (SNM)"
	case shapeDT:
		return "not a date (DT): want YYYY, YYYYMM or YYYYMMDD"
	case shapeTM:
		return "not a time (TM): want HH[MM[SS[.SSSS]]][+/-ZZZZ]"
	case shapeDTM:
		return "not a time stamp (DTM): want YYYY[MM[DD[HH[MM[SS[.SSSS]]]]]][+/-ZZZZ]"
	}
	return "not a coded value (ID): want ASCII without escapes or spaces around it"
}

// fits tells whether a value that is not empty has the shape (HL7 v2.8 §2A.3).
func (s shape) fits(b []byte, escape byte) bool {
	switch s {
	case shapeNM:
		return number10(b)
	case shapeSI:
		return digits(b)
	case shapeSNM:
		return digits(b) || b[0] == '+' && digits(b[1:])
	case shapeDT:
		n, ok := date(b)
		return ok && n == len(b)
	case shapeTM:
		return timeOfDay(b)
	case shapeDTM:
		n, ok := date(b)
		return ok && (n == len(b) || n == 8 && timeOfDay(b[n:]) || zone(b[n:]))
	case shapeID:
		return identifier(b, escape)
	}
	return true
}

func digits(b []byte) bool {
	for _, c := range b {
		if !digit(c) {
			return false
		}
	}
	return len(b) > 0
}

// number10 is NM: a sign, digits and a point, all but one digit optional.
func number10(b []byte) bool {
	if b[0] == '+' || b[0] == '-' {
		b = b[1:]
	}
	found, point := false, false
	for _, c := range b {
		switch {
		case digit(c):
			found = true
		case c == '.' && !point:
			point = true
		default:
			return false
		}
	}
	return found
}

// two reads two digits.
func two(b []byte) int { return int(b[0]-'0')*10 + int(b[1]-'0') }

// date reads YYYY[MM[DD]] at the start of b and tells how many bytes that was; ok is false where there is
// none, or no such day.
func date(b []byte) (n int, ok bool) {
	for n < len(b) && n < 8 && digit(b[n]) {
		n++
	}
	if n != 4 && n != 6 && n != 8 {
		return n, false
	}
	year := two(b)*100 + two(b[2:])
	if year == 0 {
		return n, false
	}
	if n == 4 {
		return n, true
	}
	month := two(b[4:])
	if month < 1 || month > 12 {
		return n, false
	}
	if n == 6 {
		return n, true
	}
	day := two(b[6:])
	return n, day >= 1 && day <= daysIn(year, month)
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// timeOfDay is HH[MM[SS[.S…]]] and a zone.
func timeOfDay(b []byte) bool {
	n := 0
	for n < len(b) && n < 6 && digit(b[n]) {
		n++
	}
	if n == 0 || n%2 != 0 || two(b) > 23 || n > 2 && two(b[2:]) > 59 || n > 4 && two(b[4:]) > 59 {
		return false
	}
	if n == 6 && n < len(b) && b[n] == '.' {
		from := n + 1
		for n = from; n < len(b) && digit(b[n]); n++ {
		}
		if n == from {
			return false
		}
	}
	return n == len(b) || zone(b[n:])
}

// zone is +ZZZZ or -ZZZZ.
func zone(b []byte) bool {
	return len(b) == 5 && (b[0] == '+' || b[0] == '-') && digits(b[1:]) && two(b[1:]) < 24 && two(b[3:]) < 60
}

// identifier is ID: what a table could list.
func identifier(b []byte, escape byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' || c == escape && escape != 0 {
			return false
		}
	}
	return b[0] != ' ' && b[len(b)-1] != ' '
}
