package redis

import (
	"context"
	"fmt"
	"strconv"
)

// Marks gives the marks of a kind by name.
func (s *Store) Marks(ctx context.Context, kind string) (map[string]int64, error) {
	texts, err := s.db.HGetAll(ctx, key(0, "marks", kind)).Result()
	if err != nil {
		return nil, fault(err)
	}
	out := make(map[string]int64, len(texts))
	for name, text := range texts {
		if out[name], err = strconv.ParseInt(text, 10, 64); err != nil {
			return nil, fmt.Errorf("redis: a damaged mark: %w", err)
		}
	}
	return out, nil
}

// Mark sets a mark from what it is to another.
func (s *Store) Mark(ctx context.Context, kind, name string, from, to int64) error {
	return s.settled(ctx, s.scripts.mark, s.call(0).key(key(0, "marks", kind)).arg(name, from, to))
}
