package mapping

import (
	"regexp"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// What no message could make whole is refused when maps load: an element of which something required is written by no
// rule, constant or link. What some messages lack is for the guards (guard.go).

// complete reports what the elements that a map makes can never have.
func (c *compiler) complete(s *source, sh *shape) {
	for _, path := range keys(sh.inner) {
		in := sh.inner[path]
		if in.there || !in.own || path == "" && s.to == "" {
			continue
		}
		c.incomplete(in.typ, in.names, func(d *fhir.ElementDef, why string) {
			switch {
			case path != "" && in.typ.Linkable(d): // a link may
			case path != "":
				c.faults.add(in.first.at, "%s.%s is %s: no rule fills it", in.typ.Name, d.Shown(), why)
			case why == required:
				c.faults.add(s.name.at, "%s.%s is required: no rule fills it", in.typ.Name, d.Shown())
			}
		})
	}
}

// required is why fhir.Type.Missing names an element that has to be there.
const required = "required"

// incomplete tells each element that is missing beside those of the given names.
func (c *compiler) incomplete(typ *fhir.Type, names map[string]bool, tell func(d *fhir.ElementDef, why string)) {
	has := map[string]bool{}
	for name := range names {
		has[name] = true
	}
	for d, why := typ.Missing(has); d != nil; d, why = typ.Missing(has) {
		has[d.Name] = true
		tell(d, why)
	}
}

// indexes of a path, which links and maps need not write alike.
var indexes = regexp.MustCompile(`\[[0-9]+\]`)

func unindexed(path string) string { return indexes.ReplaceAllString(path, "") }

// required reports what no map and no link of a group can fill.
func (c *compiler) required(g *group, src srcGroup) {
	typ, ok := c.schema.Resource(g.typ)
	if !ok || typ.Name == "Bundle" { // its type is the gateway's
		return
	}
	linked, all := map[string]map[string]bool{}, map[string]*filled{"": {typ: typ}}
	known := map[string]bool{}
	for _, p := range g.maps {
		for path, in := range c.shapes[p].inner {
			if all[path] == nil {
				all[path] = &filled{typ: in.typ, first: in.first, own: in.own, there: in.there}
			}
			all[path].names = union(all[path].names, in.names)
			known[unindexed(path)] = true
		}
	}
	for _, l := range g.links {
		for path, in := range l.shape.inner {
			linked[unindexed(path)] = union(linked[unindexed(path)], in.names)
			if !known[unindexed(path)] { // no map writes there
				all[path] = &filled{typ: in.typ, first: in.first}
			}
		}
	}
	for _, path := range keys(all) {
		in := all[path]
		if in.there {
			continue
		}
		names := union(in.names, linked[unindexed(path)])
		c.incomplete(in.typ, names, func(d *fhir.ElementDef, why string) {
			switch {
			case path == "":
				c.faults.add(src.name.at, "%s: %s.%s is %s: no rule or link fills it", g.name, typ.Name, d.Shown(), why)
			case !in.own || in.typ.Linkable(d): // else its map has told
				c.faults.add(in.first.at, "%s: %s.%s is %s: no rule or link fills it", g.name, in.typ.Name, d.Shown(), why)
			}
		})
	}
}

func union(a, b map[string]bool) map[string]bool {
	out := map[string]bool{}
	for _, m := range []map[string]bool{a, b} {
		for name := range m {
			out[name] = true
		}
	}
	return out
}

// whole holds what a map makes, with the constants beside it, against what its type needs.
func (c *compiler) whole(r *rule, src srcRule, p *program) bool {
	if !c.shapes[p].done { // it asks for itself, which is told elsewhere
		return true
	}
	names := c.shapes[p].own()
	if p.typ.Kind == fhir.Resource {
		c.incomplete(p.typ, names, func(d *fhir.ElementDef, why string) {
			c.faults.add(src.how.at, "%s.%s is %s: no rule of %s fills it", p.typ.Name, d.Shown(), why, src.how.s)
		})
		return true
	}
	set := map[string]bool{}
	for _, k := range src.set {
		set[nextStep(unindexed(k[0].s))] = true
	}
	c.incomplete(p.typ, union(names, set), func(d *fhir.ElementDef, why string) {
		if why != required { // else the map has been told
			c.faults.add(src.how.at, "%s fills no %s, which %s needs: %s", src.how.s, d.Shown(), p.typ.Name, why)
		}
	})
	r.whole = p.typ.Demanding()
	return true
}

// ours tells what no rule may write, because the gateway does.
func (c *compiler) ours(t text, sh *shape, to *target) bool {
	outer := sh.typ
	if n := len(to.way); n > 0 {
		outer = to.way[n-1].def.Type
	}
	switch {
	case sh.typ.Kind == fhir.Resource && to.top == "id":
		c.faults.add(t.at, "the id of a resource is derived from the message: no rule writes it")
	case sh.typ.Name == "Bundle" && slices.Contains([]string{"type", "total", "link", "entry", "signature"}, to.top):
		c.faults.add(t.at, "Bundle.%s is the gateway's: no rule writes it", to.top)
	case outer.Name == "Reference" && to.def.Name == "reference":
		c.faults.add(t.at, "a reference that is written as text may lead nowhere: use link:, a map that makes the resource, or identifier")
	default:
		return true
	}
	return false
}

// fits holds a text of a map against the form and the required binding of its element.
func (c *compiler) fits(t text, d *fhir.ElementDef) bool {
	switch {
	case !d.Fits(t.s) && strings.TrimSpace(t.s) == "":
		c.faults.add(t.at, "an empty text, and %s needs a value", d.Name)
	case !d.Fits(t.s):
		c.faults.add(t.at, "%q is not of the form of a %s, which %s is", t.s, d.Type.Name, d.Name)
	case !d.Allows(t.s):
		c.faults.add(t.at, "%q is not a code of the required value set of %s%s", t.s, d.Name, oneOf(t.s, d.Binding.Codes))
	default:
		return true
	}
	return false
}
