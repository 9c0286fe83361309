// Package mllp carries HL7 v2 messages over TCP by the Minimal Lower Layer Protocol (HL7 v2 Transport,
// MLLP release 1): VT, message, FS CR, and the acknowledgement the same way back.
//
// Server is the source: it frames, limits and writes back what the gateway answers; nothing is
// acknowledged that Accept has not kept. Client is the destination. Both trust nothing the peer does with
// time or size: every wait has a deadline, every buffer a limit.
package mllp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// The bytes of a frame.
const (
	vt = 0x0b // start block
	fs = 0x1c // end block, followed by CR
	cr = '\r'
)

// MessageLimit is the size a message may have, in bytes, where the configuration states none: 64 MiB.
const MessageLimit = 64 << 20

// What a Reader finds wrong with a stream. After ErrInside the next frame can be read; after the others
// the stream is of no further use.
var (
	ErrTooLong    = errors.New("mllp: frame over the limit")                // the limit is passed; ReadFrame gives its first bytes
	ErrInside     = errors.New("mllp: VT or FS inside a frame")             // ReadFrame gives the frame
	ErrUnfinished = errors.New("mllp: connection ended inside a frame")     // nothing of it is to be believed
	ErrForeign    = errors.New("mllp: another protocol (HTTP or TLS)")      // a client that has the wrong port
	ErrJunk       = errors.New("mllp: too many bytes outside any frame")    // not an MLLP peer
	ErrUnframable = errors.New("mllp: the message holds a VT or FS itself") // it cannot be sent
)

const (
	bufferSize = 32 << 10 // bytes read at once
	headSize   = 4 << 10  // bytes kept of a frame over the limit, to answer its header
	junkLimit  = 64 << 10 // bytes skipped between frames before the peer is given up
	// trailerWait is how long an FS at the end of what has arrived is kept waiting for the byte after it:
	// CR or VT, or silence, end the frame; anything else shows that the FS stands inside the message.
	trailerWait = 250 * time.Millisecond
)

// Reader takes frames out of a stream. A frame ends at FS when CR or VT follows, when the stream ends, or
// when nothing follows for 250 ms (a missing CR is tolerated, once there is nothing it could stand before).
type Reader struct {
	Skipped int64 // bytes found outside frames so far, line ends aside

	br   *bufio.Reader
	max  int64
	wait waiter
}

// waiter sets the stream's read deadlines. phase says what is waited for.
type waiter interface{ await(p phase) }

type phase int

const (
	forFrame   phase = iota // the next VT
	forMessage              // the rest of a frame
	forTrailer              // the byte after an FS
)

// deadliner is the part of a net.Conn that a Reader outside a Server uses.
type deadliner interface{ SetReadDeadline(time.Time) error }

// trailerOnly bounds nothing but the wait for a trailing CR; other deadlines are the caller's.
type trailerOnly struct{ conn deadliner }

func (t trailerOnly) await(p phase) {
	at := time.Time{}
	if p == forTrailer {
		at = time.Now().Add(trailerWait)
	}
	_ = t.conn.SetReadDeadline(at) // a closed connection shows when it is read
}

type noWait struct{}

func (noWait) await(phase) {}

// NewReader reads frames of at most max bytes from r (0: MessageLimit).
func NewReader(r io.Reader, max int64) *Reader {
	if max <= 0 {
		max = MessageLimit
	}
	rd := &Reader{br: bufio.NewReaderSize(r, bufferSize), max: max, wait: noWait{}}
	if d, ok := r.(deadliner); ok {
		rd.wait = trailerOnly{d}
	}
	return rd
}

// ReadFrame gives the next message, without its frame, in memory of its own. io.EOF means that the stream
// ended between frames. With ErrTooLong and ErrInside it gives what was read as well: to refuse it.
func (r *Reader) ReadFrame() ([]byte, error) {
	if err := r.start(); err != nil {
		return nil, err
	}
	return r.body()
}

// start skips to the VT of the next frame.
func (r *Reader) start() error {
	r.wait.await(forFrame)
	for first := true; ; first = false {
		c, err := r.br.ReadByte()
		if err != nil {
			return err
		}
		if c == vt {
			r.wait.await(forMessage)
			return nil
		}
		if c == cr || c == '\n' {
			continue
		}
		if first && r.Skipped == 0 && r.foreign(c) {
			return ErrForeign
		}
		if r.Skipped++; r.Skipped > junkLimit {
			return ErrJunk
		}
	}
}

// foreign recognises the first bytes of a TLS record (RFC 8446 §5.1) or an HTTP request.
func (r *Reader) foreign(c byte) bool {
	if c != 0x16 && (c < 'A' || c > 'Z') {
		return false
	}
	r.wait.await(forTrailer)
	defer r.wait.await(forFrame)
	if c == 0x16 {
		next, err := r.br.Peek(1)
		return err == nil && next[0] == 3
	}
	for _, verb := range []string{"GET ", "PUT ", "POST ", "HEAD ", "PRI *", "OPTIONS ", "DELETE ", "CONNECT ", "PATCH "} {
		if verb[0] != c {
			continue
		}
		if next, err := r.br.Peek(len(verb) - 1); err == nil && string(next) == verb[1:] {
			return true
		}
	}
	return false
}

// body reads up to the end of the frame.
func (r *Reader) body() ([]byte, error) {
	var frame []byte
	inside := false
	for {
		part, err := r.br.ReadSlice(fs)
		if int64(len(frame)+len(part)) > r.max+1 { // the FS does not count
			return bytes.Clone(append(frame, part...)[:min(headSize, r.max)]), ErrTooLong
		}
		frame = append(frame, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return nil, ErrUnfinished
		case err != nil:
			return nil, err
		}
		ended, err := r.trailer()
		if err != nil {
			return nil, err
		}
		if ended {
			frame = frame[:len(frame)-1]
			if inside || bytes.IndexByte(frame, vt) >= 0 {
				return frame, ErrInside
			}
			return frame, nil
		}
		inside = true
	}
}

// trailer looks at what follows an FS and tells whether it ends the frame.
func (r *Reader) trailer() (bool, error) {
	if r.br.Buffered() == 0 {
		r.wait.await(forTrailer)
		defer r.wait.await(forMessage)
	}
	next, err := r.br.Peek(1)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, os.ErrDeadlineExceeded):
		return true, nil
	case err != nil:
		return false, err
	}
	if next[0] == cr {
		_, err = r.br.Discard(1)
		return true, err
	}
	return next[0] == vt, nil
}

// oneWrite is the size up to which a frame is copied together, so that it leaves in one segment if it can:
// fragile receivers read once and take what they get for a message.
const oneWrite = 64 << 10

// WriteFrame sends one message: in a single Write when small, in a single vectored one when large.
// ErrUnframable when the message holds a VT or FS.
func WriteFrame(w io.Writer, b []byte) error {
	if bytes.IndexByte(b, vt) >= 0 || bytes.IndexByte(b, fs) >= 0 {
		return ErrUnframable
	}
	if len(b) > oneWrite {
		whole := net.Buffers{{vt}, b, {fs, cr}}
		_, err := whole.WriteTo(w)
		return err
	}
	frame := make([]byte, 0, len(b)+3)
	frame = append(append(append(frame, vt), b...), fs, cr)
	_, err := w.Write(frame)
	return err
}

// streamFrame sends a message that is not in memory. After an error the frame is unfinished and the
// connection must be closed.
func streamFrame(w io.Writer, r io.Reader) error {
	bw := bufio.NewWriterSize(w, oneWrite)
	_ = bw.WriteByte(vt) // kept by the writer until Flush
	if _, err := io.Copy(bw, framable{r}); err != nil {
		return err
	}
	_, _ = bw.Write([]byte{fs, cr})
	return bw.Flush()
}

// framable stops at bytes that would end the frame.
type framable struct{ r io.Reader }

func (f framable) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if bytes.IndexByte(p[:n], vt) >= 0 || bytes.IndexByte(p[:n], fs) >= 0 {
		return 0, ErrUnframable
	}
	return n, err
}
