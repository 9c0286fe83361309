package flow

import (
	"time"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// original adds to a Bundle that came where it comes from, as MSH[Provenance] and MSH[DocumentReference] do for HL7 v2:
// a Provenance that names the message as it came by its hash, its id, and the digest of the map set in force.
func (t *Translated) original() error {
	part := t.Idem.Partition()
	at := t.Bundle.Root.Child("timestamp").Text()
	if at == "" {
		at = t.At.UTC().Format(time.RFC3339)
	}
	about, err := t.target()
	if err != nil || about == "" {
		return err
	}
	url := "urn:uuid:" + NewID(part, "original", t.Idem.Key).String()
	p, err := t.Bundle.Add("urn:uuid:"+NewID(part, "provenance", t.Idem.Key).String(), "Provenance")
	if err != nil {
		return err
	}
	w := writer{}
	w.set(w.add(p, "target"), "reference", about)
	w.set(p, "recorded", at)
	agent := w.add(p, "agent")
	w.concept(agent, "type", "http://terminology.hl7.org/CodeSystem/provenance-participant-type", "assembler")
	w.set(w.add(agent, "who"), "display", "Dermgate")
	w.set(w.entity(p, "source", fhir.SystemSHA256, t.digest()), "reference", url)
	w.entity(p, "source", fhir.SystemControlID, t.RequestID)
	w.entity(p, "derivation", fhir.SystemMaps, t.Maps)
	doc, err := t.Bundle.Add(url, "DocumentReference")
	if err != nil {
		return err
	}
	w.identifier(doc, "masterIdentifier", fhir.SystemSHA256, t.digest())
	w.set(doc, "status", "current")
	w.set(doc, "description", "Message as received")
	w.set(doc, "date", at)
	attachment := w.add(w.add(doc, "content"), "attachment")
	w.set(attachment, "contentType", "application/fhir+json")
	w.set(attachment, "url", shaURL+t.digest())
	if w.err == nil {
		p.Declare()
		doc.Declare()
	}
	return w.err
}

// target gives the url of what a message is about, which gets one when its sender gave none; empty for a message about
// nothing, which is refused.
func (t *Translated) target() (string, error) {
	var r fhir.Element
	for _, typ := range []string{"Task", "ServiceRequest", "MessageHeader"} {
		if r = t.Bundle.First(typ); r.OK() {
			break
		}
	}
	if url := fullURL(r); url != "" || !r.OK() {
		return url, nil
	}
	url := "urn:uuid:" + NewID(t.Idem.Partition(), "target", t.Idem.Key).String()
	return url, r.Parent().Set("fullUrl", url)
}

// entity adds what a Provenance was made of, and gives its reference.
func (w *writer) entity(p fhir.Element, role, system, value string) fhir.Element {
	e := w.add(p, "entity")
	w.set(e, "role", role)
	what := w.add(e, "what")
	w.identifier(what, "identifier", system, value)
	return what
}

func (w *writer) identifier(e fhir.Element, name, system, value string) {
	id := w.add(e, name)
	w.set(id, "system", system)
	w.set(id, "value", value)
}

// withoutOriginals leaves out the descriptions of messages as they came: they lie here, and nobody else can read them. A
// Provenance goes on naming each by its hash.
func withoutOriginals(b *fhir.Bundle) {
	gone := map[string]bool{}
	for d := range b.All("DocumentReference") {
		if fhir.IsOriginal(d) {
			gone[fullURL(d)] = true
			d.Parent().Remove()
		}
	}
	for p := range b.All("Provenance") {
		for e := range p.Children("entity") {
			if ref := e.Child("what").Child("reference"); gone[ref.Text()] {
				ref.Remove()
			}
		}
	}
}
