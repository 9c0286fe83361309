package mllp

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// outgoing is a message to send, from memory or from the store of bodies, and what it asks for.
type outgoing struct {
	asks asks

	body   flow.BodyRef
	open   func(context.Context, flow.BodyRef) (io.ReadCloser, error)
	source io.Closer
	stream *bufio.Reader // the body from its start; nil: to be opened
}

// open reads the header of a message; the rest is read while it is sent.
func (c *Client) open(ctx context.Context, body flow.BodyRef) (*outgoing, error) {
	m := &outgoing{body: body, open: c.Open}
	if body.Blob == "" {
		m.asks = asksOf(body.Inline)
		return m, nil
	}
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	head, err := m.stream.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) {
		m.close()
		return nil, err
	}
	m.asks = asksOf(head)
	return m, nil
}

func (m *outgoing) begin(ctx context.Context) error {
	if m.open == nil {
		return &bodyError{errors.New("no store to read it from")}
	}
	r, err := m.open(ctx, m.body)
	if err != nil {
		return &bodyError{err}
	}
	m.source, m.stream = r, bufio.NewReaderSize(&bodyReader{r}, oneWrite)
	return nil
}

// write frames the message: inline in one write, from the store as a stream, and may do so again.
func (m *outgoing) write(ctx context.Context, w io.Writer) error {
	if m.body.Blob == "" {
		return WriteFrame(w, m.body.Inline)
	}
	if m.stream == nil {
		if err := m.begin(ctx); err != nil {
			return err
		}
	}
	defer m.close()
	return streamFrame(w, m.stream)
}

func (m *outgoing) close() {
	if m.stream != nil {
		_ = m.source.Close() // read only
		m.source, m.stream = nil, nil
	}
}

// bodyReader marks the store's errors as such.
type bodyReader struct{ r io.Reader }

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &bodyError{err}
	}
	return n, err
}

// errorsOnly is ER of HL7 table 0155, and never NE; the others are AL, always, and SU, success only.
const (
	errorsOnly = "ER"
	never      = "NE"
)

// asks are the acknowledgements a message asks for: that it is accepted (MSH-15) and what was made of it
// (MSH-16).
type asks struct{ accept, application string }

// original is the mode of a message that says neither: one acknowledgement, always (HL7 v2.8 §2.9.2, which
// says it in these words of the enhanced mode).
var original = asks{never, "AL"}

// asksOf reads the header of a message; one that cannot be read asks for what the original mode gives.
func asksOf(b []byte) asks {
	if i := bytes.IndexAny(b, "\r\n"); i >= 0 {
		b = b[:i]
	}
	m, err := hl7.Parse(b)
	if err != nil {
		return original
	}
	a := m.Asked()
	if a == (hl7.Asked{}) {
		return original
	}
	return asks{cmp.Or(a.Accept, never), cmp.Or(a.Application, never)} // of two, an empty one asks for nothing
}

// nothing tells a message that is not to be answered at all.
func (a asks) nothing() bool { return a.accept == never && a.application == never }

// first is what the message asks of the first answer.
func (a asks) first() string {
	if a.accept == never {
		return a.application
	}
	return a.accept
}
