// Package letter writes the referral letter: a PDF made from the Bundle of a request and nothing else, the same bytes for
// the same Bundle. Its headings are those of the PRSB Clinical Referral Information standard (v1.1). Nothing of the
// clinical resources is shortened, summed up or left out: what no heading has a place for stands under "Other information".
package letter

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// Name is the file name of the letter, and MediaType its type.
const (
	Name      = "referral-letter.pdf"
	MediaType = "application/pdf"
)

// section is what stands under a heading: paragraphs, none empty, whose lines may be many.
type section struct {
	heading string
	lines   []string
}

// sections gives those of a letter that have something in them; of the clinical ones alone when that is all that is wanted.
func sections(b *fhir.Bundle, clinicalOnly bool) []section {
	var out []section
	add := func(heading string, lines []string) {
		lines = slices.DeleteFunc(lines, func(l string) bool { return strings.TrimSpace(l) == "" })
		if len(lines) > 0 {
			out = append(out, section{heading, lines})
		}
	}
	add("Patient details", patient(b.First("Patient")))
	add("GP practice", practice(b))
	add("Referrer details", referrer(b))
	add("Referral details", request(b))
	parties := len(out)
	clinical(b, add)
	said := make([]string, 0, len(out))
	for _, s := range out {
		said = append(said, s.heading)
		said = append(said, s.lines...)
	}
	add("Other information", others(b, strings.Join(said, "\n")))
	if clinicalOnly {
		return out[parties:]
	}
	return out
}

func clinical(b *fhir.Bundle, add func(string, []string)) {
	r := b.First("ServiceRequest")
	var reason, notes []string
	for c := range r.Children("reasonCode") {
		reason = append(reason, words(c))
	}
	for n := range r.Children("note") {
		notes = append(notes, n.Child("text").Text())
	}
	add("Reason for referral", reason)
	add("Clinical summary: history and question", notes)
	add("Diagnoses", conditions(b))
	add("Examination findings", observations(b))
	add("Procedures", each(b, "Procedure", func(e fhir.Element) string {
		return joined(", ", words(e.Child("code")), e.Child("performedDateTime").Text(), noted(e))
	}))
	add("Allergies and adverse reactions", each(b, "AllergyIntolerance", allergy))
	add("Medications and medical devices", slices.Concat(each(b, "MedicationStatement", medication), each(b, "MedicationRequest", medication)))
	add("Family history", each(b, "FamilyMemberHistory", relative))
	var told []string
	for q := range b.All("QuestionnaireResponse") {
		told = append(told, answers(q)...)
	}
	add("Questions and answers", told)
	add("Consent for clinical photography", each(b, "Consent", func(e fhir.Element) string { return e.At("provision.type").Text() }))
	add("Attachments", enclosed(b))
}

// Text writes the letter as plain text, for those who read the request and not its layout.
func Text(b *fhir.Bundle) string { return plain(sections(b, false)) }

func plain(all []section) string {
	var w strings.Builder
	for i, s := range all {
		if i > 0 {
			w.WriteByte('\n')
		}
		w.WriteString(strings.ToUpper(s.heading) + "\n")
		for _, l := range s.lines {
			w.WriteString(l + "\n")
		}
	}
	return strings.TrimSpace(w.String())
}

// Question writes the text of an A&G request: the clinical sections, without those that e-RS fills from the patient index
// and the sender's role. What does not fit into most characters is in the letter, whole, and the text says so; attached
// tells that the letter must go with it. A section is in the text whole or not at all.
func Question(b *fhir.Bundle, most int) (text string, attached bool) {
	all := sections(b, true)
	if text = plain(all); utf8.RuneCountInString(text) <= most {
		return text, false
	}
	const head = "This request is longer than fits here. All of it is in the attached letter, " + Name + ". Only there:"
	var left []string
	var in []section
	note := func() string {
		n := head
		for _, h := range left {
			n += "\n- " + h
		}
		return n
	}
	for _, s := range all { // the note has room for every heading
		left = append(left, s.heading)
	}
	room := most - utf8.RuneCountInString(note()) - 2
	left = nil
	for _, s := range all {
		if n := utf8.RuneCountInString(plain([]section{s})) + 2; n <= room {
			in, room = append(in, s), room-n
		} else {
			left = append(left, s.heading)
		}
	}
	return strings.TrimSpace(note() + "\n\n" + plain(in)), true
}
