package hl7

// LineHead is how many bytes of a line decide what it is to its message.
const LineHead = 16

// Line is what a line is to its message.
type Line uint8

const (
	Stray     Line = iota // it belongs to no segment: Parse or Split refuses it
	Starts                // it starts a segment
	Continues             // it is the rest of an OBX or NTE that the sender has wrapped
)

// Framing tells segments apart by the rules of Parse and Split from the first bytes of each line, for a
// reader that never holds a message whole. The zero Framing is at the beginning of a message or batch.
type Framing struct {
	separators [256]bool
	met        bool
	del        Delimiters
	readable   bool // a header has told del
	last       name // the segment that the line just taken belongs to
	open       bool // a line may continue it
	message    bool // last stands in a message, not in the envelope of a batch
}

// Filler tells bytes that mean nothing between segments: what Parse passes over before the first segment,
// and what makes a blank line. Lines end with CR or LF.
func Filler(c byte) bool { return filler(c) }

// Next takes the next line that is not blank: its first LineHead bytes, or all of a shorter one, without
// the MLLP bytes at its ends. The first line of all begins behind its filler.
func (f *Framing) Next(head []byte) Line {
	kind := kindOf(head, &f.separators, !f.met)
	f.met = true
	switch {
	case kind.header():
		return f.header(kind, head)
	case kind != 0: // a trailer, whatever the delimiters of the message before it
		f.last, f.open, f.message = kind, false, false
		return Starts
	case !f.readable:
		return Stray
	}
	if n := nameOf(head, f.del.Field); n != 0 {
		f.last, f.open = n, (n == obx || n == nte) && uint32(len(head)) > n.len()
		return Starts
	}
	if f.open && wrapping(head, f.del.Field) {
		return Continues
	}
	return Stray
}

func (f *Framing) header(kind name, head []byte) Line {
	f.last, f.open, f.message = kind, false, kind == msh
	if len(head) > 3 {
		f.separators[head[3]] = true
	}
	d, err := delimiters(head)
	if f.del, f.readable = d, err == nil; !f.readable {
		return Stray
	}
	return Starts
}

// InOBX tells whether the line just taken is an OBX of a message, or the rest of one.
func (f *Framing) InOBX() bool { return f.readable && f.message && f.last == obx }

// Header tells whether the line just taken was the MSH that starts a message.
func (f *Framing) Header() bool { return f.readable && f.last == msh }

// Delimiters gives those in force.
func (f *Framing) Delimiters() Delimiters { return f.del }

// AppendSequence appends what an escape sequence, given without its escape characters, stands for, as
// Value.AppendBytes does; false when it is no known sequence and stands as it is.
func (d Delimiters) AppendSequence(dst, sequence []byte) ([]byte, bool) {
	return appendSequence(dst, sequence, &d)
}
