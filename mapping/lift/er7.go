package lift

import (
	"bytes"
	"strings"

	"github.com/dermgate/dermgate/mapping/hl7"
)

// The components of ED that matter (HL7 v2.8 §2A.2.24).
const (
	encodingPart = 4
	dataPart     = 5
)

const (
	valueField = 5   // of OBX
	maxEscape  = 256 // bytes of an escape sequence
	maxScheme  = 256 // bytes of what stands before the data in a data url
	fs         = 0x1c
)

// message reads ER7: one message or a batch.
type message struct {
	*lifter
	framing  hl7.Framing
	met      bool // a line
	del      hl7.Delimiters
	liftable bool      // base64 can be told from the delimiters
	stop     [256]bool // what ends a run within a component
	cr, lf   mark

	obx        bool // the line belongs to an OBX whose value is looked at
	occurrence int
	field      int
	rep, comp  int
	start      int    // of the component in Raw
	encoding   string // ED.4, once the component behind it has begun
	tail       int    // where in Raw the filler at the end of the line begins; -1 when it has none yet
}

func (m *message) read() {
	m.p.place, m.tail = m.place, -1
	m.cr, m.lf = mark{c: '\r', at: -1}, mark{c: '\n', at: -1}
	if string(m.peek(3)) == "\xef\xbb\xbf" {
		m.take(3)
	}
	for head := m.nextLine(); len(head) > 0; head = m.nextLine() {
		m.line(head)
	}
	m.p.finish()
}

// line reads a line up to its end.
func (m *message) line(head []byte) {
	kind := m.framing.Next(head)
	if kind == hl7.Continues {
		m.p.gap(m.tail)
		m.p.decide()
	} else {
		m.p.finish()
		m.obx = kind == hl7.Starts && m.framing.InOBX() && m.liftable
	}
	m.tail = -1
	if kind == hl7.Starts {
		m.segment()
	}
	for w := m.rest(); len(w) > 0; w = m.rest() {
		m.run(w)
	}
}

func (m *message) segment() {
	switch {
	case m.framing.Header():
		m.header()
	case m.framing.InOBX():
		m.occurrence++
		m.field = 0
	}
}

// header begins a message.
func (m *message) header() {
	m.occurrence, m.del, m.liftable = 0, m.framing.Delimiters(), true
	m.stop = [256]bool{fs: true, '\r': true, '\n': true}
	d := m.del
	for _, c := range []byte{d.Field, d.Component, d.Repetition} {
		m.stop[c] = m.stop[c] || c != 0
	}
	for _, c := range []byte{d.Field, d.Component, d.Repetition, d.Escape, d.Subcomponent, d.Truncation} {
		if letter(c) || c == '=' {
			m.liftable = false
		}
	}
}

// run reads on in the line, a piece of it.
func (m *message) run(w []byte) {
	switch {
	case !m.obx || m.field > valueField:
		m.take(len(w))
	case m.field < valueField:
		m.fields(w)
	case m.p.state == none:
		m.plain(w)
	default:
		m.payload(w)
		m.p.decide()
	}
}

// fields passes over those before the value.
func (m *message) fields(w []byte) {
	n := 0
	for m.field < valueField {
		i := bytes.IndexByte(w[n:], m.del.Field)
		if i < 0 {
			m.take(len(w))
			return
		}
		n += i + 1
		m.field++
	}
	m.take(n)
	m.repetition(1)
}

// plain reads what is no payload of OBX-5, up to the next delimiter.
func (m *message) plain(w []byte) {
	n := m.length(w)
	if n > 0 {
		m.take(n)
		return
	}
	m.delimiter(w[0])
}

// length of the run that w begins with.
func (m *message) length(w []byte) int {
	n := 0
	for n < len(w) && !m.stop[w[n]] {
		n++
	}
	return n
}

// delimiter takes what ends a run, and begins what stands behind it.
func (m *message) delimiter(c byte) {
	word := m.raw[m.start:min(m.start+len("BASE64?"), len(m.raw))]
	m.take(1)
	switch {
	case c == m.del.Field:
		m.field++
	case c == m.del.Repetition:
		m.repetition(m.rep + 1)
	case c == m.del.Component:
		if m.comp == encodingPart {
			m.encoding = strings.ToUpper(string(word))
		}
		m.component(m.comp + 1)
	}
}

func (m *message) repetition(n int) {
	m.rep, m.encoding = n, ""
	m.component(1)
}

// component begins one, and puts it on trial where a file may stand.
func (m *message) component(n int) {
	m.comp, m.start = n, len(m.raw)
	if n > dataPart || n == dataPart && (m.encoding == "HEX" || m.encoding == "A") {
		return
	}
	if m.short() {
		return
	}
	m.scheme()
	m.p.begin(n == dataPart && m.encoding == "BASE64")
}

// short tells a component that is at hand and too short to be lifted: it is spared its trial.
func (m *message) short() bool {
	w := m.rest()
	n := m.length(w[:min(len(w), m.limits.Threshold)])
	return n < len(w) && n < m.limits.Threshold && w[n] != fs
}

// scheme passes over "data:image/jpeg;base64,".
func (m *message) scheme() {
	if string(m.peek(len("data:"))) != "data:" {
		return
	}
	for i, c := range m.peek(maxScheme) {
		switch {
		case m.stop[c], c == m.del.Escape:
			return
		case c == ',':
			if w := m.peek(i); strings.HasSuffix(strings.ToLower(string(w)), ";base64") {
				m.take(i + 1)
			}
			return
		}
	}
}

// payload reads on in a payload.
func (m *message) payload(w []byte) {
	if n := m.p.letters(w); n > 0 {
		m.drop(n)
		return
	}
	switch c := w[0]; {
	case c == fs:
		m.separators()
	case m.stop[c]:
		m.p.finish()
		m.delimiter(c)
	case m.p.broken:
		n := m.length(w)
		m.p.other(w[:n])
		m.drop(n)
	case c == m.del.Escape && c != 0:
		m.escape()
	default:
		m.p.other(w[:1])
		m.drop(1)
	}
}

// separators reads MLLP's FS: at the end of a line they are no part of it.
func (m *message) separators() {
	m.tail = len(m.raw)
	for w := m.rest(); len(w) > 0; w = m.rest() {
		if w[0] != fs {
			m.p.gap(m.tail)
			m.tail = -1
			return
		}
		m.take(1)
	}
}

// escape reads an escape sequence, or an escape character that begins none.
func (m *message) escape() {
	b := m.peek(maxEscape)
	for i, c := range b[1:] {
		if m.stop[c] {
			break
		}
		if c != m.del.Escape {
			continue
		}
		if means, ok := m.del.AppendSequence(m.bytes[:0], b[1:i+1]); ok {
			m.p.escape(b[:i+2], means)
			m.drop(i + 2)
			return
		}
		break
	}
	m.p.other(b[:1])
	m.drop(1)
}

// place names the value that is being read, as hl7 walks leaves.
func (m *message) place() string {
	occurrence := m.occurrence
	if occurrence == 1 {
		occurrence = 0
	}
	return valuePath.At(occurrence).Repeat(m.rep).Part(m.comp, 0).String()
}

var valuePath = hl7.MustPath("OBX-5")
