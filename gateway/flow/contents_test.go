package flow_test

import (
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// TestADocumentOfSeveralFilesKeepsThem: each content of a DocumentReference leaves with its own bytes.
func TestADocumentOfSeveralFilesKeepsThem(t *testing.T) {
	in := newIntake(t, flow.SourceRules{})
	in.Bodies = bodies{}
	var bundle map[string]any
	if err := json.Unmarshal(withoutPhotos(t, func(map[string]any) {}), &bundle); err != nil {
		t.Fatal(err)
	}
	var contents []any
	files := []string{letter, base64.StdEncoding.EncodeToString([]byte("{\\rtf1 The same letter.}"))}
	for i, media := range []string{"application/pdf", "text/rtf"} {
		contents = append(contents, map[string]any{"attachment": map[string]any{"contentType": media, "data": files[i]}})
	}
	bundle["entry"] = append(bundle["entry"].([]any), map[string]any{"fullUrl": "urn:uuid:00000000-0000-4000-8000-00000000d0c1", "resource": map[string]any{
		"resourceType": "DocumentReference", "status": "current", "content": contents}})
	raw, err := json.Marshal(bundle)
	if err != nil {
		t.Fatal(err)
	}
	r, err := in.Accept(t.Context(), flow.Received{Source: "gp", At: received, Format: flow.FHIRR4, Raw: raw, RequestID: "D1"})
	if err != nil || r.Refused {
		t.Fatalf("%s %v", r.Answer, err)
	}
	sent := sentTo(t, in, r.Case, "ag")
	if len(sent) != 1 {
		t.Fatalf("%d messages", len(sent))
	}
	root, issues := fhir.Read([]byte(sent[0]), fhir.ReadOptions{})
	if len(issues) > 0 {
		t.Fatal(issues)
	}
	b, n := &fhir.Bundle{Root: root}, 0
	for c := range b.First("DocumentReference").Children("content") {
		if got := b.Resolve(c.At("attachment.url").Text()).Child("data").Text(); got != files[n] {
			t.Errorf("content %d has %.20q", n+1, got)
		}
		n++
	}
	if n != len(files) {
		t.Errorf("%d contents", n)
	}
}
