package redis

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/dermgate/dermgate/gateway/flow"
)

// runAndWait runs a script and gives its answer once enough replicas have what it wrote. All goes in one round trip on
// one connection: WAIT is about what came before it on its own.
func (s *Store) runAndWait(ctx context.Context, script *redis.Script, c *call) ([]any, error) {
	var reply []any
	err := s.eachNode(ctx, []int{c.partition}, func(ctx context.Context, n node) error {
		run := func(ask func(context.Context, redis.Scripter, []string, ...any) *redis.Cmd) (cmd *redis.Cmd, err error) {
			err = s.waiting(ctx, n, func(p redis.Pipeliner) { cmd = ask(ctx, p, c.keys, c.args...) })
			return cmd, err
		}
		cmd, err := run(script.EvalSha)
		if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			cmd, err = run(script.Eval)
		}
		if err != nil {
			return err
		}
		reply, err = cmd.Slice()
		return err
	})
	return reply, err
}

// place is one of a set, sorted by its bytes or not.
type place struct {
	key, member string
	partition   int
	sorted      bool
}

func (m place) add(ctx context.Context, p redis.Pipeliner) {
	if m.sorted {
		p.ZAdd(ctx, m.key, redis.Z{Member: m.member})
	} else {
		p.SAdd(ctx, m.key, m.member)
	}
}

// add adds members to sets of any partitions.
func (s *Store) add(ctx context.Context, places []place) error {
	var partitions []int
	for _, m := range places {
		partitions = append(partitions, m.partition)
	}
	return s.eachNode(ctx, partitions, func(ctx context.Context, n node) error {
		return s.waiting(ctx, n, func(p redis.Pipeliner) {
			for _, m := range places {
				if slices.Contains(n.partitions, m.partition) {
					m.add(ctx, p)
				}
			}
		})
	})
}

// waiting sends what write writes to a node and, where replicas are waited for, gives an error when too few have it.
// A write that finds everything done before has made none, and WAIT would say nothing about it: the probe makes one
// that comes after it.
func (s *Store) waiting(ctx context.Context, n node, write func(redis.Pipeliner)) error {
	var have func() int
	_, err := n.Pipelined(ctx, func(p redis.Pipeliner) error {
		write(p)
		if s.o.Wait.Replicas > 0 {
			p.Incr(ctx, key(n.partitions[0], "wait"))
			have = s.wait(ctx, p)
		}
		return nil
	})
	if err != nil {
		return fault(err)
	}
	if have == nil {
		return nil
	}
	if got := have(); got < s.o.Wait.Replicas {
		return fmt.Errorf("%w: redis: %d of %d replicas have it after %v", flow.ErrUnavailable, got, s.o.Wait.Replicas, s.o.Wait.Timeout)
	}
	return nil
}

// wait asks how many replicas have what came before on the connection; its answer is read by what it gives.
func (s *Store) wait(ctx context.Context, p redis.Pipeliner) func() int {
	most := s.o.Wait.Timeout.Milliseconds()
	if !s.o.Wait.AOF {
		cmd := p.Do(ctx, "WAIT", s.o.Wait.Replicas, most)
		return func() int { n, _ := cmd.Int(); return n }
	}
	cmd := p.Do(ctx, "WAITAOF", 1, s.o.Wait.Replicas, most)
	return func() int {
		if got, _ := cmd.Int64Slice(); len(got) == 2 && got[0] == 1 { // the master's own file, then the replicas'
			return int(got[1])
		}
		return 0
	}
}

// waits asks whether the servers know how to wait for what is asked.
func (s *Store) waits(ctx context.Context) error {
	if !s.o.Wait.AOF {
		return nil
	}
	return s.eachNode(ctx, allPartitions(), func(ctx context.Context, n node) error {
		err := n.WaitAOF(ctx, 0, 0, s.o.Wait.Timeout).Err()
		if redis.HasErrorPrefix(err, "ERR unknown command") || redis.HasErrorPrefix(err, "unknown command") {
			return fmt.Errorf("redis: waiting for the files of replicas needs Redis 7.2 (WAITAOF), which %s is not: wait.aof: false waits for their memory", n.Options().Addr)
		}
		return fault(err)
	})
}
