package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
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

// ServerTLS gives the configuration of a listener from its files, and, when given, the authority that client
// certificates must come from: Keys without a logger.
func ServerTLS(certFile, keyFile, clientCAFile string, required bool) (*tls.Config, error) {
	return (&Keys{CertFile: certFile, KeyFile: keyFile, CAFile: clientCAFile}).Server(required)
}

// Listen opens a TCP address, for TLS when a configuration is given.
func Listen(address string, config *tls.Config) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if config != nil {
		l = tls.NewListener(l, forHTTP(config))
	}
	return l, nil
}

// forHTTP offers HTTP/2 and 1.1, in renewed configurations too.
func forHTTP(config *tls.Config) *tls.Config {
	config = config.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	if renew := config.GetConfigForClient; renew != nil {
		config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			c, err := renew(hello)
			if c != nil {
				c = c.Clone()
				c.NextProtos = config.NextProtos
			}
			return c, err
		}
	}
	return config
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
