package fhir

import (
	"fmt"
	"io"
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

// pack writes an element that is not primitive in compact JSON.
func (w *writer) pack(e Element) {
	n := e.n()
	wrote := n.typ.Kind == Resource
	buf := append(w.buf, n.typ.opening...)
	for i := n.first; i != 0; {
		c := &e.t.nodes[i]
		switch {
		case c.data == sound && c.first == 0 && c.def.Max == 1: // as most are
			if buf = append(append(buf, c.def.leading(wrote)...), c.text...); c.typ.form == quoted {
				buf = append(buf, '"')
			}
			i, wrote = c.next, true
		case c.typ.Kind != Primitive:
			w.buf = append(buf, c.def.leading(wrote)...)
			i, wrote = w.objects(Element{e.t, i}), true
			buf = w.buf
		default:
			w.buf = buf
			next, more := w.member(Element{e.t, i}, wrote)
			i, wrote, buf = next.i, wrote || more, w.buf
		}
	}
	if w.buf = append(buf, '}'); len(w.buf) > flushAt {
		w.flush()
	}
}

// objects writes all repetitions of an element that is not primitive behind its name, and gives the sibling after
// them.
func (w *writer) objects(e Element) int32 {
	d := e.n().def
	w.object(e)
	next := e.n().next
	if !d.Repeats() {
		return next
	}
	for ; next != 0 && e.t.nodes[next].def == d; next = e.t.nodes[next].next {
		w.buf = append(w.buf, ',')
		w.object(Element{e.t, next})
	}
	w.buf = append(w.buf, ']')
	return next
}

// leading gives what stands before an element's value, with the comma before it or without.
func (d *ElementDef) leading(comma bool) string {
	if comma {
		return d.lead
	}
	return d.lead[1:]
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
