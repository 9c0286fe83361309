package nhsauth

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// class is what a refusal of the token service asks for.
type class int

const (
	passing    class = iota // it may pass: again later
	once                    // a new assertion cures it, made at once
	unknownKey              // the service does not know the key (yet): another one of ours may do
	configured              // somebody must mend the configuration or the registration; again later all the same
	clock                   // ours and theirs are apart
	user                    // the user's sign-in is not taken: they must sign in again
)

// refusals are the documented error texts of POST /oauth2/token, by how they begin or what they hold, in the order in
// which they are looked for, and what they mean in our own words: theirs may quote what was sent.
var refusals = []struct {
	holds string
	class class
	means string
}{
	{"invalid 'alg' header", configured, "the algorithm of the assertion is not RS512"},
	{"jwt has expired", clock, "the assertion had expired when it came: look at this machine's clock"},
	{"more than 5 minutes in future", clock, "the assertion holds for too long: look at this machine's clock"},
	{"'exp' claim", configured, "the assertion's exp is missing or no integer"},
	{"missing 'kid' header", configured, "the assertion names no key: set key_id"},
	{"no matching public key", unknownKey, "no public key is registered under the assertion's kid: register it, or its JWKS"},
	{"signature verification failed", unknownKey, "the public key that is registered under the kid is another one"},
	{"'typ' header", configured, "the assertion's typ is not JWT"},
	{"'iss'/'sub' claims", configured, "client_id is not the application's API key"},
	{"non-unique 'jti'", once, "the assertion was seen before"},
	{"'jti' claim", configured, "the assertion's jti is missing or invalid"},
	{"'aud' claim", configured, "token_url is not the address that the service calls itself"},
	{"malformed jwt in client_assertion", configured, "the assertion cannot be read"},
	{"client_assertion_type", configured, "the type of the assertion is not taken"},
	{"missing client_assertion", configured, "the assertion is missing"},
	{"jwks endpoint", configured, "the service cannot fetch our JWKS: it must reach /.well-known/jwks.json"},
	{"subject_token", user, "the user's sign-in is not taken"},
	{"subject token", user, "the user's sign-in is not taken"},
	{"refresh token", user, "the user's sign-in cannot be renewed"},
	{"refresh_token", user, "the user's sign-in cannot be renewed"},
	{"grant_type", configured, "the application may not ask for tokens in this way"},
	{"client credentials", configured, "client_id or client_secret is not the application's"},
	{"client_id", configured, "client_id is not the application's API key"},
}

// refusal is the body of an error (RFC 6749 §5.2, with a message_id for the service desk).
type refusal struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	MessageID   string `json:"message_id"`
}

// fault is a refusal that was classified.
type fault struct {
	class class
	*issue.Issue
}

func (f *fault) Error() string { return f.Issue.Error() }
func (f *fault) Unwrap() error { return f.Issue }

// judged classifies an answer that gave no token. Of the service's words only those that are known are told.
func judged(status int, body []byte) *fault {
	var r refusal
	_ = json.Unmarshal(body, &r)
	said := strings.ToLower(r.Description)
	answered := "the token service answered " + strconv.Itoa(status)
	for _, k := range refusals {
		if status < 500 && strings.Contains(said, k.holds) {
			return faultOf(k.class, answered+": "+k.means, r.MessageID)
		}
	}
	switch {
	case r.Error == "invalid_grant":
		return faultOf(user, answered+": the user's sign-in is not taken", r.MessageID)
	case r.Error == "unsupported_grant_type" || r.Error == "unauthorized_client":
		return faultOf(configured, answered+": the application may not ask for tokens in this way", r.MessageID)
	case r.Error == "public_key error":
		return faultOf(unknownKey, answered+": the public key that is registered is another one", r.MessageID)
	case status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500 || status < 400:
		return faultOf(passing, answered, r.MessageID)
	}
	return faultOf(configured, answered, r.MessageID)
}

// faultOf gives a class its issue: Unavailable where time cures it, Denied where a person must.
func faultOf(c class, text, messageID string) *fault {
	kind := issue.Denied
	if c == passing || c == once {
		kind = issue.Unavailable
	}
	where := "token"
	if c == user {
		where = flow.ForUser
	}
	if messageID != "" && len(messageID) <= 128 && !strings.ContainsFunc(messageID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		text += " (message_id " + messageID + ")"
	}
	return &fault{c, issue.New(kind, where, text)}
}
