package mapping

import (
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// outMessage is a compiled message map out of FHIR.
type outMessage struct {
	name   string
	early  map[field]bool // sent in versions that lack them
	groups []*outGroup
}

// outGroup writes segments of one name.
type outGroup struct {
	segment string
	maps    []*reverse
	each    *walk // nil: the resources of the first map's type
	where   *expr
	split   bool
	once    bool  // not of what a segment of its name was made from
	whole   bool  // its segments go home as the request had them
	fields  []int // those that do
	set     []backConstant
	inner   []*outGroup // that follow each of these
	at      pos
}

// outMessage compiles a message map out of FHIR.
func (c *compiler) outMessage(s *source) *outMessage {
	m := &outMessage{name: s.to, early: c.early(s)}
	bundle, _ := c.schema.Resource("Bundle")
	for _, src := range s.segments {
		if g := c.outGroup(src, bundle); g != nil {
			m.groups = append(m.groups, g)
		}
	}
	return m
}

// outGroup compiles segments of a name whose each is seen from a type; nil with a fault.
func (c *compiler) outGroup(src srcGroup, from *fhir.Type) *outGroup {
	if !hl7.LookupSegment(src.name.s) {
		c.faults.add(src.name.at, "no segment %s%s", src.name.s, meant(src.name.s, hl7.Segments()))
		return nil
	}
	g := &outGroup{segment: src.name.s, at: src.name.at}
	for _, name := range src.maps {
		p := c.reverseOf(name)
		if p == nil || p.typ == nil {
			continue
		}
		if p.src.to != src.name.s {
			c.faults.add(name.at, "%s writes %s, not %s", name.s, p.src.to, src.name.s)
			continue
		}
		g.maps = append(g.maps, p)
	}
	if len(g.maps) == 0 {
		return nil
	}
	typ, ok := g.maps[0].typ, true
	if src.each.s != "" {
		g.each, ok = c.walk(src.each, from)
	}
	g.where = c.exprs.condition(src.where, c.backLexicon(typ))
	g.split = src.split.s == "lines"
	if src.split.s != "" && !g.split {
		c.faults.add(src.split.at, "split is lines")
	}
	if g.once = src.once.s == "true"; src.once.s != "" && !g.once {
		c.faults.add(src.once.at, "once: true, or nothing")
	}
	for _, k := range src.set {
		if p, ok := c.outPlace(k[0], g.maps[0].src); ok {
			g.set = append(g.set, backConstant{p, k[1].s})
		}
	}
	c.received(g, src)
	for _, inner := range src.segments {
		if inner.each.s == "" {
			c.faults.add(inner.name.at, "%s follows each %s: say each, the elements that it is made from", inner.name.s, g.segment)
		} else if n := c.outGroup(inner, typ); n != nil {
			g.inner = append(g.inner, n)
		}
	}
	if !ok {
		return nil
	}
	return g
}
