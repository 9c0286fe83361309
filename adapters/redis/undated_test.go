package redis_test

import (
	"context"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/redis"
	"github.com/dermgate/dermgate/gateway/flow"
)

// Messages that were written before they were listed by time of coming are found when they are old, and one that has gone gets
// no place.
func TestMessagesWithoutATimeAreFound(t *testing.T) {
	server := adaptertest.Redis(t)
	s := open(t, redis.Options{URL: server.URL()})
	const messages = 250 // more than a page of each
	want := map[flow.ID]bool{}
	for i := range messages {
		c := adaptertest.Request(string(rune('A' + i)))
		c.Message.At = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
		if _, err := s.Put(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		want[c.Message.ID] = true
	}
	o, err := goredis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	raw := goredis.NewClient(o)
	defer raw.Close()
	sets, err := raw.Keys(t.Context(), "dermgate:*:received").Result()
	if err != nil || len(sets) == 0 {
		t.Fatal(sets, err)
	}
	if err := raw.Del(context.Background(), sets...).Err(); err != nil {
		t.Fatal(err)
	}
	found := 0
	for after := ""; ; {
		page, next, err := s.OldMessages(t.Context(), flow.Old{After: after, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page {
			if !want[m.ID] {
				t.Errorf("%s is found twice, or is nobody's", m.ID)
			}
			delete(want, m.ID)
			found++
		}
		if after = next; after == "" {
			break
		}
	}
	if found != messages {
		t.Errorf("%d of %d are found", found, messages)
	}
}
