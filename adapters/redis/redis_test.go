package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/redis"
	"github.com/dermgate/dermgate/gateway/flow"
)

// A Redis that would lose what it confirmed is refused at the start, by the name of the setting and its cure.
func TestNotDurable(t *testing.T) {
	for setting, cure := range map[string]string{
		"appendonly no":                 "CONFIG SET appendonly yes",
		"appendfsync everysec":          "CONFIG SET appendfsync always",
		"no-appendfsync-on-rewrite yes": "CONFIG SET no-appendfsync-on-rewrite no",
		"maxmemory-policy allkeys-lru":  "CONFIG SET maxmemory-policy noeviction",
	} {
		t.Run(setting, func(t *testing.T) {
			server := adaptertest.Redis(t, setting)
			for _, o := range []redis.Options{{}, {Durability: redis.Strict}, {Durability: redis.Attested, Reason: "the provider says so"}} {
				o.URL = server.URL()
				_, err := redis.Open(t.Context(), o)
				if err == nil || !strings.Contains(err.Error(), cure) {
					t.Fatalf("durability %q: %v, want the cure %q", o.Durability, err, cure)
				}
				if errors.Is(err, flow.ErrUnavailable) {
					t.Fatalf("%v: waiting does not cure it", err)
				}
			}
			open(t, redis.Options{URL: server.URL(), Durability: redis.Relaxed})
		})
	}
}

// Health sees settings that were changed under a running gateway.
func TestHealthSeesSettings(t *testing.T) {
	server := adaptertest.Redis(t)
	s := open(t, redis.Options{URL: server.URL()})
	if err := s.Health(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.Send("CONFIG SET appendfsync everysec")
	if err := s.Health(t.Context()); err == nil || !strings.Contains(err.Error(), "appendfsync") {
		t.Fatalf("health: %v", err)
	}
}

// Where the settings may not be read, strict says how to allow it and attested takes a person's word.
func TestSettingsUnreadable(t *testing.T) {
	server := adaptertest.Redis(t, "user gateway on >secret ~* +@all -config", "user default on nopass ~* +@all")
	url := "redis://gateway@" + server.Addr() + "/0"
	_, err := redis.Open(t.Context(), redis.Options{URL: url, Password: word("secret")})
	if err == nil || !strings.Contains(err.Error(), "+config|get") {
		t.Fatalf("strict: %v", err)
	}
	_, err = redis.Open(t.Context(), redis.Options{URL: url, Password: word("secret"), Durability: redis.Attested})
	if err == nil || !strings.Contains(err.Error(), "needs a reason") {
		t.Fatalf("attested without a reason: %v", err)
	}
	open(t, redis.Options{URL: url, Password: word("secret"), Durability: redis.Attested, Reason: "AOF always, confirmed by hosting, CHG-1"})
	_, err = redis.Open(t.Context(), redis.Options{URL: url, Password: word("wrong-secret")})
	if err == nil || strings.Contains(err.Error(), "wrong-secret") {
		t.Fatalf("wrong password: %v", err)
	}
}

func TestBadOptions(t *testing.T) {
	_, err := redis.Open(t.Context(), redis.Options{URL: "http://user:hidden@example.org"})
	if err == nil || strings.Contains(err.Error(), "hidden") {
		t.Fatalf("URL of another scheme: %v", err)
	}
	server := adaptertest.Redis(t)
	_, err = redis.Open(t.Context(), redis.Options{URL: server.URL(), Durability: "best-effort"})
	if err == nil || !strings.Contains(err.Error(), "strict, attested, relaxed") {
		t.Fatalf("unknown durability: %v", err)
	}
	server.Kill()
	if _, err = redis.Open(t.Context(), redis.Options{URL: server.URL()}); !errors.Is(err, flow.ErrUnavailable) {
		t.Fatalf("no Redis: %v", err)
	}
}

// Redis dies while senders send: each gets ErrUnavailable, tries again, and in the end everything that was
// confirmed is there once, before and after the crash.
func TestKilledWhileSending(t *testing.T) {
	t.Parallel()
	server := adaptertest.Redis(t)
	s := open(t, redis.Options{URL: server.URL()})
	const senders, each = 8, 60
	var outages sync.Map
	var all sync.WaitGroup
	for sender := range senders {
		all.Go(func() {
			for i := range each {
				c := adaptertest.Request(fmt.Sprintf("%d-%d", sender, i), "epr")
				if err := insist(t, s, c, func() { outages.Store(sender, true) }); err != nil {
					t.Errorf("%d-%d: %v", sender, i, err)
				}
			}
		})
	}
	for range 3 {
		time.Sleep(30 * time.Millisecond)
		server.Kill()
		for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
			if met(&outages) {
				break
			}
		}
		server.Restart()
	}
	all.Wait()
	if !met(&outages) {
		t.Fatal("nobody met the outage: the test shows nothing")
	}
	ds := claimAll(t, s, "epr")
	if len(ds) != senders*each {
		t.Fatalf("%d deliveries, want %d", len(ds), senders*each)
	}
	for name := range ds {
		id := strings.TrimPrefix(name, "epr of ")
		if story, err := s.Story(t.Context(), adaptertest.Request(id).Case.Record.ID); err != nil || len(story) != 1 {
			t.Fatalf("%s: story %v, %v", id, story, err)
		}
	}
}

func met(m *sync.Map) bool {
	found := false
	m.Range(func(_, _ any) bool { found = true; return false })
	return found
}

// insist sends as a sender does: again after every "not now".
func insist(t *testing.T, s flow.Store, c flow.Change, outage func()) error {
	for limit := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, err := s.Put(t.Context(), c)
		if !errors.Is(err, flow.ErrUnavailable) {
			return err
		}
		outage()
		if time.Now().After(limit) {
			return err
		}
	}
}

// claimAll claims until nothing is due, and gives the keys.
func claimAll(t *testing.T, s flow.Store, to string) map[string]bool {
	t.Helper()
	seen := map[string]bool{}
	for {
		ds, err := s.Claim(t.Context(), to, 100, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if len(ds) == 0 {
			return seen
		}
		for _, d := range ds {
			if seen[d.Key] {
				t.Fatalf("%q claimed twice", d.Key)
			}
			seen[d.Key] = true
		}
	}
}

// While Redis is away every operation says so, and soon when its time is short; when it is back they work
// again by themselves, scripts forgotten by the new server included.
func TestOutage(t *testing.T) {
	t.Parallel()
	server := adaptertest.Redis(t)
	s := open(t, redis.Options{URL: server.URL()})
	if _, err := s.Put(t.Context(), adaptertest.Request("one", "epr")); err != nil {
		t.Fatal(err)
	}
	ds, err := s.Claim(t.Context(), "epr", 1, time.Minute)
	if err != nil || len(ds) != 1 {
		t.Fatal(ds, err)
	}
	server.Kill()
	c := adaptertest.Request("two", "epr")
	operations := map[string]func(context.Context) error{
		"put":        func(ctx context.Context) error { _, err := s.Put(ctx, c); return err },
		"claim":      func(ctx context.Context) error { _, err := s.Claim(ctx, "epr", 1, time.Minute); return err },
		"settle":     func(ctx context.Context) error { return s.Settle(ctx, ds[0], flow.Outcome{Result: flow.Retry}) },
		"step":       func(ctx context.Context) error { return s.SaveStep(ctx, ds[0], flow.Step{Name: "A020"}) },
		"renew":      func(ctx context.Context) error { return s.Renew(ctx, ds[0], time.Minute) },
		"case":       func(ctx context.Context) error { _, err := s.Case(ctx, ds[0].Case); return err },
		"find":       func(ctx context.Context) error { _, err := s.Find(ctx, c.Refs[0]); return err },
		"deliveries": func(ctx context.Context) error { _, err := s.Deliveries(ctx, flow.DeliveryQuery{}); return err },
		"health":     s.Health,
	}
	for name, run := range operations {
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		begun := time.Now()
		if err := run(ctx); !errors.Is(err, flow.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("%s took %v", name, took)
		}
		stop()
	}
	server.Restart()
	// The client looks for a lost Redis once a second.
	for limit := time.Now().Add(5 * time.Second); s.Health(t.Context()) != nil && time.Now().Before(limit); {
		time.Sleep(10 * time.Millisecond)
	}
	for _, name := range []string{"step", "renew", "settle", "put", "claim", "case", "find", "deliveries", "health"} {
		if err := operations[name](t.Context()); err != nil {
			t.Errorf("%s after the outage: %v", name, err)
		}
	}
}

// What Redis answers when it cannot keep now is passing, and nothing is kept.
func TestRedisCannotKeep(t *testing.T) {
	for name, setting := range map[string]string{
		"no memory":             "maxmemory 1",
		"a replica by mistake":  "replicaof 127.0.0.1 1",
		"too few good replicas": "min-replicas-to-write 1",
	} {
		t.Run(name, func(t *testing.T) {
			server := adaptertest.Redis(t)
			s := open(t, redis.Options{URL: server.URL()})
			field, value, _ := strings.Cut(setting, " ")
			if answer := server.Send("CONFIG SET " + field + " " + value); field != "replicaof" && answer != "+OK" {
				t.Fatal(answer)
			}
			if field == "replicaof" {
				server.Send("REPLICAOF " + value)
			}
			c := adaptertest.Request("one", "epr")
			if _, err := s.Put(t.Context(), c); !errors.Is(err, flow.ErrUnavailable) {
				t.Fatalf("put: %v", err)
			}
			if err := s.Health(t.Context()); !errors.Is(err, flow.ErrUnavailable) {
				t.Fatalf("health: %v", err)
			}
			if _, err := s.Case(t.Context(), c.Case.Record.ID); !errors.Is(err, flow.ErrNotFound) {
				t.Fatalf("case: %v", err)
			}
		})
	}
}

// A commit counts only when as many replicas have it as were asked for; a repeat waits for them as well.
func TestReplicas(t *testing.T) {
	t.Parallel()
	server := adaptertest.Redis(t, "repl-diskless-sync-delay 0")
	s := open(t, redis.Options{URL: server.URL(), Wait: redis.Wait{Replicas: 1, Timeout: 50 * time.Millisecond}})
	c := adaptertest.Request("one", "epr")
	refused := func(when string) {
		t.Helper()
		for range 2 {
			_, err := s.Put(t.Context(), c)
			if !errors.Is(err, flow.ErrUnavailable) || !strings.Contains(err.Error(), "0 of 1 replicas") {
				t.Fatalf("%s: %v", when, err)
			}
		}
	}
	refused("without a replica")
	replica := adaptertest.Redis(t, "repl-diskless-sync-delay 0", "replicaof "+strings.Replace(server.Addr(), ":", " ", 1))
	for _, repeat := range []bool{false, true} {
		var r flow.Receipt
		attempts := 0
		again(t, "with a replica", func(ctx context.Context) (err error) { attempts++; r, err = s.Put(ctx, c); return err })
		if r.Repeat != repeat && (repeat || attempts == 1) { // what was told in vain may be kept all the same
			t.Fatalf("repeat %v, want %v", r.Repeat, repeat)
		}
	}
	if got := replica.Send("HLEN dermgate:{p" + fmt.Sprintf("%02d", c.Partition()) + "}:idem"); got != ":1" {
		t.Fatalf("the replica has %q slots", got)
	}
	if got := replica.Send("ZCARD dermgate:{p" + fmt.Sprintf("%02d", c.Refs[0].Partition()) + "}:leads"); got != ":1" {
		t.Fatalf("the replica has %q of the references", got)
	}
	replica.Kill()
	refused("a repeat without the replica")
}

// WAITAOF is Redis 7.2's: an older one is refused by name, at the start.
func TestWaitForFilesOfReplicas(t *testing.T) {
	server := adaptertest.Redis(t)
	_, err := redis.Open(t.Context(), redis.Options{URL: server.URL(), Wait: redis.Wait{Replicas: 1, AOF: true}})
	if strings.HasPrefix(server.Send("WAITAOF 0 0 1"), "-ERR unknown command") {
		if err == nil || !strings.Contains(err.Error(), "Redis 7.2") || errors.Is(err, flow.ErrUnavailable) {
			t.Fatalf("on a server without it: %v", err)
		}
		return
	}
	s := open(t, redis.Options{URL: server.URL(), Wait: redis.Wait{Replicas: 1, AOF: true, Timeout: 50 * time.Millisecond}})
	c := adaptertest.Request("one", "epr")
	if _, err := s.Put(t.Context(), c); !errors.Is(err, flow.ErrUnavailable) {
		t.Fatalf("without a replica: %v", err)
	}
	adaptertest.Redis(t, "repl-diskless-sync-delay 0", "replicaof "+strings.Replace(server.Addr(), ":", " ", 1))
	again(t, "with a replica", func(ctx context.Context) error { _, err := s.Put(ctx, c); return err })
}

func word(password string) func() (string, error) {
	return func() (string, error) { return password, nil }
}
