package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// What the store promises about a commit that it confirmed: Options.Durability.
const (
	Strict   = "strict"   // it is on disk, and the settings that make it so were read
	Attested = "attested" // the same, but a person vouches for settings that may not be read
	Relaxed  = "relaxed"  // whatever Redis does: for demonstrations
)

// Finding is what is wrong with a Redis node, and its cure.
type Finding struct{ Node, Fault, Cure string }

func (f Finding) Error() string {
	return fmt.Sprintf("redis: %s: %s; cure: %s", f.Node, f.Fault, f.Cure)
}

// setting is one that a durable Redis has.
type setting struct{ name, want, why string }

func settings() []setting {
	return []setting{
		{"appendonly", "yes", "commits are not written to disk"},
		{"appendfsync", "always", "commits are confirmed before they are on disk"},
		{"no-appendfsync-on-rewrite", "no", "commits are not on disk while the file is rewritten"},
		{"maxmemory-policy", "noeviction", "messages are thrown away when memory is short"},
	}
}

// durable checks the settings of every node against what was promised, a cluster's replicas included: one of them is
// the master after a failover.
func (s *Store) durable(ctx context.Context) error {
	switch s.o.Durability {
	case Relaxed:
		return nil
	case Attested:
		if strings.TrimSpace(s.o.Reason) == "" {
			return errors.New("redis: durability attested needs a reason: who vouches for the settings, and how they know")
		}
	case Strict, "":
	default:
		return fmt.Errorf("redis: durability %q is not one of strict, attested, relaxed", s.o.Durability)
	}
	found, err := s.examine(ctx)
	for _, f := range found {
		err = errors.Join(err, f)
	}
	return err
}

// examine reads the settings of every node, and tells all that is wrong with them.
func (s *Store) examine(ctx context.Context) ([]Finding, error) {
	var mu sync.Mutex
	var all []Finding
	look := func(ctx context.Context, c *redis.Client) error {
		found, err := s.settingsOf(ctx, c)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, found...)
		return err
	}
	err := s.eachNode(ctx, allPartitions(), func(ctx context.Context, n node) error { return look(ctx, n.Client) })
	if c, ok := s.db.(*redis.ClusterClient); ok && err == nil {
		err = c.ForEachSlave(ctx, func(ctx context.Context, c *redis.Client) error {
			_ = look(ctx, c) // a replica that is away is missed by WAIT and by doctor
			return nil
		})
	}
	return all, err
}

// settingsOf reads the settings of a node. Where CONFIG GET is refused, INFO says what two of them come to.
func (s *Store) settingsOf(ctx context.Context, c *redis.Client) ([]Finding, error) {
	wanted := settings()
	values := make([]*redis.MapStringStringCmd, len(wanted))
	_, _ = c.Pipelined(ctx, func(p redis.Pipeliner) error { // each command has its own error
		for i, w := range wanted {
			values[i] = p.ConfigGet(ctx, w.name)
		}
		return nil
	})
	var out []Finding
	for i, w := range wanted {
		have, err := values[i].Result()
		var refused redis.Error
		switch {
		case errors.As(err, &refused) && !passing(err):
			if s.o.Durability == Attested {
				return told(ctx, c)
			}
			return nil, fmt.Errorf("redis: its setting %s cannot be read (%w): allow the user +config|get, or set durability: attested with a reason", w.name, err)
		case err != nil:
			return nil, fault(err)
		case have[w.name] != w.want:
			out = append(out, Finding{c.Options().Addr, fmt.Sprintf("it is not durable: %s is %q, so %s", w.name, have[w.name], w.why),
				fmt.Sprintf("CONFIG SET %s %s, and in redis.conf", w.name, w.want)})
		}
	}
	return out, nil
}

// told reads what a server without CONFIG GET tells all the same: no attestation holds against it.
func told(ctx context.Context, c *redis.Client) ([]Finding, error) {
	text, err := c.Info(ctx).Result()
	var refused redis.Error
	if errors.As(err, &refused) && !passing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fault(err)
	}
	info := fields(text)
	var out []Finding
	if info["aof_enabled"] == "0" {
		out = append(out, Finding{c.Options().Addr, "it is not durable whatever was attested: INFO says aof_enabled:0, so commits are not written to disk", "appendonly yes and appendfsync always, by whoever runs it"})
	}
	if p := info["maxmemory_policy"]; p != "" && p != "noeviction" {
		out = append(out, Finding{c.Options().Addr, "it is not durable whatever was attested: INFO says maxmemory_policy:" + p + ", so messages are thrown away when memory is short", "maxmemory-policy noeviction, by whoever runs it"})
	}
	return out, nil
}

// fields reads the lines of INFO.
func fields(info string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			out[name] = value
		}
	}
	return out
}
