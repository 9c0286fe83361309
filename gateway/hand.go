package main

import (
	"bytes"
	"sync"
	"time"
)

// hand is a clock that stands still until it is moved.
type hand struct {
	mu    sync.Mutex
	at    time.Time
	ahead time.Duration
}

// stored is the time that the store goes by: a little ahead, so that what rests for a moment between two attempts goes on
// while the clock stands still.
func (h *hand) stored() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at.Add(h.ahead)
}

// nudge moves the store's time up to a moment.
func (h *hand) nudge(to time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ahead = max(h.ahead, to.Sub(h.at))
}

// Now is the time it shows.
func (h *hand) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

// set moves it forward, never back.
func (h *hand) set(at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if at.After(h.at) {
		h.at = at
	}
}

// lockedBuffer is a log that many write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// Bytes is what was written so far.
func (l *lockedBuffer) Bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}
