package lift

import (
	"bytes"

	"github.com/dermgate/dermgate/mapping/hl7"
)

// nextLine passes the end of a line, blank lines, and the filler before the next into Raw, and gives the first
// bytes of that line as Framing wants them; none at the end.
func (m *message) nextLine() []byte {
	if m.tail < 0 {
		m.tail = len(m.raw)
	}
	start := len(m.raw)
	for w := m.window(); len(w) > 0; w = m.window() {
		n := 0
		for ; n < len(w) && hl7.Filler(w[n]); n++ {
			if lineEnd(w[n]) {
				start = len(m.raw) + n + 1
			}
		}
		more := n < len(w)
		if m.take(n); more && m.err == nil {
			return m.head(m.raw[start:])
		}
	}
	return nil
}

// head gives the first bytes of the line that the window goes on with; before are those that passed already.
func (m *message) head(before []byte) []byte {
	n := hl7.LineHead
	line, whole := m.ahead(n)
	for !whole && len(line) == n && line[n-1] == fs && n < window { // no part of the line if it ends there
		n *= 2
		line, whole = m.ahead(n)
	}
	if whole {
		line = bytes.TrimRight(line, "\x1c")
	}
	line = line[:min(len(line), hl7.LineHead)]
	before = bytes.TrimLeft(before, "\x0b\x1c")
	if !m.met || len(before) == 0 {
		m.met = true
		return line
	}
	return append(append(m.bytes[:0], before[:min(len(before), hl7.LineHead)]...), line...)
}

// ahead gives the next n bytes, or those before the end of the line: then the line is whole.
func (m *message) ahead(n int) (line []byte, whole bool) {
	b := m.peek(n)
	for i, c := range b {
		if lineEnd(c) {
			return b[:i], true
		}
	}
	return b, len(b) < n
}

func lineEnd(c byte) bool { return c == '\r' || c == '\n' }

// mark remembers where a line end comes next, so that it is not sought again in every field.
type mark struct {
	c     byte
	at    int64 // in the original: of it or, when there is none, of the first byte not looked at
	found bool
}

func (k *mark) next(w []byte, pos int64) int {
	if k.at < pos {
		k.at, k.found = pos, false
	}
	if from := k.at - pos; !k.found && from < int64(len(w)) {
		i := bytes.IndexByte(w[from:], k.c)
		if k.found = i >= 0; !k.found {
			i = len(w) - int(from)
		}
		k.at += int64(i)
	}
	return int(min(k.at-pos, int64(len(w))))
}

// rest gives what is at hand of the rest of the line; none at its end.
func (m *message) rest() []byte {
	w := m.window()
	return w[:min(m.cr.next(w, m.pos), m.lf.next(w, m.pos))]
}
