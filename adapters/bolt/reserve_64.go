//go:build (linux || darwin || freebsd) && (amd64 || arm64)

package bolt

// reserved is how many bytes of addresses the file is mapped to from the start, most of them behind its end: no memory
// and no disk. A writer that needs more of them than were mapped waits until no reader is left, and a backup reads for
// minutes.
const reserved = 64 << 30
