package bolt

import (
	"bytes"
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
			a.Child = nil // it is kept as a delivery
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
	due := t.now + int64(a.After)
	e.Due = at(due)
	if old.State == flow.Waiting || old.Held {
		t.pull(old, n)
	}
	e.Held = false
	if e.State == flow.Waiting {
		t.push(e, n, due)
	}
	t.move(old, e, n)
	if a.Child != nil {
		t.renumber(e, n)
		t.enqueueAt(*a.Child, n)
		t.refer(a.Refs, e.Case)
	}
	if c := t.get(bIDs, key(kCase, e.Case)); c != nil {
		t.putJSON(bStory, key(c, t.next()), a.Event())
	}
	return nil
}

// renumber gives an ended delivery another number, so that its child can have the place in the lane.
func (t *txn) renumber(e entry, n []byte) {
	to := t.next()
	body := bytes.Clone(t.get(bBodies, n))
	t.del(bListed, listed(e.Delivery, n))
	t.del(bDeliveries, n)
	t.del(bBodies, n)
	t.put(bListed, listed(e.Delivery, to), nil)
	t.put(bIDs, key(kDelivery, e.ID), to)
	t.body(to, body)
	if !e.Case.IsZero() {
		t.del(bByCase, key(e.Case, n))
		t.put(bByCase, key(e.Case, to), nil)
	}
	t.save(e, to)
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
