package bolt_test

import (
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
