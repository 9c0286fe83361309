package api

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// files are the certificate files of one side, written anew by renew.
type files struct {
	t   *testing.T
	dir string
}

// renew swaps in a certificate for a name and the authority, as an operator or a certificate daemon does.
func (f files) renew(a *authority, name string) {
	f.t.Helper()
	c := a.issue(name, "")
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		f.t.Fatal(err)
	}
	f.swap("tls.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))
	f.swap("tls.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	f.swap("ca.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

func (f files) swap(name string, b []byte) {
	f.t.Helper()
	file := filepath.Join(f.dir, name)
	if err := os.WriteFile(file+".new", b, 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		f.t.Fatal(err)
	}
}

func (f files) keys(log *slog.Logger) *Keys {
	return &Keys{CertFile: filepath.Join(f.dir, "tls.crt"), KeyFile: filepath.Join(f.dir, "tls.key"), CAFile: filepath.Join(f.dir, "ca.crt"),
		Log: log, every: time.Millisecond}
}

// shake makes a connection, says which protocol it came to, and whether both sides took the other's
// certificate.
func shake(t *testing.T, address string, config *tls.Config) (string, error) {
	t.Helper()
	config = config.Clone()
	config.ServerName, config.NextProtos = "localhost", []string{"h2", "http/1.1"}
	c, err := tls.Dial("tcp", address, config)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err = c.Read(make([]byte, 1)) // in TLS 1.3 the server judges the certificate after our handshake
	return c.ConnectionState().NegotiatedProtocol, err
}

// TestCertificatesAreReadAgainWhenTheyChange: the server's own, and the authority that it and its clients
// trust; broken ones change nothing and are logged once.
func TestCertificatesAreReadAgainWhenTheyChange(t *testing.T) {
	first, second := newAuthority(t), newAuthority(t)
	server, client := files{t, t.TempDir()}, files{t, t.TempDir()}
	server.renew(first, "gateway")
	client.renew(first, "gp")
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	config, err := server.keys(logger).Server(true)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen("127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go serveOneByte(l)
	current, err := client.keys(slog.New(slog.DiscardHandler)).Client("localhost")
	if err != nil {
		t.Fatal(err)
	}
	old := current()
	works := func(when string, c *tls.Config, want bool) {
		t.Helper()
		time.Sleep(2 * time.Millisecond) // until the files are looked at again
		if protocol, err := shake(t, l.Addr().String(), c); (err == nil) != want || want && protocol != "h2" {
			t.Errorf("%s: %s, %v", when, protocol, err)
		}
	}
	works("at the start", current(), true)
	if current() != old {
		t.Error("another configuration although nothing changed")
	}

	server.swap("tls.crt", []byte("no certificate"))
	for range 3 {
		works("broken certificate", current(), true)
	}
	server.swap("ca.crt", []byte("no authority"))
	works("broken authority too", current(), true)
	if err := os.Remove(filepath.Join(server.dir, "tls.key")); err != nil {
		t.Fatal(err)
	}
	works("no key", current(), true)
	if n := strings.Count(log.String(), "level=ERROR"); n < 1 || n > 2 {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}

	server.renew(second, "gateway")
	works("server renewed, client not", current(), false)
	client.renew(second, "gp")
	time.Sleep(2 * time.Millisecond)
	works("both renewed", current(), true)
	works("the client's old files", old, false)
	if !strings.Contains(log.String(), "renewed") {
		t.Errorf("log:\n%s", log.String())
	}
}

// serveOneByte sends a byte to whoever shakes hands.
func serveOneByte(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_, _ = c.Write([]byte{1}) // fails where the handshake does
		}()
	}
}

func TestKeysThatCannotBeReadAtTheStart(t *testing.T) {
	f := files{t, t.TempDir()}
	if _, err := f.keys(nil).Client(""); err == nil {
		t.Error("files that are not there")
	}
	f.renew(newAuthority(t), "gp")
	f.swap("ca.crt", []byte("none"))
	if _, err := f.keys(nil).Server(true); err == nil {
		t.Error("an authority that is none")
	}
	none, err := (&Keys{}).Client("gp.example")
	if err != nil || none().RootCAs != nil || none().ServerName != "gp.example" {
		t.Errorf("no files: %v", err)
	}
}
