package fhir

import (
	"fmt"
	"math/rand/v2"
)

// generator makes random valid elements after the schema.
type generator struct{ *rand.Rand }

// fill gives an element its required children and some of the others; deep down only what is required.
func (g generator) fill(e Element, depth int) {
	choices := map[string]bool{}
	for _, d := range e.Type().Elements {
		must := d.Min > 0 || g.must(e, d)
		if !must && (depth > 3 || g.IntN(4) > 0) || g.avoid(e, d) {
			continue
		}
		if d.Choice != "" {
			if choices[d.Choice] {
				continue
			}
			choices[d.Choice] = true
		}
		for n := 0; n == 0 || d.Repeats() && n < g.IntN(3); n++ {
			g.child(e, d, depth)
		}
	}
}

// must names what invariants require.
func (g generator) must(e Element, d *ElementDef) bool {
	switch e.Type().Name + "." + d.Name {
	case "Extension.valueCode", "Parameters.parameter.valueString", "ContactPoint.system", "Quantity.system", "Attachment.contentType",
		"Organization.name", "Consent.policyRule", "Patient.contact.name", "ServiceRequest.code",
		"Appointment.start", "Appointment.end", "Appointment.participant.type", "Reference.display", "CodeableConcept.text", "Narrative.div":
		return true
	}
	return d.Name == "id" && e.Type().Kind == Resource
}

// avoid names what invariants forbid beside what is there, and what google/fhir loses.
func (g generator) avoid(e Element, d *ElementDef) bool {
	switch e.Type().Name + "." + d.Name {
	case "Extension.extension", "Reference.reference", "Period.end", "Appointment.cancelationReason", "Observation.dataAbsentReason",
		"Parameters.parameter.part", "Bundle.type":
		return d.Name != "type"
	}
	return d.Type.Kind == AnyResource
}

func (g generator) child(e Element, d *ElementDef, depth int) {
	if d.Type.Kind != Primitive {
		c, err := e.AddDef(d)
		if err != nil {
			panic(err)
		}
		g.fill(c, depth+1)
		if c.n().first == 0 {
			g.some(c, depth)
		}
		return
	}
	if err := e.SetDef(d, g.text(d)); err != nil {
		panic(err)
	}
}

// some gives an element without required children one child: no element is empty.
func (g generator) some(e Element, depth int) {
	for _, d := range e.Type().Elements {
		if d.Name != "id" && d.Type.Kind == Primitive && !g.avoid(e, d) {
			g.child(e, d, depth)
			return
		}
	}
	for _, d := range e.Type().Elements {
		if d.Name != "extension" && d.Name != "modifierExtension" && d.Type.Kind != Primitive && !g.avoid(e, d) {
			g.child(e, d, depth+1)
			return
		}
	}
}

// text gives a value of a primitive's form.
func (g generator) text(d *ElementDef) string {
	if d.Binding != nil {
		return d.Binding.Codes[g.IntN(len(d.Binding.Codes))]
	}
	n := g.IntN(1 << 20)
	pick := func(of ...string) string { return of[g.IntN(len(of))] }
	switch d.Type.Name {
	case "boolean":
		return pick("true", "false")
	case "integer":
		return fmt.Sprint(n - 1<<19)
	case "unsignedInt", "positiveInt":
		return fmt.Sprint(n + 1)
	case "decimal":
		return pick("0", "-1.50", "3.14159265358979323846", "1e3", "100.0") // spellings are kept
	// google/fhir writes fractions of a second with three or six digits.
	case "date":
		return pick("2024", "2024-02", "2024-02-29", "1900-01-01")
	case "dateTime":
		return pick("2024", "2024-02", "2024-02-29", "2024-02-29T23:59:59Z", "2024-02-29T00:00:00.500-11:30", "2024-02-29T12:00:00.123456+14:00")
	case "instant":
		return pick("2024-02-29T23:59:59Z", "2024-02-29T00:00:00.500-11:30", "2024-02-29T12:00:00.123456+00:00")
	case "time":
		return pick("00:00:00", "23:59:59", "12:30:00.500")
	case "base64Binary":
		return pick("AAAA", "/+8=", "AQ==")
	case "oid":
		return pick("urn:oid:1.2.3", "urn:oid:2.16.840.1.113883.2.1.4.1")
	case "uuid":
		return fmt.Sprintf("urn:uuid:0f0c7a30-5b1e-4c55-8a53-%012x", n)
	case "id", "code":
		return fmt.Sprintf("c-%d.x", n)
	case "uri", "url", "canonical":
		return pick("http://example.org/a?b=c#d", "urn:x:y", "https://example.org/ValueSet/v|2", "relative/path")
	case "xhtml":
		return `<div xmlns="http://www.w3.org/1999/xhtml"><p>text &lt; more</p></div>`
	}
	return pick("text", "Zoë \"quoted\" \\ back", "line\nline\ttab", "😀 ≥ 6 mm", "</script>")
}
