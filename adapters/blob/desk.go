package blob

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// staging is the folder of objects that have no owner yet. In it each process has a folder of its own, locked
// as long as the process lives: so what a crash has left is told from what another process is writing.
const staging = ".staging"

// abandonedAfter is the age at which staged objects count as left by a crash where locks do not tell.
const abandonedAfter = 24 * time.Hour

// desk is the place where this process stages.
type desk struct {
	root string // the staging folder

	mu   sync.Mutex
	dir  string // "" until it is needed
	hold func() // lets go of the lock on dir
}

func newDesk(dir string) *desk { return &desk{root: filepath.Join(dir, staging)} }

// open gives the process's own folder, making it when needed.
func (d *desk) open() (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dir != "" {
		return d.dir, nil
	}
	if err := os.Mkdir(d.root, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	unlock, err := lock(d.root, shared) // nobody clears up between the next two steps
	if err != nil {
		return "", err
	}
	defer unlock()
	dir, err := os.MkdirTemp(d.root, temporary+"*")
	if err != nil {
		return "", err
	}
	hold, err := hold(dir)
	if err != nil {
		return "", err
	}
	d.dir, d.hold = dir, hold
	return dir, nil
}

// leave gives the folder up.
func (d *desk) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hold != nil {
		d.hold()
	}
	d.dir, d.hold = "", nil
}

// vanish gives the folder up and removes it, and the one above when nobody else stages there.
func (d *desk) vanish() {
	d.mu.Lock()
	dir := d.dir
	d.mu.Unlock()
	d.leave()
	if dir != "" {
		os.Remove(dir)
		os.Remove(d.root)
	}
}

// clear removes the folders of processes that are gone, or of which nothing is younger than before where
// locks do not tell, and gives how many files were in them.
func (d *desk) clear(before time.Time) (removed int, err error) {
	unlock, err := lock(d.root, exclusive)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer unlock()
	entries, err := os.ReadDir(d.root)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		dir := filepath.Join(d.root, e.Name())
		files, err := os.ReadDir(dir)
		if err != nil || !abandoned(dir, before) {
			continue // not a folder, or somebody's
		}
		if err := os.RemoveAll(dir); err != nil {
			return removed, err
		}
		removed += len(files)
	}
	return removed, nil
}
