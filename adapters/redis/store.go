// Package redis is the shared store: several gateway processes over one Redis (7.0 or later), durable by
// Redis's append-only file.
//
// Everything is spread over 64 partitions, each under one hash tag ({p00} to {p63}), and every commit is
// one Lua script over the keys of one partition: all of it happens or nothing. Only cross-references live
// elsewhere, each in the partition of its own hash: they are written before the script, and one that its
// case does not name, because the script never ran, is ignored. The server's TIME is the only clock for due
// times and leases.
//
// go-redis sends a command again when the connection breaks, so every script may run twice: the second
// run finds the slot, version, fence or token of the first and changes nothing.
package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Options of a store.
type Options struct {
	URL      string      // redis://host:port/db, or rediss:// for TLS
	Password string      // when it is not in the URL
	TLS      *tls.Config // when set, used instead of what the URL implies

	Durability string // Strict, Attested or Relaxed; empty: Strict
	Reason     string // with Attested: who vouches for the settings that cannot be read, and how they know

	// WaitReplicas is how many replicas must have a commit before it counts (WAIT); 0: the master alone.
	WaitReplicas int
	WaitTimeout  time.Duration // for that; 0: 200 ms. After it the sender is told to try again
}

// Store is a flow.Store in Redis. Use Open.
type Store struct {
	db      *redis.Client
	o       Options
	keys    [flow.Partitions][]string // those that every script is given
	scripts scripts
	packer  packer
}

var _ flow.Store = (*Store)(nil)

// Open connects, and checks that what Redis confirms is on disk. It fails when Redis is not there (the
// error wraps flow.ErrUnavailable), and when its settings do not keep what the durability promises.
func Open(ctx context.Context, o Options) (*Store, error) {
	c, err := o.client()
	if err != nil {
		return nil, err
	}
	logging.Disable() // it has lines of its own for every failed dial; each of our callers gets an error
	if o.WaitTimeout <= 0 {
		o.WaitTimeout = 200 * time.Millisecond
	}
	s := &Store{db: redis.NewClient(c), o: o}
	for p := range s.keys {
		s.keys[p] = fixed(p)
	}
	if s.scripts, err = loadScripts(); err == nil {
		err = s.Health(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	return s, nil
}

func (o Options) client() (*redis.Options, error) {
	c, err := redis.ParseURL(o.URL)
	if err != nil {
		return nil, errors.New("redis: the URL is none of redis://, rediss:// and unix://") // err may quote a password
	}
	if o.Password != "" {
		c.Password = o.Password
	}
	if o.TLS != nil {
		c.TLSConfig = o.TLS
	}
	c.ContextTimeoutEnabled = true
	c.DialerRetries = 1      // what dials for a caller is tried again by the caller
	c.DisableIdentity = true // CLIENT SETINFO is unknown to Redis 7.0
	c.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return c, nil
}

// Close ends the connections.
func (s *Store) Close() error { return s.db.Close() }

// Health looks at the settings, which may have changed since the start, and writes a probe.
func (s *Store) Health(ctx context.Context) error {
	if err := s.durable(ctx); err != nil {
		return err
	}
	return fault(s.db.Set(ctx, key(0, "health"), time.Now().UnixMicro(), 0).Err())
}
