package cases_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/cases"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/maps"
)

const referral = `A referral with a photo.
-- in.hl7 --
MSH|^~\&|EMIS|Y06601|DERMGATE|RXX01|20261124101500||REF^I12^REF_I12|C1|P|2.4
RF1|P|R^Routine^HL70280|DERM^Dermatology^L|||REF1^EMIS|20261124101500
PRD|RP^Referring Provider^HL70286|Okafor^Ngozi^^^Dr|||||G5612908^GMP
PID|1||9990001014^^^NHS^NH||Testcase^Rosalind||19680412|2
OBR|1|REF1^EMIS||SKINLESION^Skin lesion^L
OBX|1|ED|OVERVIEW^Overview photo^L||^IM^JPEG^Base64^${arm}||||||F
ZZZ|1|x
`

func options() mapping.Options {
	return mapping.Options{Source: "map", Kind: mapping.KindRule{From: hl7.MustPath("RF1-3.1"), Referral: []string{"DERM"}}}
}

// shippedPhoto is a small JPEG.
func shippedPhoto(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile("../testdata/golden/photo1.jpg")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// written puts a case and its photo into a folder of their own.
func written(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "case.txtar")
	for name, b := range map[string][]byte{path: []byte(text), filepath.Join(dir, "arm.jpg"): shippedPhoto(t)} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func ran(t *testing.T, path string) cases.Came {
	t.Helper()
	set, err := mapping.Load(maps.FS)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cases.Read(os.DirFS(filepath.Dir(path)), filepath.Base(path))
	if err != nil {
		t.Fatal(err)
	}
	came, err := c.Run(set, options())
	if err != nil {
		t.Fatal(err)
	}
	return came
}

func update(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, ran(t, path).Updated(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A case that has its input alone gets all that comes of it; a change anywhere in it is a difference then.
func TestUpdateFillsANewCase(t *testing.T) {
	path := written(t, referral)
	update(t, path)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\n-- want.json --\n{\n", `"resourceType": "Media"`, "\n-- want.issues --\n", "\n-- want.unmapped --\n", "\nZZZ-1[1].1\nZZZ-2[1].1\n"} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("the new case lacks %q:\n%s", want, b)
		}
	}
	if diff := ran(t, path).Diff(); diff != "" {
		t.Errorf("it fails at once: %s", diff)
	}
	wrong := bytes.Replace(b, []byte(`"female"`), []byte(`"male"`), 1)
	path = written(t, string(wrong))
	came := ran(t, path)
	if diff := came.Diff(); !strings.Contains(diff, "want.json") {
		t.Errorf("no difference is seen: %q", diff)
	}
	if line, what := came.Fault(); line != 1+bytes.Count(wrong[:bytes.Index(wrong, []byte(`"male"`))], []byte("\n")) || !strings.Contains(what, "want.json") {
		t.Errorf("fault at line %d: %s", line, what)
	}
}

// The way out is part of a case, in any version, with the photo by its name; trouble on it is an issue.
func TestMessagesOut(t *testing.T) {
	path := written(t, referral+"-- want.REF_I12.hl7 --\n-- want.REF_I12@2.3.hl7 --\n-- want.XXX_X01.hl7 --\n-- want.issues --\n")
	update(t, path)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"|REF^I12^REF_I12|DG00000001|P|2.4|", "|DG00000001|P|2.3|", "^image^jpeg^Base64^${arm}|", "-- want.XXX_X01.hl7 --\n-- want.issues --\n", "error: no map writes this message"} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("lacks %q:\n%s", want, b)
		}
	}
}

// A Bundle may be the input, and a refusal the outcome.
func TestInputs(t *testing.T) {
	for in, want := range map[string]string{
		"-- in.json --\n{}\n-- want.issues --\n":                               "error: ",
		"-- in.json --\n{\"resourceType\":\"Patient\"}\n-- want.issues --\n":   "error: Patient: in.json must hold a Bundle\n",
		"-- in.hl7 --\nnothing\n-- want.json --\nnothing\n-- want.issues --\n": "error: ",
	} {
		path := written(t, in)
		update(t, path)
		if b, _ := os.ReadFile(path); !bytes.Contains(b, []byte("-- want.issues --\n"+want)) {
			t.Errorf("%s gives\n%s", in, b)
		}
	}
}

func TestNoCase(t *testing.T) {
	for text, want := range map[string]string{
		"-- in.hl7 --\n-- wanted.json --\n":       "wanted.json: no part of a case",
		"-- in.hl7 --\n-- issues --\n":            "issues: no part of a case",
		"-- message.hl7 --\n":                     "no case: neither in.hl7 nor in.json",
		"":                                        "no case: neither in.hl7 nor in.json",
		"-- in.hl7 --\n-- in.json --\n":           "one of in.hl7 and in.json",
		"-- want.json --\n":                       "one of in.hl7 and in.json",
		"-- in.hl7 --\nOBX|1|ED|||${leg}\n":       "in.hl7: ${leg}: want one file leg.* beside the case, there are 0",
		"-- in.hl7 --\n-- want.REF_I12@.hl7 --\n": "want.REF_I12@.hl7: no part of a case",
	} {
		_, err := cases.Read(os.DirFS(filepath.Dir(written(t, text))), "case.txtar")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
