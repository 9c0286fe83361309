package fhir

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/mapping/issue"
)

const patient = `{"resourceType":"Patient","id":"p1"}`

func TestHostileJSONIsRefusedWithItsPlace(t *testing.T) {
	for in, where := range map[string]string{
		"":                                    "line 1, column 1",
		"null":                                "line 1, column 1",
		"[]":                                  "line 1, column 1",
		"\xef\xbb\xbf" + patient:              "line 1, column 1",
		"{\x00\"\x00r\x00":                    "line 1, column 2", // UTF-16
		`{"resourceType":"Patient"`:           "line 1, column 26",
		patient + "x":                         "line 1, column 37",
		patient + "\n" + patient:              "line 2, column 1",
		patient + "\x00":                      "line 1, column 37",
		`{"resourceType":"Patient",}`:         "line 1, column 27",
		`{"resourceType":"Patient" "id":"a"}`: "line 1, column 27",
		`{'resourceType':'Patient'}`:          "line 1, column 2",
		`{"resourceType":"Patient","multipleBirthInteger":NaN}`:           "line 1, column 50",
		`{"resourceType":"Patient","multipleBirthInteger":01}`:            "line 1, column 50",
		`{"resourceType":"Patient","multipleBirthInteger":+1}`:            "line 1, column 50",
		`{"resourceType":"Patient","multipleBirthInteger":1.}`:            "line 1, column 50",
		`{"resourceType":"Patient","multipleBirthInteger":0x10}`:          "line 1, column 50",
		`{"resourceType":"Patient","active":True}`:                        "line 1, column 36",
		`{"resourceType":"Patient","name":[{"family":"\ud800"}]}`:         "line 1, column 46",
		`{"resourceType":"Patient","name":[{"family":"\ud800\u0041"}]}`:   "line 1, column 46",
		`{"resourceType":"Patient","name":[{"family":"\udc00x"}]}`:        "line 1, column 46",
		`{"resourceType":"Patient","name":[{"family":"\u+123"}]}`:         "line 1, column 46",
		`{"resourceType":"Patient","name":[{"family":"\x41"}]}`:           "line 1, column 46",
		"{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"\xff\"}]}": "line 1, column 47",
		"{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"a\nb\"}]}": "line 1, column 47",
		`{"resourceType":"Patient","name":[{"family":"unfinished`:         "line 1, column 56",
		`{"resourceType":"Patient","name":[{"family":"a",]}`:              "line 1, column 49",
		`{"id":"a"}`:                  "line 1, column 10",
		`{"resourceType":7}`:          "line 1, column 17",
		`{"resourceType":"Wizard"}`:   "resourceType",
		`{"resourceType":"Resource"}`: "resourceType",
		`{"resourceType":"Patient","resourceType":"Patient"}`:                "Patient.resourceType",
		`{"resourceType":"Patient","id":"a","id":"b"}`:                       "Patient.id",
		`{"resourceType":"Patient","name":[{"family":"a","family":"b"}]}`:    "Patient.name[0].family",
		`{"resourceType":"Patient","_birthDate":{"id":"a"},"_birthDate":{}}`: "Patient._birthDate",
		`{"resourceType":"Patient","ID":"a"}`:                                "Patient.ID",
		`{"resourceType":"Patient","birthdate":"2000-01-01"}`:                "Patient.birthdate",
		`{"resourceType":"Patient","<script>":"a"}`:                          "Patient.(key)",
		`{"resourceType":"Patient","_name":[{}]}`:                            "Patient._name",
		`{"resourceType":"Patient","active":"true"}`:                         "Patient.active",
		`{"resourceType":"Patient","active":1}`:                              "Patient.active",
		`{"resourceType":"Patient","birthDate":null}`:                        "Patient.birthDate",
		`{"resourceType":"Patient","birthDate":2000}`:                        "Patient.birthDate",
		`{"resourceType":"Patient","birthDate":["2000"]}`:                    "Patient.birthDate",
		`{"resourceType":"Patient","birthDate":""}`:                          "Patient.birthDate",
		`{"resourceType":"Patient","name":{"family":"x"}}`:                   "Patient.name",
		`{"resourceType":"Patient","name":["x"]}`:                            "Patient.name[0]",
		`{"resourceType":"Patient","name":[null]}`:                           "Patient.name[0]",
		`{"resourceType":"Patient","name":[{"given":["a",1]}]}`:              "Patient.name[0].given[1]",
		`{"resourceType":"Patient","name":[{"_given":[null,7]}]}`:            "Patient.name[0]._given[1]",
		`{"resourceType":"Patient","name":[]}`:                               "Patient.name",
		`{"resourceType":"Patient","contact":[{}]}`:                          "Patient.contact[0]",
		`{"resourceType":"Patient","contact":[{"resourceType":"X"}]}`:        "Patient.contact[0].resourceType",
		`{"resourceType":"Patient","contained":[{"resourceType":"Wizard"}]}`: "Patient.contained[0]",
		`{"resourceType":"Patient","contained":["x"]}`:                       "Patient.contained[0]",
		`{"resourceType":"Patient","contained":[{"id":"x"}]}`:                "line 1, column 49",
	} {
		_, issues := Read([]byte(in), ReadOptions{})
		w := issues.Worst()
		if w == nil || w.Where != where {
			t.Errorf("%.70q: got %v, want an error at %s", in, issues, where)
		}
	}
}

func TestMistypedElementsAreSuggested(t *testing.T) {
	_, issues := Read([]byte(`{"resourceType":"Patient","birthdate":"2000-01-01"}`), ReadOptions{})
	if len(issues) != 1 || !strings.HasSuffix(issues[0].Text, "did you mean birthDate?") {
		t.Errorf("got %v", issues)
	}
}

// TestIssuesQuoteNothing looks for the values of bad resources in what is said about them.
func TestIssuesQuoteNothing(t *testing.T) {
	for _, in := range []string{
		`{"resourceType":"Patient","birthDate":"Secretname"}`,
		`{"resourceType":"Patient","gender":"Secretname"}`,
		`{"resourceType":"Patient","Secretname 999":"x"}`,
		`{"resourceType":"Secretname"}`,
		`{"resourceType":"Patient","managingOrganization":{"reference":"#Secretname"}}`,
		`{"resourceType":"Patient","birthDate":Secretname}`,
		`{"resourceType":"Patient","multipleBirthInteger":"Secretname"}`,
	} {
		e, issues := Read([]byte(in), ReadOptions{})
		issues = append(issues, Validate(e)...)
		if len(issues) == 0 || strings.Contains(issues.Error(), "Secretname") {
			t.Errorf("%s: %v", in, issues)
		}
	}
}

// TestHostileSizesTakeLinearTime reads megabytes made to be slow: each is well under a second, and more
// than the limit when quadratic.
func TestHostileSizesTakeLinearTime(t *testing.T) {
	const n = 100_000
	times := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			if strings.Contains(format, "%") {
				fmt.Fprintf(&b, format, i)
			} else {
				b.WriteString(format)
			}
		}
		return b.String()
	}
	many := func(format string) string { return times(n, format) }
	deepSkip := `{"resourceType":"Patient","unknown":` + strings.Repeat("[", n)
	for name, in := range map[string]string{
		"deep arrays":          `{"resourceType":"Patient","extension":` + strings.Repeat("[", n),
		"deep objects":         `{"resourceType":"Patient","extension":` + strings.Repeat(`[{"extension":`, n),
		"deep and skipped":     deepSkip,
		"deep before the type": `{"a":` + strings.Repeat(`{"a":`, n),
		"unknown keys":         `{"resourceType":"Patient",` + many(`"k%d":1`) + `}`,
		"same key":             `{"resourceType":"Patient",` + many(`"id":"a"`) + `}`,
		"long primitive array": `{"resourceType":"Patient","name":[{"given":[` + many(`"a"`) + `],"_given":[` + many(`{"id":"b"}`) + `]}],"active":0}`,
		"against the order":    `{"resourceType":"Patient","link":[` + many(`{"type":"seealso"}`) + `],"name":[` + many(`{"text":"a"}`) + `]}`,
		"entries":              `{"resourceType":"Bundle","type":"message","entry":[` + times(n/4, `{"fullUrl":"urn:x:%d","resource":{"id":"a","resourceType":"Patient","link":[{"other":{"reference":"urn:x:1"},"type":"refer"}]}}`) + `]}`,
		"bad entries":          `{"resourceType":"Bundle","type":"message","entry":[` + many(`{"fullUrl":"  "}`) + `]}`,
		"types at the end":     strings.Repeat(`{"contained":[`, 31) + `{"id":"` + strings.Repeat("a", n) + `","resourceType":"Patient"}` + strings.Repeat(`],"resourceType":"Patient"}`, 31),
	} {
		begun := time.Now()
		e, issues := Read([]byte(in), ReadOptions{NoJudge: true})
		issues = append(issues, Validate(e)...)
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s: %v for %d bytes", name, took, len(in))
		}
		if len(issues) == 0 || len(issues) > 2*mostFaults+1 {
			t.Errorf("%s: %d issues", name, len(issues))
		}
	}
}

func TestNestingLimitIsTheCallers(t *testing.T) {
	in := []byte(`{"resourceType":"Patient","extension":[{"url":"a","extension":[{"url":"b","valueCode":"c"}]}]}`)
	if _, l := Read(in, ReadOptions{MaxNesting: 5}); len(l) > 0 {
		t.Errorf("5 levels: %v", l)
	}
	if _, l := Read(in, ReadOptions{MaxNesting: 4}); len(l) != 1 || l[0].Kind != issue.Structure {
		t.Errorf("4 levels: %v", l)
	}
}

// TestTheJudgeIsAsked lets our own checks pass what google/fhir refuses: the verdict must come through.
func TestTheJudgeIsAsked(t *testing.T) {
	in := []byte(`{"resourceType":"ServiceRequest","status":"active","intent":"order"}`)
	if _, l := Read(in, ReadOptions{NoJudge: true}); len(l) > 0 {
		t.Fatalf("the reader alone: %v", l)
	}
	_, l := Read(in, ReadOptions{})
	if len(l) != 1 || !strings.HasPrefix(l[0].Where, "ServiceRequest") || l[0].Unwrap() == nil {
		t.Errorf("got %v", l)
	}
	in = []byte(`{"resourceType":"Parameters","parameter":[{"name":"a","resource":{"resourceType":"Patient","birthDate":"2000-02-30"}}]}`)
	if _, l = Read(in, ReadOptions{}); len(l) != 1 || l[0].Where != "Parameters.parameter[0].resource.birthDate" {
		t.Errorf("inside Parameters: %v", l)
	}
}

func TestPhotosAreNotShownToTheJudge(t *testing.T) {
	in := `{"resourceType":"Binary","contentType":"image/jpeg","data":"` + strings.Repeat("QUJD", 2<<20) + `"}`
	begun := time.Now()
	e, l := Read([]byte(in), ReadOptions{})
	if len(l) > 0 || len(e.Child("data").Text()) != 8<<20 {
		t.Fatalf("%v", l)
	}
	if l = Validate(e); len(l) > 0 {
		t.Fatal(l)
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("8 MB took %v", took)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(patient))
	f.Add([]byte(`{"resourceType":"Patient","name":[{"given":[null,"a"],"_given":[{"id":"x"}]}],"_birthDate":{"extension":[{"url":"u","valueDecimal":1.50}]}}`))
	f.Add([]byte(`{"resourceType":"Bundle","type":"message","entry":[{"fullUrl":"urn:uuid:0f0c7a30-0000-4000-8000-000000000001","resource":{"contained":[{"id":"a","resourceType":"Device"}],"resourceType":"Observation","subject":{"reference":"#a"}}}]}`))
	f.Add([]byte(`{"resourceType":"Parameters","parameter":[{"name":"\ud83d\ude00\n","resource":{"resourceType":"Binary","data":"AA=="}}]}`))
	f.Add([]byte(`{"resourceType":"Patient","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">a</div>"}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		e, issues := Read(in, ReadOptions{NoJudge: true})
		if issues.Worst() != nil {
			return
		}
		out, err := AppendJSON(nil, e)
		if err != nil {
			t.Fatalf("read but not written: %v", err)
		}
		again, issues := Read(out, ReadOptions{NoJudge: true})
		if len(Validate(e)) > 0 {
			return // what is empty is not written
		}
		if len(issues) > 0 {
			t.Fatalf("our own writing is refused: %v\n%s", issues, out)
		}
		if err := same(e, again); err != nil {
			t.Fatal(err)
		}
	})
}
