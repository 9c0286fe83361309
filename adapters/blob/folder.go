package blob

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// folder is the shelf of a local folder: <dir>/<owner>/<hash>.
type folder struct {
	dir  string
	disk disk
}

// place gives the file its name, durably: its bytes, with the header that is bound to the name, are on the
// disk before the name is. The folder's own entry is synced even when it was there: whoever made it may not
// have come to that yet. It is tried twice, since Sweep may remove an empty folder in between.
func (f *folder) place(_ context.Context, s *Staged, name string) (err error) {
	dir := filepath.Dir(filepath.Join(f.dir, name))
	if s.named { // all but the last step was done before
		return asUnavailable(f.disk.SyncDir(dir))
	}
	for range 2 {
		if err = f.makeOwner(dir); err != nil {
			break
		}
		if err = f.rename(s.seal.file, dir, name); !isGone(err) {
			break
		}
	}
	if err == nil {
		s.named = true
		err = f.disk.SyncDir(dir)
	}
	return asUnavailable(err)
}

func asUnavailable(err error) error {
	if err == nil {
		return nil
	}
	return unavailable(err)
}

func (f *folder) rename(file *os.File, dir, name string) error {
	if err := f.disk.SyncDir(f.dir); err != nil {
		return err
	}
	if err := f.disk.Sync(file); err != nil {
		return err
	}
	unlock, err := lock(dir, shared)
	if err != nil {
		return err
	}
	defer unlock()
	return f.disk.Rename(file.Name(), filepath.Join(f.dir, name))
}

// makeOwner makes the folder of an owner, when needed.
func (f *folder) makeOwner(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (f *folder) open(_ context.Context, name string) (*os.File, error) {
	file, err := os.Open(filepath.Join(f.dir, name))
	if isGone(err) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return file, nil
}

// remove removes a file, unless it is young or was made young by a Put meanwhile: the age is looked at while no Put
// can give a file its name.
func (f *folder) remove(_ context.Context, name string, before time.Time) (bool, error) {
	path := filepath.Join(f.dir, name)
	gone, err := removeOld(path, before)
	if err == nil && gone {
		err = f.disk.SyncDir(filepath.Dir(path))
	}
	return gone, asUnavailable(err)
}

func removeOld(path string, before time.Time) (bool, error) {
	unlock, err := lock(filepath.Dir(path), exclusive)
	if isGone(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer unlock()
	info, err := os.Lstat(path)
	if isGone(err) {
		return false, nil
	}
	if err != nil || !before.IsZero() && info.ModTime().After(before) {
		return false, err
	}
	if err := os.Remove(path); !isGone(err) {
		return err == nil, err
	}
	return false, nil // discarded meanwhile
}

func (f *folder) list(ctx context.Context, owner string, each func(string, time.Time) error) error {
	return f.owners(ctx, owner, func(owner string) error {
		return f.files(owner, func(file fs.DirEntry) error {
			name := owner + "/" + file.Name()
			if !nameForm.MatchString(name) {
				return nil
			}
			info, err := file.Info()
			if isGone(err) {
				return nil
			}
			if err != nil {
				return unavailable(err)
			}
			return each(name, info.ModTime())
		})
	})
}

// owners ranges over the folders of owners, or that of the one.
func (f *folder) owners(ctx context.Context, owner string, each func(string) error) error {
	if owner != "" {
		return each(owner)
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return unavailable(err)
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !e.IsDir() || !ownerForm.MatchString(e.Name()) {
			continue // not ours
		}
		if err := each(e.Name()); err != nil {
			return err
		}
	}
	return nil
}

func (f *folder) files(owner string, each func(fs.DirEntry) error) error {
	files, err := os.ReadDir(filepath.Join(f.dir, owner))
	if isGone(err) {
		return nil
	}
	if err != nil {
		return unavailable(err)
	}
	for _, file := range files {
		if err := each(file); err != nil {
			return err
		}
	}
	return nil
}

// tidy removes the temporary files that a crash left, and folders that have been empty for long.
func (f *folder) tidy(before time.Time) (removed int, err error) {
	err = f.owners(context.Background(), "", func(owner string) error {
		err := f.files(owner, func(file fs.DirEntry) error {
			if !strings.HasPrefix(file.Name(), temporary) {
				return nil
			}
			gone, err := removeOld(filepath.Join(f.dir, owner, file.Name()), before)
			if gone {
				removed++
			}
			return asUnavailable(err)
		})
		if err != nil {
			return err
		}
		return asUnavailable(removeEmpty(filepath.Join(f.dir, owner), before))
	})
	return removed, err
}

// removeEmpty removes a folder that has been empty for long. One that is not empty, or gone, stays as it is.
func removeEmpty(dir string, before time.Time) error {
	files, err := os.ReadDir(dir)
	if isGone(err) {
		return nil
	}
	if err != nil || len(files) > 0 {
		return err
	}
	info, err := os.Stat(dir)
	if isGone(err) {
		return nil
	}
	if err != nil || info.ModTime().After(before) {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrExist) && !isGone(err) {
		return err // fs.ErrExist stands for "not empty": a Put came first
	}
	return nil
}

// rewrap writes the object beside itself and renames it, so that a crash leaves the old one or the new one; who
// reads goes on in the old. One that was put anew meanwhile has another header, and is looked at again.
func (f *folder) rewrap(_ context.Context, name string, renew func([]byte) ([]byte, error)) error {
	path := filepath.Join(f.dir, name)
	for {
		again, err := f.rewrapOnce(path, renew)
		if err != nil || !again {
			return err
		}
	}
}

func (f *folder) rewrapOnce(path string, renew func([]byte) ([]byte, error)) (again bool, err error) {
	old, err := os.Open(path)
	if isGone(err) {
		return false, nil
	}
	if err != nil {
		return false, unavailable(err)
	}
	defer old.Close()
	h, err := readHeader(old)
	if err != nil {
		return false, err
	}
	next, err := renew(h)
	if err != nil || next == nil {
		return false, err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), temporary+"*")
	if err != nil {
		return false, unavailable(err)
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	if err := f.copy(tmp, next, old); err != nil {
		return false, unavailable(err)
	}
	again, err = f.replace(old, tmp.Name(), path)
	return again, asUnavailable(err)
}

// copy writes a header and what stands behind the header of another file.
func (f *folder) copy(to *os.File, h []byte, from *os.File) error {
	if _, err := to.Write(h); err != nil {
		return err
	}
	if _, err := from.Seek(int64(header), io.SeekStart); err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	return f.disk.Sync(to)
}

// replace gives a file its name if that is still the name of the old one.
func (f *folder) replace(old *os.File, from, path string) (changed bool, err error) {
	unlock, err := lock(filepath.Dir(path), exclusive)
	if err != nil {
		return false, err
	}
	defer unlock()
	was, err := old.Stat()
	if err != nil {
		return false, err
	}
	is, err := os.Lstat(path)
	if isGone(err) {
		return false, nil
	}
	if err != nil || !os.SameFile(was, is) {
		return err == nil, err
	}
	if err := f.disk.Rename(from, path); err != nil {
		return false, err
	}
	return false, f.disk.SyncDir(filepath.Dir(path))
}

// ringFile is the name of the ring.
const ringFile = ".keyring"

func (f *folder) readRing(context.Context) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(f.dir, ringFile))
	if isGone(err) {
		return nil, errNotFound
	}
	return b, asUnavailable(err)
}

func (f *folder) changeRing(ctx context.Context, change func([]byte) ([]byte, error)) error {
	unlock, err := lock(f.dir, exclusive)
	if err != nil {
		return unavailable(err)
	}
	defer unlock()
	old, err := f.readRing(ctx)
	if err != nil && !errors.Is(err, errNotFound) {
		return err
	}
	b, err := change(old)
	if err != nil {
		return err
	}
	return asUnavailable(f.writeRing(b))
}

func (f *folder) writeRing(b []byte) error {
	tmp, err := os.CreateTemp(f.dir, temporary+"*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	if _, err := tmp.Write(b); err != nil {
		return err
	}
	if err := f.disk.Sync(tmp); err != nil {
		return err
	}
	if err := f.disk.Rename(tmp.Name(), filepath.Join(f.dir, ringFile)); err != nil {
		return err
	}
	return f.disk.SyncDir(f.dir)
}

func (f *folder) close() error { return nil }
