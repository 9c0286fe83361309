package lift

import (
	"bufio"
	"crypto/sha256"
	"hash"
	"io"
	"sync"
)

// window is how many bytes of input are at hand at once.
const window = 64 << 10

// lifter reads the input of one message through a window and gathers Raw. The first error ends everything:
// from then on the window is empty.
type lifter struct {
	in     *bufio.Reader
	r      io.Reader
	sum    hash.Hash // of the original
	pos    int64     // bytes taken from the input
	ended  bool      // by r
	err    error
	store  Store
	limits Limits
	raw    []byte
	parts  []Part
	p      payload
	bytes  [maxEscape]byte // what an escape sequence decodes to
}

// lifters are ready for the next message: their buffers cost more than a small message.
var lifters = sync.Pool{New: func() any {
	l := &lifter{sum: sha256.New()}
	l.in = bufio.NewReaderSize(source{l}, window)
	l.p.prepare(l)
	return l
}}

// source reads the input and hashes it on the way.
type source struct{ l *lifter }

func (s source) Read(p []byte) (int, error) {
	n, err := s.l.r.Read(p)
	s.l.sum.Write(p[:n])
	return n, err
}

func (l *lifter) begin(r io.Reader, s Store, limits Limits) {
	l.r, l.store, l.limits = r, s, limits
	l.pos, l.ended, l.err, l.raw, l.parts = 0, false, nil, nil, nil
	l.in.Reset(source{l})
	l.sum.Reset()
	l.p.state = none
}

func (l *lifter) release() {
	l.r, l.store, l.raw, l.parts = nil, nil, nil, nil
	l.p.release()
	lifters.Put(l)
}

// discard gives up all that was lifted.
func (l *lifter) discard() {
	for i := range l.parts {
		l.parts[i].discard()
	}
	l.p.discard()
}

func (l *lifter) fail(err error) {
	if l.err == nil {
		l.err = err
	}
}

// window gives the bytes at hand, at least one; none at the end or after an error. They are good until the
// next peek or window.
func (l *lifter) window() []byte {
	if l.in.Buffered() == 0 {
		l.peek(1)
	}
	if l.err != nil {
		return nil
	}
	w, _ := l.in.Peek(l.in.Buffered()) // cannot fail
	return w
}

// peek gives the next n bytes, fewer before the end.
func (l *lifter) peek(n int) []byte {
	if l.err != nil {
		return nil
	}
	if l.ended {
		n = min(n, l.in.Buffered())
	}
	b, err := l.in.Peek(n)
	switch {
	case err == io.EOF:
		l.ended = true
	case err != nil:
		l.fail(err)
		return nil
	}
	return b
}

// drop passes over n bytes of the window.
func (l *lifter) drop(n int) {
	l.in.Discard(n) // cannot fail: they are at hand
	l.pos += int64(n)
}

// take passes n bytes of the window into Raw.
func (l *lifter) take(n int) {
	w, _ := l.in.Peek(n)
	l.keep(w)
	l.drop(n)
}

// keep appends to Raw.
func (l *lifter) keep(b []byte) {
	if int64(len(l.raw))+int64(len(b)) > l.limits.Raw {
		l.fail(l.limits.tooLong())
		return
	}
	if l.raw == nil { // most messages are at hand as a whole
		l.raw = make([]byte, 0, max(len(b), l.in.Buffered())+tokenSize)
	}
	l.raw = append(l.raw, b...)
}
