package fhir

import (
	"fmt"
	"math/bits"
	"slices"
)

// Add appends an element. The error names one that the type does not have, or a single one that is there.
func (e Element) Add(name string) (Element, error) {
	d, err := e.def(name)
	if err != nil {
		return Element{}, err
	}
	return e.AddDef(d)
}

func (e Element) def(name string) (*ElementDef, error) {
	if !e.OK() {
		return nil, fmt.Errorf("fhir: %s of no element", name)
	}
	d, ok := e.n().typ.Element(name)
	if !ok {
		return nil, fmt.Errorf("fhir: %s has no element %q", e.n().typ.Name, name)
	}
	return d, nil
}

// AddDef is Add for an element that was looked up before.
func (e Element) AddDef(d *ElementDef) (Element, error) {
	if e.OK() && d.Type.Kind != AnyResource && (d.Repeats() || e.n().has&d.mask == 0 || !e.childOf(d).OK()) {
		return e.insert(d, d.Type), nil
	}
	return e.place(d, d.Type)
}

// childOf gives the last child of a definition.
func (e Element) childOf(d *ElementDef) Element {
	if e.n().has&d.bit() == 0 {
		return Element{}
	}
	for c := e.before(d); c != 0 && e.t.nodes[c].def.order == d.order; c = e.t.nodes[c].prev {
		if e.t.nodes[c].def == d {
			return Element{e.t, c}
		}
	}
	return Element{}
}

// insert makes a child, behind the last one that does not come after it in the schema.
func (e Element) insert(d *ElementDef, typ *Type) Element {
	i, nodes := e.t.next(), e.t.nodes
	n, p := &nodes[i], &nodes[e.i]
	n.def, n.typ, n.parent = d, typ, e.i
	if p.has>>1 >= d.mask {
		e.linkAfter(e.before(d), i)
		return Element{e.t, i}
	}
	last := p.last // behind all others, as mostly
	n.prev, p.last = last, i
	if p.has |= d.mask; last == 0 {
		p.first = i
	} else {
		nodes[last].next = i
	}
	return Element{e.t, i}
}

// next takes one more node, which is empty.
func (t *Tree) next() int32 {
	i := len(t.nodes)
	if i == cap(t.nodes) {
		t.nodes = slices.Grow(t.nodes, 1)
	}
	t.nodes = t.nodes[:i+1]
	return int32(i)
}

// before gives the last child that does not come after an element in the schema, 0 when there is none.
func (e Element) before(d *ElementDef) int32 {
	n := e.n()
	i := n.last
	if n.has>>1 < d.mask { // as mostly
		return i
	}
	if behind := n.has &^ (d.mask<<1 - 1); bits.OnesCount64(uint64(behind)) > bits.OnesCount64(uint64(n.has&^behind)) {
		return e.frontOf(d)
	}
	for i != 0 && e.t.nodes[i].def.order > d.order {
		i = e.t.nodes[i].prev
	}
	return i
}

// frontOf is before for an element that comes nearer to the front than to the end.
func (e Element) frontOf(d *ElementDef) (last int32) {
	for i := e.n().first; i != 0 && e.t.nodes[i].def.order <= d.order; i = e.t.nodes[i].next {
		last = i
	}
	return last
}

// insertAfter makes a child behind the one at after, 0 for the front. The reader uses it to add to an array
// without looking for its end.
func (e Element) insertAfter(after int32, d *ElementDef, typ *Type) Element {
	i := e.t.next()
	n := &e.t.nodes[i]
	n.def, n.typ, n.parent = d, typ, e.i
	e.linkAfter(after, i)
	return Element{e.t, i}
}

// linkAfter puts a node among the children.
func (e Element) linkAfter(after, i int32) {
	nodes := e.t.nodes
	p, n := &nodes[e.i], &nodes[i]
	p.has |= n.def.bit()
	n.prev = after
	if after == 0 {
		n.next, p.first = p.first, i
	} else {
		n.next, nodes[after].next = nodes[after].next, i
	}
	if n.next == 0 {
		p.last = i
	} else {
		nodes[n.next].prev = i
	}
}

// Set gives a primitive child its text, adding it when needed; a repeating one gets one more. The form of
// the text is for Validate.
func (e Element) Set(name, value string) error {
	d, err := e.def(name)
	if err != nil {
		return err
	}
	return e.SetDef(d, value)
}

// SetDef is Set for an element that was looked up before.
func (e Element) SetDef(d *ElementDef, value string) error {
	if !e.OK() {
		return fmt.Errorf("fhir: %s of no element", d.Name)
	}
	if d.Type.Kind != Primitive {
		return fmt.Errorf("fhir: %s.%s is no primitive", e.Type().Name, d.Name)
	}
	e.set(d, value, 0)
	return nil
}

// set gives a primitive child its text and what is known of it.
func (e Element) set(d *ElementDef, value string, data int32) {
	c := Element{}
	if !d.Repeats() && e.n().has&d.mask != 0 {
		c = e.childOf(d)
	}
	if !c.OK() {
		c = e.insert(d, d.Type)
	}
	n := c.n()
	n.text, n.data = value, data
}

// Refer adds a Reference that names a UUID. The error names an element that is no Reference, or a single one that is
// there.
func (e Element) Refer(d *ElementDef, u UUID) error {
	to := d.Type.refers
	if to == nil {
		return fmt.Errorf("fhir: %s.%s is no Reference", e.Type().Name, d.Name)
	}
	ref, err := e.AddDef(d)
	if err != nil {
		return err
	}
	n := ref.insert(to, to.Type).n()
	n.text, n.data = u.url, u.data
	return nil
}

// SetText changes the text of a primitive.
func (e Element) SetText(value string) { e.n().text, e.n().data = value, 0 }

// SetData gives a base64Binary child its content.
func (e Element) SetData(name string, d Data) error {
	def, err := e.def(name)
	if err != nil {
		return err
	}
	if def.Type.Name != "base64Binary" {
		return fmt.Errorf("fhir: %s.%s holds no binary", e.Type().Name, name)
	}
	if err := e.SetDef(def, ""); err != nil {
		return err
	}
	e.t.data = append(e.t.data, d)
	e.childOf(def).n().data = int32(len(e.t.data))
	return nil
}

// Data of a base64Binary that was set as content; ok is false for one set as text.
func (e Element) Data() (d Data, ok bool) {
	if !e.OK() || e.n().data <= 0 {
		return Data{}, false
	}
	return e.t.data[e.n().data-1], true
}

// AddResource adds a resource where one may stand: Bundle.entry.resource, contained.
func (e Element) AddResource(name, typ string) (Element, error) {
	d, err := e.def(name)
	if err != nil {
		return Element{}, err
	}
	rt, ok := R4().Resource(typ)
	if !ok {
		return Element{}, fmt.Errorf("fhir: no resource type %q", typ)
	}
	return e.place(d, rt)
}

// place adds a child of a type that the definition must take.
func (e Element) place(d *ElementDef, typ *Type) (Element, error) {
	if err := e.room(d, typ); err != nil {
		return Element{}, err
	}
	return e.insert(d, typ), nil
}

// room tells why a child cannot be added; nil when it can.
func (e Element) room(d *ElementDef, typ *Type) error {
	switch {
	case !e.OK():
		return fmt.Errorf("fhir: %s of no element", d.Name)
	case !d.takes(typ):
		return fmt.Errorf("fhir: %s.%s takes no %s", e.Type().Name, d.Name, typ.Name)
	case !d.Repeats() && e.childOf(d).OK():
		return fmt.Errorf("fhir: %s.%s is there already", e.Type().Name, d.Name)
	}
	return nil
}

// takes tells whether an element of a type may stand here. A code bound to one value set may be copied to
// where another one binds: Validate looks at the code.
func (d *ElementDef) takes(typ *Type) bool {
	switch d.Type.Kind {
	case AnyResource:
		return typ.Kind == Resource
	case Primitive:
		return typ.Kind == Primitive && typ.Name == d.Type.Name
	}
	return typ == d.Type
}

// Remove takes the element, and all in it, out of its parent. Removing none does nothing.
func (e Element) Remove() {
	if !e.OK() {
		return
	}
	n := e.n()
	if n.parent == 0 {
		return
	}
	p := &e.t.nodes[n.parent]
	if n.prev == 0 {
		p.first = n.next
	} else {
		e.t.nodes[n.prev].next = n.next
	}
	if n.next == 0 {
		p.last = n.prev
	} else {
		e.t.nodes[n.next].prev = n.prev
	}
	if !e.t.like(n, n.prev) && !e.t.like(n, n.next) {
		p.has &^= n.def.bit()
	}
	n.parent, n.prev, n.next = 0, 0, 0
}

// like tells whether a sibling is the same element as a node, or another form of its choice.
func (t *Tree) like(n *node, sibling int32) bool {
	return sibling != 0 && t.nodes[sibling].def.order == n.def.order
}

// Copy copies src, with all in it, as a child of dst named name, also between trees. The error names an
// element that dst does not have, that is there already, or that is of another type.
func Copy(dst Element, name string, src Element) (Element, error) {
	d, err := dst.def(name)
	if err != nil {
		return Element{}, err
	}
	if !src.OK() {
		return Element{}, fmt.Errorf("fhir: nothing to copy to %s.%s", dst.Type().Name, name)
	}
	if err := dst.room(d, src.Type()); err != nil {
		return Element{}, err
	}
	c := dst.t.push(node{def: d, typ: src.Type(), parent: dst.i})
	c.fill(src) // before it is linked: src may be what dst stands in
	dst.linkAfter(dst.before(d), c.i)
	return c, nil
}

// CopyResource copies a resource out of where it stands, as one that stands by itself in t.
func (t *Tree) CopyResource(src Element) (Element, error) {
	if !src.OK() || src.Type().Kind != Resource {
		return Element{}, fmt.Errorf("fhir: no resource to copy")
	}
	c := t.push(node{typ: src.Type()})
	c.fill(src)
	return c, nil
}

func (e Element) fill(src Element) {
	e.n().text = src.Text()
	if n := src.n(); n.data == sound && n.def == e.n().def {
		e.n().data = sound
	}
	if d, ok := src.Data(); ok {
		e.t.data = append(e.t.data, d)
		e.n().data = int32(len(e.t.data))
	}
	for c := range src.Children("") {
		e.insertAfter(e.n().last, c.Def(), c.Type()).fill(c)
	}
}
