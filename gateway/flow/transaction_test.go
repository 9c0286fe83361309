package flow_test

import (
	"strings"
	"testing"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// A destination that keeps resources gets a transaction: what is the case's own is put under ids that stay, what
// the receiver may hold already is created under the condition that it does not, and every reference leads to one of them.
func TestATransactionLeavesTheResources(t *testing.T) {
	in := newIntake(t, flow.SourceRules{})
	in.Endpoints[0] = flow.Endpoint{Name: "ag", Kind: flow.ToFHIR, Transaction: true}
	b := in.delivered(request("T1"))
	if got := b.Root.Child("type").Text(); got != "transaction" {
		t.Fatalf("type %q", got)
	}
	if b.First("MessageHeader").OK() {
		t.Error("the envelope is left with the receiver")
	}
	places, methods := map[string]bool{}, map[string]string{}
	for r := range b.Resources() {
		typ, request := r.Type().Name, r.Parent().Child("request")
		methods[typ] = request.Child("method").Text() + " " + request.Child("url").Text()
		url := r.Parent().Child("fullUrl").Text()
		places[url] = true
		if request.Child("method").Text() == "PUT" {
			places[request.Child("url").Text()] = true
			if want := typ + "/" + r.Child("id").Text(); request.Child("url").Text() != want {
				t.Errorf("%s is put to %s", want, request.Child("url").Text())
			}
		} else if r.Child("id").OK() {
			t.Errorf("a %s to be created has an id", typ)
		}
		if typ == "Patient" {
			if got := request.Child("ifNoneExist").Text(); got != "identifier=https%3A%2F%2Ffhir.nhs.uk%2FId%2Fnhs-number%7C9990001014" {
				t.Errorf("the patient is created if %q finds none", got)
			}
		}
	}
	if methods["Patient"] != "POST Patient" || !strings.HasPrefix(methods["ServiceRequest"], "PUT ServiceRequest/") {
		t.Errorf("%v", methods)
	}
	n := 0
	eachReference(b.Root, func(to string) {
		n++
		if !places[to] {
			t.Errorf("a reference leads to %s, which is not in the transaction", to)
		}
	})
	if n == 0 {
		t.Error("no reference")
	}
}

// delivered takes a message and gives the Bundle that goes to ag, read as a receiver reads it.
func (i *intake) delivered(raw string) *fhir.Bundle {
	i.Helper()
	return i.deliver(flow.Received{Source: "gp", At: received, Format: flow.HL7v2, Raw: []byte(raw)})
}

func eachReference(e fhir.Element, f func(to string)) {
	for c := range e.Children("") {
		if c.Name() == "reference" && !strings.HasPrefix(c.Text(), "#") {
			f(c.Text())
		}
		eachReference(c, f)
	}
}
