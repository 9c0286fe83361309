package api

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// OIDC verifies bearer tokens of one OpenID Connect issuer: signature, issuer, audience, time.
type OIDC struct {
	Issuer, Audience  string
	RolesClaim        string       // a list or a space-separated text; dots lead inside: "realm_access.roles"
	OrganisationClaim string       // ODS code
	Client            *http.Client // nil: one with a time-out of 10 s

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier
}

// identify gives the identity of a token. The issuer is asked for its keys at the first token and not at
// the start, so that a gateway starts while its login service is down.
func (o *OIDC) identify(ctx context.Context, raw string) (Identity, *issue.Issue) {
	v, err := o.keys()
	if err != nil {
		return Identity{}, issue.New(issue.Unavailable, "Authorization", "the login service cannot be reached").Because(err)
	}
	token, err := v.Verify(ctx, raw)
	if err != nil { // its text may quote claims: kept as the private cause
		return Identity{}, issue.New(issue.Denied, "Authorization", "the bearer token is not valid here").Because(err)
	}
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		return Identity{}, issue.New(issue.Denied, "Authorization", "the bearer token has no readable claims").Because(err)
	}
	organisation, _ := claim(claims, o.OrganisationClaim).(string)
	return Identity{flow.Subject{Organisation: organisation, Name: token.Subject, Token: raw}, words(claim(claims, o.RolesClaim))}, nil
}

func (o *OIDC) keys() (*oidc.IDTokenVerifier, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.verifier != nil {
		return o.verifier, nil
	}
	client := o.Client
	if client == nil {
		client = &http.Client{Timeout: 10 * time.Second}
	}
	// not the request's context: the key set goes on using this one
	p, err := oidc.NewProvider(oidc.ClientContext(context.Background(), client), o.Issuer)
	if err != nil {
		return nil, err
	}
	o.verifier = p.Verifier(&oidc.Config{ClientID: o.Audience})
	return o.verifier, nil
}

// claim follows a dotted name into the claims.
func claim(claims map[string]any, name string) any {
	if v, ok := claims[name]; ok {
		return v
	}
	first, rest, deeper := strings.Cut(name, ".")
	inner, ok := claims[first].(map[string]any)
	if !deeper || !ok {
		return nil
	}
	return claim(inner, rest)
}

func words(v any) []string {
	switch v := v.(type) {
	case string:
		return strings.Fields(v)
	case []any:
		var out []string
		for _, each := range v {
			if s, ok := each.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}
