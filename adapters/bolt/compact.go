package bolt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"go.etcd.io/bbolt"
)

// Compaction is what opening a store did about room in its file that nothing used.
type Compaction struct {
	Before, After int64 // bytes; equal when there was nothing to do
	Err           error // why it was not done: the store is as it was
}

// A file is compacted when so much of it, and half of it, is free. Free room is used again by what comes in, so that
// a file which is not compacted does not grow either; but what backs it up copies it all.
const compactFree = 64 << 20

// compactStep is the bytes of one commit of a compaction.
const compactStep = 64 << 20

// compacted gives a store's file, open, after compacting it where that is worth while.
func compacted(path string, least int64) (*bbolt.DB, Compaction, error) {
	db, err := opened(path)
	if err != nil {
		return nil, Compaction{}, err
	}
	size, free, err := room(db)
	if err != nil {
		return nil, Compaction{}, errors.Join(err, db.Close())
	}
	c := Compaction{Before: size, After: size}
	if free < least || free < size/2 {
		return db, c, nil
	}
	fresh := path + ".compact"
	if c.Err = rewrite(fresh, db); c.Err == nil {
		if err := db.Close(); err != nil {
			return nil, c, err
		}
		c.Err = errors.Join(os.Rename(fresh, path), syncDir(filepath.Dir(path)))
		if db, err = opened(path); err != nil {
			return nil, c, err
		}
		if c.After, _, err = room(db); err != nil {
			return nil, c, errors.Join(err, db.Close())
		}
	}
	_ = os.Remove(fresh) // what is left of one that was not finished
	return db, c, nil
}

var errDamaged = errors.New("a page of the file is damaged: put a backup in its place")

// opened opens a file; without the reserve where the system grants none.
func opened(path string) (db *bbolt.DB, err error) {
	defer func() {
		if recover() != nil { // bbolt's word for a page that is none
			err = errDamaged
		}
	}()
	if err := whole(path); err != nil {
		return nil, err
	}
	o := options()
	db, err = bbolt.Open(path, 0o600, o)
	if errors.Is(err, syscall.ENOMEM) {
		o.InitialMmapSize = 0
		db, err = bbolt.Open(path, 0o600, o)
	}
	return db, err
}

// whole looks whether a file has the pages that it says it has: reading one that is not there would end the process.
func whole(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockWait})
	if err != nil {
		return err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > info.Size() {
			return fmt.Errorf("the file is cut off: %d of %d bytes", info.Size(), tx.Size())
		}
		return nil
	})
	return errors.Join(err, db.Close())
}

func options() *bbolt.Options {
	return &bbolt.Options{Timeout: lockWait, FreelistType: bbolt.FreelistMapType, InitialMmapSize: reserved}
}

// room gives a file's size and how much of it is free, in bytes.
func room(db *bbolt.DB) (size, free int64, err error) {
	tx, err := db.Begin(true)
	if err != nil {
		return 0, 0, err
	}
	size = tx.Size()
	err = tx.Rollback() // what is free is counted when a writer ends
	return size, int64(db.Stats().FreePageN) * int64(db.Info().PageSize), err
}

// rewrite writes what a file holds into a new one, and syncs it.
func rewrite(path string, from *bbolt.DB) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	o := options()
	o.NoSync, o.InitialMmapSize = true, 0 // synced once, at the end
	to, err := bbolt.Open(path, 0o600, o)
	if err != nil {
		return err
	}
	if err := bbolt.Compact(to, from, compactStep); err != nil {
		return errors.Join(fmt.Errorf("bolt: compacting: %w", err), to.Close())
	}
	return errors.Join(to.Sync(), to.Close())
}
