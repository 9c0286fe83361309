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
	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/observe"
)

// outageConfig writes a configuration on a Redis and gives its path and the MLLP and HTTP addresses.
func outageConfig(t *testing.T, redis, sink string) (path, mllpAddress, httpAddress string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "photo.key"), bytes.Repeat([]byte("ab"), 32), 0o600); err != nil {
		t.Fatal(err)
	}
	mllpAddress, httpAddress = freePort(t), freePort(t)
	text := fmt.Sprintf(crashConfig, fmt.Sprintf("{redis: {url: redis://%s/0}}", redis), dir, dir, httpAddress, freePort(t), mllpAddress, sink)
	text = strings.Replace(text, "destinations:", "  - {name: fhir, kind: fhir}\ndestinations:", 1)
	path = filepath.Join(dir, "gateway.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, mllpAddress, httpAddress
}

func TestRedisGoneAtTheStartIsSaidAndServeEnds(t *testing.T) {
	path, _, _ := outageConfig(t, freePort(t), "127.0.0.1:1")
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	code := run(ctx, []string{"serve", "-c", path}, stdio{nil, &out, &out})
	if code != 1 || !strings.Contains(strings.ToLower(out.String()), "redis") || strings.Contains(out.String(), "goroutine") {
		t.Errorf("exit %d:\n%s", code, out.String())
	}
}

// Redis gone in the middle: AR and 503 with Retry-After instead of a promise, and all is well again by
// itself when it is back.
func TestRedisGoneInTheMiddleNothingIsPromised(t *testing.T) {
	server := adaptertest.Redis(t)
	s := startSink(t)
	path, address, httpAddress := outageConfig(t, server.Addr(), s.server.Address())
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var log lockedBuffer
	a, err := build(ctx, cfg, observe.NewLogger(&log, slog.LevelInfo))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- a.run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		noPatients(t, "the log", log.Bytes())
		if t.Failed() {
			t.Logf("%s", log.Bytes())
		}
	}()
	var conn *mllp.Conn
	if code, err := exchange(&conn, address, referral(1)); code != "AA" {
		t.Fatalf("before: %s %v", code, err)
	}
	server.Kill()
	if code, err := exchange(&conn, address, referral(2)); code != "AR" {
		t.Errorf("while Redis is gone: %s %v, want AR", code, err)
	}
	resp, err := http.Post("http://"+httpAddress+"/fhir/$process-message", "application/fhir+json", strings.NewReader(
		`{"resourceType":"Bundle","type":"message","identifier":{"system":"urn:x","value":"F1"},"entry":[{"fullUrl":"urn:uuid:0f0c7a30-0000-4000-8000-000000000001","resource":{"resourceType":"MessageHeader","eventCoding":{"system":"https://fhir.nhs.uk/CodeSystem/message-events-bars","code":"servicerequest-response"},"source":{"endpoint":"urn:x"},"response":{"identifier":"nobody","code":"ok"}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("FHIR while Redis is gone: %s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}
	server.Restart()
	deadline := time.Now().Add(20 * time.Second)
	for code := ""; code != "AA"; code, _ = exchange(&conn, address, referral(2)) {
		if time.Now().After(deadline) {
			t.Fatal("Redis is back, messages are not taken")
		}
		time.Sleep(50 * time.Millisecond)
	}
	// A claim whose answer was lost with Redis is a lease that nobody holds: it runs out after 30 s.
	deadline = time.Now().Add(60 * time.Second)
	for s.count() < 2 && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
	}
	if s.count() != 2 {
		t.Errorf("%d of 2 arrived", s.count())
	}
}

// A typo gets an answer that a stranger understands, with its place.
func TestATypoInTheConfigurationIsNamedWithItsPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	text := "site: {name: Test, ods: RXX01}\nsources:\n  - {name: gp, kind: mllp, lissten: 127.0.0.1:2575}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"serve", "lint"} {
		var out bytes.Buffer
		code := run(context.Background(), []string{verb, "-c", path}, stdio{nil, &out, &out})
		if code != 1 || !strings.Contains(out.String(), path+":3:28: ") || !strings.Contains(out.String(), "listen") {
			t.Errorf("%s: exit %d:\n%s", verb, code, out.String())
		}
	}
}
