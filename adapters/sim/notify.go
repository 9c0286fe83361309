package sim

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Notify stands in for NHS Notify: POST /comms/v1/messages with the documented checks, one message a
// messageReference (422 CM_DUPLICATE_REQUEST), and signed status callbacks from created to delivered or
// failed by the NHS App.
//
// It takes the free-text fields of every global plan and holds each to its channel's limit; reports are of the NHS App alone.
// It leaves out: batches, reading a message's status, contact details, the text of the message going anywhere, rate limits (use Fail), and the two hours of repeated callbacks:
// one that is not taken is tried three times.
type Notify struct {
	server
	Tokens        *Token // who issues tokens; nil: any bearer token passes
	Callback      string // where reports are posted; empty: none
	ApplicationID string // with APIKey, the secret of the callbacks' signature
	APIKey        string
	Auto          bool   // report on every message by itself, as soon as it is taken
	Outcome       string // how messages end: "delivered" (default), "failed", "skipped" (the NHS App was, and so the message failed), or "silent": nothing after "sending"
	Twice         bool   // send every report twice, the last ones first: the service promises neither order nor singularity

	messages map[string]*Notice // by reference
	order    []string
	working  sync.WaitGroup
}

// Notice is a message that was taken.
type Notice struct{ ID, Reference, Plan, NHSNumber, Text string }

var (
	planID    = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	freeTexts = "00000000-0000-0000-0000-00000000000" // and a digit 1 to 7: the global free-text plans
)

// StartNotify starts an NHS Notify on addr ("": any free loopback port).
func StartNotify(addr string) (*Notify, error) {
	n := &Notify{messages: map[string]*Notice{}, Outcome: "delivered", ApplicationID: "sim-application", APIKey: "sim-key"}
	n.problem = notifyProblem
	if err := n.listen(addr); err != nil {
		return nil, err
	}
	n.handle("messages", "POST /comms/v1/messages", n.take)
	return n, nil
}

// Base is what a client is configured with.
func (n *Notify) Base() string { return n.URL + "/comms" }

// Close stops the service and waits for reports under way.
func (n *Notify) Close() error {
	err := n.server.Close()
	n.working.Wait()
	return err
}

// Messages gives what was taken, in order.
func (n *Notify) Messages() []Notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []Notice
	for _, ref := range n.order {
		out = append(out, *n.messages[ref])
	}
	return out
}

// notifyProblem is an answer in the service's error form.
func notifyProblem(status int, code string) answer {
	if code == "" {
		code = map[int]string{401: "CM_DENIED", 403: "CM_FORBIDDEN", 425: "CM_RETRY_TOO_EARLY", 429: "CM_QUOTA", 500: "CM_INTERNAL_SERVER_ERROR", 503: "CM_SERVICE_UNAVAILABLE"}[status]
	}
	a := answer{status: status, header: map[string]string{"Content-Type": "application/vnd.api+json"}, body: object{"errors": []any{object{
		"id": "sim", "code": code, "status": fmt.Sprint(status), "title": http.StatusText(status)}}}}
	switch status {
	case http.StatusTooEarly:
		a.header["Retry-After"] = "300"
	case http.StatusTooManyRequests:
		a.header["Retry-After"] = "5"
	}
	return a
}

// take is POST /v1/messages.
func (n *Notify) take(r request) answer {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	switch {
	case !ok || token == "" || n.Tokens != nil && !n.Tokens.Valid(token):
		return notifyProblem(http.StatusUnauthorized, "")
	case media != "application/vnd.api+json" && media != "application/json":
		return notifyProblem(http.StatusUnsupportedMediaType, "CM_UNSUPPORTED_MEDIA")
	}
	m, refused := read(r.body)
	if refused.status != 0 {
		return refused
	}
	if n.messages[m.Reference] != nil {
		return notifyProblem(422, "CM_DUPLICATE_REQUEST")
	}
	m.ID = fmt.Sprintf("2WL3qFTEFM0qMY8xj%010d", n.next()) // a KSUID's shape: 27 characters
	n.messages[m.Reference] = m
	n.order = append(n.order, m.Reference)
	if n.Auto && n.Callback != "" {
		n.working.Go(func() { n.Report(context.Background(), m.Reference) }) //nolint:errcheck // nobody is there to tell
	}
	return answer{status: http.StatusCreated, header: map[string]string{"Content-Type": "application/vnd.api+json", "Location": "/v1/messages/" + m.ID},
		body: object{"data": object{"type": "Message", "id": m.ID, "links": object{"self": n.Base() + "/v1/messages/" + m.ID},
			"attributes": object{"messageReference": m.Reference, "messageStatus": "created", "timestamps": object{"created": n.instant()},
				"routingPlan": n.plan(m)}}}}
}

// read checks the body by the CreateMessage schema.
func read(body []byte) (*Notice, answer) {
	in := parse(body)
	att := at(in, "data", "attributes")
	recipient, _ := at(att, "recipient").(map[string]any)
	m := &Notice{Reference: text(att, "messageReference"), Plan: text(att, "routingPlanId"), NHSNumber: text(recipient, "nhsNumber"),
		Text: text(att, "personalisation", "body")}
	for k := range recipient {
		if k != "nhsNumber" && k != "contactDetails" {
			return nil, notifyProblem(400, "CM_INVALID_VALUE") // additionalProperties: false
		}
	}
	plan, digit := strings.CutPrefix(m.Plan, freeTexts)
	switch {
	case text(in, "data", "type") != "Message" || m.Reference == "" || recipient == nil || m.Plan == "":
		return nil, notifyProblem(400, "CM_MISSING_VALUE")
	case !validNHSNumber(m.NHSNumber):
		return nil, notifyProblem(400, "CM_INVALID_NHS_NUMBER")
	case !planID.MatchString(m.Plan):
		return nil, notifyProblem(400, "CM_INVALID_VALUE")
	case !digit || plan < "1" || plan > "7":
		return nil, notifyProblem(404, "CM_NO_SUCH_ROUTING_PLAN")
	case !fits(at(att, "personalisation"), plan):
		return nil, notifyProblem(400, "CM_INVALID_VALUE")
	}
	return m, answer{}
}

// freeTextFields are what each global plan puts into its templates, and the longest that each may be, in characters.
var (
	freeTextFields = map[string][]string{"1": {"body"}, "2": {"email_subject", "email_body"}, "3": {"sms_body"}, "4": {"body", "email_subject", "email_body"},
		"5": {"body", "email_subject", "email_body"}, "6": {"body", "sms_body"}, "7": {"body", "sms_body"}}
	fieldLimits = map[string]int{"body": 5000, "sms_body": 918, "email_body": 100_000}
)

// fits tells whether every field of a plan is there and none is too long.
func fits(personalisation any, plan string) bool {
	for _, field := range freeTextFields[plan] {
		value := text(personalisation, field)
		if value == "" || fieldLimits[field] > 0 && utf8.RuneCountInString(value) > fieldLimits[field] {
			return false
		}
	}
	return true
}

func (n *Notify) instant() string { return n.Now().UTC().Format("2006-01-02T15:04:05.000Z") }

func (n *Notify) plan(m *Notice) object {
	return object{"id": m.Plan, "name": "Free text", "version": "1", "createdDate": "2026-01-01T00:00:00.000Z"}
}

// Report sends the status reports of a message: created, pending_enrichment, enriched, sending, the NHS
// App's, and how it ended. It gives the first that was not answered with 202.
func (n *Notify) Report(ctx context.Context, reference string) error {
	n.mu.Lock()
	m := n.messages[reference]
	if m == nil {
		n.mu.Unlock()
		return errors.New("sim: no such message")
	}
	reports := n.reports(m)
	n.mu.Unlock()
	for _, r := range reports {
		if err := n.call(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// reports writes the reports in the order they are sent.
func (n *Notify) reports(m *Notice) []object {
	var out []object
	add := func(kind string, attributes object) {
		attributes["messageId"], attributes["messageReference"], attributes["timestamp"] = m.ID, m.Reference, n.instant()
		sum := sha256.Sum256(fmt.Append(nil, m.ID, kind, len(out)))
		out = append(out, object{"type": kind, "attributes": attributes, "links": object{"message": n.Base() + "/v1/messages/" + m.ID},
			"meta": object{"idempotencyKey": hex.EncodeToString(sum[:])}})
	}
	status := func(s string) {
		add("MessageStatus", object{"messageStatus": s, "routingPlan": n.plan(m), "channels": []any{}})
	}
	channel := func(s, supplier string) {
		add("ChannelStatus", object{"channel": "nhsapp", "channelStatus": s, "supplierStatus": supplier, "cascadeType": "primary", "cascadeOrder": 1, "retryCount": 0})
	}
	for _, s := range []string{"created", "pending_enrichment", "enriched", "sending"} {
		status(s)
	}
	channel("created", "accepted")
	channel("sending", "notified")
	switch n.Outcome {
	case "silent":
	case "failed":
		channel("failed", "unnotified")
		status("failed")
	case "skipped":
		channel("skipped", "")
		status("failed")
	default:
		channel("delivered", "read")
		status("delivered")
	}
	if n.Twice {
		for _, r := range out {
			out = append([]object{r}, out...)
		}
	}
	return out
}

// call posts one report, signed.
func (n *Notify) call(ctx context.Context, report object) error {
	body, err := json.Marshal(object{"data": []any{report}})
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, []byte(n.ApplicationID+"."+n.APIKey))
	mac.Write(body)
	var last error
	for range 3 {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.Callback, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/vnd.api+json")
		req.Header.Set("x-api-key", n.APIKey)
		req.Header.Set("x-hmac-sha256-signature", hex.EncodeToString(mac.Sum(nil)))
		resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
		if err != nil {
			last = err
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusAccepted {
			return nil
		}
		last = fmt.Errorf("sim: the callback was answered %d", resp.StatusCode)
	}
	return last
}
