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

	"github.com/dermgate/dermgate/gateway/flow"
)

// Folder keeps objects in a local folder. It may be used from many goroutines and processes at once.
type Folder struct {
	dir  string
	keys keys
	disk disk
}

// Object is what was kept.
type Object struct {
	Name   string // "<owner>/<64 hex digits>"
	SHA256 string // hex, of the content; Stat does not know it
	Size   int64  // bytes of content
}

// OpenFolder opens a folder, making it when needed. key seals the objects: without it they are noise.
func OpenFolder(dir string, key [32]byte) (*Folder, error) {
	f := &Folder{dir: dir, keys: derive(key), disk: local{}}
	if err := makeFolders(f.disk, dir); err != nil {
		return nil, unavailable(err)
	}
	return f, nil
}

// unavailable wraps trouble with the disk: full, read-only, gone. Trying again may help.
func unavailable(err error) error { return fmt.Errorf("blob: %w: %w", flow.ErrUnavailable, err) }

var (
	ownerForm = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
	nameForm  = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}/[0-9a-f]{64}$`)
)

// Put keeps what r gives, for an owner (a case id: letters, digits and hyphens); it is durable when Put
// returns. The same content for the same owner is the same object. Trouble with the disk gives an error
// that wraps flow.ErrUnavailable; an error of r or ctx is wrapped as it is. Then nothing was kept.
func (f *Folder) Put(ctx context.Context, owner string, r io.Reader) (Object, error) {
	if !ownerForm.MatchString(owner) {
		return Object{}, errors.New("blob: an owner has 1 to 64 letters, digits and hyphens")
	}
	content := &source{ctx: ctx, r: r}
	o, err := f.put(owner, content)
	switch {
	case content.err != nil:
		return Object{}, fmt.Errorf("blob: content: %w", content.err)
	case err != nil:
		return Object{}, unavailable(err)
	}
	return o, nil
}

func (f *Folder) put(owner string, r io.Reader) (Object, error) {
	dir := filepath.Join(f.dir, owner)
	tmp, err := f.create(dir)
	if err != nil {
		return Object{}, err
	}
	defer os.Remove(tmp.Name()) // does nothing once it has its own name
	defer tmp.Close()
	o, err := f.write(tmp, owner, r)
	if err != nil {
		return Object{}, err
	}
	if err := f.disk.Sync(tmp); err != nil {
		return Object{}, err
	}
	unlock, err := lock(dir, shared)
	if err != nil {
		return Object{}, err
	}
	defer unlock()
	if err := f.disk.Rename(tmp.Name(), filepath.Join(f.dir, o.Name)); err != nil {
		return Object{}, err
	}
	return o, f.disk.SyncDir(dir)
}

// create makes a temporary file in a folder, which it makes when needed: twice, since Sweep may remove an
// empty folder in between. The folder's own entry is synced even when it was there: whoever made it may not
// have come to that yet.
func (f *Folder) create(dir string) (tmp *os.File, err error) {
	for range 2 {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		tmp, err = os.CreateTemp(dir, temporary+"*")
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if err := f.disk.SyncDir(f.dir); err != nil {
		tmp.Close()
		os.Remove(tmp.Name())
		return nil, err
	}
	return tmp, nil
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

// Open reads an object. flow.ErrNotFound when there is none; ErrCorrupt, from Open or from a Read, when it
// was changed, cut or extended; ErrKey when it was sealed with another master key. Every byte that a Read
// gives is verified, but the object as a whole is good only once io.EOF came.
func (f *Folder) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	file, err := f.open(ctx, name)
	if err != nil {
		return nil, err
	}
	r, err := f.unseal(file, name)
	if err != nil {
		file.Close()
		return nil, err
	}
	return r, nil
}

func (f *Folder) open(ctx context.Context, name string) (*os.File, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !nameForm.MatchString(name) {
		return nil, fmt.Errorf("blob: %w", flow.ErrNotFound)
	}
	file, err := os.Open(filepath.Join(f.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob: %w", flow.ErrNotFound)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return file, nil
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
