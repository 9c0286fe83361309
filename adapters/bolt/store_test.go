package bolt_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/bolt"
	"github.com/dermgate/dermgate/gateway/flow"
)

func TestStore(t *testing.T) {
	adaptertest.Store(t, func(t *testing.T) (flow.Store, func() flow.Store) {
		path := filepath.Join(t.TempDir(), "gateway.db")
		s := openLate(t, path)
		return s, func() flow.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openLate(t, path)
			return s
		}
	})
}

func open(t testing.TB, path string) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func BenchmarkPut(b *testing.B) {
	adaptertest.BenchPut(b, open(b, filepath.Join(b.TempDir(), "gateway.db")))
}

// BenchmarkBacklog tells what waiting messages cost: file for each, claims, starting. BACKLOG says how many.
func BenchmarkBacklog(b *testing.B) {
	path := filepath.Join(b.TempDir(), "gateway.db")
	s := open(b, path)
	filled := func(n int) {
		if info, err := os.Stat(path); err == nil {
			b.ReportMetric(float64(info.Size())/float64(n), "file-B/waiting")
		}
	}
	adaptertest.BenchBacklog(b, s, filled, func() flow.Store {
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		return open(b, path)
	})
}
