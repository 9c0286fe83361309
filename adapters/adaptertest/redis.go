package adaptertest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// RedisServer is a real redis-server of this test's own, on a free port of the loopback.
type RedisServer struct {
	t       testing.TB
	args    []string
	dir     string // of its files
	port    int
	address string // when it is not ours
	cmd     *exec.Cmd
	log     *bytes.Buffer
	tls     *tls.Config // how Send connects; nil: without TLS
}

// Redis starts a redis-server that keeps every write on disk before it answers, and ends it with the test.
// Settings change that: "appendfsync everysec", as in redis.conf. Without a redis-server the test fails.
func Redis(t testing.TB, settings ...string) *RedisServer {
	t.Helper()
	return redisServer(t, nil, settings)
}

// RedisTLS is Redis that speaks TLS only, and only with clients of the same authority.
func RedisTLS(t testing.TB, a *Trust, settings ...string) *RedisServer {
	t.Helper()
	dir := t.TempDir()
	a.Files(dir, a.Issue("redis", time.Hour))
	for _, s := range []string{"tls-cert-file %s/tls.crt", "tls-key-file %s/tls.key", "tls-ca-cert-file %s/ca.crt"} {
		settings = append(settings, fmt.Sprintf(s, dir))
	}
	return redisServer(t, a.Config("test"), settings)
}

func redisServer(t testing.TB, secure *tls.Config, settings []string) *RedisServer {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("these tests need a redis-server (apt-get install redis-server): %v", err)
	}
	r := &RedisServer{t: t, port: FreePort(t), dir: t.TempDir(), tls: secure}
	r.args = []string{program, "--bind", "127.0.0.1", "--dir", r.dir, "--save", "", "--port", fmt.Sprint(r.port)}
	if secure != nil {
		r.args = append(r.args[:len(r.args)-1], "0", "--tls-port", fmt.Sprint(r.port))
	}
	for _, s := range append([]string{"appendonly yes", "appendfsync always", "maxmemory-policy noeviction", "no-appendfsync-on-rewrite no"}, settings...) {
		name, value, _ := strings.Cut(s, " ")
		r.args = append(r.args, "--"+name)
		r.args = append(r.args, strings.Fields(value)...)
	}
	t.Cleanup(r.Kill)
	r.Restart()
	return r
}

// FreePort gives a port of 127.0.0.1 that nobody listens on, below those that the kernel gives to connections (from
// 32768 on Linux): none of them can take it before it is used.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 10_000 + rand.N(20_000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// URL of its first database.
func (r *RedisServer) URL() string { return fmt.Sprintf("redis://%s/0", r.Addr()) }

// Addr is host:port.
func (r *RedisServer) Addr() string {
	if r.address != "" {
		return r.address
	}
	return fmt.Sprintf("127.0.0.1:%d", r.port)
}

// Kill ends it as a power cut would end it (SIGKILL): only what is on disk is left.
func (r *RedisServer) Kill() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	r.cmd = nil
}

// Restart ends it if it runs, starts it with what is on disk, and returns when it answers.
func (r *RedisServer) Restart() {
	r.t.Helper()
	r.Kill()
	r.log = &bytes.Buffer{}
	r.cmd = exec.Command(r.args[0], r.args[1:]...)
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		if answer := r.Send("PING"); strings.HasPrefix(answer, "+PONG") || strings.HasPrefix(answer, "-NOAUTH") {
			return
		}
	}
	r.Kill()
	r.t.Fatalf("redis-server does not answer:\n%s", r.log)
}

// Send sends one inline command, such as "FLUSHALL", and gives the text of the answer, or its first line; empty
// when there is none.
func (r *RedisServer) Send(command string) string {
	c, err := net.DialTimeout("tcp", r.Addr(), time.Second)
	if err != nil {
		return ""
	}
	defer func() { c.Close() }()
	if r.tls != nil {
		config := r.tls.Clone()
		config.ServerName = "127.0.0.1"
		c = tls.Client(c, config)
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte(command + "\r\n")); err != nil {
		return ""
	}
	in := bufio.NewReader(c)
	line, _ := in.ReadString('\n')
	line = strings.TrimRight(line, "\r\n")
	if n, err := strconv.Atoi(strings.TrimPrefix(line, "$")); err == nil && line[0] == '$' && n >= 0 {
		text := make([]byte, n)
		_, _ = io.ReadFull(in, text)
		return string(text)
	}
	return line
}
