package main

import (
	"crypto/tls"
	"net/http"
	"sync"

	"github.com/dermgate/dermgate/gateway/api"
	"github.com/dermgate/dermgate/gateway/config"
)

// keys are the TLS files of something that listens.
func (a *app) keys(t *config.TLS) *api.Keys {
	return &api.Keys{CertFile: t.CertFile, KeyFile: t.KeyFile, CAFile: t.ClientCAFile, Log: a.log}
}

// clientTLS gives how to connect, to be asked for each new connection.
func (a *app) clientTLS(t *config.ClientTLS) (func() *tls.Config, error) {
	return (&api.Keys{CertFile: t.CertFile, KeyFile: t.KeyFile, CAFile: t.CAFile, Log: a.log}).Client(t.ServerName)
}

// renewing sends HTTP requests by the TLS configuration of the moment: when that has changed, connections
// made by the one before end once they are idle.
type renewing struct {
	config func() *tls.Config
	keep   int // connections

	mu        sync.Mutex
	made      *tls.Config // what transport was made with
	transport *http.Transport
}

// RoundTrip is that of http.Transport.
func (r *renewing) RoundTrip(req *http.Request) (*http.Response, error) {
	return r.current().RoundTrip(req)
}

func (r *renewing) current() *http.Transport {
	r.mu.Lock()
	defer r.mu.Unlock()
	config := r.config()
	if config == r.made {
		return r.transport
	}
	if r.transport != nil {
		r.transport.CloseIdleConnections()
	}
	r.made, r.transport = config, transport(r.keep)
	r.transport.TLSClientConfig = config.Clone() // the transport adds its protocols to it
	return r.transport
}

// transport makes one that keeps so many connections for later: as many as are used at once, where net/http keeps two and
// would make the others anew for each call.
func transport(keep int) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = keep
	return t
}
