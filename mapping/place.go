package mapping

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/dermgate/dermgate/mapping/hl7"
)

// place is where a rule reads in a message: a field of a segment ("PID-3[2].1"), or a component of the data
// type its map is about ("CX.4.1"). Numbers are 0 where not stated.
type place struct {
	field, rep, comp, sub int
	segment               string // "" inside a data type map
	own                   bool   // in the segment that the map is about; one of a map of notes may be in another
	every                 bool   // PRD-1[*]: all repetitions, also where the scope stands on one
	everywhere            bool   // OBX[*]-5: in every segment of the name, wherever the scope stands
	repeats               bool   // the field may repeat and the place does not say which
	coded                 bool   // the field is a CWE or the like
	name                  segName
	datatype              string // what stands there by the standard; "varies" when it is open
}

var (
	segmentPlace  = regexp.MustCompile(`\b[A-Z][A-Z0-9]{2}(\[\*\])?-[0-9]+(\[([0-9]+|\*)\])?(\.[0-9]+){0,2}`)
	datatypePlace = regexp.MustCompile(`\b[A-Z]{2,3}(\.[0-9]+){1,2}`)
)

// segmentAt compiles a place in a message; why tells what is wrong with it.
func segmentAt(word string) (p place, why string) {
	path, err := hl7.ParsePath(strings.ReplaceAll(word, "[*]", ""))
	if err != nil {
		return p, "not an HL7 place: want SEG-field[repetition].component.subcomponent, such as PID-3.1" + misplaced(word)
	}
	p = place{segment: path.Segment(), name: segNamed(path.Segment()), field: path.Field(), rep: path.Repetition(), comp: path.Component(), sub: path.Subcomponent()}
	p.every = strings.Contains(strings.TrimPrefix(word[min(3, len(word)):], "[*]"), "[*]")
	p.everywhere = len(word) > 3 && strings.HasPrefix(word[3:], "[*]")
	if !hl7.LookupSegment(p.segment) {
		return p, "no segment " + p.segment + meant(p.segment, hl7.Segments())
	}
	if p.field == 0 {
		return p, "a place names a field: " + p.segment + "-1"
	}
	f, ok := hl7.LookupField(p.segment, p.field)
	if !ok {
		return p, p.segment + " has no field " + strconv.Itoa(p.field) + fieldsOf(p.segment)
	}
	if why := hl7.CheckPath(path); why != "" {
		return p, why
	}
	p.repeats = f.Repeats && p.rep == 0
	p.coded = contains(families[0][:4], f.Datatype)
	p.datatype = within(within(f.Datatype, p.comp), p.sub)
	return p, ""
}

var (
	dotted   = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9]{2})[.-]([0-9]+)((\[[^\]]*\])?(\.[0-9]+)*)$`)
	repeated = regexp.MustCompile(`^([A-Z][A-Z0-9]{2}-[0-9]+)((\.[0-9]+)+)(\[[0-9]+\])$`)
)

// misplaced guesses what a word was to be that is no place.
func misplaced(word string) string {
	guess := ""
	if m := dotted.FindStringSubmatch(word); m != nil {
		guess = strings.ToUpper(m[1]) + "-" + m[2] + strings.Replace(m[3], "[0]", "[1]", 1)
	} else if m := repeated.FindStringSubmatch(word); m != nil {
		guess = m[1] + m[4] + m[2]
	}
	if _, err := hl7.ParsePath(guess); guess == "" || err != nil {
		return ""
	}
	return "; did you mean " + strconv.Quote(guess) + "?"
}

// fieldsOf gives the range of a segment's fields, to help whoever mistyped one.
func fieldsOf(segment string) string {
	last := 0
	for n := 1; n < 120; n++ {
		if _, ok := hl7.LookupField(segment, n); ok {
			last = n
		}
	}
	return "; its last is " + segment + "-" + strconv.Itoa(last)
}

// within gives the data type of component n of a data type, the type itself when n is 0.
func within(datatype string, n int) string {
	list, known := hl7.LookupDatatype(datatype)
	switch {
	case n == 0:
		return datatype
	case !known || datatype == "varies":
		return "varies"
	case n <= len(list):
		return list[n-1].Datatype
	}
	return datatype // component 1 of a primitive is the primitive
}

// datatypeAt compiles a place inside a data type.
func datatypeAt(datatype, word string) (p place, why string) {
	parts := strings.Split(word, ".")
	if parts[0] != datatype {
		return p, "this map reads " + datatype + ", not " + parts[0]
	}
	for i, to := range []*int{&p.comp, &p.sub} {
		if len(parts) > i+1 {
			*to, _ = strconv.Atoi(parts[i+1])
		}
	}
	p.datatype = datatype
	for _, n := range []int{p.comp, p.sub} {
		if n == 0 {
			break
		}
		list, known := hl7.LookupDatatype(p.datatype)
		if known && p.datatype != "varies" && (n > max(len(list), 1) || len(list) > 0 && list[n-1].Name == "") {
			return p, p.datatype + " has no component " + strconv.Itoa(n) + "; its last is " + p.datatype + "." + strconv.Itoa(max(len(list), 1))
		}
		p.datatype = within(p.datatype, n)
	}
	return p, ""
}

// families of data types that read alike: what one version calls CE another calls CWE.
var families = [][]string{
	{"CE", "CWE", "CNE", "CF", "CNN", "ID", "IS", "ST", "SI", "OG"},
	{"TS", "DTM", "DT", "DR"},
	{"ST", "TX", "FT", "NM", "SI", "ID", "IS", "SNM", "TN", "GTS", "TM"},
	{"XPN", "PN", "PPN"}, {"XCN", "CN", "CNN", "NDL", "PPN"}, {"XAD", "AD", "SAD"}, {"XTN", "TN"}, {"XON", "ON", "ST"},
	{"EI", "EIP", "ST", "CX", "PLN"}, {"HD", "IS", "ST"}, {"CX", "CK", "ST"}, {"CQ", "NM"},
}

// reads tells whether a map for one data type can read a field of another.
func reads(datatype, field string) bool {
	if datatype == field || field == "varies" {
		return true
	}
	for _, family := range families {
		if contains(family, datatype) && contains(family, field) {
			return true
		}
	}
	return false
}

func contains(list []string, word string) bool {
	for _, w := range list {
		if w == word {
			return true
		}
	}
	return false
}

// variable lets an expression read the place as text.
func (p place) variable(list bool) variable {
	v := variable{list: list}
	v.at = func(s *scope) hl7.Path {
		value, at := p.value(s)
		if !value.Valued() {
			return hl7.Path{}
		}
		return at
	}
	if list {
		v.any = func(s *scope, text string) bool {
			if p.every && s.on(p.name) && !p.everywhere && p.segment != "NTE" { // the scope's own segment
				all, only := s.run.field(s.seg, p.field), s.run.repetition(s.seg, p.field, 1)
				if only.Size() == all.Size() { // as mostly
					only = p.down(only)
					return only.Valued() && s.run.is(only, text)
				}
				for _, rep := range all.EachRepetition() {
					if part := p.down(rep); part.Valued() && s.run.is(part, text) {
						return true
					}
				}
				return false
			}
			for c := p.cursor(s, true); c.next(); {
				if s.run.is(c.value, text) {
					return true
				}
			}
			return false
		}
		v.texts = func(s *scope) []string {
			var out []string
			for c := p.cursor(s, true); c.next(); {
				out = append(out, s.run.text(c.value))
			}
			return out
		}
		return v
	}
	v.place = &p
	v.text = func(s *scope) string { return s.run.text(p.read(s)) }
	return v
}

// mark counts the place as carried over. The code of a coded field brings its name and its system with it:
// they are one statement.
func (p *place) mark(s *scope) {
	r := s.run
	switch {
	case p.segment == "":
		r.use(p.read(s))
		return
	case p.own && !s.away && p.sub == 0 && !p.coded && (s.field != p.field || s.path.Repetition() <= 1): // as most are
		if from, to := r.pieces.Span(s.seg.Index(), p.field, p.comp); from < to {
			r.used.set(from, to-from)
		}
		return
	}
	seg, own := s.seg, p.own && !s.away
	if !own {
		seg = p.seg(s)
	}
	if !seg.OK() {
		return
	}
	coded := p.coded && p.comp == 1 && p.sub == 0
	if p.rep > 1 || s.path.Repetition() > 1 && p.current(s, seg) {
		whole, _ := p.repetition(s)
		v := p.down(whole)
		if r.use(v); coded && v.Valued() {
			r.use(whole.Component(2))
			r.use(whole.Component(3))
		}
		return
	}
	v := p.in(r, seg)
	if r.use(v); coded && v.Valued() {
		r.use(r.pieces.Component(seg.Index(), p.field, 2))
		r.use(r.pieces.Component(seg.Index(), p.field, 3))
	}
}

// String gives the place as a map writes it.
func (p *place) String() string {
	if p.segment == "" {
		return p.datatype
	}
	out := p.segment + "-" + strconv.Itoa(p.field)
	for _, n := range []int{p.comp, p.sub} {
		if n > 0 {
			out += "." + strconv.Itoa(n)
		}
	}
	return out
}
