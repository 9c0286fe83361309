package adaptertest

import (
	"strings"
	"sync"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

func (s *suite) replay() {
	s.queue("a", "epr", 1)
	d := s.claimOne("epr")
	s.ok(s.s.SaveStep(s.ctx, d, flow.Step{Name: "A020", At: start}))
	s.settle(d, flow.Outcome{Result: flow.Unknown})

	// A person looked at the far side, and found what the call that got no answer had made.
	found := flow.Step{Name: "A044", At: start, Data: map[string]string{"ubrn": "000049752341"}}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if err := s.act(flow.Act{Verb: "replay", ID: d.ID, Key: "press 1", Step: &found}); err != nil {
				s.Error(err)
			}
		})
	}
	both.Wait()
	again := s.claimOne("epr")
	s.claimNone("epr")
	s.equal("key", again.Key, d.Key)
	s.equal("body", string(again.Body.Inline), string(d.Body.Inline))
	s.equal("attempt", again.Attempt, 1)
	s.equal("steps", again.Steps, []flow.Step{{Name: "A020", At: start}, found})
	if again.Fence <= d.Fence {
		s.Fatalf("fence %d after %d", again.Fence, d.Fence)
	}
	s.done(again)
	s.ok(s.act(flow.Act{Verb: "replay", ID: d.ID, Key: "press 1"}))
	s.claimNone("epr")

	story, err := s.s.Story(s.ctx, d.Case)
	s.ok(err)
	s.equal("events", len(story), 2)
	told := story[1]
	s.equal("event", told.What, "act")
	s.equal("event is about", told.Ref, d.ID.String())
	for _, want := range []string{"replay", "nurse@example", "the far side is mended"} {
		if !strings.Contains(told.Text, want) {
			s.Errorf("%q does not tell %q", told.Text, want)
		}
	}
}

func (s *suite) replayOrder() {
	s.queue("a", "epr", 3)
	parked := s.park("epr")
	second := s.claimOne("epr")
	s.settle(second, flow.Outcome{Result: flow.Retry, After: time.Hour})
	s.ok(s.act(flow.Act{Verb: "replay", ID: parked.ID}))
	d := s.claimOne("epr")
	s.equal("first again", d.Key, "a 0")
	s.done(d)
	s.claimNone("epr") // the second still waits its hour
}

func (s *suite) replayBehindClaimed() {
	s.queue("a", "epr", 2)
	parked := s.park("epr")
	second := s.claimOne("epr")
	s.ok(s.act(flow.Act{Verb: "replay", ID: parked.ID}))
	s.claimNone("epr")
	s.settle(second, flow.Outcome{Result: flow.Retry, After: time.Millisecond})
	time.Sleep(5 * time.Millisecond)
	d := s.eventually("epr")
	s.equal("before the one that is tried again", d.Key, "a 0")
	s.done(d)
	s.equal("then", s.eventually("epr").Key, "a 1")
}

func (s *suite) discardResolve() {
	s.queue("a", "epr", 3)
	first, second := s.park("epr"), s.park("epr")
	s.ok(s.act(flow.Act{Verb: "discard", ID: first.ID}))
	s.ok(s.act(flow.Act{Verb: "resolve", ID: second.ID}))
	s.equal("discarded", s.delivery(first.ID).State, flow.Discarded)
	s.equal("resolved", s.delivery(second.ID).State, flow.Done)

	// What waits for a destination that never comes back can be discarded too; its lane goes on.
	waiting := s.claimOne("epr")
	more := next(Request("a"), "submitted", delivery(waiting.Case, "epr", "a 3"))
	s.put(more)
	s.settle(waiting, flow.Outcome{Result: flow.Retry, After: time.Hour})
	s.ok(s.act(flow.Act{Verb: "discard", ID: waiting.ID}))
	s.equal("discarded", s.delivery(waiting.ID).State, flow.Discarded)
	s.equal("next", s.claimOne("epr").Key, "a 3")
}

func (s *suite) redirect() {
	s.queue("a", "epr", 1)
	d := s.park("epr")
	s.ok(s.act(flow.Act{Verb: "redirect", ID: d.ID, To: "new-epr"}))
	s.claimNone("epr")
	moved := s.claimOne("new-epr")
	s.equal("same delivery", moved.ID, d.ID)
	s.equal("destination", moved.To, "new-epr")
	s.equal("key", moved.Key, d.Key)
	s.done(moved)
	ds, err := s.s.Deliveries(s.ctx, flow.DeliveryQuery{To: "epr"})
	s.ok(err)
	s.equal("deliveries to the old", len(ds), 0)
}

func (s *suite) pause() {
	s.queue("a", "epr", 1)
	s.queue("b", "platform", 1)
	s.ok(s.act(flow.Act{Verb: "pause", To: "epr"}))
	s.ok(s.act(flow.Act{Verb: "pause", To: "epr"}))
	s.claimNone("epr")
	s.claimOne("platform")
	paused, err := s.s.Paused(s.ctx)
	s.ok(err)
	s.equal("paused", paused, map[string]bool{"epr": true})
	s.s = s.reopen()
	s.claimNone("epr")
	s.ok(s.act(flow.Act{Verb: "resume", To: "epr"}))
	s.claimOne("epr")
	paused, err = s.s.Paused(s.ctx)
	s.ok(err)
	s.equal("paused", len(paused), 0)
}

func (s *suite) badActs() {
	s.queue("a", "epr", 1)
	d := s.claimOne("epr")
	s.refused(s.act(flow.Act{Verb: "replay", ID: d.ID}), issue.Conflict)
	s.done(d)
	s.refused(s.act(flow.Act{Verb: "discard", ID: d.ID}), issue.Conflict)
	s.equal("state", s.delivery(d.ID).State, flow.Done)
	s.is(s.act(flow.Act{Verb: "replay", ID: flow.NewID(3, "nobody")}), flow.ErrNotFound)
	s.refused(s.s.Act(s.ctx, flow.Act{Verb: "discard", ID: d.ID, Person: "nurse@example"}), issue.Required)
	s.refused(s.s.Act(s.ctx, flow.Act{Verb: "discard", ID: d.ID, Reason: "why not"}), issue.Required)
	s.refused(s.act(flow.Act{Verb: "delete", ID: d.ID}), issue.Code)
	s.refused(s.act(flow.Act{Verb: "pause"}), issue.Required)
}
