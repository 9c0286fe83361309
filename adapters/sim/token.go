package sim

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Token stands in for the NHS token service (POST /oauth2/token): signed-JWT client credentials, with the
// documented checks and error texts, and bearer tokens of 599 seconds that the other stand-ins can ask
// about. It leaves out the exchange and refresh of user tokens, scopes, the JWKS fetch (a client's key is
// given by hand) and the five-minute upper limit measured by a second clock.
type Token struct {
	server
	clients map[string]client    // by API key
	used    map[string]bool      // jti
	issued  map[string]time.Time // token → expiry
}

type client struct {
	kid string
	key *rsa.PublicKey // nil: signatures are not looked at
}

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// StartToken starts a token service on addr ("": any free loopback port).
func StartToken(addr string) (*Token, error) {
	t := &Token{clients: map[string]client{}, used: map[string]bool{}, issued: map[string]time.Time{}}
	t.problem = oauthError
	if err := t.listen(addr); err != nil {
		return nil, err
	}
	t.handle("token", "POST /oauth2/token", t.token)
	return t, nil
}

// Endpoint is the token URL, which is also the audience that assertions must name.
func (t *Token) Endpoint() string { return t.URL + "/oauth2/token" }

// Register makes a client known: its API key, key id and public key (nil: any signature passes).
func (t *Token) Register(apiKey, kid string, key *rsa.PublicKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clients[apiKey] = client{kid, key}
}

// Issue gives a token without being asked by a client, as a user's sign-in would.
func (t *Token) Issue() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.issue()
}

func (t *Token) issue() string {
	token := "token-" + t.uuid()
	t.issued[token] = t.Now().Add(599 * time.Second)
	return token
}

// Valid tells whether a token was issued here and has not expired or been revoked.
func (t *Token) Valid(token string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	until, ok := t.issued[token]
	return ok && t.Now().Before(until)
}

// Revoke makes every token issued so far invalid.
func (t *Token) Revoke() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.issued)
}

func oauthError(status int, text string) answer {
	code := "invalid_request"
	switch {
	case strings.Contains(text, "signature") || strings.Contains(text, "public key"):
		code = "public_key error"
	case strings.Contains(text, "grant_type"):
		code = "unsupported_grant_type"
	}
	return answer{status: status, body: object{"error": code, "error_description": text, "message_id": "sim"}}
}

// token answers a request by the documented order of checks.
func (t *Token) token(r request) answer {
	form, err := url.ParseQuery(string(r.body))
	switch {
	case err != nil || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		return oauthError(http.StatusBadRequest, "Invalid request body")
	case form.Get("grant_type") != "client_credentials":
		return oauthError(http.StatusBadRequest, "grant_type is invalid")
	case form.Get("client_assertion_type") != assertionType:
		return oauthError(http.StatusBadRequest, "Missing or invalid client_assertion_type - must be '"+assertionType+"'")
	case form.Get("client_assertion") == "":
		return oauthError(http.StatusBadRequest, "Missing client_assertion")
	}
	if refused := t.checkAssertion(form.Get("client_assertion")); refused != nil {
		return *refused
	}
	return answer{status: http.StatusOK, body: object{"access_token": t.issue(), "expires_in": "599", "token_type": "Bearer",
		"issued_at": t.Now().UnixMilli()}}
}

// checkAssertion gives the documented refusal of a client assertion, nil when it is good.
func (t *Token) checkAssertion(assertion string) *answer {
	refuse := func(status int, text string) *answer { a := oauthError(status, text); return &a }
	head, claims, ok := split(assertion)
	if !ok {
		return refuse(http.StatusBadRequest, "Malformed JWT in client_assertion")
	}
	iss, sub, jti := text(claims, "iss"), text(claims, "sub"), text(claims, "jti")
	exp, isNumber := at(claims, "exp").(float64)
	until := time.Unix(int64(exp), 0)
	known, registered := t.clients[iss]
	switch {
	case text(head, "alg") != "RS512":
		return refuse(400, "Invalid 'alg' header in client_assertion JWT - unsupported JWT algorithm - must be 'RS512'")
	case text(head, "kid") == "":
		return refuse(400, "Missing 'kid' header in client_assertion JWT")
	case text(head, "typ") != "JWT":
		return refuse(400, "Invalid 'typ' header in client_assertion JWT - must be 'JWT'")
	case iss == "" || iss != sub:
		return refuse(400, "Missing or non-matching 'iss'/'sub' claims in client_assertion JWT")
	case jti == "":
		return refuse(400, "Missing 'jti' claim in client_assertion JWT")
	case t.used[jti]:
		return refuse(400, "Non-unique 'jti' claim in client_assertion JWT")
	case at(claims, "exp") == nil:
		return refuse(400, "Missing 'exp' claim in client_assertion JWT")
	case !isNumber || exp != float64(int64(exp)):
		return refuse(400, "Invalid 'exp' claim in client_assertion JWT - must be an integer")
	case until.Before(t.Now()):
		return refuse(400, "Invalid 'exp' claim in client_assertion JWT - JWT has expired")
	case until.After(t.Now().Add(310 * time.Second)):
		return refuse(400, "Invalid 'exp' claim in client_assertion JWT - more than 5 minutes in future")
	case text(claims, "aud") != t.Endpoint():
		return refuse(401, "Missing or invalid 'aud' claim in client_assertion JWT")
	case !registered:
		return refuse(401, "Invalid 'iss'/'sub' claims in client_assertion JWT")
	case known.kid != text(head, "kid"):
		return refuse(401, "Invalid 'kid' header in client_assertion JWT - no matching public key")
	case known.key != nil && !signed(assertion, known.key):
		return refuse(401, "JWT signature verification failed")
	}
	t.used[jti] = true
	return nil
}

// split decodes a JWT's header and claims without judging them.
func split(token string) (head, claims object, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, nil, false
	}
	for i, into := range []*object{&head, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(b, into) != nil {
			return nil, nil, false
		}
	}
	return head, claims, true
}

func signed(token string, key *rsa.PublicKey) bool {
	p := jwt.NewParser(jwt.WithValidMethods([]string{"RS512"}), jwt.WithoutClaimsValidation())
	_, err := p.Parse(token, func(*jwt.Token) (any, error) { return key, nil })
	return err == nil
}
