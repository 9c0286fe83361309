package mapping

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// compiler turns map files into what runs. Each map is compiled when first used; a map that nothing uses is
// compiled too, so that its faults show.
type compiler struct {
	faults   *faults
	schema   *fhir.Schema
	names    *names
	tables   map[string]*table
	exprs    *exprs
	sources  map[string]*source
	programs map[string]*program // into FHIR
	reversed map[string]*reverse // out of FHIR
	used     map[string]bool     // maps that some other map uses
	shapes   map[*program]*shape
	needs    *needs
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// isSegment tells a segment's name from a resource's or data type's.
func isSegment(name string) bool {
	return len(name) == 3 && strings.ToUpper(name) == name && hl7.LookupSegment(name)
}

// isDatatype tells an HL7 data type's name.
func isDatatype(name string) bool {
	_, ok := hl7.LookupDatatype(name)
	return ok
}

// fhirType finds a resource or data type; a fault when there is none.
func (c *compiler) fhirType(t text) (*fhir.Type, bool) {
	if typ, ok := c.schema.Resource(t.s); ok {
		return typ, true
	}
	if typ, ok := c.schema.Datatype(t.s); ok {
		return typ, true
	}
	if whole, part, ok := strings.Cut(t.s, "."); ok { // what a resource has several of: Patient.contact
		if typ, ok := c.schema.Resource(whole); ok {
			d, ok := c.anyElement([]*fhir.Type{typ}, pathStep{name: part, at: t.at.plus(len(whole) + 1)})
			if !ok {
				return nil, false
			}
			return d.Type, true
		}
	}
	c.faults.add(t.at, "no FHIR R4 type %s%s", t.s, meant(t.s, c.schema.ResourceNames()))
	return nil, false
}

// program gives the compiled map of a name; a fault at the place that asked when there is none.
func (c *compiler) program(t text) *program {
	c.used[t.s] = true
	c.needs.note("map " + t.s)
	if p, ok := c.programs[t.s]; ok {
		return p
	}
	s, ok := c.sources[t.s]
	if !ok || s.to == "" || len(s.tables) > 0 {
		c.faults.add(t.at, "no map %s%s", t.s, meant(t.s, keys(c.sources)))
		return nil
	}
	return c.compile(s)
}

// compile compiles a segment or data type map into FHIR.
func (c *compiler) compile(s *source) *program {
	if p, ok := c.programs[s.name.s]; ok {
		return p
	}
	defer c.needs.enter(s.name.s)()
	p := &program{src: s, segment: isSegment(s.from), name: segNamed(s.from)}
	c.programs[s.name.s] = p // before its rules: a map may use itself
	typ, ok := c.fhirType(text{s.to, s.name.at.plus(len(s.from) + 1)})
	if !ok {
		return p
	}
	p.typ = typ
	sh := newShape(typ)
	c.shapes[p] = sh
	lex := c.lexicon(s)
	for _, src := range s.rules {
		if r := c.rule(src, s, sh, lex); r != nil {
			if from := r.from; from != nil && from.segment == "" {
				r.part = int32(from.comp)
			} else if from != nil && p.segment && from.segment == s.from && !from.everywhere && s.from != "NTE" {
				r.field = int32(from.field)
			}
			p.rules = append(p.rules, *r)
		}
	}
	sh.done = true
	for _, src := range s.checks {
		if k := c.check(src, s, lex); k != nil {
			p.checks = append(p.checks, k)
		}
	}
	p.plans()
	p.slots = len(sh.slots)
	p.soles()
	for _, slot := range slices.Backward(slices.Sorted(maps.Keys(sh.guards))) { // inner elements first
		p.guards = append(p.guards, guard(slot))
	}
	c.shadows(s)
	c.complete(s, sh)
	return p
}

// soles finds the targets that only their own rules write: no constant set beside a value, no other form of
// the same choice, no element that is selected by what it holds.
func (p *program) soles() {
	for i := range p.rules {
		to := &p.rules[i].to
		to.sole = !slices.ContainsFunc(p.rules, func(r rule) bool {
			return r.to.def != to.def && rivals(r.to.def, to.def) || slices.ContainsFunc(r.to.way, func(st step) bool { return st.system != "" || rivals(st.def, to.def) }) ||
				slices.ContainsFunc(r.set, func(k constant) bool { return rivals(k.to.def, to.def) })
		})
	}
}

// rivals tells whether where one element stands another does not: they are the same, or forms of a choice.
func rivals(a, b *fhir.ElementDef) bool { return a == b || a.Choice != "" && a.Choice == b.Choice }

// lexicon gives what expressions of a map may name.
func (c *compiler) lexicon(s *source) lexicon {
	lex := lexicon{fixed: given}
	if isSegment(s.from) || s.from == "" || s.to == "" {
		lex.places = segmentPlace
		lex.find = func(word string) (variable, string) {
			p, why := segmentAt(word)
			p.own = p.of(s.from)
			return p.variable(strings.Contains(word, "[*]")), why
		}
		return lex
	}
	lex.places = datatypePlace
	lex.find = func(word string) (variable, string) {
		if !strings.HasPrefix(word, s.from+".") {
			return variable{}, ""
		}
		p, why := datatypeAt(s.from, word)
		return p.variable(false), why
	}
	return lex
}

// given are the names that every expression into FHIR may use beside places.
var given = map[string]variable{
	"source": {doc: "the configured name of the source", text: func(s *scope) string { return s.run.o.Source }},
	"kind": {doc: "`advice`, `referral` or `\"\"`, by the source's own rule and nothing else", text: func(s *scope) string { return s.run.kind.value }, mark: func(s *scope) { s.run.use(s.run.m.Get(s.run.o.Kind.From)) },
		at: func(s *scope) hl7.Path { return s.run.o.Kind.From }},
	"urgency": {doc: "`TWO_WEEK_WAIT`, `URGENT`, `ROUTINE` or `\"\"`, by the source's own rule", text: func(s *scope) string { return s.run.urgency.value }, mark: func(s *scope) { s.run.use(s.run.m.Get(s.run.o.Urgency.From)) },
		at: func(s *scope) hl7.Path { return s.run.o.Urgency.From }},
	"file":  {doc: "what the value is: `photo`, `document`, `broken` or `\"\"`", text: func(s *scope) string { return s.run.file(s).kind }},
	"owner": {doc: "the name of the segment that this one belongs to", text: func(s *scope) string { return s.run.m.Segment(s.run.m.Owner(s.seg.Index())).Name() }},
	"owners": {doc: "the names of all segments that this one belongs to, the nearest first; a list", list: true,
		texts: func(s *scope) []string { return s.run.owners(s.seg) },
		any:   func(s *scope, name string) bool { return slices.Contains(s.run.owners(s.seg), name) }},
	"messageHash": {doc: "SHA-256 of the message as received, hex", text: func(s *scope) string { return s.run.sha() }},
	"mapDigest":   {doc: "SHA-256 of the map set, hex", text: func(s *scope) string { return s.run.set.digest }},
}

// place compiles the FROM of a rule or a check's place.
func (c *compiler) place(t text, s *source) (*place, bool) {
	var p place
	var why string
	if isSegment(s.from) || s.to == "" {
		p, why = segmentAt(t.s)
		p.own = p.of(s.from)
	} else {
		p, why = datatypeAt(s.from, t.s)
	}
	if why != "" {
		c.faults.add(t.at, "%s", why)
		return nil, false
	}
	if s.each.s != "" && s.each.s == p.segment+"-"+strconv.Itoa(p.field) {
		p.repeats = false // the map is about one repetition
	}
	return &p, true
}
