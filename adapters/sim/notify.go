package sim

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// Notify stands in for NHS Notify: POST /comms/v1/messages and GET /comms/v1/messages/{id} with the documented checks, one
// message a messageReference (422 CM_DUPLICATE_REQUEST), and signed status callbacks from created to delivered or
// failed by the NHS App.
//
// It takes the free-text fields of every global plan and holds each to its channel's limit, and any personalisation for a plan of Plans;
// reports are of the NHS App alone. It leaves out: batches, accounts of the NHS App, contact details, templates, the text of the
// message going anywhere. A callback that is not taken is tried again, in longer and longer spaces, for two hours.
type Notify struct {
	server
	Tokens        Bearers  // who knows tokens; nil: any bearer token passes
	Plans         []string // routing plans there are beside the global ones; set before use
	Callback      string   // where reports are posted; empty: none
	ApplicationID string   // with APIKey, the secret of the callbacks' signature
	APIKey        string
	Auto          bool // report on every message by itself, as soon as it is taken
	Reporting

	messages map[string]*Notice // by reference
	order    []string
	working  sync.WaitGroup
	open     context.Context // until it is closed
	end      func()
}

// Notice is a message that was taken.
type Notice struct {
	ID              string         `json:"id"`
	Reference       string         `json:"messageReference"`
	Plan            string         `json:"routingPlanId"`
	NHSNumber       string         `json:"nhsNumber"`
	Text            string         `json:"text"` // the body of the NHS App's message, if it has one
	Personalisation map[string]any `json:"personalisation"`
	Status          string         `json:"messageStatus"`
	Channel         string         `json:"channelStatus,omitempty"` // of the NHS App
	taken           string
}

var (
	planID    = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	freeTexts = "00000000-0000-0000-0000-00000000000" // and a digit 1 to 7: the global free-text plans
)

// StartNotify starts an NHS Notify on addr ("": any free loopback port).
func StartNotify(addr string) (*Notify, error) {
	n := &Notify{messages: map[string]*Notice{}, Reporting: Reporting{Outcome: "delivered"}, ApplicationID: "sim-application", APIKey: "sim-key"}
	n.problem = notifyProblem
	n.open, n.end = context.WithCancel(context.Background())
	n.forms = map[string]func(int, string) answer{"message": func(status int, code string) answer {
		if status == http.StatusNotFound {
			code = or(code, "CM_NOT_FOUND")
		}
		return notifyProblem(status, code)
	}}
	if err := n.listen(addr); err != nil {
		return nil, err
	}
	n.handle("messages", "POST /comms/v1/messages", n.guarded(n.take))
	n.handle("message", "GET /comms/v1/messages/{id}", n.guarded(n.status))
	n.playing()
	return n, nil
}

// Base is what a client is configured with.
func (n *Notify) Base() string { return n.URL + "/comms" }

// Close stops the service and waits for reports under way.
func (n *Notify) Close() error {
	err := n.server.Close()
	n.end()
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

// notifyProblems are the published error codes with their titles.
var notifyProblems = map[string]string{"CM_MISSING_VALUE": "Missing property", "CM_NULL_VALUE": "Property cannot be null", "CM_INVALID_VALUE": "Invalid value",
	"CM_DUPLICATE_VALUE": "Duplicate value", "CM_TOO_FEW_ITEMS": "Too few items", "CM_INVALID_NHS_NUMBER": "Invalid nhs number",
	"CM_ODS_CODE_REQUIRED": "Originator odsCode must be provided", "CM_CANNOT_SET_ODS_CODE": "Cannot set ODS code",
	"CM_DENIED": "Access denied", "CM_FORBIDDEN": "Forbidden", "CM_SERVICE_BAN": "Service ban in effect", "CM_NO_SUCH_ROUTING_PLAN": "No such routing plan",
	"CM_NOT_FOUND": "Resource not found", "CM_NOT_ALLOWED": "Method not allowed", "CM_NOT_ACCEPTABLE": "Not acceptable", "CM_TIMEOUT": "Request timeout",
	"CM_UNSUPPORTED_MEDIA": "Unsupported media", "CM_RETRY_TOO_EARLY": "Retried too early", "CM_QUOTA": "Too many requests",
	"CM_INTERNAL_SERVER_ERROR": "Error processing request", "CM_MISSING_ROUTING_PLAN_TEMPLATE": "Templates missing", "CM_ROUTING_PLAN_DUPLICATE_TEMPLATES": "Duplicate templates",
	"CM_SERVICE_UNAVAILABLE": "The service is currently unavailable", "CM_DUPLICATE_REQUEST": "Duplicate request"}

// notifyCodes are the codes of statuses that have one.
var notifyCodes = map[int]string{401: "CM_DENIED", 403: "CM_FORBIDDEN", 404: "CM_NO_SUCH_ROUTING_PLAN", 405: "CM_NOT_ALLOWED", 406: "CM_NOT_ACCEPTABLE",
	408: "CM_TIMEOUT", 415: "CM_UNSUPPORTED_MEDIA", 422: "CM_DUPLICATE_REQUEST", 425: "CM_RETRY_TOO_EARLY", 429: "CM_QUOTA",
	500: "CM_INTERNAL_SERVER_ERROR", 503: "CM_SERVICE_UNAVAILABLE", 504: "CM_TIMEOUT"}

const jsonAPI = "application/vnd.api+json"

// notifyProblem is an answer in the service's error form.
func notifyProblem(status int, code string) answer {
	code = or(code, notifyCodes[status])
	title := notifyProblems[code]
	if status == http.StatusGatewayTimeout {
		title = "Unable to call service"
	}
	a := answer{status: status, header: map[string]string{"Content-Type": jsonAPI}, body: object{"errors": []any{object{
		"id": "sim", "code": code, "status": fmt.Sprint(status), "title": title}}}}
	switch status {
	case http.StatusTooEarly:
		a.header["Retry-After"] = "300"
	case http.StatusTooManyRequests:
		a.header["Retry-After"] = "5"
	case http.StatusServiceUnavailable:
		a.header["Retry-After"] = "120"
	}
	return a
}

// guarded checks what every call needs, and gives its correlation id back.
func (n *Notify) guarded(do func(request) answer) func(request) answer {
	return func(r request) answer {
		a := n.admit(r)
		if a.status == 0 {
			a = do(r)
		}
		if id := r.Header.Get("X-Correlation-ID"); id != "" {
			a.header = with(a.header, "X-Correlation-ID", id)
		}
		if r.Header.Get("Accept") == "application/json" {
			a.header = with(a.header, "Content-Type", "application/json")
		}
		return a
	}
}

// admit gives the refusal of a call by its headers; status 0 lets it in.
func (n *Notify) admit(r request) answer {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	valid := true
	if n.Tokens != nil {
		_, valid = n.Tokens.Bearer(token)
	}
	media, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case n.limited():
		return notifyProblem(http.StatusTooManyRequests, "")
	case !ok || token == "" || !valid:
		return notifyProblem(http.StatusUnauthorized, "")
	case !accepts(r, jsonAPI, "application/json"):
		return notifyProblem(http.StatusNotAcceptable, "")
	case r.Method == http.MethodPost && (err != nil || media != jsonAPI && media != "application/json" || !strings.EqualFold(or(parameters["charset"], "utf-8"), "utf-8")):
		return notifyProblem(http.StatusUnsupportedMediaType, "")
	}
	return answer{}
}

// take is POST /v1/messages.
func (n *Notify) take(r request) answer {
	m, refused := n.read(r.body)
	if refused.status != 0 {
		return refused
	}
	if n.messages[m.Reference] != nil {
		return notifyProblem(422, "")
	}
	m.ID = fmt.Sprintf("2WL3qFTEFM0qMY8xj%010d", n.next()) // a KSUID's shape: 27 characters
	m.Status, m.taken = "created", n.instant()
	n.messages[m.Reference] = m
	n.order = append(n.order, m.Reference)
	if n.Auto {
		n.working.Go(func() { n.Report(n.open, m.Reference) }) //nolint:errcheck // nobody is there to tell
	}
	return answer{status: http.StatusCreated, header: map[string]string{"Content-Type": jsonAPI, "Location": "/v1/messages/" + m.ID},
		body: object{"data": n.rendered(m, object{"messageReference": m.Reference, "messageStatus": "created", "timestamps": object{"created": m.taken}, "routingPlan": n.plan(m)})}}
}

func (n *Notify) rendered(m *Notice, attributes object) object {
	return object{"type": "Message", "id": m.ID, "links": object{"self": n.Base() + "/v1/messages/" + m.ID}, "attributes": attributes}
}

// status is GET /v1/messages/{id}.
func (n *Notify) status(r request) answer {
	for _, m := range n.messages {
		if m.ID != r.PathValue("id") {
			continue
		}
		channels := []any{}
		if m.Channel != "" {
			channels = append(channels, object{"type": "nhsapp", "retryCount": 1, "cascadeType": "primary", "cascadeOrder": 1, "channelStatus": m.Channel,
				"timestamps": object{"created": m.taken}, "routingPlan": object{"id": m.Plan, "version": "1", "type": "original"}})
		}
		return answer{status: http.StatusOK, header: map[string]string{"Content-Type": jsonAPI}, body: object{"data": n.rendered(m, object{
			"messageReference": m.Reference, "messageStatus": m.Status, "timestamps": object{"created": m.taken}, "routingPlan": n.plan(m), "channels": channels})}}
	}
	return notifyProblem(http.StatusNotFound, "CM_NOT_FOUND")
}

// read checks the body by the CreateMessage schema.
func (n *Notify) read(body []byte) (*Notice, answer) {
	in := parse(body)
	att := at(in, "data", "attributes")
	recipient, _ := at(att, "recipient").(map[string]any)
	m := &Notice{Reference: text(att, "messageReference"), Plan: text(att, "routingPlanId"), NHSNumber: text(recipient, "nhsNumber"),
		Text: text(att, "personalisation", "body")}
	m.Personalisation, _ = at(att, "personalisation").(map[string]any)
	for k := range recipient {
		if k != "nhsNumber" && k != "contactDetails" {
			return nil, notifyProblem(400, "CM_INVALID_VALUE") // additionalProperties: false
		}
	}
	own := slices.Contains(n.Plans, m.Plan)
	plan, digit := strings.CutPrefix(m.Plan, freeTexts)
	switch {
	case text(in, "data", "type") != "Message" || m.Reference == "" || recipient == nil || m.Plan == "":
		return nil, notifyProblem(400, "CM_MISSING_VALUE")
	case !validNHSNumber(m.NHSNumber):
		return nil, notifyProblem(400, "CM_INVALID_NHS_NUMBER")
	case !planID.MatchString(m.Plan):
		return nil, notifyProblem(400, "CM_INVALID_VALUE")
	case own:
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
