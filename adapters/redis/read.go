package redis

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
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
	digest, first, _ := strings.Cut(slot, " ") // of layout 2
	if len(slot) == 33 && slot[0] == 'b' {
		digest, first = hex.EncodeToString([]byte(slot[1:17])), slot[17:]
	}
	if digest != hashed(i.Digest) {
		return flow.Receipt{}, flow.ErrConflict
	}
	if strings.HasPrefix(first, "{") && len(first) > 16 { // of layout 1
		return receipt(first)
	}
	id, err := idOf(first)
	if err != nil {
		return flow.Receipt{}, fmt.Errorf("redis: a damaged slot: %w", err)
	}
	m, err := s.Message(ctx, id)
	m.Receipt.Repeat = true
	return m.Receipt, err
}

// Case gives the newest version of a case.
func (s *Store) Case(ctx context.Context, id flow.ID) (flow.CaseRecord, error) {
	text, err := s.db.HGet(ctx, key(id.Partition(), "case"), id.String()).Result()
	if err != nil {
		return flow.CaseRecord{}, fault(err)
	}
	return s.packer.recordOf(text)
}

// Message gives a message as it was kept.
func (s *Store) Message(ctx context.Context, id flow.ID) (flow.Message, error) {
	p := id.Partition()
	text, err := s.db.HGet(ctx, key(p, "message"), id.String()).Result()
	if err != nil {
		return flow.Message{}, fault(err)
	}
	m, err := s.packer.messageOf(id, text)
	if err != nil || m.Raw.Inline != nil || m.Raw.Blob != "" {
		return m, err
	}
	apart, err := s.db.HGet(ctx, key(p, "body"), id.String()).Result() // by layout 1
	if err != nil && err != redis.Nil {
		return m, fault(err)
	}
	m.Raw.Inline, err = bytesOf(apart)
	return m, err
}

// Find gives the cases that a reference leads to. A case that does not name the reference was left by a
// change that was never committed.
func (s *Store) Find(ctx context.Context, r flow.Ref) ([]flow.ID, error) {
	ids, err := s.candidates(ctx, r)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	named := make([]*redis.StringCmd, len(ids))
	also := make([]*redis.BoolSliceCmd, len(ids))
	_, err = s.db.Pipelined(ctx, func(p redis.Pipeliner) (err error) {
		for i, id := range ids {
			named[i] = p.HGet(ctx, key(id.Partition(), "named"), id.String())
			also[i] = p.SMIsMember(ctx, namedKey(id), hashed(r.System, r.Value), hex.EncodeToString([]byte(refName(r))))
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fault(err)
	}
	var out []flow.ID
	for i, id := range ids {
		if slices.Contains(also[i].Val(), true) || slices.Contains(refNames(named[i].Val()), refName(r)) {
			out = append(out, id)
		}
	}
	return out, nil
}

// allBytes is behind every id.
var allBytes = strings.Repeat("\xff", 17)

// candidates gives the cases that a reference may lead to, by this layout and the one before.
func (s *Store) candidates(ctx context.Context, r flow.Ref) ([]flow.ID, error) {
	var now, before *redis.StringSliceCmd
	_, err := s.db.Pipelined(ctx, func(p redis.Pipeliner) error {
		now = p.ZRangeByLex(ctx, key(r.Partition(), "leads"), &redis.ZRangeBy{Min: "[" + refHash(r), Max: "[" + refHash(r) + allBytes})
		before = p.SMembers(ctx, refKey(r.Partition(), refHash(r)))
		return nil
	})
	if err != nil {
		return nil, fault(err)
	}
	var out []flow.ID
	for _, m := range now.Val() {
		if len(m) == 32 {
			out = append(out, flow.ID([]byte(m[16:])))
		}
	}
	for _, m := range before.Val() {
		id, err := flow.ParseID(m)
		if err != nil {
			return nil, fmt.Errorf("redis: a damaged reference: %w", err)
		}
		if !slices.Contains(out, id) {
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
	out := []flow.Event{}
	for _, line := range lines.Val() {
		events, err := s.packer.storyOf(line)
		if err != nil {
			return nil, err
		}
		out = append(out, events...)
	}
	return out, nil
}
