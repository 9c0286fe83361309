// Package nhsauth gets bearer tokens of the NHS API platform: for the application itself (a signed JWT in place of a
// secret, RFC 7523), and for a user who has signed in at CIS2 (their ID token exchanged, RFC 8693). Facts of the
// service: NHS England's OAuth 2.0 service, "application-restricted" and "user-restricted, separate authentication
// and authorisation".
//
// Failure semantics. An error is an *issue.Issue: Unavailable where time cures it, Denied where a person must (a key
// that is not registered, a wrong address, a clock), with Where "user" when that person is the user, who must sign in
// again. Its text is ours: what the service says may quote what it was sent.
package nhsauth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"github.com/dermgate/dermgate/mapping/issue"
)

const (
	assertionLife = 4 * time.Minute // the service takes five at most, by its own clock
	early         = time.Minute     // a token is not used in its last minute
	unsaid        = 2 * time.Minute // life of a token whose answer does not say
	longestCall   = 30 * time.Second
	longestAnswer = 64 << 10 // bytes
)

// Client is one application that is registered with the token service. One application is one organisation: in
// application-restricted mode the service itself says which, and a caller cannot.
type Client struct {
	TokenURL string                 // as the service calls itself: it is the audience of assertions, byte for byte
	ClientID string                 // the API key
	Keys     func() ([]Key, error)  // read at each use, so that a changed file is in force at once
	Secret   func() (string, error) // for renewing a user's token; nil or empty: it is not renewed
	HTTP     *http.Client
	Now      func() time.Time

	flight singleflight.Group
	mu     sync.Mutex
	cached token
}

// token is what the service gave.
type token struct {
	access  string
	until   time.Time // use it before
	refresh string
	renew   time.Time // refresh works before
}

// Token gives the application's own token: the cached one until a minute before it ends. refused is a token that a
// service did not take: it is not given again. Callers at the same time share one fetch.
func (c *Client) Token(ctx context.Context, refused string) (string, error) {
	if t := c.current(refused); t != "" {
		return t, nil
	}
	return shared(ctx, &c.flight, func(ctx context.Context) (string, error) {
		if t := c.current(refused); t != "" { // another flight has just landed
			return t, nil
		}
		t, err := c.grant(ctx, url.Values{"grant_type": {"client_credentials"}})
		if err != nil {
			return "", err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cached = t
		return t.access, nil
	})
}

func (c *Client) current(refused string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cached.access == refused || !c.Now().Before(c.cached.until) {
		return ""
	}
	return c.cached.access
}

// shared makes one call for all who ask at the same time. It outlives the one who asked first: the others wait for it.
func shared(ctx context.Context, g *singleflight.Group, call func(context.Context) (string, error)) (string, error) {
	done := g.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), longestCall)
		defer cancel()
		return call(ctx)
	})
	select {
	case r := <-done:
		s, _ := r.Val.(string)
		return s, r.Err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// grant asks for a token with an assertion. A service that has not heard of our newest key yet is asked by the next one.
func (c *Client) grant(ctx context.Context, form url.Values) (token, error) {
	keys, err := c.Keys()
	if err != nil {
		return token{}, issue.New(issue.Denied, "token", "the key that signs cannot be read").Because(err)
	}
	var first error
	for _, k := range signers(keys) {
		t, err := c.signed(ctx, form, k)
		var f *fault
		if errors.As(err, &f) && f.class == once {
			t, err = c.signed(ctx, form, k)
		}
		if err == nil || !errors.As(err, &f) || f.class != unknownKey {
			return t, public(err)
		}
		first = cmp.Or(first, public(err))
	}
	return token{}, cmp.Or[error](first, issue.New(issue.Denied, "token", "there is no key that signs"))
}

// public takes the class off an error.
func public(err error) error {
	var f *fault
	if errors.As(err, &f) {
		return f.Issue
	}
	return err
}

func (c *Client) signed(ctx context.Context, form url.Values, k Key) (token, error) {
	assertion, err := c.assertion(k)
	if err != nil {
		return token{}, issue.New(issue.Denied, "token", "the key does not sign").Because(err)
	}
	asked := url.Values{"client_assertion": {assertion}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
	for name, v := range form {
		asked[name] = v
	}
	return c.post(ctx, asked)
}

// assertion signs who we are: RS512, under five minutes, a jti never used before.
func (c *Client) assertion(k Key) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodRS512, jwt.MapClaims{"iss": c.ClientID, "sub": c.ClientID, "aud": c.TokenURL,
		"jti": uuid.NewString(), "exp": c.Now().Add(assertionLife).Unix()})
	t.Header["kid"] = k.ID
	return t.SignedString(k.Private)
}

// post makes one call of the token service.
func (c *Client) post(ctx context.Context, form url.Values) (token, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return token{}, issue.New(issue.Denied, "token", "token_url is no address").Because(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	asked := c.Now()
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return token{}, issue.New(issue.Unavailable, "token", "the token service does not answer").Because(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, longestAnswer))
	if err != nil {
		return token{}, issue.New(issue.Unavailable, "token", "the answer of the token service was cut off").Because(err)
	}
	if resp.StatusCode != http.StatusOK {
		return token{}, judged(resp.StatusCode, body)
	}
	var g granted
	if err := json.Unmarshal(body, &g); err != nil || g.Access == "" {
		return token{}, issue.New(issue.Unavailable, "token", "the token service answered 200 without a token")
	}
	return g.token(asked), nil
}

// granted is an answer with a token. Numbers come as text ("599"); others send numbers.
type granted struct {
	Access         string  `json:"access_token"`
	ExpiresIn      seconds `json:"expires_in"`
	Refresh        string  `json:"refresh_token"`
	RefreshExpires seconds `json:"refresh_token_expires_in"`
}

func (g granted) token(asked time.Time) token {
	life := cmp.Or(time.Duration(g.ExpiresIn), unsaid)
	t := token{access: g.Access, until: asked.Add(life - min(early, life/2))}
	if g.Refresh != "" {
		t.refresh, t.renew = g.Refresh, asked.Add(cmp.Or(time.Duration(g.RefreshExpires), unsaid))
	}
	return t
}

// seconds is a duration as the service writes it: "599", 599, or nothing it can be read from (0).
type seconds time.Duration

func (s *seconds) UnmarshalJSON(b []byte) error {
	if n, err := strconv.Atoi(strings.Trim(string(b), `"`)); err == nil && n > 0 && n < 1<<31 {
		*s = seconds(time.Duration(n) * time.Second)
	}
	return nil
}
