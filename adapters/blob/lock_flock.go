//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package blob

import (
	"os"
	"syscall"
	"time"
)

// How a folder is locked: many may name files in it, or one may remove files from it.
const (
	shared    = syscall.LOCK_SH
	exclusive = syscall.LOCK_EX
)

// lock locks a folder against the other processes and goroutines that lock it; the lock goes with its
// holder when that dies.
func lock(dir string, how int) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), how)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, &os.PathError{Op: "flock", Path: dir, Err: err}
	}
	return func() { f.Close() }, nil
}

// hold locks a folder for as long as this process lives, or until it lets go.
func hold(dir string) (letGo func(), err error) { return lock(dir, exclusive) }

// abandoned tells a folder that nobody holds. A folder whose lock cannot be tried counts as held.
func abandoned(dir string, _ time.Time) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), exclusive|syscall.LOCK_NB) == nil
}
