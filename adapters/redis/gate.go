package redis

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	randv2 "math/rand/v2"

	"github.com/redis/go-redis/v9"

	"github.com/dermgate/dermgate/gateway/flow"
)

var _ flow.Gate = (*Store)(nil)

// Enter asks to begin deliveries to a destination, for all replicas together.
func (s *Store) Enter(ctx context.Context, to string, n int, l flow.Limit) (flow.Pass, error) {
	l = l.Filled()
	p := flow.Pass{Token: rand.Text()}
	c := s.call(0).key(key(0, "gate", to), key(0, "busy", to))
	c.arg(p.Token, n, l.Lease.Microseconds(), l.Interval().Microseconds(), l.Burst(), l.Together)
	got, err := s.numbers(ctx, s.scripts.enter, c, 5)
	if err != nil {
		return flow.Pass{}, err
	}
	p.N, p.Wait = int(got[0]), time.Duration(got[1])*time.Microsecond
	p.Probe, p.Open, p.Amiss = got[2] == 1, got[3] == 1, got[4] == 1
	return p, nil
}

// Leave tells how they came to their end.
func (s *Store) Leave(ctx context.Context, to string, l flow.Limit, e flow.Leaving) (flow.Verdict, error) {
	l = l.Filled()
	c := s.call(0).key(key(0, "gate", to), key(0, "busy", to), key(0, "failing", to))
	c.arg(e.Token, e.From, e.To, string(e.End), hashed(e.Lane), l.Lease.Microseconds(), l.Interval().Microseconds(), l.Lanes, l.Failures,
		l.First.Microseconds(), l.Longest.Microseconds(), 0.5+randv2.Float64()/2, e.After.Microseconds())
	got, err := s.numbers(ctx, s.scripts.leave, c, 3)
	if err != nil {
		return flow.Verdict{}, err
	}
	return flow.Verdict{Open: got[0] == 1, Wait: time.Duration(got[1]) * time.Microsecond, Changed: got[2] == 1}, nil
}

// numbers runs a script whose answer is n numbers. What it writes need not outlive the master: a permit or a verdict
// that is lost is asked for again.
func (s *Store) numbers(ctx context.Context, script *redis.Script, c *call, n int) ([]int64, error) {
	reply, err := script.Run(ctx, s.db, c.keys, c.args...).Slice()
	if err != nil {
		return nil, fault(err)
	}
	if len(reply) != n {
		return nil, fmt.Errorf("redis: a script answers %d numbers, want %d", len(reply), n)
	}
	out := make([]int64, n)
	for i, v := range reply {
		if out[i], err = strconv.ParseInt(fmt.Sprint(v), 10, 64); err != nil {
			return nil, fmt.Errorf("redis: a script answers %T", v)
		}
	}
	return out, nil
}
