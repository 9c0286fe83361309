package blob

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
)

// Span is a stretch of another object.
type Span struct {
	Name       string // of the object
	From, Size int64  // bytes of its content
	Base64     bool   // it stands encoded (RFC 4648 §4, with padding)
}

// deepest is how many objects may be in one another: a message holds a photo, which is made of the photo as it came.
const deepest = 3

// part is one stretch of an object that is put together: of its own bytes, or of another object.
type part struct {
	Name   string `json:"name,omitempty"` // empty: its own
	From   int64  `json:"from,omitempty"`
	Size   int64  `json:"size"` // bytes, before they are encoded
	Base64 bool   `json:"base64,omitempty"`

	at int64 // where it begins in the whole
}

// length gives the bytes that it is in the whole.
func (p part) length() int64 {
	if p.Base64 {
		return (p.Size + 2) / 3 * 4
	}
	return p.Size
}

type parts []part

func (ps parts) size() int64 {
	if len(ps) == 0 {
		return 0
	}
	last := ps[len(ps)-1]
	return last.at + last.length()
}

func (ps *parts) add(p part) {
	p.at = ps.size()
	*ps = append(*ps, p)
}

func (ps parts) kind() string {
	if len(ps) > 0 {
		return parted
	}
	return magic
}

var errForeign = errors.New("blob: an object is put together of its owner's own, and not of itself")

// belong wants all parts to be the owner's, and none to be what is put together.
func (ps parts) belong(owner, name string) error {
	for _, p := range ps {
		if p.Name != "" && (!strings.HasPrefix(p.Name, owner+"/") || p.Name == name) {
			return errForeign
		}
	}
	return nil
}

// Include goes on with a stretch of another object, which must have the owner that Keep will be given. It is read once, for the
// hash. The errors are those of Open and Write.
func (s *Staged) Include(ctx context.Context, of Span) error {
	if s.seal.buf == nil {
		return errEnded
	}
	from, err := s.store.openAt(ctx, of.Name, deepest-1)
	if err != nil {
		return err
	}
	defer from.Close()
	if of.From < 0 || of.Size < 0 || of.From+of.Size > from.Size() {
		return fmt.Errorf("blob: %w: a stretch that is not in the object", ErrCorrupt)
	}
	s.ownPart()
	p := part{Name: of.Name, From: of.From, Size: of.Size, Base64: of.Base64}
	one := together{parts: parts{p}, size: p.length(), name: of.Name, source: from}
	if _, err := io.Copy(s.seal.sum, io.NewSectionReader(&one, 0, one.size)); err != nil {
		return err
	}
	s.parts.add(p)
	return nil
}

// ownPart makes a part of what was written since the last one.
func (s *Staged) ownPart() {
	var from int64
	for _, p := range s.parts {
		if p.Name == "" {
			from += p.Size
		}
	}
	if n := s.seal.length() - from; n > 0 {
		s.parts.add(part{From: from, Size: n})
	}
}

// endParts writes the table behind the object's own bytes.
func (s *Staged) endParts() error {
	if len(s.parts) == 0 || s.seal.buf == nil {
		return nil
	}
	s.ownPart()
	table, err := json.Marshal(s.parts)
	if err != nil {
		return err
	}
	if _, err := s.seal.add(binary.BigEndian.AppendUint32(table, uint32(len(table)))); err != nil {
		return unavailable(err)
	}
	return nil
}

// mostTable is the largest table that is read, in bytes.
const mostTable = 16 << 20

// together opens what own is put together of.
func (s *Store) together(ctx context.Context, own *File, deep int) (*together, error) {
	if deep <= 0 {
		return nil, ErrCorrupt
	}
	var length [4]byte
	if _, err := own.ReadAt(length[:], own.Size()-4); err != nil {
		return nil, damaged(err)
	}
	n := int64(binary.BigEndian.Uint32(length[:]))
	if n > min(mostTable, own.Size()-4) {
		return nil, ErrCorrupt
	}
	table := make([]byte, n)
	if _, err := own.ReadAt(table, own.Size()-4-n); err != nil {
		return nil, damaged(err)
	}
	var listed parts
	if err := json.Unmarshal(table, &listed); err != nil {
		return nil, ErrCorrupt
	}
	t := &together{store: s, ctx: ctx, own: own, deep: deep}
	for _, p := range listed {
		if p.Size < 0 || p.From < 0 || p.Name == "" && p.From+p.Size > own.Size()-4-n {
			return nil, ErrCorrupt
		}
		t.parts.add(p)
	}
	t.size = t.parts.size()
	return t, nil
}

func damaged(err error) error {
	if err == io.EOF {
		return ErrCorrupt
	}
	return err
}

// together reads an object that is put together of others. It holds one of them open at a time.
type together struct {
	store *Store
	ctx   context.Context
	own   *File
	parts parts
	size  int64
	deep  int

	mu     sync.Mutex
	name   string // of source
	source Content
	plain  []byte // before it is encoded
	coded  []byte
}

// Size gives the bytes of the whole.
func (t *together) Size() int64 { return t.size }

// ReadAt reads as io.ReaderAt says, with the errors of File.ReadAt.
func (t *together) ReadAt(b []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("blob: read before the beginning")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for n < len(b) {
		if off >= t.size {
			return n, io.EOF
		}
		k, err := t.read(b[n:], off)
		if err != nil {
			return n, err
		}
		n, off = n+k, off+int64(k)
	}
	return n, nil
}

// read fills b from the part that holds off, and perhaps not all of it.
func (t *together) read(b []byte, off int64) (int, error) {
	i := sort.Search(len(t.parts), func(i int) bool { return t.parts[i].at > off }) - 1
	p := t.parts[i]
	off -= p.at
	from, err := t.open(p.Name)
	if err != nil {
		return 0, err
	}
	if p.Base64 {
		return t.encode(b, p, from, off)
	}
	b = b[:min(int64(len(b)), p.Size-off)]
	n, err := from.ReadAt(b, p.From+off)
	if n == len(b) {
		return n, nil
	}
	return n, damaged(err)
}

// encoded is how much is encoded at once: three bytes make four characters.
const encoded = 24 << 10

// encode gives characters of a part from off on.
func (t *together) encode(b []byte, p part, from io.ReaderAt, off int64) (int, error) {
	if t.plain == nil {
		t.plain, t.coded = make([]byte, encoded), make([]byte, 0, encoded/3*4)
	}
	at := off / 4 * 3
	plain := t.plain[:min(encoded, p.Size-at)]
	if n, err := from.ReadAt(plain, p.From+at); n < len(plain) {
		return 0, damaged(err)
	}
	t.coded = base64.StdEncoding.AppendEncode(t.coded[:0], plain)
	return copy(b, t.coded[off%4:]), nil
}

// open gives the object that a part is of.
func (t *together) open(name string) (Content, error) {
	if name == "" {
		return t.own, nil
	}
	if t.source != nil && t.name == name {
		return t.source, nil
	}
	if t.source != nil {
		t.source.Close()
		t.source = nil
	}
	source, err := t.store.openAt(t.ctx, name, t.deep-1)
	if err != nil {
		return nil, fmt.Errorf("blob: a part of the object: %w", err)
	}
	t.name, t.source = name, source
	return source, nil
}

// Close closes what is open.
func (t *together) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.source != nil {
		t.source.Close()
		t.source = nil
	}
	return t.own.Close()
}
