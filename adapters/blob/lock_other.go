//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package blob

import (
	"os"
	"path/filepath"
	"sync"
	"time"
)

// How a folder is locked: many may name files in it, or one may remove files from it.
const (
	shared = iota
	exclusive
)

// naming stands in for the lock of a folder where the system has none: within this process only.
var naming sync.RWMutex

func lock(_ string, how int) (unlock func(), err error) {
	if how == shared {
		naming.RLock()
		return naming.RUnlock, nil
	}
	naming.Lock()
	return naming.Unlock, nil
}

// hold marks nothing where folders cannot be locked: their age tells.
func hold(string) (letGo func(), err error) { return func() {}, nil }

// abandoned tells a folder that neither itself nor anything in it was changed after a time.
func abandoned(dir string, before time.Time) bool {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return false
	}
	for _, path := range append(files, dir) {
		if info, err := os.Lstat(path); err != nil || info.ModTime().After(before) {
			return false
		}
	}
	return true
}
