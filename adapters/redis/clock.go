package redis

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dermgate/dermgate/gateway/flow"
)

// clocks is what is known of the partitions' clocks, which go on where a server's was set back (lua/lib.lua): for each the
// latest time that was written down, and by how much it is ahead of the server's, in µs. What is a few seconds old makes a
// look at what is due miss something for that long: a claim asks the script, which knows.
type clocks struct {
	last, ahead [flow.Partitions]atomic.Int64
	asked       [flow.Partitions]atomic.Int64 // µs since 1970, by our own clock
}

// clocksEvery is how long what is known of a clock holds.
const clocksEvery = 5 * time.Second

// now gives the time of a partition when its server's clock shows t, as lua/lib.lua does. Where nothing is written, so that
// the scripts do not see that the clock was set back, it goes on by itself.
func (c *clocks) now(p int, t int64) int64 {
	last, ahead := c.last[p].Load(), c.ahead[p].Load()
	if t >= last {
		return t
	}
	if t+ahead < last {
		ahead = last - t
		c.ahead[p].Store(ahead)
	}
	return t + ahead
}

// stale gives the clocks among those of partitions that are to be asked for again.
func (c *clocks) stale(partitions []int) *asking {
	a := &asking{clocks: c}
	now := time.Now().UnixMicro()
	for _, p := range partitions {
		if gone := now - c.asked[p].Load(); gone < 0 || gone > clocksEvery.Microseconds() {
			a.partitions = append(a.partitions, p)
		}
	}
	return a
}

// asking asks for clocks within a pipeline.
type asking struct {
	clocks     *clocks
	partitions []int
	answers    []*redis.StringCmd
}

func (a *asking) ask(ctx context.Context, p redis.Pipeliner) {
	for _, part := range a.partitions {
		a.answers = append(a.answers, p.Get(ctx, key(part, "clock")))
	}
}

func (a *asking) keep() {
	for i, p := range a.partitions {
		var last, ahead int64
		if _, err := fmt.Sscanf(a.answers[i].Val(), "%d %d", &last, &ahead); err == nil && last != a.clocks.last[p].Load() {
			a.clocks.last[p].Store(last)
			a.clocks.ahead[p].Store(ahead)
		}
		a.clocks.asked[p].Store(time.Now().UnixMicro())
	}
}
