package redis

import (
	"context"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Backlog counts what a destination has to do.
func (s *Store) Backlog(ctx context.Context, to string) (b flow.Backlog, err error) {
	if b.Open, b.Oldest, err = s.pile(ctx, open, to); err == nil {
		b.Parked, b.OldestParked, err = s.pile(ctx, parked, to)
	}
	return b, err
}

// pile counts the deliveries of a destination in a group of states, and tells when the oldest was made.
func (s *Store) pile(ctx context.Context, group, to string) (n int, oldest time.Time, err error) {
	before := group // of layout 2
	if strings.HasPrefix(to, "~") {
		before = "~" + group
	}
	var sizes, old [flow.Partitions]*redis.IntCmd
	var firsts [flow.Partitions]*redis.ZSliceCmd
	_, err = s.db.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for p := range flow.Partitions {
			sizes[p], old[p] = pipe.ZCard(ctx, key(p, group, to)), pipe.ZCard(ctx, key(p, before))
			firsts[p] = pipe.ZRangeWithScores(ctx, key(p, group, to), 0, 0)
		}
		return nil
	})
	if err != nil {
		return 0, oldest, fault(err)
	}
	var first redis.Z
	var more int64
	for p := range flow.Partitions {
		n, more = n+int(sizes[p].Val()), more+old[p].Val()
		for _, z := range firsts[p].Val() {
			if first.Member == nil || z.Score < first.Score {
				first = z
			}
		}
	}
	if first.Member != nil {
		if oldest, err = s.made(ctx, first.Member.(string)); err != nil {
			return 0, oldest, err
		}
	}
	if more == 0 {
		return n, oldest, nil
	}
	earlier, since, err := s.pileBefore(ctx, before, to)
	if n += earlier; !since.IsZero() {
		oldest = since // what layout 2 put is older
	}
	return n, oldest, err
}

// made gives when a delivery was made; zero when it has gone meanwhile.
func (s *Store) made(ctx context.Context, member string) (time.Time, error) {
	id, err := idOf(member)
	if err != nil {
		return time.Time{}, err
	}
	ds, err := s.one(ctx, flow.DeliveryQuery{ID: id})
	if err != nil || len(ds) == 0 {
		return time.Time{}, err
	}
	return ds[0].Created, nil
}

// mostBefore is how many deliveries of layout 2 are looked through.
const mostBefore = 10_000

// pileBefore counts the deliveries of a destination in the lists of layout 2, which are those of all destinations.
func (s *Store) pileBefore(ctx context.Context, list, to string) (n int, oldest time.Time, err error) {
	var sets []string
	for p := range flow.Partitions {
		sets = append(sets, key(p, list))
	}
	m := merge{db: s.db, lists: lists(sets)}
	for seen := 0; seen < mostBefore; {
		ids, err := m.next(ctx)
		if err != nil || len(ids) == 0 {
			return n, oldest, err
		}
		seen += len(ids)
		states, err := s.fetch(ctx, "state", ids)
		if err != nil {
			return 0, oldest, err
		}
		for i, id := range ids {
			if states[i] == "" {
				continue // pruned
			}
			st, err := stateOf(id, states[i])
			if err != nil {
				return 0, oldest, err
			}
			if st.To != to {
				continue
			}
			if n++; n == 1 {
				if oldest, err = s.made(ctx, id.String()); err != nil {
					return 0, oldest, err
				}
			}
		}
	}
	return n, oldest, nil
}
