package fhir

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// AppendJSON appends the resource as compact JSON, resourceType first, elements in schema order. Content
// set by SetData is read whole; WriteJSON streams it. An error leaves dst with a part of the resource: text
// that is no UTF-8, content that cannot be read or is not of its Size.
func AppendJSON(dst []byte, e Element) ([]byte, error) {
	w := writer{buf: dst, compact: true}
	w.object(e)
	return w.buf, w.err
}

// WriteJSON writes the resource as AppendJSON does, streaming content as base64: memory does not grow with
// photos.
func WriteJSON(out io.Writer, e Element) error {
	w := writer{out: out, buf: make([]byte, 0, 32<<10), compact: true}
	w.object(e)
	w.flush()
	return w.err
}

// WriteIndented writes the resource for people.
func WriteIndented(out io.Writer, e Element) error {
	w := writer{out: out, buf: make([]byte, 0, 32<<10), indent: true}
	w.object(e)
	w.raw("\n")
	w.flush()
	return w.err
}

// writer gathers bytes in buf and, when it has an out, passes them on.
type writer struct {
	out     io.Writer
	buf     []byte
	err     error
	compact bool // neither indent nor brief: what is sound is taken as it is
	indent  bool
	depth   int
	brief   *brief // set when google/fhir is the reader, see judge.go
}

// flushAt is when an object's end passes the buffer on, in bytes.
const flushAt = 24 << 10

func (w *writer) flush() {
	if w.out == nil || w.err != nil {
		return
	}
	_, w.err = w.out.Write(w.buf)
	w.buf = w.buf[:0]
}

func (w *writer) raw(s string) { w.buf = append(w.buf, s...) }

func (w *writer) line() {
	if !w.indent {
		return
	}
	w.raw("\n")
	for range w.depth {
		w.raw("  ")
	}
}

func (w *writer) key(comma bool, prefix, name string) {
	if comma {
		w.raw(",")
	}
	w.line()
	w.raw(`"`)
	w.raw(prefix)
	w.raw(name)
	w.raw(`":`)
	if w.indent {
		w.raw(" ")
	}
}

// object writes an element that is not primitive.
func (w *writer) object(e Element) {
	switch {
	case w.err != nil:
		return
	case !e.OK():
		w.err = fmt.Errorf("fhir: nothing to write")
		return
	case w.compact:
		w.pack(e)
		return
	}
	wrote := e.n().typ.Kind == Resource
	w.depth++
	w.raw("{")
	if wrote {
		w.key(false, "", "resourceType")
		w.raw(`"`)
		w.raw(e.n().typ.Name)
		w.raw(`"`)
	}
	for i := e.n().first; i != 0; {
		next, more := w.member(Element{e.t, i}, wrote)
		i, wrote = next.i, wrote || more
	}
	w.depth--
	if wrote {
		w.line()
	}
	w.raw("}")
	if len(w.buf) > flushAt {
		w.flush()
	}
}

// pack writes an element that is not primitive in compact JSON: a comma behind every member, and the end of the object in
// place of the last one.
func (w *writer) pack(e Element) {
	nodes := e.t.nodes
	n := &nodes[e.i]
	buf := append(w.buf, n.typ.opening...)
	for i := n.first; i != 0; {
		c := &nodes[i]
		switch {
		case c.data == sound && c.first == 0 && c.def.Max == 1: // as most are
			buf = c.def.appendTo(buf, c.text)
			i = c.next
		case c.typ.Kind != Primitive:
			w.buf = append(buf, c.def.lead...)
			i = w.objects(Element{e.t, i})
			buf = append(w.buf, ',')
		default:
			w.buf = buf
			next, wrote := w.primitives(Element{e.t, i})
			if buf = w.buf; wrote {
				buf = append(buf, ',')
			}
			i = next
		}
	}
	if w.buf = closed(buf, '}'); len(w.buf) > flushAt {
		w.flush()
	}
}

// closed puts the end of an object or array in place of the comma behind its last member.
func closed(buf []byte, end byte) []byte {
	if last := len(buf) - 1; buf[last] == ',' {
		buf[last] = end
		return buf
	}
	return append(buf, end)
}

// appendTo writes a primitive's text that is sound, its name before it and a comma behind.
func (d *ElementDef) appendTo(buf []byte, text string) []byte {
	n := len(buf)
	if cap(buf)-n < leadRoom+len(d.lead)+len(text) {
		buf = slices.Grow(buf, leadRoom+len(d.lead)+len(text))
	}
	buf = buf[:cap(buf)]
	if *(*[leadRoom]byte)(buf[n:]) = d.bytes; len(d.lead) > leadRoom {
		copy(buf[n:], d.lead)
	}
	n += len(d.lead)
	if len(text) >= 8 {
		copy(buf[n:], text)
	} else {
		for i := range len(text) {
			buf[n+i] = text[i]
		}
	}
	n += len(text)
	if d.Type.form == quoted {
		buf[n] = '"'
		n++
	}
	buf[n] = ','
	return buf[:n+1]
}

// leadRoom is how much of what leads to a value is copied at once, in bytes: as much as most need.
const leadRoom = 24

// primitives writes all repetitions of a primitive, and gives the sibling after them.
func (w *writer) primitives(first Element) (after int32, wrote bool) {
	nodes, d, i := first.t.nodes, first.n().def, first.i
	for i != 0 && nodes[i].def == d && nodes[i].data == sound && nodes[i].first == 0 {
		i = nodes[i].next
	}
	if !d.Repeats() || i != 0 && nodes[i].def == d {
		next, wrote := w.member(first, false)
		return next.i, wrote
	}
	buf := append(w.buf, d.lead...)
	for i = first.i; i != 0 && nodes[i].def == d; i = nodes[i].next {
		if d.Type.form == quoted {
			buf = append(append(append(buf, '"'), nodes[i].text...), '"', ',')
		} else {
			buf = append(append(buf, nodes[i].text...), ',')
		}
	}
	w.buf = closed(buf, ']')
	return i, true
}

// objects writes all repetitions of an element that is not primitive behind its name, and gives the sibling after
// them.
func (w *writer) objects(e Element) int32 {
	nodes := e.t.nodes
	n := &nodes[e.i]
	d, next := n.def, n.next
	w.pack(e)
	if !d.Repeats() {
		return next
	}
	for ; next != 0 && nodes[next].def == d; next = nodes[next].next {
		w.buf = append(w.buf, ',')
		w.pack(Element{e.t, next})
	}
	w.buf = append(w.buf, ']')
	return next
}

// member writes all repetitions of an element, the values and for primitives the "_name" beside them. It
// returns the sibling after them and whether anything was written.
func (w *writer) member(first Element, comma bool) (next Element, wrote bool) {
	d := first.n().def
	primitive := d.Type.Kind == Primitive
	values, beside := !primitive, false
	for c := first; c.OK(); c = c.following() {
		n := c.n()
		values = values || n.text != "" || n.data > 0
		beside = beside || primitive && n.first != 0
		next = first.at(n.next)
	}
	if w.brief != nil && w.brief.left(w, first, comma) {
		return next, d.Type.Kind != AnyResource
	}
	if values {
		w.key(comma, "", d.Name)
		w.values(first, false)
	}
	if beside {
		w.key(comma || values, "_", d.Name)
		w.values(first, true)
	}
	return next, values || beside
}

// values writes one value, or all repetitions as an array.
func (w *writer) values(first Element, beside bool) {
	if !first.n().def.Repeats() {
		w.value(first, beside)
		return
	}
	w.raw("[")
	w.depth++
	for c := first; c.OK(); c = c.following() {
		if c != first {
			w.raw(",")
		}
		w.line()
		w.value(c, beside)
	}
	w.depth--
	w.line()
	w.raw("]")
}

func (w *writer) value(e Element, beside bool) {
	n := e.n()
	switch {
	case n.typ.Kind != Primitive || beside && n.first != 0:
		w.object(e)
	case beside || n.text == "" && n.data <= 0:
		w.raw("null")
	case n.data > 0:
		w.raw(`"`)
		w.content(e.t.data[n.data-1])
		w.raw(`"`)
	case w.brief != nil && leap(n):
		w.quote(e, strings.Replace(n.text, ":60", ":59", 1))
	case n.typ.form == quoted:
		w.quote(e, n.text)
	default:
		w.raw(n.text)
	}
}

// content streams data as base64, through a writer of its own: w stays off the heap where there is none.
func (w *writer) content(d Data) {
	if w.err != nil {
		return
	}
	g := &gatherer{writer{out: w.out, buf: w.buf}}
	w.err = d.WriteBase64(g)
	w.buf = g.buf
}

// gatherer takes what is streamed into a writer's buffer.
type gatherer struct{ writer }

func (g *gatherer) Write(p []byte) (int, error) {
	if g.buf = append(g.buf, p...); len(g.buf) > flushAt {
		g.flush()
	}
	return len(p), g.err
}

// Include includes where the writer's out does.
func (g *gatherer) Include(d Data) (bool, error) {
	out, ok := g.out.(Includer)
	if !ok {
		return false, nil
	}
	if g.flush(); g.err != nil {
		return false, g.err
	}
	return out.Include(d)
}

// quote writes a JSON string.
func (w *writer) quote(e Element, s string) {
	all := classesOf(s)
	buf := append(w.buf, '"')
	if all&special == 0 {
		buf = append(buf, s...)
	} else {
		buf = appendEscaped(buf, s)
	}
	w.buf = append(buf, '"')
	if all&wide != 0 && !utf8.ValidString(s) && w.err == nil {
		w.err = fmt.Errorf("fhir: %s is no UTF-8", e.Path())
	}
}

func appendEscaped(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	from := 0
	for i := range len(s) {
		c := s[i]
		if classes[c]&special == 0 {
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		from = i + 1
	}
	return append(dst, s[from:]...)
}
