package bolt

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Operations that share a commit do not share their faults: neither one that fails before it writes, nor
// one that fails after.
func TestBatchIsolation(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "gateway.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	write := func(k string, err error) *op {
		return &op{done: make(chan struct{}), do: func(t *txn) error {
			t.put(bMeta, []byte(k), []byte("x"))
			return err
		}}
	}
	late := errors.New("after writing")
	early := &op{done: make(chan struct{}), do: func(*txn) error { return flow.ErrStale }}
	tooLong := &op{done: make(chan struct{}), do: func(t *txn) error {
		t.put(bMeta, make([]byte, 1<<20), nil) // bbolt refuses a key of more than 32 KiB
		return t.err
	}}
	ops := []*op{write("a", nil), early, write("b", late), write("c", nil), tooLong, write("d", nil)}
	s.batch(ops)
	for i, want := range []error{nil, flow.ErrStale, late, nil, flow.ErrUnavailable, nil} {
		<-ops[i].done
		if !errors.Is(ops[i].err, want) {
			t.Errorf("operation %d: %v, want %v", i, ops[i].err, want)
		}
	}
	_ = s.view(context.Background(), func(tx *txn) error {
		for k, want := range map[string]bool{"a": true, "b": false, "c": true, "d": true} {
			if got := tx.get(bMeta, []byte(k)) != nil; got != want {
				t.Errorf("%q kept: %v, want %v", k, got, want)
			}
		}
		return nil
	})
}
