//go:build !linux

package photoworker

// confine does nothing here: memory is limited by the garbage collector alone, and time by the process that asked.
func confine(uint64, uint64) error { return nil }
