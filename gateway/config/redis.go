package config

import (
	"net/url"
	"time"
)

// Redis is the shared store. One of URL, Sentinel and Cluster says where it is.
type Redis struct {
	URL      Secret // redis://, rediss:// or unix://; may carry a password
	Sentinel *RedisSentinel
	Cluster  []string // host:port of some nodes of a Redis Cluster

	User     string // of an ACL
	Password Secret
	Database int        // of a Sentinel's master
	TLS      *ClientTLS // with a URL: rediss://

	Durability Durability
	Reason     string // why the durability settings cannot be read, when attested
	Wait       RedisWait
}

// RedisSentinel is where the address of the master is asked for.
type RedisSentinel struct {
	Master    string
	Addresses []string // host:port
	User      string
	Password  Secret
}

// RedisWait says which replicas have a commit before a message is acknowledged.
type RedisWait struct {
	Replicas int // 0: none
	Until    string
	Timeout  time.Duration
}

// Where a replica has a commit that is waited for.
const (
	InMemory = "memory" // WAIT
	OnDisk   = "disk"   // WAITAOF, Redis 7.2
)

// Durability says how Redis's own settings are trusted.
type Durability string

// The three: checked at start-up, vouched for by a person, or not asked for.
const (
	Strict   Durability = "strict"
	Attested Durability = "attested"
	Relaxed  Durability = "relaxed"
)

func (d *decoder) redis(n node, s *Store) {
	r := &Redis{Durability: Strict, Wait: RedisWait{Until: InMemory, Timeout: 200 * time.Millisecond}}
	k := keys{
		"sentinel":   func(n node) { d.sentinel(n, r) },
		"cluster":    list(d, &r.Cluster, valueOf(d, readAddress)),
		"user":       d.text(&r.User),
		"database":   value(d, &r.Database, within(0, 1<<16, readInt, "")),
		"tls":        d.clientTLS(&r.TLS),
		"durability": oneOf(d, &r.Durability, Strict, Attested, Relaxed),
		"reason":     d.text(&r.Reason),
		"wait": func(n node) {
			d.object(n, keys{
				"replicas": value(d, &r.Wait.Replicas, within(0, 10, readInt, "")),
				"until":    oneOf(d, &r.Wait.Until, InMemory, OnDisk),
				"timeout":  value(d, &r.Wait.Timeout, within(time.Millisecond, time.Minute, readDuration, "")),
			})
		},
	}
	d.secret(k, "url", &r.URL)
	d.secret(k, "password", &r.Password)
	d.object(n, k)
	switch ways := d.count(n, "sentinel", "cluster") + min(1, d.count(n, "url", "url_file")); {
	case ways == 0:
		d.fault(where(n.Node), "%s needs the key url or url_file, or sentinel or cluster", subject(n))
	case ways > 1:
		d.fault(where(n.Node), "%s is one of url, sentinel and cluster", subject(n))
	}
	s.Redis, s.Embedded = r, ""
}

func (d *decoder) sentinel(n node, r *Redis) {
	r.Sentinel = &RedisSentinel{}
	k := keys{
		"master":    d.text(&r.Sentinel.Master),
		"addresses": list(d, &r.Sentinel.Addresses, valueOf(d, readAddress)),
		"user":      d.text(&r.Sentinel.User),
	}
	d.secret(k, "password", &r.Sentinel.Password)
	d.object(n, k)
	d.require(n, "master", "addresses")
}

// count tells how many of the keys an object has.
func (d *decoder) count(n node, names ...string) int {
	out := 0
	for _, name := range names {
		if d.has(n, name) {
			out++
		}
	}
	return out
}

func (c *checker) redis(r *Redis) {
	if (r.Durability == Attested) != (r.Reason != "") {
		c.fault("store.redis.durability", "durability attested and its reason go together: who vouches, and how they know")
	}
	if r.Wait.Replicas > 0 && r.Durability == Relaxed {
		c.fault("store.redis.wait", "waiting for replicas promises what relaxed durability does not keep")
	}
	if r.Database > 0 && r.Sentinel == nil {
		c.fault("store.redis.database", "database is of a Sentinel's master: a url holds its own, a cluster has only 0")
	}
	if r.TLS != nil && r.URL.Given() && r.scheme() == "redis" {
		c.fault("store.redis.tls", "tls goes with a url of rediss://")
	}
	if !c.Photos.Key.Given() {
		c.fault("photos", "with Redis the photos need key or key_file: every replica seals with the same one")
	}
}

// scheme of the URL; empty where there is none that can be read.
func (r *Redis) scheme() string {
	text, err := r.URL.Read()
	if err != nil {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Scheme
}

// plain tells whether what is kept goes over a network unencrypted.
func (r *Redis) plain() bool {
	if r.TLS != nil {
		return false
	}
	addresses := r.Cluster
	if r.Sentinel != nil {
		addresses = r.Sentinel.Addresses
	}
	if text, err := r.URL.Read(); err == nil && r.scheme() == "redis" {
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			addresses = []string{u.Hostname() + ":0"}
		}
	}
	for _, a := range addresses {
		if !Loopback(a) {
			return true
		}
	}
	return false
}
