package adaptertest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// pruning is what is asked of a store that lets go of what is old.
var pruning = []test{
	{"old cases and messages are found, page by page, and young ones are not", (*suite).old},
	{"pruning takes a case with all that hangs on it, and leaves its neighbour", (*suite).pruned},
	{"a case that changed, or has something to send, is not pruned", (*suite).prunedTooEarly},
	{"a pruned message frees its slot, a refused one takes none with it", (*suite).prunedMessage},
	{"what was applied to a pruned case may be applied again", (*suite).prunedMarks},
	{"prune twice, and of what is nowhere, is no error", (*suite).pruneAgain},
	{"prune over several partitions is refused", (*suite).pruneDivided},
	{"old acts are let go of, page by page, and young ones act once", (*suite).prunedActs},
	{"what is pruned stays gone after reopening, and queues go on", (*suite).prunedReopened},
}

// long is when something happened that is old by any clock.
var long = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)

// ended makes a case that came and ended long ago, and settles its deliveries.
func (s *suite) ended(name string, to ...string) flow.Change {
	s.Helper()
	c := Request(name, to...)
	c.Message.At, c.Case.Record.Index.Changed, c.Case.Record.Index.Ended = long, long, true
	s.put(c)
	for _, each := range to {
		s.done(s.claimOne(each))
	}
	return c
}

// oldCases reads all pages of two.
func (s *suite) oldCases(age time.Duration) (ids []flow.ID) {
	s.Helper()
	for _, r := range pages(s, age, s.s.OldCases) {
		ids = append(ids, r.ID)
	}
	return ids
}

func (s *suite) oldMessages(age time.Duration) (ids []flow.ID) {
	s.Helper()
	for _, m := range pages(s, age, s.s.OldMessages) {
		if len(m.Raw.Inline) != 0 {
			s.Fatal("a listed message comes with its bytes")
		}
		ids = append(ids, m.ID)
	}
	return ids
}

// pages reads what is older, two at a time, to the end.
func pages[T any](s *suite, age time.Duration, list func(context.Context, flow.Old) ([]T, string, error)) (all []T) {
	s.Helper()
	for after, n := "", 0; ; n++ {
		page, next, err := list(s.ctx, flow.Old{Age: age, After: after, Limit: 2})
		s.ok(err)
		if len(page) > 2 || n > 1000 {
			s.Fatalf("page %d has %d", n, len(page))
		}
		all = append(all, page...)
		if after = next; after == "" {
			return all
		}
	}
}

// same wants ids in whatever order.
func (s *suite) same(what string, got []flow.ID, want ...flow.ID) {
	s.Helper()
	compare := func(a, b flow.ID) int { return slices.Compare(a[:], b[:]) }
	slices.SortFunc(got, compare)
	slices.SortFunc(want, compare)
	if !slices.Equal(got, want) {
		s.Fatalf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func (s *suite) old() {
	var cases, messages []flow.ID
	for i := range 7 {
		c := s.ended(fmt.Sprintf("old %d", i))
		cases, messages = append(cases, c.Case.Record.ID), append(messages, c.Message.ID)
	}
	young := Request("young") // of 2031: later than any clock
	s.put(young)
	time.Sleep(20 * time.Millisecond)
	s.same("old cases", s.oldCases(time.Hour), cases...)
	if got := s.oldMessages(time.Millisecond); !containsAll(got, messages) {
		s.Fatalf("old messages %v, want %v among them", got, messages)
	}
	s.same("messages older than anything", s.oldMessages(20*365*24*time.Hour))
}

func containsAll(got, want []flow.ID) bool {
	return !slices.ContainsFunc(want, func(id flow.ID) bool { return !slices.Contains(got, id) })
}

func (s *suite) remains(c flow.Change) flow.Remains {
	r := flow.Remains{Case: &c.Case.Record}
	for _, d := range c.Deliveries {
		r.Deliveries = append(r.Deliveries, d.ID)
	}
	return r
}

func (s *suite) pruned() {
	c, other := s.ended("gone", "epr", "ag"), s.ended("stays", "epr")
	c.Message.Case = c.Case.Record.ID
	s.ok(s.s.Prune(s.ctx, s.remains(c)))
	id := c.Case.Record.ID
	_, err := s.s.Case(s.ctx, id)
	s.is(err, flow.ErrNotFound)
	_, err = s.s.Story(s.ctx, id)
	s.is(err, flow.ErrNotFound)
	found, err := s.s.Find(s.ctx, c.Refs[0])
	s.ok(err)
	s.same("cases by its reference", found)
	for _, q := range []flow.CaseQuery{{}, {Patient: c.Case.Record.Index.Patient}, {Organisation: "A81001"}, {Organisation: "RR8"}} {
		cases, err := s.s.Cases(s.ctx, q)
		s.ok(err)
		for _, r := range cases {
			if r.ID == id {
				s.Fatalf("%+v finds a pruned case", q)
			}
		}
	}
	for _, q := range []flow.DeliveryQuery{{}, {To: "ag"}, {Case: id}, {ID: c.Deliveries[0].ID}, {State: flow.Done, To: "epr"}} {
		ds, err := s.s.Deliveries(s.ctx, q)
		s.ok(err)
		for _, d := range ds {
			if d.Case == id {
				s.Fatalf("%+v finds a delivery of a pruned case", q)
			}
		}
	}
	s.same("old cases", s.oldCases(time.Hour), other.Case.Record.ID)
	s.delivery(other.Deliveries[0].ID)
	story, err := s.s.Story(s.ctx, other.Case.Record.ID)
	s.ok(err)
	s.equal("lines of the neighbour's story", len(story), 1)
}

func (s *suite) prunedTooEarly() {
	c := Request("one", "epr", "ag")
	s.put(c)
	s.is(s.s.Prune(s.ctx, s.remains(c)), flow.ErrStale) // waiting
	d := s.claimOne("epr")
	s.is(s.s.Prune(s.ctx, flow.Remains{Deliveries: []flow.ID{d.ID}}), flow.ErrStale) // claimed
	s.done(d)
	parked := s.park("ag")
	s.is(s.s.Prune(s.ctx, s.remains(c)), flow.ErrStale) // parked
	s.is(s.s.Prune(s.ctx, flow.Remains{Case: &c.Case.Record, Deliveries: []flow.ID{d.ID}}), flow.ErrStale)
	s.ok(s.act(flow.Act{Verb: "discard", ID: parked.ID}))
	s.is(s.s.Prune(s.ctx, flow.Remains{Case: &c.Case.Record}), flow.ErrStale) // not all were named
	moved := next(c, "answered")
	s.put(moved)
	s.is(s.s.Prune(s.ctx, s.remains(c)), flow.ErrStale) // an older version
	s.delivery(d.ID)
	r := s.remains(c)
	r.Case = &moved.Case.Record
	s.ok(s.s.Prune(s.ctx, r))
}

func (s *suite) prunedMessage() {
	c := s.ended("one")
	refused := *c.Message
	refused.ID, refused.Case = flow.NewID(c.Partition(), "refused", "one"), flow.ID{}
	refused.Receipt = flow.Receipt{Message: refused.ID, Refused: true}
	s.ok(s.s.Refuse(s.ctx, refused))
	s.ok(s.s.Prune(s.ctx, flow.Remains{Messages: []flow.Message{refused}}))
	_, err := s.s.Message(s.ctx, refused.ID)
	s.is(err, flow.ErrNotFound)
	receipt, err := s.s.Receipt(s.ctx, *c.Idem)
	s.ok(err)
	s.equal("message of the slot", receipt.Message, c.Message.ID)

	s.ok(s.s.Prune(s.ctx, s.remains(c)))
	s.ok(s.s.Prune(s.ctx, flow.Remains{Messages: []flow.Message{*c.Message}}))
	_, err = s.s.Receipt(s.ctx, *c.Idem)
	s.is(err, flow.ErrNotFound)
	_, err = s.s.Message(s.ctx, c.Message.ID)
	s.is(err, flow.ErrNotFound)
	if got := s.put(c); got.Repeat {
		s.Fatal("a pruned message is still a repeat")
	}
}

func (s *suite) prunedMarks() {
	c := s.ended("one")
	moved := next(c, "answered")
	moved.Applied = "mark"
	s.put(moved)
	r := flow.Remains{Case: &moved.Case.Record, Applied: []string{"mark", "never set"}}
	s.ok(s.s.Prune(s.ctx, r))
	c.Idem, c.Message, c.Applied = nil, nil, "mark"
	s.put(c)
	_, err := s.s.Case(s.ctx, c.Case.Record.ID)
	s.ok(err)
}

func (s *suite) pruneAgain() {
	c := s.ended("one", "epr")
	r := s.remains(c)
	r.Messages = []flow.Message{*c.Message}
	for range 2 {
		s.ok(s.s.Prune(s.ctx, r))
	}
	s.ok(s.s.Prune(s.ctx, flow.Remains{}))
	s.ok(s.s.Prune(s.ctx, s.remains(Request("never there", "epr"))))
}

func (s *suite) pruneDivided() {
	a, b := s.ended("a"), s.ended("b")
	if a.Partition() == b.Partition() {
		s.Fatal("the test needs two partitions")
	}
	if s.s.Prune(s.ctx, flow.Remains{Case: &a.Case.Record, Messages: []flow.Message{*b.Message}}) == nil {
		s.Fatal("pruned over two partitions")
	}
	_, err := s.s.Case(s.ctx, a.Case.Record.ID)
	s.ok(err)
}

func (s *suite) prunedReopened() {
	c := s.ended("gone", "epr")
	s.put(Request("waits", "epr"))
	s.ok(s.s.Prune(s.ctx, s.remains(c)))
	s.s = s.reopen()
	_, err := s.s.Case(s.ctx, c.Case.Record.ID)
	s.is(err, flow.ErrNotFound)
	s.done(s.claimOne("epr"))
	s.claimNone("epr")
}

func (s *suite) prunedActs() {
	var ids []flow.ID
	for i := range 5 {
		s.queue(fmt.Sprint("a", i), "epr", 1)
		d := s.park("epr")
		s.ok(s.act(flow.Act{Verb: "replay", ID: d.ID, Key: fmt.Sprint("old ", i), Person: "nurse@example", Reason: "mended", At: long}))
		s.done(s.claimOne("epr"))
		ids = append(ids, d.ID)
	}
	s.queue("b", "epr", 1)
	young := s.park("epr")
	s.ok(s.act(flow.Act{Verb: "replay", ID: young.ID, Key: "young", Person: "nurse@example", Reason: "mended", At: time.Now()}))
	s.done(s.claimOne("epr"))
	for after, n := "", 0; ; n++ {
		next, err := s.s.PruneActs(s.ctx, flow.Old{Age: 24 * time.Hour, After: after, Limit: 2})
		s.ok(err)
		if after = next; after == "" {
			break
		}
		if n > 1000 {
			s.Fatal("it does not end")
		}
	}
	s.ok(s.act(flow.Act{Verb: "replay", ID: young.ID, Key: "young", Person: "nurse@example", Reason: "mended", At: time.Now()})) // it has acted
	for i, id := range ids {
		if err := s.act(flow.Act{Verb: "replay", ID: id, Key: fmt.Sprint("old ", i)}); err == nil {
			s.Error("an act that was let go of is remembered")
		}
	}
	s.claimNone("epr")
}
