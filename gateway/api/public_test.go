package api

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/fhir/go/fhirversion"
	"github.com/google/fhir/go/jsonformat"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// facade shows everything to RXX01 and nothing to others, and remembers what it was asked.
type facade struct{ asked []string }

func (f *facade) ask(s flow.Subject, what string) error {
	f.asked = append(f.asked, s.Organisation+" "+what)
	if s.Organisation != "RXX01" {
		return issue.New(issue.NotFound, "", "no such resource")
	}
	return nil
}

func (f *facade) Read(_ context.Context, s flow.Subject, typ, id string) ([]byte, error) {
	return []byte(`{"resourceType":"` + typ + `"}`), f.ask(s, typ+"/"+id)
}

func (f *facade) Search(_ context.Context, s flow.Subject, typ string, params url.Values) ([]byte, error) {
	return []byte(`{"resourceType":"Bundle"}`), f.ask(s, typ+"?"+params.Encode())
}

func (f *facade) Binary(_ context.Context, s flow.Subject, sum string) (io.ReadCloser, string, error) {
	if err := f.ask(s, "Binary/"+sum); err != nil {
		return nil, "", err
	}
	var r io.Reader = strings.NewReader("photo")
	if strings.HasPrefix(sum, "bad") {
		r = io.MultiReader(r, broken{})
	}
	return io.NopCloser(r), "image/jpeg", nil
}

// broken is a stored object that does not prove genuine in the middle.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("seal broken") }

// public makes a public listener whose one source echoes who sent what.
func public(f *facade, l *ledger, b *buffer) *Public {
	return &Public{
		Sources: []func(gin.IRouter){func(r gin.IRouter) {
			r.POST("/hl7", func(c *gin.Context) {
				body, err := io.ReadAll(c.Request.Body)
				if err != nil {
					refuse(c, bodyIssue(err))
					return
				}
				s := SubjectOf(c.Request.Context())
				c.String(http.StatusOK, "%s|%s|%s|%v|%s", s.Organisation, s.Name, body, s.Token != "", c.ClientIP())
			})
			r.POST("/panic", func(*gin.Context) { panic("Eleanor Rigby") })
		}},
		Open:   []func(gin.IRouter){func(r gin.IRouter) { r.POST("/callback", func(c *gin.Context) { c.Status(http.StatusAccepted) }) }},
		Facade: f, Audit: l.audit, MaxBytes: 100, Log: b.logger(),
		Security: Security{Local: Identity{flow.Subject{Organisation: "RXX01", Name: "local:me"}, []string{Sender}}},
	}
}

func TestWhoCalls(t *testing.T) {
	ca, stranger, login := newAuthority(t), newAuthority(t), newIssuer(t)
	p := public(&facade{}, &ledger{}, &buffer{})
	p.Security = Security{
		TLS:      ca.server(false),
		OIDC:     &OIDC{Issuer: login.url, Audience: "dermgate", RolesClaim: "roles", OrganisationClaim: "organisation"},
		Clients:  []Client{{"urn:gp:one", "Y06601", []string{Sender}}, {"viewer.example.org", "Y06602", []string{Viewer}}},
		Unlisted: []string{Sender},
	}
	base := serve(t, p.Security.TLS, p.Handler())
	other := newIssuer(t)
	other.url = login.url // the same name, another key

	for _, c := range []struct {
		what  string
		certs []tls.Certificate
		token string
		code  int
		body  string
	}{
		{"nobody", nil, "", 401, ""},
		{"listed by URI", []tls.Certificate{ca.issue("gp1", "urn:gp:one")}, "", 200, "Y06601|urn:gp:one|MSH|false|127.0.0.1"},
		{"listed without the role", []tls.Certificate{ca.issue("viewer.example.org", "")}, "", 403, ""},
		{"unlisted", []tls.Certificate{ca.issue("someone", "")}, "", 200, "|someone|MSH|false|127.0.0.1"},
		{"token", nil, login.token(jwt.MapClaims{"roles": []string{Sender}}), 200, "RXX01|dr-a|MSH|true|127.0.0.1"},
		{"roles as text", nil, login.token(jwt.MapClaims{"roles": "viewer sender"}), 200, "RXX01|dr-a|MSH|true|127.0.0.1"},
		{"token without the role", nil, login.token(nil), 403, ""},
		{"token without roles", nil, login.token(jwt.MapClaims{"roles": nil}), 403, ""},
		{"expired", nil, login.token(jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix()}), 401, ""},
		{"for another", nil, login.token(jwt.MapClaims{"aud": "billing"}), 401, ""},
		{"from another", nil, login.token(jwt.MapClaims{"iss": "https://evil.example.org"}), 401, ""},
		{"another's key", nil, other.token(nil), 401, ""},
		{"not signed", nil, signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, jwt.MapClaims{"iss": login.url, "aud": "dermgate", "sub": "x"}), 401, ""},
		{"rubbish", nil, "rubbish", 401, ""},
		{"a bad token is not saved by a certificate", []tls.Certificate{ca.issue("gp1", "urn:gp:one")}, "rubbish", 401, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			headers := []string{"X-Forwarded-For: 9.9.9.9"}
			if c.token != "" {
				headers = append(headers, "Authorization: Bearer "+c.token)
			}
			got := call(t, ca.client(c.certs...), "POST", base+"/hl7", "MSH", headers...)
			if got.code != c.code || c.code == 200 && got.body != c.body {
				t.Errorf("got %d %s", got.code, got.body)
			}
			if (got.code == 401) != (got.header.Get("WWW-Authenticate") == "Bearer") {
				t.Error("WWW-Authenticate goes with 401")
			}
		})
	}
	_, err := ca.client(stranger.issue("gp1", "urn:gp:one")).Post(base+"/hl7", "text/plain", nil)
	if err == nil {
		t.Error("a certificate of a strange authority is let in")
	}
}

func TestClientCertificateRequired(t *testing.T) {
	ca := newAuthority(t)
	p := public(&facade{}, &ledger{}, &buffer{})
	p.Security.TLS, p.Security.Unlisted = ca.server(true), []string{Sender}
	base := serve(t, p.Security.TLS, p.Handler())
	if _, err := ca.client().Post(base+"/hl7", "text/plain", nil); err == nil {
		t.Error("the handshake went through without a certificate")
	}
	if got := call(t, ca.client(ca.issue("a", "")), "POST", base+"/hl7", "MSH"); got.code != 200 {
		t.Errorf("got %d", got.code)
	}
}

func TestServerTLSFaults(t *testing.T) {
	ca := newAuthority(t)
	c := ca.issue("x", "")
	cert := ca.write("x.crt", "CERTIFICATE", c.Certificate[0])
	if _, err := ServerTLS(cert, cert, "", false); err == nil {
		t.Error("a certificate is no key")
	}
	config := ca.server(false)
	if config.MinVersion != tls.VersionTLS12 {
		t.Error("TLS before 1.2")
	}
	key := ca.dir + "/tls.key"
	for _, authority := range []string{ca.dir + "/none", key} {
		if _, err := ServerTLS(ca.dir+"/tls.crt", key, authority, true); err == nil {
			t.Errorf("%s is no authority", authority)
		}
	}
}

func TestLoginServiceDown(t *testing.T) {
	p := public(&facade{}, &ledger{}, &buffer{})
	login := newIssuer(t)
	down := true
	p.Security.OIDC = &OIDC{Issuer: login.url, Audience: "dermgate", RolesClaim: "realm.roles", Client: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if down {
			return nil, errors.New("no route")
		}
		return http.DefaultTransport.RoundTrip(r)
	})}}
	base := serve(t, nil, p.Handler())
	token := "Authorization: Bearer " + login.token(jwt.MapClaims{"realm": map[string]any{"roles": []string{Sender}}})
	got := call(t, http.DefaultClient, "POST", base+"/hl7", "MSH", token)
	if got.code != 503 || got.header.Get("Retry-After") == "" || strings.Contains(got.body, "no route") {
		t.Errorf("got %d %s", got.code, got.body)
	}
	down = false
	if got := call(t, http.DefaultClient, "POST", base+"/hl7", "MSH", token); got.code != 200 {
		t.Errorf("after it came back: %d %s", got.code, got.body)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestLoopbackAnswersItsOwnNamesOnly(t *testing.T) {
	base := serve(t, nil, public(&facade{}, &ledger{}, &buffer{}).Handler())
	for host, code := range map[string]int{"localhost:1": 200, "127.0.0.1": 200, "[::1]:8080": 200, "evil.example.org": 401, "127.0.0.1.example.org:80": 401} {
		if got := call(t, http.DefaultClient, "POST", base+"/hl7", "MSH", "Host: "+host); got.code != code {
			t.Errorf("%s: got %d, want %d", host, got.code, code)
		}
	}
}

func TestBodyIsNotReadBeforeTheCallerIsKnown(t *testing.T) {
	p := public(&facade{}, &ledger{}, &buffer{})
	p.Security.OIDC = &OIDC{Issuer: "http://127.0.0.1:1", Audience: "x"}
	base := serve(t, nil, p.Handler())
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprint(conn, "POST /hl7 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n") // and no body, ever
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, " 401 ") {
		t.Errorf("got %q, %v", line, err)
	}
}

func TestReads(t *testing.T) {
	const id, sum = "0b0c7e0e-5a5e-5b5e-8a5e-0b0c7e0e5a5e", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	const form = "Content-Type: application/x-www-form-urlencoded"
	me := "local:me (RXX01)"
	for _, c := range []struct {
		method, path, body string
		code               int
		asked              string
		audited            []Entry
	}{
		{"GET", "/fhir/ServiceRequest/" + id, "", 200, "RXX01 ServiceRequest/" + id, []Entry{{Who: me, Verb: "read", What: "ServiceRequest/" + id}}},
		{"GET", "/fhir/Binary/" + sum, "", 200, "RXX01 Binary/" + sum, []Entry{{Who: me, Verb: "read", What: "Binary/" + sum}}},
		{"POST", "/fhir/Task/_search", "patient=a%7C1&_count=5", 200, "RXX01 Task?_count=5&patient=a%7C1", []Entry{{Who: me, Verb: "search", What: "Task"}}},
		{"GET", "/fhir/metadata", "", 200, "", nil},
		{"GET", "/fhir/Task?patient=9990548609", "", 400, "", nil},
		{"GET", "/fhir/Task", "", 400, "", nil},
		{"GET", "/fhir/Task/" + id + "?_summary=true", "", 400, "", nil},
		{"GET", "/fhir/Task/" + id + "?", "", 400, "", nil},
		{"GET", "/fhir/Task/9990548609", "", 400, "", nil},
		{"GET", "/fhir/Task/a%20b", "", 400, "", nil},
		{"GET", "/fhir/Patient/" + id, "", 404, "", nil},
		{"GET", "/fhir/Binary/" + id, "", 400, "", nil},
		{"POST", "/fhir/Patient/_search", "patient=1", 404, "", nil},
		{"POST", "/fhir/Task/_search?patient=1", "", 400, "", nil},
		{"POST", "/fhir/Task/_search", "subject=1", 400, "", nil},
		{"POST", "/fhir/Task/_search", "_count=0", 422, "", nil},
		{"POST", "/fhir/Task/_search", "_count=101", 422, "", nil},
		{"POST", "/fhir/Task/_search", "%zz", 400, "", nil},
		{"POST", "/fhir/Task/_search", strings.Repeat("x", searchBytes+1), 413, "", nil},
		{"DELETE", "/fhir/Task/" + id, "", 405, "", nil},
	} {
		t.Run(c.method+" "+c.path[:min(len(c.path), 40)]+" "+c.body[:min(len(c.body), 20)], func(t *testing.T) {
			f, l, b := &facade{}, &ledger{}, &buffer{}
			base := serve(t, nil, public(f, l, b).Handler())
			got := call(t, http.DefaultClient, c.method, base+c.path, c.body, form)
			if got.code != c.code || strings.Join(f.asked, ";") != c.asked {
				t.Errorf("got %d %s, asked %v", got.code, got.body, f.asked)
			}
			if entries := l.take(); !reflect.DeepEqual(entries, c.audited) {
				t.Errorf("audited %v", entries)
			}
			if c.code >= 400 && (!strings.Contains(got.body, `"resourceType":"OperationOutcome"`) || got.header.Get("Content-Type") != fhirJSON) {
				t.Errorf("not an OperationOutcome: %s %s", got.header.Get("Content-Type"), got.body)
			}
			if strings.Contains(b.String()+got.body, "9990548609") {
				t.Error("an NHS number is shown")
			}
			if got.header.Get("Cache-Control") != "no-store" || got.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("headers: %v", got.header)
			}
		})
	}
}

func TestOthersLearnNothing(t *testing.T) {
	f, l := &facade{}, &ledger{}
	p := public(f, l, &buffer{})
	p.Security.Local.Organisation = "Y06601"
	base := serve(t, nil, p.Handler())
	if got := call(t, http.DefaultClient, "GET", base+"/fhir/Task/a", ""); got.code != 404 {
		t.Errorf("got %d %s", got.code, got.body)
	}
	if got := l.take(); len(got) != 1 || got[0].Verb != "read refused" {
		t.Errorf("the attempt is not on record: %v", got)
	}
}

func TestNothingIsShownThatCannotBeAudited(t *testing.T) {
	l := &ledger{broken: errors.New("disk full")}
	base := serve(t, nil, public(&facade{}, l, &buffer{}).Handler())
	got := call(t, http.DefaultClient, "GET", base+"/fhir/Task/a", "")
	if got.code != 503 || got.header.Get("Retry-After") == "" || strings.Contains(got.body, "disk") {
		t.Errorf("got %d %s", got.code, got.body)
	}
}

func TestHalfAPhotoIsNoPhoto(t *testing.T) {
	base := serve(t, nil, public(&facade{}, &ledger{}, &buffer{}).Handler())
	resp, err := http.Get(base + "/fhir/Binary/bad" + strings.Repeat("0", 61))
	if err != nil {
		return // cut off before the header went out: as good
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%d bytes arrive as if they were all", len(b))
	}
}

func TestPhotoIsADownload(t *testing.T) {
	base := serve(t, nil, public(&facade{}, &ledger{}, &buffer{}).Handler())
	got := call(t, http.DefaultClient, "GET", base+"/fhir/Binary/"+strings.Repeat("0", 64), "")
	if got.body != "photo" || got.header.Get("Content-Type") != "image/jpeg" || got.header.Get("Content-Disposition") != "attachment" {
		t.Errorf("got %q %v", got.body, got.header)
	}
}

func TestTroubleHasNoStack(t *testing.T) {
	b := &buffer{}
	base := serve(t, nil, public(&facade{}, &ledger{}, b).Handler())
	for path, code := range map[string]int{"/panic": 500, "/no/such": 404} {
		got := call(t, http.DefaultClient, "POST", base+path, "")
		if got.code != code || strings.Contains(got.body, "goroutine") || strings.Contains(got.body, "Eleanor") || !strings.Contains(got.body, `"issues"`) {
			t.Errorf("%s: %d %s", path, got.code, got.body)
		}
	}
	if log := b.String(); strings.Contains(log, "Eleanor") || !strings.Contains(log, "TestTroubleHasNoStack") && !strings.Contains(log, "api.public") {
		t.Errorf("the log shows what was said, or not where: %s", log)
	}
	if got := call(t, http.DefaultClient, "POST", base+"/hl7", strings.Repeat("x", 101)); got.code != 413 {
		t.Errorf("over the limit: %d", got.code)
	}
	if got := call(t, http.DefaultClient, "POST", base+"/callback", ""); got.code != 202 {
		t.Errorf("a route that knows its callers itself: %d", got.code)
	}
}

func TestStopLetsRequestsFinish(t *testing.T) {
	l, err := Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	begun, goOn := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-goOn
		fmt.Fprint(w, "done")
	})
	ctx, stop := context.WithCancel(context.Background())
	served, got := make(chan error, 1), make(chan string, 1)
	go func() { served <- Serve(ctx, l, h, (&buffer{}).logger()) }()
	go func() {
		resp, err := http.Get("http://" + l.Addr().String())
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		got <- string(b)
	}()
	<-begun
	stop()
	close(goOn)
	if body, err := <-got, <-served; body != "done" || err != nil {
		t.Errorf("got %q, %v", body, err)
	}
}

func TestTablesKnowEveryKind(t *testing.T) {
	for _, k := range issue.Kinds() {
		if k != issue.Internal && (status(k) == 500 || fhir.OutcomeCode(k) == "exception") {
			t.Errorf("%s has no status or code of its own", k)
		}
	}
	if status(issue.Internal) != 500 || fhir.OutcomeCode(issue.Internal) != "exception" {
		t.Error("internal")
	}
}

func TestCapabilityStatement(t *testing.T) {
	u, err := jsonformat.NewUnmarshaller("UTC", fhirversion.R4)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Unmarshal(capability); err != nil {
		t.Error(err)
	}
	for _, typ := range FacadeTypes() {
		if !strings.Contains(string(capability), `"type": "`+typ+`"`) {
			t.Errorf("%s is served and not told of", typ)
		}
	}
}
