package nhsauth

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// keys are made once: they are slow to make.
var keys = sync.OnceValue(func() (out [3]*rsa.PrivateKey) {
	for i := range out {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		out[i] = k
	}
	return out
})

func pkcs1(k *rsa.PrivateKey) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}))
}

func pkcs8(t *testing.T, k *rsa.PrivateKey) string {
	t.Helper()
	b, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b}))
}

func published(t *testing.T, k *rsa.PrivateKey) string {
	t.Helper()
	b, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: b}))
}

// rig is a client before a simulated token service that fetches the client's keys.
type rig struct {
	*Client
	t    *testing.T
	sim  *sim.Token
	file string
	now  time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	s, err := sim.StartToken("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r := &rig{t: t, sim: s, file: filepath.Join(t.TempDir(), "key.pem"), now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
	s.Now = func() time.Time { return r.now }
	r.write(pkcs1(keys()[0]))
	r.Client = &Client{TokenURL: s.Endpoint(), ClientID: "app", HTTP: &http.Client{Timeout: 5 * time.Second}, Now: s.Now,
		Keys: func() ([]Key, error) {
			b, err := os.ReadFile(r.file)
			if err != nil {
				return nil, err
			}
			return ReadKeys(b, "")
		}}
	jwks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		k, err := r.Keys()
		if err != nil {
			t.Error(err)
		}
		w.Write(JWKS(k))
	}))
	t.Cleanup(jwks.Close)
	s.RegisterJWKS("app", jwks.URL, "secret")
	return r
}

func (r *rig) write(text string) {
	r.t.Helper()
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) token(refused string) string {
	r.t.Helper()
	s, err := r.Token(context.Background(), refused)
	if err != nil || !r.sim.Valid(s) {
		r.t.Fatalf("%q, %v", s, err)
	}
	return s
}

func TestATokenIsKeptUntilAMinuteBeforeItEnds(t *testing.T) {
	r := newRig(t)
	first := r.token("")
	r.now = r.now.Add(538 * time.Second)
	if r.token("") != first {
		t.Error("another one in its time")
	}
	r.now = r.now.Add(2 * time.Second)
	if r.token("") == first {
		t.Error("used in its last minute")
	}
	if n := len(r.sim.Received("token")); n != 2 {
		t.Errorf("%d fetches", n)
	}
}

func TestATokenThatWasRefusedIsNotGivenAgain(t *testing.T) {
	r := newRig(t)
	first := r.token("")
	second := r.token(first)
	if second == first || r.token(first) != second || r.token("") != second {
		t.Error("the refused one came again, or the fresh one did not stay")
	}
	if n := len(r.sim.Received("token")); n != 2 {
		t.Errorf("%d fetches", n)
	}
}

func TestManyWhoAskAtOnceShareOneFetch(t *testing.T) {
	r := newRig(t)
	r.sim.Fail(sim.Fault{Delay: 100 * time.Millisecond, Status: 503, Times: 1})
	r.sim.Fail(sim.Fault{Delay: 100 * time.Millisecond})
	impatient, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	var failed int
	var mu sync.Mutex
	for i := range 20 {
		all.Go(func() {
			ctx := context.Background()
			if i == 0 {
				ctx = impatient
			}
			if _, err := r.Token(ctx, ""); err != nil {
				mu.Lock()
				failed++
				mu.Unlock()
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	cancel()
	all.Wait()
	if n := len(r.sim.Received("token")); n != 1 || failed != 20 {
		t.Errorf("%d fetches, %d failed", n, failed)
	}
	r.token("")
}

func TestEachDocumentedErrorIsClassified(t *testing.T) {
	long := "Jane Doe 9990548609"
	for _, c := range []struct {
		status int
		code   string // error
		text   string // error_description
		kind   issue.Kind
		where  string
		asked  int // times
	}{
		{400, "invalid_request", "Invalid 'alg' header in client_assertion JWT - unsupported JWT algorithm - must be 'RS512'", issue.Denied, "token", 1},
		{400, "invalid_request", "Invalid 'exp' claim in client_assertion JWT - JWT has expired", issue.Denied, "token", 1},
		{400, "invalid_request", "Invalid 'exp' claim in client_assertion JWT - more than 5 minutes in future", issue.Denied, "token", 1},
		{400, "invalid_request", "Invalid 'exp' claim in client_assertion JWT - must be an integer", issue.Denied, "token", 1},
		{400, "invalid_request", "Missing 'kid' header in client_assertion JWT", issue.Denied, "token", 1},
		{400, "invalid_request", "Invalid 'typ' header in client_assertion JWT - must be 'JWT'", issue.Denied, "token", 1},
		{400, "invalid_request", "Missing or non-matching 'iss'/'sub' claims in client_assertion JWT", issue.Denied, "token", 1},
		{400, "invalid_request", "Missing 'jti' claim in client_assertion JWT", issue.Denied, "token", 1},
		{400, "invalid_request", "Invalid 'jti' claim in client_assertion JWT - must be a unique string value", issue.Denied, "token", 1},
		{400, "invalid_request", "Non-unique 'jti' claim in client_assertion JWT", issue.Unavailable, "token", 2},
		{400, "invalid_request", "Missing client_assertion", issue.Denied, "token", 1},
		{400, "invalid_request", "Missing or invalid client_assertion_type - must be 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'", issue.Denied, "token", 1},
		{401, "invalid_request", "Invalid 'kid' header in client_assertion JWT - no matching public key", issue.Denied, "token", 1},
		{401, "public_key error", "JWT signature verification failed", issue.Denied, "token", 1},
		{401, "public_key error", "", issue.Denied, "token", 1},
		{401, "invalid_request", "Missing or invalid 'aud' claim in client_assertion JWT", issue.Denied, "token", 1},
		{401, "invalid_request", "Invalid 'iss'/'sub' claims in client_assertion JWT", issue.Denied, "token", 1},
		{403, "public_key error", "The JWKS endpoint, for your client_assertion can't be reached", issue.Denied, "token", 1},
		{400, "unsupported_grant_type", "grant_type is invalid", issue.Denied, "token", 1},
		{400, "invalid_grant", "subject_token is invalid", issue.Denied, flow.ForUser, 1},
		{400, "invalid_grant", "", issue.Denied, flow.ForUser, 1},
		{403, "", "", issue.Denied, "token", 1},
		{404, "", "", issue.Denied, "token", 1},
		{429, "", "", issue.Unavailable, "token", 1},
		{408, "", "", issue.Unavailable, "token", 1},
		{500, "", "Missing 'kid' header", issue.Unavailable, "token", 1},
		{502, "", "", issue.Unavailable, "token", 1},
		{503, "", "", issue.Unavailable, "token", 1},
		{307, "", "", issue.Unavailable, "token", 1},
	} {
		r := newRig(t)
		body := fmt.Sprintf(`{"error":%q,"error_description":"%s %s","message_id":"rrt-1"}`, c.code, c.text, long)
		r.sim.Fail(sim.Fault{Status: c.status, Body: body, Times: c.asked})
		_, err := r.Token(context.Background(), "")
		i := issue.From(err)
		if i == nil || i.Kind != c.kind || i.Where != c.where || strings.Contains(err.Error(), "Jane") || !strings.Contains(i.Text, "rrt-1") {
			t.Errorf("%d %q: %v", c.status, c.text, err)
		}
		if n := len(r.sim.Received("token")); n != c.asked {
			t.Errorf("%d %q: asked %d times", c.status, c.text, n)
		}
		r.token("") // the fault is over
	}
}

func TestWhatIsNoAnswerIsTriedAgain(t *testing.T) {
	for _, f := range []sim.Fault{{Drop: true}, {Status: 200, Body: "<html>"}, {Status: 200, Body: `{"access_token":""}`}} {
		r := newRig(t)
		r.sim.Fail(f)
		if _, err := r.Token(context.Background(), ""); issue.From(err) == nil || issue.From(err).Kind != issue.Unavailable {
			t.Errorf("%+v: %v", f, err)
		}
		r.token("")
	}
	r := newRig(t)
	r.write("no key")
	if _, err := r.Token(context.Background(), ""); issue.From(err) == nil || issue.From(err).Kind != issue.Denied {
		t.Errorf("without a key: %v", err)
	}
}

func TestTheLifeOfATokenAsItIsWritten(t *testing.T) {
	for text, want := range map[string]time.Duration{`"599"`: 539 * time.Second, `599`: 539 * time.Second, `"60"`: 30 * time.Second, `"soon"`: time.Minute, `null`: time.Minute, `-5`: time.Minute} {
		var g granted
		if err := json.Unmarshal([]byte(`{"access_token":"t","expires_in":`+text+`}`), &g); err != nil {
			t.Fatal(err)
		}
		at := time.Unix(0, 0)
		if got := g.token(at).until.Sub(at); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestAKeyIsChangedWithoutARestart(t *testing.T) {
	r := newRig(t)
	signed := func() string {
		calls := r.sim.Received("token")
		return string(calls[len(calls)-1].Body)
	}
	refused := r.token("")
	a, b := thumbprint(&keys()[0].PublicKey), thumbprint(&keys()[1].PublicKey)

	r.write(pkcs1(keys()[0]) + pkcs8(t, keys()[1])) // the new one is published, and does not sign yet
	set, _ := r.Keys()
	if j := string(JWKS(set)); !strings.Contains(j, a) || !strings.Contains(j, b) || strings.Contains(j, `"d"`) {
		t.Errorf("published: %s", j)
	}
	before := signed()
	refused = r.token(refused)
	if signed() == before {
		t.Fatal("nothing was signed")
	}
	r.write(pkcs8(t, keys()[1]) + published(t, keys()[0])) // now it does
	set, _ = r.Keys()
	if len(signers(set)) != 1 || signers(set)[0].ID != b || len(set) != 2 {
		t.Errorf("%d sign of %d", len(signers(set)), len(set))
	}
	r.token(refused)
}

func TestTheOlderKeyServesUntilTheServiceKnowsTheNewer(t *testing.T) {
	r := newRig(t)
	r.sim.Register("app", "old", &keys()[1].PublicKey)
	r.Keys = func() ([]Key, error) {
		return []Key{{"new", &keys()[0].PublicKey, keys()[0]}, {"old", &keys()[1].PublicKey, keys()[1]}}, nil
	}
	r.token("")
	if n := len(r.sim.Received("token")); n != 2 {
		t.Errorf("%d calls", n)
	}
}

func TestReadKeysRefusesWhatIsNoKey(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing": "", "a small key": pkcs1(small), "a certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"a broken key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "only a public key": published(t, keys()[0]),
	} {
		if _, err := ReadKeys([]byte(text), ""); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	k, err := ReadKeys([]byte("kept by the interface team\n"+pkcs8(t, keys()[0])), "kid-1")
	if err != nil || len(k) != 1 || k[0].ID != "kid-1" {
		t.Errorf("%+v, %v", k, err)
	}
}

// The example of RFC 7638 §3.1.
func TestThumbprint(t *testing.T) {
	const n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
	var set struct{ N string }
	if err := json.Unmarshal([]byte(`{"n":"`+n+`"}`), &set); err != nil {
		t.Fatal(err)
	}
	p := &rsa.PublicKey{N: number(t, set.N), E: 65537}
	if got := thumbprint(p); got != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Error(got)
	}
}

func TestAUserSignsInForOnePieceOfWork(t *testing.T) {
	r := newRig(t)
	s := &Sessions{Client: r.Client}
	ctx := context.Background()
	if got, err := s.Token(ctx, "case", ""); got != "" || err != nil {
		t.Fatalf("nobody: %q %v", got, err)
	}
	s.SignIn("case", r.sim.SignIn())
	if len(r.sim.Received("token")) != 0 || !s.Holds("case") || s.Holds("other") {
		t.Error("asked before it was used, or held for something else")
	}
	first, err := s.Token(ctx, "case", "")
	if err != nil || !r.sim.Valid(first) || !r.sim.OfUser(first) {
		t.Fatalf("%q %v", first, err)
	}
	if again, _ := s.Token(ctx, "case", ""); again != first || len(r.sim.Received("token")) != 1 {
		t.Error("exchanged twice")
	}
	if app := r.token(""); r.sim.OfUser(app) {
		t.Error("the application's token is a user's")
	}
	if s.held["case"].id != "" {
		t.Error("the ID token is kept after its exchange")
	}
	if other, _ := s.Token(ctx, "other", ""); other != "" {
		t.Error("given for other work")
	}
	if _, err := s.Token(ctx, "case", first); issue.From(err) == nil || issue.From(err).Where != flow.ForUser || s.Holds("case") {
		t.Errorf("renewed without a secret: %v", err)
	}
}

func TestAUsersTokenIsRenewed(t *testing.T) {
	r := newRig(t)
	r.Secret = func() (string, error) { return "secret", nil }
	s := &Sessions{Client: r.Client}
	s.SignIn("case", r.sim.SignIn())
	first, _ := s.Token(context.Background(), "case", "")
	r.now = r.now.Add(10 * time.Minute)
	second, err := s.Token(context.Background(), "case", "")
	if err != nil || second == first || !r.sim.Valid(second) {
		t.Fatalf("%q %v", second, err)
	}
	third, err := s.Token(context.Background(), "case", second)
	if err != nil || third == second {
		t.Errorf("a refused one: %v", err)
	}
	r.sim.Fail(sim.Fault{Status: 503})
	if _, err := s.Token(context.Background(), "case", third); issue.From(err).Kind != issue.Unavailable || !s.Holds("case") {
		t.Errorf("an outage lost the sign-in: %v", err)
	}
	r.now = r.now.Add(Longest)
	if got, err := s.Token(context.Background(), "case", ""); got != "" || err != nil || len(s.held) != 0 {
		t.Errorf("held for too long: %q %v", got, err)
	}
}

func TestASignInThatIsNotTakenIsForgotten(t *testing.T) {
	r := newRig(t)
	s := &Sessions{Client: r.Client}
	s.SignIn("case", "made up")
	_, err := s.Token(context.Background(), "case", "")
	if i := issue.From(err); i == nil || i.Where != flow.ForUser || s.Holds("case") {
		t.Errorf("%v", err)
	}
	s.SignIn("case", r.sim.SignIn())
	s.Forget("case")
	s.SignIn("old", r.sim.SignIn())
	r.now = r.now.Add(2 * Longest)
	s.SignIn("new", r.sim.SignIn())
	if s.Holds("case") || len(s.held) != 1 {
		t.Errorf("%d are held", len(s.held))
	}
}

func TestNothingOfASignInIsShown(t *testing.T) {
	r := newRig(t)
	s := &Sessions{Client: r.Client}
	s.SignIn("case", "secret-id-token")
	r.sim.Fail(sim.Fault{Status: 400, Body: `{"error":"invalid_grant","error_description":"subject_token secret-id-token is bad"}`})
	_, err := s.Token(context.Background(), "case", "")
	var b bytes.Buffer
	fmt.Fprintf(&b, "%v %+v", err, err)
	if !errors.As(err, new(*issue.Issue)) || strings.Contains(b.String(), "secret-id-token") {
		t.Errorf("%s", b.String())
	}
}

func number(t *testing.T, s string) *big.Int {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return new(big.Int).SetBytes(b)
}
