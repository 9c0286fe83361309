package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Claim leases up to n due deliveries of a destination, the head of each lane only, urgent lanes first.
func (s *Store) Claim(ctx context.Context, to string, n int, lease time.Duration) ([]flow.Delivery, error) {
	return s.claimOf(ctx, to, n, lease, flow.ClassRoutine)
}

// ClaimUrgent claims as Claim does, urgent lanes alone.
func (s *Store) ClaimUrgent(ctx context.Context, to string, n int, lease time.Duration) ([]flow.Delivery, error) {
	return s.claimOf(ctx, to, n, lease, flow.ClassUrgent)
}

func (s *Store) claimOf(ctx context.Context, to string, n int, lease time.Duration, least byte) ([]flow.Delivery, error) {
	var due bool
	err := s.view(ctx, func(t *txn) error {
		due = len(t.due(to, 1, least)) > 0
		return nil
	})
	if err != nil || !due {
		return nil, err // looking costs no commit
	}
	var out []flow.Delivery
	err = s.commit(ctx, func(t *txn) error {
		out = nil
		for _, lane := range t.due(to, n, least) {
			d, err := t.claim(to, lane, lease)
			if err != nil {
				return err
			}
			out = append(out, d)
		}
		return t.err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// due gives up to n lanes, of the least class or a more urgent one, whose head is due (or was claimed, and its lease is
// over), most urgent class first, the one that has waited longest first.
func (t *txn) due(to string, n int, least byte) []string {
	if t.get(bPaused, []byte(to)) != nil {
		return nil
	}
	prefix := key(to)
	var lanes []string
	for class := byte(flow.ClassUrgent); class <= least; class++ {
		within := append(bytes.Clone(prefix), class)
		c := t.bucket(bDue).Cursor()
		for k, _ := c.Seek(within); bytes.HasPrefix(k, within) && len(lanes) < n; k, _ = c.Next() {
			rest := k[len(within):]
			if int64(binary.BigEndian.Uint64(rest)) > t.now {
				break
			}
			lanes = append(lanes, string(rest[8:]))
		}
	}
	return lanes
}

func (t *txn) claim(to, lane string, lease time.Duration) (flow.Delivery, error) {
	h, _ := t.head(to, lane)
	var old entry
	if err := t.load(bDeliveries, h.n, &old); err != nil {
		return flow.Delivery{}, err
	}
	e := old
	e.State, e.Attempt, e.Fence = flow.Claimed, e.Attempt+1, e.Fence+1
	e.Due = t.lease(e, h, lease)
	t.move(old, e, h.n)
	return t.whole(e, h.n), t.err
}

// lease makes the head of a lane its worker's until the time it gives.
func (t *txn) lease(e entry, h head, lease time.Duration) time.Time {
	h.claimed, h.due = true, t.now+int64(lease)
	t.turn(e.To, e.Lane, &h)
	return at(h.due)
}

// held reads a delivery that d's worker still holds; ErrLease when it does not.
func (t *txn) held(d flow.Delivery) (entry, []byte, error) {
	e, n, err := t.delivery(d.ID)
	if err == nil && (e.State != flow.Claimed || e.Fence != d.Fence) {
		err = flow.ErrLease
	}
	return e, n, err
}

// Renew makes the lease end a lease from now.
func (s *Store) Renew(ctx context.Context, d flow.Delivery, lease time.Duration) error {
	return s.commit(ctx, func(t *txn) error {
		e, _, err := t.held(d)
		if err != nil {
			return err
		}
		h, _ := t.head(e.To, e.Lane)
		e.Due = t.lease(e, h, lease)
		t.save(e, h.n)
		return t.err
	})
}

// SaveStep keeps a step; one of the same name takes the place of the old.
func (s *Store) SaveStep(ctx context.Context, d flow.Delivery, step flow.Step) error {
	return s.commit(ctx, func(t *txn) error {
		e, n, err := t.held(d)
		if err != nil {
			return err
		}
		e.Steps = e.WithStep(step)
		t.save(e, n)
		return t.err
	})
}

// Settle ends an attempt and commits o.Change with it.
func (s *Store) Settle(ctx context.Context, d flow.Delivery, o flow.Outcome) error {
	if err := o.Check(d); err != nil {
		return err
	}
	return s.commit(ctx, func(t *txn) error {
		e, n, err := t.held(d)
		if err == flow.ErrLease && e.Ended == d.Fence && d.Fence > 0 {
			return nil // settled before: the answer was lost
		}
		if err != nil {
			return err
		}
		if err := t.carry(o.Change); err != nil {
			return err
		}
		if !e.Case.IsZero() {
			t.refer(o.Refs, e.Case)
		}
		t.settle(e, n, o)
		return t.err
	})
}

// carry applies the change that comes with a settlement; one that was applied before changes nothing.
func (t *txn) carry(c *flow.Change) error {
	if c == nil {
		return nil
	}
	_, again, err := t.admit(*c)
	if err == nil && !again {
		t.apply(*c)
	}
	return err
}

func (t *txn) settle(old entry, n []byte, o flow.Outcome) {
	e := entry{Delivery: old.Delivery.Settled(o), Ended: old.Fence}
	e.Held = o.Hold && e.State == flow.Parked
	if e.State != flow.Waiting && !e.Held {
		e.Due = at(t.now)
		t.pull(old, n)
		t.move(old, e, n)
		return
	}
	h, _ := t.head(e.To, e.Lane)
	h.claimed, h.due = false, t.now+int64(o.After)
	e.Due = at(h.due)
	if e.Held {
		h.due, e.Due = math.MaxInt64, at(t.now)
	}
	t.settleHead(e, h)
	t.move(old, e, n)
}

// settleHead lets the lane go on: with the delivery that is put back, or with an earlier one that came back
// while it was claimed.
func (t *txn) settleHead(e entry, h head) {
	if n, due := t.behind(e, h.n); n != nil && bytes.Compare(n, h.n) < 0 {
		t.queue(e, h.n, h.due)
		t.del(bLanes, key(e.To, e.Lane, n))
		h.n, h.due = n, max(t.now, due)
	}
	t.turn(e.To, e.Lane, &h)
}

// voidLeases ends every lease: the file has one process, and it is a new one.
func (t *txn) voidLeases() error {
	var held [][]byte
	for _, to := range t.destinations() {
		for k := range t.under(bListed, key(to, letters[flow.Claimed])) {
			held = append(held, bytes.Clone(tail(k)))
		}
	}
	for _, n := range held {
		var e entry
		if err := t.load(bDeliveries, n, &e); err != nil {
			return err
		}
		h, _ := t.head(e.To, e.Lane)
		h.due = t.now
		t.turn(e.To, e.Lane, &h)
	}
	return t.err
}
