package sim

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestTokensByTheDocumentedErrors(t *testing.T) {
	s, err := StartToken("")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	s.Now = func() time.Time { return now }
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s.Register("app", "kid-1", &key.PublicKey)

	ask := func(change func(*jwt.Token, url.Values)) (int, map[string]any) {
		token := jwt.NewWithClaims(jwt.SigningMethodRS512, jwt.MapClaims{"iss": "app", "sub": "app", "aud": s.Endpoint(),
			"jti": s.Endpoint() + time.Now().String(), "exp": now.Add(5 * time.Minute).Unix()})
		token.Header["kid"] = "kid-1"
		form := url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {assertionType}}
		change(token, form)
		if !form.Has("client_assertion") {
			signed, err := token.SignedString(key)
			if err != nil {
				t.Fatal(err)
			}
			form.Set("client_assertion", signed)
		}
		resp, err := http.PostForm(s.Endpoint(), form)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var said map[string]any
		if err := json.Unmarshal(body, &said); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		return resp.StatusCode, said
	}
	claim := func(name string, value any) func(*jwt.Token, url.Values) {
		return func(j *jwt.Token, _ url.Values) {
			if value == nil {
				delete(j.Claims.(jwt.MapClaims), name)
				return
			}
			j.Claims.(jwt.MapClaims)[name] = value
		}
	}
	head := func(name string, value any) func(*jwt.Token, url.Values) {
		return func(j *jwt.Token, _ url.Values) { j.Header[name] = value }
	}
	form := func(name, value string) func(*jwt.Token, url.Values) {
		return func(_ *jwt.Token, v url.Values) { v.Set(name, value) }
	}
	for _, c := range []struct {
		change func(*jwt.Token, url.Values)
		status int
		says   string
	}{
		{form("grant_type", "password"), 400, "grant_type is invalid"},
		{form("client_assertion_type", "x"), 400, "client_assertion_type - must be"},
		{form("client_assertion", ""), 400, "Missing client_assertion"},
		{form("client_assertion", "a.b"), 400, "Malformed JWT"},
		{head("alg", "RS256"), 400, "must be 'RS512'"},
		{head("kid", ""), 400, "Missing 'kid' header"},
		{head("typ", "JOSE"), 400, "Invalid 'typ' header"},
		{claim("sub", "other"), 400, "non-matching 'iss'/'sub'"},
		{claim("jti", nil), 400, "Missing 'jti' claim"},
		{claim("exp", nil), 400, "Missing 'exp' claim"},
		{claim("exp", "soon"), 400, "must be an integer"},
		{claim("exp", now.Add(-time.Second).Unix()), 400, "JWT has expired"},
		{claim("exp", now.Add(311*time.Second).Unix()), 400, "more than 5 minutes in future"},
		{claim("aud", "https://elsewhere"), 401, "'aud' claim"},
		{head("kid", "kid-2"), 401, "no matching public key"},
		{func(j *jwt.Token, _ url.Values) {
			c := j.Claims.(jwt.MapClaims)
			c["iss"], c["sub"] = "nobody", "nobody"
		}, 401, "Invalid 'iss'/'sub' claims"},
		{func(j *jwt.Token, v url.Values) {
			other, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			signed, err := j.SignedString(other)
			if err != nil {
				t.Fatal(err)
			}
			v.Set("client_assertion", signed)
		}, 401, "JWT signature verification failed"},
	} {
		if status, said := ask(c.change); status != c.status || !strings.Contains(said["error_description"].(string), c.says) {
			t.Errorf("%d %v, want %d %q", status, said, c.status, c.says)
		}
	}

	status, said := ask(claim("jti", "once"))
	token, _ := said["access_token"].(string)
	if status != 200 || said["expires_in"] != "599" || !s.Valid(token) || s.Valid("forged") {
		t.Fatalf("%d %v", status, said)
	}
	if status, said := ask(claim("jti", "once")); status != 400 || !strings.Contains(said["error_description"].(string), "Non-unique 'jti'") {
		t.Errorf("replayed: %d %v", status, said)
	}
	now = now.Add(599 * time.Second)
	if s.Valid(token) {
		t.Error("valid after it expired")
	}
}
