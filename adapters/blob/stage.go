package blob

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"sync"
)

// errDiscarded is returned for an object that was given up.
var errDiscarded = errors.New("blob: the object was discarded")

// errOpen is returned for an object that is still being written.
var errOpen = errors.New("blob: the object was not closed")

// Staged is an object on its way: sealed like any other, but nobody's until Keep; without its key, which only
// memory holds, it is noise. One goroutine writes it and closes it; then it may be read, kept and discarded
// from several. It holds a file open until Discard.
type Staged struct {
	store *Store
	seal  *sealer
	sum   []byte // SHA-256 of the content, after Close
	parts parts  // when some of it lies in other objects

	mu    sync.Mutex
	file  Content // to read it; nil before Close
	owner string  // who kept it first
	named bool    // its file has another name now, and is not ours to remove
	kept  Object
	gone  bool
}

// Stage begins an object whose owner is not known yet. The error wraps flow.ErrUnavailable. Discard is due
// in any case, after Keep too.
func (st *Store) Stage() (*Staged, error) {
	s, err := st.begin()
	if isGone(err) { // somebody removed the folder
		st.desk.leave()
		s, err = st.begin()
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return s, nil
}

// begin makes a temporary file on the desk.
func (st *Store) begin() (*Staged, error) {
	dir, err := st.desk.open()
	if err != nil {
		return nil, err
	}
	tmp, err := os.CreateTemp(dir, temporary+"*") // mode 0600
	if err != nil {
		return nil, err
	}
	s, err := newSealer(tmp)
	if err != nil {
		tmp.Close()
		os.Remove(tmp.Name())
		return nil, err
	}
	return &Staged{store: st, seal: s}, nil
}

// Write adds content. The error wraps flow.ErrUnavailable.
func (s *Staged) Write(p []byte) (int, error) {
	n, err := s.seal.Write(p)
	if err != nil && err != errEnded {
		err = unavailable(err)
	}
	return n, err
}

// Close ends the content, which can be read and kept from now on. It is not durable yet.
func (s *Staged) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.gone:
		return errDiscarded
	case s.file != nil:
		return nil
	}
	if err := s.endParts(); err != nil {
		return err
	}
	if err := s.seal.end(); err != nil {
		return unavailable(err)
	}
	s.sum = s.seal.sum.Sum(nil)
	file := newFile(s.seal.file, s.seal.g, s.seal.size)
	s.file = file
	if len(s.parts) > 0 {
		s.file = &together{store: s.store, own: file, ctx: context.Background(), parts: s.parts, size: s.parts.size(), deep: deepest}
	}
	return nil
}

// SHA256 gives the hash of the content, hex; "" before Close.
func (s *Staged) SHA256() string { return hex.EncodeToString(s.sum) }

// Size gives the bytes of content, after Close.
func (s *Staged) Size() int64 {
	if len(s.parts) > 0 {
		return s.parts.size()
	}
	return s.seal.size
}

// ReadAt reads as File.ReadAt does, after Close and until Discard, before Keep and after.
func (s *Staged) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	file := s.file
	s.mu.Unlock()
	if file == nil {
		return 0, errOpen
	}
	return file.ReadAt(p, off)
}

// Keep gives the object its owner. When it returns, the object is as durable as after Put. Kept again, it is
// the same object: the first owner stays, whether keeping it succeeded then or does now. Trouble with the
// disk gives an error that wraps flow.ErrUnavailable; Keep may be tried again.
func (s *Staged) Keep(ctx context.Context, owner string) (Object, error) {
	if !ownerForm.MatchString(owner) {
		return Object{}, errOwner
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch err := ctx.Err(); {
	case s.kept.Name != "":
		return s.kept, nil
	case err != nil:
		return Object{}, err
	case s.gone:
		return Object{}, errDiscarded
	case s.file == nil:
		return Object{}, errOpen
	case s.owner == "":
		s.owner = owner
	}
	if err := s.store.ring.mayseal(ctx, s.store.shelf); err != nil {
		return Object{}, err
	}
	o := Object{Name: s.store.ring.object(s.owner, s.sum), SHA256: hex.EncodeToString(s.sum), Size: s.Size()}
	if err := s.parts.belong(s.owner, o.Name); err != nil {
		return Object{}, err
	}
	if !s.named {
		if _, err := s.seal.file.WriteAt(s.store.ring.seal.seal(s.parts.kind(), s.seal.key, o.Name), 0); err != nil {
			return Object{}, unavailable(err)
		}
	}
	if err := s.store.shelf.place(ctx, s, o.Name); err != nil {
		return Object{}, err
	}
	s.kept = o
	return o, nil
}

// Discard gives file and memory back, and removes an object that was not kept. It may be called twice.
func (s *Staged) Discard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return
	}
	s.gone = true
	s.seal.release()
	if s.file != nil {
		s.file.Close()
	} else {
		s.seal.file.Close()
	}
	if !s.named {
		os.Remove(s.seal.file.Name()) // if it stays, Sweep removes it
	}
}
