package nhsauth

import (
	"context"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Longest is how long a user's sign-in is held in memory for work that does not end: what needs it then waits for a
// user again.
const Longest = time.Hour

// Sessions holds the sign-ins of users, in memory alone, each for one piece of work (a case) and until that is done: a
// restart loses them. An ID token is exchanged at its first use and then forgotten; what is held on is the access token
// and, where the application has a secret, the refresh token.
type Sessions struct {
	Client *Client

	mu   sync.Mutex
	held map[string]*session
}

type session struct {
	flight singleflight.Group
	mu     sync.Mutex
	id     string    // CIS2 ID token; empty once exchanged
	ends   time.Time // it is forgotten
	token
}

// SignIn holds the CIS2 ID token of a user for a piece of work. It replaces an earlier one, and asks nobody.
func (s *Sessions) SignIn(work, idToken string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Client.Now()
	for w, old := range s.held {
		if now.After(old.ends) {
			delete(s.held, w)
		}
	}
	if s.held == nil {
		s.held = map[string]*session{}
	}
	s.held[work] = &session{id: idToken, ends: now.Add(Longest)}
}

// Forget lets go of the sign-in for a piece of work.
func (s *Sessions) Forget(work string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, work)
}

// Holds tells whether a user is signed in for a piece of work.
func (s *Sessions) Holds(work string) bool { return s.of(work) != nil }

func (s *Sessions) of(work string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.held[work]
	if x != nil && s.Client.Now().After(x.ends) {
		delete(s.held, work)
		return nil
	}
	return x
}

// Token gives an access token of the user who is signed in for a piece of work; empty when nobody is. refused is one
// that a service did not take. A sign-in that is not taken, or has ended, is forgotten: the error's Where is flow.ForUser.
func (s *Sessions) Token(ctx context.Context, work, refused string) (string, error) {
	x := s.of(work)
	if x == nil {
		return "", nil
	}
	access, err := shared(ctx, &x.flight, func(ctx context.Context) (string, error) { return s.Client.of(ctx, x, refused) })
	if i := issue.From(err); i != nil && i.Where == flow.ForUser {
		s.drop(work, x)
	}
	return access, err
}

// drop forgets a session unless another one has taken its place.
func (s *Sessions) drop(work string, x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[work] == x {
		delete(s.held, work)
	}
}

// of gives the token of a session: the one it has, one that its ID token is exchanged for, or one that is renewed.
func (c *Client) of(ctx context.Context, x *session, refused string) (string, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.access != "" && x.access != refused && c.Now().Before(x.until) {
		return x.access, nil
	}
	var t token
	var err error
	switch {
	case x.id != "":
		t, err = c.exchange(ctx, x.id)
	case x.refresh != "" && c.Now().Before(x.renew):
		t, err = c.renew(ctx, x.refresh)
	default:
		err = issue.New(issue.Denied, flow.ForUser, "the user's sign-in has ended")
	}
	if err != nil {
		return "", err
	}
	if t.refresh == "" && x.refresh != "" {
		t.refresh, t.renew = x.refresh, x.renew
	}
	x.id, x.token = "", t
	return t.access, nil
}

// exchange turns a user's CIS2 ID token into an access token.
func (c *Client) exchange(ctx context.Context, idToken string) (token, error) {
	return c.grant(ctx, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token": {idToken}, "subject_token_type": {"urn:ietf:params:oauth:token-type:id_token"}})
}

// renew gets another access token for a user who signed in before.
func (c *Client) renew(ctx context.Context, refresh string) (token, error) {
	var secret string
	if c.Secret != nil {
		var err error
		if secret, err = c.Secret(); err != nil {
			return token{}, issue.New(issue.Denied, "token", "client_secret cannot be read").Because(err)
		}
	}
	if secret == "" {
		return token{}, issue.New(issue.Denied, flow.ForUser, "the user's sign-in has ended, and without client_secret it is not renewed")
	}
	t, err := c.post(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "client_id": {c.ClientID}, "client_secret": {secret}})
	return t, public(err)
}
