package mllp

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"

	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"

	"github.com/dermgate/dermgate/gateway/flow"
)

func TestMutualTLS(t *testing.T) {
	ours, foreign := adaptertest.NewTrust(t), adaptertest.NewTrust(t)
	g := serve(t, &Server{TLS: &tls.Config{
		Certificates: []tls.Certificate{ours.Issue("gateway", time.Hour)}, ClientCAs: ours.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
	}}, nil)
	deliver := func(c *tls.Config) flow.Outcome {
		client := &Client{Address: g.Address(), TLS: c, AckTimeout: 5 * time.Second}
		defer func() { _ = client.Close() }()
		out, err := client.Deliver(context.Background(), delivery("1"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	good := &tls.Config{RootCAs: ours.Pool(), Certificates: []tls.Certificate{ours.Issue("emis.example", time.Hour)}}
	if out := deliver(good); out.Result != flow.Delivered {
		t.Errorf("known certificate: %+v", out)
	}
	if name := g.kept[0].Subject.Name; name != "emis.example" {
		t.Errorf("subject is %q", name)
	}
	for name, c := range map[string]*tls.Config{
		"no certificate":      {RootCAs: ours.Pool()},
		"foreign certificate": {RootCAs: ours.Pool(), Certificates: []tls.Certificate{foreign.Issue("emis.example", time.Hour)}},
		"foreign server":      {RootCAs: foreign.Pool(), Certificates: good.Certificates},
	} {
		if out := deliver(c); out.Result != flow.Retry {
			t.Errorf("%s: %+v", name, out)
		}
	}
	plain := g.dial()
	plain.send(frame(message("2")))
	if plain.ack() == "AA 2" {
		t.Error("plain MLLP was answered on a TLS listener")
	}
	if len(g.accepted()) != 1 || !strings.Contains(g.log(), "TLS handshake failed") {
		t.Errorf("accepted %d, log %s", len(g.accepted()), g.log())
	}
}

func TestStalledTLSHandshakeIsClosed(t *testing.T) {
	ours := adaptertest.NewTrust(t)
	g := serve(t, &Server{ReadTimeout: 100 * time.Millisecond, TLS: &tls.Config{Certificates: []tls.Certificate{ours.Issue("gateway", time.Hour)}}}, nil)
	p := g.dial()
	p.send("\x16\x03\x01")
	if got := p.ack(); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestMissingCRIsToleratedUnderTLS(t *testing.T) {
	ours := adaptertest.NewTrust(t)
	g := serve(t, &Server{TLS: &tls.Config{Certificates: []tls.Certificate{ours.Issue("gateway", time.Hour)}}}, nil)
	c, err := tls.Dial("tcp", g.Address(), &tls.Config{RootCAs: ours.Pool()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	p := &peerEnd{Conn: c, t: t, r: NewReader(c, 0)}
	for _, id := range []string{"1", "2"} { // the wait for CR must leave the TLS connection usable
		p.send("\x0b" + message(id) + "\x1c")
		if got := p.ack(); got != "AA "+id {
			t.Errorf("got %q", got)
		}
	}
}
