package main

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/dermgate/dermgate/gateway/config"
)

// tokens gives the bearer token of a destination: the configured one, or one fetched by signed JWT client
// credentials (NHS API platform, application-restricted access) and kept until a minute before it ends.
type tokens struct {
	auth *config.Auth
	http *http.Client
	now  func() time.Time

	mu    sync.Mutex
	token string
	until time.Time
}

// Token gives a token; callers at the same time share one fetch.
func (t *tokens) Token(ctx context.Context) (string, error) {
	if t.auth == nil {
		return "", nil
	}
	if t.auth.TokenURL == "" {
		return t.auth.Token.Read()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != "" && t.now().Before(t.until) {
		return t.token, nil
	}
	return t.fetch(ctx)
}

// assertion signs who we are: RS512, five minutes at most, a jti never used before.
func (t *tokens) assertion() (string, error) {
	pem, err := t.auth.Key.Read()
	if err != nil {
		return "", err
	}
	key, err := parseKey(pem)
	if err != nil {
		return "", err
	}
	claims := jwt.MapClaims{"iss": t.auth.ClientID, "sub": t.auth.ClientID, "aud": t.auth.TokenURL, "jti": uuid.NewString(), "exp": t.now().Add(4 * time.Minute).Unix()}
	signed := jwt.NewWithClaims(jwt.SigningMethodRS512, claims)
	signed.Header["kid"] = t.auth.KeyID
	return signed.SignedString(key)
}

func parseKey(pem string) (*rsa.PrivateKey, error) {
	key, err := jwt.ParseRSAPrivateKeyFromPEM([]byte(pem))
	if err != nil {
		return nil, errors.New("token: the key is no RSA private key in PEM form")
	}
	return key, nil
}

func (t *tokens) fetch(ctx context.Context) (string, error) {
	assertion, err := t.assertion()
	if err != nil {
		return "", err
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.auth.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := t.http.Do(req)
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	defer resp.Body.Close()
	var body struct {
		AccessToken string          `json:"access_token"`
		ExpiresIn   json.RawMessage `json:"expires_in"` // a number as text ("599"), by others a number
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 64<<10)).Decode(&body); err != nil || resp.StatusCode != http.StatusOK || body.AccessToken == "" {
		return "", fmt.Errorf("token: the token service answered %d", resp.StatusCode)
	}
	seconds, err := strconv.Atoi(strings.Trim(string(body.ExpiresIn), `"`))
	if err != nil {
		seconds = 120
	}
	t.token, t.until = body.AccessToken, t.now().Add(time.Duration(seconds)*time.Second-time.Minute)
	return t.token, nil
}
