package mapping_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/maps"
)

// site loads maps of a site over the shipped ones.
func site(files map[string]string) (*mapping.Set, error) {
	layer := fstest.MapFS{}
	for name, text := range files {
		layer[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return mapping.Load(maps.FS, layer)
}

// A site's map takes the place of a shipped one, and its rule that of a shipped rule, whatever of the shipped maps
// is out of use by that.
func TestSiteReplacesShipped(t *testing.T) {
	set, err := site(map[string]string{
		"segments/PID[Patient].yaml": "map: PID[Patient]\nrules:\n  - PID-5 -> name: XPN[HumanName]\n",
		"segments/AL1[AllergyIntolerance].yaml": "map: AL1[AllergyIntolerance]\nextend: true\nrules:\n" +
			"  - (\"resolved\") -> clinicalStatus.coding[0].code: code\n    set: {system: $AllergyClinical}\n",
		"segments/Bundle[MSH].yaml": "map: Bundle[MSH]\nextend: true\nrules:\n  - (\"T\") -> MSH-11.1: string\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	res, err := set.ToFHIR(message(t, "MSH|^~\\&|PAS|RXX01|D|E|20261126090000||ADT^A28^ADT_A05|1|P|2.4\n"+
		"PID|1||9990001014^^^NHS^NH||Testcase^Rosalind||19680412|2\nAL1|1|DA|LATEX^Latex^L"), options(t))
	if err != nil {
		t.Fatal(err)
	}
	bundle := string(compact(t, res.Bundle.Root))
	for text, want := range map[string]bool{`"family":"Testcase"`: true, `"gender"`: false, `"code":"resolved"`: true, `"code":"active"`: false} {
		if strings.Contains(bundle, text) != want {
			t.Errorf("%s: want %t in %s", text, want, bundle)
		}
	}
}

// What a site itself wrote for nothing is a fault as ever.
func TestSiteForNothing(t *testing.T) {
	t.Parallel()
	for _, files := range []map[string]string{
		{"tables/Colours.yaml": "table: Colours\ncodes: {R: red}\n"},
		{"segments/ZPI[Patient].yaml": "map: ZPI[Patient]\nrules:\n  - ZPI-1[1] -> maritalStatus.text: string\n"},
		{"names.yaml": "extensions:\n  mine: {url: https://example.nhs.uk/mine, value: string}\n"},
		{"segments/PID[Patient].yaml": "map: PID[Patient]\nextend: true\nrules:\n  - (\"male\") -> gender: code\n  - (\"other\") -> gender: code\n"},
		{"segments/Bundle[MSH].yaml": "map: Bundle[MSH]\nextend: true\nrules:\n  - (\"T\") -> MSH-11.1: string\n  - (\"D\") -> MSH-11.1: string\n"},
	} {
		if _, err := site(files); err == nil || !strings.Contains(err.Error(), "is never used") && !strings.Contains(err.Error(), "never writes") {
			t.Errorf("%v: %v", files, err)
		}
	}
}

// A condition on the map's own segment is about that one, wherever the rule reads: the second of two OBX, not the first
// that the order has.
func TestConditionIsOfItsOwnSegment(t *testing.T) {
	set, err := site(map[string]string{"segments/OBX[Observation].yaml": "map: OBX[Observation]\nextend: true\nrules:\n" +
		"  - OBR-4.1 -> method.text: string\n    when: OBX-3.1 == \"B\"\n"})
	if err != nil {
		t.Fatal(err)
	}
	res, err := set.ToFHIR(message(t, byReference+"\nOBR|2|||Z\nOBX|1|ST|A||a||||||F\nOBX|2|ST|B||b||||||F"), options(t))
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for o := range res.Bundle.All("Observation") {
		got += o.Child("code").Child("coding").Child("code").Text() + o.Child("method").Child("text").Text() + " "
	}
	if !strings.HasSuffix(got, "A BZ ") {
		t.Errorf("methods by the wrong observation: %q", got)
	}
}
