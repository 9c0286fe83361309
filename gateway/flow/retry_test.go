package flow_test

import (
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

func TestBackoffDelay(t *testing.T) {
	b := flow.Backoff{First: time.Second, Max: 10 * time.Second}
	for _, test := range []struct {
		name      string
		b         flow.Backoff
		attempt   int
		after     time.Duration
		low, high time.Duration
	}{
		{"first", b, 1, 0, 500 * time.Millisecond, time.Second},
		{"second", b, 2, 0, time.Second, 2 * time.Second},
		{"fourth", b, 4, 0, 4 * time.Second, 8 * time.Second},
		{"at the limit", b, 5, 0, 5 * time.Second, 10 * time.Second},
		{"after a day", b, 1 << 30, 0, 5 * time.Second, 10 * time.Second},
		{"asked for, shorter", b, 5, 2 * time.Second, 2 * time.Second, 2200 * time.Millisecond},
		{"asked for, longer than the limit", b, 1, time.Hour, time.Hour, 66 * time.Minute},
		{"zero value", flow.Backoff{}, 1, 0, 500 * time.Millisecond, time.Second},
		{"zero value, late", flow.Backoff{}, 40, 0, 150 * time.Second, 5 * time.Minute},
	} {
		seen := map[time.Duration]bool{}
		for range 100 {
			d := test.b.Delay(test.attempt, test.after)
			if d < test.low || d > test.high {
				t.Errorf("%s: %v is not within %v and %v", test.name, d, test.low, test.high)
			}
			seen[d] = true
		}
		if len(seen) < 50 {
			t.Errorf("%s: %d different delays of 100: no jitter", test.name, len(seen))
		}
	}
}

func TestBackoffSpent(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for _, test := range []struct {
		name    string
		b       flow.Backoff
		attempt int
		age     time.Duration
		want    bool
	}{
		{"no limit", flow.Backoff{}, 1000, 1000 * time.Hour, false},
		{"attempts left", flow.Backoff{Attempts: 3}, 2, 0, false},
		{"last attempt", flow.Backoff{Attempts: 3}, 3, 0, true},
		{"time left", flow.Backoff{Within: time.Hour}, 9, 59 * time.Minute, false},
		{"time over", flow.Backoff{Within: time.Hour}, 1, time.Hour, true},
	} {
		d := flow.Delivery{Attempt: test.attempt, Created: now.Add(-test.age)}
		if got := test.b.Spent(d, now); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}
