package flow

import (
	"errors"
	"fmt"
	"time"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// answer makes the bytes that the sender gets: an ACK for HL7 v2, a response Bundle or OperationOutcome
// for FHIR. It is made once, before anything is kept, and given again to every repeat.
func answer(t Translated, at time.Time) (body []byte, mediaType string, err error) {
	switch t.Format {
	case HL7v2:
		return acknowledge(t, at), "application/hl7-v2", nil
	case Notify, MESH:
		return nil, "", nil
	}
	body, err = fhirAnswer(t, at)
	return body, "application/fhir+json", err
}

func fhirAnswer(t Translated, at time.Time) ([]byte, error) {
	tree := fhir.NewTree()
	if t.Issues.Worst() != nil {
		o, err := fhir.Outcome(tree, t.Issues)
		if err != nil {
			return nil, err
		}
		return fhir.AppendJSON(nil, o)
	}
	if t.Bundle.First("MessageHeader").OK() {
		return messageResponse(tree, t, at)
	}
	return transactionResponse(tree, t)
}

func messageResponse(tree *fhir.Tree, t Translated, at time.Time) ([]byte, error) {
	b, err := fhir.NewBundle(tree, "message")
	if err != nil {
		return nil, err
	}
	id := NewID(t.Idem.Partition(), "answer", t.Idem.Key)
	header, err := b.Add("urn:uuid:"+id.String(), "MessageHeader")
	if err != nil {
		return nil, err
	}
	w := writer{}
	w.set(b.Root, "timestamp", at.UTC().Format(time.RFC3339))
	w.coding(header, "eventCoding", fhir.SystemMessageEvents, "servicerequest-response")
	w.set(w.add(header, "source"), "endpoint", "urn:dermgate")
	response := w.add(header, "response")
	w.set(response, "identifier", t.RequestID)
	w.set(response, "code", "ok")
	if len(t.Issues) > 0 && w.err == nil {
		url := "urn:uuid:" + NewID(id.Partition(), "outcome", id.String()).String()
		outcome, err := b.Add(url, "OperationOutcome")
		if err != nil {
			return nil, err
		}
		w.set(w.add(response, "details"), "reference", url)
		w.err = errors.Join(w.err, fhir.AddIssues(outcome, t.Issues))
	}
	if w.err != nil {
		return nil, w.err
	}
	return fhir.AppendJSON(nil, b.Root)
}

func transactionResponse(tree *fhir.Tree, t Translated) ([]byte, error) {
	b, err := fhir.NewBundle(tree, "transaction-response")
	if err != nil {
		return nil, err
	}
	w := writer{}
	for i, location := range t.entries {
		response := w.add(w.add(b.Root, "entry"), "response")
		w.set(response, "status", "201")
		w.set(response, "location", location)
		if issues := t.about(i); len(issues) > 0 && w.err == nil {
			var o fhir.Element
			if o, w.err = response.AddResource("outcome", "OperationOutcome"); w.err == nil {
				w.err = fhir.AddIssues(o, issues)
			}
		}
	}
	if w.err != nil {
		return nil, w.err
	}
	return fhir.AppendJSON(nil, b.Root)
}

// about gives the issues of the entry i, which the answer's entry of the same place tells (FHIR R4 §3.1.0.11.2).
// Those of no entry are told with the first.
func (t *Translated) about(i int) issue.List {
	var out issue.List
	for _, each := range t.Issues {
		at := 0
		if n, err := fmt.Sscanf(each.Where, "Bundle.entry[%d]", &at); (n != 1 || err != nil) || at >= len(t.entries) {
			at = 0
		}
		if at == i {
			out = append(out, each)
		}
	}
	return out
}

// locations are where the facade shows the resources of a transaction, in the order of its entries; empty for
// those it shows elsewhere or not at all.
func locations(b *fhir.Bundle) []string {
	var out []string
	for entry := range b.Root.Children("entry") {
		location := ""
		if r := entry.Child("resource"); r.OK() && shown(r) {
			location = r.Type().Name + "/" + resourceID(r)
		}
		out = append(out, location)
	}
	return out
}

// writer sets elements one after another and keeps the first error.
type writer struct{ err error }

func (w *writer) add(e fhir.Element, name string) fhir.Element {
	if w.err != nil {
		return fhir.Element{}
	}
	child, err := e.Add(name)
	w.err = err
	return child
}

func (w *writer) set(e fhir.Element, name, value string) {
	if w.err == nil && value != "" {
		w.err = e.Set(name, value)
	}
}

func (w *writer) coding(e fhir.Element, name, system, code string) {
	c := w.add(e, name)
	w.set(c, "system", system)
	w.set(c, "code", code)
}

func (w *writer) concept(e fhir.Element, name, system, code string) {
	w.coding(w.add(e, name), "coding", system, code)
}

func (w *writer) extension(e fhir.Element, name, valueName, value string) {
	x := w.add(e, "extension")
	w.set(x, "url", fhir.ExtensionBase+name)
	w.set(x, valueName, value)
}
