// Package mllp carries HL7 v2 messages over TCP by the Minimal Lower Layer Protocol (HL7 v2 Transport,
// MLLP release 1): VT, message, FS CR, and the acknowledgement the same way back.
//
// Server is the source: it frames, limits and writes back what the gateway answers; nothing is
// acknowledged that Accept has not kept. Client is the destination. Both trust nothing the peer does with
// time or size: every wait has a deadline, every buffer a limit.
package mllp

import (
	"bytes"
	"errors"
	"io"
	"sync"
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
	bufferSize = 64 << 10 // bytes read at once
	headSize   = 4 << 10  // bytes kept of a frame over the limit, to answer its header
	junkLimit  = 64 << 10 // bytes skipped between frames before the peer is given up
	// trailerWait is how long an FS at the end of what has arrived is kept waiting for the byte after it:
	// CR or VT, or silence, end the frame; anything else shows that the FS stands inside the message.
	trailerWait = 250 * time.Millisecond
)

// Frame is the content of one frame as a stream, from Reader.Next and valid until the next call of it.
// Reading ends with io.EOF only where the frame ended properly. Whatever was read before any other error is
// not to be believed: ErrInside at the end of a frame that holds frame characters, ErrUnfinished,
// ErrTooLong, or what the connection said, such as a time-out.
type Frame struct {
	r      *Reader
	size   int64 // content bytes given so far
	inside bool  // a VT or FS was among them
	end    error // how the frame ended; nil: not yet
}

// Read gives the bytes that follow, as soon as there are any.
func (f *Frame) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := f.chunk(len(p))
	return copy(p, b), err
}

// WriteTo writes what follows to w without another buffer. Its error is nil when the frame ended properly.
func (f *Frame) WriteTo(w io.Writer) (int64, error) {
	for total := int64(0); ; {
		b, err := f.chunk(bufferSize)
		if err != nil {
			return total, proper(err)
		}
		n, err := w.Write(b)
		if total += int64(n); err != nil {
			return total, err
		}
	}
}

// Close reads and drops what is left of the frame. Its error is nil when the frame ended properly.
func (f *Frame) Close() error {
	for f.end == nil {
		_, _ = f.chunk(bufferSize) // the error stays in f.end
	}
	return proper(f.end)
}

// proper turns the proper end of a frame into success.
func proper(end error) error {
	if end == io.EOF {
		return nil
	}
	return end
}

// chunk gives the next bytes of the content, at most n and at least one, valid until the stream is read
// again; or none and how the frame ended.
func (f *Frame) chunk(n int) ([]byte, error) {
	if f.end != nil {
		return nil, f.end
	}
	b, err := f.r.some(forMessage)
	if err != nil {
		return nil, f.ends(err)
	}
	b = b[:min(n, len(b))]
	switch i := bytes.IndexByte(b, fs); {
	case i > 0:
		b = b[:i]
	case i == 0:
		ended, err := f.r.trailer()
		if err != nil || ended {
			return nil, f.ends(err)
		}
		f.inside = true
		b, _ = f.r.br.Peek(1) // the FS itself, where trailer left it
	}
	b = b[:min(int64(len(b)), f.r.max-f.size)]
	if len(b) == 0 {
		return nil, f.ends(ErrTooLong)
	}
	f.inside = f.inside || bytes.IndexByte(b, vt) >= 0
	f.size += int64(len(b))
	_, err = f.r.br.Discard(len(b))
	return b, err
}

// ends notes and gives how the frame ended: err, nil for a trailer.
func (f *Frame) ends(err error) error {
	switch {
	case err == nil && f.inside:
		f.end = ErrInside
	case err == nil:
		f.end = io.EOF
	case errors.Is(err, io.EOF):
		f.end = ErrUnfinished
	default:
		f.end = err
	}
	return f.end
}

// appendTo adds the rest of the frame to b: into the memory that b has, and what does not fit by way of
// blocks into memory of the whole's size.
func (f *Frame) appendTo(b []byte) ([]byte, error) {
	var more pile
	defer more.free()
	for {
		part, err := f.chunk(bufferSize)
		switch {
		case err == nil:
			n := copy(b[len(b):cap(b)], part)
			b = b[:len(b)+n]
			more.add(part[n:])
		case err == io.EOF:
			return more.after(b, len(b)+more.size), nil
		case err == ErrInside:
			return more.after(b, len(b)+more.size), err
		case err == ErrTooLong:
			return more.after(b, headSize), err
		default:
			return nil, err
		}
	}
}

// pile is where a message of unknown size grows: nothing is copied twice, and its memory is used again.
type pile struct {
	blocks []*block
	size   int // bytes in them
}

type block [64 << 10]byte

var blocks = sync.Pool{New: func() any { return new(block) }}

func (p *pile) add(b []byte) {
	for len(b) > 0 {
		at := p.size % len(block{})
		if at == 0 {
			p.blocks = append(p.blocks, blocks.Get().(*block))
		}
		n := copy(p.blocks[len(p.blocks)-1][at:], b)
		p.size, b = p.size+n, b[n:]
	}
}

// after gives b and what is in the blocks, at most max bytes: b itself when that is all there is.
func (p *pile) after(b []byte, max int) []byte {
	if p.size == 0 || max <= len(b) {
		return b[:min(max, len(b))]
	}
	left := min(max-len(b), p.size)
	if len(p.blocks) == 1 {
		return append(b[:len(b):len(b)], p.blocks[0][:left]...)
	}
	parts := append(make([][]byte, 0, len(p.blocks)+1), b)
	for _, block := range p.blocks {
		n := min(len(block), left)
		parts, left = append(parts, block[:n]), left-n
	}
	return bytes.Join(parts, nil)
}

func (p *pile) free() {
	for _, block := range p.blocks {
		blocks.Put(block)
	}
}
