package flow

import (
	"math/rand/v2"
	"time"
)

// Backoff says when a delivery that failed for a passing reason is tried again, and when it is given to a
// person instead. The zero value waits 1 s, 2 s, 4 s … up to 5 minutes, for ever.
type Backoff struct {
	First    time.Duration // wait after the first failure; 0: 1 s
	Max      time.Duration // longest wait; 0: 5 min
	Attempts int           // parked when so many have failed; 0: no limit
	Within   time.Duration // parked when it failed and is older than this; 0: no limit
}

// Delay gives the wait after an attempt (1 for the first) failed. Half of it is chance, so that what
// failed together does not come back together. after, where the other side named a time, is obeyed: the
// wait is never shorter, and at most a tenth longer.
func (b Backoff) Delay(attempt int, after time.Duration) time.Duration {
	if after > 0 {
		return after + jitter(after/10)
	}
	wait, limit := b.First, b.Max
	if wait <= 0 {
		wait = time.Second
	}
	if limit <= 0 {
		limit = 5 * time.Minute
	}
	for n := 1; n < attempt && wait < limit; n++ {
		wait *= 2
	}
	wait = min(wait, limit)
	return wait/2 + jitter(wait/2)
}

// jitter gives a chance duration from 0 to at most d.
func jitter(d time.Duration) time.Duration { return rand.N(d + 1) }

// Spent tells whether a delivery has used up its tries.
func (b Backoff) Spent(d Delivery, now time.Time) bool {
	return b.Attempts > 0 && d.Attempt >= b.Attempts || b.Within > 0 && !d.Created.IsZero() && now.Sub(d.Created) >= b.Within
}
