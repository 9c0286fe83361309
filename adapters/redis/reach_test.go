package redis_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/redis"
	"github.com/dermgate/dermgate/gateway/flow"
)

// A master that dies is followed to the replica that takes its place: what was confirmed with one replica waited for
// is there, and what was claimed is claimed.
func TestSentinel(t *testing.T) {
	t.Parallel()
	set := adaptertest.SentinelsOver(t, 2)
	s := open(t, redis.Options{Sentinel: &redis.Sentinel{Master: "dermgate", Addresses: set.Addresses}, Wait: redis.Wait{Replicas: 1, Timeout: time.Second}})
	for i := range 20 {
		again(t, "put", func(ctx context.Context) error {
			_, err := s.Put(ctx, adaptertest.Request(fmt.Sprint(i), "epr"))
			return err
		})
	}
	ds, err := s.Claim(t.Context(), "epr", 5, time.Minute)
	if err != nil || len(ds) != 5 {
		t.Fatal(len(ds), err)
	}
	again(t, "settle", func(ctx context.Context) error { return s.Settle(ctx, ds[0], flow.Outcome{Result: flow.Delivered}) })
	set.Nodes[0].Kill()
	if _, err := s.Put(t.Context(), adaptertest.Request("while it is gone", "epr")); !errors.Is(err, flow.ErrUnavailable) {
		t.Fatalf("while the master is gone: %v", err)
	}
	var rest []flow.Delivery
	again(t, "claim", func(ctx context.Context) (err error) { rest, err = s.Claim(ctx, "epr", 100, time.Minute); return err })
	seen := map[string]bool{}
	for _, d := range append(ds, rest...) {
		seen[d.Key] = true
	}
	if len(rest) < 15 || len(seen) < 20 {
		t.Fatalf("%d claimed after the failover, %d in all", len(rest), len(seen))
	}
	// The other replica follows the new master, and commits wait for it.
	again(t, "put", func(ctx context.Context) error { _, err := s.Put(ctx, adaptertest.Request("after", "epr")); return err })
}

// TLS with a certificate of the gateway's own, and a user of an ACL that may do no more than the store needs.
func TestTLSAndACL(t *testing.T) {
	t.Parallel()
	trust := adaptertest.NewTrust(t)
	server := adaptertest.RedisTLS(t, trust, "user gateway on >secret resetchannels ~dermgate:* +@all -@dangerous -@admin +info +config|get", "user default off")
	config := trust.Config("gateway")
	o := redis.Options{URL: "rediss://" + server.Addr() + "/0", User: "gateway", Password: word("secret"), TLS: func() *tls.Config { return config }}
	s := open(t, o)
	c := adaptertest.Request("one", "epr")
	if _, err := s.Put(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	ds, err := s.Claim(t.Context(), "epr", 1, time.Minute)
	if err != nil || len(ds) != 1 {
		t.Fatal(ds, err)
	}
	if err := s.Settle(t.Context(), ds[0], flow.Outcome{Result: flow.Delivered}); err != nil {
		t.Fatal(err)
	}
	for name, broken := range map[string]func(redis.Options) redis.Options{
		"no certificate": func(o redis.Options) redis.Options {
			o.TLS = func() *tls.Config { return &tls.Config{RootCAs: config.RootCAs} }
			return o
		},
		"another authority": func(o redis.Options) redis.Options {
			c := adaptertest.NewTrust(t).Config("x")
			o.TLS = func() *tls.Config { return c }
			return o
		},
		"without TLS":    func(o redis.Options) redis.Options { o.URL, o.TLS = "redis://"+server.Addr(), nil; return o },
		"wrong password": func(o redis.Options) redis.Options { o.Password = word("geheim"); return o },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if _, err := redis.Open(ctx, broken(o)); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}

// A cluster whose replica would lose what it confirmed is refused: it may be the master tomorrow.
func TestNotDurableReplicaOfACluster(t *testing.T) {
	t.Parallel()
	cluster := adaptertest.ClusterOf(t, 3, 1)
	o := redis.Options{Cluster: cluster.Addresses()}
	open(t, o)
	cluster.Nodes[4].Send("CONFIG SET appendfsync everysec")
	var err error
	for limit := time.Now().Add(20 * time.Second); err == nil && time.Now().Before(limit); { // one that does not answer now is passed over
		var s *redis.Store
		if s, err = redis.Open(t.Context(), o); err == nil {
			s.Close()
		}
	}
	if err == nil || !strings.Contains(err.Error(), cluster.Nodes[4].Addr()) || !strings.Contains(err.Error(), "CONFIG SET appendfsync always") {
		t.Fatalf("with a careless replica: %v", err)
	}
	_, err = redis.Open(t.Context(), redis.Options{URL: cluster.Nodes[0].URL()})
	if err == nil || !strings.Contains(err.Error(), "store.redis.cluster") {
		t.Fatalf("one node of a cluster by its URL: %v", err)
	}
}
