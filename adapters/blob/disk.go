package blob

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// temporary begins the names of files that are being written.
const temporary = ".new-"

// disk is what makes things durable, as a seam at which a test watches the order and makes steps fail.
type disk interface {
	Sync(f *os.File) error
	Rename(from, to string) error
	SyncDir(dir string) error
}

// local is the disk of this machine.
type local struct{}

func (local) Sync(f *os.File) error        { return f.Sync() }
func (local) Rename(from, to string) error { return os.Rename(from, to) }

// SyncDir makes the entries of a folder durable: names made, renamed and removed.
func (local) SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// makeFolders makes a folder and those above it that are missing, durably.
func makeFolders(d disk, dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return &fs.PathError{Op: "mkdir", Path: dir, Err: errors.New("is a file")}
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeFolders(d, parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.SyncDir(parent)
}
