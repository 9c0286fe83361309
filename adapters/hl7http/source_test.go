package hl7http

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/gin-gonic/gin"
)

const message = "MSH|^~\\&|A|B|C|D|20260301||REF^I12|1|P|2.4\r"

// post sends one request to a source in front of accept.
func post(s *Source, accept flow.Accept, header http.Header, body string) *httptest.ResponseRecorder {
	gin.SetMode(gin.TestMode)
	router := gin.New()
	s.Routes(router, accept)
	req := httptest.NewRequest("POST", "/hl7", strings.NewReader(body))
	req.Header = header
	w := httptest.NewRecorder()
	router.ServeHTTP(w, req)
	return w
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestAnswers(t *testing.T) {
	acked := func(context.Context, flow.Received) (flow.Receipt, error) {
		return flow.Receipt{Answer: []byte("MSA|AE|1"), Refused: true}, nil
	}
	down := func(context.Context, flow.Received) (flow.Receipt, error) {
		return flow.Receipt{}, fmt.Errorf("put: %w", flow.ErrUnavailable)
	}
	broken := func(context.Context, flow.Received) (flow.Receipt, error) {
		return flow.Receipt{}, errors.New("Jane Doe is in this text")
	}
	er7 := header("Content-Type", MediaType)
	for name, c := range map[string]struct {
		accept flow.Accept
		header http.Header
		body   string
		status int
		answer string
	}{
		"an ACK, even a refusing one, is 200": {acked, er7, message, 200, "MSA|AE|1"},
		"text/plain":                          {acked, header("Content-Type", "text/plain; charset=utf-8"), message, 200, "MSA|AE|1"},
		"the old ER7 type":                    {acked, header("Content-Type", "x-application/hl7-v2+er7"), message, 200, "MSA|AE|1"},
		"FHIR is another door":                {acked, header("Content-Type", "application/fhir+json"), "{}", 415, "send "},
		"no type":                             {acked, header(), message, 415, "send "},
		"compressed":                          {acked, header("Content-Type", MediaType, "Content-Encoding", "gzip"), message, 415, "send "},
		"empty":                               {acked, er7, "\r\n", 400, "no message"},
		"too large":                           {acked, er7, message + strings.Repeat("x", 100), 413, "larger than 100 bytes"},
		"store down":                          {down, er7, message, 503, "send it again"},
		"our own fault shows nothing":         {broken, er7, message, 500, "the message was not kept"},
	} {
		w := post(&Source{Name: "gp", Limit: 100}, c.accept, c.header, c.body)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.answer) {
			t.Errorf("%s: %d %q, want %d %q", name, w.Code, w.Body, c.status, c.answer)
		}
		if (w.Code == 503) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("%s: Retry-After %q with %d", name, w.Header().Get("Retry-After"), w.Code)
		}
	}
}

func TestTheAnswersToABatchAreOneBody(t *testing.T) {
	accept := func(context.Context, flow.Received) (flow.Receipt, error) {
		return flow.Receipt{Answers: [][]byte{[]byte("MSH|1\rMSA|AA|1\r"), nil, []byte("MSH|2\rMSA|AE|2\r")}, Refused: true}, nil
	}
	w := post(&Source{Name: "gp"}, accept, header("Content-Type", MediaType), message+message)
	if w.Code != 200 || w.Body.String() != "MSH|1\rMSA|AA|1\rMSH|2\rMSA|AE|2\r" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

func TestHandsOverTheBytesAsTheyCame(t *testing.T) {
	var got flow.Received
	accept := func(_ context.Context, r flow.Received) (flow.Receipt, error) {
		got = r
		return flow.Receipt{Answer: []byte("ACK")}, nil
	}
	s := &Source{Name: "gp", Subject: func(*http.Request) flow.Subject { return flow.Subject{Organisation: "Y06601"} }}
	raw := "\r\n" + message + "OBX|1|TX|\xff\r"
	if w := post(s, accept, header("Content-Type", MediaType), raw); w.Header().Get("Content-Type") != MediaType {
		t.Errorf("answered as %q", w.Header().Get("Content-Type"))
	}
	if string(got.Raw) != raw || got.Source != "gp" || got.Format != flow.HL7v2 || got.Subject.Organisation != "Y06601" || got.At.IsZero() {
		t.Errorf("handed over %+v", got)
	}
}

func TestMoreThanItCanHoldAtOnce(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	accept := func(context.Context, flow.Received) (flow.Receipt, error) {
		close(begun)
		<-release
		return flow.Receipt{Answer: []byte("ACK")}, nil
	}
	gin.SetMode(gin.TestMode)
	router := gin.New()
	(&Source{Concurrent: 1}).Routes(router, accept)
	send := func() *httptest.ResponseRecorder {
		req := httptest.NewRequest("POST", "/hl7", strings.NewReader(message))
		req.Header.Set("Content-Type", MediaType)
		w := httptest.NewRecorder()
		router.ServeHTTP(w, req)
		return w
	}
	var first *httptest.ResponseRecorder
	var wg sync.WaitGroup
	wg.Go(func() { first = send() })
	<-begun
	if w := send(); w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("the second got %d", w.Code)
	}
	close(release)
	wg.Wait()
	if first.Code != 200 {
		t.Errorf("the first got %d", first.Code)
	}
}
