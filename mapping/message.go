package mapping

import (
	"regexp"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// message is a compiled message map into FHIR.
type message struct {
	name     string
	src      *source
	expect   []expectation
	snapshot []string // events in which `""` deletes
	groups   []*group
	ignore   map[string][]ignored // of all maps, by segment
}

// expectation is how often a segment may stand.
type expectation struct {
	segment  string
	min, max int  // max -1: any number
	lenient  bool // without it, what is there is translated
}

// ignored is a place left out on purpose.
type ignored struct {
	field, comp int
	reason      string
	at          pos
}

// group makes resources of one type.
type group struct {
	name       string
	typ        string
	resource   *fhir.Type
	maps       []*program
	each       *place // nil: one resource
	eachSeg    segName
	where, key *expr
	links      []link
	at         pos
}

// link fills a reference of each resource of a group.
type link struct {
	to     *target
	ref    *fhir.ElementDef // Reference.reference
	shape  *shape
	slots  int
	groups []int  // in order of preference for a single reference
	near   []bool // of each: its resources and this one's are of the same segments, and only those of one segment are linked
	single bool
}

// instance is a resource made.
type instance struct {
	group int
	el    fhir.Element
	url   fhir.UUID
	seg   hl7.Segment
	rep   int
	key   string
	alias bool // another instance's resource, which has the same key
}

// byReference stands for the group of a resource that a rule made to refer to.
const byReference = -1

// made is a resource that a data type map has made of a value.
type made struct {
	instance
	by *program
	of hl7.Value
}

var (
	eventForm = regexp.MustCompile(`^[A-Z]{3}(\^[A-Z][A-Z0-9]{2})?$`)
	countForm = regexp.MustCompile(`^(?:([01])\.\.)?(1|\*)( warning)?$`)
	eachForm  = regexp.MustCompile(`^([A-Z][A-Z0-9]{2})(?:-([0-9]+))?$`)
)

// message compiles a message map into FHIR.
func (c *compiler) message(s *source) *message {
	defer c.needs.enter(s.name.s)()
	m := &message{name: s.name.s, src: s, ignore: map[string][]ignored{}}
	for _, e := range s.events {
		if !eventForm.MatchString(e.s) {
			c.faults.add(e.at, "an event is written CODE^TRIGGER, such as REF^I12, or CODE for whatever trigger it has")
		}
	}
	for _, e := range s.snapshot {
		if !slices.ContainsFunc(s.events, func(of text) bool { return of.s == e.s }) {
			c.faults.add(e.at, "%s is not among the events of this map", e.s)
		}
		m.snapshot = append(m.snapshot, e.s)
	}
	for _, e := range s.expect {
		c.expectation(m, e)
	}
	byName := map[string]int{}
	for i, g := range s.groups {
		if _, twice := byName[g.name.s]; twice {
			c.faults.add(g.name.at, "a second resource named %s", g.name.s)
		}
		byName[g.name.s] = i
	}
	for _, src := range s.groups {
		m.groups = append(m.groups, c.group(src, s))
	}
	for i, src := range s.groups {
		c.links(m, m.groups[i], src, byName)
		c.required(m.groups[i], src)
	}
	c.headed(m, s)
	c.ignores(m)
	return m
}

// headed holds a message map to bdl-12: the first entry of a message is its MessageHeader.
func (c *compiler) headed(m *message, s *source) {
	for i, g := range m.groups {
		switch {
		case g.typ == "Bundle":
			continue
		case g.typ != "MessageHeader":
			c.faults.add(g.at, "a message begins with its MessageHeader, such as header: MessageHeader <- MSH[MessageHeader]")
		case g.eachSeg.letters != "" || g.where != nil:
			c.faults.add(g.at, "a message has one MessageHeader: neither each nor where")
		}
		for _, other := range m.groups[i+1:] {
			if other.typ == "MessageHeader" {
				c.faults.add(other.at, "a message has one MessageHeader")
			}
		}
		return
	}
	c.faults.add(s.name.at, "a message map makes resources, a MessageHeader first")
}

func (c *compiler) expectation(m *message, e srcExpect) {
	if !hl7.LookupSegment(e.segment.s) {
		c.faults.add(e.segment.at, "no segment %s%s", e.segment.s, meant(e.segment.s, hl7.Segments()))
		return
	}
	f := countForm.FindStringSubmatch(e.count.s)
	if f == nil {
		c.faults.add(e.count.at, "want 1, 0..1, 1..* or 0..*, and warning behind it where a message without it is translated all the same")
		return
	}
	x := expectation{segment: e.segment.s, min: 1, max: 1, lenient: f[3] != ""}
	if f[1] == "0" {
		x.min = 0
		if x.lenient {
			c.faults.add(e.count.at, "a segment that may be absent is nothing to warn of: %s", strings.TrimSuffix(e.count.s, " warning"))
		}
	}
	if f[2] == "*" {
		x.max = -1
	}
	m.expect = append(m.expect, x)
}

func (c *compiler) group(src srcGroup, s *source) *group {
	g := &group{name: src.name.s, typ: src.typ.s, at: src.name.at}
	typ, ok := c.schema.Resource(src.typ.s)
	if !ok {
		c.faults.add(src.typ.at, "no FHIR R4 resource %s%s", src.typ.s, meant(src.typ.s, c.schema.ResourceNames()))
		return g
	}
	c.eachOf(g, src)
	g.resource = typ
	for _, name := range src.maps {
		p := c.program(name)
		if p == nil || p.typ == nil {
			continue
		}
		if p.typ != typ {
			c.faults.add(name.at, "%s gives a %s, not a %s", name.s, p.typ.Name, typ.Name)
			continue
		}
		if !isSegment(p.src.from) && (g.each == nil || !reads(p.src.from, g.each.datatype)) {
			c.faults.add(name.at, "%s reads the data type %s: say each: with a field of that type", name.s, p.src.from)
			continue
		}
		if e := p.src.each; e.s != "" && e.s != src.each.s {
			c.faults.add(name.at, "%s is about one repetition of %s: say each: %s", name.s, e.s, e.s)
			continue
		}
		g.maps = append(g.maps, p)
	}
	lex := c.lexicon(s)
	g.where, g.key = c.exprs.condition(src.where, lex), c.exprs.value(src.key, lex)
	return g
}

func (c *compiler) eachOf(g *group, src srcGroup) {
	if src.each.s == "" {
		return
	}
	f := eachForm.FindStringSubmatch(src.each.s)
	if f == nil || !hl7.LookupSegment(f[1]) {
		c.faults.add(src.each.at, "each names a segment, or a field for one resource a repetition: OBX or OBX-5")
		return
	}
	g.eachSeg = segNamed(f[1])
	if f[2] == "" {
		return
	}
	p, why := segmentAt(src.each.s)
	if why != "" {
		c.faults.add(src.each.at, "%s", why)
		return
	}
	g.each = &p
}

// links compiles the references of a group.
func (c *compiler) links(m *message, g *group, src srcGroup, byName map[string]int) {
	typ, ok := c.schema.Resource(g.typ)
	if !ok {
		return
	}
	for _, l := range src.link {
		sh := newShape(typ)
		to, ok := c.target(l.element, sh)
		if !ok {
			continue
		}
		if to.def.Type.Name != "Reference" {
			c.faults.add(l.element.at, "%s is a %s, not a Reference", l.element.s, to.def.Type.Name)
			continue
		}
		out := link{to: to, shape: sh, slots: len(sh.slots), single: !to.def.Repeats()}
		out.ref, _ = to.def.Type.Element("reference")
		for _, name := range l.groups {
			i, ok := byName[name.s]
			if !ok {
				c.faults.add(name.at, "no resource named %s here%s", name.s, meant(name.s, keys(byName)))
				continue
			}
			if t := m.groups[i].typ; to.def.Targets != nil && !slices.Contains(to.def.Targets, t) {
				c.faults.add(name.at, "%s may not point at a %s; want %s", l.element.s, t, strings.Join(to.def.Targets, ", "))
				continue
			}
			out.groups = append(out.groups, i)
			out.near = append(out.near, g.eachSeg.letters != "" && m.groups[i].eachSeg == g.eachSeg)
		}
		g.links = append(g.links, out)
	}
}

// ignores collects what the message map and its segment maps leave out.
func (c *compiler) ignores(m *message) {
	sources := []*source{m.src}
	for _, g := range m.groups {
		for _, p := range g.maps {
			if !slices.Contains(sources, p.src) {
				sources = append(sources, p.src)
			}
		}
	}
	mapped := mappedWhole(sources)
	for _, s := range sources {
		for _, i := range s.ignore {
			p, why := segmentAt(i.place.s)
			switch {
			case why != "":
				c.faults.add(i.place.at, "%s", why)
			case kept(p):
				c.faults.add(i.place.at, "%s carries clinical or identifying content: it may be unmapped, never ignored", i.place.s)
			default:
				if at, both := mapped[wholePlace{p.segment, p.field, p.comp}]; both {
					c.faults.add(i.place.at, "%s is ignored here and mapped at %s: one of the two", i.place.s, at.seen(i.place.at))
				}
				m.ignore[p.segment] = append(m.ignore[p.segment], ignored{p.field, p.comp, i.reason.s, i.place.at})
			}
		}
	}
}

// wholePlace is a field of a segment, or a component of one.
type wholePlace struct {
	segment     string
	field, comp int
}

// mappedWhole gives the places that rules map whenever they are valued, and the first rule of each. A map of a data
// type may leave parts of a place, and a condition the whole: such a place may be ignored as well.
func mappedWhole(sources []*source) map[wholePlace]pos {
	out := map[wholePlace]pos{}
	for _, s := range sources {
		for _, r := range s.rules {
			if r.when.s != "" || strings.Contains(r.how.s, "[") {
				continue
			}
			p, why := segmentAt(r.from.s)
			at := wholePlace{p.segment, p.field, p.comp}
			if _, before := out[at]; why == "" && !before {
				out[at] = r.from.at
			}
		}
	}
	return out
}

// kept tells the places that no map may ignore; set ids and the like, which carry nothing, may be.
func kept(p place) bool {
	switch p.segment {
	case "RF1", "PRD", "OBR", "OBX", "NTE", "DG1", "AL1":
		f, _ := hl7.LookupField(p.segment, p.field)
		return p.field != 1 || f.Datatype != "SI"
	case "PID":
		return p.field == 3 || p.field == 5 || p.field == 7
	}
	return false
}
