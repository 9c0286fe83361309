package redis

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dermgate/dermgate/gateway/flow"
)

// OldCases gives cases that have not changed for long, partition by partition.
func (s *Store) OldCases(ctx context.Context, o flow.Old) ([]flow.CaseRecord, string, error) {
	ids, next, err := s.old(ctx, "changed", o)
	if err != nil {
		return nil, "", err
	}
	texts, err := s.fetch(ctx, "case", ids)
	if err != nil {
		return nil, "", err
	}
	var out []flow.CaseRecord
	for _, text := range texts {
		if text == "" {
			continue // gone meanwhile
		}
		r, err := s.packer.recordOf(text)
		if err != nil {
			return nil, "", err
		}
		out = append(out, r)
	}
	return out, next, nil
}

// OldMessages gives messages that came long ago, partition by partition.
func (s *Store) OldMessages(ctx context.Context, o flow.Old) ([]flow.Message, string, error) {
	ids, next, err := s.old(ctx, "received", o)
	if err != nil {
		return nil, "", err
	}
	texts, err := s.fetch(ctx, "message", ids)
	if err != nil {
		return nil, "", err
	}
	var out []flow.Message
	for i, text := range texts {
		if text == "" {
			continue
		}
		m, err := s.packer.messageOf(ids[i], text)
		if err != nil {
			return nil, "", err
		}
		m.Raw.Inline = nil
		out = append(out, m)
	}
	return out, next, nil
}

// old reads a page of a sorted set by time, of one partition after the other. A place is the partition and the
// last score that was read.
func (s *Store) old(ctx context.Context, set string, o flow.Old) (ids []flow.ID, next string, err error) {
	p, after, err := placeIn(set, o)
	if err != nil {
		return nil, "", err
	}
	for ; p < flow.Partitions; p, after = p+1, "-inf" {
		if set == "received" && after == "-inf" {
			if err := s.enter(ctx, p); err != nil {
				return nil, "", err
			}
		}
		now, err := s.clock(ctx, p)
		if err != nil {
			return nil, "", err
		}
		before := strconv.FormatInt(now.Add(-o.Age).UnixMicro(), 10)
		page, err := s.db.ZRangeArgsWithScores(ctx, redis.ZRangeArgs{Key: key(p, set), ByScore: true, Start: after, Stop: "(" + before,
			Count: int64(most(o.Limit))}).Result()
		if err != nil {
			return nil, "", fault(err)
		}
		for _, z := range page {
			id, err := idOf(z.Member.(string))
			if err != nil {
				return nil, "", fmt.Errorf("redis: a damaged %s: %w", set, err)
			}
			ids = append(ids, id)
		}
		switch {
		case len(page) == most(o.Limit):
			return ids, fmt.Sprintf("%d %.0f", p, page[len(page)-1].Score), nil
		case len(ids) > 0 && p+1 < flow.Partitions:
			return ids, fmt.Sprintf("%d -inf", p+1), nil
		}
	}
	return ids, "", nil
}

// placeIn gives the partition and the least score of a page.
func placeIn(set string, o flow.Old) (p int, after string, err error) {
	if o.After == "" {
		return 0, "-inf", nil
	}
	part, score, ok := strings.Cut(o.After, " ")
	if p, err = strconv.Atoi(part); err != nil || !ok || p < 0 || p >= flow.Partitions {
		return 0, "", fmt.Errorf("redis: no place in %s", set)
	}
	if score == "-inf" {
		return p, score, nil
	}
	return p, "(" + score, nil
}

// PruneActs removes acts that were decided long ago, with the marks of those that were told to a case elsewhere. A place is the
// partition and the cursor in its hash.
func (s *Store) PruneActs(ctx context.Context, o flow.Old) (string, error) {
	p, cursor := 0, uint64(0)
	if o.After != "" {
		if _, err := fmt.Sscanf(o.After, "%d %d", &p, &cursor); err != nil || p < 0 || p >= flow.Partitions {
			return "", errors.New("redis: no place in act")
		}
	}
	now, err := s.clock(ctx, p)
	if err != nil {
		return "", err
	}
	page, next, err := s.db.HScan(ctx, key(p, "act"), cursor, "", int64(most(o.Limit))).Result()
	if err != nil {
		return "", fault(err)
	}
	pipe := s.db.Pipeline()
	for i := 0; i+1 < len(page); i += 2 {
		var a flow.Act
		if page[i+1] == "" { // was told to a case, and goes with its act
			continue
		}
		if err := json.Unmarshal([]byte(page[i+1]), &a); err != nil {
			return "", fmt.Errorf("redis: a damaged act: %w", err)
		}
		if now.Sub(a.At) < o.Age {
			continue
		}
		pipe.HDel(ctx, key(p, "act"), page[i])
		for q := range flow.Partitions { // of which its delivery's case was, nobody knows any more
			pipe.HDel(ctx, key(q, "act"), hashed("told", a.Key))
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return "", fault(err)
	}
	switch {
	case next != 0:
		return fmt.Sprintf("%d %d", p, next), nil
	case p+1 < flow.Partitions:
		return fmt.Sprintf("%d 0", p+1), nil
	}
	return "", nil
}

// enter gives the messages of a partition that were written before there was a set by time of coming their places in it:
// without one they would be kept for ever.
func (s *Store) enter(ctx context.Context, p int) error {
	var all, dated *redis.IntCmd
	_, err := s.db.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		all, dated = tx.HLen(ctx, key(p, "message")), tx.ZCard(ctx, key(p, "received"))
		return nil
	})
	if err != nil || dated.Val() >= all.Val() {
		return fault(err)
	}
	for cursor, more := uint64(0), true; more; more = cursor != 0 {
		var page []string
		if page, cursor, err = s.db.HScan(ctx, key(p, "message"), cursor, "", 100).Result(); err != nil {
			return fault(err)
		}
		c := s.call(p).key(key(p, "received"))
		for i := 0; i+1 < len(page); i += 2 {
			m, err := s.packer.messageOf(flow.ID{}, page[i+1])
			if err != nil {
				return err
			}
			c.arg(page[i], m.At.UnixMicro())
		}
		if err := s.settled(ctx, s.scripts.date, c); err != nil {
			return err
		}
	}
	return nil
}

// clock is the time of the server that holds a partition.
func (s *Store) clock(ctx context.Context, p int) (time.Time, error) {
	reply, err := redis.NewScript(`return redis.call('TIME')`).Run(ctx, s.db, []string{key(p, "changed")}).StringSlice()
	if err != nil {
		return time.Time{}, fault(err)
	}
	if len(reply) != 2 {
		return time.Time{}, fmt.Errorf("redis: TIME answers %d parts", len(reply))
	}
	seconds, err := strconv.ParseInt(reply[0], 10, 64)
	micros, err2 := strconv.ParseInt(reply[1], 10, 64)
	return time.Unix(seconds, micros*1000), errors.Join(err, err2)
}

// Prune removes what was kept long enough. References are let go first: what leads to a case that is still there
// is named by it, and Find would only leave it out.
func (s *Store) Prune(ctx context.Context, r flow.Remains) error {
	if err := r.Check(); err != nil {
		return err
	}
	call := s.call(r.Partition())
	var named []string
	if r.Case == nil {
		call.arg("")
	} else {
		id := r.Case.ID.String()
		found := foundBy(call.partition, r.Case.Index)
		call.arg(id, r.Case.Version, len(found)).key(namedKey(r.Case.ID), key(call.partition, "story", id), key(call.partition, "bycase", id)).key(found...)
		var err error
		if named, err = s.named(ctx, r.Case.ID); err != nil {
			return err
		}
	}
	call.arg(len(r.Messages))
	for _, m := range r.Messages {
		call.arg(m.ID.String(), hashed(m.Idem.Key))
	}
	if len(r.Messages) > 0 {
		call.key(key(call.partition, "received"))
	}
	call.arg(len(r.Deliveries))
	of, err := s.placesOf(ctx, r.Deliveries)
	if err != nil {
		return err
	}
	for i, id := range r.Deliveries {
		call.arg(id.String()).key(key(call.partition, "bycase", of[i].Case.String())).key(destination(call.partition, of[i].To)...)
	}
	call.arg(len(r.Applied))
	for _, mark := range r.Applied {
		call.arg(hashed(mark))
	}
	if err := s.settled(ctx, s.scripts.prune, call); err != nil || r.Case == nil {
		return err
	}
	return s.unrefer(ctx, named, r.Case.ID)
}

// placesOf gives of each delivery its case and its destination, which stand in the names of its lists.
func (s *Store) placesOf(ctx context.Context, ids []flow.ID) ([]flow.Delivery, error) {
	records, err := s.fetch(ctx, "delivery", ids)
	if err != nil {
		return nil, err
	}
	states, err := s.fetch(ctx, "state", ids)
	if err != nil {
		return nil, err
	}
	out := make([]flow.Delivery, len(ids))
	for i, id := range ids {
		if records[i] == "" || states[i] == "" {
			continue // gone already
		}
		if out[i], err = s.packer.whole(id, records[i], states[i], ""); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// named gives what leads to a case: for each reference its partition and its hash. Which partition a reference lives in did
// not show in layout 1: it is then each.
func (s *Store) named(ctx context.Context, id flow.ID) ([]string, error) {
	kept, err := s.db.HGet(ctx, key(id.Partition(), "named"), id.String()).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fault(err)
	}
	before, err := s.db.SMembers(ctx, namedKey(id)).Result()
	if err != nil {
		return nil, fault(err)
	}
	out := refNames(kept)
	for _, text := range before {
		name, err := hex.DecodeString(text)
		switch {
		case err != nil:
			return nil, fmt.Errorf("redis: a damaged reference: %w", err)
		case len(name) == 17:
			out = append(out, string(name))
		default:
			for p := range flow.Partitions {
				out = append(out, string([]byte{byte(p)})+string(name))
			}
		}
	}
	return out, nil
}

// unrefer takes a case out of what references lead to. One that a crash leaves behind leads nowhere.
func (s *Store) unrefer(ctx context.Context, named []string, id flow.ID) error {
	if len(named) == 0 {
		return nil
	}
	_, err := s.db.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, name := range named {
			p := int(name[0])
			pipe.ZRem(ctx, key(p, "leads"), name[1:]+string(id[:]))
			pipe.SRem(ctx, refKey(p, name[1:]), id.String()) // of layout 1
		}
		return nil
	})
	return fault(err)
}
