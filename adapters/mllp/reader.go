package mllp

import (
	"bufio"
	"errors"
	"io"
	"os"
	"time"
)

// Reader takes frames out of a stream. A frame ends at FS when CR or VT follows, when the stream ends, or
// when nothing follows for 250 ms (a missing CR is tolerated, once there is nothing it could stand before).
// It holds 64 KiB of the stream, however long the frames are.
type Reader struct {
	Skipped int64 // bytes found outside frames so far, line ends aside

	br    *bufio.Reader
	max   int64
	wait  waiter
	armed phase     // what wait was told last, within the present frame
	begun time.Time // when the rest of the present frame was first waited for
	frame Frame
}

// waiter is told before the stream may block: what is waited for and since when. It sets the read deadline.
// Its error is given in place of the stream's.
type waiter interface {
	await(p phase, since time.Time) error
}

type phase int

const (
	nothing    phase = iota
	forFrame         // the next VT
	forMessage       // the rest of a frame, since it was first waited for
	forTrailer       // the byte after an FS
)

// deadliner is the part of a net.Conn that a Reader outside a Server uses.
type deadliner interface{ SetReadDeadline(time.Time) error }

// trailerOnly bounds nothing but the wait for a trailing CR; other deadlines are the caller's, until there
// was such a wait.
type trailerOnly struct {
	conn deadliner
	set  bool
}

func (t *trailerOnly) await(p phase, since time.Time) error {
	at := time.Time{}
	if p == forTrailer {
		at = since.Add(trailerWait)
	}
	if t.set || p == forTrailer {
		_ = t.conn.SetReadDeadline(at) // a closed connection shows when it is read
	}
	t.set = p == forTrailer
	return nil
}

type noWait struct{}

func (noWait) await(phase, time.Time) error { return nil }

// NewReader reads frames of at most max bytes from r (0: MessageLimit).
func NewReader(r io.Reader, max int64) *Reader {
	if max <= 0 {
		max = MessageLimit
	}
	rd := &Reader{br: bufio.NewReaderSize(r, bufferSize), max: max, wait: noWait{}, frame: Frame{end: io.EOF}}
	if d, ok := r.(deadliner); ok {
		rd.wait = &trailerOnly{conn: d}
	}
	return rd
}

// Next gives the next frame as a stream, after dropping what is left unread of the one before. io.EOF means
// that the stream ended between frames.
func (r *Reader) Next() (*Frame, error) {
	if err := r.frame.Close(); err != nil && !errors.Is(err, ErrInside) {
		return nil, err
	}
	r.armed, r.begun = nothing, time.Time{}
	if err := r.start(); err != nil {
		return nil, err
	}
	r.frame = Frame{r: r}
	return &r.frame, nil
}

// ReadFrame gives the next message, without its frame, in memory of its own and of its size. io.EOF means
// that the stream ended between frames. With ErrTooLong and ErrInside it gives what was read as well: to
// refuse it.
func (r *Reader) ReadFrame() ([]byte, error) { return r.ReadFrameInto(nil) }

// ReadFrameInto is ReadFrame in the caller's memory: the message replaces what b holds, and only one that
// is larger than b's capacity gets new memory.
func (r *Reader) ReadFrameInto(b []byte) ([]byte, error) {
	f, err := r.Next()
	if err != nil {
		return nil, err
	}
	return f.appendTo(b[:0])
}

// some gives all that has arrived, once there is something, without consuming it.
func (r *Reader) some(p phase) ([]byte, error) {
	if r.br.Buffered() == 0 {
		if err := r.arm(p); err != nil {
			return nil, err
		}
		if _, err := r.br.Peek(1); err != nil {
			return nil, err
		}
	}
	return r.br.Peek(r.br.Buffered())
}

// arm tells the waiter what the stream may block for. What has arrived already costs no deadline.
func (r *Reader) arm(p phase) error {
	if p == r.armed {
		return nil
	}
	r.armed = p
	since := time.Now()
	if p == forMessage {
		if r.begun.IsZero() {
			r.begun = since
		}
		since = r.begun
	}
	return r.wait.await(p, since)
}

// start skips to the VT of the next frame.
func (r *Reader) start() error {
	for first := true; ; first = false {
		b, err := r.some(forFrame)
		if err != nil {
			return err
		}
		if c := b[0]; c != vt && c != cr && c != '\n' {
			if first && r.Skipped == 0 && r.foreign(c) {
				return ErrForeign
			}
			if r.Skipped++; r.Skipped > junkLimit {
				return ErrJunk
			}
		}
		if _, err := r.br.Discard(1); err != nil || b[0] == vt {
			return err
		}
	}
}

// foreign recognises the first bytes of a TLS record (RFC 8446 §5.1) or an HTTP request, c being the first.
func (r *Reader) foreign(c byte) bool {
	for _, start := range []string{"\x16\x03", "GET ", "PUT ", "POST ", "HEAD ", "PRI *", "OPTIONS ", "DELETE ", "CONNECT ", "PATCH "} {
		if start[0] == c && r.starts(start) {
			return true
		}
	}
	return false
}

// starts tells whether these bytes come next, and waits for them a little.
func (r *Reader) starts(s string) bool {
	if r.br.Buffered() < len(s) && r.arm(forTrailer) != nil {
		return false
	}
	next, err := r.br.Peek(len(s))
	return err == nil && string(next) == s
}

// trailer looks at what follows the FS that comes next. When that ends the frame, both are consumed, and
// neither otherwise.
func (r *Reader) trailer() (bool, error) {
	if r.br.Buffered() < 2 {
		if err := r.arm(forTrailer); err != nil {
			return false, err
		}
	}
	next, err := r.br.Peek(2)
	size := 1
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, os.ErrDeadlineExceeded):
	case err != nil:
		return false, err
	case next[1] == cr:
		size = 2
	case next[1] != vt: // which stays: it begins the next frame
		return false, nil
	}
	_, err = r.br.Discard(size)
	return true, err
}
