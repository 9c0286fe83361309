package flow_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/bolt"
	"github.com/dermgate/dermgate/gateway/flow"
)

const retain = 84 * 24 * time.Hour

var longAgo = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)

var errCrash = errors.New("the process died here")

// keeper is a store with objects beside it and an audit log. After so many changes it dies, before or after the
// change it dies at.
type keeper struct {
	flow.Store
	objects map[string]bool // "owner/name"
	log     []string
	lives   int // changes until it dies; negative: for ever
	after   bool
	t       *testing.T
}

func newKeeper(t *testing.T) *keeper {
	s, err := bolt.Open(filepath.Join(t.TempDir(), "gateway.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &keeper{Store: s, objects: map[string]bool{}, lives: -1, t: t}
}

// dies runs a change, unless this is where the process ends.
func (k *keeper) dies(change func() error) error {
	if k.lives == 0 {
		if k.after {
			_ = change()
		}
		return errCrash
	}
	k.lives--
	return change()
}

func (k *keeper) Prune(ctx context.Context, r flow.Remains) error {
	return k.dies(func() error { return k.Store.Prune(ctx, r) })
}

func (k *keeper) Of(_ context.Context, owner string) (names []string, _ error) {
	for name := range k.objects {
		if strings.HasPrefix(name, owner+"/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func (k *keeper) Delete(_ context.Context, name string) error {
	return k.dies(func() error {
		owner, _, _ := strings.Cut(name, "/")
		if !slices.ContainsFunc(k.log, func(line string) bool { return strings.Contains(line, owner) }) {
			k.t.Errorf("%s is removed and not audited", name)
		}
		delete(k.objects, name)
		return nil
	})
}

// Collect removes what belongs to nobody, as the gateway does.
func (k *keeper) Collect(ctx context.Context) error {
	for name := range k.objects {
		owner, _, _ := strings.Cut(name, "/")
		id, err := flow.ParseID(owner)
		if err != nil {
			return err
		}
		_, c := k.Case(ctx, id)
		_, m := k.Message(ctx, id)
		if errors.Is(c, flow.ErrNotFound) && errors.Is(m, flow.ErrNotFound) {
			k.log = append(k.log, "collect "+owner)
			if err := k.Delete(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *keeper) retention() flow.Retention {
	return flow.Retention{Store: k, Objects: k, Keep: retain, Batch: 2, Now: time.Now,
		Record: func(_ context.Context, what, why string) error {
			return k.dies(func() error { k.log = append(k.log, what+": "+why); return nil })
		}}
}

// pass takes steps from the beginning of a pass to its end; where the process dies it is started again and goes on
// where the store says.
func (k *keeper) pass() (steps int) {
	k.t.Helper()
	note := `{"in":"cases"}`
	for steps = 1; steps < 1000; steps++ {
		o, err := k.retention().Deliver(k.t.Context(), flow.Delivery{Note: note}, nil)
		if errors.Is(err, errCrash) {
			k.lives = -1
			continue
		}
		if err != nil {
			k.t.Fatal(err)
		}
		if o.Result != flow.Again {
			k.t.Fatalf("a step gives %+v", o)
		}
		if note = o.Note; o.After >= time.Minute {
			return steps
		}
	}
	k.t.Fatal("the pass does not end")
	return 0
}

func (k *keeper) put(c flow.Change) flow.Change {
	k.t.Helper()
	if _, err := k.Store.Put(k.t.Context(), c); err != nil {
		k.t.Fatal(err)
	}
	return c
}

// settle ends the one due delivery of a destination.
func (k *keeper) settle(to string, o flow.Outcome) flow.Delivery {
	k.t.Helper()
	ds, err := k.Claim(k.t.Context(), to, 1, time.Minute)
	if err != nil || len(ds) != 1 {
		k.t.Fatalf("%d due for %s: %v", len(ds), to, err)
	}
	if err := k.Settle(k.t.Context(), ds[0], o); err != nil {
		k.t.Fatal(err)
	}
	return ds[0]
}

// oldCase makes a case that changed last long ago, with two photos and one settled delivery.
func (k *keeper) oldCase(name string, alter func(*flow.Change)) flow.Change {
	k.t.Helper()
	c := adaptertest.Request(name, "epr")
	c.Message.At, c.Case.Record.Index.Changed, c.Case.Record.Index.Ended = longAgo, longAgo, true
	alter(&c)
	k.put(c)
	for _, photo := range []string{"/a", "/b"} {
		k.objects[c.Case.Record.ID.String()+photo] = true
	}
	return c
}

// followUp keeps a message about a case, in a partition of its own, with its work item done.
func (k *keeper) followUp(about flow.ID) flow.Change {
	k.t.Helper()
	c := adaptertest.Request("answer to " + about.String())
	p := c.Partition()
	c.Case, c.Refs, c.Message.Case, c.Message.At = nil, nil, about, longAgo
	c.Deliveries = []flow.Delivery{{ID: flow.NewID(p, "work", about.String()), Case: about, Message: c.Message.ID, To: flow.ToCase,
		Lane: about.String(), Key: c.Message.ID.String(), State: flow.Waiting}}
	k.put(c)
	k.settle(flow.ToCase, flow.Outcome{Result: flow.Delivered})
	k.objects[c.Message.ID.String()+"/raw"] = true
	return c
}

// endless is a delivery that is due one day.
func (k *keeper) endless(c flow.Change, to, what string) flow.Delivery {
	id := flow.NewID(c.Case.Record.ID.Partition(), to)
	return flow.Delivery{ID: id, Case: c.Case.Record.ID, To: to, Lane: id.String(), Key: id.String(), What: what, State: flow.Waiting,
		Created: longAgo, Due: longAgo.Add(24 * time.Hour)}
}

// alarm tells the webhook something.
func (k *keeper) alarm(name string, at time.Time) {
	k.t.Helper()
	k.put(flow.Change{Deliveries: []flow.Delivery{{ID: flow.NewID(3, name), To: flow.ToAlarm, Lane: name, Key: name, State: flow.Waiting, Created: at, Due: at}}})
	k.settle(flow.ToAlarm, flow.Outcome{Result: flow.Delivered})
}

// refusal records a refused message.
func (k *keeper) refusal() flow.ID {
	k.t.Helper()
	m := *adaptertest.Request("refused").Message
	m.ID, m.Case, m.At = flow.NewID(m.ID.Partition(), "refused"), flow.ID{}, longAgo
	m.Receipt = flow.Receipt{Message: m.ID, Refused: true}
	if err := k.Refuse(k.t.Context(), m); err != nil {
		k.t.Fatal(err)
	}
	k.objects[m.ID.String()+"/raw"] = true
	return m.ID
}

func (k *keeper) has(id flow.ID) bool {
	_, c := k.Case(k.t.Context(), id)
	_, m := k.Message(k.t.Context(), id)
	objects, _ := k.Of(k.t.Context(), id.String())
	return c == nil || m == nil || len(objects) > 0
}

func nothing(*flow.Change) {}

// TestRetention: what has ended long ago and is settled goes whole, and nothing else goes.
func TestRetention(t *testing.T) {
	k := newKeeper(t)
	keep := map[string]flow.Change{}
	gone := k.oldCase("gone", nothing)
	k.settle("epr", flow.Outcome{Result: flow.Delivered})
	k.alarm("long ago", longAgo)
	k.alarm("today", time.Now())
	k.put(flow.Change{Deliveries: []flow.Delivery{k.endless(gone, flow.ToClock, "overdue"), k.endless(gone, "ers~poll", "poll")}})
	answer, refused := k.followUp(gone.Case.Record.ID), k.refusal()
	keep["open"] = k.oldCase("open", func(c *flow.Change) { c.Case.Record.Index.Ended = false })
	keep["stopped"] = k.oldCase("stopped", func(c *flow.Change) { c.Case.Record.State = []byte(`{"stopped":"merge"}`) })
	for range keep {
		k.settle("epr", flow.Outcome{Result: flow.Delivered})
	}
	keep["parked"] = k.oldCase("parked", nothing)
	parked := k.settle("epr", flow.Outcome{Result: flow.Refused})
	keep["young"] = k.oldCase("young", func(c *flow.Change) {
		c.Message.At, c.Case.Record.Index.Changed = time.Now(), time.Now().Add(-retain+time.Hour)
	})
	k.settle("epr", flow.Outcome{Result: flow.Delivered})
	keep["waiting"] = k.oldCase("waiting", func(c *flow.Change) { c.Deliveries[0].Due = c.Deliveries[0].Created.Add(time.Hour) })

	if steps := k.pass(); steps < 5 {
		t.Errorf("the pass took %d steps of two", steps)
	}
	for what, id := range map[string]flow.ID{"case": gone.Case.Record.ID, "its message": gone.Message.ID, "its answer": answer.Message.ID, "refusal": refused} {
		if k.has(id) {
			t.Errorf("the %s is still there", what)
		}
	}
	if ds, err := k.Deliveries(t.Context(), flow.DeliveryQuery{ID: answer.Deliveries[0].ID}); err != nil || len(ds) != 0 {
		t.Errorf("the work item of the answer is still there: %v", err)
	}
	if told, err := k.Deliveries(t.Context(), flow.DeliveryQuery{To: flow.ToAlarm}); err != nil || len(told) != 1 || told[0].Key != "today" {
		t.Errorf("%d alarms left, %v", len(told), err)
	}
	for why, c := range keep {
		if _, err := k.Case(t.Context(), c.Case.Record.ID); err != nil {
			t.Errorf("the case that is %s: %v", why, err)
		}
		if _, err := k.Message(t.Context(), c.Message.ID); err != nil {
			t.Errorf("the message of the case that is %s: %v", why, err)
		}
		if objects, _ := k.Of(t.Context(), c.Case.Record.ID.String()); len(objects) != 2 {
			t.Errorf("the case that is %s has %d photos", why, len(objects))
		}
	}
	if len(k.log) != 4 || !strings.Contains(k.log[0], "4 deliveries, 2 objects") {
		t.Errorf("audited: %q", k.log)
	}

	// Discarded by a person, the parked one lets its case go.
	if err := k.Act(t.Context(), flow.Act{Verb: "discard", ID: parked.ID, Person: "nurse@example", Reason: "sent by hand", At: longAgo}); err != nil {
		t.Fatal(err)
	}
	k.pass()
	if k.has(keep["parked"].Case.Record.ID) || k.has(keep["parked"].Message.ID) {
		t.Error("a case whose parked delivery was discarded is still there")
	}
}

// TestRetentionCrashes: the process dies at every change in turn, before it and after it; in the end everything is
// gone that should be, and each removal was audited before it happened.
func TestRetentionCrashes(t *testing.T) {
	for _, after := range []bool{false, true} {
		for lives := range 12 {
			t.Run(fmt.Sprintf("%d %v", lives, after), func(t *testing.T) {
				k := newKeeper(t)
				c := k.oldCase("one", nothing)
				k.settle("epr", flow.Outcome{Result: flow.Delivered})
				answer := k.followUp(c.Case.Record.ID)
				refused := k.refusal()
				k.lives, k.after = lives, after
				k.pass()
				for _, id := range []flow.ID{c.Case.Record.ID, c.Message.ID, answer.Message.ID, refused} {
					if k.has(id) {
						t.Errorf("%s is still there", id)
					}
				}
				if len(k.objects) != 0 {
					t.Errorf("left: %v", k.objects)
				}
			})
		}
	}
}

// TestRetentionIsOne: however many gateways begin it, it is one delivery, which a parked one does not end.
func TestRetentionIsOne(t *testing.T) {
	k := newKeeper(t)
	for range 3 {
		if err := k.retention().Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	d := k.settle(flow.ToPrune, flow.Outcome{Result: flow.Refused})
	if ds, err := k.Claim(t.Context(), flow.ToPrune, 10, time.Minute); err != nil || len(ds) != 0 {
		t.Fatalf("%d more due, %v", len(ds), err)
	}
	if err := k.retention().Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := k.settle(flow.ToPrune, flow.Outcome{Result: flow.Again, After: time.Hour}); again.ID != d.ID {
		t.Fatal("another delivery")
	}
}
