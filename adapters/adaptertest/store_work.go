package adaptertest

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// queue puts a case with several deliveries to one destination, keyed "<name> 0" and so on.
func (s *suite) queue(name, to string, n int) flow.Change {
	s.Helper()
	c := Request(name)
	for i := range n {
		c.Deliveries = append(c.Deliveries, delivery(c.Case.Record.ID, to, fmt.Sprintf("%s %d", name, i)))
	}
	s.put(c)
	return c
}

func (s *suite) laneOrder() {
	s.queue("a", "epr", 3)
	s.queue("b", "epr", 3)
	for i := range 3 {
		ds := s.claim("epr", 10)
		if len(ds) != 2 || ds[0].Lane == ds[1].Lane {
			s.Fatalf("claimed %s, want one of each lane", keys(ds))
		}
		s.claimNone("epr")
		for _, d := range ds {
			if want := strconv.Itoa(i); d.Key[len(d.Key)-1:] != want {
				s.Fatalf("claimed %s in round %d", keys(ds), i)
			}
			s.done(d)
		}
	}
	s.claimNone("epr")
	s.claimNone("platform")
}

func (s *suite) urgentFirst() {
	for i := range 20 {
		s.queue(fmt.Sprintf("routine %d", i), "epr", 1)
	}
	for i := range 3 {
		c := Request(fmt.Sprintf("urgent %d", i), "epr")
		c.Deliveries[0].Class = flow.ClassUrgent
		s.put(c)
	}
	for i, d := range s.claim("epr", 5) {
		if want := i >= 3; (d.Class == flow.ClassRoutine) != want {
			s.Fatalf("claimed class %d as number %d", d.Class, i)
		}
	}
	// An urgent delivery makes its whole lane urgent: what is before it must go first.
	c := s.queue("mixed", "epr", 1)
	urgent := delivery(c.Case.Record.ID, "epr", "urgent")
	urgent.Class = flow.ClassUrgent
	s.put(next(c, "submitted", urgent))
	s.equal("head of the mixed lane", s.claim("epr", 1)[0].Key, "mixed 0")
}

func (s *suite) claimedWhole() {
	c := Request("one", "epr")
	c.Deliveries[0].Body.Inline = []byte("\x00\xff" + string(make([]byte, 60<<10)) + "end") // any bytes, up to the inline limit
	c.Deliveries[0].Note = `{"cursor":"7"}`
	c.Deliveries[0].Parent = flow.NewID(0, "parent")
	s.put(c)
	d := s.claimOne("epr")
	want := c.Deliveries[0]
	want.State, want.Attempt, want.Fence, want.Due = flow.Claimed, 1, d.Fence, d.Due
	s.equal("claimed", d, want)
	if d.Fence <= 0 {
		s.Fatalf("fence %d", d.Fence)
	}
}

func (s *suite) retryKeepsOrder() {
	s.queue("a", "epr", 2)
	d := s.claimOne("epr")
	cause := issue.New(issue.Unavailable, "epr", "no answer")
	s.settle(d, flow.Outcome{Result: flow.Retry, After: 80 * time.Millisecond, Cause: cause})
	s.claimNone("epr") // the second is due, but not its turn
	kept := s.delivery(d.ID)
	s.equal("state", kept.State, flow.Waiting)
	s.equal("cause", *kept.Cause, *cause)

	again := s.eventually("epr")
	s.equal("tried again", again.Key, "a 0")
	s.equal("attempt", again.Attempt, 2)
	s.equal("body", string(again.Body.Inline), string(d.Body.Inline))
	s.done(again)
	s.equal("then", s.claimOne("epr").Key, "a 1")
}

func (s *suite) again() {
	s.queue("poll", "ers-poll", 1)
	d := s.claimOne("ers-poll")
	s.settle(d, flow.Outcome{Result: flow.Retry, After: time.Millisecond, Cause: issue.New(issue.Unavailable, "", "down")})
	d = s.eventually("ers-poll")
	s.equal("attempt after a failure", d.Attempt, 2)
	s.settle(d, flow.Outcome{Result: flow.Again, After: time.Millisecond, Note: "cursor 1"})
	d = s.eventually("ers-poll")
	s.equal("attempt", d.Attempt, 1)
	s.equal("note", d.Note, "cursor 1")
	s.settle(d, flow.Outcome{Result: flow.Again, After: time.Millisecond})
	d = s.eventually("ers-poll")
	s.equal("attempt", d.Attempt, 1)
	s.equal("note", d.Note, "cursor 1")
	if d.Cause != nil {
		s.Fatalf("cause %v after nothing was wrong", d.Cause)
	}
}

func (s *suite) clock() {
	c := Request("one")
	rings := delivery(c.Case.Record.ID, flow.ToClock, "soon")
	rings.Due = rings.Created.Add(150 * time.Millisecond)
	late := delivery(c.Case.Record.ID, flow.ToClock, "late")
	late.Lane, late.Due = "late", late.Created.Add(time.Hour)
	c.Deliveries = []flow.Delivery{late, rings}
	s.put(c)
	s.claimNone(flow.ToClock)
	d := s.eventually(flow.ToClock)
	s.equal("clock", d.Key, "soon")
	s.done(d)
	s.claimNone(flow.ToClock)
}

func (s *suite) leaseOver() {
	s.queue("a", "epr", 2)
	ds, err := s.s.Claim(s.ctx, "epr", 1, 30*time.Millisecond)
	s.ok(err)
	first := ds[0]
	second := s.eventually("epr")
	s.equal("claimed again", second.ID, first.ID)
	s.equal("attempt", second.Attempt, 2)
	if second.Fence <= first.Fence {
		s.Fatalf("fence %d after %d", second.Fence, first.Fence)
	}
	s.is(s.s.SaveStep(s.ctx, first, flow.Step{Name: "A020"}), flow.ErrLease)
	s.is(s.s.Renew(s.ctx, first, lease), flow.ErrLease)
	change := next(Request("a"), "answered")
	s.is(s.s.Settle(s.ctx, first, flow.Outcome{Result: flow.Delivered, Change: &change}), flow.ErrLease)
	record, err := s.s.Case(s.ctx, first.Case)
	s.ok(err)
	s.equal("version of the case", record.Version, int64(1))
	s.done(second)
	s.equal("steps", len(s.delivery(first.ID).Steps), 0)
}

func (s *suite) renew() {
	s.queue("a", "epr", 1)
	ds, err := s.s.Claim(s.ctx, "epr", 1, 100*time.Millisecond)
	s.ok(err)
	s.ok(s.s.Renew(s.ctx, ds[0], lease))
	time.Sleep(150 * time.Millisecond)
	s.claimNone("epr")
	s.done(ds[0])
	s.is(s.s.Renew(s.ctx, ds[0], lease), flow.ErrLease)
}

func (s *suite) settleTwice() {
	c := s.queue("a", "epr", 2)
	d := s.claimOne("epr")
	change := next(c, "answered")
	o := flow.Outcome{Result: flow.Delivered, Change: &change}
	s.settle(d, o)
	s.settle(d, o) // its answer was lost
	s.equal("next", s.claimOne("epr").Key, "a 1")
	s.settle(d, o)
	record, err := s.s.Case(s.ctx, d.Case)
	s.ok(err)
	s.equal("version", record.Version, int64(2))
	story, err := s.s.Story(s.ctx, d.Case)
	s.ok(err)
	s.equal("events", len(story), 2)
}

func (s *suite) settleChange() {
	c := s.queue("a", "epr", 1)
	d := s.claimOne("epr")
	moved := next(c, "withdrawn")
	s.put(moved)

	stale := next(c, "answered", delivery(d.Case, "gp", "answer"))
	o := flow.Outcome{Result: flow.Delivered, Change: &stale}
	s.is(s.s.Settle(s.ctx, d, o), flow.ErrStale)
	s.claimNone("gp")
	s.equal("state", s.delivery(d.ID).State, flow.Claimed)

	decided := next(moved, "answered", delivery(d.Case, "gp", "answer"))
	decided.Refs = []flow.Ref{{System: "ubrn", Value: "1"}}
	o.Change = &decided
	s.settle(d, o)
	s.equal("state", s.delivery(d.ID).State, flow.Done)
	s.equal("delivery of the change", s.claimOne("gp").Key, "answer")
	record, err := s.s.Case(s.ctx, d.Case)
	s.ok(err)
	s.equal("case", record, decided.Case.Record)
	ids, err := s.s.Find(s.ctx, decided.Refs[0])
	s.ok(err)
	s.equal("case by the change's reference", ids, []flow.ID{d.Case})
}

func (s *suite) settleDivided() {
	s.queue("a", "epr", 1)
	d := s.claimOne("epr")
	var other flow.Change
	for i := 0; other.Case == nil || other.Partition() == d.ID.Partition(); i++ {
		other = Request(fmt.Sprintf("elsewhere %d", i))
	}
	if err := s.s.Settle(s.ctx, d, flow.Outcome{Result: flow.Delivered, Change: &other}); err == nil {
		s.Fatal("a change of another partition was settled")
	}
	s.equal("state", s.delivery(d.ID).State, flow.Claimed)
	_, err := s.s.Case(s.ctx, other.Case.Record.ID)
	s.is(err, flow.ErrNotFound)
}

func (s *suite) settleRefs() {
	s.queue("a", "epr", 1)
	d := s.claimOne("epr")
	ref := flow.Ref{System: "ers-request-id", Value: "1234"}
	s.settle(d, flow.Outcome{Result: flow.Again, After: time.Hour, Refs: []flow.Ref{ref}})
	ids, err := s.s.Find(s.ctx, ref)
	s.ok(err)
	s.equal("case by reference", ids, []flow.ID{d.Case})
}

func (s *suite) steps() {
	s.queue("a", "ers", 1)
	d := s.claimOne("ers")
	uploaded := flow.Step{Name: "A020:1", At: start, Data: map[string]string{"location": "Binary/1"}}
	created := flow.Step{Name: "A044", At: start.Add(time.Second), Data: map[string]string{"version": "1"}}
	for _, step := range []flow.Step{uploaded, created, uploaded} {
		s.ok(s.s.SaveStep(s.ctx, d, step))
	}
	updated := created
	updated.Data = map[string]string{"version": "2"}
	s.ok(s.s.SaveStep(s.ctx, d, updated))
	s.settle(d, flow.Outcome{Result: flow.Retry, After: time.Millisecond})
	s.s = s.reopen()
	d = s.eventually("ers")
	got := map[string]flow.Step{}
	for _, step := range d.Steps {
		got[step.Name] = step
	}
	s.equal("number of steps", len(d.Steps), 2)
	s.equal("steps", got, map[string]flow.Step{"A020:1": uploaded, "A044": updated})
}

func (s *suite) parked() {
	s.queue("a", "epr", 2)
	d := s.park("epr")
	s.equal("then", s.claimOne("epr").Key, "a 1")
	s.s = s.reopen()
	kept := s.delivery(d.ID)
	s.equal("state", kept.State, flow.Parked)
	s.equal("cause", kept.Cause.Where, "ServiceRequest.subject")
	s.equal("body", string(kept.Body.Inline), string(d.Body.Inline))
}

func (s *suite) manyLanes() {
	const puts, lanes = 100, 100
	var all sync.WaitGroup
	for p := range puts {
		all.Go(func() {
			c := Request(fmt.Sprintf("case %d", p))
			for l := range lanes {
				d := delivery(c.Case.Record.ID, "epr", fmt.Sprintf("%d %d", p, l))
				d.Lane = d.Key
				c.Deliveries = append(c.Deliveries, d)
			}
			if _, err := s.s.Put(s.ctx, c); err != nil {
				s.Error(err)
			}
		})
	}
	all.Wait()
	seen := map[string]bool{}
	for len(seen) < puts*lanes {
		ds := s.claim("epr", 1000)
		if len(ds) == 0 {
			s.Fatalf("%d deliveries, want %d", len(seen), puts*lanes)
		}
		for _, d := range ds {
			if seen[d.Key] {
				s.Fatalf("%q claimed twice", d.Key)
			}
			seen[d.Key] = true
		}
	}
	s.claimNone("epr")
}

// manyWorkers: order in every lane and no delivery twice, whoever claims.
func (s *suite) manyWorkers() {
	const lanes, deep, workers = 20, 5, 8
	for i := range lanes {
		s.queue(fmt.Sprintf("lane %d", i), "epr", deep)
	}
	var mu sync.Mutex
	got := map[string][]string{}
	total := 0
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); {
				ds, err := s.s.Claim(s.ctx, "epr", 3, lease)
				if err != nil {
					s.Error(err)
					return
				}
				for _, d := range ds {
					mu.Lock()
					got[d.Lane] = append(got[d.Lane], d.Key[len(d.Key)-1:])
					total++
					mu.Unlock()
					if err := s.s.Settle(s.ctx, d, flow.Outcome{Result: flow.Delivered}); err != nil {
						s.Error(err)
					}
				}
				mu.Lock()
				finished := total >= lanes*deep
				mu.Unlock()
				if finished {
					return
				}
			}
		})
	}
	all.Wait()
	s.claimNone("epr")
	s.equal("lanes", len(got), lanes)
	for lane, order := range got {
		s.equal("order in lane "+lane, order, []string{"0", "1", "2", "3", "4"})
	}
}
