package hl7

import (
	_ "embed" // messages.txt
	"strings"
	"sync"
)

//go:embed messages.txt
var structuresText string

// structure is the grammar of a message: its segments and groups in pre-order, the message itself first.
type structure struct {
	name  string // "REF_I12"
	nodes []node
}

// node is a place of a structure: a segment, or a group with the nodes up to end.
type node struct {
	names       []name // of the segment, several where one of them may stand; nil for a group
	label       string // of the group, "" when it has none
	parent, end int16
	mayLack     int16 // the innermost optional group it lies in; 0: none
	optional    bool
	repeats     bool
	owns        bool // what follows it in its group belongs to it
	apart       bool // a group that nothing outside it owns
}

// maxNodes is how many nodes a structure may have: the fitting keeps a record of each.
const maxNodes = 128

func (n *node) group() bool { return n.names == nil }

func (n *node) is(s name) bool {
	for _, k := range n.names {
		if k == s {
			return true
		}
	}
	return false
}

// structures by what MSH-9 says.
type structures struct {
	byEvent map[string]*structure // "REF^I12"; "ACK", whatever its trigger
	byName  map[string]*structure // "REF_I12"
	byCode  map[string]*structure // "REF"; nil where its events differ
}

var messageStructures = sync.OnceValue(func() *structures { return readStructures(structuresText) })

func readStructures(text string) *structures {
	all := &structures{byEvent: map[string]*structure{}, byName: map[string]*structure{}, byCode: map[string]*structure{}}
	r := structureReader{}
	for line := range strings.Lines(text) {
		word := strings.Fields(line)
		switch {
		case len(word) == 0 || word[0] == "#":
		case word[0] == "message":
			r.s = &structure{name: word[1], nodes: []node{{label: word[1], parent: -1}}}
			r.open = append(r.open[:0], 0)
			all.add(r.s, word[2:])
		default:
			r.body(line)
		}
	}
	for _, s := range all.byName {
		s.close()
	}
	return all
}

func (all *structures) add(s *structure, events []string) {
	all.byName[s.name] = s
	for _, e := range events {
		all.byEvent[e] = s
		code, _, _ := strings.Cut(e, "^")
		if other, ok := all.byCode[code]; ok && other != s {
			all.byCode[code] = nil
			continue
		}
		all.byCode[code] = s
	}
}

// structureReader reads the body of a structure: "PRD: CTD*", "NAME( … )?".
type structureReader struct {
	s    *structure
	open []int16 // the groups being read, the innermost last
}

func (r *structureReader) body(line string) {
	for line = strings.TrimLeft(line, " \n"); line != ""; line = strings.TrimLeft(line, " \n") {
		word := line
		if i := strings.IndexAny(line, "() \n"); i >= 0 {
			word = line[:i]
		}
		line = line[len(word):]
		switch {
		case line != "" && line[0] == '(':
			r.open = append(r.open, r.add(node{label: word}))
			line = line[1:]
		case word == "": // a closing parenthesis
			marks := line[1:]
			if i := strings.IndexAny(marks, ") \n"); i >= 0 {
				marks = marks[:i]
			}
			line = line[1+len(marks):]
			r.s.nodes[r.open[len(r.open)-1]].mark(marks)
			r.open = r.open[:len(r.open)-1]
		default:
			segments := strings.TrimRight(word, "?*+:")
			n := node{}
			for s := range strings.SplitSeq(segments, "|") {
				n.names = append(n.names, packed(s))
			}
			n.mark(word[len(segments):])
			r.add(n)
		}
	}
}

func (n *node) mark(marks string) {
	n.optional = strings.ContainsAny(marks, "?*")
	n.repeats = strings.ContainsAny(marks, "*+")
	n.owns = strings.Contains(marks, ":")
	n.apart = strings.Contains(marks, "-")
}

func (r *structureReader) add(n node) int16 {
	n.parent = r.open[len(r.open)-1]
	r.s.nodes = append(r.s.nodes, n)
	return int16(len(r.s.nodes) - 1)
}

// close sets where each node ends and which group it may lack with.
func (s *structure) close() {
	for i := range s.nodes {
		n := &s.nodes[i]
		for g := n.parent; g > 0 && n.mayLack == 0; g = s.nodes[g].parent {
			if s.nodes[g].optional {
				n.mayLack = g
			}
		}
		for g := int16(i); g >= 0; g = s.nodes[g].parent {
			s.nodes[g].end = int16(i + 1)
		}
	}
}

// StructureOf gives the structure (MSH-9.3) of a message by its type and event, RRI_I12 of RRI and I13; "" when
// none is known.
func StructureOf(code, event string) string {
	if s := messageStructures().byEvent[code+"^"+event]; s != nil {
		return s.name
	}
	return ""
}

// structure gives the grammar of the message by its event, else by the structure MSH-9 names, else by its
// code alone where no trigger stands; nil when none is known.
func (m *Message) structure() *structure {
	all := messageStructures()
	t := m.segment(0).Field(9)
	code, trigger := t.Component(1).Raw(), t.Component(2).Raw()
	var key [16]byte
	if len(code)+len(trigger) < len(key) {
		n := copy(key[:], code)
		if s := all.byEvent[string(key[:n])]; s != nil {
			return s
		}
		key[n] = '^'
		n += 1 + copy(key[n+1:], trigger)
		if s := all.byEvent[string(key[:n])]; s != nil {
			return s
		}
	}
	if s := all.byName[string(t.Component(3).Raw())]; s != nil {
		return s
	}
	if len(trigger) == 0 {
		return all.byCode[string(code)]
	}
	return nil
}
