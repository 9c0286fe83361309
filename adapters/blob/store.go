package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Store keeps objects in a folder or in a bucket. It may be used from many goroutines, and the same folder or
// bucket by many processes at once.
type Store struct {
	shelf shelf
	ring  *ring
	desk  *desk // where objects without an owner lie
}

// shelf is where objects that have a name lie, sealed. Its errors wrap flow.ErrUnavailable or flow.ErrNotFound.
type shelf interface {
	// place gives a closed object, with its header, its name; when it returns nil the object is durable.
	place(ctx context.Context, s *Staged, name string) error
	open(ctx context.Context, name string) (*os.File, error)
	// remove removes an object that was last written before a time; a zero time takes any. One that is gone is no
	// error.
	remove(ctx context.Context, name string, before time.Time) (bool, error)
	// list gives the objects of an owner, or all for "", until each gives an error.
	list(ctx context.Context, owner string, each func(name string, written time.Time) error) error
	// tidy removes what crashes have left since, and gives how much that was.
	tidy(before time.Time) (int, error)
	// rewrap puts a new header before an object, made from the old one by renew; renew gives nil where nothing is
	// to be done.
	rewrap(ctx context.Context, name string, renew func(header []byte) ([]byte, error)) error

	readRing(ctx context.Context) ([]byte, error)
	// changeRing replaces the ring by what change makes of it; nil stands for none.
	changeRing(ctx context.Context, change func([]byte) ([]byte, error)) error
	close() error
}

// Object is what was kept.
type Object struct {
	Name   string // "<owner>/<64 hex digits>"
	SHA256 string // hex, of the content; Stat does not know it
	Size   int64  // bytes of content
}

// OpenFolder opens a folder, making it when needed. What processes that have died left half written is removed.
// The error wraps ErrKey when the keys are not those of the objects.
func OpenFolder(dir string, k Keys) (*Store, error) {
	f := &folder{dir: dir, disk: local{}}
	if err := makeFolders(f.disk, dir); err != nil {
		return nil, unavailable(err)
	}
	return openStore(context.Background(), f, newDesk(dir), k)
}

func openStore(ctx context.Context, sh shelf, d *desk, k Keys) (*Store, error) {
	s := &Store{shelf: sh, desk: d}
	if _, err := s.desk.clear(time.Now().Add(-abandonedAfter)); err != nil {
		return nil, unavailable(err)
	}
	var err error
	if s.ring, err = openRing(ctx, sh, k); err != nil {
		return nil, err
	}
	return s, nil
}

// unavailable wraps trouble with the disk: full, read-only, gone. Trying again may help.
func unavailable(err error) error { return fmt.Errorf("blob: %w: %w", flow.ErrUnavailable, err) }

var errOwner = errors.New("blob: an owner has 1 to 64 letters, digits and hyphens")

var (
	ownerForm = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
	nameForm  = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}/[0-9a-f]{64}$`)
)

// Put keeps what r gives, for an owner (a case id: letters, digits and hyphens); it is durable when Put
// returns. The same content for the same owner is the same object. Trouble with the disk or the bucket gives an
// error that wraps flow.ErrUnavailable; an error of r or ctx is wrapped as it is. Then nothing was kept.
func (s *Store) Put(ctx context.Context, owner string, r io.Reader) (Object, error) {
	if !ownerForm.MatchString(owner) {
		return Object{}, errOwner
	}
	content := &source{ctx: ctx, r: r}
	o, err := s.put(ctx, owner, content)
	if content.err != nil {
		return Object{}, fmt.Errorf("blob: content: %w", content.err)
	}
	return o, err
}

func (s *Store) put(ctx context.Context, owner string, r io.Reader) (Object, error) {
	st, err := s.Stage()
	if err != nil {
		return Object{}, err
	}
	defer st.Discard()
	buf := buffers.Get().(*buffer)
	defer buffers.Put(buf)
	if _, err := io.CopyBuffer(st, struct{ io.Reader }{r}, buf[:segment]); err != nil {
		return Object{}, err
	}
	if err := st.Close(); err != nil {
		return Object{}, err
	}
	return st.Keep(ctx, owner)
}

// source reads the content and remembers its error, to tell it from one of the disk.
type source struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		s.err = err
		return 0, err
	}
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// open opens the sealed file of an object.
func (s *Store) open(ctx context.Context, name string) (*os.File, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !nameForm.MatchString(name) {
		return nil, errNotFound
	}
	return s.shelf.open(ctx, name)
}

var errNotFound = fmt.Errorf("blob: %w", flow.ErrNotFound)

// Stat gives an object's name and size from its file; of one that is not put together, unverified. flow.ErrNotFound when there is none.
func (s *Store) Stat(ctx context.Context, name string) (Object, error) {
	file, err := s.open(ctx, name)
	if err != nil {
		return Object{}, err
	}
	defer file.Close()
	h, err := readHeader(file)
	if err != nil {
		return Object{}, err
	}
	if len(h) == header && kindOf(h) == parted {
		o, err := s.OpenAt(ctx, name)
		if err != nil {
			return Object{}, err
		}
		return Object{Name: name, Size: o.Size()}, o.Close()
	}
	info, err := file.Stat()
	if err != nil {
		return Object{}, unavailable(err)
	}
	size, err := contentSize(info.Size())
	return Object{Name: name, Size: size}, err
}

// Delete removes an object durably; one that is gone already is no error.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !nameForm.MatchString(name) {
		return errNotFound
	}
	_, err := s.shelf.remove(ctx, name, time.Time{})
	return err
}

// Of gives the names of all objects of an owner.
func (s *Store) Of(ctx context.Context, owner string) ([]string, error) {
	if !ownerForm.MatchString(owner) {
		return nil, errOwner
	}
	var names []string
	err := s.shelf.list(ctx, owner, func(name string, _ time.Time) error {
		names = append(names, name)
		return nil
	})
	return names, err
}

// Sweep removes the objects older than an age that keep does not want, and what crashes have left of that age. keep
// is asked just before a removal. It gives how many files it removed. The age must be longer than a message takes
// from Put until a case refers to its photos; the architecture says a day.
func (s *Store) Sweep(ctx context.Context, keep func(name string) bool, age time.Duration) (removed int, err error) {
	before := time.Now().Add(-age)
	err = s.shelf.list(ctx, "", func(name string, written time.Time) error {
		if written.After(before) || keep(name) {
			return nil
		}
		gone, err := s.shelf.remove(ctx, name, before)
		if gone {
			removed++
		}
		return err
	})
	if err != nil {
		return removed, err
	}
	n, err := s.shelf.tidy(before)
	if removed += n; err != nil {
		return removed, err
	}
	n, err = s.desk.clear(before)
	if removed += n; err != nil {
		return removed, unavailable(err)
	}
	return removed, nil
}

// Close gives up the place where this process stages. What is staged still, is lost.
func (s *Store) Close() error {
	s.desk.leave()
	return s.shelf.close()
}

// isGone tells that a file is not there.
func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) }
