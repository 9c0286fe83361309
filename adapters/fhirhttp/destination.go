package fhirhttp

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// longestAnswer is the most bytes read of a response: an OperationOutcome, or an answer with its letter.
const longestAnswer = 64 << 20

// operation takes messages (FHIR R4 §2.4).
const operation = "$process-message"

// Destination posts message Bundles to Base + "/$process-message", or transactions to Base. A message carries
// its delivery's key as X-Request-ID, the same on every attempt, so that trying again is always safe: a receiver
// that has it already says 409 duplicate, which is a delivery. A transaction is safe to try again by what is in
// it: ids that stay, and creates under a condition. Redirects are not followed: a Bundle goes where the
// configuration says and nowhere else.
type Destination struct {
	Name     string                                                     // source name that answers in a response are accepted under
	Base     string                                                     // "https://…/fhir"
	OpenBody func(context.Context, flow.BodyRef) (io.ReadCloser, error) // streams the Bundle
	Token    func(ctx context.Context, refused string) (string, error)  // bearer token; refused is one that a 401 has answered; nil or empty: none
	HTTP     *http.Client                                               // nil: a plain client with a 60 s limit
	Now      func() time.Time                                           // nil: time.Now

	Transaction bool  // the bodies are transactions
	BaRS        *BaRS // of messages: its headers, and its rule of what may be sent again; nil: without
}

// Deliver sends one message. The only error is none: whatever happens is an outcome of the attempt.
func (d *Destination) Deliver(ctx context.Context, del flow.Delivery, _ func(flow.Step) error) (flow.Outcome, error) {
	o, err := d.deliver(ctx, del)
	if d.Transaction && o.Cause != nil && o.Cause.Where == operation {
		o.Cause.Where = "transaction"
	}
	return o, err
}

func (d *Destination) deliver(ctx context.Context, del flow.Delivery) (flow.Outcome, error) {
	token, err := d.token(ctx, "")
	if err != nil {
		return flow.NoToken(operation, err), nil
	}
	o, unauthorised := d.post(ctx, del, token)
	if unauthorised && token != "" {
		if renewed, err := d.token(ctx, token); err == nil && renewed != token {
			o, _ = d.post(ctx, del, renewed)
		}
	}
	return o, nil
}

func (d *Destination) token(ctx context.Context, refused string) (string, error) {
	if d.Token == nil {
		return "", nil
	}
	return d.Token(ctx, refused)
}

// post makes one call; the flag tells a 401.
func (d *Destination) post(ctx context.Context, del flow.Delivery, token string) (flow.Outcome, bool) {
	body, err := d.OpenBody(ctx, del.Body)
	if err != nil {
		return retry("the message cannot be read from the store", 0, err), false
	}
	defer body.Close()
	req, err := d.request(ctx, del, body)
	if err != nil {
		return flow.Outcome{Result: flow.Refused, Cause: issue.New(issue.Internal, "base_url", "no request can be made to it").Because(err)}, false
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := d.client().Do(req)
	if err != nil {
		return retry("no answer", 0, err), false
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, longestAnswer))
	if err != nil {
		return retry("the answer was cut off", 0, err), false
	}
	return d.judge(del, resp, answer), resp.StatusCode == http.StatusUnauthorized
}

func (d *Destination) request(ctx context.Context, del flow.Delivery, body io.Reader) (*http.Request, error) {
	address := strings.TrimRight(d.Base, "/")
	if !d.Transaction {
		address += "/" + operation
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, body)
	if err != nil {
		return nil, err
	}
	if len(del.Parts) == 0 { // with parts, photos are written into the Bundle on the way: the length is not known
		req.ContentLength = del.Body.Size
	}
	req.Header.Set("Content-Type", MediaType)
	req.Header.Set("Accept", MediaType)
	if d.BaRS != nil {
		d.BaRS.set(req.Header)
	}
	req.Header.Set("X-Request-ID", del.Key)
	req.Header.Set("X-Correlation-ID", del.Case.String())
	return req, nil
}

// judge decides what the receiver made of the message.
func (d *Destination) judge(del flow.Delivery, resp *http.Response, body []byte) flow.Outcome {
	ack := readAck(body)
	switch code := resp.StatusCode; {
	case code < 300 && d.Transaction:
		return stored(ack)
	case code < 300:
		return d.taken(del, ack, body)
	case code < 400:
		return refused(issue.UnsupportedType, code, "answered by a redirect, which is not followed", ack)
	case code == http.StatusConflict && ack.has("duplicate"):
		return flow.Outcome{Result: flow.Delivered}
	case code == http.StatusConflict && !d.Transaction && (d.BaRS == nil || len(ack.issues()) > 0): // it holds something else, and a message cannot be read again
		return refused(issue.Value, code, "the receiver refuses the message", ack)
	case code == http.StatusUnauthorized:
		return flow.Outcome{Result: flow.ByStatus(code, true), Cause: issue.New(issue.Denied, operation, "the receiver does not take the token")}
	case d.BaRS != nil && !d.BaRS.spoke(resp, del.Key, del.Case.String(), ack):
		return retry("answered "+strconv.Itoa(code)+" without its ids or a reason, by another than the receiver", flow.RetryAfter(resp.Header, d.now()), nil)
	case flow.ByStatus(code, true) == flow.Retry: // the key makes it one message however often it is sent
		return retry("answered "+strconv.Itoa(code), flow.RetryAfter(resp.Header, d.now()), nil)
	case code == http.StatusForbidden:
		return refused(issue.Denied, code, "the receiver does not let us in", ack)
	default:
		return refused(issue.Value, code, "the receiver refuses the message", ack)
	}
}

// taken judges a 2xx. Only a FHIR body proves that the receiver itself spoke: a network device on the way
// may answer 200 too (BaRS core: retry when there is no OperationOutcome).
func (d *Destination) taken(del flow.Delivery, ack ack, body []byte) flow.Outcome {
	switch {
	case ack.ResourceType != "OperationOutcome" && ack.ResourceType != "Bundle":
		return retry("answered 2xx without a FHIR body", 0, nil)
	case ack.fatal():
		return refused(issue.Value, http.StatusOK, "the receiver refuses the message", ack)
	case ack.responseCode() == "transient-error":
		return retry("the receiver reports a transient error", 0, nil)
	case ack.responseCode() == "fatal-error":
		return refused(issue.Value, http.StatusOK, "the receiver reports a fatal error", ack)
	}
	o := flow.Outcome{Result: flow.Delivered, Refs: ack.refs()}
	if ack.answers() {
		o.Replies = []flow.Received{{Source: d.Name, At: d.now(), Format: flow.FHIRR4, Raw: body,
			RequestID: "answer-to:" + del.Key}}
	}
	return o
}

// stored judges a 2xx to a transaction: each entry says what became of it. A transaction holds all or none, so
// one that failed means none; a receiver that keeps the others all the same gets them again, under the same ids.
func stored(a ack) flow.Outcome {
	if a.fatal() {
		return refused(issue.Value, http.StatusOK, "the receiver refuses the transaction", a)
	}
	if a.Type != "transaction-response" || len(a.Entry) == 0 {
		return retry("answered 2xx without a transaction-response", 0, nil)
	}
	later := 0
	for i, e := range a.Entry {
		number, _, _ := strings.Cut(e.Response.Status, " ") // "201", or "201 Created"
		code, err := strconv.Atoi(number)
		switch {
		case err != nil:
			return retry("answered 2xx with an entry that has no status", 0, nil)
		case code < 300:
		case flow.ByStatus(code, true) == flow.Retry:
			later = code
		default:
			return refused(issue.Value, code, "the receiver refuses entry "+strconv.Itoa(i), a)
		}
	}
	if later != 0 {
		return retry("an entry was answered "+strconv.Itoa(later), 0, nil)
	}
	return flow.Outcome{Result: flow.Delivered}
}

func retry(text string, after time.Duration, cause error) flow.Outcome {
	return flow.Outcome{Result: flow.Retry, After: after, Cause: issue.New(issue.Unavailable, operation, text).Because(cause)}
}

// refused names the status and the receiver's codes, never its words: they may hold patient data.
func refused(k issue.Kind, status int, text string, a ack) flow.Outcome {
	text += " (HTTP " + strconv.Itoa(status)
	if codes := a.codes(); codes != "" {
		text += ", " + codes
	}
	return flow.Outcome{Result: flow.Refused, Cause: issue.New(k, operation, text+")")}
}

func (d *Destination) client() *http.Client {
	c := http.Client{Timeout: 60 * time.Second}
	if d.HTTP != nil {
		c = *d.HTTP
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

func (d *Destination) now() time.Time {
	if d.Now != nil {
		return d.Now()
	}
	return time.Now()
}
