package blob

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"os"
	"sync"
)

const (
	segment = 64 << 10          // bytes of content in a segment
	sealed  = segment + tagSize // bytes of a full one on the disk
)

func segmentNonce(n uint64, last bool) []byte {
	nonce := make([]byte, nonceSize)
	binary.BigEndian.PutUint64(nonce[3:], n)
	if last {
		nonce[11] = 1
	}
	return nonce
}

// contentSize gives the bytes of content in a file of a size.
func contentSize(file int64) (int64, error) {
	body := file - int64(header)
	if body < tagSize {
		return 0, ErrCorrupt
	}
	segments := (body + sealed - 1) / sealed
	return body - segments*tagSize, nil
}

// buffer holds one segment while it is filled and sealed, or opened.
type buffer [sealed]byte

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// errEnded is returned for what is written behind the end.
var errEnded = errors.New("blob: written after Close")

// sealer writes the content of one object into a file, in sealed segments behind room for the header, which
// is bound to the name and so comes last. A full segment waits for the next byte, or for the end: then it is
// the last.
type sealer struct {
	file *os.File
	key  []byte // the object's data key
	g    cipher.AEAD
	sum  hash.Hash
	size int64   // bytes of content
	next uint64  // segment
	buf  *buffer // nil at the end
	n    int     // bytes of content in buf
}

func newSealer(file *os.File) (*sealer, error) {
	if _, err := file.Seek(int64(header), io.SeekStart); err != nil {
		return nil, err
	}
	s := &sealer{file: file, key: make([]byte, keySize), sum: sha256.New(), buf: buffers.Get().(*buffer)}
	rand.Read(s.key) // never fails (crypto/rand since Go 1.24)
	s.g = newGCM(s.key)
	return s, nil
}

func (s *sealer) Write(p []byte) (written int, err error) {
	if s.buf == nil {
		return 0, errEnded
	}
	s.sum.Write(p)
	return s.add(p)
}

// add writes what does not count for the hash.
func (s *sealer) add(p []byte) (written int, err error) {
	for len(p) > 0 {
		if s.n == segment {
			if err := s.flush(false); err != nil {
				return written, err
			}
		}
		n := copy(s.buf[s.n:segment], p)
		s.n += n
		written, p = written+n, p[n:]
	}
	return written, nil
}

func (s *sealer) flush(last bool) error {
	_, err := s.file.Write(s.g.Seal(s.buf[:0], segmentNonce(s.next, last), s.buf[:s.n], nil))
	s.size += int64(s.n)
	s.next, s.n = s.next+1, 0
	return err
}

// length gives the bytes that were written so far.
func (s *sealer) length() int64 { return s.size + int64(s.n) }

// end seals the last segment, which is empty in an empty object.
func (s *sealer) end() error {
	if s.buf == nil {
		return nil
	}
	err := s.flush(true)
	s.release()
	return err
}

// release gives the memory back; nothing can be written after it.
func (s *sealer) release() {
	if s.buf != nil {
		buffers.Put(s.buf)
		s.buf = nil
	}
}
