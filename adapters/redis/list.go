package redis

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/dermgate/dermgate/gateway/flow"
)

// page is how many entries are read at a time, of each set and of what is found in them.
const page = 100

// Cases gives the cases that a query wants, newest change first.
func (s *Store) Cases(ctx context.Context, q flow.CaseQuery) ([]flow.CaseRecord, error) {
	var sets []string
	for p := range flow.Partitions {
		switch {
		case q.Patient != "":
			sets = append(sets, key(p, "patient", q.Patient))
		case q.Organisation != "":
			sets = append(sets, key(p, "org", q.Organisation))
		default:
			sets = append(sets, key(p, "changed"))
		}
	}
	m := merge{db: s.db, newest: true, lists: lists(sets)}
	if q.Patient != "" {
		return s.casesOfPatient(ctx, q, m)
	}
	var out []flow.CaseRecord
	err := s.wanted(ctx, q, m, func(r flow.CaseRecord) bool {
		out = append(out, r)
		return len(out) < most(q.Limit)
	})
	return out, err
}

// wanted gives the cases of a query, in the order of the merge, until take has enough.
func (s *Store) wanted(ctx context.Context, q flow.CaseQuery, m merge, take func(flow.CaseRecord) bool) error {
	for {
		ids, err := m.next(ctx)
		if err != nil || len(ids) == 0 {
			return err
		}
		texts, err := s.fetch(ctx, "case", ids)
		if err != nil {
			return err
		}
		for _, text := range texts {
			if text == "" {
				continue // pruned
			}
			r, err := s.packer.recordOf(text)
			if err != nil {
				return err
			}
			if q.Wanted(r.Index) && !take(r) {
				return nil
			}
		}
	}
}

// casesOfPatient reads all cases of a patient, who has few: only then are they in order.
func (s *Store) casesOfPatient(ctx context.Context, q flow.CaseQuery, m merge) (out []flow.CaseRecord, err error) {
	err = s.wanted(ctx, q, m, func(r flow.CaseRecord) bool {
		out = append(out, r)
		return true
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(out, func(a, b flow.CaseRecord) int { return b.Index.Changed.Compare(a.Index.Changed) })
	return out[:min(len(out), most(q.Limit))], nil
}

// Deliveries gives the deliveries that a query wants, oldest first. Only one asked for by its id comes with
// inline bytes: a list of a thousand would be large.
func (s *Store) Deliveries(ctx context.Context, q flow.DeliveryQuery) ([]flow.Delivery, error) {
	if !q.ID.IsZero() {
		return s.one(ctx, q)
	}
	sets, err := s.setsOf(ctx, q)
	if err != nil {
		return nil, err
	}
	m := merge{db: s.db, lists: lists(sets)}
	var out []flow.Delivery
	for {
		ids, err := m.next(ctx)
		if err != nil || len(ids) == 0 {
			return out, err
		}
		records, err := s.fetch(ctx, "delivery", ids)
		if err != nil {
			return nil, err
		}
		states, err := s.fetch(ctx, "state", ids)
		if err != nil {
			return nil, err
		}
		for i := range ids {
			if records[i] == "" || states[i] == "" {
				continue // pruned
			}
			d, err := s.packer.whole(ids[i], records[i], states[i], "")
			if err != nil {
				return nil, err
			}
			d.Body.Inline = nil
			if !q.Wanted(d) {
				continue
			}
			if out = append(out, d); len(out) == most(q.Limit) {
				return out, nil
			}
		}
	}
}

func (s *Store) one(ctx context.Context, q flow.DeliveryQuery) ([]flow.Delivery, error) {
	p, id := q.ID.Partition(), q.ID.String()
	var parts []*redis.StringCmd
	_, err := s.db.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, name := range []string{"delivery", "state", "body"} {
			parts = append(parts, pipe.HGet(ctx, key(p, name), id))
		}
		return nil
	})
	if err != nil && err != redis.Nil {
		return nil, fault(err)
	}
	if parts[0].Err() == redis.Nil {
		return nil, nil
	}
	d, err := s.packer.whole(q.ID, parts[0].Val(), parts[1].Val(), parts[2].Val())
	if err != nil || !q.Wanted(d) {
		return nil, err
	}
	return []flow.Delivery{d}, nil
}

// setsOf gives the sets among which are all deliveries that a query wants.
func (s *Store) setsOf(ctx context.Context, q flow.DeliveryQuery) (out []string, err error) {
	names := []string{open, parked, ended}
	switch q.State {
	case flow.Waiting, flow.Claimed:
		names = names[:1]
	case flow.Parked:
		names = names[1:2]
	case flow.Done, flow.Discarded:
		names = names[2:]
	}
	if !q.Case.IsZero() {
		for p := range flow.Partitions {
			out = append(out, key(p, "bycase", q.Case.String()))
		}
		return out, nil
	}
	of := []string{q.To}
	if q.To == "" {
		if of, err = s.places(ctx); err != nil {
			return nil, err
		}
	}
	for p := range flow.Partitions {
		for _, n := range names {
			for _, to := range of {
				out = append(out, key(p, n, to))
			}
			if strings.HasPrefix(q.To, "~") {
				n = "~" + n
			}
			out = append(out, key(p, n)) // of layout 2
		}
	}
	return out, nil
}

// places gives the destinations that have deliveries, without internal ones.
func (s *Store) places(ctx context.Context) (out []string, err error) {
	sets := make([]*redis.StringSliceCmd, flow.Partitions)
	_, err = s.db.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for p := range sets {
			sets[p] = pipe.SMembers(ctx, key(p, "places"))
		}
		return nil
	})
	for _, set := range sets {
		out = append(out, set.Val()...)
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(to string) bool { return strings.HasPrefix(to, "~") }), fault(err)
}

// fetch reads a hash's value for each id, in one round trip; empty where there is none.
func (s *Store) fetch(ctx context.Context, hash string, ids []flow.ID) ([]string, error) {
	cmds := make([]*redis.StringCmd, len(ids))
	_, _ = s.db.Pipelined(ctx, func(pipe redis.Pipeliner) error { // each command has its own error
		for i, id := range ids {
			cmds[i] = pipe.HGet(ctx, key(id.Partition(), hash), id.String())
		}
		return nil
	})
	out := make([]string, len(ids))
	for i, c := range cmds {
		if err := c.Err(); err != nil && err != redis.Nil {
			return nil, fault(err)
		}
		out[i] = c.Val()
	}
	return out, nil
}

// merge reads several sorted sets as one.
type merge struct {
	db     redis.UniversalClient
	newest bool // highest score first
	lists  []*list
}

// list is what is at hand of one set.
type list struct {
	key   string
	at    int64 // of the next page
	items []redis.Z
	ended bool
}

func lists(keys []string) []*list {
	out := make([]*list, len(keys))
	for i, k := range keys {
		out[i] = &list{key: k}
	}
	return out
}

// next gives the next ids, up to a page; none at the end.
func (m *merge) next(ctx context.Context) ([]flow.ID, error) {
	var out []flow.ID
	for len(out) < page {
		if err := m.fill(ctx); err != nil {
			return nil, err
		}
		if len(m.lists) == 0 {
			break
		}
		first := slices.MinFunc(m.lists, func(a, b *list) int {
			if m.newest {
				a, b = b, a
			}
			return cmp.Compare(a.items[0].Score, b.items[0].Score)
		})
		id, err := idOf(first.items[0].Member.(string))
		if err != nil {
			return nil, err
		}
		out, first.items = append(out, id), first.items[1:]
	}
	return out, nil
}

// fill reads on in every set of which nothing is at hand, in one round trip, and drops those at their end.
func (m *merge) fill(ctx context.Context) error {
	pages := map[*list]*redis.ZSliceCmd{}
	_, err := m.db.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, l := range m.lists {
			if len(l.items) == 0 && !l.ended {
				pages[l] = pipe.ZRangeArgsWithScores(ctx, redis.ZRangeArgs{Key: l.key, Start: l.at, Stop: l.at + page - 1, Rev: m.newest})
			}
		}
		return nil
	})
	if err != nil {
		return fault(err)
	}
	for l, cmd := range pages {
		l.items, l.at, l.ended = cmd.Val(), l.at+page, len(cmd.Val()) < page
	}
	m.lists = slices.DeleteFunc(m.lists, func(l *list) bool { return len(l.items) == 0 && l.ended })
	return nil
}

func most(limit int) int {
	if limit > 0 {
		return limit
	}
	return 100
}
