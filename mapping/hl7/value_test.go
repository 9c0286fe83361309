package hl7

import (
	"math/rand/v2"
	"testing"
)

// TestNthCountsAsALoopWould compares the word-wise search with a plain one, over and under its near range.
func TestNthCountsAsALoopWould(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 20_000 {
		b := make([]byte, r.IntN(2*near))
		for i := range b {
			b[i] = "|^\x80\xfc}{\x00a"[r.IntN(8)]
		}
		from := r.IntN(len(b) + 1)
		to := from + r.IntN(len(b)-from+1)
		n := 1 + r.IntN(12)
		want, left := -1, n
		for i := from; i < to && want < 0; i++ {
			if b[i] == '|' {
				if left--; left == 0 {
					want = i
				}
			}
		}
		if got := nth(b, uint32(from), uint32(to), '|', n); got != want {
			t.Fatalf("%q from %d to %d, number %d: %d, want %d", b, from, to, n, got, want)
		}
	}
}
