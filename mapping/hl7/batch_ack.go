package hl7

import (
	"slices"
	"strconv"
	"time"
)

// BatchAck is what a batch acknowledgement says. The time and the control id come from the caller.
type BatchAck struct {
	ControlID string    // BHS-11 and FHS-11 of the answer; further batches have a number behind it
	At        time.Time // BHS-7 and FHS-7
	Answers   [][]byte  // the acknowledgement of each message, in order; an empty one was not asked for
}

// Acknowledge writes the batch acknowledgement (HL7 v2.8 §2.10.3): for each batch a BHS in its own
// delimiters with sender and receiver changed over and BHS-12 repeating the BHS-11 it answers, the
// acknowledgements of its messages, and a BTS with their number; the same around the file when it has FHS.
// Messages that came without envelope are answered as one batch between the parties of the first.
func (b *Batch) Acknowledge(a BatchAck) []byte {
	var out []byte
	if b.file.headed {
		out = append(out, b.file.answer("FHS", a, a.ControlID, b.wide)...)
	}
	answers := a.Answers
	for i := range b.batches {
		e, id := b.batches[i], a.ControlID
		if i > 0 {
			id += "-" + strconv.Itoa(i+1)
		}
		if e.head == nil {
			e.head = b.parties()
		}
		n := min(e.count, len(answers))
		out = append(out, e.answer("BHS", a, id, b.wide)...)
		given := 0
		for _, ack := range answers[:n] {
			if len(ack) > 0 {
				out, given = append(out, ack...), given+1
			}
		}
		answers = answers[n:]
		out = append(out, e.trailer("BTS", given, b.wide)...)
	}
	if b.file.headed {
		out = append(out, b.file.trailer("FTS", len(b.batches), b.wide)...)
	}
	return out
}

// parties gives the header of the first message that has one.
func (b *Batch) parties() *Message {
	for _, raw := range b.Messages[:min(1, len(b.Messages))] {
		if b.wide != nil {
			raw, _ = wide{unit: b.wide.unit, little: b.wide.little}.decode(raw)
		}
		if i := slices.IndexFunc(raw, func(c byte) bool { return c == '\r' || c == '\n' }); i >= 0 {
			raw = raw[:i]
		}
		if m, err := Parse(raw); err == nil {
			return m
		}
	}
	return nil
}

// answer writes the header that answers this one.
func (e *envelope) answer(segment string, a BatchAck, id string, w *wide) []byte {
	d := Standard()
	if e.head != nil {
		d = e.head.writable()
	}
	b := NewBuilder(d)
	b.Segment(segment)
	if e.head != nil {
		in := e.head.Segment(0)
		for to, from := range [...]int{3: 5, 4: 6, 5: 3, 6: 4} {
			if from > 0 {
				b.copyField(to, in.Field(from))
			}
		}
		if !in.Is("MSH") {
			b.copyField(12, in.Field(11))
		}
	}
	b.Set(7, 1, 1, 1, a.At.Format("20060102150405-0700"))
	b.Set(11, 1, 1, 1, id)
	return w.outward(b.Bytes())
}

// trailer writes the segment that ends the answer.
func (e *envelope) trailer(segment string, count int, w *wide) []byte {
	field := byte('|')
	if e.head != nil {
		field = e.head.writable().Field
	}
	return w.outward(append(append([]byte(segment), field), strconv.Itoa(count)+"\r"...))
}

// outward writes an envelope's text as its sender writes; no byte order mark stands inside a batch.
func (w *wide) outward(text []byte) []byte {
	if w == nil {
		return text
	}
	return wide{unit: w.unit, little: w.little}.encode(text)
}

// asHeader gives MSH with what FHS or BHS says of its parties and control id, for want of a message.
func (b *Batch) asHeader() []byte {
	e := &b.file
	if e.head == nil && len(b.batches) > 0 {
		e = &b.batches[0]
	}
	d := Standard()
	if e.head != nil {
		d = e.head.writable()
	}
	to := NewBuilder(d)
	to.Segment("MSH")
	if e.head != nil {
		in := e.head.Segment(0)
		for n := 3; n <= 7; n++ {
			to.copyField(n, in.Field(n))
		}
		to.copyField(10, in.Field(11))
	}
	return to.Bytes()
}

// Refuse acknowledges a batch that holds no message to answer.
func (b *Batch) Refuse(a Ack) []byte { return b.wide.outward(Refuse(b.asHeader(), a)) }
