package fhirhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
	"github.com/gin-gonic/gin"
)

func post(s *Source, accept flow.Accept, path string, header http.Header, body io.Reader) *httptest.ResponseRecorder {
	gin.SetMode(gin.TestMode)
	router := gin.New()
	s.Routes(router, accept)
	req := httptest.NewRequest("POST", path, body)
	req.Header = header
	w := httptest.NewRecorder()
	router.ServeHTTP(w, req)
	return w
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	h.Set("Content-Type", MediaType)
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func kept(context.Context, flow.Received) (flow.Receipt, error) {
	return flow.Receipt{Answer: []byte(`{"resourceType":"Bundle"}`), Type: MediaType}, nil
}

func fails(err error) flow.Accept {
	return func(context.Context, flow.Received) (flow.Receipt, error) { return flow.Receipt{}, err }
}

func refuses(k issue.Kind) flow.Accept {
	return func(context.Context, flow.Received) (flow.Receipt, error) {
		return flow.Receipt{Refused: true, Kind: k, Answer: []byte(`{"resourceType":"OperationOutcome"}`)}, nil
	}
}

func TestStatuses(t *testing.T) {
	for name, c := range map[string]struct {
		accept flow.Accept
		header http.Header
		body   string
		status int
		code   string // in the body
	}{
		"kept":                           {kept, header("X-Request-ID", "r-1"), sent, 200, "Bundle"},
		"without ids the Bundle's serve": {kept, header(), sent, 200, "Bundle"},
		"application/json":               {kept, header("Content-Type", "application/json; charset=UTF-8"), sent, 200, "Bundle"},
		"XML":                            {kept, header("Content-Type", "application/fhir+xml"), "<Bundle/>", 415, "not-supported"},
		"no type":                        {kept, header("Content-Type", ""), sent, 415, "not-supported"},
		"another charset":                {kept, header("Content-Type", "application/fhir+json; charset=latin1"), sent, 415, "not-supported"},
		"a zip bomb's wrapping":          {kept, header("Content-Encoding", "gzip"), sent, 415, "not-supported"},
		"empty":                          {kept, header(), "", 400, "structure"},
		"too large":                      {kept, header(), strings.Repeat(" ", 2000), 413, "too-long"},
		"id too long":                    {kept, header("X-Request-ID", strings.Repeat("x", 201)), sent, 400, "value"},
		"id with a line break":           {kept, http.Header{"Content-Type": {MediaType}, "X-Request-Id": {"a\r\nSet-Cookie: x"}}, sent, 400, "value"},
		"correlation id in UTF-8":        {kept, header("X-Correlation-ID", "José"), sent, 400, "value"},
		"store down":                     {fails(fmt.Errorf("put: %w", flow.ErrUnavailable)), header(), sent, 503, "transient"},
		"same id, other bytes":           {fails(flow.ErrConflict), header(), sent, 409, "conflict"},
		"our own fault":                  {fails(errors.New("Jane Doe")), header(), sent, 500, "exception"},
		"refused: subject missing":       {refuses(issue.Required), header(), sent, 422, "OperationOutcome"},
		"refused: nested 10,000 deep":    {refuses(issue.Structure), header(), strings.Repeat("[", 1000), 400, "OperationOutcome"},
	} {
		for _, path := range []string{"/fhir/$process-message", "/fhir"} {
			w := post(&Source{Name: "gp", Limit: 1000}, c.accept, path, c.header, strings.NewReader(c.body))
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.code) || strings.Contains(w.Body.String(), "Doe") {
				t.Errorf("%s %s: %d %s, want %d with %s", name, path, w.Code, w.Body, c.status, c.code)
			}
			if got := w.Header().Get("Retry-After"); (got != "") != (w.Code == 503) {
				t.Errorf("%s: Retry-After %q with %d", name, got, w.Code)
			}
		}
	}
}

func TestIdsAreEchoedAndHandedOver(t *testing.T) {
	var got flow.Received
	accept := func(ctx context.Context, r flow.Received) (flow.Receipt, error) {
		got = r
		return kept(ctx, r)
	}
	s := &Source{Name: "gp", Subject: func(r *http.Request) flow.Subject { return flow.Subject{Name: r.Header.Get("X-Test")} }}
	w := post(s, accept, "/fhir/$process-message", header("X-Request-ID", "r-1", "X-Correlation-ID", "c-1", "X-Test", "me"), strings.NewReader(sent))
	if w.Header().Get("X-Request-ID") != "r-1" || w.Header().Get("X-Correlation-ID") != "c-1" {
		t.Errorf("echoed %v", w.Header())
	}
	if got.RequestID != "r-1" || got.Source != "gp" || got.Subject.Name != "me" || string(got.Raw) != sent || got.Format != flow.FHIRR4 {
		t.Errorf("handed over %+v", got)
	}
}

func TestACutOffBodyIsNotTaken(t *testing.T) {
	accept := func(context.Context, flow.Received) (flow.Receipt, error) {
		t.Error("a cut-off body was handed over")
		return flow.Receipt{}, nil
	}
	body := io.MultiReader(strings.NewReader(sent[:10]), cutOff{})
	if w := post(&Source{}, accept, "/fhir", header(), body); w.Code != 400 {
		t.Errorf("answered %d", w.Code)
	}
}

type cutOff struct{}

func (cutOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestMoreThanItCanHoldAtOnce(t *testing.T) {
	gin.SetMode(gin.TestMode)
	router := gin.New()
	var second *httptest.ResponseRecorder
	send := func() *httptest.ResponseRecorder {
		req := httptest.NewRequest("POST", "/fhir", strings.NewReader(sent))
		req.Header = header()
		w := httptest.NewRecorder()
		router.ServeHTTP(w, req)
		return w
	}
	accept := func(ctx context.Context, r flow.Received) (flow.Receipt, error) {
		second = send() // while the first is still being kept
		return kept(ctx, r)
	}
	(&Source{Concurrent: 1}).Routes(router, accept)
	if first := send(); first.Code != 200 {
		t.Errorf("the first got %d", first.Code)
	}
	if second.Code != 429 || second.Header().Get("Retry-After") == "" {
		t.Errorf("the second got %d", second.Code)
	}
}
