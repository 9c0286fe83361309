package flow

import (
	"slices"
	"strings"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// addAnswer brings the news of an answer into the Bundle of its request: the Task, the texts, the letters, and those of its
// photos that travel. Its subject and focus become the request's own resources.
func (d *decision) addAnswer(b, answer *fhir.Bundle, travel []pathway.Photo) error {
	request, patient := fullURL(b.First("ServiceRequest")), fullURL(b.First("Patient"))
	booked := answer.First("Appointment")
	actors := map[string]bool{} // of an appointment, but for the patient
	for p := range booked.Children("participant") {
		if actor := p.At("actor.reference").Text(); actor != fullURL(answer.First("Patient")) {
			actors[actor] = true
		}
	}
	var files []string
	err := copyEntries(b, answer, func(url string, r fhir.Element) bool {
		switch name := r.Type().Name; name {
		case "DocumentReference", "Media":
			if fhir.IsOriginal(r) || name == "Media" && !carries(travel, url) { // of the answer: the other side has it
				return false
			}
			files = append(files, url)
			return true
		case "Task", "Communication", "Appointment":
			return true
		default:
			return actors[url] || slices.Contains(parties, name) && !b.Resolve(url).OK()
		}
	})
	if err != nil {
		return err
	}
	w := writer{}
	enclose(&w, b, files)
	for t := range b.All("Task") {
		repoint(&w, t, "focus", request)
		repoint(&w, t, "for", patient)
	}
	for c := range b.All("Communication") {
		repoint(&w, c, "basedOn", request)
		repoint(&w, c, "subject", patient)
	}
	here := map[string]string{fullURL(answer.First("ServiceRequest")): request, fullURL(answer.First("Patient")): patient}
	for r := range b.Resources() {
		if name := r.Type().Name; name == "Appointment" || name == "Communication" || slices.Contains(files, fullURL(r)) {
			settle(b, r, here)
		}
	}
	for _, ph := range travel {
		if ph.From != "" && !ph.Document && w.err == nil && slices.Contains(files, ph.Media) {
			w.err = d.derivative(b, ph)
		}
	}
	if w.err == nil && booked.OK() && !b.First("Task").OK() { // which says where the request stands now
		w.err = d.caseTask(b)
	}
	return w.err
}

func carries(photos []pathway.Photo, media string) bool {
	return slices.ContainsFunc(photos, func(ph pathway.Photo) bool { return ph.Media == media })
}

func repoint(w *writer, e fhir.Element, name, url string) {
	ref := e.Child(name)
	if !ref.OK() {
		ref = w.add(e, name)
	}
	w.set(ref, "reference", url)
}

// settle makes a resource that was copied into the request's Bundle name the request's own resources, and drops references
// to what stayed behind: with all that says no more without them.
func settle(b *fhir.Bundle, r fhir.Element, here map[string]string) {
	var stale []fhir.Element
	var walk func(e fhir.Element)
	walk = func(e fhir.Element) {
		for c := range e.Children("") {
			ref := c.Child("reference")
			if !ref.OK() {
				walk(c)
				continue
			}
			if to, ok := here[ref.Text()]; ok {
				ref.SetText(to)
			}
			if text := ref.Text(); !strings.Contains(text, "://") && !strings.HasPrefix(text, "#") && !b.Resolve(text).OK() {
				stale = append(stale, ref)
			}
		}
	}
	walk(r)
	for _, e := range stale {
		up := e.Parent()
		for e.Remove(); up != r && up.Empty(); e.Remove() {
			e, up = up, up.Parent()
		}
	}
}
