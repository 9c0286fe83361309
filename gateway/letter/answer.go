package letter

import (
	"slices"
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// Answer writes what came of a request as a letter, for whoever files documents: a PDF under a title, the same bytes for the
// same Bundle. The words of the answer stand in it whole. The error is a fault of our own.
func Answer(b *fhir.Bundle, title string) ([]byte, error) {
	var all []section
	add := func(heading string, lines []string) {
		lines = slices.DeleteFunc(lines, func(l string) bool { return strings.TrimSpace(l) == "" })
		if len(lines) > 0 {
			all = append(all, section{heading, lines})
		}
	}
	add("Patient details", patient(b.First("Patient")))
	add("GP practice", practice(b))
	add("Asked by", referrer(b))
	var said, by, outcome []string
	for c := range b.All("Communication") {
		for p := range c.Children("payload") {
			said = append(said, p.Child("contentString").Text())
		}
		if who := answeredBy(b, c); !slices.Contains(by, who) {
			by = append(by, who)
		}
	}
	for t := range b.All("Task") {
		for o := range t.Children("output") {
			value := o.Child("valueCode").Text()
			if value == "" {
				value = o.Child("valueString").Text()
			}
			outcome = append(outcome, labelled(o.At("type.coding.code").Text(), strings.ToLower(strings.ReplaceAll(value, "_", " "))))
		}
	}
	add("Answered by", by)
	add("Outcome", outcome)
	add("Answer", said)
	add("Question", questions(b))
	add("Attachments", enclosed(b))
	return write(b, title, all)
}

func answeredBy(b *fhir.Bundle, c fhir.Element) string {
	e := b.Resolve(c.At("sender.reference").Text())
	if e.OK() && e.Type().Name == "PractitionerRole" {
		e = b.Resolve(e.At("practitioner.reference").Text())
	}
	if !e.OK() {
		return ""
	}
	return joined(", ", name(e.Child("name")), c.Child("sent").Text())
}

// questions gives what was asked.
func questions(b *fhir.Bundle) (lines []string) {
	r := b.First("ServiceRequest")
	for c := range r.Children("reasonCode") {
		lines = append(lines, words(c))
	}
	for n := range r.Children("note") {
		lines = append(lines, n.Child("text").Text())
	}
	return append(lines, observations(b)...)
}
