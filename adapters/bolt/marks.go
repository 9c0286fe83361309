package bolt

import (
	"context"
	"encoding/binary"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Marks gives the marks of a kind by name.
func (s *Store) Marks(ctx context.Context, kind string) (map[string]int64, error) {
	out := map[string]int64{}
	err := s.view(ctx, func(t *txn) error {
		for k, v := range t.under(bMarks, key(kind)) {
			out[string(k[len(kind)+1:len(k)-1])] = int64(binary.BigEndian.Uint64(v))
		}
		return nil
	})
	return out, err
}

// Mark sets a mark from what it is to another.
func (s *Store) Mark(ctx context.Context, kind, name string, from, to int64) error {
	return s.commit(ctx, func(t *txn) error {
		var is int64
		if v := t.get(bMarks, key(kind, name)); v != nil {
			is = int64(binary.BigEndian.Uint64(v))
		}
		switch {
		case is == to, from < 0 && is > to:
		case from >= 0 && is != from:
			return flow.ErrStale
		default:
			t.put(bMarks, key(kind, name), number(uint64(to)))
		}
		return t.err
	})
}
