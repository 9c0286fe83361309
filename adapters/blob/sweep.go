package blob

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Sweep removes the objects older than an age that keep does not want, the temporary files of that age that
// a crash left, and folders that became empty. It gives how many files it removed. The age must be longer
// than a message takes from Put until a case refers to its photos; the architecture says a day.
func (f *Folder) Sweep(ctx context.Context, keep func(name string) bool, age time.Duration) (removed int, err error) {
	before := time.Now().Add(-age)
	owners, err := os.ReadDir(f.dir)
	if err != nil {
		return 0, unavailable(err)
	}
	for _, o := range owners {
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		if !o.IsDir() || !ownerForm.MatchString(o.Name()) {
			continue // not ours
		}
		n, err := f.sweepOwner(o.Name(), before, keep)
		removed += n
		if err != nil {
			return removed, unavailable(err)
		}
	}
	n, err := f.desk.clear(before)
	if err != nil {
		return removed + n, unavailable(err)
	}
	return removed + n, nil
}

func (f *Folder) sweepOwner(owner string, before time.Time, keep func(name string) bool) (removed int, err error) {
	dir := filepath.Join(f.dir, owner)
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		name := owner + "/" + file.Name()
		leftover := strings.HasPrefix(file.Name(), temporary)
		if !leftover && (!nameForm.MatchString(name) || keep(name)) {
			continue
		}
		gone, err := removeOld(dir, file.Name(), before)
		if err != nil {
			return removed, err
		}
		if gone {
			removed++
		}
	}
	if removed > 0 {
		return removed, f.disk.SyncDir(dir)
	}
	return 0, removeEmpty(dir, before)
}

// removeOld removes a file unless it is young or was made young by a Put since the folder was read: the age
// is looked at while no Put can give a file its name.
func removeOld(dir, name string, before time.Time) (bool, error) {
	unlock, err := lock(dir, exclusive)
	if err != nil {
		return false, err
	}
	defer unlock()
	info, err := os.Lstat(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || info.ModTime().After(before) {
		return false, err
	}
	if err := os.Remove(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
		return err == nil, err
	}
	return false, nil // discarded meanwhile
}

// removeEmpty removes a folder that has been empty for long. One that is not empty, or gone, stays as it is.
func removeEmpty(dir string, before time.Time) error {
	files, err := os.ReadDir(dir)
	if err != nil || len(files) > 0 {
		return err
	}
	if info, err := os.Stat(dir); err != nil || info.ModTime().After(before) {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
		return err // fs.ErrExist stands for "not empty": a Put came first
	}
	return nil
}
