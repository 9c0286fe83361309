package mapping

import (
	"cmp"
	"slices"
	"strings"
	"sync"
)

// Rule is a rule of a set: where its file says FROM -> TO: HOW.
type Rule struct {
	Layer     int    // which of Load's arguments has the file, from 0
	Map       string // "PID[Patient]"
	File      string // in its layer: "segments/PID[Patient].yaml"
	Line, Col int    // from 1
}

// Rules gives every rule of the set's segment and data type maps, both ways, by file, line and layer.
func (s *Set) Rules() []Rule {
	var out []Rule
	add := func(name string, at pos) {
		out = append(out, Rule{Layer: at.layer, Map: name, File: at.file, Line: at.line, Col: at.col})
	}
	for name, p := range s.into {
		for i := range p.rules {
			add(name, p.rules[i].pos)
		}
	}
	for name, p := range s.back {
		for _, r := range p.rules {
			add(name, r.at)
		}
	}
	slices.SortFunc(out, func(a, b Rule) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return out
}

// Coverage notes which rules have written something, over any number of translations with one set, from several
// goroutines. A trace does not tell it: there a data type map's rules stand for the one that called them, and a
// site's file for the shipped one of its name. The zero Coverage is empty and ready.
type Coverage struct {
	mu  sync.Mutex
	ran map[pos]bool
}

func (c *Coverage) note(at pos) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ran == nil {
		c.ran = map[pos]bool{}
	}
	c.ran[at] = true
}

// Has tells whether a rule has written something.
func (c *Coverage) Has(r Rule) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ran[pos{file: r.File, line: r.Line, col: r.Col, layer: r.Layer}]
}
