package redis

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Options of a store. Exactly one of URL, Sentinel and Cluster says where Redis is.
type Options struct {
	URL      string    // one node: redis://host:port/db, rediss:// for TLS, unix:///path; may hold user and password
	Sentinel *Sentinel // a master whose address Sentinels know
	Cluster  []string  // host:port of some nodes of a Redis Cluster: the others are learnt from them

	User     string                 // of an ACL (Redis 6.0); empty: default, or the URL's
	Password func() (string, error) // asked for each connection, so that it can be rotated; nil: the URL's
	Database int                    // of a Sentinel's master; a URL holds its own, a cluster has 0 only

	// TLS gives the configuration for the next connection, so that certificates can be renewed. nil: none, but what
	// rediss:// implies. An empty ServerName stands for the address connected to.
	TLS func() *tls.Config

	Durability string // Strict, Attested or Relaxed; empty: Strict
	Reason     string // with Attested: who vouches for the settings that cannot be read, and how they know
	Wait       Wait
}

// Sentinel is where the address of a master is asked for, again after each failover.
type Sentinel struct {
	Master    string   // the name that Sentinels know it by
	Addresses []string // host:port of the Sentinels
	User      string   // of the Sentinels' own ACL
	Password  func() (string, error)
}

// Wait says which replicas must have a commit before it counts.
type Wait struct {
	Replicas int           // how many; 0: the master alone
	AOF      bool          // they must have it on disk (WAITAOF, Redis 7.2), not in memory (WAIT)
	Timeout  time.Duration // 0: 200 ms; after it the sender is told to try again
}

// connect makes the client. It connects with the first command.
func (o Options) connect() (redis.UniversalClient, error) {
	logging.Disable() // it has lines of its own for every failed dial; each of our callers gets an error
	ways := 0
	for _, given := range []bool{o.URL != "", o.Sentinel != nil, len(o.Cluster) > 0} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return nil, errors.New("redis: one of a URL, a Sentinel and a cluster says where it is")
	}
	switch {
	case o.Sentinel != nil:
		return o.sentinel()
	case len(o.Cluster) > 0:
		return redis.NewClusterClient(&redis.ClusterOptions{Addrs: o.Cluster, Dialer: o.dialer(), CredentialsProviderContext: o.credentials("", ""),
			ContextTimeoutEnabled: true, DialerRetries: 1, DisableIdentity: true, DisableRoutingPolicies: true, ReadTimeout: o.patience(), PipelinePoolSize: onePool,
			MaintNotificationsConfig: noNotifications()}), nil
	}
	return o.single()
}

func (o Options) single() (redis.UniversalClient, error) {
	c, err := redis.ParseURL(o.URL)
	if err != nil {
		return nil, errors.New("redis: the URL is none of redis://, rediss:// and unix://") // err may quote a password
	}
	c.CredentialsProviderContext = o.credentials(c.Username, c.Password)
	if d := o.dialer(); d != nil {
		c.Dialer = d
	}
	c.ReadTimeout, c.PipelinePoolSize = o.patience(), onePool
	c.ContextTimeoutEnabled = true
	c.DialerRetries = 1      // what dials for a caller is tried again by the caller
	c.DisableIdentity = true // CLIENT SETINFO is unknown to Redis 7.0
	c.MaintNotificationsConfig = noNotifications()
	return redis.NewClient(c), nil
}

func (o Options) sentinel() (redis.UniversalClient, error) {
	password, err := secret(o.Sentinel.Password)
	if err != nil {
		return nil, err
	}
	return redis.NewFailoverClient(&redis.FailoverOptions{MasterName: o.Sentinel.Master, SentinelAddrs: o.Sentinel.Addresses,
		SentinelUsername: o.Sentinel.User, SentinelPassword: password, DB: o.Database, Dialer: o.dialer(),
		CredentialsProviderContext: o.credentials("", ""), ContextTimeoutEnabled: true, DialerRetries: 1, DisableIdentity: true,
		ReadTimeout: o.patience(), PipelinePoolSize: onePool}), nil
}

// patience is how long an answer may take.
func (o Options) patience() time.Duration { return 3*time.Second + o.Wait.Timeout }

// onePool has pipelines use the connections of single commands: that Redis is back is then found out once.
const onePool = -1

// noNotifications: those of Redis Enterprise are unknown to the open servers.
func noNotifications() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// credentials gives those of the options over those of a URL; nil when there are none at all.
func (o Options) credentials(user, password string) func(context.Context) (string, string, error) {
	if o.Password == nil && cmp.Or(o.User, user, password) == "" {
		return nil
	}
	return func(context.Context) (string, string, error) {
		p, err := secret(o.Password)
		return cmp.Or(o.User, user), cmp.Or(p, password), err
	}
}

func secret(read func() (string, error)) (string, error) {
	if read == nil {
		return "", nil
	}
	return read()
}

// dialer connects by the TLS configuration of the moment; nil without one.
func (o Options) dialer() func(ctx context.Context, network, addr string) (net.Conn, error) {
	if o.TLS == nil {
		return nil
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		config := o.TLS()
		if config.ServerName == "" {
			host, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			config = config.Clone()
			config.ServerName = host
		}
		d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: config}
		return d.DialContext(ctx, network, addr)
	}
}

// node is a Redis that holds partitions.
type node struct {
	*redis.Client
	partitions []int
}

// nodes gives the masters with what each holds: one, or those of a cluster.
func (s *Store) nodes(ctx context.Context, partitions ...int) ([]node, error) {
	one, ok := s.db.(*redis.Client)
	if ok {
		return []node{{one, partitions}}, nil
	}
	var out []node
	for _, p := range partitions {
		c, err := s.db.(*redis.ClusterClient).MasterForKey(ctx, key(p, ""))
		if err != nil {
			return nil, fault(err)
		}
		i := slices.IndexFunc(out, func(n node) bool { return n.Client == c })
		if i < 0 {
			i, out = len(out), append(out, node{Client: c})
		}
		out[i].partitions = append(out[i].partitions, p)
	}
	return out, nil
}

// allPartitions are all of them, in order.
func allPartitions() []int {
	out := make([]int, flow.Partitions)
	for p := range out {
		out[p] = p
	}
	return out
}

// eachNode calls f for every master that holds some of the partitions, at the same time, and joins their errors.
func (s *Store) eachNode(ctx context.Context, partitions []int, f func(context.Context, node) error) error {
	return s.follow(ctx, func() error {
		nodes, err := s.nodes(ctx, partitions...)
		if err != nil {
			return err
		}
		if len(nodes) == 1 {
			return f(ctx, nodes[0])
		}
		errs := make([]error, len(nodes))
		var all sync.WaitGroup
		for i, n := range nodes {
			all.Go(func() { errs[i] = f(ctx, n) })
		}
		all.Wait()
		return errors.Join(errs...)
	})
}

// follow tries again where a cluster's partition was looked for on a node that does not hold it any more: a failover
// or a move of slots. The client learns where it is now.
func (s *Store) follow(ctx context.Context, f func() error) error {
	c, ok := s.db.(*redis.ClusterClient)
	for try := 1; ; try++ {
		err := f()
		if !ok || try == 4 || !moved(err) {
			return err
		}
		c.ReloadState(ctx)
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: redis: %w", flow.ErrUnavailable, ctx.Err())
		case <-time.After(time.Duration(try) * 50 * time.Millisecond):
		}
	}
}

// moved tells the answers of a node that does not hold a partition, or holds it no more.
func moved(err error) bool {
	for _, prefix := range []string{"MOVED", "ASK", "READONLY"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}
