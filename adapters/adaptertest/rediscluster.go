package adaptertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// RedisCluster is a real Redis Cluster of this test's own: masters first, then their replicas in the same order.
type RedisCluster struct {
	t       testing.TB
	Nodes   []*RedisServer
	masters int
}

// ClusterOf starts a cluster of so many masters, each with so many replicas, and returns when it serves all slots. A
// master that is gone for two seconds is failed over to its replica.
func ClusterOf(t testing.TB, masters, replicas int, settings ...string) *RedisCluster {
	t.Helper()
	c := &RedisCluster{t: t, masters: masters}
	patience := 2000
	if replicas == 0 {
		patience = 4000 // nothing takes a master's place: a busy machine must not look like a dead one
	}
	for range masters * (1 + replicas) {
		more := []string{"cluster-enabled yes", fmt.Sprintf("cluster-node-timeout %d", patience), fmt.Sprintf("cluster-port %d", FreePort(t)), "repl-diskless-sync-delay 0", "repl-ping-replica-period 1"}
		c.Nodes = append(c.Nodes, Redis(t, append(more, settings...)...))
	}
	for i, n := range c.Nodes {
		c.want(n, fmt.Sprintf("CLUSTER SET-CONFIG-EPOCH %d", i+1))
		if i < masters {
			c.want(n, fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", 16384*i/masters, 16384*(i+1)/masters-1))
		}
		if i > 0 {
			c.want(n, fmt.Sprintf("CLUSTER MEET 127.0.0.1 %d %s", c.Nodes[0].port, c.Nodes[0].setting("cluster-port")))
		}
	}
	c.until("all nodes to know each other", func(n *RedisServer) bool {
		return strings.Count(n.Send("CLUSTER NODES"), "connected") == len(c.Nodes) && !strings.Contains(n.Send("CLUSTER NODES"), "handshake")
	})
	for i, n := range c.Nodes[masters:] {
		c.want(n, "CLUSTER REPLICATE "+c.Nodes[i%masters].Send("CLUSTER MYID"))
	}
	c.Ready()
	return c
}

func (r *RedisServer) setting(name string) string {
	for i, a := range r.args {
		if a == "--"+name {
			return r.args[i+1]
		}
	}
	return ""
}

func (c *RedisCluster) want(n *RedisServer, command string) {
	c.t.Helper()
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) { // a node may be met that is not known yet
		answer := n.Send(command)
		if answer == "+OK" {
			return
		}
		if time.Now().After(limit) {
			c.t.Fatalf("%s: %s", command, answer)
		}
	}
}

func (c *RedisCluster) until(what string, f func(*RedisServer) bool) {
	c.t.Helper()
	limit := time.Now().Add(30 * time.Second)
	for _, n := range c.Nodes {
		for n.cmd != nil && !f(n) {
			if time.Now().After(limit) {
				c.t.Fatalf("waiting for %s: %s\n%s\n%s", what, n.Send("CLUSTER INFO"), n.Send("CLUSTER NODES"), n.log)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// Ready returns when every node that runs sees all slots served, and every replica is up to date with its master.
func (c *RedisCluster) Ready() {
	c.t.Helper()
	c.until("the cluster to be whole", func(n *RedisServer) bool {
		role := n.Send("INFO replication")
		return strings.Contains(n.Send("CLUSTER INFO"), "cluster_state:ok") && (strings.Contains(role, "role:master") || strings.Contains(role, "master_link_status:up"))
	})
}

// Addresses of all nodes, host:port.
func (c *RedisCluster) Addresses() []string {
	var out []string
	for _, n := range c.Nodes {
		out = append(out, n.Addr())
	}
	return out
}

// Masters gives the nodes that are masters now and run.
func (c *RedisCluster) Masters() []*RedisServer {
	var out []*RedisServer
	for _, n := range c.Nodes {
		if n.cmd != nil && strings.Contains(n.Send("INFO replication"), "role:master") {
			out = append(out, n)
		}
	}
	return out
}

// Flush empties every master.
func (c *RedisCluster) Flush() {
	c.t.Helper()
	for _, n := range c.Masters() {
		c.want(n, "FLUSHALL")
	}
}

// Restart ends every node as a power cut would, and starts them with what is on disk.
func (c *RedisCluster) Restart() {
	c.t.Helper()
	for _, n := range c.Nodes {
		n.Kill()
	}
	for _, n := range c.Nodes {
		n.Restart()
	}
	c.Ready()
}

// RedisSentinels is a master with replicas, watched by three Sentinels that call it "dermgate".
type RedisSentinels struct {
	Nodes     []*RedisServer // the first master first
	Addresses []string       // of the Sentinels
}

// SentinelsOver starts a master with so many replicas and three Sentinels: a master that is gone for half a second is
// failed over.
func SentinelsOver(t testing.TB, replicas int, settings ...string) *RedisSentinels {
	t.Helper()
	s := &RedisSentinels{}
	settings = append(settings, "repl-diskless-sync-delay 0", "repl-ping-replica-period 1")
	for range 1 + replicas {
		own := settings
		if len(s.Nodes) > 0 {
			own = append([]string{fmt.Sprintf("replicaof 127.0.0.1 %d", s.Nodes[0].port)}, settings...)
		}
		s.Nodes = append(s.Nodes, Redis(t, own...))
	}
	for range 3 {
		s.Addresses = append(s.Addresses, sentinel(t, s.Nodes[0].port))
	}
	known := func(address string) bool {
		info := (&RedisServer{address: address}).Send("INFO sentinel")
		return strings.Contains(info, fmt.Sprintf("slaves=%d,sentinels=3", replicas))
	}
	for limit := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		n := 0
		for _, a := range s.Addresses {
			if known(a) {
				n++
			}
		}
		if n == 3 {
			return s
		}
		if time.Now().After(limit) {
			t.Fatal("the Sentinels do not find each other")
		}
	}
}

func sentinel(t testing.TB, master int) string {
	t.Helper()
	port := FreePort(t)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("port %d\nbind 127.0.0.1\nsentinel monitor dermgate 127.0.0.1 %d 2\nsentinel down-after-milliseconds dermgate 500\nsentinel failover-timeout dermgate 3000\n", port, master)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("redis-server", file, "--sentinel")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return fmt.Sprintf("127.0.0.1:%d", port)
}
