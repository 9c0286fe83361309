//go:build unix

package adaptertest

import "syscall"

// Pause stops it where it is (SIGSTOP) until Resume, as a machine that hangs.
func (r *RedisServer) Pause() { _ = r.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets it go on.
func (r *RedisServer) Resume() { _ = r.cmd.Process.Signal(syscall.SIGCONT) }
