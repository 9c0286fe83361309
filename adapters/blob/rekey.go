package blob

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Rekeyed is what Rekey did.
type Rekeyed struct {
	Objects   int      `json:"objects"`           // looked at, in the last round
	Rewrapped int      `json:"rewrapped"`         // were sealed with another key
	Retired   []string `json:"retired,omitempty"` // ids of the keys that open nothing any more
	Damaged   []string `json:"damaged,omitempty"` // names of objects that no key opens: they stay as they are
}

// Rekey wraps the data key of every object anew that is not sealed with Keys.Seal, and then retires the other keys. Content
// and names stay. It may run beside gateways that have all keys, be stopped at any time and begun again: what is
// done stays done. A gateway that still seals with a retired key is refused to (flow.ErrUnavailable) from the first.
// tell, when it is not nil, is told how many objects were looked at.
func (s *Store) Rekey(ctx context.Context, tell func(n int)) (Rekeyed, error) {
	var out Rekeyed
	others, err := s.retire(ctx)
	if err != nil {
		return out, err
	}
	if others && !sleep(ctx, 2*ringEvery) { // until every other process has seen it
		return out, ctx.Err()
	}
	for again := true; again; {
		if again, err = s.rewrapAll(ctx, &out, tell); err != nil {
			return out, err
		}
	}
	out.Retired, err = s.drop(ctx)
	return out, err
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// retire marks the slots of all keys but the sealing one, and tells whether there are any.
func (s *Store) retire(ctx context.Context) (others bool, err error) {
	err = s.shelf.changeRing(ctx, func(b []byte) ([]byte, error) {
		t, err := s.current(b)
		if err != nil {
			return nil, err
		}
		own := t.slot(s.ring.seal)
		for i := range t.Slots {
			if o := &t.Slots[i]; o != own {
				o.Retired, others = true, true
			}
		}
		return t.text()
	})
	return others, err
}

// current reads the ring and wants the sealing key to be in force: another rotation may have retired it.
func (s *Store) current(b []byte) (ringText, error) {
	t, err := parseRing(b)
	if err != nil {
		return t, err
	}
	if err := (&ring{seal: s.ring.seal, open: s.ring.open}).take(t); err != nil {
		return t, err
	}
	if t.slot(s.ring.seal) == nil {
		return t, fmt.Errorf("%w: key %x was retired by another rotation", ErrKey, s.ring.seal.id)
	}
	return t, nil
}

// drop removes the retired slots.
func (s *Store) drop(ctx context.Context) (retired []string, err error) {
	err = s.shelf.changeRing(ctx, func(b []byte) ([]byte, error) {
		t, err := s.current(b)
		if err != nil {
			return nil, err
		}
		own := *t.slot(s.ring.seal)
		retired = nil
		for _, o := range t.Slots {
			if o.Key != own.Key {
				retired = append(retired, o.Key)
			}
		}
		t.Slots = []slot{own}
		return t.text()
	})
	return retired, err
}

// rewrapAll goes over all objects once, and tells whether there was something to do.
func (s *Store) rewrapAll(ctx context.Context, out *Rekeyed, tell func(int)) (found bool, err error) {
	out.Objects, out.Damaged = 0, nil
	err = s.shelf.list(ctx, "", func(name string, _ time.Time) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if out.Objects++; tell != nil {
			tell(out.Objects)
		}
		var next []byte
		err := s.shelf.rewrap(ctx, name, func(h []byte) (_ []byte, err error) {
			next, err = s.renew(h, name)
			return next, err
		})
		switch {
		case errors.Is(err, ErrCorrupt):
			out.Damaged = append(out.Damaged, name)
			return nil
		case err == nil && next != nil:
			out.Rewrapped++
			found = true
		}
		return err
	})
	return found, err
}

// renew makes the header of an object anew; nil when it is that of the sealing key.
func (s *Store) renew(h []byte, name string) ([]byte, error) {
	k, err := s.ring.key(h)
	if err != nil || string(k.id) == string(s.ring.seal.id) {
		return nil, err
	}
	dataKey, err := k.unwrap(h, name)
	if err != nil {
		return nil, err
	}
	return s.ring.seal.seal(dataKey, name), nil
}
