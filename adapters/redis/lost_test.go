package redis_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/redis"
	"github.com/dermgate/dermgate/gateway/flow"
)

// answerLoser is a proxy before a Redis that passes every request on, and breaks the connection instead of
// every nth answer: what was asked is done, and the client does not know.
type answerLoser struct {
	net.Listener
	to      string
	nth     int64
	answers atomic.Int64
	lost    atomic.Int64
}

func loseAnswers(t *testing.T, to string, nth int64) *answerLoser {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &answerLoser{Listener: l, to: to, nth: nth}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

func (p *answerLoser) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, client)
		server.Close()
	}()
	for buf := make([]byte, 64<<10); ; {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		if p.answers.Add(1)%p.nth == 0 {
			p.lost.Add(1)
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// The client sends again what it got no answer to, and so do its callers: nothing has a second effect.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	server := adaptertest.Redis(t)
	proxy := loseAnswers(t, server.Addr(), 4)
	s := openThrough(t, "redis://"+proxy.Addr().String()+"/0")
	const n = 20
	for i := range n {
		again(t, "put", func(ctx context.Context) error {
			_, err := s.Put(ctx, adaptertest.Request(fmt.Sprint(i), "epr"))
			return err
		})
	}
	for done := 0; done < n; done++ {
		var d flow.Delivery
		again(t, "claim", func(ctx context.Context) error {
			ds, err := s.Claim(ctx, "epr", 1, time.Minute)
			if err == nil && len(ds) != 1 {
				return fmt.Errorf("claimed %d: one was leased to nobody", len(ds))
			}
			if err == nil {
				d = ds[0]
			}
			return err
		})
		if d.Attempt != 1 || d.Fence != 1 {
			t.Fatalf("attempt %d under fence %d: claimed twice", d.Attempt, d.Fence)
		}
		settleTwice(t, s, d)
	}
	direct := open(t, redis.Options{URL: server.URL()})
	for i := range n {
		id := adaptertest.Request(fmt.Sprint(i)).Case.Record.ID
		record, err := direct.Case(t.Context(), id)
		if err != nil || record.Version != 2 {
			t.Fatalf("case %d has version %d, %v", i, record.Version, err)
		}
		story, err := direct.Story(t.Context(), id)
		if err != nil || len(story) != 3 {
			t.Fatalf("case %d: story %v, %v", i, story, err)
		}
	}
	if proxy.lost.Load() < 2*n {
		t.Fatalf("only %d answers were lost: the test shows nothing", proxy.lost.Load())
	}
}

// settleTwice parks a delivery with a change of its case, and has a person discard it.
func settleTwice(t *testing.T, s flow.Store, d flow.Delivery) {
	t.Helper()
	again(t, "step", func(ctx context.Context) error { return s.SaveStep(ctx, d, flow.Step{Name: "A020"}) })
	var record flow.CaseRecord
	again(t, "case", func(ctx context.Context) (err error) { record, err = s.Case(ctx, d.Case); return err })
	record.Version++
	change := flow.Change{Case: &flow.CaseChange{Record: record, Story: []flow.Event{{What: "parked"}}}}
	again(t, "settle", func(ctx context.Context) error {
		return s.Settle(ctx, d, flow.Outcome{Result: flow.Refused, Change: &change})
	})
	act := flow.Act{Verb: "discard", ID: d.ID, Person: "nurse@example", Reason: "sent by hand", Key: "press " + d.Key, At: time.Now()}
	again(t, "act", func(ctx context.Context) error { return s.Act(ctx, act) })
}

// openThrough opens a store over a connection that breaks.
func openThrough(t *testing.T, url string) *redis.Store {
	t.Helper()
	var s *redis.Store
	again(t, "open", func(ctx context.Context) (err error) {
		s, err = redis.Open(ctx, redis.Options{URL: url})
		return err
	})
	t.Cleanup(func() { s.Close() })
	return s
}

// again does what callers do: try until the store can.
func again(t *testing.T, what string, f func(context.Context) error) {
	t.Helper()
	err := f(t.Context())
	for limit := time.Now().Add(20 * time.Second); errors.Is(err, flow.ErrUnavailable) && time.Now().Before(limit); {
		time.Sleep(5 * time.Millisecond)
		err = f(t.Context())
	}
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
