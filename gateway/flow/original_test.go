package flow_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// What came is named in its Bundle by a Provenance that leads to a DocumentReference with its hash, and to the map set, over
// HL7 v2 as over FHIR.
func TestEveryBundleNamesItsOriginal(t *testing.T) {
	in := newIntake(t, flow.SourceRules{})
	for name, r := range map[string]flow.Received{
		"HL7 v2": {Format: flow.HL7v2, Raw: []byte(request("O1"))},
		"lifted": {Format: flow.HL7v2, Raw: []byte(request("O2")), Whole: &flow.Whole{SHA256: strings.Repeat("ab", 32)}},
		"FHIR":   {Format: flow.FHIRR4, Raw: withoutPhotos(t, func(map[string]any) {})},
	} {
		r.Source, r.At = "gp", received
		got := in.Translate(context.Background(), r, in.Sources["gp"])
		if got.Issues.Worst() != nil {
			t.Fatalf("%s: %v", name, got.Issues)
		}
		sum := sha256.Sum256(r.Raw)
		want := hex.EncodeToString(sum[:])
		if r.Whole != nil {
			want = r.Whole.SHA256
		}
		named, maps := false, false
		for p := range got.Bundle.All("Provenance") {
			for e := range p.Children("entity") {
				to := got.Bundle.Resolve(e.At("what.reference").Text())
				named = named || fhir.IsOriginal(to) && to.At("masterIdentifier.value").Text() == want &&
					e.At("what.identifier.value").Text() == want && to.At("content[0].attachment.url").Text() == "urn:sha-256:"+want
				maps = maps || e.At("what.identifier.system").Text() == fhir.SystemMaps && e.At("what.identifier.value").Text() == in.Maps().Digest()
			}
			if to := p.At("target[0].reference").Text(); !got.Bundle.Resolve(to).OK() {
				t.Errorf("%s: a Provenance of %q, which is not there", name, to)
			}
		}
		if !named || !maps {
			t.Errorf("%s: the original is named: %v, the map set: %v", name, named, maps)
		}
		if l := fhir.Validate(got.Bundle.Root); len(l) > 0 {
			t.Errorf("%s: %v", name, l)
		}
	}
}

// No original's description goes to the other side, neither that of a request nor that of its answer: it lies here. The
// hash of the request goes on, in its Provenance.
func TestOriginalsStayHere(t *testing.T) {
	in := newIntake(t, flow.SourceRules{})
	rules := flow.SourceRules{Name: "ag", Answers: true, Processing: "P", Checks: flow.Checks{NHSNumber: flow.Warn, Photo: flow.Warn}}
	in.Sources["ag"] = rules
	in.Endpoints = append(in.Endpoints, flow.Endpoint{Name: "gp", Kind: flow.ToFHIR})
	in.Routes = []flow.Route{{When: flow.When{Case: "advice"}, To: []string{"ag"}}, {When: flow.When{Event: "answered"}, To: []string{"gp"}}}
	raw := request("O3")
	asked := in.deliver(flow.Received{Source: "gp", At: received, Format: flow.HL7v2, Raw: []byte(raw)})
	stays(t, "the request", asked)
	sum := sha256.Sum256([]byte(raw))
	if got := asked.First("Provenance").At("entity[0].what.identifier.value").Text(); got != hex.EncodeToString(sum[:]) {
		t.Errorf("what leaves names as its original %q", got)
	}
	answer := "MSH|^~\\&|AGP|RXX01|DERMGATE|RXX01|20261104090000||ORU^R01^ORU_R01|AGP0001|P|2.4\r" +
		"PID|1||9990001014^^^NHS^NH||Testcase^Rosalind||19680412|2\r" +
		"OBR|1|REFO3^EMIS||ADVICE^Advice and guidance^L|||20261104085500|||||||||||||||20261104085900|||F\r" +
		"OBX|1|TX|ADVICE^Advice^L||Looks benign on dermoscopy.||||||F|||||C7654321^Hale^Imogen^^^Dr\r" +
		"OBX|2|CE|OUTCOME^Outcome^L||RETURN_TO_REFERRER_WITH_ADVICE^^ERS||||||F\r"
	receipt, err := in.Accept(context.Background(), flow.Received{Source: "ag", At: received, Format: flow.HL7v2, Raw: []byte(answer)})
	if err != nil || receipt.Refused {
		t.Fatalf("%s %v", receipt.Answer, err)
	}
	work, err := in.Store.Claim(context.Background(), flow.ToCase, 1, time.Minute)
	if err != nil || len(work) != 1 {
		t.Fatalf("%d to work in, %v", len(work), err)
	}
	if out, err := (flow.Applier{P: in.Pipeline}).Deliver(context.Background(), work[0], nil); err != nil || out.Result != flow.Delivered {
		t.Fatalf("%+v %v", out, err)
	}
	told := in.claimed("gp")
	stays(t, "the answer", told)
	if !told.First("Communication").OK() {
		t.Error("the answer says nothing")
	}
	for c := range told.All("Communication") {
		for p := range c.Children("payload") {
			if p.Child("contentReference").OK() {
				t.Errorf("%s encloses %s", c.Path(), p.At("contentReference.reference").Text())
			}
		}
	}
}

// stays finds the description of an original, or a reference to one, in what leaves.
func stays(t *testing.T, name string, b *fhir.Bundle) {
	t.Helper()
	for d := range b.All("DocumentReference") {
		t.Errorf("%s: %s goes to the other side", name, d.At("description").Text())
	}
	for p := range b.All("Provenance") {
		for e := range p.Children("entity") {
			if ref := e.At("what.reference"); ref.OK() && !b.Resolve(ref.Text()).OK() {
				t.Errorf("%s: its Provenance leads to %s, which stayed", name, ref.Text())
			}
		}
	}
}
