package blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Examined is what a store is found to be, without a change to it.
type Examined struct {
	Key     string        // id of the key that new objects are sealed with
	New     bool          // there is no ring: the first start makes it
	Absent  bool          // the ring has no slot for the sealing key: the next start enters it, as a rotation begins
	Others  []string      // ids of the other keys that objects may be sealed with
	Rotates bool          // a rotation has begun and not ended
	Spare   []string      // ids of keys that were given, and that no object needs
	Took    time.Duration // to write an object, read it back and remove it
}

// ExamineFolder looks whether a folder can be used with these keys, and tries it with an object that it removes again. Its
// errors are those of OpenFolder, and of an object that does not come back as it was written.
func ExamineFolder(ctx context.Context, dir string, k Keys) (Examined, error) {
	defer os.Remove(filepath.Join(dir, probeOwner))
	return examine(ctx, &folder{dir: dir, disk: local{}}, newDesk(dir), k)
}

// ExamineBucket looks at a bucket in the same way, with the errors of OpenBucket.
func ExamineBucket(ctx context.Context, address string, k Keys) (Examined, error) {
	dir, err := os.MkdirTemp("", "gateway-doctor-*")
	if err != nil {
		return Examined{}, unavailable(err)
	}
	defer os.RemoveAll(dir)
	b, err := reach(ctx, address)
	if err != nil {
		return Examined{}, err
	}
	d := newDesk(dir)
	b.cache = &cache{desk: d, entries: map[string]*cached{}} // keeps nothing: what is read comes from the bucket
	e, err := examine(ctx, b, d, k)
	return e, errors.Join(err, b.close())
}

func examine(ctx context.Context, sh shelf, d *desk, k Keys) (e Examined, err error) {
	r, masters := newRing(k)
	e.Key = hex.EncodeToString(r.seal.id)
	b, err := sh.readRing(ctx)
	switch {
	case errors.Is(err, flow.ErrNotFound):
		e.New = true
		err = r.begin(ctx, sh, masters)
	case err == nil:
		err = e.read(r, b)
	}
	if err != nil {
		return e, err
	}
	r.looked = time.Now().Add(time.Hour) // an object that does not stay needs no slot
	s := &Store{shelf: sh, ring: r, desk: d}
	defer d.vanish()
	begun := time.Now()
	err = s.probe(ctx)
	e.Took = time.Since(begun)
	return e, err
}

// read takes what a ring says.
func (e *Examined) read(r *ring, b []byte) error {
	t, err := parseRing(b)
	if err != nil {
		return err
	}
	if err := r.take(t); err != nil {
		return err
	}
	e.Absent = t.slot(r.seal) == nil
	for _, s := range t.Slots {
		if s.Key != e.Key {
			e.Others = append(e.Others, s.Key)
		}
		e.Rotates = e.Rotates || s.Retired
	}
	for id := range r.open {
		if id := hex.EncodeToString([]byte(id)); id != e.Key && !slices.Contains(e.Others, id) {
			e.Spare = append(e.Spare, id)
		}
	}
	slices.Sort(e.Spare)
	return nil
}

// probeOwner is whose an object is that does not stay.
const probeOwner = "doctor"

// probe writes an object, reads it back and removes it.
func (s *Store) probe(ctx context.Context) error {
	content := make([]byte, segment+1)
	rand.Read(content) // never fails (crypto/rand since Go 1.24)
	o, err := s.Put(ctx, probeOwner, bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("an object cannot be written: %w", err)
	}
	err = s.compare(ctx, o.Name, content)
	if gone := s.Delete(context.WithoutCancel(ctx), o.Name); gone != nil {
		err = errors.Join(err, fmt.Errorf("an object cannot be removed: %w", gone))
	}
	return err
}

func (s *Store) compare(ctx context.Context, name string, content []byte) error {
	r, err := s.Open(ctx, name)
	if err != nil {
		return fmt.Errorf("an object that was written cannot be read: %w", err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(got, content) {
		err = ErrCorrupt
	}
	if err != nil {
		return fmt.Errorf("an object that was written cannot be read: %w", err)
	}
	return nil
}
