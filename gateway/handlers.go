package main

import (
	"context"
	"net"
	"net/http"

	"github.com/dermgate/dermgate/gateway/api"
	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/observe"
)

// subject says who stands behind an HTTP request, as the listener verified it.
func subject(r *http.Request) flow.Subject {
	s := api.SubjectOf(r.Context())
	s.Token = r.Header.Get(api.SignInHeader)
	return s
}

// listener binds an HTTP listener, with TLS where configured. Client certificates are asked for and not
// demanded where bearer tokens are taken too.
func (a *app) listener(l config.Listener) (net.Listener, error) {
	if l.TLS == nil {
		return api.Listen(l.Listen, nil)
	}
	conf, err := a.keys(l.TLS).Server(l.OIDC == nil && l.TLS.ClientCAFile != "")
	if err != nil {
		return nil, err
	}
	return api.Listen(l.Listen, conf)
}

// security says how a listener knows its callers. roles are those of whoever is at this machine, when
// nothing is configured.
func (a *app) security(l config.Listener, roles ...string) (api.Security, error) {
	local := api.LocalIdentity(roles...)
	local.Organisation = a.cfg.Site.ODS
	s := api.Security{Local: local, Unlisted: []string{api.Sender}}
	if l.TLS != nil {
		conf, err := api.ServerTLS(l.TLS.CertFile, l.TLS.KeyFile, l.TLS.ClientCAFile, false)
		if err != nil {
			return s, err
		}
		s.TLS = conf
	}
	if o := l.OIDC; o != nil {
		s.OIDC = &api.OIDC{Issuer: o.Issuer, Audience: o.Audience, RolesClaim: o.RolesClaim, OrganisationClaim: o.OrganisationClaim}
	}
	for _, c := range l.Clients {
		s.Clients = append(s.Clients, api.Client(c))
	}
	return s, nil
}

// handlers makes the two HTTP faces.
func (a *app) handlers() (public, admin http.Handler, err error) {
	in, err := a.security(a.cfg.HTTP, api.Sender)
	if err != nil {
		return nil, nil, err
	}
	operators, err := a.security(a.cfg.Admin, api.Operator, api.Referrer, api.Viewer, api.Provider)
	if err != nil {
		return nil, nil, err
	}
	record := func(ctx context.Context, e api.Entry) error { return a.audit.Record(ctx, observe.Entry(e)) }
	p := &api.Public{Security: in, Sources: a.mount, Open: append(a.open, a.publish), Facade: &flow.Facade{P: a.pipeline}, Audit: record, MaxBytes: a.cfg.Limits.MessageBytes, Log: a.log}
	o := &api.Admin{Security: operators, Cases: a.store, Messages: a.store, Acts: acts{a}, Explain: explainer{a.pipeline}, Original: a.pipeline, Release: a.pipeline, Relays: a.pipeline, Tell: a.pipeline,
		Patient: a.pipeline.PatientKey, Ready: []api.Probe{{Name: "running", Check: a.staying}, {Name: "store", Check: a.store.Health}, {Name: "maps", Check: a.maps.check, Lesser: "stale"}}, Metrics: a.metrics.Handler(), Backup: a.backup, Audit: record, Now: a.now, Log: a.log}
	return p.Handler(), o.Handler(), nil
}
