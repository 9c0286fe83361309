package redis_test

import (
	"testing"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/redis"
	"github.com/dermgate/dermgate/gateway/flow"
)

// Reopening is as hard as it can be: Redis is killed and started with what is on its disk.
func TestStore(t *testing.T) {
	t.Parallel()
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

// The same on a cluster of three masters, which refuses a script whose keys are not all in one slot, and any that are
// sent to the wrong node.
func TestStoreInCluster(t *testing.T) {
	t.Parallel()
	cluster := adaptertest.ClusterOf(t, 3, 0)
	o := redis.Options{Cluster: cluster.Addresses()[:1]}
	adaptertest.Store(t, func(t *testing.T) (flow.Store, func() flow.Store) {
		cluster.Flush()
		s := open(t, o)
		return s, func() flow.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			cluster.Restart()
			s = open(t, o)
			return s
		}
	})
}
