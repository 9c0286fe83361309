package lift

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
)

// Span is what Rebuild needs to know of a part; it can be made from stored metadata.
type Span struct {
	At            int64 // of the token in raw
	TokenLen      int
	Plain         int64                         // bytes that the canonical base64 of the content gives
	Content, Rest func() (io.ReadCloser, error) // Rest nil: Plain is all; Content is not opened when Plain is 0
}

// Rebuild gives the original bytes of a message from its Raw and its spans, in order, opening one object at
// a time. It must be closed. Its errors are those of the objects, and one for content that is shorter than
// Plain says or spans that do not fit raw.
func Rebuild(raw []byte, spans []Span) io.ReadCloser {
	return &rebuilt{raw: raw, spans: spans}
}

// rebuilt reads, in turn, raw up to a token, the content encoded again, the rest; and what is left of raw.
type rebuilt struct {
	raw   []byte
	at    int64 // in raw
	spans []Span
	step  int       // of the span: 0 raw, 1 content, 2 rest
	piece io.Reader // being read; nil between two
	open  io.Closer // what is open of it
	err   error
}

func (r *rebuilt) Read(p []byte) (int, error) {
	for r.err == nil {
		if r.piece == nil {
			r.err = r.next()
			continue
		}
		n, err := r.piece.Read(p)
		if err == io.EOF {
			err = r.shut()
		}
		if r.err = err; n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, r.err
}

// next begins the next piece; io.EOF when there is none.
func (r *rebuilt) next() error {
	if len(r.spans) == 0 {
		if r.at == int64(len(r.raw)) {
			return io.EOF
		}
		return r.text(int64(len(r.raw)))
	}
	s := &r.spans[0]
	switch r.step++; r.step {
	case 1:
		return r.text(s.At)
	case 2:
		r.at += int64(s.TokenLen)
		if s.Plain == 0 {
			return nil
		}
		return r.object(s.Content, func(content io.Reader) io.Reader { return &encoder{r: content, left: s.Plain} })
	}
	r.step, r.spans = 0, r.spans[1:]
	if s.Rest == nil {
		return nil
	}
	return r.object(s.Rest, func(rest io.Reader) io.Reader { return rest })
}

func (r *rebuilt) text(to int64) error {
	if to < r.at || to > int64(len(r.raw)) {
		return errors.New("lift: the spans do not fit the message")
	}
	r.piece = bytes.NewReader(r.raw[r.at:to])
	r.at = to
	return nil
}

func (r *rebuilt) object(open func() (io.ReadCloser, error), as func(io.Reader) io.Reader) error {
	o, err := open()
	if err != nil {
		return err
	}
	r.open, r.piece = o, as(o)
	return nil
}

// shut ends a piece.
func (r *rebuilt) shut() (err error) {
	if r.open != nil {
		err = r.open.Close()
	}
	r.open, r.piece = nil, nil
	return err
}

// Close closes what is open; a Read after it fails.
func (r *rebuilt) Close() error {
	if r.err == nil {
		r.err = errors.New("lift: read after Close")
	}
	return r.shut()
}

// encoder reads the first bytes of the base64 of r.
type encoder struct {
	r    io.Reader
	left int64 // bytes to give
	in   []byte
	out  []byte // encoded, not given yet
	buf  []byte
}

func (e *encoder) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	if len(e.out) == 0 {
		if err := e.encode(); err != nil {
			return 0, err
		}
	}
	n := copy(p, e.out[:min(int64(len(e.out)), e.left)])
	e.out, e.left = e.out[n:], e.left-int64(n)
	return n, nil
}

func (e *encoder) encode() error {
	if e.in == nil {
		e.in, e.buf = make([]byte, 3*8192), make([]byte, 0, 4*8192)
	}
	n, err := io.ReadFull(e.r, e.in)
	if n == 0 {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("lift: content: %w", err)
	}
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return fmt.Errorf("lift: content: %w", err)
	}
	e.out = base64.StdEncoding.AppendEncode(e.buf[:0], e.in[:n])
	return nil
}
