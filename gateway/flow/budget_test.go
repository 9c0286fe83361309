package flow

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// However many photos come at once, no more pixels are worked on than the budget has; a photo larger than that goes alone, and
// whoever gives up waiting takes nothing with it.
func TestABudgetBoundsThePixelsAtOnce(t *testing.T) {
	t.Parallel()
	const most = 48_000_000
	b := NewBudget(most)
	var now, largest atomic.Int64
	var wg sync.WaitGroup
	for i := range 64 {
		pixels := []int64{12_000_000, 48_000_000, 64_000_000, 3_000_000}[i%4]
		wg.Go(func() {
			free, err := b.take(t.Context(), pixels)
			if err != nil {
				t.Error(err)
				return
			}
			defer free()
			n := min(pixels, most)
			for sum := now.Add(n); ; {
				seen := largest.Load()
				if sum <= seen || largest.CompareAndSwap(seen, sum) {
					break
				}
			}
			time.Sleep(time.Millisecond)
			now.Add(-n)
		})
	}
	wg.Wait()
	if n := largest.Load(); n > most || n < 12_000_000 {
		t.Errorf("%d pixels at once", n)
	}
	free, err := b.take(t.Context(), most)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := b.take(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("room in a budget that is used up: %v", err)
	}
	free()
	if free, err = b.take(t.Context(), most); err != nil {
		t.Errorf("what was given up is not free again: %v", err)
	}
	free()
}
