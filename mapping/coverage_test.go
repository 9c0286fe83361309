package mapping_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/cases"
	"github.com/dermgate/dermgate/mapping/maps"
)

// shippedCases runs every shipped case with o and notes in Options.Ran what runs.
func shippedCoverage(t *testing.T) *mapping.Coverage {
	t.Helper()
	files, err := filepath.Glob("testdata/golden/*" + cases.Extension)
	if err != nil {
		t.Fatal(err)
	}
	o := options(t)
	o.Ran = &mapping.Coverage{}
	for _, file := range files {
		c, err := cases.Read(os.DirFS("."), filepath.ToSlash(file))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Run(shippedSet(t), o); err != nil {
			t.Fatal(err)
		}
	}
	return o.Ran
}

// TestEveryShippedRuleIsRun: a rule that no case runs is one nobody has seen at work.
func TestEveryShippedRuleIsRun(t *testing.T) {
	ran := shippedCoverage(t)
	for _, r := range shippedSet(t).Rules() {
		if !ran.Has(r) {
			t.Errorf("maps/%s:%d:%d: no case of testdata/golden runs %s", r.File, r.Line, r.Col, r.Text)
		}
	}
}

// Everything a map says is a rule of its own, each told apart from the others by what happens in a message.
func TestCoverageTellsRulesApart(t *testing.T) {
	const map1 = `map: ACK
for: [ZZZ^Z01]
resources:
  - header: MessageHeader <- MSH[MessageHeader-Small]
  - patient: Patient <- PID[Patient-Small]
  - photos: Media <- OBX[Media-Small]
    each: OBX
ignore:
  - MSH-8: not needed
  - MSH-21: not needed
`
	const map2 = `map: PID[Patient-Small]
rules:
  - PID-7 -> birthDate: date
  - PID-8 -> gender: table(AdministrativeSexUK)
  - PID-5[1].1.1 -> name[0].family: string
    when: PID-7 == "x"
checks:
  - PID-7: born too early
    when: PID-7 == "1900"
    severity: warning
  - PID-8: of no sex
    when: PID-8 == "9"
    severity: warning
`
	const map3 = `map: OBX[Media-Small]
rules:
  - ("completed") -> status: code
  - OBX-5[1] -> content: file
`
	set, err := mapping.Load(maps.FS, fstest.MapFS{
		"messages/ZZZ_Z01.yaml": {Data: []byte("map: ZZZ_Z01" + map1[len("map: ACK"):])},
		"segments/MSH[MessageHeader-Small].yaml": {Data: []byte("map: MSH[MessageHeader-Small]\nrules:\n" +
			"  - MSH-9.2 -> eventCoding.code: code\n  - (\"urn:x\") -> source.endpoint: url\n")},
		"segments/PID[Patient-Small].yaml": {Data: []byte(map2)},
		"segments/OBX[Media-Small].yaml":   {Data: []byte(map3)},
	})
	if err != nil {
		t.Fatal(err)
	}
	o := options(t)
	o.Ran = &mapping.Coverage{}
	m := message(t, "MSH|^~\\&|A|B|C|D|20260101|secret|ZZZ^Z01|1|P|2.4\nPID|1||||Testcase||1900|F")
	if _, err := set.ToFHIR(m, o); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"resource header": true, "MSH-9.2 -> eventCoding.code: code": true, `("urn:x") -> source.endpoint: url`: true, "resource patient": true, "resource photos": false, "ignore MSH-8": true, "ignore MSH-21": false,
		"PID-7 -> birthDate: date": true, "PID-8 -> gender: table(AdministrativeSexUK)": true, "PID-5[1].1.1 -> name[0].family: string": false, "check PID-7": true, "check PID-8": false,
		`("completed") -> status: code`: false, "OBX-5[1] -> content: file": false}
	for _, r := range set.Rules() {
		if r.Layer == 0 {
			if o.Ran.Has(r) {
				t.Errorf("%s:%d of the shipped maps has run", r.File, r.Line)
			}
			continue
		}
		ran, known := want[r.Text]
		if !known || ran != o.Ran.Has(r) {
			t.Errorf("%s:%d %s: ran %v", r.File, r.Line, r.Text, o.Ran.Has(r))
		}
		delete(want, r.Text)
	}
	if len(want) > 0 {
		t.Errorf("not among the rules: %v", want)
	}
}
