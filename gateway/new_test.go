package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever kind of map is begun: it loads, its case passes, and the rule it proposes is one that loads.
func TestNewMap(t *testing.T) {
	for name, files := range map[string]string{
		"PID[Patient]":            "segments/PID[Patient].yaml cases/PID[Patient].txtar",
		"ZPI[Patient]":            "segments/ZPI[Patient].yaml messages/REF_I12.yaml cases/ZPI[Patient].txtar",
		"ZAL[AllergyIntolerance]": "segments/ZAL[AllergyIntolerance].yaml messages/REF_I12.yaml cases/ZAL[AllergyIntolerance].txtar",
		"PV2[Encounter]":          "segments/PV2[Encounter].yaml messages/REF_I12.yaml cases/PV2[Encounter].txtar",
		"CX[Identifier]":          "datatypes/CX[Identifier].yaml cases/CX[Identifier].txtar",
		"Patient[PID]":            "segments/Patient[PID].yaml cases/Patient[PID].txtar",
		"Patient[ZPI]":            "segments/Patient[ZPI].yaml messages/Bundle[REF_I12].yaml cases/Patient[ZPI].txtar",
		"Identifier[CX]":          "datatypes/Identifier[CX].yaml cases/Identifier[CX].txtar",
		"ADT_A01":                 "messages/ADT_A01.yaml cases/ADT_A01.txtar",
		"ZRF_Z01":                 "messages/ZRF_Z01.yaml cases/ZRF_Z01.txtar",
		"Bundle[RRI_I12]":         "messages/Bundle[RRI_I12].yaml cases/Bundle[RRI_I12].txtar",
		"Bundle[ZRI_Z02]":         "messages/Bundle[ZRI_Z02].yaml cases/Bundle[ZRI_Z02].txtar",
		"ConsentQuestion":         "tables/ConsentQuestion.yaml cases/ConsentQuestion.txtar",
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "maps")
			var want strings.Builder
			for f := range strings.FieldsSeq(files) {
				want.WriteString(filepath.Join(dir, filepath.FromSlash(f)) + "\n")
			}
			if out, errs, code := called(t, "new", "map", name, "--maps", dir); code != 0 || out != want.String() {
				t.Fatalf("%d %s %s, want %s", code, out, errs, want.String())
			}
			if out, errs, code := called(t, "lint", dir); code != 0 {
				t.Errorf("lint: %s %s", out, errs)
			}
			if out, errs, code := called(t, "test", dir); code != 0 || out != "1 passed, 0 failed\n" {
				t.Errorf("test: %d %s %s", code, out, errs)
			}
			propose(t, filepath.Join(dir, strings.Fields(files)[0]))
			if out, errs, code := called(t, "lint", dir); code != 0 {
				t.Errorf("what it proposes does not load: %s %s", out, errs)
			}
			_, errs, code := called(t, "new", "map", name, "--maps", dir)
			if code != 1 || !strings.Contains(errs, "is there already") {
				t.Errorf("a second time: %d %s", code, errs)
			}
		})
	}
}

// A second map is asked for at the end of the message's file that is there; where that ends with something else,
// nothing is written and it is said what to write.
func TestNewMapBesideAnother(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "maps")
	for _, name := range []string{"ZPI[Patient]", "ZXX[Patient]", "OBX[Media-Mine]"} {
		if out, errs, code := called(t, "new", "map", name, "--maps", dir); code != 0 {
			t.Fatalf("%s: %d %s %s", name, code, out, errs)
		}
	}
	file := filepath.Join(dir, "messages", "REF_I12.yaml")
	b, err := os.ReadFile(file)
	if err != nil || !strings.HasSuffix(string(b), "\n  - patient: Patient <- ZPI[Patient]\n  - patient: Patient <- ZXX[Patient]\n  - photos: Media <- OBX[Media-Mine]\n") {
		t.Errorf("%v: %s", err, b)
	}
	if out, errs, code := called(t, "test", dir); code != 0 || out != "3 passed, 0 failed\n" {
		t.Errorf("%d %s %s", code, out, errs)
	}
	other := string(b) + "checks:\n  - RF1-6: a number of the sender\n    when: RF1-6.1 == \"\"\n    severity: warning\n"
	if err := os.WriteFile(file, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs, code := called(t, "new", "map", "ZYY[Patient]", "--maps", dir)
	if after, err := os.ReadFile(file); code != 1 || !strings.Contains(errs, "resources are not the last") || !strings.Contains(errs, "- patient: Patient <- ZYY[Patient]") || err != nil || string(after) != other {
		t.Errorf("%d %s; %v %s", code, errs, err, after)
	}
	if _, err := os.Stat(filepath.Join(dir, "segments", "ZYY[Patient].yaml")); err == nil {
		t.Error("half of it is written")
	}
}

// propose puts the rule or code that a starter proposes into force.
func propose(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text, begin := string(b), ""
	for _, key := range []string{"# rules:\n#   - ", "# codes:\n#   "} {
		if strings.Contains(text, key) {
			begin = key
		}
	}
	if begin == "" {
		return // of a message: its maps are the site's to name
	}
	live := strings.NewReplacer("# rules:\n#   - ", "rules:\n  - ", "# codes:\n#   ", "codes:\n  ").Replace(text)
	if err := os.WriteFile(file, []byte(live), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What no starter can be made of is refused, and leaves nothing behind; what is there stays.
func TestNewMapRefuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "maps")
	for name, want := range map[string]struct {
		code int
		text string
	}{
		"Foo[Bar]":            {2, "one side is an HL7 segment"},
		"PID":                 {2, "PID is a segment"},
		"a b":                 {2, "want FROM[TO]"},
		"ADT_A04":             {2, "ADT^A04 has the map ADT_A01"},
		"XPN[HumanName-Ours]": {1, "never used"},
	} {
		_, errs, code := called(t, "new", "map", name, "--maps", dir)
		if code != want.code || !strings.Contains(errs, want.text) {
			t.Errorf("%s: %d %s, want %d %s", name, code, errs, want.code, want.text)
		}
		_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				t.Errorf("%s leaves %s", name, path)
			}
			return nil
		})
	}
	own := folder(t, map[string]string{"cases/PID[Patient].txtar": "ours"})
	if _, _, code := called(t, "new", "map", "PID[Patient]", "--maps", own); code != 1 {
		t.Errorf("a case that is there: %d", code)
	}
	if b, err := os.ReadFile(filepath.Join(own, "cases", "PID[Patient].txtar")); err != nil || string(b) != "ours" {
		t.Errorf("it is touched: %v %s", err, b)
	}
	if _, err := os.Stat(filepath.Join(own, "segments", "PID[Patient].yaml")); err == nil {
		t.Error("the map is left without its case")
	}
}
