package blob

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// Open reads an object. flow.ErrNotFound when there is none; ErrCorrupt, from Open or from a Read, when it
// was changed, cut or extended; ErrKey when it was sealed with another master key. Every byte that a Read
// gives is verified, but the object as a whole is good only once io.EOF came.
func (s *Store) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	file, err := s.OpenAt(ctx, name)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(file, 0, file.Size()), file}, nil
}

// OpenAt opens an object to be read at any place, with the errors of Open: one that was cut or extended is
// found out here, a change within it by the ReadAt that touches it. It must be closed.
func (s *Store) OpenAt(ctx context.Context, name string) (Content, error) {
	return s.openAt(ctx, name, deepest)
}

// Content is that of an object, to be read at any place and from many goroutines at once. It must be closed.
type Content interface {
	io.ReaderAt
	io.Closer
	Size() int64 // bytes
}

// openAt opens an object that is put together of others, which may be so too, no deeper than deep.
func (s *Store) openAt(ctx context.Context, name string, deep int) (Content, error) {
	file, err := s.open(ctx, name)
	if err != nil {
		return nil, err
	}
	o, kind, err := s.unseal(file, name)
	if err != nil {
		file.Close()
		return nil, err
	}
	if kind == magic {
		return o, nil
	}
	all, err := s.together(ctx, o, deep)
	if err != nil {
		o.Close()
		return nil, err
	}
	return all, nil
}

// unseal gives what was sealed into a file, and the kind of it.
func (s *Store) unseal(file *os.File, name string) (*File, string, error) {
	h, err := readHeader(file)
	if err != nil {
		return nil, "", err
	}
	g, err := s.ring.unwrap(h, name)
	if err != nil {
		return nil, "", err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, "", unavailable(err)
	}
	size, err := contentSize(info.Size())
	if err != nil {
		return nil, "", err
	}
	o := newFile(file, g, size)
	if err := o.load(o.last); err != nil {
		o.release()
		return nil, "", err
	}
	return o, kindOf(h), nil
}

// readHeader reads the header of a sealed file, or what there is of it.
func readHeader(file io.ReaderAt) ([]byte, error) {
	h := make([]byte, header)
	n, err := file.ReadAt(h, 0)
	if err != nil && err != io.EOF {
		return nil, unavailable(err)
	}
	return h[:n], nil
}

// File reads what was sealed into a file, at any place. Only the segments that are touched are opened, each is verified before
// a byte of it is given, and the last one is known by its mark. It may be used from many goroutines at once;
// they share one segment that stays open.
type File struct {
	file *os.File
	g    cipher.AEAD
	size int64
	last int64 // segment

	mu     sync.Mutex
	buf    *buffer // nil until it is needed
	plain  []byte  // content of one segment, in buf
	loaded int64   // which one; -1 when none
	closed bool
}

func newFile(file *os.File, g cipher.AEAD, size int64) *File {
	return &File{file: file, g: g, size: size, last: max(0, size-1) / segment, loaded: -1}
}

// Size gives the bytes of content.
func (f *File) Size() int64 { return f.size }

// ReadAt reads as io.ReaderAt says. ErrCorrupt when a segment that it touches was changed; an error that
// wraps flow.ErrUnavailable for trouble with the disk; os.ErrClosed after Close.
func (f *File) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("blob: read before the beginning")
	}
	for n < len(p) {
		if off >= f.size {
			return n, io.EOF
		}
		k, err := f.copy(p[n:], off)
		if err != nil {
			return n, err
		}
		n, off = n+k, off+int64(k)
	}
	return n, nil
}

// copy gives content of the segment at off.
func (f *File) copy(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.load(off / segment); err != nil {
		return 0, err
	}
	return copy(p, f.plain[off%segment:]), nil
}

// load opens a segment, unless it is open.
func (f *File) load(i int64) error {
	switch {
	case f.closed:
		return fmt.Errorf("blob: %w", os.ErrClosed)
	case f.loaded == i:
		return nil
	case f.buf == nil:
		f.buf = buffers.Get().(*buffer)
	}
	f.loaded = -1
	this := f.buf[:min(segment, f.size-i*segment)+tagSize]
	switch _, err := f.file.ReadAt(this, int64(header)+i*sealed); {
	case err == io.EOF:
		return ErrCorrupt // it was longer when it was opened
	case err != nil:
		return unavailable(err)
	}
	plain, err := f.g.Open(this[:0], segmentNonce(uint64(i), i == f.last), this, nil)
	if err != nil {
		return ErrCorrupt
	}
	f.plain, f.loaded = plain, i
	return nil
}

// Close gives file and memory back.
func (f *File) Close() error {
	f.release()
	return f.file.Close()
}

func (f *File) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed = true; f.buf != nil {
		buffers.Put(f.buf)
		f.buf, f.plain = nil, nil
	}
}
