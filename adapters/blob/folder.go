package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Folder keeps objects in a local folder. It may be used from many goroutines and processes at once.
type Folder struct {
	dir  string
	keys keys
	disk disk
	desk desk // where objects without an owner lie
}

// Object is what was kept.
type Object struct {
	Name   string // "<owner>/<64 hex digits>"
	SHA256 string // hex, of the content; Stat does not know it
	Size   int64  // bytes of content
}

// OpenFolder opens a folder, making it when needed. key seals the objects: without it they are noise. What
// processes that have died left half written is removed.
func OpenFolder(dir string, key [32]byte) (*Folder, error) {
	f := &Folder{dir: dir, keys: derive(key), disk: local{}, desk: desk{root: filepath.Join(dir, staging)}}
	if err := makeFolders(f.disk, dir); err != nil {
		return nil, unavailable(err)
	}
	if _, err := f.desk.clear(time.Now().Add(-abandonedAfter)); err != nil {
		return nil, unavailable(err)
	}
	return f, nil
}

// unavailable wraps trouble with the disk: full, read-only, gone. Trying again may help.
func unavailable(err error) error { return fmt.Errorf("blob: %w: %w", flow.ErrUnavailable, err) }

var errOwner = errors.New("blob: an owner has 1 to 64 letters, digits and hyphens")

var (
	ownerForm = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
	nameForm  = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}/[0-9a-f]{64}$`)
)

// Put keeps what r gives, for an owner (a case id: letters, digits and hyphens); it is durable when Put
// returns. The same content for the same owner is the same object. Trouble with the disk gives an error
// that wraps flow.ErrUnavailable; an error of r or ctx is wrapped as it is. Then nothing was kept.
func (f *Folder) Put(ctx context.Context, owner string, r io.Reader) (Object, error) {
	if !ownerForm.MatchString(owner) {
		return Object{}, errOwner
	}
	content := &source{ctx: ctx, r: r}
	o, err := f.put(ctx, owner, content)
	if content.err != nil {
		return Object{}, fmt.Errorf("blob: content: %w", content.err)
	}
	return o, err
}

func (f *Folder) put(ctx context.Context, owner string, r io.Reader) (Object, error) {
	s, err := f.beside(owner)
	if err != nil {
		return Object{}, unavailable(err)
	}
	defer s.Discard()
	buf := buffers.Get().(*buffer)
	defer buffers.Put(buf)
	if _, err := io.CopyBuffer(s, struct{ io.Reader }{r}, buf[:segment]); err != nil {
		return Object{}, err
	}
	if err := s.Close(); err != nil {
		return Object{}, err
	}
	return s.Keep(ctx, owner)
}

// beside begins an object in the folder of its owner: twice, since Sweep may remove an empty folder in between.
func (f *Folder) beside(owner string) (s *Staged, err error) {
	for range 2 {
		s, err = f.begin(func() (string, error) { return filepath.Join(f.dir, owner), f.makeOwner(owner) })
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return s, err
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

// Stat gives an object's name and size from its file, unverified. flow.ErrNotFound when there is none.
func (f *Folder) Stat(ctx context.Context, name string) (Object, error) {
	file, err := f.open(ctx, name)
	if err != nil {
		return Object{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Object{}, unavailable(err)
	}
	size, err := contentSize(info.Size())
	return Object{Name: name, Size: size}, err
}

// Delete removes an object durably; one that is gone already is no error.
func (f *Folder) Delete(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !nameForm.MatchString(name) {
		return fmt.Errorf("blob: %w", flow.ErrNotFound)
	}
	path := filepath.Join(f.dir, name)
	switch err := os.Remove(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return unavailable(err)
	}
	if err := f.disk.SyncDir(filepath.Dir(path)); err != nil {
		return unavailable(err)
	}
	return nil
}
