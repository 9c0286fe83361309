package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/dermgate/dermgate/adapters/ers"
	"github.com/dermgate/dermgate/adapters/nhsauth"
	"github.com/dermgate/dermgate/gateway/config"
)

// skew is how far the clock of a peer may be from ours: signed assertions hold for minutes.
const skew = time.Minute

func (d *doctor) examineDestination(ctx context.Context, e *examination, t config.Destination) {
	if t.TLS != nil {
		d.examineKeys(e, t.TLS.CertFile, t.TLS.KeyFile)
		d.examineAuthority(e, t.TLS.CAFile)
	}
	if t.Kind == config.MLLP {
		d.examinePeer(ctx, e, t.Address, t.TLS, t.TLS != nil)
		return
	}
	address, secure, err := hostPort(t.BaseURL)
	if err != nil {
		e.fault("an address as https://host/path", "%v", err)
		return
	}
	if !d.examinePeer(ctx, e, address, t.TLS, secure) {
		return
	}
	if t.Kind == config.MESHOut {
		d.examineMailbox(ctx, e, t)
		return
	}
	d.examineService(ctx, e, t)
}

// hostPort gives where an http(s) address leads.
func hostPort(base string) (address string, secure bool, err error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return "", false, errors.New("it has no address")
	}
	secure = u.Scheme == "https"
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), map[bool]string{true: "443", false: "80"}[secure])), secure, nil
}

// examinePeer looks up a name, connects, and shakes hands over TLS; false when that failed.
func (d *doctor) examinePeer(ctx context.Context, e *examination, address string, keys *config.ClientTLS, secure bool) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		e.fault("host:port", "%s is no address", address)
		return false
	}
	if _, err := net.DefaultResolver.LookupHost(ctx, host); err != nil {
		e.fault("the name as its owner says it, or the resolver of this machine (/etc/resolv.conf, the HSCN's)", "the name %s is not found: %v", host, unwrapped(err))
		return false
	}
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		e.fault("that it runs there, and that no firewall between keeps "+address+" from this machine", "%s takes no connection: %v", address, unwrapped(err))
		return false
	}
	defer conn.Close()
	if !secure {
		e.well("%s takes connections", address)
		return true
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if keys != nil {
		renewed, err := d.clientTLS(keys)
		if err != nil {
			e.fault("files that can be used", "%v", err)
			return false
		}
		conf = renewed().Clone()
	}
	conf.ServerName = cmp.Or(conf.ServerName, host)
	c := tls.Client(conn, conf)
	if err := c.HandshakeContext(ctx); err != nil {
		e.fault("the authority of its certificate in tls.ca_file, its name in tls.server_name, and ours where it wants one (tls.cert_file, key_file)", "TLS with %s fails: %v", address, err)
		return false
	}
	// With TLS 1.3 a server refuses a client's certificate after its own part of the handshake is done.
	_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	var timeout net.Error
	if _, err := c.Read(make([]byte, 1)); err != nil && !errors.As(err, &timeout) && !errors.Is(err, io.EOF) {
		e.fault("a certificate that it knows in tls.cert_file and key_file", "%s refuses us after the handshake: %v", address, err)
		return false
	}
	e.well("%s speaks %s", address, tls.VersionName(c.ConnectionState().Version))
	d.examineExpiry(e, address, c.ConnectionState().PeerCertificates[0])
	return true
}

// unwrapped leaves out the addresses that net puts around an error.
func unwrapped(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// examineService asks an HTTP destination for a token, and then what it can do: with a FHIR server that is its
// capability statement, with others any answer to a GET of their base that is no refusal of us.
func (d *doctor) examineService(ctx context.Context, e *examination, t config.Destination) {
	client, err := d.httpClient(t)
	if err != nil {
		e.fault("files that can be used", "%v", err)
		return
	}
	token, err := d.tokenOf(ctx, t, client)
	if err != nil {
		e.fault("the client id, the key and its kid as they are registered, and the token service's own address", "no token: %v", err)
		return
	}
	if t.Auth != nil {
		e.well("there is a token")
	}
	path := ""
	if t.Kind == config.FHIR {
		path = "/metadata"
	}
	resp, body, err := ask(ctx, client, strings.TrimRight(t.BaseURL, "/")+path, token)
	if err != nil {
		e.fault("what is wrong at the other side", "it does not answer: %v", err)
		return
	}
	d.examineClock(e, resp)
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		e.fault("what the token or certificate may do there", "it refuses us: %s", resp.Status)
	case resp.StatusCode >= 500:
		e.fault("ask its operators", "it is in trouble: %s", resp.Status)
	case t.Kind == config.FHIR:
		examineCapability(e, t, resp, body)
	default:
		e.well("it answers (%s)", resp.Status)
	}
}

// tokenOf gives a token for looking at a service: of the application, where users sign in.
func (d *doctor) tokenOf(ctx context.Context, t config.Destination, client *http.Client) (string, error) {
	switch {
	case t.Auth == nil:
		return "", nil
	case t.Auth.TokenURL == "":
		return t.Auth.Token.Read()
	}
	return application(t.Auth, client, d.now).Token(ctx, "")
}

func ask(ctx context.Context, client *http.Client, address, token string) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "application/fhir+json, application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, unwrapped(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	return resp, body, err
}

// examineClock compares our clock with what an answer says (RFC 9110 §6.6.1).
func (d *doctor) examineClock(e *examination, resp *http.Response) {
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return
	}
	if off := d.now().Sub(at).Round(time.Second); off.Abs() > skew {
		e.fault("the time of this machine by NTP", "our clock is %v from its: what we sign does not hold there", off)
	}
}

// examineCapability reads a CapabilityStatement (R4): the version of FHIR, and that what is posted to it is taken.
func examineCapability(e *examination, t config.Destination, resp *http.Response, body []byte) {
	var c struct {
		ResourceType string
		FHIRVersion  string
		Messaging    []json.RawMessage
		Rest         []struct {
			Mode        string
			Interaction []struct{ Code string }
			Operation   []struct{ Name string }
		}
	}
	if err := json.Unmarshal(body, &c); resp.StatusCode >= 300 || err != nil || c.ResourceType != "CapabilityStatement" {
		e.warn("ask its operators what it takes", "%s/metadata gives no CapabilityStatement (%s)", t.BaseURL, resp.Status)
		return
	}
	if !strings.HasPrefix(c.FHIRVersion, "4.0") {
		e.fault("the base address of its R4 interface", "it speaks FHIR %q, R4 is 4.0", c.FHIRVersion)
		return
	}
	takes := len(c.Messaging) > 0
	want := "$process-message"
	for _, r := range c.Rest {
		for _, o := range r.Operation {
			takes = takes || t.Mode != "transaction" && strings.Trim(o.Name, "$") == "process-message"
		}
		if t.Mode == "transaction" {
			want, takes = "transaction", false
			for _, i := range r.Interaction {
				takes = takes || i.Code == "transaction"
			}
		}
		if takes {
			break
		}
	}
	if !takes {
		e.warn("ask its operators, or another mode", "it speaks FHIR %s and does not say that it takes %s", c.FHIRVersion, want)
		return
	}
	e.well("it speaks FHIR %s and takes %s", c.FHIRVersion, want)
}

// examineIssuer looks whether the login service gives its keys, under the name that we expect of its tokens.
func (d *doctor) examineIssuer(ctx context.Context, e *examination, issuer string) {
	resp, body, err := ask(ctx, &http.Client{Timeout: 10 * time.Second}, strings.TrimRight(issuer, "/")+"/.well-known/openid-configuration", "")
	if err != nil {
		e.fault("that "+issuer+" is reached from this machine", "the login service does not answer: %v: every token is refused", err)
		return
	}
	var told struct{ Issuer string }
	if err := json.Unmarshal(body, &told); err != nil || resp.StatusCode != http.StatusOK || told.Issuer != issuer {
		e.fault("oidc.issuer byte by byte as it calls itself", "the login service calls itself %q (%s)", told.Issuer, resp.Status)
		return
	}
	d.examineClock(e, resp)
	e.well("the login service %s answers", issuer)
}

// examineWebhook looks whether alarms can be told; none is.
func (d *doctor) examineWebhook(ctx context.Context, e *examination) {
	text, err := d.cfg.Alarms.Webhook.Read()
	if err == nil {
		var address string
		var secure bool
		if address, secure, err = hostPort(text); err == nil {
			d.examinePeer(ctx, e, address, nil, secure)
			return
		}
	}
	e.fault("an address as https://host/path", "%v", fmt.Errorf("alarms go nowhere: %w", err))
}

// examineWorklist asks e-RS for its priorities (A004) as a source will ask it: that proves the credential, its role and
// its pace without reading a worklist, which an application may do twice a day.
func (d *doctor) examineWorklist(ctx context.Context, e *examination, s config.Source) {
	if s.Client != nil {
		d.examineKeys(e, s.Client.CertFile, s.Client.KeyFile)
		d.examineAuthority(e, s.Client.CAFile)
	}
	address, secure, err := hostPort(s.BaseURL)
	if err != nil {
		e.fault("an address as https://host/path", "%v", err)
		return
	}
	if !d.examinePeer(ctx, e, address, s.Client, secure) {
		return
	}
	alone := &app{cfg: d.cfg, log: d.log, now: d.now, applications: map[string]*nhsauth.Client{}} // others are looked at meanwhile
	c, err := alone.ersClient(s)
	if err != nil {
		e.fault("files that can be used", "%v", err)
		return
	}
	says, err := (&ers.Reference{Client: c, Now: d.now}).Check(ctx)
	if err != nil {
		e.fault("the client id, key and kid as registered, and that NHS England has given the application the ODS code of the provider", "e-RS does not take us: %v", err)
		return
	}
	e.well("e-RS takes us (A004): %s", says)
	if s.BusinessFunction == "" {
		e.well("no user is signed in: advice and guidance is not asked for (A023)")
	}
}
