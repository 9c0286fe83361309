package flow

import (
	"net/url"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// shared are the resources that a receiver may hold already and whose record is its own: found by identifier,
// made where there is none, and never overwritten.
var shared = []string{"Patient", "RelatedPerson", "Practitioner", "PractitionerRole", "Organization", "Location", "HealthcareService"}

// transact turns a message into the transaction that leaves its resources with a receiver (FHIR R4 §3.1.0.11.2).
// Whatever is about the case is put under an id derived from the case, so that trying again, and the news that
// follow, change what is there and add nothing twice, and no sender's own id reaches another's resource. What is
// shared is created unless its identifier is known. The MessageHeader was the envelope and stays behind.
func (d *decision) transact(b *fhir.Bundle) error {
	w := writer{}
	w.set(b.Root, "type", "transaction")
	if header := b.First("MessageHeader"); header.OK() {
		header.Parent().Remove()
	}
	names := map[string]string{}
	for r := range b.Resources() {
		typ, old, place := r.Type().Name, r.Child("id").Text(), fullURL(r)
		id := d.derive("resource", typ, place, old).String()
		request := w.add(r.Parent(), "request")
		to := typ + "/" + id
		if known := search(r); known != "" {
			to = "urn:uuid:" + id // the receiver puts its own id in the place of this
			w.set(request, "method", "POST")
			w.set(request, "url", typ)
			w.set(request, "ifNoneExist", known)
			if old != "" {
				r.Child("id").Remove()
			}
		} else {
			w.set(request, "method", "PUT")
			w.set(request, "url", to)
			w.set(r, "id", id)
		}
		w.set(r.Parent(), "fullUrl", "urn:uuid:"+id)
		for _, name := range []string{place, typ + "/" + old} {
			if name != "" && !strings.HasSuffix(name, "/") {
				names[name] = to
			}
		}
	}
	for r := range b.Resources() {
		repointAll(r, names)
	}
	return w.err
}

// search gives the condition under which a shared resource is there already; empty for one that is not shared
// or has no identifier to know it by. An NHS number goes before any local one.
func search(r fhir.Element) string {
	if !slices.Contains(shared, r.Type().Name) {
		return ""
	}
	var best fhir.Element
	for id := range r.Children("identifier") {
		if system := id.Child("system").Text(); system != "" && id.Child("value").Text() != "" && (!best.OK() || system == fhir.SystemNHSNumber) {
			best = id
		}
	}
	if !best.OK() {
		return ""
	}
	// FHIR R4 §3.1.1.4.1: these separate values, so they are escaped where they are part of one.
	escape := strings.NewReplacer(`\`, `\\`, `|`, `\|`, `,`, `\,`, `$`, `\$`)
	token := escape.Replace(best.Child("system").Text()) + "|" + escape.Replace(best.Child("value").Text())
	return "identifier=" + url.QueryEscape(token)
}

// repointAll gives references, and the urls of attachments, the names that the entries have now.
func repointAll(e fhir.Element, names map[string]string) {
	for c := range e.Children("") {
		if to, ok := names[c.Text()]; ok && (c.Name() == "reference" || c.Name() == "url") {
			c.SetText(to)
		}
		repointAll(c, names)
	}
}
