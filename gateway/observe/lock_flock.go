//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package observe

import (
	"os"
	"syscall"
)

// lock waits for a file that another process holds; closing it, or the end of the process, gives it back.
func lock(f *os.File) error {
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			return err
		}
	}
}

func unlock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
