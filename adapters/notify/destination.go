// Package notify tells patients through NHS Notify. The Destination posts one prepared message; the
// Callback takes the signed status reports that come back, repeated and in any order. Facts of the
// service: NHS Notify API (nhs-notify.openapi.json), POST /v1/messages and the two callback routes.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// MediaType of requests and callbacks.
const MediaType = "application/vnd.api+json"

// System of the reference that NHS Notify gives a message (its KSUID).
const System = "https://api.service.nhs.uk/comms/message-id"

// Shortest waits that the service asks for, in its own words on 425 and 429.
const (
	stillProcessing = 300 * time.Second
	quotaReached    = 5 * time.Second
)

// longestAnswer is the most bytes read of a response; the documented ones are under 2 KiB.
const longestAnswer = 64 << 10

// Destination posts the delivery's body, a complete CreateMessage request, to Base + "/v1/messages".
// messageReference in it is the service's idempotency key: a message sent twice is told once, so any
// attempt without an answer is simply made again.
type Destination struct {
	Base     string                                                     // "https://…/comms"
	Token    func(ctx context.Context, refused string) (string, error)  // bearer token; refused is one that a 401 has answered
	OpenBody func(context.Context, flow.BodyRef) (io.ReadCloser, error) // gives the request
	HTTP     *http.Client                                               // nil: a plain client with a 60 s limit
}

// Deliver sends one message. The only error is none: whatever happens is an outcome of the attempt.
func (d *Destination) Deliver(ctx context.Context, del flow.Delivery, _ func(flow.Step) error) (flow.Outcome, error) {
	body, err := d.read(ctx, del.Body)
	if err != nil {
		return retry("the message cannot be read from the store", 0, err), nil
	}
	token, err := d.Token(ctx, "")
	if err != nil {
		return flow.NoToken("token", err), nil
	}
	o, unauthorised := d.post(ctx, del, body, token)
	if unauthorised {
		if renewed, err := d.Token(ctx, token); err == nil && renewed != token {
			o, _ = d.post(ctx, del, body, renewed)
		}
	}
	return o, nil
}

func (d *Destination) read(ctx context.Context, ref flow.BodyRef) ([]byte, error) {
	r, err := d.OpenBody(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// post makes one call; the flag tells a 401.
func (d *Destination) post(ctx context.Context, del flow.Delivery, body []byte, token string) (flow.Outcome, bool) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(d.Base, "/")+"/v1/messages", bytes.NewReader(body))
	if err != nil {
		return flow.Outcome{Result: flow.Refused, Cause: issue.New(issue.Internal, "base_url", "no request can be made to it").Because(err)}, false
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", MediaType)
	req.Header.Set("Accept", MediaType)
	req.Header.Set("X-Correlation-ID", del.ID.String())
	resp, err := d.client().Do(req)
	if err != nil {
		return retry("no answer", 0, err), false
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, longestAnswer))
	if err != nil {
		return retry("the answer was cut off", 0, err), false
	}
	return judge(resp, answer), resp.StatusCode == http.StatusUnauthorized
}

// reply is what is read of a response.
type reply struct {
	Data struct {
		ID string `json:"id"`
	} `json:"data"`
	Errors []struct {
		Code string `json:"code"`
	} `json:"errors"`
}

// judge decides what the service made of the message.
func judge(resp *http.Response, body []byte) flow.Outcome {
	var r reply
	parsed := json.Unmarshal(body, &r) == nil
	status, wait := resp.StatusCode, flow.RetryAfter(resp.Header, time.Now())
	switch {
	case status == http.StatusCreated && parsed && r.Data.ID != "":
		return flow.Outcome{Result: flow.Delivered, Facts: map[string]string{"notify-id": r.Data.ID},
			Refs: []flow.Ref{{System: System, Value: r.Data.ID}}}
	case status < 300:
		return retry("answered 2xx without a message id", 0, nil)
	case status == http.StatusUnprocessableEntity && r.has("CM_DUPLICATE_REQUEST"):
		return flow.Outcome{Result: flow.Delivered}
	case status == http.StatusTooEarly:
		return retry("an earlier attempt is still being processed", max(wait, stillProcessing), nil)
	case status == http.StatusTooManyRequests:
		return retry("over the quota", max(wait, quotaReached), nil)
	case status == http.StatusUnauthorized:
		return flow.Outcome{Result: flow.Retry, Cause: issue.New(issue.Denied, "notify", "the token is not accepted")}
	case flow.ByStatus(status, true) == flow.Retry:
		return retry("answered "+strconv.Itoa(status), wait, nil)
	}
	return flow.Outcome{Result: flow.Refused, Cause: issue.New(issue.Value, "notify", "refused: HTTP "+strconv.Itoa(status)+r.codes())}
}

func (r reply) has(code string) bool {
	for _, e := range r.Errors {
		if e.Code == code {
			return true
		}
	}
	return false
}

// codes lists the service's error codes; its other words may repeat what was sent.
func (r reply) codes() string {
	var b strings.Builder
	for _, e := range r.Errors {
		if len(e.Code) <= 64 && strings.Trim(e.Code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == "" {
			b.WriteString(" " + e.Code)
		}
	}
	return b.String()
}

func retry(text string, wait time.Duration, cause error) flow.Outcome {
	return flow.Outcome{Result: flow.Retry, After: wait, Cause: issue.New(issue.Unavailable, "notify", text).Because(cause)}
}

func (d *Destination) client() *http.Client {
	c := http.Client{Timeout: 60 * time.Second}
	if d.HTTP != nil {
		c = *d.HTTP
	}
	// A message about a patient goes where the configuration says and nowhere else.
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}
