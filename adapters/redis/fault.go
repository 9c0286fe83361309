package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/dermgate/dermgate/gateway/flow"
)

// passing tells answers of Redis that mean "not now": it is short of disk or memory, loads its file, was
// made a replica, lacks replicas, is busy, or moves a partition to another node.
func passing(err error) bool {
	for _, prefix := range []string{"MISCONF", "OOM", "READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "MOVED", "ASK"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}

// fault gives an error of go-redis its meaning: what Redis answers for good is a fault of ours; all else,
// from a refused connection to a time-out, is a store that cannot keep now.
func fault(err error) error {
	var answer redis.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, redis.Nil):
		return flow.ErrNotFound
	case redis.HasErrorPrefix(err, "LAYOUT"): // of lua/lib.lua
		return errEmptied
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("redis: %w", err)
	case errors.As(err, &answer) && !passing(err):
		return fmt.Errorf("redis: %w", err)
	}
	return fmt.Errorf("%w: redis: %w", flow.ErrUnavailable, err)
}
