package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// Time-outs of a listener. A photo of 25 MiB over a slow practice line (2 Mbit/s) takes 105 s.
const (
	headerTime = 10 * time.Second
	bodyTime   = 3 * time.Minute
	idleTime   = 2 * time.Minute
	finishTime = 20 * time.Second // for requests under way when the gateway stops
	headerSize = 32 << 10         // bytes
)

// ServerTLS reads a server's certificate and, when given, the authority that client certificates must come
// from. required refuses the connection of a client without one; else its absence is left to the routes.
func ServerTLS(certFile, keyFile, clientCAFile string, required bool) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("api: certificate: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	if clientCAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(clientCAFile)
	if err != nil {
		return nil, fmt.Errorf("api: client authority: %w", err)
	}
	c.ClientCAs = x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("api: client authority: %s holds no certificate", clientCAFile)
	}
	c.ClientAuth = tls.VerifyClientCertIfGiven
	if required {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}

// Listen opens a TCP address, for TLS when a configuration is given.
func Listen(address string, config *tls.Config) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if config != nil {
		config = config.Clone()
		config.NextProtos = []string{"h2", "http/1.1"}
		l = tls.NewListener(l, config)
	}
	return l, nil
}

// Serve answers on a listener until ctx ends, then lets the requests under way finish.
func Serve(ctx context.Context, l net.Listener, h http.Handler, logger *slog.Logger) error {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       bodyTime,
		WriteTimeout:      bodyTime + time.Minute, // counted from the end of the header
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerSize,
		ErrorLog:          log.New(serverErrors{logger}, "", 0),
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
		defer cancel()
		stopped <- s.Shutdown(finish)
	})
	err := s.Serve(l)
	if stop() { // it ended by itself
		return fmt.Errorf("api: %w", err)
	}
	if err := <-stopped; err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("api: %w", err)
	}
	return nil
}

// serverErrors logs what net/http complains of (handshakes, for the most part) without its text, which
// quotes what a stranger sent.
type serverErrors struct{ log *slog.Logger }

func (e serverErrors) Write(p []byte) (int, error) {
	what := "connection error"
	if strings.Contains(string(p), "TLS handshake") {
		what = "TLS handshake failed"
	}
	e.log.Warn(what)
	return len(p), nil
}
