package mapping

import (
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// reverse is a compiled map out of FHIR, of a segment or a data type.
type reverse struct {
	src   *source
	typ   *fhir.Type
	rules []*backRule
}

// backRule is one compiled FROM -> TO: HOW out of FHIR.
type backRule struct {
	at    pos
	when  *expr
	from  *walk // nil when value is set
	value *expr
	to    place
	other []place // in versions that lack to
	write backWriter
	set   []backConstant
}

// backWriter writes an element, or a computed text, at a spot; false when there was nothing to write.
type backWriter func(s *scope, at spot, el fhir.Element, computed string) bool

// spot is where a value goes in the segment being written; comp and sub 0: the whole repetition, component.
type spot struct{ field, rep, comp, sub int }

type backConstant struct {
	to   place
	text string
}

// written are the names that expressions out of FHIR may use beside paths.
var written = map[string]variable{
	"senderApp":        {doc: "MSH-3", text: func(s *scope) string { return s.out.o.Sender.App }},
	"senderFacility":   {doc: "MSH-4", text: func(s *scope) string { return s.out.o.Sender.Facility }},
	"receiverApp":      {doc: "MSH-5", text: func(s *scope) string { return s.out.o.Receiver.App }},
	"receiverFacility": {doc: "MSH-6", text: func(s *scope) string { return s.out.o.Receiver.Facility }},
	"controlID":        {doc: "MSH-10", text: func(s *scope) string { return s.out.o.ControlID }},
	"application":      {doc: "MSH-16: `AL` where the receiver answers again later, else `NE`", text: func(s *scope) string { return s.out.o.Application }},
	"version":          {doc: "MSH-12", text: func(s *scope) string { return s.out.o.Version }},
	"charset":          {doc: "MSH-18", text: func(s *scope) string { return s.out.o.Charset }},
	"now":              {doc: "the time of writing", text: func(s *scope) string { return s.out.now() }},
	"message":          {doc: "MSH-9.1", text: func(s *scope) string { return s.out.o.Message[:3] }},
	"trigger":          {doc: "MSH-9.2", text: func(s *scope) string { return s.out.o.Message[4:7] }},
	"structure":        {doc: "MSH-9.3", text: func(s *scope) string { return s.out.structure }},
	"answered":         {doc: "MSA-2: MSH-10 of what is answered, empty when only the Bundle knows", text: func(s *scope) string { return s.out.o.Answers }},
	"laterFields": {doc: "`none` for a destination that wants no field that its version lacks, else `mapped`", text: func(s *scope) string {
		if s.out.o.Strict {
			return "none"
		}
		return "mapped"
	}},
	"replacedDocument": {doc: "TXA-13: the number of the document that this one takes the place of, empty for a first one", text: func(s *scope) string { return s.out.o.Replaces }},
	"setID":            {doc: "the number of this segment among those of its name", text: func(s *scope) string { return s.out.setID() }},
	"line":             {doc: "with `split: lines`: the line", text: func(s *scope) string { return s.out.line }},
}

// backLexicon gives what expressions of a map out of FHIR may name.
func (c *compiler) backLexicon(typ *fhir.Type) lexicon {
	return lexicon{fixed: written, places: fhirPlace, find: func(word string) (variable, string) {
		name := word
		if i := strings.IndexAny(word, ".(["); i >= 0 {
			name = word[:i]
		}
		_, resource := c.schema.Resource(name)
		if resource && name == word || !resource && !has(typ, name) {
			return variable{}, ""
		}
		quiet := *c
		quiet.faults = &faults{}
		w, ok := quiet.walk(text{word, pos{}}, typ)
		if !ok {
			return variable{}, quiet.faults.list[0].Text
		}
		return w.variable(), ""
	}}
}

// reverseOf gives the compiled map out of FHIR of a name.
func (c *compiler) reverseOf(t text) *reverse {
	c.used[t.s] = true
	if p, ok := c.reversed[t.s]; ok {
		return p
	}
	s, ok := c.sources[t.s]
	if !ok || s.to == "" {
		c.faults.add(t.at, "no map %s%s", t.s, meant(t.s, keys(c.sources)))
		return nil
	}
	return c.reverse(s)
}

// reverse compiles a map out of FHIR.
func (c *compiler) reverse(s *source) *reverse {
	if p, ok := c.reversed[s.name.s]; ok {
		return p
	}
	p := &reverse{src: s}
	c.reversed[s.name.s] = p
	typ, ok := c.fhirType(text{s.from, s.name.at})
	if !ok {
		return p
	}
	p.typ = typ
	for _, src := range s.rules {
		if r := c.backRule(src, s, typ); r != nil {
			p.rules = append(p.rules, r)
		}
	}
	c.backShadows(s)
	return p
}

// backShadows finds rules that an earlier one of the same layer and place makes pointless.
func (c *compiler) backShadows(s *source) {
	first := map[string]text{}
	for _, r := range s.rules {
		if before, ok := first[r.to.s]; ok && before.s == "" && before.at.layer == r.from.at.layer && r.from.s[0] == '(' {
			c.faults.add(r.from.at, "this rule never writes: an earlier one always fills %s", r.to.s)
		}
		if literalRule.MatchString(r.from.s) {
			first[r.to.s] = text{r.when.s, r.from.at}
		}
	}
}

func (c *compiler) backRule(src srcRule, s *source, typ *fhir.Type) *backRule {
	r := &backRule{at: src.from.at}
	lex := c.backLexicon(typ)
	if src.missing.s != "" {
		c.faults.add(src.missing.at, "missing is for rules into FHIR: what a Bundle must have, its validation says")
	}
	if src.once {
		c.faults.add(src.from.at, "once is for rules into FHIR: here a place is filled once")
	}
	var ok bool
	r.value, r.when, ok = c.opening(src, lex, func() (ok bool) { r.from, ok = c.walk(src.from, typ); return ok })
	to, found := c.outPlace(src.to, s)
	if !found || !ok {
		return nil
	}
	r.to = to
	for _, t := range src.orElse {
		other, found := c.outPlace(t, s)
		switch {
		case !found:
			return nil
		case other.repeats != to.repeats || composite(other.datatype) != composite(to.datatype) || !reads(to.datatype, other.datatype):
			c.faults.add(t.at, "%s is %s and %s %s: one cannot stand for the other", t.s, other.datatype, src.to.s, to.datatype)
			return nil
		}
		r.other = append(r.other, other)
	}
	if !c.backHow(r, src) {
		return nil
	}
	if r.from != nil && r.from.many && !to.repeats {
		c.faults.add(src.from.at, "%s may lead to several values and %s holds one: say which, such as %s[0]", src.from.s, src.to.s, src.from.s)
		return nil
	}
	for _, k := range src.set {
		if at, ok := c.outPlace(k[0], s); ok {
			r.set = append(r.set, backConstant{at, k[1].s})
		}
	}
	return r
}

// outPlace compiles a place that is written.
func (c *compiler) outPlace(t text, s *source) (place, bool) {
	p, why := place{}, ""
	if isSegment(s.to) {
		p, why = segmentAt(t.s)
		if why == "" && p.segment != s.to {
			why = "this map writes " + s.to + ", not " + p.segment
		}
	} else {
		p, why = datatypeAt(s.to, t.s)
	}
	if why != "" {
		c.faults.add(t.at, "%s", why)
		return p, false
	}
	p.repeats = p.repeats && p.comp == 0
	return p, true
}

// backConversions out of FHIR by name: an HL7 type, or string for any type that is plain text.
var backConversions = map[string]func(*writing, string) string{
	"string": func(_ *writing, in string) string { return in },
	"DTM":    (*writing).time,
	"DT":     (*writing).date,
}

func (c *compiler) backHow(r *backRule, src srcRule) bool {
	how := src.how.s
	switch {
	case strings.HasPrefix(how, "table(") && strings.HasSuffix(how, ")"):
		t, ok := c.table(text{strings.TrimSuffix(strings.TrimPrefix(how, "table("), ")"), src.how.at.plus(len("table("))})
		r.write = backTabled(t)
		return ok
	case strings.Contains(how, "["):
		return c.backMap(r, src)
	case how == "file":
		r.write = embed
		if r.from == nil || r.from.typ.Name != "Attachment" {
			c.faults.add(src.how.at, "file reads an Attachment, and %s is none", src.from.s)
			return false
		}
		return true
	case how == "system":
		t, ok := c.table(text{"CodingSystem", src.how.at})
		r.write = backText(systemName(t))
		return ok
	}
	convert, ok := backConversions[how]
	if !ok {
		c.faults.add(src.how.at, "no conversion, table(…) or map %s%s", how, c.meantTable(how, backHows))
		return false
	}
	if r.from != nil && r.from.typ.Kind != fhir.Primitive {
		c.faults.add(src.from.at, "%s is a %s, not a single value: name an element in it, or a map", src.from.s, r.from.typ.Name)
		return false
	}
	if how != "string" && !reads("DTM", r.to.datatype) {
		c.faults.add(src.how.at, "%s gives a time, and %s is %s", how, src.to.s, r.to.datatype)
		return false
	}
	if composite(r.to.datatype) && r.to.datatype != "HD" {
		c.faults.add(src.to.at, "%s is a %s: name a component", src.to.s, r.to.datatype)
		return false
	}
	r.write = backText(convert)
	return true
}

func (c *compiler) backMap(r *backRule, src srcRule) bool {
	p := c.reverseOf(src.how)
	if p == nil || p.typ == nil {
		return false
	}
	switch {
	case isSegment(p.src.to):
		c.faults.add(src.how.at, "%s writes a whole segment: list it under segments", src.how.s)
	case r.from == nil:
		c.faults.add(src.how.at, "%s reads an element, not a computed value", src.how.s)
	case p.typ != r.from.typ:
		c.faults.add(src.how.at, "%s reads %s, and %s is %s", src.how.s, p.typ.Name, src.from.s, r.from.typ.Name)
	case !reads(p.src.to, r.to.datatype):
		c.faults.add(src.how.at, "%s gives %s, and %s is %s", src.how.s, p.src.to, src.to.s, r.to.datatype)
	default:
		r.write = backMapped(p)
		return true
	}
	return false
}
