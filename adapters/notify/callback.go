package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/gin-gonic/gin"
)

// Callback takes message and channel status reports. Each report becomes one Received of format
// flow.Notify whose RequestID is the service's idempotency key, so that a repeated report has one effect.
type Callback struct {
	Name          string           // configured name of the source
	Path          string           // route; empty: "/notify/status"
	ApplicationID string           // with the API key, the secret of the signature
	APIKey        string           // the key the service shows in x-api-key
	Limit         int64            // largest body in bytes; 0: 1 MiB
	Now           func() time.Time // nil: time.Now
}

// Signature gives x-hmac-sha256-signature for a body: HMAC-SHA256 in lower-case hex, keyed with
// "<application id>.<API key>".
func Signature(applicationID, apiKey string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(applicationID+"."+apiKey))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// Routes adds the callback route to r. The answers are the documented ones: 202 kept, 401 missing or
// invalid API key, 403 wrong signature; 503 asks the service to report again (it does so for two hours).
func (cb *Callback) Routes(r gin.IRouter, accept flow.Accept) {
	path := cb.Path
	if path == "" {
		path = "/notify/status"
	}
	r.POST(path, func(c *gin.Context) { c.Status(cb.take(c, accept)) })
}

// take checks and hands over one callback; it gives the HTTP status.
func (cb *Callback) take(c *gin.Context, accept flow.Accept) int {
	if cb.APIKey == "" || subtle.ConstantTimeCompare([]byte(c.GetHeader("x-api-key")), []byte(cb.APIKey)) != 1 {
		return http.StatusUnauthorized
	}
	limit := cb.Limit
	if limit == 0 {
		limit = 1 << 20
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, limit))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge
	}
	if err != nil {
		return http.StatusBadRequest
	}
	want := Signature(cb.ApplicationID, cb.APIKey, body)
	if subtle.ConstantTimeCompare([]byte(c.GetHeader("x-hmac-sha256-signature")), []byte(want)) != 1 {
		return http.StatusForbidden
	}
	reports, err := cb.reports(body)
	if err != nil {
		return http.StatusBadRequest
	}
	for _, r := range reports {
		// A report refused by the rules of the gateway stays refused when it is repeated: it is recorded,
		// and the service is told 202. One that could not be kept must come again.
		if _, err := accept(c.Request.Context(), r); err != nil {
			c.Header("Retry-After", "30")
			return http.StatusServiceUnavailable
		}
	}
	return http.StatusAccepted
}

// reports splits a callback into one Received a report, each a callback of its own.
func (cb *Callback) reports(body []byte) ([]flow.Received, error) {
	var in struct {
		Data []json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	if len(in.Data) == 0 {
		return nil, errors.New("no report in the callback")
	}
	out := make([]flow.Received, 0, len(in.Data))
	for _, item := range in.Data {
		var report struct {
			Meta struct {
				IdempotencyKey string `json:"idempotencyKey"`
			} `json:"meta"`
		}
		if err := json.Unmarshal(item, &report); err != nil {
			return nil, err
		}
		key := report.Meta.IdempotencyKey
		if key == "" { // optional in message reports: the same words are the same report
			sum := sha256.Sum256(item)
			key = hex.EncodeToString(sum[:])
		}
		raw := append(append([]byte(`{"data":[`), item...), "]}"...)
		out = append(out, flow.Received{Source: cb.Name, At: cb.now(), Format: flow.Notify, Raw: raw, RequestID: key})
	}
	return out, nil
}

func (cb *Callback) now() time.Time {
	if cb.Now != nil {
		return cb.Now()
	}
	return time.Now()
}
