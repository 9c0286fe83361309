package main

import "syscall"

func usedBytes(dir string) (uint64, error) {
	var s syscall.Statfs_t
	err := syscall.Statfs(dir, &s)
	return (s.Blocks - s.Bfree) * uint64(s.Bsize), err
}
