package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/observe"
)

// pager is a webhook that counts what it is told. It refuses the first call of each alarm, as one that is being restarted.
type pager struct {
	*httptest.Server
	mu    sync.Mutex
	seen  map[string]bool // by key
	calls map[string]int  // by name and state, those that were taken
}

func startPager(t *testing.T) *pager {
	p := &pager{seen: map[string]bool{}, calls: map[string]int{}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var al alarm
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &al); err != nil || al.Text == "" || al.At.IsZero() {
			t.Errorf("the webhook got %s", body)
		}
		noPatients(t, "an alarm", body)
		p.mu.Lock()
		defer p.mu.Unlock()
		if key := r.Header.Get("Idempotency-Key"); !p.seen[key] {
			p.seen[key] = true
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		p.calls[al.Name+" "+al.State]++
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *pager) told() map[string]int { p.mu.Lock(); defer p.mu.Unlock(); return maps.Clone(p.calls) }

// replica builds one gateway of several on a Redis and runs it; its MLLP address is given.
func replica(t *testing.T, redis, sink, more string, adapt func(*config.Config)) (*app, string) {
	t.Helper()
	dir, address := t.TempDir(), freePort(t)
	if err := os.WriteFile(filepath.Join(dir, "photo.key"), bytes.Repeat([]byte("ab"), 32), 0o600); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(crashConfig, fmt.Sprintf("{redis: {url: redis://%s/0}}", redis), dir, dir, "127.0.0.1:0", "127.0.0.1:0", address, sink)
	text = strings.Replace(text, "concurrency: 4", "concurrency: 4, retry: {first: 50ms, longest: 200ms}, probe: 1s", 1) + more
	cfg, err := config.Parse("gateway.yaml", []byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	if adapt != nil {
		adapt(cfg)
	}
	a, err := build(t.Context(), cfg, observe.NewLogger(io.Discard, slog.LevelInfo))
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.run(ctx) }()
	t.Cleanup(func() {
		end()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return a, address
}

// Three replicas see a destination go and come, deliveries that wait too long and a sender that is silent: the webhook,
// which fails at first, is told of each once when it opens and once when it closes.
func TestThreeReplicasTellAnAlarmOnce(t *testing.T) {
	server, pager, sink := adaptertest.Redis(t), startPager(t), freePort(t)
	var all []*app
	var address string
	for range 3 {
		a, at := replica(t, server.Addr(), sink, fmt.Sprintf("alarms: {webhook: %q, oldest_waiting: 1s}\n", pager.URL), func(c *config.Config) {
			c.Alarms.SenderSilent = map[string]time.Duration{"gp": 1500 * time.Millisecond}
		})
		all, address = append(all, a), at
	}
	look := func() {
		var wg sync.WaitGroup
		for _, a := range all {
			wg.Go(func() {
				if err := a.alarms.look(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	until := func(want map[string]int) {
		t.Helper()
		for limit := time.Now().Add(30 * time.Second); !maps.Equal(pager.told(), want); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatalf("the webhook was told %v, want %v", pager.told(), want)
			}
			look()
		}
	}
	var conn *mllp.Conn
	send := func(n int) {
		t.Helper()
		if code, err := exchange(&conn, address, referral(n)); code != "AA" {
			t.Fatalf("%s %v", code, err)
		}
	}
	for n := range 6 {
		send(n)
	}
	want := map[string]int{"destination-down:sink open": 1, "oldest-waiting:sink open": 1, "sender-silent:gp open": 1}
	until(want)
	s := startSinkAt(t, sink)
	send(6)
	want["destination-down:sink closed"], want["oldest-waiting:sink closed"], want["sender-silent:gp closed"] = 1, 1, 1
	for limit := time.Now().Add(30 * time.Second); s.count() < 7; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%d of 7 arrived", s.count())
		}
	}
	for limit := time.Now().Add(30 * time.Second); !maps.Equal(pager.told(), want); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("the webhook was told %v, want %v", pager.told(), want)
		}
		send(6) // it is not silent
		look()
	}
	if names := slices.Sorted(maps.Keys(pager.told())); len(names) != 6 {
		t.Errorf("told %v", names)
	}
}
