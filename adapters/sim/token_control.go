package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Bearers tells what a bearer token is good for. The live services ask their own token service.
type Bearers interface {
	// Bearer tells whether a token is good now, and whether it is that of a user who signed in, not of an application.
	Bearer(token string) (user, valid bool)
}

// Given are the tokens that are good, and whether each is that of a user.
type Given map[string]bool

// Bearer looks a token up.
func (g Given) Bearer(token string) (user, valid bool) {
	user, valid = g[token]
	return user, valid
}

// Asked is a simulated token service in another process, by its URL ("http://127.0.0.1:2594"). One that cannot be
// reached takes no token for good.
type Asked string

// Bearer asks it.
func (a Asked) Bearer(token string) (user, valid bool) {
	body, err := json.Marshal(object{"token": token})
	if err != nil {
		return false, false
	}
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Post(strings.TrimRight(string(a), "/")+"/sim/introspect", "application/json", bytes.NewReader(body))
	if err != nil {
		return false, false
	}
	defer resp.Body.Close()
	var said struct{ Active, User bool }
	if resp.StatusCode != http.StatusOK || json.NewDecoder(resp.Body).Decode(&said) != nil {
		return false, false
	}
	return said.User, said.Active
}

// Several take the first that takes a token.
type Several []Bearers

// Bearer asks one after another.
func (s Several) Bearer(token string) (user, valid bool) {
	for _, b := range s {
		if user, valid := b.Bearer(token); valid {
			return user, valid
		}
	}
	return false, false
}

// Client is an application that may ask for tokens, as a person registers it: by kid and public key, or by where its keys are.
type Client struct {
	ID        string `json:"clientId"`  // the API key
	Kid       string `json:"kid"`       // with PublicKey
	PublicKey string `json:"publicKey"` // PEM; empty with a kid: no signature is looked at
	JWKS      string `json:"jwks"`      // URL
	Secret    string `json:"secret"`    // of refreshes
}

// Add registers a client.
func (t *Token) Add(c Client) error {
	in := client{kid: c.Kid, jwks: c.JWKS, secret: c.Secret}
	switch {
	case c.ID == "" || (c.Kid == "") == (c.JWKS == ""):
		return errors.New("sim: a client has an id, and either a kid (with its publicKey) or a jwks")
	case c.PublicKey != "":
		key, err := jwt.ParseRSAPublicKeyFromPEM([]byte(c.PublicKey))
		if err != nil {
			return errors.New("sim: publicKey is no RSA public key in PEM")
		}
		in.key = key
	}
	t.register(c.ID, in)
	return nil
}

// playing serves what happens beside the API: users who sign in at CIS2, clients that are onboarded.
func (t *Token) playing() {
	t.act("POST /sim/tokens", `an access token without asking for one, {"user":true} that of a user who signed in`, func(a acting) (any, error) {
		var x struct{ User bool }
		if err := a.read(&x); err != nil {
			return nil, err
		}
		return object{"access_token": t.give(x.User), "expires_in": "599", "token_type": "Bearer"}, nil
	})
	t.act("DELETE /sim/tokens", "every token is revoked", func(acting) (any, error) { t.Revoke(); return nil, nil })
	t.act("POST /sim/sign-ins", "a user signs in at CIS2: an ID token, to be exchanged within five minutes", func(acting) (any, error) {
		return object{"id_token": t.SignIn()}, nil
	})
	t.act("POST /sim/clients", "an application is registered: clientId, kid and publicKey (PEM) or jwks (URL), secret", func(a acting) (any, error) {
		var c Client
		if err := a.read(&c); err != nil {
			return nil, err
		}
		return nil, t.Add(c)
	})
	t.act("POST /sim/introspect", "whether a token is good, and that of a user: what other simulators ask", func(a acting) (any, error) {
		var x struct{ Token string }
		if err := a.read(&x); err != nil {
			return nil, err
		}
		user, valid := t.Bearer(x.Token)
		return object{"active": valid, "user": valid && user}, nil
	})
}
