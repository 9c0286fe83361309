package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/dermgate/dermgate/gateway/flow"
)

// layout is the number of the layout of keys that this version reads and writes. It is kept in every partition, since a
// cluster moves them singly, and every script that writes looks at it: a gateway of an earlier version that still runs
// when a later one has moved on writes nothing more.
const layout = 3

var layoutText = strconv.Itoa(layout)

// migrations are scripts in lua/: each brings one partition from the layout of its place in the list to the next.
// Layout 0 is what was written before layouts had numbers. What layouts 1 and 2 kept is read as it is (pack.go, lua/lib.lua), and
// kept as layout 3 has it once it changes: no upgrade has to wait until all that is kept has been written anew.
var migrations = [layout]string{"migrate0", "migrate1", "migrate2"}

var errEmptied = fmt.Errorf("%w: redis: it does not hold what it held when this gateway started: it was emptied, is another one, or a later gateway has changed its layout; find out before the gateway is started anew",
	flow.ErrUnavailable)

// migrate brings every partition to the layout of this version. A partition is one commit: broken off, it goes on where
// it stopped, and several gateways that start together do each step once.
func (s *Store) migrate(ctx context.Context) error {
	for {
		behind, err := s.behind(ctx)
		if err != nil || len(behind) == 0 {
			return err
		}
		for p, from := range behind {
			if err := s.step(ctx, p, from); err != nil {
				return err
			}
		}
	}
}

// behind gives the partitions of an earlier layout, with its number.
func (s *Store) behind(ctx context.Context) (map[int]int, error) {
	numbers := make([]*redis.StringCmd, flow.Partitions)
	_, err := s.db.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for p := range numbers {
			numbers[p] = pipe.Get(ctx, key(p, "schema"))
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fault(err)
	}
	out := map[int]int{}
	for p, cmd := range numbers {
		if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return nil, fault(err)
		}
		n, err := strconv.Atoi("0" + cmd.Val())
		switch {
		case err != nil || n > layout:
			return nil, fmt.Errorf("redis: it has layout %q, this gateway reads up to %d: a later version wrote it; start that one, or restore what was kept before the upgrade", cmd.Val(), layout)
		case n < layout:
			out[p] = n
		}
	}
	return out, nil
}

// step brings a partition one layout further, unless somebody else did.
func (s *Store) step(ctx context.Context, p, from int) error {
	text, err := source(migrations[from])
	if err != nil {
		return err
	}
	c := s.call(p).arg(from)
	return fault(redis.NewScript(text).Run(ctx, s.db, c.keys, c.args...).Err()) // replicas that are away keep nobody from starting
}
