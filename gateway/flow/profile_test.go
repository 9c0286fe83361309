package flow_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/fixtures"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// What leaves declares the UK Core profile of each resource that meets it, whatever its sender claimed.
func TestWhatLeavesDeclaresWhatItMeets(t *testing.T) {
	spoken := strings.Replace(request("P1"), "SE1 9ZZ^GBR", "SE1 9ZZ^GBR||||ZZX^a language without a code^L", 1)
	for name, r := range map[string]flow.Received{
		"HL7 v2": {Format: flow.HL7v2, Raw: []byte(spoken)},
		"FHIR": {Format: flow.FHIRR4, Raw: withoutPhotos(t, func(patient map[string]any) {
			patient["meta"] = map[string]any{"profile": []any{"https://fhir.hl7.org.uk/StructureDefinition/UKCore-Patient", "https://example.org/own"}}
			patient["communication"] = []any{map[string]any{"language": map[string]any{"text": "a language without a code"}}}
		})},
	} {
		in := newIntake(t, flow.SourceRules{})
		r.Source, r.At = "gp", received
		b := in.deliver(r)
		own := b.First("Patient").At("meta.profile").Text() == "https://example.org/own"
		if own != (name == "FHIR") {
			t.Errorf("%s: what else the patient claimed: %v", name, own)
		}
		n := 0
		for r := range b.Resources() {
			p := r.Type().Profile()
			if p == nil {
				continue
			}
			claims := false
			for c := range r.Child("meta").Children("profile") {
				claims = claims || c.Text() == p.URL
			}
			if claims == (r.Type().Name == "Patient") {
				t.Errorf("%s: %s claims its profile: %v", name, r.Type().Name, claims)
			}
			n++
		}
		if n < 5 {
			t.Errorf("%s: only %d resources", name, n)
		}
	}
}

// withoutPhotos gives the routine referral of the fixtures, its patient changed, without its files.
func withoutPhotos(t *testing.T, change func(patient map[string]any)) []byte {
	t.Helper()
	raw, err := fixtures.Message("referral-routine.json")
	if err != nil {
		t.Fatal(err)
	}
	var b map[string]any
	if err := json.Unmarshal(raw, &b); err != nil {
		t.Fatal(err)
	}
	b["entry"] = slices.DeleteFunc(b["entry"].([]any), func(e any) bool {
		r := e.(map[string]any)["resource"].(map[string]any)
		switch r["resourceType"] {
		case "Media", "Binary", "Consent":
			return true
		case "ServiceRequest":
			delete(r, "supportingInfo")
		case "Patient":
			change(r)
		}
		return false
	})
	if raw, err = json.Marshal(b); err != nil {
		t.Fatal(err)
	}
	return raw
}

// deliver takes a message and gives the Bundle that goes to ag, read as a receiver reads it.
func (i *intake) deliver(r flow.Received) *fhir.Bundle {
	i.Helper()
	receipt, err := i.Accept(context.Background(), r)
	if err != nil || receipt.Refused {
		i.Fatalf("%s %v", receipt.Answer, err)
	}
	return i.claimed("ag")
}

// claimed gives the Bundle that waits for a destination, read as the destination reads it.
func (i *intake) claimed(to string) *fhir.Bundle {
	i.Helper()
	ds, err := i.Store.Claim(context.Background(), to, 2, time.Minute)
	if err != nil || len(ds) != 1 {
		i.Fatalf("%d deliveries %v", len(ds), err)
	}
	root, issues := fhir.Read(ds[0].Body.Inline, fhir.ReadOptions{})
	if len(issues) > 0 {
		i.Fatalf("the receiver cannot read it: %v", issues)
	}
	return &fhir.Bundle{Root: root}
}
