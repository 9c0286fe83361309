package mllp

import (
	"context"
	"crypto/tls"
	"io"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"

	"github.com/dermgate/dermgate/gateway/flow"
)

// TestAllowedCertificateNames: a name must match exactly, as common name or DNS name, of a certificate that
// was verified, and the address must be allowed as well.
func TestAllowedCertificateNames(t *testing.T) {
	ours := adaptertest.NewTrust(t)
	for name, tt := range map[string]struct {
		common string
		dns    []string
		allow  []string
		from   string // addresses
		auth   tls.ClientAuthType
		in     bool
	}{
		"common name":             {common: "emis.example", allow: []string{"tpp.example", "emis.example"}, in: true},
		"DNS name":                {common: "x", dns: []string{"a.example", "emis.example"}, allow: []string{"emis.example"}, in: true},
		"another name":            {common: "tpp.example", dns: []string{"x.emis.example"}, allow: []string{"emis.example"}},
		"another case":            {common: "EMIS.example", allow: []string{"emis.example"}},
		"no wildcards":            {common: "a.example", dns: []string{"*.example"}, allow: []string{"b.example"}},
		"empty":                   {common: "", allow: []string{""}},
		"name and address":        {common: "emis.example", allow: []string{"emis.example"}, from: "127.0.0.0/8", in: true},
		"name, wrong address":     {common: "emis.example", allow: []string{"emis.example"}, from: "10.0.0.0/8"},
		"address, wrong name":     {common: "tpp.example", allow: []string{"emis.example"}, from: "127.0.0.0/8"},
		"certificate not checked": {common: "emis.example", allow: []string{"emis.example"}, auth: tls.RequireAnyClientCert},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Server{AllowNames: tt.allow, TLS: &tls.Config{
				Certificates: []tls.Certificate{ours.Issue("gateway", time.Hour)}, ClientCAs: ours.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
			}}
			if tt.auth != 0 {
				s.TLS.ClientAuth = tt.auth
			}
			if tt.from != "" {
				s.Allow = []netip.Prefix{netip.MustParsePrefix(tt.from)}
			}
			g := serve(t, s, nil)
			c := &Client{Address: g.Address(), AckTimeout: 2 * time.Second,
				TLS: &tls.Config{RootCAs: ours.Pool(), Certificates: []tls.Certificate{ours.Issue(tt.common, time.Hour, tt.dns...)}}}
			defer func() { _ = c.Close() }()
			out, err := c.Deliver(context.Background(), delivery("1"), nil)
			if in := out.Result == flow.Delivered; in != tt.in || err != nil || len(g.accepted()) > 0 != tt.in {
				t.Errorf("%+v, %v", out, err)
			}
			if strings.Contains(g.log(), "not allowed") == tt.in {
				t.Errorf("log: %s", g.log())
			}
		})
	}
}

func TestAllowedNamesLetNobodyInWithoutTLS(t *testing.T) {
	g := serve(t, &Server{AllowNames: []string{"emis.example"}}, nil)
	p := g.dial()
	_, _ = io.WriteString(p, frame(message("1"))) // may fail: the connection is already closed
	if got := p.ack(); got != "" || len(g.accepted()) != 0 {
		t.Errorf("got %q", got)
	}
}

// TestRenewedCertificatesCountForNewConnections on both sides; a connection that is open stays.
func TestRenewedCertificatesCountForNewConnections(t *testing.T) {
	before, after := adaptertest.NewTrust(t), adaptertest.NewTrust(t)
	var now atomic.Pointer[adaptertest.Trust]
	now.Store(before)
	g := serve(t, &Server{TLS: &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		a := now.Load()
		return &tls.Config{Certificates: []tls.Certificate{a.Issue("gateway", time.Hour)}, ClientCAs: a.Pool(), ClientAuth: tls.RequireAndVerifyClientCert}, nil
	}}}, nil)
	client := func(current func() *adaptertest.Trust) *Client {
		return &Client{Address: g.Address(), AckTimeout: 2 * time.Second, CurrentTLS: func() *tls.Config {
			a := current()
			return &tls.Config{RootCAs: a.Pool(), Certificates: []tls.Certificate{a.Issue("emis", time.Hour)}}
		}}
	}
	open, fresh, left := client(now.Load), client(now.Load), client(func() *adaptertest.Trust { return before })
	deliver := func(c *Client) flow.Result {
		out, err := c.Deliver(context.Background(), delivery("1"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return out.Result
	}
	if r := deliver(open); r != flow.Delivered {
		t.Fatalf("before: %s", r)
	}
	now.Store(after)
	if r := deliver(open); r != flow.Delivered {
		t.Errorf("connection from before: %s", r)
	}
	if r := deliver(fresh); r != flow.Delivered {
		t.Errorf("new connection, renewed: %s", r)
	}
	if r := deliver(left); r != flow.Retry {
		t.Errorf("new connection, not renewed: %s", r)
	}
	for _, c := range []*Client{open, fresh, left} {
		_ = c.Close()
	}
}

// TestTLSBefore12IsRefused, by the defaults of the configuration too.
func TestTLSBefore12IsRefused(t *testing.T) {
	ours := adaptertest.NewTrust(t)
	g := serve(t, &Server{TLS: &tls.Config{Certificates: []tls.Certificate{ours.Issue("gateway", time.Hour)}}}, nil)
	for version, ok := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {

		c, err := tls.Dial("tcp", g.Address(), &tls.Config{RootCAs: ours.Pool(), MinVersion: tls.VersionTLS10, MaxVersion: version})
		if (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			_ = c.Close()
		}
	}
}
