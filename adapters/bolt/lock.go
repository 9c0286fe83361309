package bolt

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// lockWait is how long Open waits for another process to let go of the store.
const lockWait = time.Second

// lock takes PATH.lock, which says in it who has the store. It is a file of its own since compacting puts another
// file in the place of the store's. The lock goes with the process, the file stays.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("bolt: %w", err)
	}
	for limit := time.Now().Add(lockWait); ; time.Sleep(20 * time.Millisecond) {
		busy, err := try(f)
		if err == nil && !busy {
			return f, errors.Join(f.Truncate(0), sign(f))
		}
		if err != nil || time.Now().After(limit) {
			return nil, errors.Join(taken(path, f, err), f.Close())
		}
	}
}

func sign(f *os.File) error {
	host, _ := os.Hostname()
	_, err := f.WriteAt(fmt.Appendf(nil, "process %d on %s since %s", os.Getpid(), host, time.Now().UTC().Format(time.RFC3339)), 0)
	return err
}

// taken says who has the store.
func taken(path string, f *os.File, err error) error {
	if err != nil {
		return fmt.Errorf("bolt: %s cannot be locked: %w", path, err)
	}
	who := "another process"
	if text, err := io.ReadAll(io.LimitReader(f, 512)); err == nil && len(text) > 0 {
		who = strings.TrimSpace(string(text))
	}
	return fmt.Errorf("bolt: %s is in use by another gateway (%s): a file serves one process, several share a Redis", path, who)
}
