//go:build !((linux || darwin || freebsd) && (amd64 || arm64))

package bolt

// reserved: nothing, where addresses are scarce, or a mapping makes the file as large.
const reserved = 0
