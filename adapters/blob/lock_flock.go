//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package blob

import (
	"os"
	"syscall"
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
