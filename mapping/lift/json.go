package lift

import (
	"strconv"
	"unicode/utf8"
)

// key is the one whose values are looked at: Attachment.data, Binary.data, Signature.data.
const key = "data"

// document reads JSON. It knows strings and what stands right before them; whether the rest is JSON is for
// fhir.Read to judge.
type document struct {
	*lifter
	named bool // the last token was the string "data"
	value bool // it was, and a colon followed
}

func (d *document) read() {
	d.p.doubt = ' '
	for w := d.window(); len(w) > 0; w = d.window() {
		switch c := w[0]; {
		case c == '"':
			d.take(1)
			d.text()
		case c == ':':
			d.take(1)
			d.named, d.value = false, d.named
		default:
			n, blank := 0, true
			for n < len(w) && w[n] != '"' && w[n] != ':' {
				blank = blank && space(w[n])
				n++
			}
			if d.take(n); !blank {
				d.named, d.value = false, false
			}
		}
	}
	d.p.finish()
}

// text reads a string behind its opening quote.
func (d *document) text() {
	start := len(d.raw)
	if d.value {
		d.p.begin(true)
	}
	for w := d.window(); len(w) > 0; w = d.window() {
		switch c := w[0]; {
		case d.p.state != none:
			d.payload(w)
			d.p.decide()
		case c == '"':
			d.named, d.value = string(d.raw[start:]) == key, false
			d.take(1)
			return
		case c == '\\':
			d.take(len(d.peek(2)))
		default:
			d.take(run(w, 0))
		}
	}
}

// run gives how many bytes w begins with that are neither a quote nor a backslash and not below least.
func run(w []byte, least byte) int {
	n := 0
	for n < len(w) && w[n] != '"' && w[n] != '\\' && w[n] >= least {
		n++
	}
	return n
}

// payload reads on in a payload. What may not stand in a JSON string ends it, and passes into Raw for fhir.Read
// to see.
func (d *document) payload(w []byte) {
	if n := d.p.letters(w); n > 0 {
		d.drop(n)
		return
	}
	switch c := w[0]; {
	case c == '"', c < ' ':
		d.p.finish()
	case c == '\\':
		d.escape()
	case d.p.broken:
		n := run(w, ' ')
		d.p.other(w[:n])
		d.drop(n)
	default:
		d.p.other(w[:1])
		d.drop(1)
	}
}

func (d *document) escape() {
	b := d.peek(len(`\u0000`))
	n, means := escaped(b)
	if n == 0 {
		d.p.finish()
		return
	}
	d.p.escape(b[:n], append(d.bytes[:0], means))
	d.drop(n)
}

// escaped reads the escape at the beginning of b: its length, 0 for none, and the byte it stands for;
// utf8.RuneSelf is any character beyond ASCII (RFC 8259 §7).
func escaped(b []byte) (n int, means byte) {
	if len(b) < 2 {
		return 0, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return 2, b[1]
	case 'b':
		return 2, '\b'
	case 'f':
		return 2, '\f'
	case 'n':
		return 2, '\n'
	case 'r':
		return 2, '\r'
	case 't':
		return 2, '\t'
	case 'u':
		if len(b) < 6 {
			return 0, 0
		}
		r, err := strconv.ParseUint(string(b[2:6]), 16, 16)
		if err != nil {
			return 0, 0
		}
		return 6, byte(min(r, utf8.RuneSelf))
	}
	return 0, 0
}
