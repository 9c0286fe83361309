package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Examine looks at a Redis as a person would who is asked whether it can be relied on: notes say what is well, findings
// what is not and how that is cured. It writes nothing but a probe.
func Examine(ctx context.Context, o Options) (notes []string, found []Finding) {
	fail := func(node string, err error, cure string) ([]string, []Finding) {
		return notes, append(found, Finding{node, strings.TrimPrefix(err.Error(), "redis: "), cure})
	}
	db, err := o.connect()
	if err != nil {
		return fail("store.redis", err, "one of url, sentinel and cluster, as in docs/operations.md, The store")
	}
	defer db.Close()
	s := &Store{db: db, o: o}
	if err := db.Ping(ctx).Err(); err != nil {
		return fail(o.where(), fmt.Errorf("it does not answer: %w", err), "see that it runs, that its address, TLS and credentials are these, and that nothing between blocks its port")
	}
	if o.Durability == Relaxed {
		found = append(found, Finding{o.where(), "durability is relaxed: an acknowledged message can be lost", "durability: strict"})
	} else if more, err := s.examine(ctx); err != nil {
		found = append(found, Finding{o.where(), err.Error(), "ACL SETUSER … +config|get"})
	} else {
		found = append(found, more...)
	}
	if len(found) == 0 {
		notes = append(notes, "every commit is on disk before it is confirmed, and nothing is evicted")
	}
	var mu sync.Mutex
	err = s.eachNode(ctx, allPartitions(), func(ctx context.Context, n node) error {
		note, more, err := s.standing(ctx, n)
		mu.Lock()
		defer mu.Unlock()
		notes, found = append(notes, note), append(found, more...)
		return err
	})
	if err != nil {
		return fail(o.where(), err, "CLUSTER INFO on a node says which part is not served")
	}
	if _, err := s.behind(ctx); err != nil {
		return fail(o.where(), err, "start the later version of the gateway")
	}
	if err := s.waits(ctx); err != nil {
		return fail(o.where(), err, "wait: {until: memory}")
	}
	return notes, found
}

// where names the Redis for a person, without its credentials.
func (o Options) where() string {
	switch {
	case o.Sentinel != nil:
		return "master " + o.Sentinel.Master + " of " + strings.Join(o.Sentinel.Addresses, " ")
	case len(o.Cluster) > 0:
		return "cluster of " + strings.Join(o.Cluster, " ")
	}
	if c, err := redis.ParseURL(o.URL); err == nil {
		return c.Addr
	}
	return "store.redis.url"
}

// standing looks at what a master says of itself, and how long a commit takes.
func (s *Store) standing(ctx context.Context, n node) (string, []Finding, error) {
	addr := n.Options().Addr
	text, err := n.Info(ctx).Result()
	if err != nil {
		return "", nil, fault(err)
	}
	info := fields(text)
	var out []Finding
	add := func(wrong bool, what, cure string) {
		if wrong {
			out = append(out, Finding{addr, what, cure})
		}
	}
	major, _, _ := strings.Cut(info["redis_version"], ".")
	version, _ := strconv.Atoi(major)
	add(version < 7, "it is Redis "+info["redis_version"], "Redis 7.0 or later")
	add(info["role"] == "slave", "it is a replica: nothing can be written", "name its master, or the Sentinels that know it")
	add(info["aof_last_write_status"] == "err", "its last write to the append-only file failed", "look at its disk: full, or failing")
	add(info["aof_last_bgrewrite_status"] == "err", "the last rewrite of its append-only file failed: the file grows", "room on its disk and in memory (vm.overcommit_memory=1), then BGREWRITEAOF")
	used, _ := strconv.ParseFloat(info["used_memory"], 64)
	most, _ := strconv.ParseFloat(info["maxmemory"], 64)
	add(most > 0 && used > 0.8*most, fmt.Sprintf("%.0f %% of its maxmemory is in use: when that is full nothing is taken any more", 100*used/max(most, 1)), "more maxmemory, or a shorter store.retain")
	replicas, _ := strconv.Atoi(info["connected_slaves"])
	add(replicas < s.o.Wait.Replicas, fmt.Sprintf("%d replicas follow it, wait.replicas is %d: nothing can be acknowledged", replicas, s.o.Wait.Replicas), "start the replicas that are missing")
	begun := time.Now()
	if err := n.Set(ctx, key(n.partitions[0], "health"), begun.UnixMicro(), 0).Err(); err != nil {
		return "", append(out, Finding{addr, "it does not take a write: " + err.Error(), "what it says is in its way"}), nil
	}
	took := time.Since(begun)
	return fmt.Sprintf("%s: Redis %s, %d replicas, a commit takes %v", addr, info["redis_version"], replicas, took.Round(10*time.Microsecond)), out, nil
}
