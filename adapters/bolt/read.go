package bolt

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/dermgate/dermgate/gateway/flow"
)

// limit is how many answers a query gives that does not say.
const limit = 100

// Receipt gives the first answer to a message.
func (s *Store) Receipt(ctx context.Context, i flow.Idem) (flow.Receipt, error) {
	var out flow.Receipt
	err := s.view(ctx, func(t *txn) (err error) {
		out, err = t.receipt(i)
		return err
	})
	return out, err
}

// Case gives the newest version of a case.
func (s *Store) Case(ctx context.Context, id flow.ID) (flow.CaseRecord, error) {
	var out flow.CaseRecord
	err := s.view(ctx, func(t *txn) (err error) {
		out, err = t.caseOf(id)
		return err
	})
	return out, err
}

func (t *txn) caseOf(id flow.ID) (flow.CaseRecord, error) {
	var r flow.CaseRecord
	n := t.get(bIDs, key(kCase, id))
	if n == nil {
		return r, flow.ErrNotFound
	}
	err := t.load(bCases, n, &r)
	return r, err
}

// Message gives a message as it was kept.
func (s *Store) Message(ctx context.Context, id flow.ID) (flow.Message, error) {
	var m flow.Message
	err := s.view(ctx, func(t *txn) error {
		n := t.get(bIDs, key(kMessage, id))
		if n == nil {
			return flow.ErrNotFound
		}
		if err := t.load(bMessages, n, &m); err != nil {
			return err
		}
		m.Raw.Inline = bytes.Clone(t.get(bBodies, n))
		return nil
	})
	return m, err
}

// Find gives the cases that a reference leads to.
func (s *Store) Find(ctx context.Context, r flow.Ref) ([]flow.ID, error) {
	var out []flow.ID
	err := s.view(ctx, func(t *txn) error {
		for k := range t.under(bRefs, hashed(r.System, r.Value)) {
			id := flow.ID(k[refSize:])
			if t.get(bIDs, key(kCase, id)) != nil {
				out = append(out, id)
			}
		}
		return nil
	})
	return out, err
}

// Story gives a case's story, oldest first.
func (s *Store) Story(ctx context.Context, id flow.ID) ([]flow.Event, error) {
	var out []flow.Event
	err := s.view(ctx, func(t *txn) error {
		n := t.get(bIDs, key(kCase, id))
		if n == nil {
			return flow.ErrNotFound
		}
		for _, v := range t.under(bStory, n) {
			var e flow.Event
			if err := json.Unmarshal(v, &e); err != nil {
				return err
			}
			out = append(out, e)
		}
		return nil
	})
	return out, err
}

// Cases gives the cases that a query wants, newest change first.
func (s *Store) Cases(ctx context.Context, q flow.CaseQuery) ([]flow.CaseRecord, error) {
	prefix := key('a', "")
	switch {
	case q.Patient != "":
		prefix = key('p', q.Patient)
	case q.Organisation != "":
		prefix = key('o', q.Organisation)
	}
	var out []flow.CaseRecord
	err := s.view(ctx, func(t *txn) error {
		for k := range t.backwards(bCasesBy, prefix) {
			var r flow.CaseRecord
			if err := t.load(bCases, tail(k), &r); err == flow.ErrNotFound {
				continue // younger than what this transaction sees
			} else if err != nil {
				return err
			}
			if q.Wanted(r.Index) {
				out = append(out, r)
			}
			if len(out) == or(q.Limit) {
				break
			}
		}
		return nil
	})
	return out, err
}

// Deliveries gives the deliveries that a query wants, oldest first. Only one asked for by its id comes with
// inline bytes: a list of a thousand would be large.
func (s *Store) Deliveries(ctx context.Context, q flow.DeliveryQuery) ([]flow.Delivery, error) {
	var out []flow.Delivery
	err := s.view(ctx, func(t *txn) error {
		for n := range t.candidates(q) {
			var e entry
			if err := t.load(bDeliveries, n, &e); err == flow.ErrNotFound {
				continue // younger than what this transaction sees
			} else if err != nil {
				return err
			}
			if !q.Wanted(e.Delivery) {
				continue
			}
			if !q.ID.IsZero() {
				e.Delivery = t.whole(e, n)
			}
			if out = append(out, e.Delivery); len(out) == or(q.Limit) {
				break
			}
		}
		return nil
	})
	return out, err
}

// Backlog counts what a destination has to do.
func (s *Store) Backlog(ctx context.Context, to string) (b flow.Backlog, err error) {
	err = s.view(ctx, func(t *txn) error {
		b = flow.Backlog{}
		for state, letter := range letters {
			var n int
			var first []byte
			for k := range t.under(bListed, key(to, letter)) {
				if n++; n == 1 {
					first = tail(k)
				}
			}
			var e entry
			if n > 0 {
				if err := t.load(bDeliveries, first, &e); err != nil {
					return err
				}
			}
			switch state {
			case flow.Parked:
				b.Parked, b.OldestParked = n, e.Created
			case flow.Waiting, flow.Claimed:
				if b.Open += n; n > 0 && (b.Oldest.IsZero() || e.Created.Before(b.Oldest)) {
					b.Oldest = e.Created
				}
			}
		}
		return nil
	})
	return b, err
}

// candidates ranges over numbers of deliveries among which are all that a query wants, oldest first.
func (t *txn) candidates(q flow.DeliveryQuery) iter.Seq[[]byte] {
	switch {
	case !q.ID.IsZero():
		n := t.get(bIDs, key(kDelivery, q.ID))
		return func(yield func([]byte) bool) { _ = n != nil && yield(n) }
	case !q.Case.IsZero():
		return func(yield func([]byte) bool) {
			for k := range t.under(bByCase, key(q.Case)) {
				if !yield(tail(k)) {
					return
				}
			}
		}
	}
	var prefixes [][]byte
	for _, to := range t.destinations() {
		if q.To != to && (q.To != "" || to[0] == '~') {
			continue
		}
		for state, letter := range letters {
			if q.State == "" || q.State == state {
				prefixes = append(prefixes, key(to, letter))
			}
		}
	}
	return t.merged(bListed, prefixes...)
}

// merged ranges over the numbers that end the keys under several prefixes, smallest first.
func (t *txn) merged(bucket string, prefixes ...[]byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		cursors, heads := make([]*bbolt.Cursor, len(prefixes)), make([][]byte, len(prefixes))
		for i, p := range prefixes {
			cursors[i] = t.bucket(bucket).Cursor()
			heads[i], _ = cursors[i].Seek(p)
		}
		for {
			least := -1
			for i, k := range heads {
				if k != nil && bytes.HasPrefix(k, prefixes[i]) && (least < 0 || bytes.Compare(tail(k), tail(heads[least])) < 0) {
					least = i
				}
			}
			if least < 0 || !yield(tail(heads[least])) {
				return
			}
			heads[least], _ = cursors[least].Next()
		}
	}
}

// destinations gives those that have deliveries, internal ones too, leaping from one to the next.
func (t *txn) destinations() []string {
	var out []string
	c := t.bucket(bListed).Cursor()
	for k, _ := c.First(); k != nil; {
		to, _, _ := bytes.Cut(k, []byte{0})
		out = append(out, string(to))
		k, _ = c.Seek(append(bytes.Clone(to), 1))
	}
	return out
}

// whole gives a delivery with its inline bytes.
func (t *txn) whole(e entry, n []byte) flow.Delivery {
	e.Body.Inline = bytes.Clone(t.get(bBodies, n))
	return e.Delivery
}

// under ranges over the entries whose key begins with prefix.
func (t *txn) under(bucket string, prefix []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		if keys, late := t.lateKeys(bucket, prefix); late {
			for _, k := range keys {
				if !yield(k, t.get(bucket, k)) {
					return
				}
			}
			return
		}
		c := t.bucket(bucket).Cursor()
		for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix) && k != nil; k, v = c.Next() {
			if !yield(k, v) {
				return
			}
		}
	}
}

// backwards ranges over such keys from the last to the first.
func (t *txn) backwards(bucket string, prefix []byte) iter.Seq[[]byte] {
	return func(yield func(k []byte) bool) {
		if keys, late := t.lateKeys(bucket, prefix); late {
			for _, k := range slices.Backward(keys) {
				if !yield(k) {
					return
				}
			}
			return
		}
		c := t.bucket(bucket).Cursor()
		step := c.Last
		if behind, _ := c.Seek(append(bytes.Clone(prefix), bytes.Repeat([]byte{0xff}, 17)...)); behind != nil {
			step = c.Prev
		}
		for k, _ := step(); bytes.HasPrefix(k, prefix) && k != nil; k, _ = c.Prev() {
			if !yield(k) {
				return
			}
		}
	}
}

func or(n int) int {
	if n > 0 {
		return n
	}
	return limit
}
