package flow

import (
	"slices"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// Where a Patient says what they need of who writes to them: UK Core's contact preference, FHIR's interpreterRequired,
// communication and security labels, and our own codes, which HL7 v2 is mapped to (maps/segments/OBX[Patient].yaml).
const (
	contactPreference   = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-ContactPreference"
	interpreterRequired = "http://hl7.org/fhir/StructureDefinition/patient-interpreterRequired"
	contactNeed         = fhir.ExtensionBase + "contact-need"
)

// preferred are the codes of UKCore-PreferredContactMethod and UKCore-PreferredWrittenCommunicationFormat.
var preferred = map[string]string{"1": pathway.NeedLetter, "2": pathway.NeedVisit, "3": pathway.NeedTelephone, "5": pathway.NeedTextphone, "6": pathway.NeedProxy,
	"7": pathway.NeedSign, "8": pathway.NeedNoPhone, "11": pathway.NeedLargePrint, "12": pathway.NeedBraille, "13": pathway.NeedAudio}

// needsOf reads what a patient needs, as codes of pathway.
func needsOf(patient fhir.Element) (out []string) {
	if !patient.OK() {
		return nil
	}
	add := func(need string) {
		if need != "" && !slices.Contains(out, need) {
			out = append(out, need)
		}
	}
	for s := range patient.At("meta").Children("security") { // v3-Confidentiality, as PDS marks a sensitive record
		if slices.Contains([]string{"R", "V", "REDACTED"}, s.Child("code").Text()) {
			add(pathway.NeedRestricted)
		}
	}
	for x := range patient.Children("extension") {
		switch x.Child("url").Text() {
		case contactNeed:
			add(coded(x.Child("valueCodeableConcept"), ""))
		case interpreterRequired:
			if x.Child("valueBoolean").Text() == "true" {
				add(pathway.NeedInterpreter)
			}
		case contactPreference:
			for part := range x.Children("extension") {
				add(preferred[coded(part.Child("valueCodeableConcept"), "")])
			}
		}
	}
	add(languageOf(patient))
	return out
}

// languageOf gives the need of a language that is not English: the one preferred, or the only one.
func languageOf(patient fhir.Element) string {
	code, n := "", 0
	for c := range patient.Children("communication") {
		language := coded(c.Child("language"), "")
		if language == "" && c.At("language.text").OK() {
			language = "und" // stated in words alone: BCP 47's code for that nobody knows which
		}
		if c.Child("preferred").Text() == "true" {
			code, n = language, 1
			break
		}
		code, n = language, n+1
	}
	if n != 1 || code == "" || code == "en" || strings.HasPrefix(code, "en-") {
		return ""
	}
	return pathway.NeedLanguage + code
}

// learn takes from a message what its patient needs. What was queued for them and does not keep to that is stopped before it
// goes (before.go).
func (d *decision) learn(patient fhir.Element) {
	if d.c.Learn(needsOf(patient)) {
		d.tell("observed", "the patient's contact needs are known: how they are told goes by them", "")
	}
}

// Plans are the routing plans of NHS Notify for patients whom the usual one does not suit, by what it is for. Without one
// a person tells them.
type Plans struct {
	App        string // the NHS App alone
	Letter     string
	LargePrint string
	Braille    string
	Audio      string
}

// appAlone is NHS Notify's global plan that has no other channel than the NHS App.
const appAlone = freeText + "1"

// way is how a patient is told: a plan and a language; or why a machine does not tell them.
type way struct{ plan, language, why string }

// Why a notice does not go, whatever the plan.
const (
	restricted  = "the record is restricted (S-flag): nothing is sent by machine"
	unsafePhone = "their phone is not safe"
)

// wayTo obeys what is known of a patient (docs/notices.md). The first rule that keeps a machine from it says why.
func (d *decision) wayTo(e Endpoint, patient fhir.Element, o *pathway.Obligation) way {
	c := d.c
	w := way{plan: e.RoutingPlan, language: c.Language()}
	person := func(why string) way { return way{why: why} }
	years := age(patient.Child("birthDate").Text(), d.at.In(d.p.Site.Zone))
	switch {
	case c.Died:
		return person(theyDied)
	case c.Needing(pathway.NeedRestricted):
		return person(restricted)
	case years < 0:
		return person("their birth date is not known: they may be a child")
	case years < 16:
		return person("the patient is under 16: tell whoever has parental responsibility, as the practice knows them")
	case c.Needing(pathway.NeedProxy):
		return person("they are told through a proxy: make sure who that is")
	case w.language != "" && !e.Templates.Speaks(o.Notice, w.language):
		return person("they need another language than English, and there is no text in it")
	case c.Needing(pathway.NeedInterpreter) && w.language == "":
		return person("they need an interpreter, and the language is not known")
	}
	for _, n := range []struct{ need, why string }{
		{pathway.NeedSign, "they use sign language"}, {pathway.NeedEasyRead, "they need easy read"}, {pathway.NeedTextphone, "they want to be told by textphone"},
		{pathway.NeedTelephone, "they want to be told by phone"}, {pathway.NeedVisit, "they want to be told face to face"},
	} {
		if c.Needing(n.need) {
			return person(n.why)
		}
	}
	for _, n := range []struct{ need, plan, why string }{
		{pathway.NeedBraille, e.Plans.Braille, "they need Braille"}, {pathway.NeedAudio, e.Plans.Audio, "they need audio"},
		{pathway.NeedLargePrint, e.Plans.LargePrint, "they need large print"}, {pathway.NeedUnsafePhone, e.Plans.Letter, unsafePhone},
		{pathway.NeedLetter, e.Plans.Letter, "they want a letter"},
	} {
		switch {
		case !c.Needing(n.need):
		case n.plan == "":
			return person(n.why + ", and no routing plan for that is configured")
		default:
			w.plan = n.plan
			return w
		}
	}
	if years >= 18 && !c.Needing(pathway.NeedNoPhone) {
		return w
	}
	if w.plan = e.appPlan(); w.plan == "" { // of who is 16 or 17, the telephone and mailbox in the records may be a parent's
		return person("they must not be told by SMS or e-mail, and no routing plan for the NHS App alone is configured")
	}
	return w
}

// appPlan gives the plan that has the NHS App alone.
func (e Endpoint) appPlan() string {
	switch {
	case e.Plans.App != "":
		return e.Plans.App
	case strings.HasPrefix(e.RoutingPlan, freeText) || e.RoutingPlan == "":
		return appAlone
	}
	return ""
}

// age gives the years of somebody born on a FHIR date; -1 when it is not known to the year. Of a date without a day, or
// without a month, they are as young as they may be.
func age(birth string, at time.Time) int {
	for _, layout := range []string{time.DateOnly, "2006-01", "2006"} {
		born, err := time.Parse(layout, birth)
		if err != nil {
			continue
		}
		switch layout {
		case "2006-01":
			born = born.AddDate(0, 1, -1)
		case "2006":
			born = born.AddDate(1, 0, -1)
		}
		years := at.Year() - born.Year()
		if at.Month() < born.Month() || at.Month() == born.Month() && at.Day() < born.Day() {
			years--
		}
		return max(years, 0)
	}
	return -1
}

// withoutAddress takes the address of a patient whose record is restricted out of a Bundle that leaves, with those of
// their relatives, who may live with them, and the narratives that could repeat it (Caldicott; pathway.md §5).
func (d *decision) withoutAddress(b *fhir.Bundle) {
	if !d.c.Needing(pathway.NeedRestricted) {
		return
	}
	for r := range b.Resources() {
		switch r.Type().Name {
		case "Patient":
			for c := range r.Children("contact") {
				remove(c, "address")
			}
			remove(r, "address", "text")
			removeExtension(r, fhir.ExtensionBase+"v2-county-code")
		case "RelatedPerson":
			remove(r, "address", "text")
		}
	}
}

func remove(e fhir.Element, names ...string) {
	for _, name := range names {
		for c := e.Child(name); c.OK(); c = e.Child(name) {
			c.Remove()
		}
	}
}

func removeExtension(e fhir.Element, url string) {
	for x := range e.Children("extension") {
		if x.Child("url").Text() == url {
			x.Remove()
			return
		}
	}
}
