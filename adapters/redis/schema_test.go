package redis_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/redis"
	"github.com/dermgate/dermgate/gateway/flow"
)

// What was written before layouts had numbers is read on, by however many gateways start on it at once.
func TestLayoutWithoutANumber(t *testing.T) {
	server := adaptertest.Redis(t)
	o := redis.Options{URL: server.URL()}
	s := open(t, o)
	c := adaptertest.Request("one", "epr")
	if _, err := s.Put(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for p := range flow.Partitions {
		server.Send("DEL " + partition(p) + "schema")
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			s, err := redis.Open(t.Context(), o)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if r, err := s.Put(t.Context(), c); err != nil || !r.Repeat {
				t.Errorf("repeat %v, %v", r.Repeat, err)
			}
		})
	}
	all.Wait()
	if got := server.Send("GET " + partition(63) + "schema"); got != "3" {
		t.Fatalf("layout %q", got)
	}
}

func partition(p int) string {
	return "dermgate:{p" + string(rune('0'+p/10)) + string(rune('0'+p%10)) + "}:"
}

// A later version's data is refused, and a gateway that runs on writes nothing to it.
func TestLayoutOfALaterVersion(t *testing.T) {
	server := adaptertest.Redis(t)
	s := open(t, redis.Options{URL: server.URL()})
	c := adaptertest.Request("one", "epr")
	server.Send("SET " + partition(c.Partition()) + "schema 4")
	if _, err := s.Put(t.Context(), c); !errors.Is(err, flow.ErrUnavailable) {
		t.Fatalf("put: %v", err)
	}
	if _, err := s.Case(t.Context(), c.Case.Record.ID); !errors.Is(err, flow.ErrNotFound) {
		t.Fatalf("case: %v", err)
	}
	_, err := redis.Open(t.Context(), redis.Options{URL: server.URL()})
	if err == nil || errors.Is(err, flow.ErrUnavailable) || !strings.Contains(err.Error(), `layout "4"`) {
		t.Fatalf("open: %v", err)
	}
}

// A Redis that was emptied, or started without its file, is not gone on with as if nothing had been there.
func TestEmptied(t *testing.T) {
	server := adaptertest.Redis(t)
	s := open(t, redis.Options{URL: server.URL()})
	c := adaptertest.Request("one", "epr")
	if _, err := s.Put(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	server.Send("FLUSHALL")
	if _, err := s.Put(t.Context(), adaptertest.Request("two")); !errors.Is(err, flow.ErrUnavailable) || !strings.Contains(err.Error(), "emptied") {
		t.Fatalf("put: %v", err)
	}
	if err := s.Health(t.Context()); err == nil || !strings.Contains(err.Error(), "emptied") {
		t.Fatalf("health: %v", err)
	}
}
