package fhir

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// Tree is an arena of elements: one slice holds all of them, so that a Bundle costs a handful of
// allocations, and none when the tree is used again after Reset. It may hold several resources that stand
// by themselves. A tree belongs to one goroutine at a time.
type Tree struct {
	nodes []node
	data  []Data
}

// node is one element. Siblings stand in schema order; repetitions of one element stand together.
type node struct {
	def                             *ElementDef // nil: a resource that stands by itself
	typ                             *Type
	text                            string
	has                             present // the children that are there
	parent, first, last, next, prev int32
	data                            int32 // place in Tree.data plus one, or sound
}

// sound stands in node.data for a text that was held against the element it is in: it is of its form, of its
// required value set, and JSON takes it without an escape. See sound.go.
const sound = -1

// NewTree makes an empty tree with room for a common Bundle.
func NewTree() *Tree { return &Tree{nodes: make([]node, 1, 512)} }

// Reset empties the tree and keeps its memory. Elements of before are no longer valid.
func (t *Tree) Reset() {
	clear(t.nodes)
	t.nodes = t.nodes[:1]
	clear(t.data)
	t.data = t.data[:0]
}

// Element is a handle on one element of a tree. The zero Element is none: reading it gives nothing.
type Element struct {
	t *Tree
	i int32
}

// NewResource makes a resource that stands by itself. The error names a type that R4 does not have.
func (t *Tree) NewResource(typ string) (Element, error) {
	rt, ok := R4().Resource(typ)
	if !ok {
		return Element{}, fmt.Errorf("fhir: no resource type %q", typ)
	}
	return t.push(node{typ: rt}), nil
}

func (t *Tree) push(n node) Element {
	t.nodes = append(t.nodes, n)
	return Element{t, int32(len(t.nodes) - 1)}
}

func (e Element) n() *node { return &e.t.nodes[e.i] }

func (e Element) at(i int32) Element {
	if i == 0 {
		return Element{}
	}
	return Element{e.t, i}
}

// OK tells whether the element exists.
func (e Element) OK() bool { return e.i != 0 }

// Tree the element lives in.
func (e Element) Tree() *Tree { return e.t }

// Name of the element in JSON; the resource type for a resource that stands by itself.
func (e Element) Name() string {
	switch {
	case !e.OK():
		return ""
	case e.n().def == nil:
		return e.n().typ.Name
	}
	return e.n().def.Name
}

// Def of the element; nil for a resource that stands by itself.
func (e Element) Def() *ElementDef {
	if !e.OK() {
		return nil
	}
	return e.n().def
}

// Type of the element; of Bundle.entry.resource the actual resource's.
func (e Element) Type() *Type {
	if !e.OK() {
		return nil
	}
	return e.n().typ
}

// Parent of the element.
func (e Element) Parent() Element {
	if !e.OK() {
		return e
	}
	return e.at(e.n().parent)
}

// Text of a primitive, unquoted; "" for everything else.
func (e Element) Text() string {
	if !e.OK() {
		return ""
	}
	return e.n().text
}

// Empty tells an element that holds nothing: no text, no content and no elements.
func (e Element) Empty() bool {
	return !e.OK() || e.n().text == "" && e.n().data <= 0 && e.n().first == 0
}

// Index among the repetitions of the element, from 0.
func (e Element) Index() int {
	if !e.OK() {
		return 0
	}
	k := 0
	for p := e.n().prev; p != 0 && e.t.nodes[p].def == e.n().def; p = e.t.nodes[p].prev {
		k++
	}
	return k
}

// following gives the next repetition of the element, none after the last.
func (e Element) following() Element {
	if !e.OK() {
		return e
	}
	n := e.n()
	if n.next == 0 || e.t.nodes[n.next].def != n.def {
		return Element{}
	}
	return Element{e.t, n.next}
}

// Child gives the first child of a name.
func (e Element) Child(name string) Element {
	if !e.OK() {
		return Element{}
	}
	for c := e.n().first; c != 0; c = e.t.nodes[c].next {
		if e.t.nodes[c].def.Name == name {
			return Element{e.t, c}
		}
	}
	return Element{}
}

// Children gives the children of a name, all of them for "". The current one may be removed meanwhile.
func (e Element) Children(name string) iter.Seq[Element] {
	return func(yield func(Element) bool) {
		if !e.OK() {
			return
		}
		for c := e.n().first; c != 0; {
			next := e.t.nodes[c].next
			if (name == "" || e.t.nodes[c].def.Name == name) && !yield(Element{e.t, c}) {
				return
			}
			c = next
		}
	}
}

// ChildDef gives the first child of a definition.
func (e Element) ChildDef(d *ElementDef) Element {
	if !e.OK() || e.n().has&d.bit() == 0 {
		return Element{}
	}
	for c := e.n().first; c != 0; c = e.t.nodes[c].next {
		if e.t.nodes[c].def == d {
			return Element{e.t, c}
		}
	}
	return Element{}
}

// Chosen tells whether any form of a choice is there, of which a definition is one.
func (e Element) Chosen(d *ElementDef) bool { return d.Choice != "" && e.OK() && e.n().has&d.mask != 0 }

// LastDef gives the last child of a definition.
func (e Element) LastDef(d *ElementDef) Element {
	if !e.OK() {
		return Element{}
	}
	return e.childOf(d)
}

// ChildrenDef gives the children of a definition, all of them for nil. The current one may be removed
// meanwhile.
func (e Element) ChildrenDef(d *ElementDef) iter.Seq[Element] {
	return func(yield func(Element) bool) {
		if !e.OK() {
			return
		}
		for c := e.n().first; c != 0; {
			next := e.t.nodes[c].next
			if (d == nil || e.t.nodes[c].def == d) && !yield(Element{e.t, c}) {
				return
			}
			c = next
		}
	}
}

// At follows a path such as "identifier[0].value" from the element down; none where it leads nowhere.
func (e Element) At(path string) Element {
	for path != "" && e.OK() {
		var step string
		step, path, _ = strings.Cut(path, ".")
		name, index, indexed := strings.Cut(step, "[")
		k := 0
		if indexed {
			var err error
			if k, err = strconv.Atoi(strings.TrimSuffix(index, "]")); err != nil || k < 0 {
				return Element{}
			}
		}
		e = e.nth(name, k)
	}
	return e
}

func (e Element) nth(name string, k int) Element {
	for c := range e.Children(name) {
		if k == 0 {
			return c
		}
		k--
	}
	return Element{}
}

// Path names the element from its outermost resource: "Bundle.entry[3].resource.identifier[0].value".
func (e Element) Path() string {
	if !e.OK() {
		return ""
	}
	return string(e.appendPath(make([]byte, 0, 96)))
}

func (e Element) appendPath(dst []byte) []byte {
	p := e.Parent()
	if !p.OK() {
		return append(dst, e.Name()...)
	}
	dst = append(append(p.appendPath(dst), '.'), e.Name()...)
	if e.n().def.Repeats() {
		dst = append(strconv.AppendInt(append(dst, '['), int64(e.Index()), 10), ']')
	}
	return dst
}
