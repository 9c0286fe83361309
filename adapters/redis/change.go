package redis

import (
	"context"
	"crypto/rand"
	"encoding/base64"
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
		return s.repeated(reply)
	case reply[0] == "done" && c.Message != nil:
		return c.Message.Receipt, nil
	}
	return flow.Receipt{}, nil
}

// repeated reads the first receipt out of a script's answer: by itself, as layout 1 kept it, or in its message.
func (s *Store) repeated(reply []any) (flow.Receipt, error) {
	if text, _ := reply[1].(string); text != "" {
		return receipt(text)
	}
	text, _ := reply[2].(string)
	name, _ := reply[3].(string)
	id, err := flow.ParseID(name)
	if err != nil {
		return flow.Receipt{}, fmt.Errorf("redis: a damaged slot: %w", err)
	}
	m, err := s.packer.messageOf(id, text)
	m.Receipt.Repeat = true
	return m.Receipt, err
}

// newToken gives what tells a write from another of its kind: 64 random bits, without a space.
func newToken() string {
	var b [8]byte
	rand.Read(b[:]) // never fails (crypto/rand since Go 1.24)
	return base64.RawURLEncoding.EncodeToString(b[:])
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
func references(c flow.Change) []place {
	if len(c.Refs) == 0 {
		return nil
	}
	places := make([]place, len(c.Refs))
	for i, r := range c.Refs {
		places[i] = leadsTo(r, c.Case.Record.ID)
	}
	return places
}

// leading makes references lead to a case by themselves: what the other side of a delivery named is true
// whatever becomes of the settlement.
func leading(refs []flow.Ref, to flow.ID) (places []place) {
	for _, r := range refs {
		places = append(places, leadsTo(r, to), place{namedKey(to), hex.EncodeToString([]byte(refName(r))), to.Partition(), false})
	}
	return places
}

// arguments adds a change to a call, as change() in lua/lib.lua reads it.
func (s *Store) arguments(call *call, c flow.Change) error {
	w := writer{call: call}
	if c.Idem != nil {
		w.arg(hashed(c.Idem.Key), hashed(c.Idem.Digest))
	} else {
		w.arg("", "")
	}
	if c.Applied != "" {
		w.arg(hashed(c.Applied))
	} else {
		w.arg("")
	}
	if c.Message != nil {
		w.arg(c.Message.ID.String(), w.kept(s.packer.message(*c.Message))).key(key(w.partition, "received"))
	} else {
		w.arg("", "")
	}
	if c.Case != nil {
		s.caseChange(&w, *c.Case, c.Refs)
	} else {
		w.arg("")
	}
	w.arg(len(c.Deliveries))
	for _, d := range c.Deliveries {
		w.arg(d.ID.String(), w.kept(s.packer.delivery(d)), w.json(fresh(d)))
		w.key(key(w.partition, "bycase", d.Case.String())).key(destination(w.partition, d.To)...)
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

// kept gives what was packed.
func (w *writer) kept(b []byte, err error) []byte {
	if w.err == nil {
		w.err = err
	}
	return b
}

// caseChange adds a case's next version. The token tells this write from another of the same version.
func (s *Store) caseChange(w *writer, c flow.CaseChange, refs []flow.Ref) {
	r := c.Record
	w.arg(r.ID.String(), r.Version, newToken(), w.kept(s.packer.record(r)), r.Index.Changed.UnixMicro(), len(refs))
	for _, ref := range refs {
		w.arg(refName(ref))
	}
	if len(c.Story) > 0 {
		w.arg(w.kept(s.packer.story(c.Story)))
	} else {
		w.arg("")
	}
	w.key(key(w.partition, "story", r.ID.String()))
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
