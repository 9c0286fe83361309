package fhir

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/mapping/issue"
)

const patient = `{"resourceType":"Patient","id":"p1","extension":[{"url":"http://x/y","valueDecimal":1.50}],"identifier":[{"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990001014"}],"active":true,"name":[{"family":"Testcase","given":["Ros",null],"_given":[null,{"extension":[{"url":"http://x/z","valueString":"q"}]}]}],"gender":"female","birthDate":"1968-04-12","_birthDate":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/patient-birthTime","valueDateTime":"1968-04-12T10:00:00Z"}]},"deceasedBoolean":false}`

func TestWhatIsReadIsWrittenAgain(t *testing.T) {
	for _, in := range []string{
		patient,
		`{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"urn:uuid:0f0c7a30-0000-4000-8000-000000000001","resource":` + patient + `}]}`,
		`{"resourceType":"Observation","contained":[{"resourceType":"Practitioner","id":"x"}],"status":"final","code":{"text":"size"},"performer":[{"reference":"#x"}],"valueQuantity":{"value":7.10,"unit":"mm"}}`,
		`{"resourceType":"Parameters","parameter":[{"name":"r","resource":{"resourceType":"Patient","id":"a"}}]}`,
	} {
		e, issues := Read([]byte(in), ReadOptions{})
		if len(issues) > 0 {
			t.Errorf("%.60s: %v", in, issues)
			continue
		}
		out, err := AppendJSON(nil, e)
		if err != nil || string(out) != in {
			t.Errorf("wrote\n%s\nwant\n%s (%v)", out, in, err)
		}
		if l := Validate(e); len(l) > 0 {
			t.Errorf("%.60s: %v", in, l)
		}
	}
}

func TestHostileJSONIsRefusedWithItsPlace(t *testing.T) {
	deep := `{"resourceType":"Observation","component":` + strings.Repeat(`[{"extension":`, 10_000)
	for in, where := range map[string]string{
		"":                          "line 1",
		"[]":                        "line 1",
		`{"resourceType":"Patient"`: "line 1",
		"\xef\xbb\xbf" + patient:    "line 1",
		patient + "x":               "line 1",
		`{"resourceType":"Patient","id":"a","id":"b"}`:                      "Patient.id",
		`{"resourceType":"Patient","ID":"a"}`:                               "Patient.ID",
		`{"resourceType":"Patient","birthdate":"2000-01-01"}`:               "Patient.birthdate",
		`{"resourceType":"Patient","active":"true"}`:                        "Patient.active",
		`{"resourceType":"Patient","multipleBirthInteger":NaN}`:             "line 1",
		`{"resourceType":"Patient","name":[{"family":"\ud800"}]}`:           "line 1",
		`{"resourceType":"Patient","name":{"family":"x"}}`:                  "Patient.name",
		`{"resourceType":"Patient","name":[]}`:                              "Patient.name",
		`{"resourceType":"Patient","contact":[{}]}`:                         "Patient.contact[0]",
		`{"resourceType":"Wizard"}`:                                         "resourceType",
		deep:                                                                "line 1",
		`{"resourceType":"Patient","extension":` + strings.Repeat("[", 1e5): "line 1",
	} {
		_, issues := Read([]byte(in), ReadOptions{})
		w := issues.Worst()
		if w == nil || !strings.HasPrefix(w.Where, where) {
			t.Errorf("%.70q: got %v, want an error at %s", in, issues, where)
		}
	}
}

func TestValidateFindsWhatIsWrong(t *testing.T) {
	for in, want := range map[string]string{
		`{"resourceType":"ServiceRequest","status":"active","intent":"order"}`:                                    "ServiceRequest.subject: required",
		`{"resourceType":"ServiceRequest","status":"actve","intent":"order","subject":{"reference":"Patient/1"}}`: "ServiceRequest.status: a code outside",
		`{"resourceType":"ServiceRequest","status":"active","intent":"order","subject":{"reference":"Media/1"}}`:  "ServiceRequest.subject.reference: may not point at a Media",
		`{"resourceType":"Patient","birthDate":"2000-02-30"}`:                                                     "Patient.birthDate: not of the form",
		`{"resourceType":"Patient","deceasedBoolean":true,"deceasedDateTime":"2000"}`:                             "Patient.deceasedDateTime: a choice given twice",
		`{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Media","status":"completed","content":{"url":"x"},"subject":{"reference":"urn:uuid:0f0c7a30-0000-4000-8000-000000000009"}}}]}`: "Bundle.entry[0].resource.subject.reference: leads to no entry",
		`{"resourceType":"Media","status":"completed"}`:                                                         "Media.content: required",
		`{"resourceType":"Observation","status":"final","code":{"text":"a"},"subject":{"reference":"#nobody"}}`: "Observation.subject.reference: no contained",
	} {
		e, issues := Read([]byte(in), ReadOptions{NoJudge: true})
		if issues.Worst() != nil {
			t.Fatalf("%s: %v", in, issues)
		}
		l := Validate(e)
		if len(l) == 0 || !strings.HasPrefix(l[0].Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", in, l, want)
		}
	}
}

func TestPhotosAreStreamedAsBase64(t *testing.T) {
	tree := NewTree()
	bin, err := tree.NewResource("Binary")
	if err != nil {
		t.Fatal(err)
	}
	photo := bytes.Repeat([]byte{0xff, 0xd8, 1}, 30_000)
	if err := bin.Set("contentType", "image/jpeg"); err != nil {
		t.Fatal(err)
	}
	if err := bin.SetData("data", Data{Size: int64(len(photo)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(photo)), nil }}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := WriteJSON(&out, bin); err != nil {
		t.Fatal(err)
	}
	whole, err := AppendJSON(nil, bin)
	if err != nil || !bytes.Equal(whole, out.Bytes()) {
		t.Fatalf("streamed and whole writing differ (%v)", err)
	}
	e, issues := Read(whole, ReadOptions{})
	if issues.Worst() != nil {
		t.Fatal(issues)
	}
	if got := e.Child("data").Text(); len(got) != len(photo)/3*4 || !base64Text(got) {
		t.Errorf("read %d characters back", len(got))
	}
}

func TestEveryKindHasAWireFace(t *testing.T) {
	for _, k := range issue.Kinds() {
		if OutcomeCode(k) == "" || wire[k].status == 0 {
			t.Errorf("%s has none", k)
		}
	}
}

func TestNHSNumbers(t *testing.T) {
	for n, want := range map[string]bool{"9990548609": true, "9990001014": true, "9990001015": false, "999000101X": false, "": false, "9312201101": false} {
		if ValidNHSNumber(n) != want {
			t.Errorf("%s: want %v", n, want)
		}
	}
}

func TestSchemaKnowsWhatTheSpecificationSays(t *testing.T) {
	sr, _ := R4().Resource("ServiceRequest")
	status, _ := sr.Element("status")
	if !status.Allows("on-hold") || status.Allows("held") || status.Min != 1 {
		t.Errorf("status: %+v", status)
	}
	for _, name := range []string{"HumanName", "CodeableConcept", "Period", "dateTime", "Attachment", "Annotation", "Quantity", "Address", "ContactPoint", "Identifier", "Reference", "code", "base64Binary"} {
		if _, ok := R4().Datatype(name); !ok {
			t.Errorf("no data type %s", name)
		}
	}
	obs, _ := R4().Resource("Observation")
	if len(obs.Choices("value")) != 11 {
		t.Errorf("Observation.value[x] has %d types, want 11", len(obs.Choices("value")))
	}
	if _, ok := obs.Element("valueString"); !ok {
		t.Error("no valueString")
	}
	for _, n := range R4().ResourceNames() {
		if _, ok := R4().Resource(n); !ok {
			t.Errorf("%s", n)
		}
	}
}
