package mapping_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/maps"
)

// TestWhatDependsOnTheMessageIsGuarded: a map that loads may still meet a message that makes one of its elements invalid.
// The element goes, its resource stays; the sender is told where, and the leaves are unmapped again.
func TestWhatDependsOnTheMessageIsGuarded(t *testing.T) {
	site := fstest.MapFS{
		"messages/ADT_X.yaml": {Data: []byte(`map: ADT_X
for: [ADT^A60]
resources:
  - header: MessageHeader <- MSH[MessageHeader]
  - patient: Patient <- PID[Patient]
  - visit: Encounter <- PV2[Encounter]
    link: {subject: patient, "location[0].location": ward}
  - ward: Location <- PL[Location]
    each: PV2-1
  - doctors: Practitioner <- PV2[Practitioner]
    each: PV2
  - found: Observation <- OBX[Observation-Sent]
    each: OBX
`)},
		"datatypes/CQ[Quantity-Sent].yaml": {Data: []byte("map: CQ[Quantity-Sent]\nrules:\n  - CQ.1 -> value: decimal\n  - CQ.2.1 -> code: code\n  - CQ.2.3 -> system: system\n")},
		"segments/PV2[Encounter].yaml": {Data: []byte(`map: PV2[Encounter]
rules:
  - ("planned") -> status: code
  - ("AMB") -> class.code: code
  - PV2-8 -> period.start: dateTime
  - PV2-9 -> period.end: dateTime
  - PV2-17 -> location[0].period.start: dateTime
  - PV2-3.1 -> statusHistory[0].status: table(VisitState)
  - PV2-26 -> statusHistory[0].period.start: dateTime
  - PV2-5[1] -> participant[0].type[0].text: string
`)},
		"segments/PV2[Practitioner].yaml": {Data: []byte("map: PV2[Practitioner]\nrules:\n  - PV2-12 -> telecom[0].value: string\n  - PV2-21 -> telecom[0].system: table(TelecomSystem)\n  - PV2-40.2 -> name[0].text: string\n")},
		"segments/OBX[Observation-Sent].yaml": {Data: []byte(`map: OBX[Observation-Sent]
rules:
  - ("final") -> status: code
  - ("x") -> code.text: string
  - OBX-5[1] -> valueQuantity: CQ[Quantity-Sent]
  - OBX-13[1] -> dataAbsentReason.text: string
`)},
	}
	set, err := mapping.Load(maps.FS, site)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		pv2      map[int]string
		obx      string
		gone     string // what the Bundle must not have
		issues   []string
		unmapped []string
	}{
		{name: "whole", pv2: map[int]string{8: "20261124", 9: "20261125", 1: "W1"}},
		{name: "an end before the start", pv2: map[int]string{8: "20261124", 9: "20261123"}, gone: `"end"`,
			issues: []string{"PV2: no Period.end could be made: before the start (per-1)"}, unmapped: []string{"PV2-9[1].1"}},
		{name: "a place that no link fills", pv2: map[int]string{17: "20261124"}, gone: `"location"`,
			issues: []string{"PV2: no Encounter.location could be made: its location is missing"}, unmapped: []string{"PV2-17[1].1"}},
		{name: "a status that is missing", pv2: map[int]string{26: "20261124"}, gone: `"statusHistory"`,
			issues: []string{"PV2: no Encounter.statusHistory could be made: its status is missing"}, unmapped: []string{"PV2-26[1].1"}},
		{name: "a number without a system, of nobody else", pv2: map[int]string{12: "0123"}, gone: `"Practitioner"`,
			issues: []string{"PV2: no ContactPoint could be made: its system is missing"}, unmapped: []string{"PV2-12[1].1"}},
		{name: "a unit without a system", obx: "7^mm&millimetre", gone: `"valueQuantity"`,
			issues: []string{"OBX-5[1]: no Quantity could be made: its system is missing"}, unmapped: []string{"OBX-5[1].1", "OBX-5[1].2.1"}},
		{name: "a reason for a value that is there", obx: "7^mm&&UCUM||||||||lost", gone: `"dataAbsentReason"`,
			issues: []string{"OBX: no Observation.dataAbsentReason could be made: not beside value (obs-6)"}, unmapped: []string{"OBX-13[1].1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fields := make([]string, 41)
			for n, text := range c.pv2 {
				fields[n] = text
			}
			text := "MSH|^~\\&|EMIS|Y06601|DERMGATE|RXX01|20261124101500||ADT^A60|1|P|2.4\rPID|1||||Testcase\rPV2" + strings.Join(fields, "|")
			if c.obx != "" {
				text += "\rOBX|1|CQ|x^y||" + c.obx
			}
			m, err := hl7.Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			res, err := set.ToFHIR(m, options(t))
			if err != nil {
				t.Fatal(err)
			}
			out := string(compact(t, res.Bundle.Root))
			if issues := fhir.Validate(res.Bundle.Root); len(issues) > 0 {
				t.Errorf("%v\n%s", issues, out)
			}
			if c.gone != "" && strings.Contains(out, c.gone) {
				t.Errorf("%s is there: %s", c.gone, out)
			}
			var issues []string
			for _, i := range res.Issues {
				issues = append(issues, i.Error())
			}
			if diff := cmp.Diff(c.issues, issues); diff != "" {
				t.Errorf("issues (-want +got):\n%s", diff)
			}
			for _, want := range c.unmapped {
				if !slices.ContainsFunc(res.Unmapped, func(p hl7.Path) bool { return p.String() == want }) {
					t.Errorf("%s is not among the unmapped: %v", want, res.Unmapped)
				}
			}
		})
	}
}
