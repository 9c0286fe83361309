package redis_test

import (
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/redis"
	"github.com/dermgate/dermgate/gateway/flow"
)

// Reopening is as hard as it can be: Redis is killed and started with what is on its disk.
func TestStore(t *testing.T) {
	server := adaptertest.Redis(t)
	adaptertest.Store(t, func(t *testing.T) (flow.Store, func() flow.Store) {
		if answer := server.Send("FLUSHALL"); answer != "+OK" {
			t.Fatal(answer)
		}
		s := open(t, redis.Options{URL: server.URL()})
		return s, func() flow.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			server.Restart()
			s = open(t, redis.Options{URL: server.URL()})
			return s
		}
	})
}

// Two processes share what they know of a destination.
func TestGate(t *testing.T) {
	server := adaptertest.Redis(t)
	adaptertest.Gate(t, func(t *testing.T) (a, b flow.Gate) {
		if answer := server.Send("FLUSHALL"); answer != "+OK" {
			t.Fatal(answer)
		}
		return open(t, redis.Options{URL: server.URL()}), open(t, redis.Options{URL: server.URL()})
	})
}

func open(t testing.TB, o redis.Options) *redis.Store {
	t.Helper()
	s, err := redis.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func BenchmarkPut(b *testing.B) {
	adaptertest.BenchPut(b, open(b, redis.Options{URL: adaptertest.Redis(b).URL()}))
}

// The same on a node of a Redis Cluster, which refuses a script whose keys are not all in one slot.
func TestStoreInCluster(t *testing.T) {
	server := adaptertest.Redis(t, "cluster-enabled yes", "cluster-require-full-coverage no")
	if answer := server.Send("CLUSTER ADDSLOTSRANGE 0 16383"); answer != "+OK" {
		t.Fatal(answer)
	}
	for limit := time.Now().Add(10 * time.Second); server.Send("SET ready 1") != "+OK"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal(server.Send("SET ready 1"))
		}
	}
	adaptertest.Store(t, func(t *testing.T) (flow.Store, func() flow.Store) {
		if answer := server.Send("FLUSHALL"); answer != "+OK" {
			t.Fatal(answer)
		}
		s := open(t, redis.Options{URL: server.URL()})
		return s, func() flow.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, redis.Options{URL: server.URL()})
			return s
		}
	})
}
