package bolt

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Put commits a change, all or none.
func (s *Store) Put(ctx context.Context, c flow.Change) (flow.Receipt, error) {
	if err := c.Check(); err != nil {
		return flow.Receipt{}, err
	}
	var receipt flow.Receipt
	err := s.commit(ctx, func(t *txn) error {
		var again bool
		var err error
		if receipt, again, err = t.admit(c); err != nil || again {
			return err
		}
		t.apply(c)
		if c.Message != nil {
			receipt = c.Message.Receipt
		}
		return t.err
	})
	if err != nil {
		return flow.Receipt{}, err
	}
	return receipt, nil
}

// admit tells whether a change may be applied. again: it was before, and the receipt is the first one's.
func (t *txn) admit(c flow.Change) (receipt flow.Receipt, again bool, err error) {
	if c.Idem != nil {
		receipt, err = t.receipt(*c.Idem)
		if err != flow.ErrNotFound {
			return receipt, true, err
		}
	}
	if c.Applied != "" && t.get(bApplied, hashed(c.Applied)) != nil {
		return flow.Receipt{}, true, nil
	}
	if c.Case == nil {
		return flow.Receipt{}, false, nil
	}
	old, err := t.caseOf(c.Case.Record.ID)
	if err != nil && err != flow.ErrNotFound {
		return flow.Receipt{}, false, err
	}
	if old.Version != c.Case.Record.Version-1 {
		return flow.Receipt{}, false, flow.ErrStale
	}
	return flow.Receipt{}, false, nil
}

// receipt gives the first receipt of a slot: ErrNotFound, or ErrConflict when other bytes took it.
func (t *txn) receipt(i flow.Idem) (flow.Receipt, error) {
	v := t.get(bIdem, hashed(i.Key))
	if v == nil {
		return flow.Receipt{}, flow.ErrNotFound
	}
	if !bytes.Equal(v[8:], digest(i)) {
		return flow.Receipt{}, flow.ErrConflict
	}
	var m flow.Message
	if err := t.load(bMessages, v[:8], &m); err != nil {
		return flow.Receipt{}, err
	}
	m.Receipt.Repeat = true
	return m.Receipt, nil
}

func digest(i flow.Idem) []byte {
	if b, err := hex.DecodeString(i.Digest); err == nil {
		return b
	}
	return []byte(i.Digest)
}

// apply writes an admitted change.
func (t *txn) apply(c flow.Change) {
	if c.Message != nil {
		n := t.message(*c.Message)
		if c.Idem != nil {
			t.put(bIdem, hashed(c.Idem.Key), append(bytes.Clone(n), digest(*c.Idem)...))
		}
	}
	if c.Applied != "" {
		t.put(bApplied, hashed(c.Applied), nil)
	}
	if c.Case != nil {
		t.caseChange(*c.Case)
		t.refer(c.Refs, c.Case.Record.ID)
	}
	for _, d := range c.Deliveries {
		t.enqueue(d)
	}
}

// message keeps a message, once: one of the same id is the same message.
func (t *txn) message(m flow.Message) []byte {
	if n := t.get(bIDs, key(kMessage, m.ID)); n != nil {
		return n
	}
	n := t.next()
	t.put(bIDs, key(kMessage, m.ID), n)
	t.body(n, m.Raw.Inline)
	m.Raw.Inline = nil
	b, err := json.Marshal(m)
	t.err = first(t.err, err)
	t.append(bMessages, n, b)
	return n
}

// body keeps inline bytes apart from their record: a record that changes does not write them again.
func (t *txn) body(n, inline []byte) {
	if len(inline) > 0 {
		t.append(bBodies, n, inline)
	}
}

func (t *txn) caseChange(c flow.CaseChange) {
	id := c.Record.ID
	n := t.get(bIDs, key(kCase, id))
	if n == nil {
		n = t.next()
		t.put(bIDs, key(kCase, id), n)
	} else {
		n = bytes.Clone(n)
		var old flow.CaseRecord
		t.err = first(t.err, t.load(bCases, n, &old))
		for _, k := range found(old.Index, n) {
			t.del(bCasesBy, k)
		}
	}
	t.putJSON(bCases, n, c.Record)
	for _, k := range found(c.Record.Index, n) {
		t.put(bCasesBy, k, nil)
	}
	for _, e := range c.Story {
		t.putJSON(bStory, key(n, t.next()), e)
	}
}

// found gives the keys under which a case is found, each ending in the time of its last change and its number.
func found(i flow.CaseIndex, n []byte) [][]byte {
	when := i.Changed.UnixNano()
	out := [][]byte{key('a', "", when, n)}
	if i.Patient != "" {
		out = append(out, key('p', i.Patient, when, n))
	}
	if i.Organisation != "" {
		out = append(out, key('o', i.Organisation, when, n))
	}
	if i.Performer != "" && i.Performer != i.Organisation {
		out = append(out, key('o', i.Performer, when, n))
	}
	return out
}

// refer makes references lead to a case, and keeps with it which they are.
func (t *txn) refer(refs []flow.Ref, id flow.ID) {
	var named []byte
	for _, r := range refs {
		k := key(hashed(r.System, r.Value), id)
		if t.get(bRefs, k) == nil {
			t.put(bRefs, k, nil)
			named = append(named, k[:refSize]...)
		}
	}
	if n := t.get(bIDs, key(kCase, id)); len(named) > 0 && n != nil {
		t.put(bNamed, key(bytes.Clone(n), t.next()), named)
	}
}

// Refuse records a refused message. It takes no idempotency slot.
func (s *Store) Refuse(ctx context.Context, m flow.Message) error {
	return s.commit(ctx, func(t *txn) error {
		t.message(m)
		return t.err
	})
}

// load reads a record; ErrNotFound when there is none.
func (t *txn) load(bucket string, k []byte, into any) error {
	b := t.get(bucket, k)
	if b == nil {
		return flow.ErrNotFound
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("bolt: unreadable record in %s: %w", bucket, err)
	}
	return nil
}
