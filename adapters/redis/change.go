package redis

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Put commits a change, all or none.
func (s *Store) Put(ctx context.Context, c flow.Change) (flow.Receipt, error) {
	if err := c.Check(); err != nil {
		return flow.Receipt{}, err
	}
	call := s.call(c.Partition()).behind(references(c))
	if err := s.arguments(call, c); err != nil {
		return flow.Receipt{}, err
	}
	reply, err := s.run(ctx, s.scripts.put, call)
	s.seen.forget(c.Deliveries)
	if err != nil {
		return flow.Receipt{}, err
	}
	switch {
	case word(reply) != nil:
		return flow.Receipt{}, word(reply)
	case reply[0] == "repeat":
		return receipt(reply[1].(string))
	case reply[0] == "done" && c.Message != nil:
		return c.Message.Receipt, nil
	}
	return flow.Receipt{}, nil
}

func receipt(text string) (flow.Receipt, error) {
	r := flow.Receipt{}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return r, fmt.Errorf("redis: a damaged receipt: %w", err)
	}
	r.Repeat = true
	return r, nil
}

// Refuse records a refused message. It takes no idempotency slot.
func (s *Store) Refuse(ctx context.Context, m flow.Message) error {
	call := s.call(m.ID.Partition())
	if err := s.arguments(call, flow.Change{Message: &m}); err != nil {
		return err
	}
	return s.settled(ctx, s.scripts.put, call)
}

// references are a change's cross-references, which are written before it. A reference counts once its case names it
// too, which is part of the change: one that was never committed leads nowhere.
func references(c flow.Change) []member {
	if len(c.Refs) == 0 {
		return nil
	}
	sets := make([]member, len(c.Refs))
	for i, r := range c.Refs {
		sets[i] = member{refKey(r), c.Case.Record.ID.String(), r.Partition()}
	}
	return sets
}

// leading makes references lead to a case by themselves: what the other side of a delivery named is true
// whatever becomes of the settlement.
func leading(refs []flow.Ref, to flow.ID) (sets []member) {
	for _, r := range refs {
		sets = append(sets, member{refKey(r), to.String(), r.Partition()}, member{namedKey(to), hashed(r.System, r.Value), to.Partition()})
	}
	return sets
}

// arguments adds a change to a call, as change() in lua/lib.lua reads it.
func (s *Store) arguments(call *call, c flow.Change) error {
	w := writer{call: call}
	if c.Idem != nil {
		w.arg(hashed(c.Idem.Key), hashed(c.Idem.Digest), w.json(c.Message.Receipt))
	} else {
		w.arg("", "", "")
	}
	if c.Applied != "" {
		w.arg(hashed(c.Applied))
	} else {
		w.arg("")
	}
	if c.Message != nil {
		m := *c.Message
		m.Raw.Inline = nil
		w.arg(m.ID.String(), w.json(m), s.packer.pack(c.Message.Raw.Inline)).key(key(w.partition, "received"))
	} else {
		w.arg("", "", "")
	}
	if c.Case != nil {
		w.caseChange(*c.Case, c.Refs)
	} else {
		w.arg("")
	}
	w.arg(len(c.Deliveries))
	for _, d := range c.Deliveries {
		w.arg(d.ID.String(), w.json(record(d)), s.packer.pack(d.Body.Inline), w.json(fresh(d)))
		w.key(key(w.partition, "bycase", d.Case.String())).key(ready(w.partition, d.To)...)
	}
	return w.err
}

// writer adds to a call and keeps the first error.
type writer struct {
	*call
	err error
}

func (w *writer) json(v any) string {
	b, err := json.Marshal(v)
	if w.err == nil {
		w.err = err
	}
	return string(b)
}

// caseChange adds a case's next version. The token tells this write from another of the same version.
func (w *writer) caseChange(c flow.CaseChange, refs []flow.Ref) {
	r := c.Record
	w.arg(r.ID.String(), r.Version, rand.Text(), w.json(r), r.Index.Changed.UnixMicro(), len(refs))
	for _, ref := range refs {
		w.arg(hashed(ref.System, ref.Value))
	}
	w.arg(len(c.Story))
	for _, e := range c.Story {
		w.arg(w.json(e))
	}
	w.key(namedKey(r.ID), key(w.partition, "story", r.ID.String()))
	found := foundBy(w.partition, r.Index)
	w.arg(len(found)).key(found...)
}

// foundBy gives the sets in which a case is looked for.
func foundBy(p int, i flow.CaseIndex) []string {
	var out []string
	if i.Patient != "" {
		out = append(out, key(p, "patient", i.Patient))
	}
	if i.Organisation != "" {
		out = append(out, key(p, "org", i.Organisation))
	}
	if i.Performer != "" && i.Performer != i.Organisation {
		out = append(out, key(p, "org", i.Performer))
	}
	return out
}
