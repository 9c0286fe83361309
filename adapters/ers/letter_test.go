package ers

import (
	"os"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// everything is a request with one of each clinical resource and value.
const everything = `{"resourceType":"Bundle","type":"message","entry":[
 {"fullUrl":"urn:uuid:1","resource":{"resourceType":"ServiceRequest","status":"active","intent":"order","priority":"routine","subject":{"reference":"urn:uuid:2"},
  "requester":{"reference":"urn:uuid:3"},"code":{"coding":[{"code":"advice-and-guidance"}]},"reasonCode":[{"coding":[{"code":"1","display":"Rash"}]}]}},
 {"fullUrl":"urn:uuid:2","resource":{"resourceType":"Patient","name":[{"text":"Zoë Testpatient"}],"address":[{"text":"1 Example Street"}],"telecom":[{"value":"0113 496 0000"}]}},
 {"fullUrl":"urn:uuid:3","resource":{"resourceType":"Practitioner","name":[{"family":"Example","given":["Ann","B"]}]}},
 {"fullUrl":"urn:uuid:4","resource":{"resourceType":"Condition","subject":{"reference":"urn:uuid:2"},"code":{"text":"Psoriasis"},"bodySite":[{"text":"elbow"}],"onsetDateTime":"2020","note":[{"text":"Since childhood"}]}},
 {"fullUrl":"urn:uuid:5","resource":{"resourceType":"Observation","status":"final","code":{"text":"Itch"},"valueString":"line one\nline two","note":[{"text":"worse at night"}]}},
 {"fullUrl":"urn:uuid:6","resource":{"resourceType":"Observation","status":"final","code":{"text":"Bleeds"},"valueBoolean":true,"interpretation":[{"text":"abnormal"}]}},
 {"fullUrl":"urn:uuid:7","resource":{"resourceType":"Observation","status":"final","code":{"text":"Skin type"},"valueCodeableConcept":{"text":"III"},"bodySite":{"text":"arm"}}},
 {"fullUrl":"urn:uuid:8","resource":{"resourceType":"Observation","status":"final","code":{"text":"Size"},"valueRange":{"low":{"value":3,"unit":"mm"},"high":{"value":5,"code":"mm"}},"component":[{"code":{"text":"Width"},"valueQuantity":{"comparator":"<","value":4,"unit":"mm"}}]}},
 {"fullUrl":"urn:uuid:9","resource":{"resourceType":"Observation","status":"final","code":{"text":"Seen"},"valuePeriod":{"start":"2026-01","end":"2026-02"}}},
 {"fullUrl":"urn:uuid:10","resource":{"resourceType":"Observation","status":"final","code":{"text":"Titre"},"valueRatio":{"numerator":{"value":1},"denominator":{"value":128}}}},
 {"fullUrl":"urn:uuid:11","resource":{"resourceType":"Procedure","status":"completed","subject":{"reference":"urn:uuid:2"},"code":{"text":"Biopsy"},"performedDateTime":"2025-12-01"}},
 {"fullUrl":"urn:uuid:12","resource":{"resourceType":"AllergyIntolerance","patient":{"reference":"urn:uuid:2"},"code":{"text":"Penicillin"},"criticality":"high","reaction":[{"manifestation":[{"text":"Hives"}],"description":"at once"}]}},
 {"fullUrl":"urn:uuid:13","resource":{"resourceType":"MedicationStatement","status":"active","subject":{"reference":"urn:uuid:2"},"medicationCodeableConcept":{"text":"Methotrexate 10 mg weekly"}}},
 {"fullUrl":"urn:uuid:14","resource":{"resourceType":"DocumentReference","status":"current","type":{"text":"Histology report"},"description":"from 2025","content":[{"attachment":{"title":"report.pdf"}}]}}]}`

func TestTheLetterSaysEverything(t *testing.T) {
	root, issues := fhir.Read([]byte(everything), fhir.ReadOptions{})
	if issues.Worst() != nil {
		t.Fatal(issues)
	}
	got := Letter(&fhir.Bundle{Root: root})
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile("testdata/letter.txt", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/letter.txt")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("the letter changed (UPDATE=1 accepts it):\n%s", got)
	}
	question := Question(&fhir.Bundle{Root: root})
	if !strings.HasSuffix(strings.TrimSpace(string(got)), question) || strings.Contains(question, "Testpatient") {
		t.Errorf("the question is not the letter's clinical part:\n%s", question)
	}
}
