// Package mesh speaks to the Message Exchange for Social Care and Health (MESH). The Destination sends a message that was
// made before, in chunks where it is large; the Source empties a mailbox: what receivers say of our messages, MESH's own
// reports, and messages of other languages that come by it.
//
// Failure semantics. MESH gives each message that it takes a new id and does not tell a repeat by mex-LocalID. So the
// sending of the first chunk is written down before it is made; when its answer was lost, the next attempt asks MESH's
// tracking for the local id: what is there is gone on with, what is not is sent. A chunk that MESH has may be sent again. A
// received message is acknowledged at MESH only after it was accepted, and one that comes again has no second effect.
//
// Facts of the service: the MESH API as NHSDigital/mesh-sandbox and NHSDigital/mesh-client show it.
package mesh

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Media types.
const (
	accept  = "application/vnd.mesh.v2+json"
	fhirXML = "application/fhir+xml"
)

// longestAnswer is the most bytes read of what is no message.
const longestAnswer = 1 << 20

// Client reaches one mailbox.
type Client struct {
	Base      string                 // "https://mesh-sync.national.ncrs.nhs.uk"
	Mailbox   string                 // id
	Password  func() (string, error) // of the mailbox
	SharedKey func() (string, error) // of the environment
	Version   string                 // of this program, for the handshake; empty: "dermgate"
	HTTP      *http.Client           // with the client certificate; nil: a plain client with a 60 s limit
	Now       func() time.Time       // nil: time.Now
}

// Authorization gives the header of one request: the HMAC-SHA256 under the environment's shared key of mailbox, nonce,
// count, password and UTC minute. A nonce is used once.
func (c *Client) authorization() (string, error) {
	password, err := c.Password()
	if err != nil {
		return "", err
	}
	key, err := c.SharedKey()
	if err != nil {
		return "", err
	}
	nonce := rand.Text()
	at := c.now().UTC().Format("200601021504")
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "%s:%s:1:%s:%s", c.Mailbox, nonce, password, at)
	return fmt.Sprintf("NHSMESH %s:%s:1:%s:%s", c.Mailbox, nonce, at, hex.EncodeToString(mac.Sum(nil))), nil
}

// path of the mailbox, and what is below it.
func (c *Client) path(parts ...string) string {
	p := "/messageexchange/" + url.PathEscape(c.Mailbox)
	for _, part := range parts {
		p += "/" + url.PathEscape(part)
	}
	return p
}

// do makes one request. Its error is of the way there; nothing of it names a header.
func (c *Client) do(ctx context.Context, method, path string, header map[string]string, body []byte) (*http.Response, error) {
	auth, err := c.authorization()
	if err != nil {
		return nil, fmt.Errorf("mesh: authorization: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.Base, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("mesh: no request can be made to the base_url")
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("Accept-Encoding", "gzip")
	for k, v := range header {
		req.Header.Set(k, v)
	}
	req.Header.Set("Authorization", auth)
	return c.client().Do(req)
}

// reply is an answer that is no message.
type reply struct {
	status int
	header http.Header
	body   struct {
		MessageID string `json:"message_id"`
		IDv1      string `json:"messageID"`
		Status    string `json:"status"`
		TrackedID string `json:"messageId"`
		Detail    []struct {
			Code string `json:"code"`
		} `json:"detail"`
		ErrorCode string   `json:"errorCode"`
		Messages  []string `json:"messages"`
	}
}

// call makes one request whose answer is small.
func (c *Client) call(ctx context.Context, method, path string, header map[string]string, body []byte) (reply, error) {
	resp, err := c.do(ctx, method, path, header, body)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	r := reply{status: resp.StatusCode, header: resp.Header}
	b, err := readBody(resp, longestAnswer)
	if err != nil {
		return r, fmt.Errorf("mesh: the answer was cut off: %w", err)
	}
	_ = json.Unmarshal(b, &r.body) // an answer of something on the way has none of this
	return r, nil
}

// code of the service's error, where it gives one.
func (r reply) code() string {
	s := r.body.ErrorCode
	for _, d := range r.body.Detail {
		s = d.Code
	}
	if len(s) > 40 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return ""
	}
	return s
}

// trouble turns an answer that is no success into an outcome.
func (r reply) trouble(call string) flow.Outcome {
	text := call + ": MESH answered " + strconv.Itoa(r.status)
	if code := r.code(); code != "" {
		text += " " + code
	}
	switch {
	case r.status == http.StatusForbidden || r.status == http.StatusUnauthorized: // of every message alike: the mailbox, its keys, the clock
		return flow.Outcome{Result: flow.Retry, Cause: issue.New(issue.Denied, "mesh", text)}
	case flow.ByStatus(r.status, true) == flow.Retry:
		return flow.Outcome{Result: flow.Retry, After: flow.RetryAfter(r.header, time.Now()), Cause: issue.New(issue.Unavailable, "mesh", text)}
	case r.status == http.StatusRequestEntityTooLarge:
		return flow.Outcome{Result: flow.Refused, Cause: issue.New(issue.TooLong, "mesh", text)}
	}
	return flow.Outcome{Result: flow.Refused, Cause: issue.New(issue.Value, "mesh", text)}
}

// Handshake validates the mailbox, which MESH wants at least once a day. The error says what MESH answered.
func (c *Client) Handshake(ctx context.Context) (http.Header, error) {
	version := c.Version
	if version == "" {
		version = "dermgate"
	}
	r, err := c.call(ctx, http.MethodPost, c.path(), map[string]string{"Mex-ClientVersion": version, "Mex-OSName": runtime.GOOS, "Mex-OSVersion": runtime.GOARCH}, nil)
	if err != nil {
		return nil, err
	}
	if r.status != http.StatusOK {
		return r.header, fmt.Errorf("mesh: the handshake was answered %d", r.status)
	}
	return r.header, nil
}

// Tracked is what MESH knows of a sent message.
type Tracked struct {
	ID       string // MESH's
	Status   string // lower case: accepted, acknowledged, uploading, error
	Found    bool
	Multiple bool // several messages have the local id
}

// TrackLocal asks for the message with a local id.
func (c *Client) TrackLocal(ctx context.Context, localID string) (Tracked, reply, error) {
	r, err := c.call(ctx, http.MethodGet, c.path("outbox", "tracking", localID), nil, nil)
	switch {
	case err != nil:
		return Tracked{}, r, err
	case r.status == http.StatusOK:
		id := r.body.TrackedID
		if id == "" {
			id = r.body.MessageID
		}
		return Tracked{ID: id, Status: strings.ToLower(r.body.Status), Found: id != ""}, r, nil
	case r.status == http.StatusMultipleChoices:
		return Tracked{Multiple: true}, r, nil
	}
	return Tracked{}, r, nil
}

// Track asks for the message with MESH's id.
func (c *Client) Track(ctx context.Context, id string) (Tracked, reply, error) {
	r, err := c.call(ctx, http.MethodGet, c.path("outbox", "tracking")+"?messageID="+url.QueryEscape(id), nil, nil)
	if err != nil || r.status != http.StatusOK {
		return Tracked{}, r, err
	}
	return Tracked{ID: id, Status: strings.ToLower(r.body.Status), Found: true}, r, nil
}

// readBody reads a body of at most limit bytes, unzipped where it says that it is zipped.
func readBody(resp *http.Response, limit int64) ([]byte, error) {
	r, err := unzipped(resp.Body, resp.Header.Get("Content-Encoding") == "gzip")
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		return nil, errTooLarge
	}
	return b, err
}

func (c *Client) client() *http.Client {
	h := http.Client{Timeout: 60 * time.Second}
	if c.HTTP != nil {
		h = *c.HTTP
	}
	// A message about a patient goes where the configuration says and nowhere else.
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &h
}

func (c *Client) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}
