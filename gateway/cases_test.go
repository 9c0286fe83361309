package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/issue"
)

// siteMap adds to the shipped map of PID: the first rule is for what no message here has.
const siteMap = `map: PID[Patient]
extend: true
rules:
  - PID-30 -> deceasedBoolean: boolean
    when: PID-29 == "never"
  - ("true") -> active: boolean
`

const siteCaseText = `-- in.hl7 --
MSH|^~\&|PAS|RXX01|DERMGATE|RXX01|20261124101500||ADT^A28^ADT_A05|Z1|P|2.4
EVN|A28|20261124101500
PID|1||9990001014^^^NHS^NH||Testcase^Rosalind||19680412|2
PV1|1|N
`

// called runs the program.
func called(t *testing.T, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, stdio{strings.NewReader(""), &o, &e})
	return o.String(), e.String(), code
}

// folder writes files by name into a folder of their own.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// `gateway test DIR` takes the maps of the folder with its cases, fills new ones, and tells which rules none runs.
func TestTestVerb(t *testing.T) {
	dir := folder(t, map[string]string{"segments/PID[Patient].yaml": siteMap, "cases/z1.txtar": siteCaseText, "cases/other.txtar": "-- script --\n"})
	if out, errs, code := called(t, "test", "--update", dir); code != 0 || out != "1 passed, 0 failed\n" {
		t.Fatalf("%d %s %s", code, out, errs)
	}
	name := filepath.Join(dir, "cases", "z1.txtar")
	b, err := os.ReadFile(name)
	if err != nil || !strings.Contains(string(b), `"active": true`) {
		t.Fatalf("the folder's maps are not used: %v %s", err, b)
	}
	out, errs, code := called(t, "test", "--coverage", dir)
	pid := filepath.Join(dir, "segments", "PID[Patient].yaml")
	missed := pid + ":4:5: no case runs PID-30 -> deceasedBoolean: boolean\n"
	if code != 0 || !strings.HasPrefix(out, pid+"  1/2\n"+missed) || !strings.HasSuffix(out, "1 of 2 rules run, 50 %\n1 passed, 0 failed\n") {
		t.Errorf("coverage: %d %s %s", code, out, errs)
	}
	if _, _, code := called(t, "test", "--at-least", "50", dir); code != 0 {
		t.Errorf("50 %% are enough and it ends with %d", code)
	}
	if out, _, code := called(t, "test", "--at-least", "51", dir); code != 1 || !strings.Contains(out, missed) {
		t.Errorf("too few rules run: %d %s", code, out)
	}
	if out, _, code := called(t, "test", "--shipped", "--coverage", dir); code != 0 || !strings.Contains(out, "maps/segments/RF1[Task].yaml") {
		t.Errorf("with the shipped maps: %d %s", code, out)
	}
	if err := os.WriteFile(name, []byte(strings.Replace(string(b), `"female"`, `"male"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _, code := called(t, "test", dir); code != 1 || !strings.Contains(out, "FAIL "+name+"\nwant.json (-want +got):") || !strings.HasSuffix(out, "0 passed, 1 failed\n") {
		t.Errorf("a case that fails: %d %s", code, out)
	}
	out, _, code = called(t, "test", "--json", "--coverage", dir)
	var got testRun
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 1 || len(got.Failed) != 1 || got.Failed[0].File != name || got.Coverage.Run != 1 ||
		got.Coverage.Files[0].Missed[0] != (missing{4, 5, "PID-30 -> deceasedBoolean: boolean"}) {
		t.Errorf("--json: %v %d %s", err, code, out)
	}
	codes := folder(t, map[string]string{"tables/ConsentQuestion.yaml": "table: ConsentQuestion\nextend: true\ncodes: {IMGCONS: asked}\n", "z1.txtar": siteCaseText})
	if out, _, code := called(t, "test", "--update", "--at-least", "100", codes); code != 0 || !strings.Contains(out, "0 of 0 rules run, 100 %\n") {
		t.Errorf("a site of codes alone: %d %s", code, out)
	}
	if _, errs, code := called(t, "test", t.TempDir()); code != 1 || !strings.Contains(errs, "no case") {
		t.Errorf("an empty folder: %d %s", code, errs)
	}
	if _, errs, code := called(t, "test", "--what", dir); code != 2 {
		t.Errorf("wrong usage: %d %s", code, errs)
	}
}

// The shipped cases pass under the verb as they do under go test.
func TestShippedCases(t *testing.T) {
	out, errs, code := called(t, "test", "--coverage", "../mapping/testdata/golden")
	if code != 0 || !strings.Contains(out, "maps/segments/PID[Patient].yaml") {
		t.Errorf("%d %s %s", code, out, errs)
	}
}

// TestMapInCharacterSets: a message is read in the set of its source, and written in that of its destination, or as flags say.
func TestMapInCharacterSets(t *testing.T) {
	config := filepath.Join(folder(t, map[string]string{"gateway.yaml": "site: {name: A, ods: RXX01}\nsources:\n  - {name: pas, kind: hl7http, charset: CP1252, kind_of_case: {from: RF1-3.1, advice: [AG]}}\n" +
		"destinations:\n  - {name: epr, kind: mllp, address: 127.0.0.1:2580, message: REF_I12, version: \"2.3\", charset: 8859/1, receiver: {app: EPR, facility: RXX01}}\n"}), "gateway.yaml")
	const head, pid = "MSH|^~\\&|PAS|RXX01|DERMGATE|RXX01|20261124101500||ADT^A28^ADT_A05|Z1|P|2.4\rEVN|A28|20261124101500\r", "PID|1||9990001014^^^NHS^NH||Test|\r"
	in := head + strings.Replace(pid, "Test", "O\x92Brien", 1)
	for _, args := range [][]string{{"-c", config}, {"--charset", "CP1252"}} {
		if out, errs, code := verb(t, in, append([]string{"map"}, args...)...); code != 0 || !strings.Contains(out, "O’Brien") {
			t.Errorf("%v: %d %s %s", args, code, out, errs)
		}
	}
	if _, errs, code := verb(t, in, "map"); code != 1 || !strings.Contains(errs, "error: PID-5[1].1: bytes that are no characters") {
		t.Errorf("of a source that says nothing: %d %s", code, errs)
	}
	bundle, _, _ := verb(t, head+strings.Replace(pid, "Test", "Zoë", 1), "map")
	for want, args := range map[string][]string{
		"|2.3|||AL|NE|GBR|8859/1\r":        {"--destination", "epr", "-c", config},
		"|2.5|||AL|NE|GBR|CP1252\r":        {"--destination", "epr", "-c", config, "--version", "2.5", "--charset", "CP1252"},
		"|2.4|||AL|NE|GBR|8859/15\r":       {"--message", "REF_I12", "--charset", "8859/15"},
		"|2.4|||AL|NE|GBR|UNICODE UTF-8\r": {"--message", "REF_I12"},
	} {
		out, errs, code := verb(t, bundle, append([]string{"map", "--to", "hl7"}, args...)...)
		name := "Zo\xeb"
		if strings.Contains(want, "UTF-8") {
			name = "Zoë"
		}
		if code != 0 || !strings.Contains(out, want) || !strings.Contains(out, "||"+name+"\r") {
			t.Errorf("%v: %d %q %s", args, code, out, errs)
		}
	}
	if out, errs, code := verb(t, bundle, "map", "--to", "hl7", "--message", "REF_I12", "--charset", "ASCII"); code != 1 || out != "" || !strings.Contains(errs, "PID-5") {
		t.Errorf("a letter that the set lacks: %d %q %s", code, out, errs)
	}
}

// lint names a site's file as the site does, and a shipped one as traces do.
func TestLintVerb(t *testing.T) {
	dir := folder(t, map[string]string{"tables/AdministrativeSexUK.yaml": "table: AdministrativeSexUK\nextend: true\ncodez: {\"2\": male}\n"})
	fault := filepath.Join(dir, "tables", "AdministrativeSexUK.yaml") + ":3:1: "
	out, errs, code := called(t, "lint", dir)
	if code != 1 || !strings.HasPrefix(out, fault) || !strings.Contains(out, `did you mean "codes"?`) || errs != "" {
		t.Errorf("%d %s %s", code, out, errs)
	}
	out, _, code = called(t, "lint", "--json", dir)
	var got []mapping.Fault
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 1 || len(got) != 1 || got[0].Line != 3 || got[0].Col != 1 || !strings.HasPrefix(fault, got[0].File+":3") {
		t.Errorf("--json: %v %d %s", err, code, out)
	}
	if out, errs, code := called(t, "lint", "--json"); code != 0 || out != "[]\n" || !strings.HasPrefix(errs, "warning: (default):1:1: no destinations") {
		t.Errorf("without a fault: %d %s %s", code, out, errs)
	}
	if out, _, code := called(t, "lint", filepath.Join(dir, "nowhere")); code != 1 || !strings.Contains(out, "nowhere") {
		t.Errorf("a folder that is not there: %d %s", code, out)
	}
}

// map tells what the source's validate and the Bundle's validation find, and explains itself in one object.
func TestMapVerb(t *testing.T) {
	config := filepath.Join(folder(t, map[string]string{"gateway.yaml": "site: {name: A, ods: RXX01}\nsources:\n  - name: pas\n    kind: hl7http\n" +
		"    kind_of_case: {from: RF1-3.1, advice: [AG]}\n    validate: {structure: warn}\n"}), "gateway.yaml")
	const message = "MSH|^~\\&|PAS|RXX01|DERMGATE|RXX01|20261124101500||ADT^A28^ADT_A05|Z1|P|2.4\rEVN|A28|20261124101500\rPID|1||9990001014^^^NHS^NH||Testcase^Rosalind\rPV1|1|N\rFT1|1\rZZZ|1|x\r"
	out, errs, code := verb(t, message, "map", "-c", config)
	if code != 0 || !strings.Contains(errs, "warning: FT1") || !strings.Contains(out, `"resourceType": "Bundle"`) {
		t.Errorf("%d %s %s", code, out, errs)
	}
	out, _, code = verb(t, message, "map", "-c", config, "--explain")
	var got struct {
		Elements []mapping.TracedElement
		Unmapped []string
		Ignored  []mapping.IgnoredLeaf
		Leaves   mapping.Count
		Issues   issue.List
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || len(got.Elements) == 0 || len(got.Issues) == 0 ||
		!slices.Contains(got.Unmapped, "ZZZ-2[1].1") || got.Leaves.Valued != got.Leaves.Mapped+got.Leaves.Ignored+got.Leaves.Unmapped ||
		len(got.Unmapped) != got.Leaves.Unmapped || len(got.Ignored) != got.Leaves.Ignored {
		t.Errorf("--explain: %v %d %s", err, code, out)
	}
	for _, wrong := range [][]string{{"--to", "xml"}, {"--to", "hl7", "--explain"}, {"--source", "nobody"}, {"--charset", "klingon"}, {"--to", "hl7", "--charset", "SHIFT-JIS"},
		{"--destination", "epr"}, {"--to", "hl7", "--destination", "nobody"}, {"--to", "hl7", "--source", "pas"}} {
		if _, _, code := verb(t, message, append([]string{"map", "-c", config}, wrong...)...); code != 2 {
			t.Errorf("%v: exit %d", wrong, code)
		}
	}
	maps := folder(t, map[string]string{"segments/PID[Patient].yaml": siteMap})
	if out, _, code := verb(t, message, "map", "--maps", maps); code != 0 || !strings.Contains(out, `"active": true`) {
		t.Errorf("--maps: %d %s", code, out)
	}
	bundle, _, _ := verb(t, message, "map")
	if out, _, code := verb(t, bundle, "map", "--to", "hl7", "--message", "REF_I12", "--version", "2.3"); code != 0 || !strings.Contains(out, "|2.3|") || !strings.Contains(out, "PID|1||9990001014^^^NHS^NH") {
		t.Errorf("--to hl7: %d %s", code, out)
	}
	if out, errs, code := verb(t, strings.Replace(message, "PID|1|", "PID|1||X^^^RXX|", 1)+"PID|2||9990001022^^^NHS^NH\r", "map"); code != 1 || out != "" || !strings.Contains(errs, "PID[2]: a second patient") {
		t.Errorf("two patients: %d %s %s", code, out, errs)
	}
	if out, errs, code := verb(t, "MSH|^~\\&|PAS|RXX01|DERMGATE|RXX01|20261124101500||ADT^A28^ADT_A05|Z2|P|2.4\rEVN|A28|20261124101500\r", "map"); code != 1 || !strings.Contains(out, `"resourceType": "Bundle"`) || !strings.Contains(errs, "error: PID: ") {
		t.Errorf("a message with an error and a translation: %d %s %s", code, out, errs)
	}
}

// A note is told at the site's line and is no fault.
func TestLintNotes(t *testing.T) {
	dir := folder(t, map[string]string{"tables/ConsentQuestion.yaml": "table: ConsentQuestion\nextend: true\ncodes: {PHOTOCONSENT: clinical-photography}\n"})
	file := filepath.Join(dir, "tables", "ConsentQuestion.yaml")
	out, errs, code := called(t, "lint", dir)
	if want := file + ":3:9: note: table ConsentQuestion gives clinical-photography for PHOTOCONSENT already\n"; code != 0 || out != want || errs != "no faults\n" {
		t.Errorf("%d %s%s\nwant %s", code, out, errs, want)
	}
	if out, _, code := called(t, "lint", "--json", dir); code != 0 || !strings.Contains(out, `"note":true`) {
		t.Errorf("%d %s", code, out)
	}
}

// TestMistakesAtTheCommandLine: what is easily got wrong is told with what to do instead.
func TestMistakesAtTheCommandLine(t *testing.T) {
	const header = "MSH|^~\\&|EMIS|Y06601|DERMGATE|RXX01|20261124101500||ADT^A28^ADT_A05|A1|P|2.4\nPID|1||9990001014^^^NHS^NH||Testcase\n"
	dir := folder(t, map[string]string{
		"maps/tables/ConsentQuestion.yaml": "table: ConsentQuestion\nextend: true\ncodes: {MINE: clinical-photography}\n",
		"maps/bare.txtar":                  "Nothing wanted.\n-- in.hl7 --\n" + header,
		"maps/typo.txtar":                  "A part mistyped.\n-- in.hl7 --\n" + header + "-- want.issue --\n",
		"maps/right.txtar":                 "As it must be.\n-- in.hl7 --\n" + header + "-- want.issues --\n",
		"maps/refused.txtar":               "Refused, unseen.\n-- in.json --\n{\"resourceType\": \"Patient\"}\n-- want.RRI_I12.hl7 --\nMSA|AA\n",
		"maps/notes.txtar":                 "no case",
		"m.hl7":                            header,
		"b.json":                           "{\"resourceType\": \"Bundle\", \"type\": \"message\"}",
	})
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, tt := range []struct {
		args []string
		code int
		says []string
	}{
		{[]string{"test", at("maps")}, 1, []string{"bare.txtar\nthe case wants nothing", "typo.txtar\nwant.issue: no part of a case: did you mean \"want.issues\"?",
			"error: Patient: in.json must hold a Bundle", "notes.txtar: left out: no case", "1 passed, 3 failed"}},
		{[]string{"test", at("maps/right.txtar")}, 0, []string{"1 passed, 0 failed"}},
		{[]string{"test", at("map")}, 1, []string{"there is no such folder of maps"}},
		{[]string{"lint", at("m.hl7")}, 1, []string{"a file: want the folder of the maps"}},
		{[]string{"map", at("b.json")}, 1, []string{"JSON where MSH is expected", "with --to hl7"}},
		{[]string{"map", "--to", "hl7", at("m.hl7")}, 1, []string{"with --to fhir"}},
		{[]string{"map", "--message", "REF_I12", at("m.hl7")}, 2, []string{"--message is for what goes out: with --to hl7"}},
		{[]string{"map", "--to", "hl7", "--version", "9", at("b.json")}, 2, []string{"--version 9: want one of HL7 v2"}},
		{[]string{"new"}, 2, []string{"want gateway new map NAME"}},
		{[]string{"new", "map"}, 2, []string{"want one NAME"}},
		{[]string{"new", "map", "ZPI[Patiant]"}, 2, []string{"did you mean Patient?"}},
		{[]string{"new", "map", "pid[Patient]"}, 2, []string{"did you mean PID?"}},
		{[]string{"new", "map", "PID"}, 2, []string{"PID is a segment: say what it becomes, such as PID[Patient]"}},
	} {
		out, errs, code := called(t, tt.args...)
		if code != tt.code {
			t.Errorf("%v: exit %d, want %d\n%s%s", tt.args, code, tt.code, out, errs)
		}
		for _, text := range tt.says {
			if !strings.Contains(out+errs, text) {
				t.Errorf("%v does not say %q:\n%s%s", tt.args, text, out, errs)
			}
		}
	}
}
