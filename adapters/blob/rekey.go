package blob

import (
	"cmp"
	"context"
	"crypto/rand"
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
//
// One rotation goes at a time, or each would undo the other's: it claims the ring, renews the claim while it works, and stops when
// that is another's (ErrRotating). A bucket has no locks: of two that claim at the same moment the last to write has it, and
// both look again when the others' writes are past. The claim of one that was killed runs out.
func (s *Store) Rekey(ctx context.Context, tell func(n int)) (out Rekeyed, err error) {
	r := &rotation{Store: s, id: rand.Text()}
	defer func() {
		if err != nil {
			r.release(context.WithoutCancel(ctx))
		}
	}()
	others, err := r.retire(ctx)
	if err != nil {
		return out, err
	}
	if others && !sleep(ctx, 2*ringEvery) { // until every other process has seen it
		return out, ctx.Err()
	}
	if err := r.renew(ctx); err != nil {
		return out, err
	}
	for again := true; again; {
		if again, err = r.rewrapAll(ctx, &out, tell); err != nil {
			return out, err
		}
	}
	out.Retired, err = r.drop(ctx)
	return out, err
}

// ErrRotating is given where another rotation is under way.
var ErrRotating = errors.New("blob: another rotation of keys is under way")

// claim says whose the ring is to rotate.
type claim struct {
	ID string    `json:"id"`
	To string    `json:"to"` // id of the key that objects are sealed for
	At time.Time `json:"at"` // when it was last renewed
}

// How long a claim holds that is not renewed, and how often it is; variables for tests.
var (
	claimFor   = 5 * time.Minute
	claimEvery = 20 * time.Second
)

// rotation is one run of Rekey.
type rotation struct {
	*Store
	id      string
	renewed time.Time
}

// claimed reads the ring and wants it to be this rotation's, or nobody's.
func (r *rotation) claimed(b []byte) (ringText, error) {
	t, err := parseRing(b)
	if err != nil {
		return t, err
	}
	if c := t.Claim; c != nil && c.ID != r.id && time.Since(c.At) < claimFor {
		return t, fmt.Errorf("%w, to key %s, at work at %s: let it come to its end; one that was killed is forgotten %v later", ErrRotating, c.To, c.At.Format(time.RFC3339), claimFor)
	}
	if t, err = r.current(b); err != nil {
		return t, err
	}
	t.Claim = &claim{ID: r.id, To: r.KeyID(), At: time.Now().UTC().Truncate(time.Second)}
	return t, nil
}

// mine changes the ring where it is this rotation's still.
func (r *rotation) mine(ctx context.Context, change func(*ringText)) error {
	return r.shelf.changeRing(ctx, func(b []byte) ([]byte, error) {
		t, err := parseRing(b)
		if err == nil && (t.Claim == nil || t.Claim.ID != r.id) {
			err = fmt.Errorf("%w: it has taken the place of this one", ErrRotating)
		}
		if err == nil {
			t, err = r.claimed(b)
		}
		if err != nil {
			return nil, err
		}
		change(&t)
		return t.text()
	})
}

// renew says that this rotation is at work still.
func (r *rotation) renew(ctx context.Context) error {
	if time.Since(r.renewed) < claimEvery {
		return nil
	}
	err := r.mine(ctx, func(*ringText) {})
	r.renewed = time.Now()
	return err
}

// release lets the next rotation begin at once.
func (r *rotation) release(ctx context.Context) {
	_ = r.mine(ctx, func(t *ringText) { t.Claim = nil }) // else it runs out
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// retire claims the ring and marks the slots of all keys but the sealing one, and tells whether there are any.
func (r *rotation) retire(ctx context.Context) (others bool, err error) {
	err = r.shelf.changeRing(ctx, func(b []byte) ([]byte, error) {
		t, err := r.claimed(b)
		if err != nil {
			return nil, err
		}
		own := t.slot(r.ring.seal)
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

// drop removes the retired slots, and lets go of the ring.
func (r *rotation) drop(ctx context.Context) (retired []string, err error) {
	err = r.mine(ctx, func(t *ringText) {
		own := *t.slot(r.ring.seal)
		retired = nil
		for _, o := range t.Slots {
			if o.Key != own.Key {
				retired = append(retired, o.Key)
			}
		}
		t.Slots, t.Claim = []slot{own}, nil
	})
	return retired, err
}

// rewrapAll goes over all objects once, and tells whether there was something to do.
func (r *rotation) rewrapAll(ctx context.Context, out *Rekeyed, tell func(int)) (found bool, err error) {
	out.Objects, out.Damaged = 0, nil
	err = r.shelf.list(ctx, "", func(name string, _ time.Time) error {
		if err := cmp.Or(ctx.Err(), r.renew(ctx)); err != nil {
			return err
		}
		if out.Objects++; tell != nil {
			tell(out.Objects)
		}
		var next []byte
		err := r.shelf.rewrap(ctx, name, func(h []byte) (_ []byte, err error) {
			next, err = r.anew(h, name)
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

// anew makes the header of an object anew; nil when it is that of the sealing key.
func (s *Store) anew(h []byte, name string) ([]byte, error) {
	k, err := s.ring.key(h)
	if err != nil || string(k.id) == string(s.ring.seal.id) {
		return nil, err
	}
	dataKey, err := k.unwrap(h, name)
	if err != nil {
		return nil, err
	}
	return s.ring.seal.seal(kindOf(h), dataKey, name), nil
}
