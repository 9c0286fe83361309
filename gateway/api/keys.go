package api

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Keys are the files by which one side of TLS proves itself and knows the other side. They are looked at
// again for new connections, at most every two seconds: changed ones count from then on. Ones that cannot
// be used leave those before in force and are logged, once, as long as they say the same.
type Keys struct {
	CertFile, KeyFile string       // empty: no certificate, for a client
	CAFile            string       // authorities of the other side; empty: the system's for a client, none for a server
	Log               *slog.Logger // nil: slog.Default()

	every time.Duration // 0: lookEvery
	build func(certs []tls.Certificate, authorities *x509.CertPool) *tls.Config

	mu     sync.Mutex
	looked time.Time
	seen   [3]os.FileInfo // as they were when read last
	failed string         // why that was in vain
	config *tls.Config
}

const lookEvery = 2 * time.Second

// Server gives the configuration of a listener, TLS 1.2 at least, which renews itself. required refuses the
// connection of a client without a certificate of the authority; else its absence is left to the routes.
func (k *Keys) Server(required bool) (*tls.Config, error) {
	auth := tls.VerifyClientCertIfGiven
	if required {
		auth = tls.RequireAndVerifyClientCert
	}
	k.build = func(certs []tls.Certificate, authorities *x509.CertPool) *tls.Config {
		c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: certs}
		if authorities != nil {
			c.ClientCAs, c.ClientAuth = authorities, auth
		}
		return c
	}
	if err := k.first(); err != nil {
		return nil, err
	}
	c := k.config.Clone()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return k.current(), nil }
	return c, nil
}

// Client gives the configuration for connecting, TLS 1.2 at least: a function to be asked for each new
// connection. It gives the same pointer until the files change. serverName is what the server's certificate
// must be for, empty: the address connected to.
func (k *Keys) Client(serverName string) (func() *tls.Config, error) {
	k.build = func(certs []tls.Certificate, authorities *x509.CertPool) *tls.Config {
		return &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serverName, Certificates: certs, RootCAs: authorities}
	}
	if err := k.first(); err != nil {
		return nil, err
	}
	return k.current, nil
}

func (k *Keys) first() error {
	k.looked, k.seen = time.Now(), k.stat()
	var err error
	k.config, err = k.read()
	return err
}

// current gives the configuration after a look at the files, where it is time for one.
func (k *Keys) current() *tls.Config {
	k.mu.Lock()
	defer k.mu.Unlock()
	every := k.every
	if every == 0 {
		every = lookEvery
	}
	if now := time.Now(); now.Sub(k.looked) >= every {
		k.looked = now
		k.look()
	}
	return k.config
}

// look reads the files when they have changed or could not be used the last time.
func (k *Keys) look() {
	now := k.stat() // before reading: what changes meanwhile is seen the next time
	if k.failed == "" && same(now, k.seen) {
		return
	}
	k.seen = now
	log := k.Log
	if log == nil {
		log = slog.Default()
	}
	file := cmp.Or(k.CertFile, k.CAFile) // which of a process's sets it is
	config, err := k.read()
	switch {
	case err == nil:
		k.config, k.failed = config, ""
		log.Info("TLS certificates renewed", "file", file)
	case err.Error() != k.failed:
		k.failed = err.Error()
		log.Error("changed TLS files cannot be used, those before stay in force", "file", file, "error", err)
	}
}

func (k *Keys) read() (*tls.Config, error) {
	var certs []tls.Certificate
	if k.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(k.CertFile, k.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls: certificate: %w", err)
		}
		certs = append(certs, cert)
	}
	if k.CAFile == "" {
		return k.build(certs, nil), nil
	}
	pem, err := os.ReadFile(k.CAFile)
	if err != nil {
		return nil, fmt.Errorf("tls: authority: %w", err)
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls: authority: %s holds no certificate", k.CAFile)
	}
	return k.build(certs, authorities), nil
}

// stat gives the files as they are, nil for one that is not there.
func (k *Keys) stat() (files [3]os.FileInfo) {
	for i, name := range [3]string{k.CertFile, k.KeyFile, k.CAFile} {
		if name != "" {
			files[i], _ = os.Stat(name) // reading says what is wrong
		}
	}
	return files
}

func same(a, b [3]os.FileInfo) bool {
	for i := range a {
		switch {
		case a[i] == nil && b[i] == nil:
		case a[i] == nil || b[i] == nil, !os.SameFile(a[i], b[i]), a[i].Size() != b[i].Size(), !a[i].ModTime().Equal(b[i].ModTime()):
			return false
		}
	}
	return true
}
