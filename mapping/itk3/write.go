package itk3

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// The resources in STU3, their elements in the order of its schema.

const instant = "2006-01-02T15:04:05.000-07:00"

// writer writes FHIR XML and keeps the first error.
type writer struct {
	*bufio.Writer
	out *fhir.Counter // behind it
	err error
}

// Include includes where the message goes.
func (w *writer) Include(d fhir.Data) (bool, error) {
	if err := w.Flush(); err != nil {
		return false, err
	}
	return w.out.Include(d)
}

func (w *writer) raw(s string) {
	if w.err == nil {
		_, w.err = w.WriteString(s)
	}
}

func (w *writer) text(s string) {
	if w.err == nil {
		w.err = xml.EscapeText(w.Writer, []byte(s))
	}
}

// value writes a primitive element; nothing for an empty one.
func (w *writer) value(name, v string) {
	if v == "" {
		return
	}
	w.raw("<" + name + ` value="`)
	w.text(v)
	w.raw(`"/>`)
}

// in writes an element around others.
func (w *writer) in(name string, inner func()) {
	w.raw("<" + name + ">")
	inner()
	w.raw("</" + name + ">")
}

func (w *writer) extension(url string, inner func()) {
	w.raw(`<extension url="` + url + `">`)
	inner()
	w.raw("</extension>")
}

// coding writes a Coding; nothing without a code.
func (w *writer) coding(name string, c [3]string) {
	if c[1] == "" {
		return
	}
	w.in(name, func() { w.value("system", c[0]); w.value("code", c[1]); w.value("display", c[2]) })
}

func (w *writer) concept(name string, c [3]string) {
	if c[1] != "" {
		w.in(name, func() { w.coding("coding", c) })
	}
}

func (w *writer) reference(name, id string) {
	w.in(name, func() { w.value("reference", "urn:uuid:"+id) })
}

func (w *writer) identifier(system, value string) {
	if value != "" {
		w.in("identifier", func() { w.value("system", system); w.value("value", value) })
	}
}

func (w *writer) telecom(phone string) {
	if phone != "" {
		w.in("telecom", func() { w.value("system", "phone"); w.value("value", phone); w.value("use", "work") })
	}
}

// narrative writes a text for people.
func (w *writer) narrative(status, text string) {
	w.in("text", func() {
		w.value("status", status)
		w.raw(`<div xmlns="http://www.w3.org/1999/xhtml"><p>`)
		w.text(text)
		w.raw("</p></div>")
	})
}

// entry writes a resource with its id and profile.
func (w *writer) entry(id, resource, profile string, inner func()) {
	w.in("entry", func() {
		w.value("fullUrl", "urn:uuid:"+id)
		w.in("resource", func() { w.in(resource, func() { w.head(id, profile); inner() }) })
	})
}

func (w *writer) head(id, profile string) {
	w.value("id", id)
	w.in("meta", func() { w.value("profile", profile) })
}

// write writes the message Bundle: header, sending organisation, and the document Bundle (GPCM-SD-045, 103).
func (m *Message) write(w *writer) {
	w.raw(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<Bundle xmlns="http://hl7.org/fhir">`)
	w.head(m.o.ID, nhsSTU3+"ITK-Message-Bundle-1")
	w.identifier(uuidSystem, m.o.ID)
	w.value("type", "message")
	w.entry(m.id("header"), "MessageHeader", nhsSTU3+"ITK-MessageHeader-2", func() { m.header(w) })
	w.entry(m.id("sender"), "Organization", nhsSTU3+"CareConnect-ITK-Header-Organization-1", func() {
		w.identifier(fhir.SystemODSOrganisation, m.o.Sender.ODS)
	})
	w.entry(m.id("document"), "Bundle", nhsSTU3+"ITK-Document-Bundle-1", func() { m.document(w) })
	w.raw("</Bundle>\n")
}

// header writes the handling specification and the rest of the MessageHeader (GPCM-SD-040 to 049). There is no receiver:
// MESH finds it.
func (m *Message) header(w *writer) {
	flag := func(name string) {
		w.extension(name, func() { w.value("valueBoolean", "true") })
	}
	w.extension(handling, func() {
		flag("BusAckRequested")
		flag("InfAckRequested")
		to := [3]string{recipientTypes, "FA", "For Action"}
		if m.o.Copy {
			to = [3]string{recipientTypes, "FI", "For Information"}
		}
		w.extension("RecipientType", func() { w.coding("valueCoding", to) })
		w.extension("MessageDefinition", func() { w.in("valueReference", func() { w.value("reference", definition) }) })
		w.extension("SenderReference", func() { w.value("valueString", m.o.ID) })
		w.extension("LocalExtension", func() { w.value("valueString", m.localExtension()) })
	})
	w.coding("event", [3]string{eventSystem, eventSend, "ITK GP Connect Send Document"})
	w.reference("sender", m.id("sender"))
	w.value("timestamp", m.o.At.Format(instant))
	w.in("source", func() { w.value("endpoint", m.o.Mailbox) })
	w.reference("focus", m.id("document"))
}

// localExtension tells the use case of version 1.3 (GPCM-SD-044); version 2 has none.
func (m *Message) localExtension() string {
	if m.o.Workflow == ConsultReport {
		return "SendDocument-ConsultationReport"
	}
	return "None"
}

// document writes the document Bundle. The patient stands before the files, so that who sends it need not read those to
// know where it goes.
func (m *Message) document(w *writer) {
	w.identifier(uuidSystem, m.id("document"))
	w.value("type", "document")
	w.entry(m.id("composition"), "Composition", careConnect+"CareConnect-Composition-1", func() { m.composition(w) })
	w.entry(m.id("patient"), "Patient", careConnect+"CareConnect-Patient-1", func() { m.patientEntry(w) })
	if m.doctor.OK() {
		w.entry(m.id("practitioner"), "Practitioner", careConnect+"CareConnect-Practitioner-1", func() { practitioner(w, m.doctor) })
	}
	w.entry(m.id("organisation"), "Organization", careConnect+"CareConnect-Organization-1", func() {
		w.identifier(fhir.SystemODSOrganisation, m.o.Sender.ODS)
		w.value("name", m.o.Sender.Name)
		w.telecom(m.o.Sender.Phone)
	})
	w.entry(m.id("encounter"), "Encounter", careConnect+"CareConnect-Encounter-1", func() { m.encounter(w) })
	for _, f := range m.files {
		w.entry(f.id, "Binary", nhsSTU3+"ITK-Attachment-Binary-1", func() {
			w.value("contentType", f.media)
			w.raw(`<content value="`)
			if w.err == nil {
				w.err = f.data.WriteBase64(w)
			}
			w.raw(`"/>`)
		})
	}
}

// title of the document: fixed by version 1.3 (GPCM-SD-118).
func (m *Message) title() string {
	if m.o.Workflow == ConsultReport {
		return "Consultation report"
	}
	return m.o.Title
}

// composition writes what the document says of itself (GPCM-SD-105 to 119, 123).
func (m *Message) composition(w *writer) {
	w.narrative("generated", fmt.Sprintf("%s for %s, NHS Number: %s, seen at %s, %s, Version: %d",
		m.title(), m.patient.spoken(), m.patient.number, m.o.Sender.Name, m.o.Sender.ODS, m.o.Version))
	w.identifier(uuidSystem, m.id("document"))
	status := "final"
	if m.o.Replaces != "" {
		status = "amended"
	}
	w.value("status", status)
	w.concept("type", reportCode)
	w.reference("subject", m.id("patient"))
	w.reference("encounter", m.id("encounter"))
	w.value("date", m.o.At.Format(instant))
	if m.doctor.OK() {
		w.reference("author", m.id("practitioner"))
	}
	w.reference("author", m.id("organisation"))
	w.value("title", m.title())
	w.value("confidentiality", "N")
	w.reference("custodian", m.id("organisation"))
	if m.o.Replaces != "" {
		w.in("relatesTo", func() {
			w.value("code", "replaces")
			w.in("targetIdentifier", func() { w.value("system", uuidSystem); w.value("value", m.o.Replaces) })
		})
	}
	for _, f := range m.files {
		w.in("section", func() {
			w.value("title", f.title)
			w.concept("code", f.code)
			w.reference("entry", f.id)
		})
	}
}

// spoken is the name as people write it.
func (p patient) spoken() string {
	var words []string
	for _, part := range []string{"prefix", "given", "family", "suffix"} {
		for v := range p.name.Children(part) {
			words = append(words, v.Text())
		}
	}
	return strings.Join(words, " ")
}

// patientEntry writes what the receiver needs to find the record (GPCM-SD-035), with the address only where the NHS number
// is not said to be verified (ITK3 FHIR-PDS-02).
func (m *Message) patientEntry(w *writer) {
	p := m.patient
	w.in("identifier", func() {
		if p.status != "" {
			w.extension(numberStatus, func() { w.concept("valueCodeableConcept", [3]string{statusSystem, p.status, ""}) })
		}
		w.value("system", fhir.SystemNHSNumber)
		w.value("value", p.number)
	})
	humanName(w, p.name)
	w.value("gender", p.gender)
	w.value("birthDate", p.birthDate)
	if p.status != "01" && p.address.OK() {
		w.in("address", func() {
			for _, part := range []string{"text", "line", "city", "district", "postalCode"} {
				for v := range p.address.Children(part) {
					w.value(part, v.Text())
				}
			}
		})
	}
}

func humanName(w *writer, n fhir.Element) {
	if !n.OK() {
		return
	}
	w.in("name", func() {
		w.value("use", "official")
		for _, part := range []string{"text", "family", "given", "prefix", "suffix"} {
			for v := range n.Children(part) {
				w.value(part, v.Text())
			}
		}
	})
}

// professional are the identifiers of a clinician that travel.
var professional = []string{fhir.SystemSDSUser, fhir.SystemGMC, fhir.SystemNMC, fhir.SystemHCPC}

func practitioner(w *writer, e fhir.Element) {
	for _, system := range professional {
		for id := range e.Children("identifier") {
			if id.Child("system").Text() == system {
				w.identifier(system, id.Child("value").Text())
			}
		}
	}
	humanName(w, e.Child("name"))
	for t := range e.Children("telecom") {
		if t.Child("system").Text() == "phone" && t.Child("use").Text() != "home" {
			w.telecom(t.Child("value").Text())
			return
		}
	}
}

// encounter writes the review that the document is about.
func (m *Message) encounter(w *writer) {
	w.value("status", "finished")
	w.reference("subject", m.id("patient"))
	if m.doctor.OK() {
		w.in("participant", func() { w.reference("individual", m.id("practitioner")) })
	}
	w.reference("serviceProvider", m.id("organisation"))
}
