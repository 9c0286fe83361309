// Package api is the HTTP face of the gateway. The public listener takes messages in and tells senders
// what became of them (FHIR reads); the admin listener is for operations, health and metrics. Who calls is
// settled before a body is read, every reading of patient data and every act is audited first, and an
// error names a place and a rule, never a value or a stack.
package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"os/user"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Roles of a caller.
const (
	Sender   = "sender"   // sends messages and reads what became of them
	Referrer = "referrer" // releases held requests and resolves unknown deliveries
	Operator = "operator" // replays, redirects, discards, pauses
	Viewer   = "viewer"   // reads
	Provider = "provider" // answers, triages and ends what was sent to it in e-RS
)

// Identity is a verified caller: Name is the certificate's name, the token's subject or the local user.
type Identity struct {
	flow.Subject
	Roles []string
}

// Is tells whether the caller has one of the roles.
func (i Identity) Is(roles ...string) bool {
	return slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(i.Roles, r) })
}

// Client is what the holder of a certificate may do.
type Client struct {
	Certificate  string // subject common name, or a DNS or URI name of the certificate
	Organisation string // ODS code
	Roles        []string
}

// Security is how a listener knows who calls. With neither a client authority nor OIDC (on loopback only:
// the configuration refuses it elsewhere) every caller is Local.
type Security struct {
	TLS      *tls.Config // from ServerTLS; nil: plain
	OIDC     *OIDC       // nil: no bearer tokens
	Clients  []Client
	Unlisted []string // roles of a certificate that the authority signed and Clients does not list
	Local    Identity
}

func (s *Security) open() bool {
	return s.OIDC == nil && (s.TLS == nil || s.TLS.ClientCAs == nil)
}

// LocalIdentity is the person at this machine: what stands in the audit log when nothing is configured.
func LocalIdentity(roles ...string) Identity {
	name := "local"
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = "local:" + u.Username
	}
	return Identity{Subject: flow.Subject{Name: name}, Roles: roles}
}

type identityKey struct{}

// IdentityOf gives the verified caller of a request; false outside one.
func IdentityOf(ctx context.Context) (Identity, bool) {
	i, ok := ctx.Value(identityKey{}).(Identity)
	return i, ok
}

// SubjectOf gives the caller in the words of flow, for the sources mounted on the public listener.
func SubjectOf(ctx context.Context) flow.Subject {
	i, _ := IdentityOf(ctx)
	return i.Subject
}

// authenticate settles who calls, before anything reads the body.
func (s *Security) authenticate(c *gin.Context) {
	who, problem := s.identify(c.Request)
	if problem != nil {
		c.Header("Connection", "close") // or net/http would read the body before it lets the answer go
		if s.OIDC != nil {
			c.Header("WWW-Authenticate", "Bearer")
		}
		refuseAs(c, http.StatusUnauthorized, problem)
		return
	}
	c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), identityKey{}, who))
	c.Next()
}

func (s *Security) identify(r *http.Request) (Identity, *issue.Issue) {
	if s.open() {
		if !localHost(r.Host) {
			return Identity{}, issue.New(issue.Denied, "Host", "without authentication only this machine's own names are answered")
		}
		return s.Local, nil
	}
	if token, ok := bearer(r); ok && s.OIDC != nil {
		return s.OIDC.identify(r.Context(), token)
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return s.certified(r.TLS.VerifiedChains[0][0]), nil
	}
	return Identity{}, issue.New(issue.Denied, "Authorization", "a bearer token or a client certificate is needed")
}

// localHost keeps a web page from reading a loopback listener under a name of its own that resolves to
// 127.0.0.1 (DNS rebinding).
func localHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if name == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && a.IsLoopback()
}

func bearer(r *http.Request) (string, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), strings.EqualFold(scheme, "Bearer") && token != ""
}

// certified gives the identity of a certificate that the listener's authority signed.
func (s *Security) certified(leaf *x509.Certificate) Identity {
	names := certificateNames(leaf)
	for _, c := range s.Clients {
		if slices.Contains(names, c.Certificate) {
			return Identity{flow.Subject{Organisation: c.Organisation, Name: c.Certificate}, c.Roles}
		}
	}
	return Identity{flow.Subject{Name: names[0]}, s.Unlisted}
}

// certificateNames gives a certificate's names, at least one: its serial number when it has no other.
func certificateNames(leaf *x509.Certificate) []string {
	var names []string
	if leaf.Subject.CommonName != "" {
		names = append(names, leaf.Subject.CommonName)
	}
	names = append(names, leaf.DNSNames...)
	for _, u := range leaf.URIs {
		names = append(names, u.String())
	}
	if len(names) == 0 {
		names = append(names, "serial "+leaf.SerialNumber.String())
	}
	return names
}

// allow lets callers with one of the roles through.
func allow(roles ...string) gin.HandlerFunc {
	return func(c *gin.Context) {
		if who, _ := IdentityOf(c.Request.Context()); !who.Is(roles...) {
			refuse(c, issue.New(issue.Denied, "", "needs the role "+strings.Join(roles, " or ")))
			return
		}
		c.Next()
	}
}
