package bolt

import (
	"context"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Act carries out what a person decided, once for each key.
func (s *Store) Act(ctx context.Context, a flow.Act) error {
	if err := a.Check(); err != nil {
		return err
	}
	return s.commit(ctx, func(t *txn) error {
		if a.Key != "" && t.get(bActs, hashed(a.Key)) != nil {
			return nil
		}
		if a.At.IsZero() {
			a.At = at(t.now)
		}
		if err := t.act(a); err != nil {
			return err
		}
		if a.Key != "" {
			t.putJSON(bActs, hashed(a.Key), a)
		}
		return t.err
	})
}

func (t *txn) act(a flow.Act) error {
	switch a.Verb {
	case "pause":
		t.putJSON(bPaused, []byte(a.To), a)
		return nil
	case "resume":
		t.del(bPaused, []byte(a.To))
		return nil
	}
	old, n, err := t.delivery(a.ID)
	if err != nil {
		return err
	}
	e := old
	if e.Delivery, err = old.Delivery.Acted(a); err != nil {
		return err
	}
	e.Due = at(t.now)
	if old.State == flow.Waiting {
		t.pull(old, n)
	}
	if e.State == flow.Waiting {
		t.push(e, n, t.now)
	}
	t.move(old, e, n)
	if c := t.get(bIDs, key(kCase, e.Case)); c != nil {
		t.putJSON(bStory, key(c, t.next()), a.Event())
	}
	return nil
}

// Paused gives the destinations that are paused.
func (s *Store) Paused(ctx context.Context) (map[string]bool, error) {
	out := map[string]bool{}
	err := s.view(ctx, func(t *txn) error {
		return t.bucket(bPaused).ForEach(func(to, _ []byte) error {
			out[string(to)] = true
			return nil
		})
	})
	return out, err
}
