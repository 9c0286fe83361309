package mapping_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// TestAReferralGoesThroughHL7Whole: FHIR to REF^I12 and back, over every shipped case that is a request: each element of
// the resources that the message carries comes back with its text. What does not is in lostOnTheWay, with the reason.
func TestAReferralGoesThroughHL7Whole(t *testing.T) {
	missing, compared, cases := map[string]int{}, 0, 0
	example, used := map[string]string{}, map[string]bool{}
	for name, res := range bundles(t) {
		if h := res.Bundle.First("MessageHeader"); !strings.HasPrefix(h.At("eventCoding.display").Text(), "REF^") {
			continue
		}
		cases++
		o := outOptions(t, "REF_I12", res.Files)
		o.Version = "2.6" // has the most: AL1-6 is gone with 2.7
		m, _, err := written(t, res, o)
		if err != nil {
			t.Fatal(name, err)
		}
		back := translate(t, m, throughOptions(t))
		there := elements(back.Bundle)
		for e := range elements(res.Bundle) {
			compared++
			if there[e] {
				continue
			}
			if l := declared(name, e.path); l != "" {
				used[l] = true
				continue
			}
			missing[e.path]++
			example[e.path] = name
		}
	}
	for _, path := range slices.Sorted(maps.Keys(missing)) {
		t.Errorf("%s does not come back, %d times: %s", path, missing[path], example[path])
	}
	for _, l := range lostOnTheWay {
		if !used[l.path] {
			t.Errorf("%s comes back whole: take it from the list (%s)", l.path, l.why)
		}
	}
	if cases == 0 {
		t.Error("no case is a referral")
	}
	t.Logf("%d elements of %d cases compared", compared, cases)
}

func throughOptions(t *testing.T) mapping.Options {
	o := options(t)
	o.Urgency = mapping.UrgencyRule{From: hl7.MustPath("RF1-2.4"), TwoWeekWait: []string{"TWO_WEEK_WAIT"}, Urgent: []string{"URGENT"}, Routine: []string{"ROUTINE"}}
	return o
}

// element is a value and where it stands, without indexes.
type element struct{ path, text string }

var index = regexp.MustCompile(`\[\d+\]`)

// elements gives the values of the resources that a referral carries.
func elements(b *fhir.Bundle) map[element]bool {
	out := map[element]bool{}
	for r := range b.Resources() {
		if !slices.Contains([]string{"ServiceRequest", "Patient", "Practitioner", "PractitionerRole", "Organization", "Condition",
			"AllergyIntolerance", "Observation", "Consent", "Media"}, r.Type().Name) {
			continue
		}
		leaves(r, r.Type().Name, out)
	}
	return out
}

func leaves(e fhir.Element, path string, out map[element]bool) {
	for c := range e.Children("") {
		name := c.Name()
		if name == "id" || name == "meta" || name == "reference" {
			continue
		}
		p := path + "." + name
		if c.Type().Kind == fhir.Primitive {
			out[element{index.ReplaceAllString(p, ""), c.Text()}] = true
			continue
		}
		if url := c.Child("url"); name == "extension" && url.OK() {
			p += "(" + url.Text() + ")"
		}
		leaves(c, p, out)
	}
}

// lostOnTheWay are the elements that do not come back, by pattern: what HL7 v2 has no place for, what another element says
// again, and what the maps out do not carry yet.
var lostOnTheWay = []struct{ path, why string }{
	{`Condition\.code\.coding\..*`, "a third coding: CWE of 2.6 has two, of which the second has no version"},
	{`Condition\.extension\(.*diagnosis-type\)\.valueCodeableConcept\..*(display|system|text)`, "DG1-6 is a code alone"},
	{`.*\.identifier\.assigner\..*`, "EI and CX name one authority, which is the identifier's system"},
	{`.*\.identifier\.type\.text`, "PRD-7.2 is written from the system"},
	{`Condition\.note\.text`, "DG1-4 beside a code: not carried out yet"},
	{`Consent\.identifier\..*`, "not carried out yet (OBX-21)"},
	{`Media\.extension\(.*ed-source\)\..*`, "ED-1 is the gateway's own"},
	{`Media\.note\.text`, "a NTE behind its OBX: not carried out yet"},
	{`(Media|Observation|ServiceRequest)\.status`, "unknown has no code of its own in HL7 0085 and 0283"},
	{`Observation\.code\.(coding\.display|text)`, "the question whether advice may be converted has the gateway's own words"},
	{`Observation\.effectiveDateTime`, "of the same question, which is an element of the request"},
	{`Observation\.interpretation\.(coding\.(display|system)|text)`, "OBX-8 is a code alone before 2.7"},
	{`Organization\.contact\..*`, "CTD: not carried out yet"},
	{`Organization\.name`, "of a place that no PRD names"},
	{`Patient\.address\.text`, "an address that has lines too"},
	{`Patient\.contact\..*`, "NK1: not carried out yet"},
	{`Practitioner(Role)?\..*`, "people of OBR, ORC, AUT and PD1-4: PRD carries the requester and performers alone"},
	{`ServiceRequest\.category\.(coding\.display|text)`, "a specialty's name, whose code is the performer type"},
	{`ServiceRequest\.identifier\.value`, "numbers of an order: the request has one placer number"},
	{`ServiceRequest\.note\.time`, "NTE has no time before 2.6"},
	{`ServiceRequest\.orderDetail\..*`, "OBR-4: the kind of request stands there"},
}

// moreSpeakers are the cases with people beside those of PRD.
var moreSpeakers = []string{"ref-many-people.txtar", "advice.txtar", "ref-authorised.txtar"}

// declared gives the pattern that a lost element is declared by, "" for none.
func declared(name, path string) string {
	for _, l := range lostOnTheWay {
		if people := strings.HasPrefix(l.path, "Practitioner"); people && !slices.Contains(moreSpeakers, name) {
			continue
		}
		if regexp.MustCompile("^(" + l.path + ")$").MatchString(path) {
			return l.path
		}
	}
	return ""
}
