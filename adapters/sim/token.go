package sim

import (
	"crypto/rsa"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Token stands in for the NHS token service (POST /oauth2/token): signed-JWT client credentials, the exchange of a
// CIS2 ID token, and its refresh, with the documented checks and error texts, and bearer tokens of 599 seconds that the
// other stand-ins can ask about. An ID token is one that SignIn gave: it is no signed JWT of CIS2's. It leaves out
// scopes, assurance levels, and the five-minute upper limit measured by a second clock; what it says of an ID token or
// refresh token that it does not take is in its own words, since none are published.
type Token struct {
	server
	clients map[string]client     // by API key
	used    map[string]bool       // jti
	issued  map[string]bearer     // by access token
	signIns map[string]time.Time  // ID token → expiry
	refresh map[string]*refreshed // by refresh token
}

type client struct {
	kid    string
	key    *rsa.PublicKey // nil: signatures are not looked at
	jwks   string         // where keys are fetched by kid; empty: kid and key say it all
	secret string         // of refreshes
}

// bearer is an access token.
type bearer struct {
	until time.Time
	user  bool // a user signed in for it
}

// refreshed is a refresh token: whose it is, until when, and how often it was used.
type refreshed struct {
	client string
	until  time.Time
	count  int
}

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"
)

// StartToken starts a token service on addr ("": any free loopback port).
func StartToken(addr string) (*Token, error) {
	t := &Token{clients: map[string]client{}, used: map[string]bool{}, issued: map[string]bearer{}, signIns: map[string]time.Time{}, refresh: map[string]*refreshed{}}
	t.problem = oauthError
	if err := t.listen(addr); err != nil {
		return nil, err
	}
	t.handle("token", "POST /oauth2/token", t.token)
	t.playing()
	return t, nil
}

// Endpoint is the token URL, which is also the audience that assertions must name.
func (t *Token) Endpoint() string { return t.URL + "/oauth2/token" }

// Register makes a client known: its API key, key id and public key (nil: any signature passes).
func (t *Token) Register(apiKey, kid string, key *rsa.PublicKey) {
	t.register(apiKey, client{kid: kid, key: key})
}

// RegisterJWKS makes a client known by where its public keys are; secret is that of its refreshes.
func (t *Token) RegisterJWKS(apiKey, url, secret string) {
	t.register(apiKey, client{jwks: url, secret: secret})
}

func (t *Token) register(apiKey string, c client) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clients[apiKey] = c
}

// SignIn gives the ID token of a user who has signed in at CIS2; it can be exchanged for five minutes.
func (t *Token) SignIn() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	id := "id-token-" + t.uuid()
	t.signIns[id] = t.Now().Add(5 * time.Minute)
	return id
}

// Issue gives a user's token without being asked by a client.
func (t *Token) Issue() string { return t.give(true) }

func (t *Token) give(user bool) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.issue(user)
}

// IssueUntil is Issue of a token that is renewed while time passes up to a moment: it lasts 599 seconds from then.
func (t *Token) IssueUntil(at time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	token := t.issue(true)
	t.issued[token] = bearer{at.Add(599 * time.Second), true}
	return token
}

func (t *Token) issue(user bool) string {
	token := "token-" + t.uuid()
	t.issued[token] = bearer{t.Now().Add(599 * time.Second), user}
	return token
}

// Bearer tells whether a token was issued here and has not expired or been revoked, and whether it is that of a user.
func (t *Token) Bearer(token string) (user, valid bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b, ok := t.issued[token]
	return b.user, ok && t.Now().Before(b.until)
}

// Valid tells whether a token is good now.
func (t *Token) Valid(token string) bool {
	_, valid := t.Bearer(token)
	return valid
}

// OfUser tells whether a token is that of a user who signed in, not of an application alone.
func (t *Token) OfUser(token string) bool {
	user, _ := t.Bearer(token)
	return user
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
	grant := form.Get("grant_type")
	switch {
	case err != nil || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		return oauthError(http.StatusBadRequest, "Invalid request body")
	case grant == "refresh_token":
		return t.renew(form)
	case grant != "client_credentials" && grant != exchangeGrant:
		return oauthError(http.StatusBadRequest, "grant_type is invalid")
	case form.Get("client_assertion_type") != assertionType:
		return oauthError(http.StatusBadRequest, "Missing or invalid client_assertion_type - must be '"+assertionType+"'")
	case form.Get("client_assertion") == "":
		return oauthError(http.StatusBadRequest, "Missing client_assertion")
	}
	apiKey, refused := t.checkAssertion(form.Get("client_assertion"))
	switch {
	case refused != nil:
		return *refused
	case grant == exchangeGrant:
		return t.exchange(form, apiKey)
	}
	return t.granted(false, nil)
}

// granted gives a token, with what else its grant says.
func (t *Token) granted(user bool, more object) answer {
	body := object{"access_token": t.issue(user), "expires_in": "599", "token_type": "Bearer", "issued_at": t.Now().UnixMilli()}
	for k, v := range more {
		body[k] = v
	}
	return answer{status: http.StatusOK, body: body}
}

// exchange gives a user's token for the ID token that they got at CIS2.
func (t *Token) exchange(form url.Values, apiKey string) answer {
	until, known := t.signIns[form.Get("subject_token")]
	switch {
	case form.Get("subject_token_type") != "urn:ietf:params:oauth:token-type:id_token":
		return oauthError(http.StatusBadRequest, "Missing or invalid subject_token_type")
	case !known || t.Now().After(until):
		return oauthError(http.StatusBadRequest, "Invalid subject_token")
	}
	token := "refresh-" + t.uuid()
	t.refresh[token] = &refreshed{client: apiKey, until: t.Now().Add(43199 * time.Second)}
	return t.granted(true, object{"refresh_token": token, "refresh_token_expires_in": "43199", "refresh_count": "0"})
}

// renew gives another token of a user by a refresh token, which stays.
func (t *Token) renew(form url.Values) answer {
	r, c := t.refresh[form.Get("refresh_token")], t.clients[form.Get("client_id")]
	switch {
	case c.secret == "" || form.Get("client_secret") != c.secret:
		return oauthError(http.StatusUnauthorized, "Invalid client credentials")
	case r == nil || r.client != form.Get("client_id") || t.Now().After(r.until):
		return oauthError(http.StatusUnauthorized, "Invalid refresh token")
	}
	r.count++
	return t.granted(true, object{"refresh_token": form.Get("refresh_token"), "refresh_token_expires_in": seconds(r.until.Sub(t.Now())),
		"refresh_count": strconv.Itoa(r.count)})
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
