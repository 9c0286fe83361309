package mapping

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// overlay is senders/NAME.yaml as written: what one sender does differently, over all other maps.
type overlay struct {
	name   text
	tables []*srcTable // what they list is added, or replaces
	maps   []*source   // each extends the map of its name
}

// overlayFolder is where overlays lie, in any layer.
const overlayFolder = "senders"

// codingSystems is the table that HOW system reads.
const codingSystems = "CodingSystem"

// overlay reads what one sender does differently.
func (r *reader) overlay(b []byte) *overlay {
	o := &overlay{}
	pairs := r.parse(b)
	for _, p := range pairs {
		switch p.key.s {
		case "sender":
			o.name, _ = r.scalar(p.value)
		case "systems":
			o.tables = append(o.tables, &srcTable{name: text{codingSystems, p.key.at}, codes: r.uris(p.value)})
		case "tables":
			for _, t := range r.pairs(p.value) {
				o.tables = append(o.tables, &srcTable{name: t.key, codes: r.constants(t.value)})
			}
		case "maps":
			for _, m := range r.pairs(p.value) {
				if s := r.overlaid(m); s != nil {
					o.maps = append(o.maps, s)
				}
			}
		default:
			r.unknown(p.key, senderKeys)
		}
	}
	if want := strings.TrimSuffix(path.Base(r.file), ".yaml"); len(pairs) > 0 && o.name.s != want {
		at := o.name.at
		if o.name.s == "" {
			at = r.pos(1, 1)
		}
		r.faults.add(at, "the file %s.yaml says sender: %s", want, want)
	}
	return o
}

// uris reads names and the uri that each stands for.
func (r *reader) uris(n ast.Node) [][2]text {
	var out [][2]text
	for _, p := range r.pairs(n) {
		out = append(out, [2]text{p.key, r.uri(p.value)})
	}
	return out
}

// overlaid reads what is added to one map.
func (r *reader) overlaid(p pair) *source {
	s := &source{file: r.file, extend: true}
	m := mapName.FindStringSubmatch(p.key.s)
	if m == nil {
		r.faults.add(p.key.at, "want the name of a map, such as PID[Patient] or REF_I12")
		return nil
	}
	s.name, s.from, s.to = p.key, m[1], m[2]
	if s.to != "" && !isSegment(s.from) && !isDatatype(s.from) {
		r.faults.add(p.key.at, "%s leads out of FHIR: a sender has its say on what it sends", p.key.s)
		return nil
	}
	for _, k := range r.pairs(p.value) {
		if !slices.Contains(overlaidKeys, k.key.s) {
			r.faults.add(k.key.at, "unknown key %q%s", k.key.s, meant(k.key.s, overlaidKeys))
			continue
		}
		r.mapKey(s, k)
	}
	return s
}

// overlaidKeys are those of a map file that an overlay may add to.
var overlaidKeys = []string{"rules", "checks", "ignore", "resources"}

// needs notes what each map is compiled from, "map CX[Identifier]" or "table Laterality", so that an overlay
// compiles no more than it changes.
type needs struct {
	of  map[string]map[string]bool
	now []string // maps being compiled, the innermost last
}

// enter begins a map; what it gives ends it.
func (n *needs) enter(name string) func() {
	if n == nil {
		return func() {}
	}
	n.now = append(n.now, name)
	return func() { n.now = n.now[:len(n.now)-1] }
}

// note says that the map being compiled is made from something.
func (n *needs) note(what string) {
	if n == nil || len(n.now) == 0 {
		return
	}
	name := n.now[len(n.now)-1]
	if n.of[name] == nil {
		n.of[name] = map[string]bool{}
	}
	n.of[name][what] = true
}

// stale gives the maps that changed things reach; changed gets them too.
func (n *needs) stale(changed map[string]bool) map[string]bool {
	out := map[string]bool{}
	for more := true; more; {
		more = false
		for name, from := range n.of {
			if out[name] {
				continue
			}
			for what := range from {
				if changed[what] {
					out[name], changed["map "+name], more = true, true, true
					break
				}
			}
		}
	}
	return out
}

// sender compiles the maps as one sender's overlay has them. What the overlay does not reach is that of the
// set for all senders.
func (c *compiler) sender(all *Set, o *overlay) *Set {
	f := c.faults
	changed := map[string]bool{}
	tables := maps.Clone(c.tables)
	for _, src := range o.tables {
		before := tables[src.name.s]
		if before == nil {
			f.add(src.name.at, "no table %s to add to%s", src.name.s, meant(src.name.s, keys(tables)))
			continue
		}
		tables[src.name.s] = before.with(src)
		changed["table "+src.name.s] = true
	}
	stale := map[string]bool{}
	layers := []*source{}
	for _, name := range keys(c.sources) {
		layers = append(layers, c.sources[name])
	}
	for _, src := range o.maps {
		layers = append(layers, src)
		changed["map "+src.name.s], stale[src.name.s] = true, true
	}
	for name := range c.needs.stale(changed) {
		stale[name] = true
	}
	own := &compiler{faults: f, schema: c.schema, names: c.names, tables: tables, sources: merge(layers, f), programs: maps.Clone(c.programs),
		reversed: c.reversed, used: c.used, shapes: c.shapes, needs: &needs{of: map[string]map[string]bool{}}}
	own.exprs = newExprs(f, tables)
	own.exprs.needs = own.needs
	for name := range stale {
		delete(own.programs, name)
	}
	s := &Set{digest: all.digest, events: maps.Clone(all.events), codes: all.codes, outputs: all.outputs, sources: own.sources, tables: tables, names: c.names}
	for _, name := range slices.Sorted(maps.Keys(stale)) {
		src := own.sources[name]
		switch {
		case src == nil:
		case src.to == "":
			m := own.message(src)
			for _, e := range src.events {
				s.events[e.s] = m
			}
		case isSegment(src.from) || isDatatype(src.from):
			own.compile(src)
		}
	}
	for name, t := range tables {
		c.tables[name].used = c.tables[name].used || t.used
	}
	return s
}

// with gives the table with the codes of another one added, or in place of its own.
func (t *table) with(src *srcTable) *table {
	out := *t
	out.codes, out.list = maps.Clone(t.codes), slices.Clip(t.list)
	for _, c := range src.codes {
		out.codes[c[0].s] = c[1].s
		out.list = append(out.list, srcCode{c[0], c[1]})
	}
	return &out
}

// Senders gives the names of the overlays, which Options.Sender may be.
func (s *Set) Senders() []string { return keys(s.senders) }
