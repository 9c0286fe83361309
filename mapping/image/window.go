package image

import (
	"bytes"
	"fmt"
	"io"
	"slices"
)

// File is a photo or document that need not be in memory: a bytes.Reader is one, a sealed object of the
// blob store another. Its content must not change while it is read.
type File interface {
	io.ReaderAt
	Size() int64 // bytes
}

// ReadError says that bytes of a File could not be had, which tells nothing about the photo in it.
type ReadError struct{ Cause error }

func (e *ReadError) Error() string { return fmt.Sprintf("read a photo: %v", e.Cause) }

// Unwrap gives what the File said.
func (e *ReadError) Unwrap() error { return e.Cause }

// blockSize is how many bytes are read at once, from a multiple of it on: a segment of the blob store.
const blockSize = 64 << 10

// window reads a File through a buffer of one block, and a little more where something lies across two.
// Whoever reads forward has each block read once.
type window struct {
	f     File
	size  int64
	block int64
	buf   []byte
	from  int64 // where buf stands in the file
	err   error // a ReadError: after the first, nothing more is read
}

func newWindow(f File) *window {
	size := max(f.Size(), 0)
	return &window{f: f, size: size, block: blockSize, buf: make([]byte, 0, min(size, blockSize+1<<10))}
}

// load brings n bytes from a place on into the buffer, false when they are not to be had.
func (w *window) load(at, n int64) bool {
	end := w.from + int64(len(w.buf))
	switch {
	case w.err != nil || at < 0 || at > w.size-n:
		return false
	case at >= w.from && at+n <= end:
		return true
	case at >= w.from && at < end:
		w.buf = slices.Delete(w.buf, 0, int(at-w.from))
		w.from = at
	default:
		w.buf = w.buf[:0]
		w.from = at - at%w.block
	}
	for w.from+int64(len(w.buf)) < at+n {
		if w.err = w.more(); w.err != nil {
			return false
		}
	}
	return true
}

// more reads to the end of the next block.
func (w *window) more() error {
	have := len(w.buf)
	at := w.from + int64(have)
	n := int(min(w.block-at%w.block, w.size-at))
	w.buf = slices.Grow(w.buf, n)[:have+n]
	switch got, err := w.f.ReadAt(w.buf[have:], at); {
	case got == n:
		return nil
	case err == nil || err == io.EOF:
		return &ReadError{io.ErrUnexpectedEOF} // shorter than its Size
	default:
		return &ReadError{err}
	}
}

// section is a stretch of the file. Places in it count from its beginning. What its methods give of the
// buffer is good until the next call of any; after an error of the File they find nothing, and what a reader
// makes of that does not count (see dissect).
type section struct {
	w     *window
	at, n int64 // in the file; bytes
}

// whole is the section of all bytes.
func (w *window) whole() section { return section{w, 0, w.size} }

// part is a section of n bytes within s.
func (s section) part(at, n int64) section { return section{s.w, s.at + at, n} }

// rest is the section behind a place.
func (s section) rest(at int64) section { return s.part(at, s.n-at) }

// bytes gives n bytes from a place on; nil when there are fewer.
func (s section) bytes(at, n int64) []byte {
	if at < 0 || at > s.n-n || !s.w.load(s.at+at, n) {
		return nil
	}
	i := s.at + at - s.w.from
	return s.w.buf[i : i+n]
}

// some gives the bytes from a place on that are at hand, at least n of them; nil when there are fewer.
func (s section) some(at, n int64) []byte {
	if at > s.n-n || !s.w.load(s.at+at, n) {
		return nil
	}
	i := s.at + at - s.w.from
	return s.w.buf[i:min(i+s.n-at, int64(len(s.w.buf)))]
}

// byteAt gives the byte at a place, false behind the end.
func (s section) byteAt(at int64) (byte, bool) {
	if at >= s.n || !s.w.load(s.at+at, 1) {
		return 0, false
	}
	return s.w.buf[s.at+at-s.w.from], true
}

// index gives the place of the first c from a place on, -1 when there is none.
func (s section) index(at int64, c byte) int64 {
	for {
		b := s.some(at, 1)
		if b == nil {
			return -1
		}
		if k := bytes.IndexByte(b, c); k >= 0 {
			return at + int64(k)
		}
		at += int64(len(b))
	}
}

// begins tells whether the section begins with a word.
func (s section) begins(word string) bool { return string(s.bytes(0, int64(len(word)))) == word }

// contains tells whether a word stands anywhere.
func (s section) contains(word string) bool {
	for at, n := int64(0), int64(len(word)); ; {
		b := s.some(at, n)
		if b == nil || bytes.Contains(b, []byte(word)) {
			return b != nil
		}
		at += int64(len(b)) - n + 1
	}
}
