//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package blob

import "sync"

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
