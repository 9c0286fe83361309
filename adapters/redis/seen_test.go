package redis_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/redis"
	"github.com/dermgate/dermgate/gateway/flow"
)

// What one replica saw due and another has claimed meanwhile is claimed once; what comes later is found, and an urgent one
// at once.
func TestWhatWasSeenMayBeClaimedByAnother(t *testing.T) {
	server := adaptertest.Redis(t)
	a, b := open(t, redis.Options{URL: server.URL()}), open(t, redis.Options{URL: server.URL()})
	put := func(name string, class int) {
		c := adaptertest.Request(name, "epr")
		c.Deliveries[0].Class = class
		if _, err := a.Put(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	claims := func(s *redis.Store, n, want int) []flow.Delivery {
		t.Helper()
		got, err := s.Claim(t.Context(), "epr", n, time.Minute)
		if err != nil || len(got) != want {
			t.Fatalf("%d claimed of %d, want %d: %v", len(got), n, want, err)
		}
		return got
	}
	for i := range 8 {
		put(fmt.Sprint("routine ", i), flow.ClassRoutine)
	}
	all := claims(a, 1, 1)
	all = append(all, claims(a, 1, 1)...)
	put("urgent", flow.ClassUrgent)
	first := claims(a, 1, 1)
	if first[0].Class != flow.ClassUrgent {
		t.Errorf("class %d before an urgent one", first[0].Class)
	}
	all = append(append(all, first...), claims(b, 6, 6)...)
	claims(a, 1, 0)
	put("later", flow.ClassRoutine)
	all = append(all, claims(a, 1, 1)...)
	once := map[flow.ID]bool{}
	for _, d := range all {
		if once[d.ID] || d.Fence != 1 {
			t.Errorf("%s is claimed under %d again", d.ID, d.Fence)
		}
		once[d.ID] = true
	}
}
