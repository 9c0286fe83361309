package redis_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/redis"
	"github.com/dermgate/dermgate/gateway/flow"
)

// A server whose clock was an hour ahead and is set right makes nothing wait an hour: its partitions' clocks go on.
func TestClockSetBack(t *testing.T) {
	server := adaptertest.Redis(t)
	s := open(t, redis.Options{URL: server.URL()})
	put := func(name string, wait time.Duration) {
		t.Helper()
		now := time.Now()
		d := flow.Delivery{ID: flow.NewID(1, name), To: name, Lane: name, Key: name, State: flow.Waiting, Created: now, Due: now.Add(wait)}
		if _, err := s.Put(t.Context(), flow.Change{Deliveries: []flow.Delivery{d}}); err != nil {
			t.Fatal(err)
		}
	}
	claims := func(name string, want int) (d flow.Delivery) {
		t.Helper()
		ds, err := s.Claim(t.Context(), name, 1, time.Minute)
		if err != nil || len(ds) != want {
			t.Fatalf("%s: claimed %d, %v, want %d", name, len(ds), err, want)
		}
		if want > 0 {
			d = ds[0]
		}
		return d
	}
	put("due", time.Hour) // which is: put while the clock was an hour ahead, due at once
	put("later", 2*time.Hour)
	for p := range flow.Partitions {
		server.Send(fmt.Sprintf("SET %sclock \"%d 0\"", partition(p), time.Now().Add(time.Hour).UnixMicro()))
	}
	d := claims("due", 1)
	claims("due", 0) // it is leased
	claims("later", 0)
	if err := s.Renew(t.Context(), d, time.Minute); err != nil {
		t.Fatal(err)
	}
	put("now", 0)
	claims("now", 1)
	if err := s.Settle(t.Context(), d, flow.Outcome{Result: flow.Retry, After: 300 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	claims("due", 0)
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if ds, err := s.Claim(t.Context(), "due", 1, time.Minute); err != nil || len(ds) == 1 {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("what was put back is not due: the clock stands still")
		}
	}
}
