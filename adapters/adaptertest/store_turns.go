package adaptertest

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

func (s *suite) urgentAlone() {
	s.queue("routine", "epr", 2)
	urgent := Request("urgent", "epr")
	urgent.Deliveries[0].Class = flow.ClassUrgent
	s.put(urgent)
	ds, err := s.s.ClaimUrgent(s.ctx, "epr", 5, lease)
	s.ok(err)
	if len(ds) != 1 || ds[0].Key != "epr of urgent" {
		s.Fatalf("claimed %s", keys(ds))
	}
	s.equal("then", s.claimOne("epr").Key, "routine 0")
}

// turns: a lane that is deep does not keep the others waiting until it is empty.
func (s *suite) turns() {
	s.queue("deep", "epr", 6)
	s.queue("a", "epr", 1)
	s.queue("b", "epr", 2)
	var order []string
	for range 9 {
		d := s.claim("epr", 1)[0]
		order = append(order, d.Key)
		s.done(d)
	}
	s.equal("order", order, []string{"deep 0", "a 0", "b 0", "deep 1", "b 1", "deep 2", "deep 3", "deep 4", "deep 5"})
}

func (s *suite) replayLater() {
	s.queue("a", "epr", 2)
	parked := s.park("epr")
	s.ok(s.act(flow.Act{Verb: "replay", ID: parked.ID, After: 150 * time.Millisecond}))
	s.claimNone("epr") // the second is behind it again
	s.equal("state", s.delivery(parked.ID).State, flow.Waiting)
	d := s.eventually("epr")
	s.equal("first", d.Key, "a 0")
	s.done(d)
	s.equal("then", s.claimOne("epr").Key, "a 1")
}

func (s *suite) child() {
	s.queue("a", "epr", 3)
	parked := s.park("epr")
	child := delivery(parked.Case, "epr", "anew")
	child.Parent, child.Body.Inline = parked.ID, []byte("mended")
	act := flow.Act{Verb: "replay", ID: parked.ID, Key: "press", Child: &child, Refs: []flow.Ref{{System: "control-id", Value: "anew"}}}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if err := s.act(act); err != nil {
				s.Error(err)
			}
		})
	}
	both.Wait()
	s.ok(s.act(act))
	s.equal("the parent", s.delivery(parked.ID).State, flow.Discarded)
	s.equal("its body", string(s.delivery(parked.ID).Body.Inline), string(parked.Body.Inline))
	s.s = s.reopen()
	for i, want := range []string{"anew", "a 1", "a 2"} {
		d := s.claimOne("epr")
		s.equal(fmt.Sprint("delivery ", i), d.Key, want)
		if i == 0 {
			s.equal("parent", d.Parent, parked.ID)
			s.equal("body", string(d.Body.Inline), "mended")
		}
		s.done(d)
	}
	s.claimNone("epr")
	ids, err := s.s.Find(s.ctx, act.Refs[0])
	s.ok(err)
	s.equal("case by the child's key", ids, []flow.ID{parked.Case})
	ds, err := s.s.Deliveries(s.ctx, flow.DeliveryQuery{Case: parked.Case})
	s.ok(err)
	s.equal("deliveries of the case", len(ds), 4)
	story, err := s.s.Story(s.ctx, parked.Case)
	s.ok(err)
	if told := story[len(story)-1].Text; !strings.Contains(told, child.ID.String()) {
		s.Errorf("%q does not name the child", told)
	}
	elsewhere, again := child, s.park1("b")
	elsewhere.ID = flow.NewID(again.ID.Partition()+1, "elsewhere")
	if err := s.act(flow.Act{Verb: "replay", ID: again.ID, Child: &elsewhere}); err == nil {
		s.Error("a child in another partition cannot be one commit")
	}
}

// park1 parks the only delivery of a new case.
func (s *suite) park1(name string) flow.Delivery {
	s.queue(name, "epr", 1)
	return s.park("epr")
}

// holds: what is behind a parked delivery waits for a person, whatever the person then decides.
func (s *suite) holds() {
	child := func(d flow.Delivery) *flow.Delivery {
		c := delivery(d.Case, "epr", d.Key+" anew")
		c.Parent = d.ID
		return &c
	}
	for name, test := range map[string]struct {
		act   func(flow.Delivery) flow.Act
		first string // that comes then
	}{
		"replay":   {func(flow.Delivery) flow.Act { return flow.Act{Verb: "replay"} }, "replay 0"},
		"child":    {func(d flow.Delivery) flow.Act { return flow.Act{Verb: "replay", Child: child(d)} }, "child 0 anew"},
		"discard":  {func(flow.Delivery) flow.Act { return flow.Act{Verb: "discard"} }, "discard 1"},
		"resolve":  {func(flow.Delivery) flow.Act { return flow.Act{Verb: "resolve"} }, "resolve 1"},
		"redirect": {func(flow.Delivery) flow.Act { return flow.Act{Verb: "redirect", To: "new-epr"} }, "redirect 1"},
	} {
		c := s.queue(name, "epr", 2)
		d := s.claimOne("epr")
		s.settle(d, flow.Outcome{Result: flow.Refused, Cause: issue.New(issue.Value, "PID-3", "refused"), Hold: true})
		s.equal(name+": state", s.delivery(d.ID).State, flow.Parked)
		s.claimNone("epr")
		more := delivery(d.Case, "epr", name+" 2") // an urgent one that comes later changes nothing about the order
		more.Class = flow.ClassUrgent
		s.put(next(c, "submitted", more))
		s.claimNone("epr")
		s.s = s.reopen()
		s.claimNone("epr")
		act := test.act(d)
		act.ID = d.ID
		s.ok(s.act(act))
		got := s.claimOne("epr")
		s.equal(name+": first", got.Key, test.first)
		s.done(got)
		for len(s.claim("epr", 1)) == 1 { // the rest, to leave the destination empty
			s.empty("epr")
		}
	}
}

// empty ends all that is claimed or waits for a destination.
func (s *suite) empty(to string) {
	ds, err := s.s.Deliveries(s.ctx, flow.DeliveryQuery{To: to, State: flow.Claimed})
	s.ok(err)
	for _, d := range ds {
		s.done(d)
	}
}

func (s *suite) marks() {
	s.ok(s.s.Mark(s.ctx, "alarm", "destination-down:epr", 0, 1))
	s.ok(s.s.Mark(s.ctx, "alarm", "destination-down:epr", 0, 1)) // its answer was lost
	s.is(s.s.Mark(s.ctx, "alarm", "destination-down:epr", 0, 2), flow.ErrStale)
	s.ok(s.s.Mark(s.ctx, "alarm", "destination-down:epr", 1, 2))
	for _, at := range []int64{1_800_000_000_000, 1_700_000_000_000, 1_800_000_000_001} {
		s.ok(s.s.Mark(s.ctx, "heard", "gp", -1, at))
	}
	s.s = s.reopen()
	alarms, err := s.s.Marks(s.ctx, "alarm")
	s.ok(err)
	s.equal("alarms", alarms, map[string]int64{"destination-down:epr": 2})
	heard, err := s.s.Marks(s.ctx, "heard")
	s.ok(err)
	s.equal("heard", heard, map[string]int64{"gp": 1_800_000_000_001})
	none, err := s.s.Marks(s.ctx, "nothing")
	s.ok(err)
	s.equal("marks of no kind", len(none), 0)
}
