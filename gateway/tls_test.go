package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/observe"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// TestCertificatesAreSwappedUnderARunningGateway on its MLLP source, its HTTP listener and its destination:
// the old authority's peers are refused from then on, the new one's served, without a restart. Only the
// certificate names that are listed may send.
func TestCertificatesAreSwappedUnderARunningGateway(t *testing.T) {
	before, after := adaptertest.NewTrust(t), adaptertest.NewTrust(t)
	var epr atomic.Pointer[tls.Config]
	epr.Store(before.Config("epr"))
	s := &sink{came: map[string]map[string]int{}, server: &mllp.Server{Name: "sink", Addr: "127.0.0.1:0", CloseAfter: 1, TLS: &tls.Config{
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return epr.Load(), nil }}}}
	if err := s.server.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var done [2]chan error
	for i := range done {
		done[i] = make(chan error, 1)
	}
	receiver := &mllp.Receiver{Handle: func(_ context.Context, raw []byte) { s.take(t, raw) }}
	go func() { done[0] <- s.server.Serve(ctx, receiver.Accept) }()

	dir := t.TempDir()
	before.Files(dir, before.Issue("gateway", time.Hour))
	if err := os.WriteFile(filepath.Join(dir, "photo.key"), bytes.Repeat([]byte("ab"), 32), 0o600); err != nil {
		t.Fatal(err)
	}
	const files = "{cert_file: tls.crt, key_file: tls.key, %s: ca.crt}"
	text := fmt.Sprintf(crashConfig, "{embedded: {path: gateway.db}}", dir, dir, "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", s.server.Address())
	text = strings.Replace(text, "    organisation:", "    tls: "+fmt.Sprintf(files, "client_ca_file")+"\n    allow_names: [emis]\n    organisation:", 1)
	text = strings.Replace(text, "concurrency: 4}", "concurrency: 4, tls: "+fmt.Sprintf(files, "ca_file")+"}", 1)
	text = strings.Replace(text, "http: {listen: 127.0.0.1:0}", "http: {listen: 127.0.0.1:0, tls: "+fmt.Sprintf(files, "client_ca_file")+"}", 1)
	path := filepath.Join(dir, "gateway.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var log lockedBuffer
	a, err := build(ctx, cfg, observe.NewLogger(&log, slog.LevelInfo))
	if err != nil {
		t.Fatal(err)
	}
	go func() { done[1] <- a.run(ctx) }()
	defer func() {
		stop()
		for i := range done {
			if err := <-done[i]; err != nil {
				t.Error(err)
			}
		}
		if t.Failed() {
			t.Logf("%s", log.Bytes())
		}
	}()

	n := 0
	sends := func(when string, c *tls.Config, want string) {
		t.Helper()
		n++
		if got := sendOver(a.servers[0].Address(), c, referral(n)); got != want {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
		_, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: c}, Timeout: 10 * time.Second}).Get("https://" + a.public.Addr().String() + "/fhir/metadata")
		if trusted := want == "AA" || strings.Contains(when, "name"); (err == nil) != trusted {
			t.Errorf("%s: HTTP: %v", when, err)
		}
	}
	arrived := func(want int) {
		t.Helper()
		if err := until(ctx, "the referrals arrive", func() bool { return s.count() >= want }); err != nil {
			t.Error(err)
		}
	}
	sends("at the start", before.Config("emis"), "AA")
	sends("another name", before.Config("tpp"), "")
	sends("a stranger", after.Config("emis"), "")
	arrived(1)

	after.Files(dir, after.Issue("gateway", time.Hour))
	epr.Store(after.Config("epr"))
	time.Sleep(2500 * time.Millisecond) // until the files are looked at again
	sends("the new authority's", after.Config("emis"), "AA")
	sends("the new authority's, another name", after.Config("tpp"), "")
	sends("the old authority's", before.Config("emis"), "")
	arrived(2)
	if !strings.Contains(string(log.Bytes()), "TLS certificates renewed") {
		t.Error("not logged")
	}
}

// sendOver sends one message over a connection of its own and gives MSA-1 of the answer, "" for none.
func sendOver(address string, c *tls.Config, message []byte) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := mllp.Dial(ctx, address, c)
	if err != nil {
		return ""
	}
	defer conn.Close()
	ack, err := conn.Exchange(ctx, message)
	if err != nil {
		return ""
	}
	a, err := hl7.ParseAck(ack)
	if err != nil {
		return err.Error()
	}
	return a.Code
}
