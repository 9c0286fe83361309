package bolt

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// A clock that was a year ahead and is set right over a restart makes nothing wait a year, and what was to wait waits on.
func TestClockSetBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.db")
	s, err := open(path, compactFree, 365*24*time.Hour, lateMost, nil)
	if err != nil {
		t.Fatal(err)
	}
	put := func(name string, wait time.Duration) {
		t.Helper()
		now := time.Now()
		d := flow.Delivery{ID: flow.NewID(1, name), To: name, Lane: name, Key: name, State: flow.Waiting, Created: now, Due: now.Add(wait)}
		if _, err := s.Put(t.Context(), flow.Change{Deliveries: []flow.Delivery{d}}); err != nil {
			t.Fatal(err)
		}
	}
	claims := func(name string, want int) {
		t.Helper()
		if ds, err := s.Claim(t.Context(), name, 1, time.Hour); err != nil || len(ds) != want {
			t.Fatalf("%s: claimed %d, %v, want %d", name, len(ds), err, want)
		}
	}
	put("now", 0)
	put("later", time.Hour)
	put("held", 0)
	claims("held", 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(path); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	claims("now", 1)
	claims("later", 0)
	claims("held", 1) // its process is gone
	put("after", 0)
	claims("after", 1)
}
