package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/gateway/flow"
)

// Who connects is what a named load balancer says, and nobody else: `allow` is about senders.
func TestABalancerSaysWhoConnects(t *testing.T) {
	loopback, elsewhere := netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24")
	for name, c := range map[string]struct {
		proxies netip.Prefix
		header  string
		let     bool
	}{
		"a sender that is allowed, by the balancer":       {loopback, "PROXY TCP4 10.1.2.3 10.1.2.4 4000 2575\r\n", true},
		"a sender that is not":                            {loopback, "PROXY TCP4 10.9.9.9 10.1.2.4 4000 2575\r\n", false},
		"the balancer without a word":                     {loopback, "", false},
		"a stranger that says so":                         {elsewhere, "PROXY TCP4 10.1.2.3 10.1.2.4 4000 2575\r\n", false},
		"the balancer in the second version of the words": {loopback, "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x0a\x01\x02\x03\x0a\x01\x02\x04\x0f\xa0\x0a\x0f", true},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := behindProxies("127.0.0.1:0", []netip.Prefix{c.proxies})
			if err != nil {
				t.Fatal(err)
			}
			server := &mllp.Server{Name: "gp", Listener: l, Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			var who string
			go func() {
				done <- server.Serve(ctx, func(ctx context.Context, r flow.Received) (flow.Receipt, error) {
					who = r.Subject.Name
					return (&mllp.Receiver{}).Accept(ctx, r)
				})
			}()
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "%s\x0b%s\x1c\r", c.header, referral(1))
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			answer, _ := io.ReadAll(io.LimitReader(conn, 5))
			conn.Close()
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if let := len(answer) == 5; let != c.let || let && who != "10.1.2.3" {
				t.Errorf("answered %q to %q", answer, who)
			}
		})
	}
}

// e-RS counts the calls of an application: those of deliveries and polls in all replicas together are evenly spaced.
func TestCallsAreEvenlySpacedWhoeverMakesThem(t *testing.T) {
	var mu sync.Mutex
	var came []time.Time
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		came = append(came, time.Now())
	}))
	defer server.Close()
	gate := &flow.LocalGate{}
	var all sync.WaitGroup
	const n = 12
	for range 4 {
		client := &http.Client{Transport: &paced{http.DefaultTransport, gate, "calls:ers", 20}}
		all.Go(func() {
			for range n / 4 {
				resp, err := client.Get(server.URL)
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			}
		})
	}
	began := time.Now()
	all.Wait()
	if took, least := time.Since(began), (n-1)*50*time.Millisecond; len(came) != n || took < least {
		t.Errorf("%d calls in %v, want no less than %v", len(came), took, least)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	slow := &http.Client{Transport: &paced{http.DefaultTransport, &flow.LocalGate{}, "calls:ers", 0.001}}
	for i, want := range []bool{true, false} {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		resp, err := slow.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		if (err == nil) != want {
			t.Errorf("call %d at one in a thousand seconds: %v", i+1, err)
		}
	}
}
