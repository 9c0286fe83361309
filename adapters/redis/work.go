package redis

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Claim leases up to n due deliveries of a destination, the head of each lane only, urgent lanes first. One
// round trip looks at all partitions; a second, made only when something is due, claims the best of them.
func (s *Store) Claim(ctx context.Context, to string, n int, lease time.Duration) ([]flow.Delivery, error) {
	return s.claimOf(ctx, to, n, lease, flow.ClassRoutine)
}

// ClaimUrgent claims as Claim does, urgent lanes alone.
func (s *Store) ClaimUrgent(ctx context.Context, to string, n int, lease time.Duration) ([]flow.Delivery, error) {
	return s.claimOf(ctx, to, n, lease, flow.ClassUrgent)
}

func (s *Store) claimOf(ctx context.Context, to string, n int, lease time.Duration, least int) ([]flow.Delivery, error) {
	if least == flow.ClassRoutine {
		if due := s.seen.take(to, n); len(due) > 0 {
			claimed, err := s.claim(ctx, to, due, lease)
			if len(claimed) < len(due) {
				s.seen.met(to)
			}
			if err != nil || len(claimed) > 0 {
				return claimed, nil // what failed is tried at the next claim
			}
		}
	}
	due, err := s.due(ctx, to, n, least)
	if err != nil || len(due) == 0 {
		return nil, err
	}
	claimed, err := s.claim(ctx, to, due, lease)
	if len(claimed) > 0 {
		return claimed, nil // they are leased: what failed beside them is tried at the next claim
	}
	return nil, err
}

// dueLane is a lane that may be claimed.
type dueLane struct {
	class, partition int
	due              float64 // µs since 1970
	name             string
}

// due looks for lanes that are due, of the least class or a more urgent one: up to n, best first. A
// cluster of which one node is away gives those of the others.
func (s *Store) due(ctx context.Context, to string, n, least int) ([]dueLane, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	var mu sync.Mutex
	var out []dueLane
	var paused, asked bool
	err := s.eachNode(ctx, allPartitions(), func(ctx context.Context, at node) error {
		lanes, stop, err := s.look(ctx, at, to, n, least)
		mu.Lock()
		defer mu.Unlock()
		out, paused = append(out, lanes...), paused || stop
		asked = asked || err == nil && slices.Contains(at.partitions, 0) // where pauses are kept
		return err
	})
	if !asked || paused || err != nil && len(out) == 0 {
		return nil, err
	}
	slices.SortFunc(out, func(a, b dueLane) int {
		return cmp.Or(a.class-b.class, cmp.Compare(a.due, b.due), cmp.Compare(a.partition, b.partition), cmp.Compare(a.name, b.name))
	})
	out = slices.Compact(out) // a node that was asked again, since another had moved
	due, left := out[:min(n, len(out))], out[min(n, len(out)):]
	if least == flow.ClassRoutine {
		s.seen.keep(to, left)
	} else {
		s.seen.drop(to, due)
	}
	return due, nil
}

// lookTime is how long a look at all nodes may take.
const lookTime = 3 * time.Second

// look looks on one node, by the clocks of its partitions.
func (s *Store) look(ctx context.Context, at node, to string, n, least int) (lanes []dueLane, paused bool, err error) {
	heads := make([][]*redis.ZSliceCmd, len(at.partitions))
	var clock *redis.TimeCmd
	var stop *redis.BoolCmd
	clocks := s.clocks.stale(at.partitions)
	_, err = at.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, part := range at.partitions {
			if part == 0 {
				stop = p.HExists(ctx, key(0, "paused"), to)
			}
			for _, k := range ready(part, to)[:least+1] {
				heads[i] = append(heads[i], p.ZRangeWithScores(ctx, k, 0, int64(n-1)))
			}
		}
		clocks.ask(ctx, p)
		clock = p.Time(ctx)
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, false, fault(err)
	}
	clocks.keep()
	for i, classes := range heads {
		now := float64(s.clocks.now(at.partitions[i], clock.Val().UnixMicro()))
		for class, cmd := range classes {
			for _, z := range cmd.Val() {
				if z.Score <= now {
					lanes = append(lanes, dueLane{class, at.partitions[i], z.Score, z.Member.(string)})
				}
			}
		}
	}
	return lanes, stop != nil && stop.Val(), nil
}

// claim claims lanes, in one round trip, and gives what it got in their order.
func (s *Store) claim(ctx context.Context, to string, due []dueLane, lease time.Duration) ([]flow.Delivery, error) {
	token := newToken()
	var calls []*call
	var of [flow.Partitions]*call
	for _, l := range due {
		if of[l.partition] == nil {
			of[l.partition] = s.call(l.partition).key(destination(l.partition, to)...).arg(to, lease.Microseconds(), token)
			calls = append(calls, of[l.partition])
		}
		of[l.partition].arg(l.name)
	}
	var all []taken
	var troubles []error
	for _, cmd := range s.runAll(ctx, s.scripts.claim, calls) {
		got, err := s.read(cmd)
		all, troubles = append(all, got...), append(troubles, err)
	}
	slices.SortFunc(all, func(a, b taken) int { return cmp.Or(a.class-b.class, cmp.Compare(a.due, b.due)) })
	out := make([]flow.Delivery, len(all))
	for i, t := range all {
		out[i] = t.Delivery
	}
	return out, errors.Join(troubles...)
}

// taken is a claimed delivery with its lane's place among the due ones.
type taken struct {
	class int
	due   int64
	flow.Delivery
}

// read reads what lua/claim.lua gives.
func (s *Store) read(cmd *redis.Cmd) ([]taken, error) {
	rows, err := cmd.Slice()
	if err != nil {
		return nil, fault(err)
	}
	var out []taken
	for _, row := range rows {
		f, ok := row.([]any)
		if !ok || len(f) != 6 {
			return out, fmt.Errorf("redis: a claim answers %T", row)
		}
		text := func(i int) string { t, _ := f[i].(string); return t }
		id, err := flow.ParseID(text(5))
		if err != nil {
			return out, fmt.Errorf("redis: a claim of no delivery: %w", err)
		}
		d, err := s.packer.whole(id, text(2), text(3), text(4))
		if err != nil {
			return out, err
		}
		class, _ := strconv.Atoi(text(0))
		due, _ := strconv.ParseInt(text(1), 10, 64)
		out = append(out, taken{class, due, d})
	}
	return out, nil
}

// Renew makes the lease end a lease from now.
func (s *Store) Renew(ctx context.Context, d flow.Delivery, lease time.Duration) error {
	p := d.ID.Partition()
	return s.settled(ctx, s.scripts.renew, s.call(p).key(destination(p, d.To)...).arg(d.ID.String(), d.Fence, lease.Microseconds()))
}

// SaveStep keeps a step; one of the same name takes the place of the old.
func (s *Store) SaveStep(ctx context.Context, d flow.Delivery, done flow.Step) error {
	text, err := json.Marshal(done)
	if err != nil {
		return err
	}
	return s.settled(ctx, s.scripts.step, s.call(d.ID.Partition()).arg(d.ID.String(), d.Fence, done.Name, text))
}

// Settle ends an attempt and commits o.Change with it.
func (s *Store) Settle(ctx context.Context, d flow.Delivery, o flow.Outcome) error {
	if err := o.Check(d); err != nil {
		return err
	}
	call, err := s.settlement(d, o)
	if err != nil {
		return err
	}
	if o.Change != nil {
		call.behind(references(*o.Change))
	}
	if !d.Case.IsZero() {
		call.behind(leading(o.Refs, d.Case))
	}
	err = s.settled(ctx, s.scripts.settle, call)
	if o.Change != nil {
		s.seen.forget(o.Change.Deliveries)
	}
	return err
}

// settlement makes the call of lua/settle.lua.
func (s *Store) settlement(d flow.Delivery, o flow.Outcome) (*call, error) {
	after := d.Settled(o)
	p := d.ID.Partition()
	w := writer{call: s.call(p).key(destination(p, d.To)...)}
	cause, attempt, note, wait := "", "", "", time.Duration(0)
	if after.Cause != nil {
		cause = w.json(after.Cause)
	}
	if after.Attempt != d.Attempt {
		attempt = strconv.Itoa(after.Attempt)
	}
	if after.Note != d.Note {
		note = after.Note
	}
	if after.State == flow.Waiting {
		wait = o.After
	}
	hold := 0
	if o.Hold && after.State == flow.Parked {
		hold = 1
	}
	w.arg(d.ID.String(), d.Fence, string(after.State), wait.Microseconds(), cause, attempt, note, hold)
	if w.err != nil || o.Change == nil {
		return w.arg(0), w.err
	}
	return w.call, s.arguments(w.arg(1), *o.Change)
}
