package flow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// imageSet counts the photos of one lesion, or of a rash, by their view.
type imageSet struct {
	overview, closeUp, dermoscopic int
	unsaid                         int  // photos whose view is not said
	excused                        bool // there is a coded reason for no dermoscopic photo
}

func (s *imageSet) add(view string) {
	switch view {
	case viewOverview:
		s.overview++
	case viewCloseUp:
		s.closeUp++
	case viewDermoscopic:
		s.dermoscopic++
	default:
		s.unsaid++
	}
}

// lacks names what a set lacks (pathway.md §1.4): of a lesion an overview, a close-up and a dermoscopic photo or a coded
// reason for none; of a rash an overview and two close-ups.
func (s imageSet) lacks(rash bool) (out []string) {
	if s.overview < 1 {
		out = append(out, "overview")
	}
	closeUps := 1
	if rash {
		closeUps = 2
	}
	for range closeUps - s.closeUp {
		out = append(out, "close-up")
	}
	if !rash && s.dermoscopic < 1 && !s.excused {
		out = append(out, "dermoscopic photo or coded reason for none")
	}
	return out
}

// images judges the sets of photos that a request brings: what is missing for certain, and what may be missing since
// photos do not say their view. A photo without a lesion's label counts for each.
func (t *Translated) images(rash []string) (missing, unsure []*issue.Issue) {
	sets, names := t.imageSets()
	isRash := asksAboutRash(t.Bundle, rash)
	for i, name := range names {
		s := sets[name]
		lacks := s.lacks(isRash)
		if len(lacks) == 0 {
			continue
		}
		what := "lesion"
		if isRash {
			what = "rash"
		}
		if len(names) > 1 {
			what += fmt.Sprintf(" %d of %d", i+1, len(names))
		}
		at := place(t.Format, "OBX", "Media")
		if s.unsaid >= len(lacks) {
			unsure = append(unsure, issue.New(issue.Required, at, what+": photos do not say their view, so nobody can tell whether there is: "+strings.Join(lacks, ", ")))
			continue
		}
		missing = append(missing, issue.New(issue.Required, at, what+": photos are missing: "+strings.Join(lacks, ", ")))
	}
	return missing, unsure
}

// imageSets gives the photos of each lesion, in the order in which lesions are first named.
func (t *Translated) imageSets() (map[string]*imageSet, []string) {
	sets, names := map[string]*imageSet{}, []string(nil)
	of := func(lesion string) *imageSet {
		if sets[lesion] == nil {
			sets[lesion] = &imageSet{}
			names = append(names, lesion)
		}
		return sets[lesion]
	}
	var shared []string
	for m := range t.Bundle.All("Media") {
		if status := m.Child("status").Text(); status == "entered-in-error" || status == "not-done" {
			continue
		}
		view := fhir.OwnExtension(m, "photo-view")
		if view == "" && coded(m.Child("modality"), fhir.SystemDCM) == dermoscopy {
			view = viewDermoscopic
		}
		if lesion := fhir.OwnExtension(m, "lesion"); lesion != "" {
			of(lesion).add(view)
			continue
		}
		shared = append(shared, view)
	}
	if len(names) == 0 {
		of("")
	}
	for _, name := range names {
		for _, view := range shared {
			sets[name].add(view)
		}
		sets[name].excused = excused(t.Bundle, name)
	}
	return sets, names
}

// dermoscopyCodes are those of an observation that is about dermoscopy and came as FHIR; over HL7 v2 the table PhotoView has
// them, and a site's own.
var dermoscopyCodes = []string{"DERMOSCOPY", "DERMOSCOPIC", "DERMATOSCOPY", "DERMATOSCOPIC", "446078004"}

// excused tells whether a coded reason is given for no dermoscopic photo of a lesion: an Observation about dermoscopy with
// a coded value, or with a reason for having none.
func excused(b *fhir.Bundle, lesion string) bool {
	for o := range b.All("Observation") {
		about := fhir.OwnExtension(o, "lesion")
		if about != "" && about != lesion || fhir.OwnExtension(o, "photo-view") != viewDermoscopic && !hasCode(o.Child("code"), dermoscopyCodes) {
			continue
		}
		for _, name := range []string{"valueCodeableConcept", "dataAbsentReason"} {
			if code := coded(o.Child(name), ""); code != "" && code != "unknown" {
				return true
			}
		}
	}
	return false
}

// asksAboutRash tells whether a request is about a rash, by the codes of what is asked and of its reasons.
func asksAboutRash(b *fhir.Bundle, rash []string) bool {
	r := b.First("ServiceRequest")
	for _, name := range []string{"code", "orderDetail", "reasonCode"} {
		for c := range r.Children(name) {
			if hasCode(c, rash) {
				return true
			}
		}
	}
	for c := range b.All("Condition") {
		if hasCode(c.Child("code"), rash) {
			return true
		}
	}
	return false
}

func hasCode(concept fhir.Element, codes []string) bool {
	for c := range concept.Children("coding") {
		if slices.Contains(codes, strings.ToUpper(c.Child("code").Text())) {
			return true
		}
	}
	return false
}

// wantImages asks for the photos that a request should bring: advice waits for them, a suspected cancer is only warned of.
func (t *Translated) wantImages(rules SourceRules, ask func(c Check, code string, found ...*issue.Issue)) {
	check := rules.Checks.Images
	suspected := t.Facts.Urgency == pathway.TwoWeekWait
	if t.Facts.Kind != pathway.Advice && !suspected {
		return
	}
	if suspected && check != Off {
		check = Warn
	}
	if t.Facts.Photos == 0 {
		text := "advice is asked without a photo"
		if t.Facts.Kind != pathway.Advice {
			text = "a suspected cancer is referred without a photo"
		}
		ask(check, "photos", issue.New(issue.Required, place(t.Format, "OBX", "Media"), text))
		return
	}
	missing, unsure := t.images(rules.Rash)
	if len(missing) > 0 {
		ask(check, "photos", missing...)
	}
	if len(unsure) > 0 && check != Off {
		ask(Warn, "photos", unsure...)
	}
}
