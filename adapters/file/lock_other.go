//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package file

import "os"

const noWait = 0

// lock does nothing where the system has no flock: there one gateway may watch a folder, not two.
func lock(*os.File) error { return nil }
