package letter

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
)

func patient(p fhir.Element) []string {
	if !p.OK() {
		return nil
	}
	lines := []string{
		labelled("Name", name(p.Child("name"))),
		labelled("NHS number", fhir.IdentifierIn(p, fhir.SystemNHSNumber)),
		labelled("Date of birth", p.Child("birthDate").Text()),
		labelled("Gender", p.Child("gender").Text()),
	}
	for a := range p.Children("address") {
		lines = append(lines, labelled("Address", address(a)))
	}
	lines = append(lines, contacts(p)...)
	for c := range p.Children("communication") {
		lines = append(lines, labelled("Language", words(c.Child("language"))))
	}
	return lines
}

func contacts(e fhir.Element) (lines []string) {
	for t := range e.Children("telecom") {
		lines = append(lines, labelled("Contact", t.Child("value").Text()))
	}
	return lines
}

// practice is where the patient is registered.
func practice(b *fhir.Bundle) (lines []string) {
	for g := range b.First("Patient").Children("generalPractitioner") {
		e := b.Resolve(g.Child("reference").Text())
		if e.OK() && e.Type().Name == "Organization" {
			lines = append(lines, organisation(e)...)
		} else {
			lines = append(lines, labelled("Name", g.Child("display").Text()), labelled("ODS code", g.At("identifier.value").Text()))
		}
	}
	return lines
}

func organisation(e fhir.Element) []string {
	return append([]string{labelled("Organisation", e.Child("name").Text()), labelled("ODS code", fhir.IdentifierIn(e, fhir.SystemODSOrganisation))}, contacts(e)...)
}

func referrer(b *fhir.Bundle) []string {
	e := b.Resolve(b.First("ServiceRequest").At("requester.reference").Text())
	if !e.OK() {
		return nil
	}
	person, from := e, e
	if e.Type().Name == "PractitionerRole" {
		person, from = b.Resolve(e.At("practitioner.reference").Text()), b.Resolve(e.At("organization.reference").Text())
	}
	var lines []string
	if person.OK() && person.Type().Name == "Practitioner" {
		lines = append(lines, labelled("Name", name(person.Child("name"))))
		lines = append(lines, contacts(person)...)
	}
	if from.OK() && from.Type().Name == "Organization" {
		lines = append(lines, organisation(from)...)
	}
	return lines
}

func request(b *fhir.Bundle) []string {
	r := b.First("ServiceRequest")
	lines := []string{
		labelled("Priority", urgency(r)),
		labelled("Date", r.Child("authoredOn").Text()),
		labelled("Specialty", words(r.Child("performerType"))),
	}
	for c := range r.Children("code") {
		lines = append(lines, labelled("Service requested", words(c)))
	}
	return lines
}

// urgency gives the e-RS priority as it is stated, else that of FHIR.
func urgency(r fhir.Element) string {
	if p := fhir.OwnExtension(r, "ers-priority"); p != "" {
		return strings.ReplaceAll(p, "_", " ")
	}
	return r.Child("priority").Text()
}

func medication(e fhir.Element) string {
	var dose []string
	for _, part := range []string{"dosage", "dosageInstruction"} {
		for d := range e.Children(part) {
			dose = append(dose, d.Child("text").Text())
		}
	}
	what := words(e.Child("medicationCodeableConcept"))
	if what == "" {
		what = e.At("medicationReference.display").Text()
	}
	return joined("; ", what, joined(", ", dose...), noted(e))
}

// answers gives the answers of a questionnaire, each with its question.
func answers(q fhir.Element) (lines []string) {
	for i := range q.Children("item") {
		question := i.Child("text").Text()
		if question == "" {
			question = i.Child("linkId").Text()
		}
		var said []string
		for a := range i.Children("answer") {
			said = append(said, value(a))
			lines = append(lines, answers(a)...)
		}
		lines = append(append(lines, labelled(question, joined(", ", said...))), answers(i)...)
	}
	return lines
}

func relative(e fhir.Element) string {
	var had []string
	for c := range e.Children("condition") {
		had = append(had, joined(": ", words(c.Child("code")), noted(c)))
	}
	return joined("; ", joined(": ", words(e.Child("relationship")), joined(", ", had...)), noted(e))
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
	for owner, att := range Attachments(b) {
		lines = append(lines, joined(": ", att.Child("title").Text(), Describe(owner)))
	}
	return lines
}

// Describe says what a photo or document shows: lesion, view, body site, when.
func Describe(e fhir.Element) string {
	taken := e.Child("createdDateTime").Text()
	if taken != "" {
		taken = "taken " + taken
	}
	return joined(", ", labelled("lesion", fhir.OwnExtension(e, "lesion")), fhir.OwnExtension(e, "photo-view"), words(e.Child("bodySite")),
		words(e.Child("type")), e.Child("description").Text(), taken)
}

// Attachments gives every file that the Bundle names, with the resource that owns it.
func Attachments(b *fhir.Bundle) iter.Seq2[fhir.Element, fhir.Element] {
	return func(yield func(owner, att fhir.Element) bool) {
		for m := range b.All("Media") {
			if !yield(m, m.Child("content")) {
				return
			}
		}
		for d := range b.All("DocumentReference") {
			if !yield(d, d.At("content.attachment")) {
				return
			}
		}
	}
}

// about are resources that say who and how, and nothing clinical.
var about = []string{"MessageHeader", "Provenance", "Task", "Organization", "Practitioner", "PractitionerRole", "HealthcareService", "Location", "Endpoint", "Binary"}

// others gives the words of the clinical resources that are not said yet, with the type of whose they are.
func others(b *fhir.Bundle, said string) (lines []string) {
	for r := range b.Resources() {
		kind := r.Type().Name
		if slices.Contains(about, kind) {
			continue
		}
		for text := range unsaid(r) {
			if l := kind + ": " + text; !strings.Contains(said, text) && !slices.Contains(lines, l) {
				lines = append(lines, l)
			}
		}
	}
	return lines
}

// wording are the elements that hold words for people, beside those of values.
var wording = []string{"text", "display", "description", "comment", "patientInstruction", "summary", "reason", "title", "note"}

// unsaid gives what people wrote anywhere in a resource, in its order.
func unsaid(e fhir.Element) iter.Seq[string] {
	return func(yield func(string) bool) { eachWord(e, yield) }
}

func eachWord(e fhir.Element, yield func(string) bool) bool {
	for c := range e.Children("") {
		leaf := true
		for range c.Children("") {
			leaf = false
			break
		}
		worded := slices.Contains(wording, c.Name()) || c.Name() == "valueString" || c.Name() == "valueMarkdown" || c.Name() == "answer"
		switch text := strings.TrimSpace(c.Text()); {
		case !leaf && c.Name() != "extension" && c.Name() != "meta":
			if !eachWord(c, yield) {
				return false
			}
		case leaf && worded && text != "":
			if !yield(text) {
				return false
			}
		}
	}
	return true
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
		case "valueCoding":
			return cmp.Or(v.Child("display").Text(), v.Child("code").Text())
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
