package adaptertest

import (
	"slices"
	"sync"

	"github.com/dermgate/dermgate/gateway/flow"
)

func (s *suite) keepsAll() {
	c := Request("one", "epr", "platform")
	receipt := s.put(c)
	s.equal("receipt", receipt, c.Message.Receipt)

	m, err := s.s.Message(s.ctx, c.Message.ID)
	s.ok(err)
	s.equal("message", m, *c.Message)
	record, err := s.s.Case(s.ctx, c.Case.Record.ID)
	s.ok(err)
	s.equal("case", record, c.Case.Record)
	story, err := s.s.Story(s.ctx, c.Case.Record.ID)
	s.ok(err)
	s.equal("story", story, c.Case.Story)
	for _, d := range c.Deliveries {
		got := s.delivery(d.ID)
		d.Due = got.Due // by the store's clock
		s.equal("delivery", got, d)
	}
}

func (s *suite) repeat() {
	c := Request("one", "epr")
	first := s.put(c)
	again := Request("one", "epr")
	again.Message.Receipt.Answer = []byte("another answer")
	second := s.put(again)
	first.Repeat = true
	s.equal("second receipt", second, first)

	stored, err := s.s.Receipt(s.ctx, *c.Idem)
	s.ok(err)
	s.equal("receipt read", stored, first)
	s.done(s.claimOne("epr"))
	s.put(c)
	s.claimNone("epr")
	story, err := s.s.Story(s.ctx, c.Case.Record.ID)
	s.ok(err)
	s.equal("events in the story", len(story), 1)
}

func (s *suite) conflict() {
	c := Request("one", "epr")
	s.put(c)
	other := Request("one", "epr", "platform")
	other.Idem.Digest = sum("other bytes")
	other.Refs = []flow.Ref{{System: "ubrn", Value: "000049752341"}}
	_, err := s.s.Put(s.ctx, other)
	s.is(err, flow.ErrConflict)
	_, err = s.s.Receipt(s.ctx, *other.Idem)
	s.is(err, flow.ErrConflict)
	s.claimNone("platform")
	ids, err := s.s.Find(s.ctx, other.Refs[0])
	s.ok(err)
	s.equal("cases found by a reference of the refused change", len(ids), 0)
}

func (s *suite) stale() {
	c := Request("one")
	s.put(c)
	second := next(c, "answered")
	s.put(second)

	id := c.Case.Record.ID
	late := next(c, "rejected", delivery(id, "epr", "late"))
	late.Refs = []flow.Ref{{System: "ubrn", Value: "late"}}
	_, err := s.s.Put(s.ctx, late)
	s.is(err, flow.ErrStale)
	early := next(next(second, "reviewed"), "closed")
	_, err = s.s.Put(s.ctx, early)
	s.is(err, flow.ErrStale)

	record, err := s.s.Case(s.ctx, id)
	s.ok(err)
	s.equal("case", record, second.Case.Record)
	s.claimNone("epr")
	ids, err := s.s.Find(s.ctx, late.Refs[0])
	s.ok(err)
	s.equal("cases found by a reference of the stale change", len(ids), 0)
	story, err := s.s.Story(s.ctx, id)
	s.ok(err)
	s.equal("events in the story", len(story), 2)
}

func (s *suite) applied() {
	c := Request("one")
	s.put(c)
	id := c.Case.Record.ID
	answer := next(c, "answered", delivery(id, "gp", "answer"))
	answer.Applied = "message 7"
	s.put(answer)
	again := next(answer, "answered", delivery(id, "gp", "answer again"))
	again.Applied = "message 7"
	s.put(again)

	record, err := s.s.Case(s.ctx, id)
	s.ok(err)
	s.equal("version", record.Version, int64(2))
	s.equal("delivery", s.claimOne("gp").Key, "answer")
	s.claimNone("gp")
}

// divided changes cannot be one commit: a caller's fault must not become half a change.
func (s *suite) divided() {
	c := Request("one")
	elsewhere := flow.NewID((c.Partition()+1)%flow.Partitions, "elsewhere")
	c.Deliveries = []flow.Delivery{delivery(elsewhere, "epr", "divided")}
	if _, err := s.s.Put(s.ctx, c); err == nil {
		s.Fatal("a change over two partitions was taken")
	}
	_, err := s.s.Case(s.ctx, c.Case.Record.ID)
	s.is(err, flow.ErrNotFound)
}

func (s *suite) concurrentRepeat() {
	const copies = 16
	receipts := make([]flow.Receipt, copies)
	var all sync.WaitGroup
	for i := range copies {
		all.Go(func() {
			r, err := s.s.Put(s.ctx, Request("one", "epr"))
			if err != nil {
				s.Error(err)
			}
			receipts[i] = r
		})
	}
	all.Wait()
	firsts := 0
	for _, r := range receipts {
		if !r.Repeat {
			firsts++
		}
		r.Repeat = false
		s.equal("receipt", r, Request("one").Message.Receipt)
	}
	s.equal("receipts that are no repeat", firsts, 1)
	s.done(s.claimOne("epr"))
	s.claimNone("epr")
}

func (s *suite) refuse() {
	c := Request("one", "epr")
	refused := *c.Message
	refused.ID, refused.Case = flow.NewID(c.Partition(), "refused", "one"), flow.ID{}
	refused.Receipt = flow.Receipt{Message: refused.ID, Answer: []byte("MSA|AE|one"), Refused: true, Kind: "value"}
	s.ok(s.s.Refuse(s.ctx, refused))
	s.ok(s.s.Refuse(s.ctx, refused))

	m, err := s.s.Message(s.ctx, refused.ID)
	s.ok(err)
	s.equal("refused message", m, refused)
	_, err = s.s.Receipt(s.ctx, *c.Idem)
	s.is(err, flow.ErrNotFound)
	s.equal("a repeat", s.put(c).Repeat, false)
	s.done(s.claimOne("epr"))
}

func (s *suite) reopened() {
	c := Request("one", "epr")
	s.put(c)
	s.put(next(c, "answered"))
	s.s = s.reopen()

	r := s.put(c)
	s.equal("answer", string(r.Answer), string(c.Message.Receipt.Answer))
	s.equal("repeat", r.Repeat, true)
	record, err := s.s.Case(s.ctx, c.Case.Record.ID)
	s.ok(err)
	s.equal("version", record.Version, int64(2))
	ids, err := s.s.Find(s.ctx, c.Refs[0])
	s.ok(err)
	s.equal("cases found", ids, []flow.ID{c.Case.Record.ID})
	s.equal("delivery", s.claimOne("epr").Key, "epr of one")
}

// references: a UBRN is shared by an advice request and the referral it became.
func (s *suite) references() {
	ubrn := flow.Ref{System: "ubrn", Value: "000049752341"}
	var want []flow.ID
	for _, name := range []string{"advice", "referral"} {
		c := Request(name)
		c.Refs = append(c.Refs, ubrn)
		s.put(c)
		want = append(want, c.Case.Record.ID)
		ids, err := s.s.Find(s.ctx, flow.Ref{System: "control-id", Value: name})
		s.ok(err)
		s.equal("case by control id", ids, []flow.ID{c.Case.Record.ID})
	}
	ids, err := s.s.Find(s.ctx, ubrn)
	s.ok(err)
	slices.SortFunc(ids, compare)
	slices.SortFunc(want, compare)
	s.equal("cases by UBRN", ids, want)
}

func compare(a, b flow.ID) int { return slices.Compare(a[:], b[:]) }

func (s *suite) dangling() {
	c := Request("one")
	c.Case.Record.Version = 7 // never was there
	_, err := s.s.Put(s.ctx, c)
	s.is(err, flow.ErrStale)
	ids, err := s.s.Find(s.ctx, c.Refs[0])
	s.ok(err)
	s.equal("cases found", len(ids), 0)

	s.put(Request("one"))
	ids, err = s.s.Find(s.ctx, c.Refs[0])
	s.ok(err)
	s.equal("cases found", ids, []flow.ID{c.Case.Record.ID})
}
