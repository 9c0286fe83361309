package main

import (
	"context"
	"net/http"
	"time"

	"github.com/dermgate/dermgate/adapters/nhsauth"
	"github.com/dermgate/dermgate/gateway/config"
)

// getToken gives a bearer token; refused is one that a 401 has answered, empty at first.
type getToken = func(ctx context.Context, refused string) (string, error)

// application makes the client of an application that is registered with a token service. Its key is read at each use.
func application(auth *config.Auth, client *http.Client, now func() time.Time) *nhsauth.Client {
	return &nhsauth.Client{TokenURL: auth.TokenURL, ClientID: auth.ClientID, Keys: func() ([]nhsauth.Key, error) { return keysOf(auth) },
		Secret: auth.Secret.Read, HTTP: client, Now: now}
}

func keysOf(auth *config.Auth) ([]nhsauth.Key, error) {
	text, err := auth.Key.Read()
	if err != nil {
		return nil, err
	}
	return nhsauth.ReadKeys([]byte(text), auth.KeyID)
}

// application gives the client of an application, one for all that use it: they share its token.
func (a *app) application(auth *config.Auth, client *http.Client) *nhsauth.Client {
	key := auth.TokenURL + " " + auth.ClientID
	if a.applications[key] == nil {
		a.applications[key] = application(auth, client, a.now)
	}
	return a.applications[key]
}

// token gives the bearer token of a configured auth: the one that is configured, or the application's own.
func (a *app) token(auth *config.Auth, client *http.Client) getToken {
	switch {
	case auth == nil:
		return func(context.Context, string) (string, error) { return "", nil }
	case auth.TokenURL == "":
		return fixed(auth)
	}
	return a.application(auth, client).Token
}

// fixed gives a token that is configured; a file is read at each use.
func fixed(auth *config.Auth) getToken {
	return func(context.Context, string) (string, error) { return auth.Token.Read() }
}

// signIn hands a user's sign-in to a destination that works as them.
func (a *app) signIn(to string, work string, idToken string) {
	if s := a.sessions[to]; s != nil {
		s.SignIn(work, idToken)
	}
}

// auths gives every credential of a configuration.
func auths(cfg *config.Config) []*config.Auth {
	var all []*config.Auth
	for _, s := range cfg.Sources {
		all = append(all, s.Auth)
	}
	for _, d := range cfg.Destinations {
		all = append(all, d.Auth, d.PollAuth)
	}
	return all
}

// jwks gives the public keys of all applications as a JWK Set.
func jwks(cfg *config.Config) ([]byte, error) {
	var all []nhsauth.Key
	for _, auth := range auths(cfg) {
		if auth == nil || auth.TokenURL == "" {
			continue
		}
		keys, err := keysOf(auth)
		if err != nil {
			return nil, err
		}
		all = append(all, keys...)
	}
	return nhsauth.JWKS(all), nil
}
