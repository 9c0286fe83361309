// Package redis is the shared store: several gateway processes over one Redis (7.0 or later; a single node, one behind
// Sentinels, or a Redis Cluster), durable by Redis's append-only file.
//
// Everything is spread over 64 partitions, each under one hash tag ({p00} to {p63}), and every commit is
// one Lua script over the keys of one partition: all of it happens or nothing. Only cross-references live
// elsewhere, each in the partition of its own hash: they are written before the script, and one that its
// case does not name, because the script never ran, is ignored. The TIME of the server that holds a partition is the
// only clock for its due times and leases.
//
// go-redis sends a command again when the connection breaks, so every script may run twice: the second
// run finds the slot, version, fence or token of the first and changes nothing.
package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Store is a flow.Store in Redis. Use Open.
type Store struct {
	db      redis.UniversalClient // a *redis.Client, or a *redis.ClusterClient
	o       Options
	keys    [flow.Partitions][]string // those that every script is given
	scripts scripts
	packer  packer
	seen    seen
	clocks  clocks
}

var _ flow.Store = (*Store)(nil)

// Open connects, checks that what Redis confirms is on disk, and brings what an earlier version kept to the layout of
// this one. It fails when Redis is not there (the error wraps flow.ErrUnavailable), when its settings do not keep what
// the durability promises, and when a later version wrote it.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Wait.Timeout <= 0 {
		o.Wait.Timeout = 200 * time.Millisecond
	}
	db, err := o.connect()
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, o: o}
	if s.packer, err = newPacker(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	for p := range s.keys {
		s.keys[p] = fixed(p)
	}
	for _, step := range []func(context.Context) error{s.loadScripts, s.durable, s.waits, s.migrate, s.Health} {
		if err := step(ctx); err != nil {
			if moved(err) && len(o.Cluster) == 0 {
				err = fmt.Errorf("redis: it is a node of a cluster, and a URL is of one that holds all: name it under store.redis.cluster (%w)", err)
			}
			return nil, errors.Join(err, s.db.Close())
		}
	}
	return s, nil
}

// Close ends the connections.
func (s *Store) Close() error { return s.db.Close() }

// Health looks at the settings, which may have changed since the start, and writes a probe on every node.
func (s *Store) Health(ctx context.Context) error {
	if err := s.durable(ctx); err != nil {
		return err
	}
	return s.eachNode(ctx, allPartitions(), func(ctx context.Context, n node) error {
		var number *redis.StringCmd
		_, err := n.Pipelined(ctx, func(p redis.Pipeliner) error {
			number = p.Get(ctx, key(n.partitions[0], "schema"))
			p.Set(ctx, key(n.partitions[0], "health"), time.Now().UnixMicro(), 0)
			return nil
		})
		if err == nil && number.Val() != layoutText || errors.Is(err, redis.Nil) {
			return errEmptied
		}
		return fault(err)
	})
}
