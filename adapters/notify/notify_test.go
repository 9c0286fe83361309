package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/gin-gonic/gin"
)

const request = `{"data":{"type":"Message","attributes":{"messageReference":"n-1"}}}`

func inline(_ context.Context, r flow.BodyRef) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(r.Inline))), nil
}

// deliver sends one message to a service that answers with h; tokens are given in turn, the last one again.
func deliver(t *testing.T, h http.HandlerFunc, tokens ...string) flow.Outcome {
	t.Helper()
	srv := httptest.NewServer(h)
	defer srv.Close()
	asked := 0
	d := &Destination{Base: srv.URL + "/comms/", OpenBody: inline, Token: func(context.Context, string) (string, error) {
		asked++
		return tokens[min(asked, len(tokens))-1], nil
	}}
	o, err := d.Deliver(context.Background(), flow.Delivery{ID: flow.NewID(1, "n-1"), Body: flow.BodyRef{Inline: []byte(request)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func answers(status int, body, retryAfter string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func problem(code string) string {
	return fmt.Sprintf(`{"errors":[{"code":%q,"detail":"NHS number 9990548609"}]}`, code)
}

func TestWhatTheServiceAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		service http.HandlerFunc
		result  flow.Result
		after   time.Duration
	}{
		"created":                        {answers(201, `{"data":{"id":"2WL3qFTEFM0qMY8xjRbt1LIKCzM"}}`, ""), flow.Delivered, 0},
		"2xx without an id":              {answers(200, `<html>`, ""), flow.Retry, 0},
		"told already":                   {answers(422, problem("CM_DUPLICATE_REQUEST"), ""), flow.Delivered, 0},
		"another 422":                    {answers(422, problem("CM_INVALID_REQUEST"), ""), flow.Refused, 0},
		"still processing":               {answers(425, problem("CM_RETRY_TOO_EARLY"), "600"), flow.Retry, 10 * time.Minute},
		"still processing, no time said": {answers(425, "", ""), flow.Retry, 5 * time.Minute},
		"quota":                          {answers(429, problem("CM_QUOTA"), "2"), flow.Retry, 5 * time.Second},
		"down":                           {answers(503, "", "60"), flow.Retry, time.Minute},
		"408":                            {answers(408, "", ""), flow.Retry, 0},
		"500":                            {answers(500, "", "-5"), flow.Retry, 0},
		"bad request":                    {answers(400, problem("CM_INVALID_NHS_NUMBER"), ""), flow.Refused, 0},
		"unknown routing plan":           {answers(404, problem("CM_NO_SUCH_ROUTING_PLAN"), ""), flow.Refused, 0},
		"forbidden":                      {answers(403, problem("CM_FORBIDDEN"), ""), flow.Refused, 0},
		"redirect":                       {answers(302, "", ""), flow.Refused, 0},
	} {
		o := deliver(t, c.service, "t")
		if o.Result != c.result || o.After != c.after {
			t.Errorf("%s: %s after %s, want %s after %s", name, o.Result, o.After, c.result, c.after)
		}
		if (o.Cause == nil) != (o.Result == flow.Delivered) || o.Cause != nil && strings.Contains(o.Cause.Error(), "999") {
			t.Errorf("%s: cause %v", name, o.Cause)
		}
	}
}

func TestWhatIsSent(t *testing.T) {
	o := deliver(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/comms/v1/messages" || string(body) != request || r.Header.Get("Authorization") != "Bearer t" ||
			r.Header.Get("Content-Type") != MediaType || r.Header.Get("X-Correlation-ID") == "" {
			t.Errorf("sent %s %v %s", r.URL.Path, r.Header, body)
		}
		answers(201, `{"data":{"id":"2WL3qFTEFM0qMY8xjRbt1LIKCzM"}}`, "")(w, r)
	}, "t")
	if o.Facts["notify-id"] != "2WL3qFTEFM0qMY8xjRbt1LIKCzM" || len(o.Refs) != 1 {
		t.Errorf("facts %v, refs %v", o.Facts, o.Refs)
	}
}

func TestATokenIsRenewedOnce(t *testing.T) {
	calls := 0
	service := func(w http.ResponseWriter, r *http.Request) {
		calls++
		if r.Header.Get("Authorization") == "Bearer fresh" {
			answers(201, `{"data":{"id":"x"}}`, "")(w, r)
			return
		}
		answers(401, problem("CM_DENIED"), "")(w, r)
	}
	if o := deliver(t, service, "stale", "fresh"); o.Result != flow.Delivered || calls != 2 {
		t.Errorf("%s after %d calls", o.Result, calls)
	}
	calls = 0
	if o := deliver(t, service, "stale"); o.Result != flow.Retry || calls != 1 {
		t.Errorf("no better token: %s after %d calls, want a retry after 1", o.Result, calls)
	}
}

func TestOurOwnTroubleIsNoRefusal(t *testing.T) {
	broken := errors.New("disk")
	d := &Destination{OpenBody: func(context.Context, flow.BodyRef) (io.ReadCloser, error) { return nil, broken }}
	if o, _ := d.Deliver(context.Background(), flow.Delivery{}, nil); o.Result != flow.Retry || !errors.Is(o.Cause, broken) {
		t.Errorf("%+v", o)
	}
	d = &Destination{OpenBody: inline, Token: func(context.Context, string) (string, error) { return "", broken }}
	if o, _ := d.Deliver(context.Background(), flow.Delivery{}, nil); o.Result != flow.Retry || !errors.Is(o.Cause, broken) {
		t.Errorf("%+v", o)
	}
	srv := httptest.NewServer(answers(201, "", ""))
	srv.Close()
	d = &Destination{Base: srv.URL, OpenBody: inline, Token: func(context.Context, string) (string, error) { return "t", nil }}
	if o, _ := d.Deliver(context.Background(), flow.Delivery{}, nil); o.Result != flow.Retry {
		t.Errorf("nobody listens: %+v", o)
	}
}

// report gives one status report; key may be empty.
func report(key string) string {
	return fmt.Sprintf(`{"type":"ChannelStatus","attributes":{"messageReference":"n-1","channel":"nhsapp","channelStatus":"delivered"},"meta":{"idempotencyKey":%q}}`, key)
}

// call posts a callback signed with the secret of app-1 and key-1, after change has had its way with it.
func call(accept flow.Accept, body string, change func(*http.Request)) *httptest.ResponseRecorder {
	gin.SetMode(gin.TestMode)
	router := gin.New()
	(&Callback{Name: "notify", ApplicationID: "app-1", APIKey: "key-1", Limit: 2000}).Routes(router, accept)
	req := httptest.NewRequest("POST", "/notify/status", strings.NewReader(body))
	req.Header.Set("x-api-key", "key-1")
	req.Header.Set("x-hmac-sha256-signature", Signature("app-1", "key-1", []byte(body)))
	if change != nil {
		change(req)
	}
	w := httptest.NewRecorder()
	router.ServeHTTP(w, req)
	return w
}

func TestCallbacks(t *testing.T) {
	ok := `{"data":[` + report("k1") + `]}`
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	takes := func(context.Context, flow.Received) (flow.Receipt, error) { return flow.Receipt{}, nil }
	refuses := func(context.Context, flow.Received) (flow.Receipt, error) { return flow.Receipt{Refused: true}, nil }
	down := func(context.Context, flow.Received) (flow.Receipt, error) { return flow.Receipt{}, flow.ErrUnavailable }
	for name, c := range map[string]struct {
		accept flow.Accept
		body   string
		change func(*http.Request)
		status int
	}{
		"kept":                       {takes, ok, nil, 202},
		"refused reports stay so":    {refuses, ok, nil, 202},
		"not kept":                   {down, ok, nil, 503},
		"no key":                     {takes, ok, set("x-api-key", ""), 401},
		"another key":                {takes, ok, set("x-api-key", "key-2"), 401},
		"no signature":               {takes, ok, set("x-hmac-sha256-signature", ""), 403},
		"another secret's signature": {takes, ok, set("x-hmac-sha256-signature", Signature("app-2", "key-1", []byte(ok))), 403},
		"too large":                  {takes, ok + strings.Repeat(" ", 2000), nil, 413},
		"not JSON":                   {takes, "{", nil, 400},
		"a report that is no object": {takes, `{"data":[7]}`, nil, 400},
		"no report":                  {takes, `{"data":[]}`, nil, 400},
	} {
		if w := call(c.accept, c.body, c.change); w.Code != c.status {
			t.Errorf("%s: %d, want %d", name, w.Code, c.status)
		}
	}
}

func TestACallbackWithoutAConfiguredKeyLetsNobodyIn(t *testing.T) {
	router := gin.New()
	(&Callback{}).Routes(router, func(context.Context, flow.Received) (flow.Receipt, error) {
		t.Error("handed over")
		return flow.Receipt{}, nil
	})
	body := `{"data":[` + report("k1") + `]}`
	req := httptest.NewRequest("POST", "/notify/status", strings.NewReader(body))
	req.Header.Set("x-hmac-sha256-signature", Signature("", "", []byte(body)))
	w := httptest.NewRecorder()
	if router.ServeHTTP(w, req); w.Code != 401 {
		t.Errorf("answered %d", w.Code)
	}
}

func TestEachReportIsItsOwnMessage(t *testing.T) {
	var got []flow.Received
	accept := func(_ context.Context, r flow.Received) (flow.Receipt, error) {
		got = append(got, r)
		return flow.Receipt{}, nil
	}
	body := `{"data":[` + report("k1") + `, ` + report("") + `]}`
	call(accept, body, nil)
	call(accept, body, nil) // repeated by the service
	if len(got) != 4 {
		t.Fatalf("%d messages", len(got))
	}
	if got[0].RequestID != "k1" || got[0].RequestID != got[2].RequestID || got[1].RequestID != got[3].RequestID || got[1].RequestID == "" || got[1].RequestID == "k1" {
		t.Errorf("request ids %q %q %q %q", got[0].RequestID, got[1].RequestID, got[2].RequestID, got[3].RequestID)
	}
	for _, r := range got {
		var one struct{ Data []json.RawMessage }
		if err := json.Unmarshal(r.Raw, &one); err != nil || len(one.Data) != 1 || r.Format != flow.Notify || r.Source != "notify" {
			t.Errorf("%s %v", r.Raw, err)
		}
	}
}
