package mapping

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Rule is something a map says: a FROM -> TO: HOW, a check, an ignored place, or a resource or segment of a message.
type Rule struct {
	Layer     int    // which of Load's arguments has the file, from 0
	Map       string // "PID[Patient]"
	File      string // in its layer: "segments/PID[Patient].yaml"
	Line, Col int    // from 1
	Text      string // as written: "PID-7 -> birthDate: date"
}

// Rules gives every rule of the set's maps, both ways, by file, layer and line.
func (s *Set) Rules() []Rule {
	var out []Rule
	seen := map[pos]bool{} // a map is extended by another file, and used by several messages
	add := func(src *source, at pos, parts ...string) {
		if !seen[at] {
			seen[at] = true
			out = append(out, Rule{at.layer, src.name.s, at.file, at.line, at.col, strings.Join(parts, "")})
		}
	}
	all := slices.Collect(maps.Values(s.sources))
	for _, own := range s.senders {
		all = append(all, slices.Collect(maps.Values(own.sources))...)
	}
	for _, src := range all {
		for _, r := range src.rules {
			add(src, r.from.at, r.from.s, " -> ", r.to.s, ": ", r.how.s)
		}
		for _, c := range src.checks {
			add(src, c.place.at, "check ", c.place.s)
		}
		for _, i := range src.ignore {
			add(src, i.place.at, "ignore ", i.place.s)
		}
		for _, g := range src.groups {
			add(src, g.name.at, "resource ", g.name.s)
		}
		for _, g := range withInner(src.segments) {
			add(src, g.name.at, "segment ", g.name.s)
		}
	}
	slices.SortFunc(out, func(a, b Rule) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return out
}

// Coverage notes which rules have done something (written a value, found trouble, left a place out, made a resource or
// a segment), over any number of translations with one set, from several
// goroutines. A trace does not tell it: there a data type map's rules stand for the one that called them, and a
// site's file for the shipped one of its name. The zero Coverage is empty and ready.
type Coverage struct {
	mu  sync.Mutex
	ran map[pos]bool
}

// note is for a nil Coverage too, which notes nothing.
func (c *Coverage) note(at pos) {
	if c != nil {
		c.add(at)
	}
}

func (c *Coverage) add(at pos) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ran == nil {
		c.ran = map[pos]bool{}
	}
	c.ran[at] = true
}

// Has tells whether a rule has done something.
func (c *Coverage) Has(r Rule) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ran[pos{file: r.File, line: r.Line, col: r.Col, layer: r.Layer}]
}
