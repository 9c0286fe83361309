package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Receipt gives the first answer to a message.
func (s *Store) Receipt(ctx context.Context, i flow.Idem) (flow.Receipt, error) {
	slot, err := s.db.HGet(ctx, key(i.Partition(), "idem"), hashed(i.Key)).Result()
	if err != nil {
		return flow.Receipt{}, fault(err)
	}
	digest, first, _ := strings.Cut(slot, " ")
	if digest != hashed(i.Digest) {
		return flow.Receipt{}, flow.ErrConflict
	}
	return receipt(first)
}

// Case gives the newest version of a case.
func (s *Store) Case(ctx context.Context, id flow.ID) (flow.CaseRecord, error) {
	text, err := s.db.HGet(ctx, key(id.Partition(), "case"), id.String()).Result()
	if err != nil {
		return flow.CaseRecord{}, fault(err)
	}
	return caseOf(text)
}

// caseOf reads a case as lua/lib.lua keeps it: version, token, record.
func caseOf(text string) (flow.CaseRecord, error) {
	var r flow.CaseRecord
	parts := strings.SplitN(text, " ", 3)
	if err := json.Unmarshal([]byte(parts[len(parts)-1]), &r); err != nil {
		return r, fmt.Errorf("redis: a damaged case: %w", err)
	}
	return r, nil
}

// Message gives a message as it was kept.
func (s *Store) Message(ctx context.Context, id flow.ID) (flow.Message, error) {
	var m flow.Message
	p := id.Partition()
	text, err := s.db.HGet(ctx, key(p, "message"), id.String()).Result()
	if err != nil {
		return m, fault(err)
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return m, fmt.Errorf("redis: a damaged message: %w", err)
	}
	packed, err := s.db.HGet(ctx, key(p, "body"), id.String()).Result()
	if err != nil && err != redis.Nil {
		return m, fault(err)
	}
	m.Raw.Inline, err = unpack([]byte(packed))
	return m, err
}

// Find gives the cases that a reference leads to. A case that does not name the reference was left by a
// change that was never committed.
func (s *Store) Find(ctx context.Context, r flow.Ref) ([]flow.ID, error) {
	members, err := s.db.SMembers(ctx, refKey(r)).Result()
	if err != nil || len(members) == 0 {
		return nil, fault(err)
	}
	ids := make([]flow.ID, len(members))
	there := make([]*redis.BoolCmd, len(members))
	_, err = s.db.Pipelined(ctx, func(p redis.Pipeliner) (err error) {
		for i, m := range members {
			if ids[i], err = flow.ParseID(m); err != nil {
				return err
			}
			there[i] = p.SIsMember(ctx, namedKey(ids[i]), hashed(r.System, r.Value))
		}
		return nil
	})
	if err != nil {
		return nil, fault(err)
	}
	var out []flow.ID
	for i, id := range ids {
		if there[i].Val() {
			out = append(out, id)
		}
	}
	return out, nil
}

// Story gives a case's story, oldest first.
func (s *Store) Story(ctx context.Context, id flow.ID) ([]flow.Event, error) {
	p := id.Partition()
	var there *redis.BoolCmd
	var lines *redis.StringSliceCmd
	_, err := s.db.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		there = pipe.HExists(ctx, key(p, "case"), id.String())
		lines = pipe.LRange(ctx, key(p, "story", id.String()), 0, -1)
		return nil
	})
	if err != nil {
		return nil, fault(err)
	}
	if !there.Val() {
		return nil, flow.ErrNotFound
	}
	out := make([]flow.Event, len(lines.Val()))
	for i, line := range lines.Val() {
		if err := json.Unmarshal([]byte(line), &out[i]); err != nil {
			return nil, fmt.Errorf("redis: a damaged event: %w", err)
		}
	}
	return out, nil
}
