package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// disorder is by how much a message may bear an earlier time than one that was kept before it.
const disorder = 24 * time.Hour

// OldCases gives cases that have not changed for long, longest ago first.
func (s *Store) OldCases(ctx context.Context, o flow.Old) (out []flow.CaseRecord, next string, err error) {
	err = s.view(ctx, func(t *txn) error {
		prefix := key('a', "")
		next, err = t.page(bCasesBy, prefix, o, func(k, _ []byte) (bool, error) {
			if int64(binary.BigEndian.Uint64(k[len(prefix):])) >= t.now-int64(o.Age) {
				return false, nil
			}
			var r flow.CaseRecord
			err := t.load(bCases, tail(k), &r)
			out = append(out, r)
			return true, err
		})
		return err
	})
	return out, next, err
}

// OldMessages gives messages that came long ago, oldest first.
func (s *Store) OldMessages(ctx context.Context, o flow.Old) (out []flow.Message, next string, err error) {
	err = s.view(ctx, func(t *txn) error {
		next, err = t.page(bMessages, nil, o, func(k, _ []byte) (bool, error) {
			var m flow.Message
			err := t.load(bMessages, k, &m)
			young := m.At.UnixNano() - (t.now - int64(o.Age))
			if err != nil || young > int64(disorder) {
				return false, err
			}
			if young < 0 {
				out = append(out, m)
			}
			return true, nil
		})
		return err
	})
	return out, next, err
}

// PruneActs removes acts that were decided long ago.
func (s *Store) PruneActs(ctx context.Context, o flow.Old) (next string, err error) {
	var old [][]byte
	err = s.view(ctx, func(t *txn) error {
		next, err = t.page(bActs, nil, o, func(k, _ []byte) (bool, error) {
			var a flow.Act
			err := t.load(bActs, k, &a)
			if a.At.UnixNano() < t.now-int64(o.Age) {
				old = append(old, bytes.Clone(k))
			}
			return true, err
		})
		return err
	})
	if err != nil || len(old) == 0 {
		return next, err
	}
	return next, s.commit(ctx, func(t *txn) error {
		for _, k := range old {
			t.del(bActs, k)
		}
		return t.err
	})
}

// page hands the entries under a prefix to take, behind where the page before ended, until it gives false or
// the page is full; then it gives where to go on.
func (t *txn) page(bucket string, prefix []byte, o flow.Old, take func(k, v []byte) (bool, error)) (string, error) {
	from, err := hex.DecodeString(o.After)
	if err != nil {
		return "", fmt.Errorf("bolt: no place in %s", bucket)
	}
	from = append(bytes.Clone(prefix), from...)
	c := t.bucket(bucket).Cursor()
	k, v := c.Seek(from)
	if o.After != "" && bytes.Equal(k, from) {
		k, v = c.Next()
	}
	for n := 0; k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		goes, err := take(k, v)
		if err != nil || !goes {
			return "", err
		}
		if n++; n == or(o.Limit) {
			return hex.EncodeToString(k[len(prefix):]), nil
		}
	}
	return "", nil
}

// Prune removes what was kept long enough, all or none.
func (s *Store) Prune(ctx context.Context, r flow.Remains) error {
	if err := r.Check(); err != nil {
		return err
	}
	return s.commit(ctx, func(t *txn) error {
		if err := t.prunable(r); err != nil {
			return err
		}
		for _, id := range r.Deliveries {
			t.forgetDelivery(id)
		}
		for _, m := range r.Messages {
			t.forgetMessage(m)
		}
		if r.Case != nil {
			t.forgetCase(r.Case.ID)
		}
		for _, mark := range r.Applied {
			t.del(bApplied, hashed(mark))
		}
		return t.err
	})
}

// prunable wants the case as it was read, without deliveries but for those named and settled.
func (t *txn) prunable(r flow.Remains) error {
	named := map[flow.ID]bool{}
	for _, id := range r.Deliveries {
		named[id] = true
		e, _, err := t.delivery(id)
		if err == flow.ErrNotFound {
			continue
		}
		if err != nil {
			return err
		}
		if e.State != flow.Done && e.State != flow.Discarded {
			return flow.ErrStale
		}
	}
	if r.Case == nil {
		return nil
	}
	old, err := t.caseOf(r.Case.ID)
	if err != nil && err != flow.ErrNotFound {
		return err
	}
	if err == nil && old.Version != r.Case.Version {
		return flow.ErrStale
	}
	for k := range t.under(bByCase, key(r.Case.ID)) {
		var e entry
		if err := t.load(bDeliveries, tail(k), &e); err != nil {
			return err
		}
		if !named[e.ID] {
			return flow.ErrStale
		}
	}
	return nil
}

func (t *txn) forgetDelivery(id flow.ID) {
	e, n, err := t.delivery(id)
	if err == flow.ErrNotFound {
		return
	}
	t.err = first(t.err, err)
	t.del(bIDs, key(kDelivery, id))
	t.del(bDeliveries, n)
	t.del(bBodies, n)
	t.del(bListed, listed(e.Delivery, n))
	if !e.Case.IsZero() {
		t.del(bByCase, key(e.Case, n))
	}
}

// forgetMessage removes a message; its slot only when that is its own: a refused one has none.
func (t *txn) forgetMessage(m flow.Message) {
	n := bytes.Clone(t.get(bIDs, key(kMessage, m.ID)))
	if n == nil {
		return
	}
	if slot := t.get(bIdem, hashed(m.Idem.Key)); len(slot) >= 8 && bytes.Equal(slot[:8], n) {
		t.del(bIdem, hashed(m.Idem.Key))
	}
	t.del(bIDs, key(kMessage, m.ID))
	t.del(bMessages, n)
	t.del(bBodies, n)
}

func (t *txn) forgetCase(id flow.ID) {
	n := bytes.Clone(t.get(bIDs, key(kCase, id)))
	if n == nil {
		return
	}
	var old flow.CaseRecord
	t.err = first(t.err, t.load(bCases, n, &old))
	for _, k := range found(old.Index, n) {
		t.del(bCasesBy, k)
	}
	for _, refs := range t.under(bNamed, n) {
		for ; len(refs) >= refSize; refs = refs[refSize:] {
			t.del(bRefs, key(refs[:refSize], id))
		}
	}
	t.delUnder(bNamed, n)
	t.delUnder(bStory, n)
	t.del(bCases, n)
	t.del(bIDs, key(kCase, id))
}

// delUnder removes the entries whose key begins with prefix.
func (t *txn) delUnder(bucket string, prefix []byte) {
	var keys [][]byte // a cursor must not delete under itself
	for k := range t.under(bucket, prefix) {
		keys = append(keys, bytes.Clone(k))
	}
	for _, k := range keys {
		t.del(bucket, k)
	}
}
