package redis

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Act carries out what a person decided, once for each key.
func (s *Store) Act(ctx context.Context, a flow.Act) error {
	if err := a.Check(); err != nil {
		return err
	}
	if a.Key == "" {
		a.Key = rand.Text() // so that a call sent again acts once
	}
	if a.At.IsZero() {
		a.At = time.Now().UTC()
	}
	defer s.seen.forgetAll()
	if a.Verb == "pause" || a.Verb == "resume" {
		return s.pause(ctx, a)
	}
	for {
		moved, err := s.act(ctx, a)
		if err != nil || !moved {
			return err
		}
	}
}

func (s *Store) pause(ctx context.Context, a flow.Act) error {
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	on := 0
	if a.Verb == "pause" {
		on = 1
	}
	return s.settled(ctx, s.scripts.pause, s.call(0).key(key(0, "paused")).arg(hashed(a.Key), text, a.To, on))
}

// act judges an act on a delivery as it is now and carries it out; moved when it was not so any more.
func (s *Store) act(ctx context.Context, a flow.Act) (moved bool, err error) {
	p := a.ID.Partition()
	var record, changing *redis.StringCmd
	var before *redis.BoolCmd
	_, err = s.db.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		record = tx.HGet(ctx, key(p, "delivery"), a.ID.String())
		changing = tx.HGet(ctx, key(p, "state"), a.ID.String())
		before = tx.HExists(ctx, key(p, "act"), hashed(a.Key))
		return nil
	})
	if err != nil {
		return false, fault(err)
	}
	d, err := s.packer.whole(a.ID, record.Val(), changing.Val(), "")
	if err != nil {
		return false, err
	}
	if before.Val() {
		return false, s.tell(ctx, a, d)
	}
	after, err := d.Acted(a)
	if err != nil {
		return false, err
	}
	c, err := s.acting(a, judged{d, after, changing.Val()})
	if err != nil {
		return false, err
	}
	if a.Child != nil {
		c.behind(leading(a.Refs, d.Case))
	}
	reply, err := s.run(ctx, s.scripts.act, c)
	if err != nil || reply[0] == "moved" {
		return err == nil, err
	}
	return false, s.tell(ctx, a, d)
}

// judged is a delivery as an act finds it and as it leaves it, with the text that the finding was read from.
type judged struct {
	before, after flow.Delivery
	seen          string
}

// acting makes the call of lua/act.lua.
func (s *Store) acting(a flow.Act, j judged) (*call, error) {
	p := a.ID.Partition()
	w := writer{call: s.call(p).key(destination(p, j.before.To)...).key(destination(p, j.after.To)...)}
	kept := a
	kept.Child = nil // it is kept as a delivery
	w.arg(hashed(a.Key), w.json(kept), a.ID.String(), j.seen, string(j.after.State), j.after.To, j.after.Attempt, a.After.Microseconds())
	if a.Step != nil {
		w.arg(a.Step.Name, w.json(a.Step))
	} else {
		w.arg("", "")
	}
	if c := a.Child; c != nil {
		w.arg(c.ID.String(), w.kept(s.packer.delivery(*c)), w.json(fresh(*c)))
		w.key(key(p, "bycase", c.Case.String())).key(destination(p, c.To)...)
	} else {
		w.arg("")
	}
	if j.before.Case.Partition() == p {
		w.key(key(p, "story", j.before.Case.String())).arg(j.before.Case.String(), w.kept(s.packer.story([]flow.Event{a.Event()})))
	}
	return w.call, w.err
}

// tell adds an act to the story of a case in another partition than the delivery's.
func (s *Store) tell(ctx context.Context, a flow.Act, d flow.Delivery) error {
	p := d.Case.Partition()
	if d.Case.IsZero() || p == a.ID.Partition() {
		return nil
	}
	event, err := s.packer.story([]flow.Event{a.Event()})
	if err != nil {
		return err
	}
	return s.settled(ctx, s.scripts.tell, s.call(p).key(key(p, "story", d.Case.String())).arg(hashed("told", a.Key), d.Case.String(), event))
}

// Paused gives the destinations that are paused.
func (s *Store) Paused(ctx context.Context) (map[string]bool, error) {
	names, err := s.db.HKeys(ctx, key(0, "paused")).Result()
	if err != nil {
		return nil, fault(err)
	}
	out := map[string]bool{}
	for _, to := range names {
		out[to] = true
	}
	return out, nil
}
