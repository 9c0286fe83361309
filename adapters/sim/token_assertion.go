package sim

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// checkAssertion gives whose a client assertion is, or its documented refusal.
func (t *Token) checkAssertion(assertion string) (apiKey string, refused *answer) {
	refuse := func(status int, text string) (string, *answer) { a := oauthError(status, text); return "", &a }
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
	}
	key, unreached := known.keyOf(text(head, "kid"))
	switch {
	case unreached != nil:
		return refuse(403, "The JWKS endpoint, for your client_assertion can't be reached")
	case key == nil:
		return refuse(401, "Invalid 'kid' header in client_assertion JWT - no matching public key")
	case key != anyKey && !signed(assertion, key):
		return refuse(401, "JWT signature verification failed")
	}
	t.used[jti] = true
	return iss, nil
}

// anyKey stands for one that signatures are not checked with.
var anyKey = &rsa.PublicKey{}

// keyOf gives the public key that is registered under a kid, nil when there is none; the error is that of fetching it.
func (c client) keyOf(kid string) (*rsa.PublicKey, error) {
	if c.jwks == "" {
		switch {
		case c.kid != kid:
			return nil, nil
		case c.key == nil:
			return anyKey, nil
		}
		return c.key, nil
	}
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Get(c.jwks)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
		return nil, err
	}
	for _, k := range set.Key(kid) {
		if key, ok := k.Key.(*rsa.PublicKey); ok {
			return key, nil
		}
	}
	return nil, nil
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
