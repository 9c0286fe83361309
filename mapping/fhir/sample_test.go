package fhir

import (
	"fmt"
	"io"
	"testing"
)

// full names the n-th entry of the sample.
func full(n int) string { return fmt.Sprintf("urn:uuid:0f0c7a30-5b1e-4c55-8a53-0000000000%02d", n) }

var sampleURLs = func() (u [16]string) {
	for n := range u {
		u[n] = full(n)
	}
	return u
}()

// maker builds a test tree and remembers the first failure.
type maker struct{ err error }

func (m *maker) add(b *Bundle, url, typ string) Element {
	e, err := b.Add(url, typ)
	m.note(err)
	return e
}

func (m *maker) in(e Element, name string) Element {
	c, err := e.Add(name)
	m.note(err)
	return c
}

func (m *maker) set(e Element, pairs ...string) Element {
	m.note(setAll(e, pairs...))
	return e
}

func (m *maker) ref(e Element, name, url string) { m.note(AddReference(e, name, url)) }

func (m *maker) code(e Element, name, system, code, display string) {
	m.note(AddCoding(e, name, system, code, display))
}

func (m *maker) identifier(e Element, system, value string) { m.note(AddIdentifier(e, system, value)) }

func (m *maker) note(err error) {
	if m.err == nil {
		m.err = err
	}
}

// sample builds a request for advice with three photos: 14 resources, about 8 KB.
func sample(t *Tree) (*Bundle, error) {
	u := &sampleURLs
	b, err := NewBundle(t, "message")
	if err != nil {
		return nil, err
	}
	m := &maker{}
	m.set(b.Root, "timestamp", "2026-11-24T10:15:00+00:00")
	m.identifier(b.Root, "urn:dermgate:source:gp", "MSG00001")
	head := m.add(b, u[0], "MessageHeader")
	m.code(head, "eventCoding", SystemTriggerEvent, "I12", "")
	m.set(m.in(head, "source"), "name", "PRACTICE", "endpoint", "urn:dermgate:source:gp")
	m.ref(head, "focus", u[1])
	m.request(b)
	m.people(b)
	m.photos(b)
	m.clinical(b)
	return b, m.err
}

func (m *maker) request(b *Bundle) {
	u := &sampleURLs
	sr := m.add(b, u[1], "ServiceRequest")
	m.identifier(sr, "urn:dermgate:placer", "RF1-0001")
	m.set(sr, "status", "active", "intent", "order", "priority", "routine", "authoredOn", "2026-11-24T10:10:00+00:00")
	m.code(sr, "category", SystemRequestCategory, "request", "Advice and guidance")
	m.code(sr, "code", SystemRequestCode, "advice-and-guidance", "Advice and guidance")
	m.ref(sr, "subject", u[2])
	m.ref(sr, "requester", u[4])
	m.ref(sr, "performer", u[6])
	m.ref(sr, "reasonReference", u[10])
	for n := 7; n < 10; n++ {
		m.ref(sr, "supportingInfo", u[n])
	}
	m.ref(sr, "supportingInfo", u[11])
	m.set(m.in(sr, "note"), "text", "Pigmented lesion on the left calf, \"changing\" for 3 months – please advise.")
}

func (m *maker) people(b *Bundle) {
	u := &sampleURLs
	p := m.add(b, u[2], "Patient")
	m.identifier(p, SystemNHSNumber, "9990548609")
	m.set(m.in(p, "name"), "use", "official", "family", "Testcase", "given", "Rosalind", "given", "May", "prefix", "Mrs")
	m.set(m.in(p, "telecom"), "system", "phone", "value", "07700 900123", "use", "mobile")
	m.set(p, "gender", "female", "birthDate", "1968-04-12")
	m.set(m.in(p, "address"), "line", "1 Sample Street", "city", "Leeds", "postalCode", "LS1 1AA")
	gp := m.add(b, u[3], "Practitioner")
	m.identifier(gp, SystemGMC, "7654321")
	m.set(m.in(gp, "name"), "family", "Referrer", "given", "Anna", "prefix", "Dr")
	role := m.add(b, u[4], "PractitionerRole")
	m.ref(role, "practitioner", u[3])
	m.ref(role, "organization", u[5])
	org := m.add(b, u[5], "Organization")
	m.identifier(org, SystemODSOrganisation, "Y06601")
	m.set(org, "name", "Sample Surgery")
	m.identifier(m.add(b, u[6], "HealthcareService"), SystemERSService, "8018394")
}

func (m *maker) photos(b *Bundle) {
	u := &sampleURLs
	for n, view := range [...]string{"overview", "close-up", "dermoscopic"} {
		e := m.add(b, u[7+n], "Media")
		m.set(m.in(e, "extension"), "url", ExtensionBase+"photo-view", "valueCode", view)
		m.set(e, "status", "completed", "createdDateTime", "2026-11-24T09:55:00+00:00", "height", "3024", "width", "4032")
		m.code(e, "type", "http://terminology.hl7.org/CodeSystem/media-type", "image", "Image")
		m.ref(e, "subject", u[2])
		m.ref(e, "basedOn", u[1])
		m.ref(e, "operator", u[3])
		m.set(m.in(e, "bodySite"), "text", "Left calf")
		m.set(m.in(e, "content"), "contentType", "image/jpeg", "size", "2517345", "title", "L1-"+view+".jpg",
			"hash", "qUiQTy8PR5uPgZdpSzAYSw0u0cM=", "url", "urn:sha-256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
	}
}

func (m *maker) clinical(b *Bundle) {
	u := &sampleURLs
	c := m.add(b, u[10], "Condition")
	m.set(m.in(c, "code"), "text", "Pigmented skin lesion")
	m.ref(c, "subject", u[2])
	o := m.add(b, u[11], "Observation")
	m.set(o, "status", "final", "effectiveDateTime", "2026-11-24")
	m.set(m.in(o, "code"), "text", "Largest diameter")
	m.ref(o, "subject", u[2])
	m.set(m.in(o, "valueQuantity"), "value", "7.10", "unit", "mm", "system", "http://unitsofmeasure.org", "code", "mm")
	k := m.add(b, u[12], "Consent")
	m.set(k, "status", "active", "dateTime", "2026-11-24T09:50:00+00:00")
	m.code(k, "scope", "http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy", "Privacy Consent")
	m.code(k, "category", SystemConsent, "clinical-photography", "Clinical photography")
	m.code(k, "policyRule", "http://terminology.hl7.org/CodeSystem/v3-ActCode", "OPTIN", "opt-in")
	m.ref(k, "patient", u[2])
	m.set(m.in(k, "provision"), "type", "permit")
	v := m.add(b, u[13], "Provenance")
	m.ref(v, "target", u[1])
	m.set(v, "recorded", "2026-11-24T10:15:00+00:00")
	m.ref(m.in(v, "agent"), "who", u[5])
}

// zeros is content of n zero bytes that lies nowhere.
func zeros(n int64) Data {
	return Data{Size: n, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.LimitReader(zeroReader{}, n)), nil
	}}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func sampleJSON(tb testing.TB) []byte {
	tb.Helper()
	s, err := sample(NewTree())
	if err != nil {
		tb.Fatal(err)
	}
	out, err := AppendJSON(nil, s.Root)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}
