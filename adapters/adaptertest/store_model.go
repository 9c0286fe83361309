package adaptertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// modelled is a delivery as the model knows it: what a store is for, without how it is done.
type modelled struct {
	flow.Delivery
	claims []flow.Delivery // every claim that was given, the last one last
	held   bool            // the last claim is not settled
	over   bool            // its lease has run out
	later  bool            // waiting, due in an hour
	blocks bool            // parked, and holds its lane
	ended  int64           // fence of the last settlement
}

// model is the queue of one destination: its lanes, each in the order in which deliveries came.
type model struct {
	*suite
	to    string
	rnd   *rand.Rand
	cases []flow.Change
	lanes [][]*modelled
	log   []string
}

// agrees runs random interleavings of what workers, their leases and people do to a queue, against the store and the
// model: each call must give what the model says.
func (s *suite) agrees() {
	const runs, steps = 35, 60
	seed := uint64(time.Now().UnixNano())
	for run := range runs {
		m := &model{suite: s, to: fmt.Sprint("epr ", run), rnd: rand.New(rand.NewPCG(seed, uint64(run)))}
		for i := range 3 {
			c := Request(fmt.Sprintf("%s lane %d", m.to, i))
			s.put(c)
			m.cases, m.lanes = append(m.cases, c), append(m.lanes, nil)
		}
		for range steps {
			m.step()
			if s.Failed() {
				break
			}
		}
		m.settled()
		if s.Failed() {
			s.Fatalf("seed %d, run %d:\n%s", seed, run, strings.Join(m.log, "\n"))
		}
	}
}

func (m *model) say(format string, args ...any) { m.log = append(m.log, fmt.Sprintf(format, args...)) }

func (m *model) step() {
	switch n := m.rnd.IntN(100); {
	case n < 20:
		m.enqueue()
	case n < 50:
		m.claims()
	case n < 80:
		m.settles()
	case n < 86:
		m.keeps()
	default:
		m.acts()
	}
}

func (m *model) enqueue() {
	i := m.rnd.IntN(len(m.lanes))
	d := delivery(m.cases[i].Case.Record.ID, m.to, fmt.Sprintf("%d-%d", i, len(m.lanes[i])))
	m.say("put %s", d.Key)
	change := next(m.cases[i], "submitted", d)
	m.cases[i] = change
	m.put(change)
	m.lanes[i] = append(m.lanes[i], &modelled{Delivery: d})
}

// turn gives the delivery of a lane that may be claimed now; nil when there is none.
func turn(lane []*modelled) *modelled {
	for _, d := range lane {
		if d.held { // nothing takes its place, not even an earlier one that came back
			if d.over {
				return d
			}
			return nil
		}
	}
	for _, d := range lane {
		switch {
		case d.blocks, d.State == flow.Waiting && d.later:
			return nil
		case d.State == flow.Waiting:
			return d
		}
	}
	return nil
}

func (m *model) claims() {
	var due []*modelled
	for _, lane := range m.lanes {
		if d := turn(lane); d != nil {
			due = append(due, d)
		}
	}
	n, short := 1+m.rnd.IntN(3), m.rnd.IntN(4) == 0
	last := lease
	if short {
		last = time.Millisecond
	}
	got, err := m.s.Claim(m.ctx, m.to, n, last)
	m.say("claim %d for %v: %s, %v", n, last, keys(got), err)
	if err != nil || len(got) != min(n, len(due)) {
		m.Errorf("claimed %s, %v; due are %d", keys(got), err, len(due))
		return
	}
	if short {
		time.Sleep(2 * time.Millisecond)
	}
	for _, g := range got {
		i := slices.IndexFunc(due, func(d *modelled) bool { return d.ID == g.ID })
		if i < 0 {
			m.Errorf("claimed %s, which is not due", g.Key)
			return
		}
		d := due[i]
		if len(d.claims) > 0 && g.Fence <= d.claims[len(d.claims)-1].Fence {
			m.Errorf("%s: fence %d after %d", g.Key, g.Fence, d.claims[len(d.claims)-1].Fence)
		}
		d.State, d.held, d.over, d.later = flow.Claimed, true, short, false
		d.claims = append(d.claims, g)
	}
}

// one picks a delivery that was claimed at some time, and one of its claims.
func (m *model) one() (*modelled, flow.Delivery, bool) {
	var all []*modelled
	for _, lane := range m.lanes {
		for _, d := range lane {
			if len(d.claims) > 0 {
				all = append(all, d)
			}
		}
	}
	if len(all) == 0 {
		return nil, flow.Delivery{}, false
	}
	d := all[m.rnd.IntN(len(all))]
	if m.rnd.IntN(3) > 0 {
		return d, d.claims[len(d.claims)-1], true
	}
	return d, d.claims[m.rnd.IntN(len(d.claims))], true
}

func (m *model) settles() {
	d, claim, ok := m.one()
	if !ok {
		return
	}
	o := flow.Outcome{Result: []flow.Result{flow.Delivered, flow.Retry, flow.Again, flow.Refused, flow.Unknown}[m.rnd.IntN(5)]}
	if m.rnd.IntN(3) == 0 {
		o.After = time.Hour
	}
	if o.Result == flow.Refused || o.Result == flow.Unknown {
		o.After, o.Hold, o.Cause = 0, m.rnd.IntN(2) == 0, issue.New(issue.Value, "PID-3", "refused")
	}
	err := m.s.Settle(m.ctx, claim, o)
	m.say("settle %s under %d: %s after %v hold %v: %v", d.Key, claim.Fence, o.Result, o.After, o.Hold, err)
	switch mine := d.held && claim.Fence == d.claims[len(d.claims)-1].Fence; {
	case !mine && claim.Fence == d.ended:
		m.want(err, nil) // the answer of the first was lost
	case !mine:
		m.want(err, flow.ErrLease)
	default:
		m.want(err, nil)
		d.held, d.ended = false, claim.Fence
		switch o.Result {
		case flow.Delivered:
			d.State = flow.Done
		case flow.Retry, flow.Again:
			d.State, d.later = flow.Waiting, o.After > 0
		default:
			d.State, d.blocks = flow.Parked, o.Hold
		}
	}
}

// keeps renews a lease or keeps a step.
func (m *model) keeps() {
	d, claim, ok := m.one()
	if !ok {
		return
	}
	mine := d.held && claim.Fence == d.claims[len(d.claims)-1].Fence
	var err error
	if m.rnd.IntN(2) == 0 {
		err = m.s.Renew(m.ctx, claim, lease)
		if mine && err == nil {
			d.over = false
		}
		m.say("renew %s under %d: %v", d.Key, claim.Fence, err)
	} else {
		err = m.s.SaveStep(m.ctx, claim, flow.Step{Name: "A020"})
		m.say("step of %s under %d: %v", d.Key, claim.Fence, err)
	}
	if mine {
		m.want(err, nil)
	} else {
		m.want(err, flow.ErrLease)
	}
}

func (m *model) acts() {
	lane := m.lanes[m.rnd.IntN(len(m.lanes))]
	if len(lane) == 0 {
		return
	}
	d := lane[m.rnd.IntN(len(lane))]
	verb := []string{"replay", "discard", "resolve"}[m.rnd.IntN(3)]
	err := m.act(flow.Act{Verb: verb, ID: d.ID})
	m.say("%s %s: %v", verb, d.Key, err)
	allowed := d.State == flow.Parked || verb == "discard" && d.State == flow.Waiting
	var refused *issue.Issue
	if !allowed {
		if !errors.As(err, &refused) || refused.Kind != issue.Conflict {
			m.Errorf("%s of what is %s: %v", verb, d.State, err)
		}
		return
	}
	m.want(err, nil)
	d.blocks, d.later = false, false
	d.State = map[string]flow.State{"replay": flow.Waiting, "discard": flow.Discarded, "resolve": flow.Done}[verb]
}

func (m *model) want(err, want error) {
	if !errors.Is(err, want) {
		m.Errorf("error %v, want %v", err, want)
	}
}

// settled compares the state of every delivery at the end.
func (m *model) settled() {
	for _, lane := range m.lanes {
		for _, d := range lane {
			if got := m.delivery(d.ID).State; got != d.State {
				m.Errorf("%s is %s, want %s", d.Key, got, d.State)
			}
		}
	}
}
