package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/observe"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// trust is a certificate authority of a test.
type trust struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newTrust(t *testing.T) *trust {
	a := &trust{t: t}
	pair := a.issue("authority")
	a.cert, a.key = pair.Leaf, pair.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

// issue makes a certificate for 127.0.0.1; self-signed while there is no authority yet.
func (a *trust) issue(name string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: a.cert == nil, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	parent, signer := c, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// files writes a certificate of this authority, its key and the authority into a folder, each at once.
func (a *trust) files(dir string) {
	pair := a.issue("gateway")
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		a.t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"tls.crt": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		"tls.key": {Type: "PRIVATE KEY", Bytes: key}, "ca.crt": {Type: "CERTIFICATE", Bytes: a.cert.Raw}} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file+".new", pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			a.t.Fatal(err)
		}
	}
}

// config is the other side's: what it trusts and how it proves itself, to servers and clients.
func (a *trust) config(name string) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, Certificates: []tls.Certificate{a.issue(name)}}
}

// TestCertificatesAreSwappedUnderARunningGateway on its MLLP source, its HTTP listener and its destination:
// the old authority's peers are refused from then on, the new one's served, without a restart. Only the
// certificate names that are listed may send.
func TestCertificatesAreSwappedUnderARunningGateway(t *testing.T) {
	before, after := newTrust(t), newTrust(t)
	var epr atomic.Pointer[tls.Config]
	epr.Store(before.config("epr"))
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
	before.files(dir)
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
	sends("at the start", before.config("emis"), "AA")
	sends("another name", before.config("tpp"), "")
	sends("a stranger", after.config("emis"), "")
	arrived(1)

	after.files(dir)
	epr.Store(after.config("epr"))
	time.Sleep(2500 * time.Millisecond) // until the files are looked at again
	sends("the new authority's", after.config("emis"), "AA")
	sends("the new authority's, another name", after.config("tpp"), "")
	sends("the old authority's", before.config("emis"), "")
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
