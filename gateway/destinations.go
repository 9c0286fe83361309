package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/dermgate/dermgate/adapters/ers"
	"github.com/dermgate/dermgate/adapters/fhirhttp"
	"github.com/dermgate/dermgate/adapters/mesh"
	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/adapters/nhsauth"
	"github.com/dermgate/dermgate/adapters/notify"
	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/flow"
)

// destinations makes the adapters of a configured destination, by the name that deliveries go to: itself
// and, for a channel that pushes nothing, its poller.
func (a *app) destinations(d config.Destination) (map[string]flow.Destination, error) {
	client, err := a.httpClient(d)
	if err != nil {
		return nil, fmt.Errorf("destination %s: %w", d.Name, err)
	}
	open := a.pipeline.Bodies.Open
	switch d.Kind {
	case config.MLLP:
		return a.mllpDestination(d, open)
	case config.FHIR:
		return a.fhirDestination(d, client), nil
	case config.ERS:
		return a.ersDestination(d, client, open), nil
	case config.MESHOut:
		return map[string]flow.Destination{d.Name: &mesh.Destination{Client: a.mailbox(d.BaseURL, d.Mailbox, d.Password, d.SharedKey, client), Workflow: d.Workflow, ChunkBytes: d.ChunkBytes, OpenBody: open}}, nil
	case config.Notify:
		return map[string]flow.Destination{d.Name: &notify.Destination{Base: d.BaseURL, Token: a.token(d.Auth, client), OpenBody: open, HTTP: client}}, nil
	}
	return nil, fmt.Errorf("destination %s: unknown kind %s", d.Name, d.Kind)
}

// fhirDestination makes what sends to a FHIR server, and what asks one that sends no answers.
func (a *app) fhirDestination(d config.Destination, client *http.Client) map[string]flow.Destination {
	dest := fhirhttp.Destination{Name: d.Name, Base: d.BaseURL, Transaction: d.Mode == "transaction", OpenBody: a.pipeline.Bodies.Open, Token: a.token(d.Auth, client), HTTP: client, Now: a.now}
	if d.Headers == config.HeadersBaRS {
		dest.BaRS = &fhirhttp.BaRS{Service: d.Service, UseContext: d.UseContext, ODS: cmp.Or(d.ODS, a.cfg.Site.ODS), Name: a.cfg.Site.Name, Version: "1"}
	}
	out := map[string]flow.Destination{d.Name: &dest}
	if d.Poll > 0 {
		out[pollOf(d.Name)] = &fhirhttp.Poller{Destination: dest, Every: d.Poll}
	}
	return out
}

func (a *app) mllpDestination(d config.Destination, open func(context.Context, flow.BodyRef) (io.ReadCloser, error)) (map[string]flow.Destination, error) {
	client := &mllp.Client{Name: d.Name, Address: d.Address, AckTimeout: d.Timeout, MaxIdle: d.Concurrency, Open: open, Now: a.now}
	if d.TLS != nil {
		var err error
		if client.CurrentTLS, err = a.clientTLS(d.TLS); err != nil {
			return nil, fmt.Errorf("destination %s: %w", d.Name, err)
		}
	}
	return map[string]flow.Destination{d.Name: client}, nil
}

// ersDestination makes what writes to e-RS as its users, and what reads there. A configured token is that of a user, and
// does both; else users sign in, and what becomes of their requests is read as the provider's application, where there is
// one.
func (a *app) ersDestination(d config.Destination, client *http.Client, open func(context.Context, flow.BodyRef) (io.ReadCloser, error)) map[string]flow.Destination {
	writes := ers.Client{Base: d.BaseURL, ODS: d.ODS, BusinessFunction: d.BusinessFunction, OnBehalfOf: d.OnBehalfOf, HTTP: a.paced(d, client)}
	dest := &ers.Destination{OpenBody: open, OpenPart: open, Service: d.Service, Specialty: cmp.Or(d.Specialty, "DERMATOLOGY"), ClinicType: d.ClinicType, Reference: &ers.Reference{Now: a.now}, Now: a.now}
	if byUsers(d) {
		users := &nhsauth.Sessions{Client: a.application(d.Auth, client)}
		a.sessions[d.Name], dest.User = users, users
	} else {
		writes.Token = fixed(d.Auth)
	}
	dest.Client = writes
	out := map[string]flow.Destination{d.Name: dest}
	if readsERS(d) {
		reads := writes
		if d.PollAuth != nil {
			reads.Token, reads.Application = a.token(d.PollAuth, client), d.PollAuth.TokenURL != ""
		}
		out[pollOf(d.Name)] = &ers.Poller{Client: reads, Name: d.Name, Every: d.Poll, Now: a.now}
	}
	return out
}

// byUsers tells an e-RS destination whose users sign in.
func byUsers(d config.Destination) bool { return d.Kind == config.ERS && d.Auth.TokenURL != "" }

// readsERS tells an e-RS destination that can be asked what became of a request.
func readsERS(d config.Destination) bool { return !byUsers(d) || d.PollAuth != nil }

// httpClient makes the client of a destination: no redirects, its own connections, a limit on each call.
func (a *app) httpClient(d config.Destination) (*http.Client, error) {
	var way http.RoundTripper = transport(d.Concurrency)
	if d.TLS != nil {
		conf, err := a.clientTLS(d.TLS)
		if err != nil {
			return nil, err
		}
		way = &renewing{config: conf, keep: d.Concurrency}
	}
	timeout := d.Timeout
	if d.Kind == config.ERS {
		timeout = max(timeout, 190*time.Second) // longer than the proxy's 180 s: a cut call leaves an unknown create
	}
	return &http.Client{Transport: way, Timeout: timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// dispatcher makes the worker of one destination.
func (a *app) dispatcher(name string, dest flow.Destination, d config.Destination) *flow.Dispatcher {
	return &flow.Dispatcher{
		Store: a.store, To: name, Dest: a.metrics.Destination(name, dest), Accept: a.accept, Settled: a.pipeline.Settled, Before: a.pipeline.Before,
		Concurrency: d.Concurrency, Every: a.every, Grace: a.cfg.Shutdown.Grace, Log: a.log, Now: a.now,
	}
}

// guarded gives the worker of an outside system its Gate.
func (a *app) guarded(w *flow.Dispatcher, d config.Destination) *flow.Dispatcher {
	w.Gate, w.Limit = a.gate, flow.Limit{Rate: d.Rate, Together: d.Together, Longest: d.Probe}
	if d.Kind == config.ERS {
		w.Limit.Rate = 0 // it counts calls: see paced
	}
	w.Backoff = flow.Backoff{First: d.Retry.First, Max: d.Retry.Longest, Attempts: d.Retry.Attempts, Within: d.Retry.Within}
	w.HoldParked = d.WhenParked == config.WhenParkedStop
	w.Down = func(open bool) { a.alarms.down(context.Background(), w.To, open) }
	return w
}

// paced gives the client that keeps the pace of a destination.
func (a *app) paced(d config.Destination, client *http.Client) *http.Client {
	if d.Rate <= 0 || a.gate == nil { // doctor has none, and asks once
		return client
	}
	slow := *client
	slow.Transport = &paced{client.Transport, a.gate, callsOf(d), d.Rate}
	return &slow
}

// callsOf names what e-RS counts together: the calls of one application, whatever is made of them.
func callsOf(d config.Destination) string {
	if d.Auth != nil && d.Auth.ClientID != "" {
		return "calls-of:" + d.Auth.ClientID
	}
	return "calls:" + d.Name
}

// paced lets calls go no faster than a destination takes them from all replicas together, whoever makes them: e-RS
// counts the calls of an application, of which a delivery and a poll make several.
type paced struct {
	next http.RoundTripper
	gate flow.Gate
	to   string
	rate float64
}

func (p *paced) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		pass, err := p.gate.Enter(r.Context(), p.to, 1, flow.Limit{Rate: p.rate})
		if err != nil {
			return nil, fmt.Errorf("the pace of %s cannot be kept: %w", p.to, err)
		}
		if pass.N > 0 {
			return p.next.RoundTrip(r)
		}
		select {
		case <-time.After(pass.Wait):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}
