//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package file

import (
	"os"
	"syscall"
)

// noWait opens a pipe that took a file's name without waiting for its other end.
const noWait = syscall.O_NONBLOCK

// lock locks a file for its holder alone, without waiting; closing it, or the end of the process, gives it
// back.
func lock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == syscall.EWOULDBLOCK:
			return errBusy
		case err != syscall.EINTR:
			return err
		}
	}
}
