package fhirhttp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

const (
	sent     = `{"resourceType":"Bundle","type":"message"}`
	okAck    = `{"resourceType":"Bundle","type":"message","entry":[{"resource":{"resourceType":"MessageHeader","eventCoding":{"code":"servicerequest-response"},"response":{"identifier":"1","code":"ok"}}}]}`
	outcomes = `{"resourceType":"OperationOutcome","issue":[{"severity":"SEV","code":"CODE","details":{"coding":[{"code":"REC_TEST"}]},"diagnostics":"Jane Doe, 9990548609"}]}`
)

func says(severity, code string) string {
	return strings.NewReplacer("SEV", severity, "CODE", code).Replace(outcomes)
}

// deliver sends one message to a receiver that answers with h.
func deliver(t *testing.T, h http.HandlerFunc) flow.Outcome {
	t.Helper()
	srv := httptest.NewServer(h)
	defer srv.Close()
	return deliverTo(t, srv.URL)
}

func deliverTo(t *testing.T, base string) flow.Outcome {
	t.Helper()
	d := &Destination{Name: "ag", Base: base, OpenBody: inline, Now: func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }}
	o, err := d.Deliver(context.Background(), delivery(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func delivery() flow.Delivery {
	return flow.Delivery{Case: flow.NewID(3, "case"), Key: "key-1", Body: flow.BodyRef{Inline: []byte(sent), Size: int64(len(sent))}}
}

func inline(_ context.Context, r flow.BodyRef) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(r.Inline))), nil
}

func answers(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func TestWhatTheReceiverAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		receiver http.HandlerFunc
		result   flow.Result
		kind     issue.Kind
		after    time.Duration
	}{
		"acknowledged":                       {answers(200, okAck), flow.Delivered, "", 0},
		"an outcome that only informs":       {answers(200, says("information", "informational")), flow.Delivered, "", 0},
		"an outcome that is an error":        {answers(200, says("error", "invariant")), flow.Refused, issue.Value, 0},
		"200 from a device on the way":       {answers(200, "<html>OK</html>"), flow.Retry, issue.Unavailable, 0},
		"200 and nothing":                    {answers(200, ""), flow.Retry, issue.Unavailable, 0},
		"transient in the header":            {answers(200, strings.Replace(okAck, `"ok"`, `"transient-error"`, 1)), flow.Retry, issue.Unavailable, 0},
		"fatal in the header":                {answers(200, strings.Replace(okAck, `"ok"`, `"fatal-error"`, 1)), flow.Refused, issue.Value, 0},
		"had it already":                     {answers(409, says("error", "duplicate")), flow.Delivered, "", 0},
		"its data are newer":                 {answers(409, says("error", "conflict")), flow.Refused, issue.Value, 0},
		"too many":                           {answers(429, "", "Retry-After", "7"), flow.Retry, issue.Unavailable, 7 * time.Second},
		"down until a date":                  {answers(503, "", "Retry-After", "Sun, 01 Mar 2026 12:01:00 GMT"), flow.Retry, issue.Unavailable, time.Minute},
		"a date gone by":                     {answers(503, "", "Retry-After", "Sun, 01 Mar 2026 11:00:00 GMT"), flow.Retry, issue.Unavailable, 0},
		"nonsense in Retry-After":            {answers(503, "", "Retry-After", "soon"), flow.Retry, issue.Unavailable, 0},
		"408":                                {answers(408, ""), flow.Retry, issue.Unavailable, 0},
		"423":                                {answers(423, ""), flow.Retry, issue.Unavailable, 0},
		"500":                                {answers(500, "stack"), flow.Retry, issue.Unavailable, 0},
		"501 will never change":              {answers(501, ""), flow.Refused, issue.Value, 0},
		"400":                                {answers(400, says("error", "invalid")), flow.Refused, issue.Value, 0},
		"401":                                {answers(401, ""), flow.Retry, issue.Denied, 0},
		"403":                                {answers(403, ""), flow.Refused, issue.Denied, 0},
		"404":                                {answers(404, ""), flow.Refused, issue.Value, 0},
		"a redirect is not followed":         {answers(307, "", "Location", "/elsewhere"), flow.Refused, issue.UnsupportedType, 0},
		"the connection drops":               {drop, flow.Retry, issue.Unavailable, 0},
		"the answer is shorter than it said": {answers(200, okAck, "Content-Length", "99999"), flow.Retry, issue.Unavailable, 0},
	} {
		o := deliver(t, c.receiver)
		if o.Result != c.result || o.After != c.after {
			t.Errorf("%s: %s after %s, want %s after %s", name, o.Result, o.After, c.result, c.after)
		}
		if (o.Cause == nil) != (c.kind == "") || o.Cause != nil && o.Cause.Kind != c.kind {
			t.Errorf("%s: cause %+v, want kind %q", name, o.Cause, c.kind)
		}
		if o.Cause != nil && (strings.Contains(o.Cause.Error(), "Doe") || strings.Contains(o.Cause.Error(), "999")) {
			t.Errorf("%s: the receiver's words are in the cause: %s", name, o.Cause)
		}
	}
}

// A transaction is posted to the base itself, and each entry of its answer counts.
func TestATransactionIsAnsweredEntryByEntry(t *testing.T) {
	answer := func(entries ...string) string {
		return `{"resourceType":"Bundle","type":"transaction-response","entry":[` + strings.Join(entries, ",") + `]}`
	}
	entry := func(status string) string { return `{"response":{"status":"` + status + `"}}` }
	bad := `{"response":{"status":"422 Unprocessable","outcome":` + says("error", "invariant") + `}}`
	for name, c := range map[string]struct {
		status int
		body   string
		result flow.Result
		kind   issue.Kind
	}{
		"all stored":                    {200, answer(entry("201 Created"), entry("200")), flow.Delivered, ""},
		"one refused":                   {200, answer(entry("201 Created"), bad), flow.Refused, issue.Value},
		"one later":                     {200, answer(entry("201 Created"), entry("503")), flow.Retry, issue.Unavailable},
		"two wrote it at once":          {200, answer(entry("409 Conflict")), flow.Retry, issue.Unavailable},
		"one refused and one later":     {200, answer(entry("503"), bad), flow.Refused, issue.Value},
		"an entry without a status":     {200, answer(`{}`), flow.Retry, issue.Unavailable},
		"no entry":                      {200, answer(), flow.Retry, issue.Unavailable},
		"200 from a device on the way":  {200, "<html>OK</html>", flow.Retry, issue.Unavailable},
		"an acknowledgement, no answer": {200, okAck, flow.Retry, issue.Unavailable},
		"refused as a whole":            {400, says("error", "invalid"), flow.Refused, issue.Value},
		"a conflict as a whole":         {409, says("error", "conflict"), flow.Retry, issue.Unavailable},
		"down":                          {503, "", flow.Retry, issue.Unavailable},
	} {
		asked := ""
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = r.Method + " " + r.URL.Path
			answers(c.status, c.body)(w, r)
		}))
		d := &Destination{Name: "epr", Base: srv.URL + "/fhir/", Transaction: true, OpenBody: inline}
		o, err := d.Deliver(context.Background(), delivery(), nil)
		srv.Close()
		if err != nil || o.Result != c.result || (o.Cause == nil) != (c.kind == "") || o.Cause != nil && o.Cause.Kind != c.kind {
			t.Errorf("%s: %s %+v %v, want %s %s", name, o.Result, o.Cause, err, c.result, c.kind)
		}
		if asked != "POST /fhir" {
			t.Errorf("%s: asked %s", name, asked)
		}
		if o.Cause != nil && (o.Cause.Where != "transaction" || strings.Contains(o.Cause.Error(), "Doe")) {
			t.Errorf("%s: cause %s", name, o.Cause)
		}
	}
}

// drop closes the connection after reading the message.
func drop(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		conn.Close()
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if o := deliverTo(t, "http://"+l.Addr().String()); o.Result != flow.Retry {
		t.Errorf("%s, want retry", o.Result)
	}
	if o := deliverTo(t, "http://bad host/"); o.Result != flow.Refused {
		t.Errorf("a URL that is none: %s, want refused", o.Result)
	}
}

func TestRefusalNamesTheReceiversCodes(t *testing.T) {
	o := deliver(t, answers(422, says("error", "invariant")))
	if got := o.Cause.Text; got != "the receiver refuses the message (HTTP 422, REC_TEST, invariant)" {
		t.Errorf("%q", got)
	}
}

func TestWhatIsSent(t *testing.T) {
	var got *http.Request
	var body string
	deliver(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r, string(b)
		answers(200, okAck)(w, r)
	})
	if got.URL.Path != "/$process-message" || body != sent || got.ContentLength != int64(len(sent)) {
		t.Errorf("sent %q to %s with length %d", body, got.URL.Path, got.ContentLength)
	}
	for name, want := range map[string]string{"X-Request-ID": "key-1", "X-Correlation-ID": delivery().Case.String(),
		"Content-Type": MediaType, "Accept": MediaType} {
		if got.Header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.Header.Get(name), want)
		}
	}
}

func TestAnAnswerInTheResponseBecomesAReply(t *testing.T) {
	answer := strings.Replace(okAck, `}]}`, `},{"resource":{"resourceType":"ServiceRequest","identifier":[{"system":"urn:ag","value":"AG-7"},{"value":"no system"}]}},{"resource":{"resourceType":"Task","identifier":[{"value":"t"}]}}]}`, 1)
	o := deliver(t, answers(200, answer))
	if len(o.Replies) != 1 || string(o.Replies[0].Raw) != answer || o.Replies[0].Source != "ag" || o.Replies[0].Format != flow.FHIRR4 {
		t.Fatalf("replies %+v", o.Replies)
	}
	if o.Replies[0].RequestID != "answer-to:key-1" {
		t.Errorf("request id %q: a repeat would be taken for a new answer", o.Replies[0].RequestID)
	}
	if len(o.Refs) != 1 || o.Refs[0] != (flow.Ref{System: "urn:ag", Value: "AG-7"}) {
		t.Errorf("refs %+v", o.Refs)
	}
	if o := deliver(t, answers(200, okAck)); len(o.Replies) != 0 {
		t.Error("a bare acknowledgement became a reply")
	}
}

func TestATokenIsRenewedOnce(t *testing.T) {
	var seen []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		seen = append(seen, r.Header.Get("Authorization")+" "+string(b))
		if r.Header.Get("Authorization") != "Bearer fresh" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.WriteString(w, okAck)
	}))
	defer srv.Close()
	renewed := "fresh"
	d := &Destination{Name: "ag", Base: srv.URL, OpenBody: inline, Token: func(_ context.Context, refused string) (string, error) {
		if refused == "stale" {
			return renewed, nil
		}
		return "stale", nil
	}}
	if o, _ := d.Deliver(context.Background(), delivery(), nil); o.Result != flow.Delivered || strings.Join(seen, ", ") != "Bearer stale "+sent+", Bearer fresh "+sent {
		t.Errorf("%+v after %v", o, seen)
	}
	renewed, seen = "stale too", nil
	if o, _ := d.Deliver(context.Background(), delivery(), nil); o.Result != flow.Retry || len(seen) != 2 {
		t.Errorf("%+v after %v", o, seen)
	}
}

func TestOurOwnTroubleIsNoRefusal(t *testing.T) {
	broken := errors.New("disk")
	d := &Destination{Base: "http://127.0.0.1:1", OpenBody: func(context.Context, flow.BodyRef) (io.ReadCloser, error) { return nil, broken }}
	o, err := d.Deliver(context.Background(), delivery(), nil)
	if err != nil || o.Result != flow.Retry || !errors.Is(o.Cause, broken) {
		t.Errorf("unreadable body: %+v %v", o, err)
	}
	d = &Destination{Base: "http://127.0.0.1:1", OpenBody: inline, Token: func(context.Context, string) (string, error) { return "", broken }}
	if o, _ := d.Deliver(context.Background(), delivery(), nil); o.Result != flow.Retry || !errors.Is(o.Cause, broken) {
		t.Errorf("no credentials: %+v", o)
	}
}
