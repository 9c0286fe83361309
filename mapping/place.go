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

// value reads one place in a scope: the current repetition where the scope stands on one of that field, else
// the first that the place names. The path says where it was, for issues and traces.
func (p *place) value(s *scope) (hl7.Value, hl7.Path) {
	if p.segment == "" {
		return p.read(s), p.below(s)
	}
	v, seg := p.repetition(s)
	switch {
	case !seg.OK():
		return hl7.Value{}, hl7.Path{}
	case p.current(s, seg):
		return p.part(v, s.path)
	}
	return p.part(v, seg.Path(p.field).Repeat(max(p.rep, 1)))
}

// of tells whether the place is in the segment that a map is about.
func (p *place) of(segment string) bool {
	return p.segment == segment && p.rep <= 1 && !p.every && !p.everywhere && segment != "NTE"
}

// read is value without the path.
func (p *place) read(s *scope) hl7.Value {
	switch {
	case p.own && !s.away:
		return p.mine(s)
	case p.segment != "":
		seg := p.seg(s)
		switch {
		case !seg.OK():
			return hl7.Value{}
		case p.current(s, seg):
			return p.down(s.value)
		}
		return p.in(s.run, seg)
	case p.comp == 0:
		return s.value
	case p.sub > 0 && !s.deep:
		return s.parts.At(p.comp).Subcomponent(p.sub)
	}
	return s.parts.At(p.comp)
}

// seg gives the segment that a scope sees under the place's name first; a condition on the map's own segment is never
// about another of its name.
func (p *place) seg(s *scope) hl7.Segment {
	if l := &s.run.layout; s.home.OK() && l.is(s.home.Index(), l.row(p.name)) && !s.on(p.name) {
		return s.home
	}
	return s.run.relative(s.seg, p.name)
}

// mine reads a place of the map's own segment, on which the scope is.
func (p *place) mine(s *scope) hl7.Value {
	if s.field == p.field && p.rep == 0 && s.path.Repetition() > 1 {
		return p.down(s.value)
	}
	return p.in(s.run, s.seg)
}

// in reads the place in a segment of its name.
func (p *place) in(r *run, seg hl7.Segment) hl7.Value {
	if p.rep > 1 {
		return p.down(r.repetition(seg, p.field, p.rep))
	}
	if p.comp == 0 {
		return r.pieces.First(seg.Index(), p.field)
	}
	v := r.pieces.Component(seg.Index(), p.field, p.comp)
	if p.sub > 0 {
		v = v.Subcomponent(p.sub)
	}
	return v
}

// repetition gives the repetition that a place is in, and its segment.
func (p *place) repetition(s *scope) (hl7.Value, hl7.Segment) {
	seg := p.seg(s)
	switch {
	case !seg.OK():
		return hl7.Value{}, seg
	case p.current(s, seg):
		return s.value, seg
	}
	return s.run.repetition(seg, p.field, p.rep), seg
}

// current tells whether the scope stands on the repetition that the place is in.
func (p *place) current(s *scope, seg hl7.Segment) bool {
	return s.field == p.field && s.seg == seg && p.rep == 0
}

// below gives the path of a place of a data type map.
func (p *place) below(s *scope) hl7.Path {
	switch {
	case p.comp == 0:
		return s.path
	case s.deep:
		return s.path.Part(s.path.Component(), p.comp)
	}
	return s.path.Part(p.comp, p.sub)
}

// part goes down from a repetition to the place's component.
func (p *place) part(v hl7.Value, at hl7.Path) (hl7.Value, hl7.Path) {
	if p.comp == 0 {
		return v, at
	}
	return p.down(v), at.Part(p.comp, p.sub)
}

// down is part without the path.
func (p *place) down(v hl7.Value) hl7.Value {
	if p.comp == 0 {
		return v
	}
	v = v.Component(p.comp)
	if p.sub > 0 {
		v = v.Subcomponent(p.sub)
	}
	return v
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
	if p.segment == "" {
		r.use(p.read(s))
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

// cursor walks the values of a place: over all segments it may stand in and, where it repeats, all its
// repetitions.
type cursor struct {
	p       *place
	run     *run
	here    hl7.Segment // where the scope stands
	given   hl7.Value   // the scope's own value and its place
	givenAt hl7.Path
	current bool // the place is in that value
	seg     hl7.Segment
	rep     int
	reps    int
	all     bool
	started bool
	value   hl7.Value
	whole   hl7.Value // the repetition that value is a part of
	at      hl7.Path  // of whole
	path    hl7.Path  // of value
}

func (p *place) cursor(s *scope, all bool) cursor {
	current := s.field == p.field && p.rep == 0 && !p.every && !p.everywhere && s.on(p.name)
	return cursor{p: p, run: s.run, here: s.seg, given: s.value, givenAt: s.path, current: current, all: all}
}

// next goes to the next valued place; false at the end.
func (c *cursor) next() bool {
	for c.advance() {
		if c.value.Valued() {
			return true
		}
	}
	return false
}

func (c *cursor) advance() bool {
	if c.p.everywhere {
		return c.roam()
	}
	if c.current {
		if c.started {
			return false
		}
		c.started = true
		c.whole, c.at = c.given, c.givenAt
		c.value, c.path = c.p.part(c.whole, c.at)
		return true
	}
	if c.rep >= c.reps {
		if c.seg = c.run.following(c.here, c.p.name, c.seg, c.started); !c.seg.OK() {
			return false
		}
		c.started, c.rep, c.reps = true, 0, 1
		if c.p.rep == 0 && c.all {
			c.reps = c.run.repetitions(c.seg, c.p.field)
		}
		if c.reps == 0 {
			c.value = hl7.Value{}
			return true
		}
	}
	return c.repeat()
}

// roam goes over every segment of the name in the message.
func (c *cursor) roam() bool {
	for c.rep >= c.reps {
		if c.seg = c.run.after(c.p.name, index(c.seg)); !c.seg.OK() {
			return false
		}
		c.rep, c.reps = 0, max(c.run.repetitions(c.seg, c.p.field), 1)
	}
	return c.repeat()
}

// repeat goes to the next repetition in the segment.
func (c *cursor) repeat() bool {
	c.rep++
	n := max(c.p.rep, c.rep)
	c.whole, c.at = c.run.repetition(c.seg, c.p.field, n), c.seg.Path(c.p.field).Repeat(n)
	c.value, c.path = c.p.part(c.whole, c.at)
	return true
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
