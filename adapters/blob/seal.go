package blob

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"os"
)

const (
	segment = 64 << 10          // bytes of content in a segment
	sealed  = segment + tagSize // bytes of a full one on the disk
)

// write seals the content behind room for the header, which is bound to the name, which is known only when
// all of the content was read.
func (f *Folder) write(tmp *os.File, owner string, r io.Reader) (Object, error) {
	dataKey := make([]byte, keySize)
	rand.Read(dataKey)
	if _, err := tmp.Seek(int64(header), io.SeekStart); err != nil {
		return Object{}, err
	}
	sum := sha256.New()
	size, err := seal(tmp, io.TeeReader(r, sum), newGCM(dataKey))
	if err != nil {
		return Object{}, err
	}
	content := sum.Sum(nil)
	o := Object{Name: f.keys.object(owner, content), SHA256: hex.EncodeToString(content), Size: size}
	_, err = tmp.WriteAt(f.keys.seal(dataKey, o.Name), 0)
	return o, err
}

func segmentNonce(n uint64, last bool) []byte {
	nonce := make([]byte, nonceSize)
	binary.BigEndian.PutUint64(nonce[3:], n)
	if last {
		nonce[11] = 1
	}
	return nonce
}

// seal copies r to w in sealed segments, reading one ahead to know which is the last. It gives the bytes of
// content.
func seal(w io.Writer, r io.Reader, g cipher.AEAD) (size int64, err error) {
	this, next := make([]byte, sealed), make([]byte, sealed)
	n, ended, err := fill(r, this[:segment])
	for i := uint64(0); err == nil; i++ {
		m := 0
		if !ended {
			m, ended, err = fill(r, next[:segment])
			if err != nil {
				break
			}
		}
		last := m == 0
		if _, err := w.Write(g.Seal(this[:0], segmentNonce(i, last), this[:n], nil)); err != nil {
			return 0, err
		}
		size += int64(n)
		if last {
			return size, nil
		}
		this, next, n = next, this, m
	}
	return 0, err
}

// fill reads until p is full or r has ended.
func fill(r io.Reader, p []byte) (n int, ended bool, err error) {
	n, err = io.ReadFull(r, p)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return n, true, nil
	}
	return n, false, err
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

// unsealer reads sealed segments; it gives no byte that was not verified.
type unsealer struct {
	file  io.ReadCloser
	g     cipher.AEAD
	n     uint64 // segments opened
	next  []byte // the segment read ahead, to know which is the last
	spare []byte // the other buffer
	plain []byte // content not given yet, within spare
	err   error
}

func (f *Folder) unseal(file io.ReadCloser, name string) (*unsealer, error) {
	h := make([]byte, header)
	n, _, err := fill(file, h)
	if err != nil {
		return nil, unavailable(err)
	}
	g, err := f.keys.open(h[:n], name)
	if err != nil {
		return nil, err
	}
	u := &unsealer{file: file, g: g, spare: make([]byte, sealed), next: make([]byte, 0, sealed)}
	return u, u.ahead()
}

// ahead reads the segment after the one in next, into the spare buffer, and changes the two over.
func (u *unsealer) ahead() error {
	n, _, err := fill(u.file, u.spare[:sealed])
	if err != nil {
		return unavailable(err)
	}
	u.next, u.spare = u.spare[:n], u.next
	return nil
}

func (u *unsealer) Read(p []byte) (int, error) {
	for len(u.plain) == 0 && u.err == nil {
		u.err = u.open()
	}
	if len(u.plain) == 0 {
		return 0, u.err
	}
	n := copy(p, u.plain)
	u.plain = u.plain[n:]
	return n, nil
}

// open verifies the segment that was read ahead; io.EOF comes with the last one.
func (u *unsealer) open() error {
	if err := u.ahead(); err != nil {
		return err
	}
	this := u.spare // what was in next
	last := len(u.next) == 0
	plain, err := u.g.Open(this[:0], segmentNonce(u.n, last), this, nil)
	if err != nil {
		return ErrCorrupt
	}
	u.n++
	if u.plain = plain; last {
		return io.EOF
	}
	return nil
}

func (u *unsealer) Close() error { return u.file.Close() }
