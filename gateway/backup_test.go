package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/bolt"
	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/observe"
)

// A running gateway's file is copied while messages come in: every message acknowledged before is in the copy, and a
// gateway starts on it.
func TestBackupOfARunningGateway(t *testing.T) {
	p, address, admin := fileGateway(t)
	var conn *mllp.Conn
	for n := range 20 {
		until20s(t, func() bool { code, _ := exchange(&conn, address, referral(n)); return code == "AA" })
	}
	stop := make(chan struct{})
	sent := make(chan int)
	go func() {
		n := 20
		for ; ; n++ {
			select {
			case <-stop:
				sent <- n
				return
			default:
				_, _ = exchange(&conn, address, referral(n))
			}
		}
	}()
	file := filepath.Join(t.TempDir(), "copy.db")
	var out bytes.Buffer
	code := run(context.Background(), []string{"backup", file, "--server", "http://" + admin}, stdio{nil, &out, &out})
	close(stop)
	total := <-sent
	if code != 0 {
		t.Fatalf("exit %d: %s", code, out.String())
	}
	c, err := bolt.Verify(file)
	if err != nil || c.Messages < 20 || c.Messages > total {
		t.Fatalf("%+v of %d sent, %v", c, total, err)
	}
	if want := fmt.Sprintf("%d messages", c.Messages); !strings.Contains(out.String(), want) {
		t.Errorf("%q does not say %s", out.String(), want)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	out.Reset()
	if code := run(context.Background(), []string{"backup", file, "--server", "http://" + admin}, stdio{nil, &out, &out}); code != 1 || !strings.Contains(out.String(), "overwrites nothing") {
		t.Errorf("a second time: exit %d: %s", code, out.String())
	}
	if left, _ := filepath.Glob(file + ".part*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	p.kill()
	s, err := bolt.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Health(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// fileGateway starts a gateway on a file in a process of its own, and gives its MLLP and admin addresses.
func fileGateway(t *testing.T) (p *process, address, admin string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "photo.key"), bytes.Repeat([]byte("ab"), 32), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startSink(t)
	address, admin = freePort(t), freePort(t)
	p = &process{t: t, config: filepath.Join(dir, "gateway.yaml"), log: filepath.Join(dir, "log")}
	text := fmt.Sprintf(crashConfig, fmt.Sprintf("{embedded: {path: %s/gateway.db}}", dir), dir, dir, freePort(t), admin, address, s.server.Address())
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.start()
	t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
	return p, address, admin
}

func until20s(t *testing.T, f func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("not within 20 s")
		}
	}
}

// On Redis the verb says what to do instead.
func TestBackupOnRedisSaysWhatToDo(t *testing.T) {
	path, _, _ := outageConfig(t, adaptertest.Redis(t).Addr(), "127.0.0.1:1")
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var log lockedBuffer
	a, err := build(ctx, cfg, observe.NewLogger(&log, slog.LevelInfo))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- a.run(ctx) }()
	defer func() { stop(); <-done }()
	until20s(t, func() bool {
		resp, err := http.Get("http://" + a.admin.Addr().String() + "/healthz")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	file := filepath.Join(t.TempDir(), "copy.db")
	var out bytes.Buffer
	code := run(ctx, []string{"backup", file, "--server", "http://" + a.admin.Addr().String()}, stdio{nil, &out, &out})
	if _, err := os.Stat(file); code != 1 || !strings.Contains(out.String(), "Redis") || !os.IsNotExist(err) {
		t.Errorf("exit %d, %v: %s", code, err, out.String())
	}
}
