package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// What the store promises about a commit that it confirmed: Options.Durability.
const (
	Strict   = "strict"   // it is on disk, and the settings that make it so were read
	Attested = "attested" // the same, but a person vouches for settings that may not be read
	Relaxed  = "relaxed"  // whatever Redis does: for demonstrations
)

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

// durable checks the settings against what was promised.
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
	for _, want := range settings() {
		if err := s.check(ctx, want); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) check(ctx context.Context, want setting) error {
	have, err := s.db.ConfigGet(ctx, want.name).Result()
	var refused redis.Error
	switch {
	case errors.As(err, &refused) && !passing(err):
		if s.o.Durability == Attested {
			return nil
		}
		return fmt.Errorf("redis: its setting %s cannot be read (%w): allow the user +config|get, or set durability: attested with a reason", want.name, err)
	case err != nil:
		return fault(err)
	case have[want.name] != want.want:
		return fmt.Errorf("redis: it is not durable: %s is %q, so %s; cure: CONFIG SET %s %s, and in redis.conf",
			want.name, have[want.name], want.why, want.name, want.want)
	}
	return nil
}
