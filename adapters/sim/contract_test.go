package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// published is the contract of e-RS, by NHS England.
func published(t *testing.T) *openapi3.T { return contract(t, "ers/e-rs.openapi.json") }

func contract(t *testing.T, name string) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("../../fixtures/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// holds checks an answer against what is published of it: the status, the headers that must be there, the body.
func holds(t *testing.T, doc *openapi3.T, method, path string, resp *http.Response, body string) {
	t.Helper()
	op := doc.Paths.Value(path).GetOperation(method)
	if op == nil {
		t.Fatalf("%s %s is not published", method, path)
	}
	said := op.Responses.Value(fmt.Sprint(resp.StatusCode))
	if said == nil {
		t.Errorf("%s %s: status %d is not published", method, path, resp.StatusCode)
		return
	}
	for name, h := range said.Value.Headers {
		if h.Value.Required && resp.Header.Get(name) == "" {
			t.Errorf("%s %s %d: no header %s", method, path, resp.StatusCode, name)
		}
	}
	media := said.Value.Content.Get("application/fhir+json")
	if media == nil {
		media = said.Value.Content.Get(jsonAPI)
	}
	if media == nil {
		return
	}
	conforms(t, fmt.Sprintf("%s %s %d", method, path, resp.StatusCode), media.Schema.Value, body)
}

// conforms checks JSON against a schema.
func conforms(t *testing.T, what string, schema *openapi3.Schema, body string) {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if err := schema.VisitJSON(v, openapi3.VisitAsResponse(), openapi3.MultiErrors()); err != nil {
		t.Errorf("%s: %.1500v\n%.3000s", what, err, body)
	}
}

// statuses gives the failures that are published for an operation.
func statuses(op *openapi3.Operation) (out []int) {
	for status := range op.Responses.Map() {
		if n, err := strconv.Atoi(status); err == nil && n >= 400 {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}
