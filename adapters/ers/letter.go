package ers

import (
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// Letter renders a referral letter as plain text: the same Bundle gives the same bytes. Its headings follow
// the PRSB Clinical Referral Information standard. Nothing is shortened, summed up or left out of the
// clinical resources.
func Letter(b *fhir.Bundle) []byte {
	var w page
	w.line("REFERRAL LETTER")
	w.section("Patient", patient(b.First("Patient")))
	w.section("Referrer", referrer(b))
	w.section("Referral", request(b))
	clinical(&w, b)
	return []byte(w.String())
}

// Question renders the text of an A&G request: the same clinical sections, without those that e-RS fills
// from the patient index and the sender's role.
func Question(b *fhir.Bundle) string {
	var w page
	clinical(&w, b)
	return strings.TrimSpace(w.String())
}

func clinical(w *page, b *fhir.Bundle) {
	r := b.First("ServiceRequest")
	var reason, notes []string
	for c := range r.Children("reasonCode") {
		reason = append(reason, words(c))
	}
	for n := range r.Children("note") {
		notes = append(notes, n.Child("text").Text())
	}
	w.section("Reason for referral", reason)
	w.section("Clinical question and history", notes)
	w.section("Diagnoses and problems", conditions(b))
	w.section("Examination and observations", observations(b))
	w.section("Procedures", each(b, "Procedure", func(e fhir.Element) string {
		return joined(", ", words(e.Child("code")), e.Child("performedDateTime").Text(), noted(e))
	}))
	w.section("Allergies", each(b, "AllergyIntolerance", allergy))
	w.section("Medication", each(b, "MedicationStatement", func(e fhir.Element) string { return words(e.Child("medicationCodeableConcept")) }))
	w.section("Photographs and documents", enclosed(b))
	w.section("Consent for clinical photography", each(b, "Consent", func(e fhir.Element) string { return e.At("provision.type").Text() }))
}

// page is text under headings; a section without content is left out with its heading.
type page struct{ strings.Builder }

func (w *page) line(s string) {
	w.WriteString(s)
	w.WriteByte('\n')
}

func (w *page) section(heading string, lines []string) {
	begun := false
	for _, l := range lines {
		if strings.TrimSpace(l) == "" {
			continue
		}
		if !begun {
			w.line("")
			w.line(strings.ToUpper(heading))
			begun = true
		}
		w.line(l)
	}
}

func patient(p fhir.Element) []string {
	if !p.OK() {
		return nil
	}
	lines := []string{
		labelled("Name", name(p.Child("name"))),
		labelled("NHS number", identified(p, fhir.SystemNHSNumber)),
		labelled("Date of birth", p.Child("birthDate").Text()),
		labelled("Gender", p.Child("gender").Text()),
	}
	for a := range p.Children("address") {
		lines = append(lines, labelled("Address", address(a)))
	}
	for t := range p.Children("telecom") {
		lines = append(lines, labelled("Contact", t.Child("value").Text()))
	}
	return lines
}

func referrer(b *fhir.Bundle) []string {
	e := b.Resolve(b.First("ServiceRequest").At("requester.reference").Text())
	if !e.OK() {
		return nil
	}
	person, organisation := e, e
	if e.Type().Name == "PractitionerRole" {
		person = b.Resolve(e.At("practitioner.reference").Text())
		organisation = b.Resolve(e.At("organization.reference").Text())
	}
	var lines []string
	if person.OK() && person.Type().Name == "Practitioner" {
		lines = append(lines, labelled("Name", name(person.Child("name"))))
	}
	if organisation.OK() && organisation.Type().Name == "Organization" {
		lines = append(lines, labelled("Organisation", organisation.Child("name").Text()),
			labelled("ODS code", identified(organisation, fhir.SystemODSOrganisation)))
	}
	return lines
}

func request(b *fhir.Bundle) []string {
	r := b.First("ServiceRequest")
	lines := []string{
		labelled("Priority", strings.ReplaceAll(priority(r), "_", " ")),
		labelled("Date", r.Child("authoredOn").Text()),
		labelled("Specialty", words(r.Child("performerType"))),
	}
	for c := range r.Children("code") {
		lines = append(lines, labelled("Service requested", words(c)))
	}
	return lines
}

func conditions(b *fhir.Bundle) []string {
	return each(b, "Condition", func(c fhir.Element) string {
		return joined(": ", joined(", ", words(c.Child("code")), words(c.Child("bodySite")), c.Child("onsetDateTime").Text()), noted(c))
	})
}

func allergy(a fhir.Element) string {
	var reactions []string
	for r := range a.Children("reaction") {
		for m := range r.Children("manifestation") {
			reactions = append(reactions, words(m))
		}
		reactions = append(reactions, r.Child("description").Text())
	}
	return joined("; ", joined(": ", words(a.Child("code")), joined(", ", reactions...)), labelled("criticality", a.Child("criticality").Text()), noted(a))
}

// noted gives the notes of a resource.
func noted(e fhir.Element) string {
	var all []string
	for n := range e.Children("note") {
		all = append(all, n.Child("text").Text())
	}
	return joined("\n", all...)
}

func observations(b *fhir.Bundle) []string {
	return each(b, "Observation", func(o fhir.Element) string {
		lines := []string{labelled(words(o.Child("code")), value(o))}
		for c := range o.Children("component") {
			lines = append(lines, labelled(words(c.Child("code")), value(c)))
		}
		for i := range o.Children("interpretation") {
			lines = append(lines, words(i))
		}
		return joined("; ", append(lines, words(o.Child("bodySite")), noted(o))...)
	})
}

// enclosed lists the files in order, so that the reader can tell which photo shows what.
func enclosed(b *fhir.Bundle) []string {
	var lines []string
	for owner, att := range attachments(b) {
		lines = append(lines, joined(": ", att.Child("title").Text(), describe(owner)))
	}
	return lines
}

// describe says what a photo or document shows: lesion, view, body site, when.
func describe(e fhir.Element) string {
	taken := e.Child("createdDateTime").Text()
	if taken != "" {
		taken = "taken " + taken
	}
	return joined(", ", labelled("lesion", fhir.OwnExtension(e, "lesion")), fhir.OwnExtension(e, "photo-view"), words(e.Child("bodySite")),
		words(e.Child("type")), e.Child("description").Text(), taken)
}

// each renders the resources of a type, one entry each.
func each(b *fhir.Bundle, resource string, render func(fhir.Element) string) []string {
	var lines []string
	for e := range b.All(resource) {
		lines = append(lines, render(e))
	}
	return lines
}

// words gives a CodeableConcept as text: what was written, else the display, else the code.
func words(c fhir.Element) string {
	if !c.OK() {
		return ""
	}
	for _, path := range []string{"text", "coding.display", "coding.code"} {
		if t := c.At(path).Text(); t != "" {
			return t
		}
	}
	return ""
}

// value gives the value[x] of an Observation or component.
func value(o fhir.Element) string {
	for v := range o.Children("") {
		switch v.Name() {
		case "valueQuantity":
			return quantity(v)
		case "valueCodeableConcept":
			return words(v)
		case "valueRange":
			return joined(" to ", quantity(v.Child("low")), quantity(v.Child("high")))
		case "valuePeriod":
			return joined(" to ", v.Child("start").Text(), v.Child("end").Text())
		case "valueRatio":
			return joined("/", quantity(v.Child("numerator")), quantity(v.Child("denominator")))
		}
		if strings.HasPrefix(v.Name(), "value") {
			return v.Text()
		}
	}
	return ""
}

// quantity gives a Quantity with its unit, or the unit's code where nothing is written.
func quantity(q fhir.Element) string {
	unit := q.Child("unit").Text()
	if unit == "" {
		unit = q.Child("code").Text()
	}
	return joined(" ", q.Child("comparator").Text(), q.Child("value").Text(), unit)
}

func name(n fhir.Element) string {
	if !n.OK() {
		return ""
	}
	if t := n.Child("text").Text(); t != "" {
		return t
	}
	var all []string
	for _, part := range []string{"prefix", "given", "family", "suffix"} {
		for p := range n.Children(part) {
			all = append(all, p.Text())
		}
	}
	return joined(" ", all...)
}

func address(a fhir.Element) string {
	if t := a.Child("text").Text(); t != "" {
		return t
	}
	var all []string
	for l := range a.Children("line") {
		all = append(all, l.Text())
	}
	return joined(", ", append(all, a.Child("city").Text(), a.Child("district").Text(), a.Child("postalCode").Text())...)
}

func labelled(label, text string) string {
	if text == "" {
		return ""
	}
	return joined(": ", label, text)
}

// joined joins what is not empty.
func joined(sep string, all ...string) string {
	var kept []string
	for _, s := range all {
		if s != "" {
			kept = append(kept, s)
		}
	}
	return strings.Join(kept, sep)
}
