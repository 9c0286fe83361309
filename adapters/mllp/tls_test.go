package mllp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	pair := a.issue("test CA")
	a.cert, a.key = pair.Leaf, pair.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

// issue makes a certificate for a name, valid for 127.0.0.1; self-signed while there is no authority yet.
func (a *authority) issue(name string, dns ...string) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: dns, IsCA: a.cert == nil, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := template, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func TestMutualTLS(t *testing.T) {
	ours, foreign := newAuthority(t), newAuthority(t)
	g := serve(t, &Server{TLS: &tls.Config{
		Certificates: []tls.Certificate{ours.issue("gateway")}, ClientCAs: ours.pool(), ClientAuth: tls.RequireAndVerifyClientCert,
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
	good := &tls.Config{RootCAs: ours.pool(), Certificates: []tls.Certificate{ours.issue("emis.example")}}
	if out := deliver(good); out.Result != flow.Delivered {
		t.Errorf("known certificate: %+v", out)
	}
	if name := g.kept[0].Subject.Name; name != "emis.example" {
		t.Errorf("subject is %q", name)
	}
	for name, c := range map[string]*tls.Config{
		"no certificate":      {RootCAs: ours.pool()},
		"foreign certificate": {RootCAs: ours.pool(), Certificates: []tls.Certificate{foreign.issue("emis.example")}},
		"foreign server":      {RootCAs: foreign.pool(), Certificates: good.Certificates},
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
	ours := newAuthority(t)
	g := serve(t, &Server{ReadTimeout: 100 * time.Millisecond, TLS: &tls.Config{Certificates: []tls.Certificate{ours.issue("gateway")}}}, nil)
	p := g.dial()
	p.send("\x16\x03\x01")
	if got := p.ack(); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestMissingCRIsToleratedUnderTLS(t *testing.T) {
	ours := newAuthority(t)
	g := serve(t, &Server{TLS: &tls.Config{Certificates: []tls.Certificate{ours.issue("gateway")}}}, nil)
	c, err := tls.Dial("tcp", g.Address(), &tls.Config{RootCAs: ours.pool()})
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
