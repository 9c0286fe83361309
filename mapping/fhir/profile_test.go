package fhir

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/mapping/issue"
)

// TestProfilesOfUKCore holds resources against each kind of constraint: what is found first, "" for nothing.
func TestProfilesOfUKCore(t *testing.T) {
	const (
		uk      = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-"
		nhs     = `{"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990001014"%s}`
		person  = `{"resourceType":"Patient","identifier":[` + nhs + `]}`
		speaks  = `{"resourceType":"%s","communication":[{%s}]}`
		verdict = `,"extension":[{"url":"` + uk + `NHSNumberVerificationStatus","valueCodeableConcept":{"coding":[{"system":"https://fhir.hl7.org.uk/CodeSystem/UKCore-NHSNumberVerificationStatusEngland","code":"%s"}]}}]`
		ill     = `{"resourceType":"Condition","subject":{"display":"x"},"clinicalStatus":{%s}}`
		report  = `{"resourceType":"DiagnosticReport","status":"final","code":{"text":"x"}%s}`
	)
	english := `"language":{"coding":[{"system":"urn:ietf:bcp:47","code":"%s"}]}`
	for in, want := range map[string]string{
		`{"resourceType":"Patient"}`:                                                                                                "",
		fmt.Sprintf(person, ""):                                                                                                     "",
		fmt.Sprintf(person, fmt.Sprintf(verdict, "01")):                                                                             "",
		fmt.Sprintf(person, fmt.Sprintf(verdict, "99")):                                                                             "Patient.identifier[0].extension[0].valueCodeableConcept: a code of the value set UKCore-NHSNumberVerificationStatus is required (UKCore-Patient)",
		fmt.Sprintf(person, `},{"system":"urn:x","value":"9"`):                                                                      "",
		fmt.Sprintf(person, `},{"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990001030"`):                                 "Patient.identifier[1]: more identifier nhsNumber than",
		fmt.Sprintf(person, `,"extension":[{"url":"`+uk+`NHSNumberVerificationStatus","valueString":"verified"}]`):                  "Patient.identifier[0].extension[0].valueString: of a type",
		fmt.Sprintf(person, `,"extension":[{"url":"`+uk+`NHSNumberVerificationStatus","extension":[{"url":"a","valueCode":"b"}]}]`): "Patient.identifier[0].extension[0].value[x]: required",
		strings.Replace(fmt.Sprintf(person, ""), `,"value":"9990001014"`, "", 1):                                                    "Patient.identifier[0].value: required",
		`{"resourceType":"Patient","extension":[{"url":"` + uk + `EthnicCategory","valueCodeableConcept":{"text":"a"}},{"url":"` + uk + `EthnicCategory","valueCodeableConcept":{"text":"b"}}]}`: "Patient.extension[1]: more extension ethnicCategory",
		fmt.Sprintf(speaks, "Patient", fmt.Sprintf(english, "en")):                                                           "",
		fmt.Sprintf(speaks, "Patient", fmt.Sprintf(english, "en-GB")):                                                        "",
		fmt.Sprintf(speaks, "Patient", fmt.Sprintf(english, "en_GB")):                                                        "Patient.communication[0].language: a code of the value set all-languages",
		fmt.Sprintf(speaks, "Patient", fmt.Sprintf(english, "english")):                                                      "Patient.communication[0].language: a code of the value set all-languages",
		fmt.Sprintf(speaks, "Patient", `"language":{"text":"Sylheti"}`):                                                      "Patient.communication[0].language: a code of the value set all-languages",
		fmt.Sprintf(speaks, "RelatedPerson", `"language":{"coding":[{"system":"urn:x","code":"en"}]}`):                       "RelatedPerson.communication[0].language: a code of the value set all-languages",
		fmt.Sprintf(speaks, "Practitioner", `"text":"Welsh"`):                                                                "Practitioner.communication[0]: a code of the value set all-languages",
		fmt.Sprintf(ill, `"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"active"}]`): "",
		fmt.Sprintf(ill, `"text":"better"`):                                                                                  "Condition.clinicalStatus: a code of the value set condition-clinical",
		`{"resourceType":"Organization","identifier":[{"system":"https://fhir.nhs.uk/Id/ods-organization-code","value":"A"},{"system":"https://fhir.nhs.uk/Id/ods-organization-code","value":"B"}]}`:                  "Organization.identifier[1]: more identifier odsOrganisationCode",
		`{"resourceType":"Location","identifier":[{"system":"https://fhir.nhs.uk/Id/ods-site-code"}]}`:                                                                                                                "Location.identifier[0].value: required",
		fmt.Sprintf(report, `,"media":[{"link":{"reference":"Media/1"}}]`):                                                                                                                                            "",
		fmt.Sprintf(report, `,"media":[{"link":{"reference":"Media/1"},"extension":[{"url":"http://hl7.org/fhir/5.0/StructureDefinition/extension-DiagnosticReport.media.link","valueReference":{"display":"x"}}]}]`): "DiagnosticReport: If extension-DiagnosticReport.media.link",
		fmt.Sprintf(report, `,"extension":[{"url":"http://hl7.org/fhir/5.0/StructureDefinition/extension-DiagnosticReport.supportingInfo","extension":[{"url":"type","valueCodeableConcept":{"text":"a"}}]}]`):        "DiagnosticReport.extension[0].extension: extension required",
		`{"resourceType":"ServiceRequest","status":"active","intent":"order","subject":{"display":"x"},"extension":[{"url":"` + uk + `Coverage","valueString":"self"}]}`:                                              "ServiceRequest.extension[0].valueString: of a type",
	} {
		e, issues := Read([]byte(in), ReadOptions{NoJudge: true})
		if issues.Worst() != nil {
			t.Fatalf("%s: %v", in, issues)
		}
		p := e.Type().Profile()
		got := ""
		for _, i := range p.Faults(e) {
			if i.Severity != issue.Information {
				t.Errorf("%s: %v is a %v", in, i, i.Severity)
			}
			if got == "" {
				got = i.Error()
			}
		}
		if p.Meets(e) != (want == "") || !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s\n got %q, meets %v\nwant %q", in, got, p.Meets(e), want)
		}
	}
	media, _ := R4().Resource("Media")
	if media.Profile() != nil {
		t.Error("UK Core has no profile of Media")
	}
}

// TestDeclare: the claim stands once where it is true and nowhere else; other claims are not touched.
func TestDeclare(t *testing.T) {
	const own, other = `"https://fhir.hl7.org.uk/StructureDefinition/UKCore-Patient"`, `"https://example.org/own"`
	good, bad := `"identifier":[{"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990001014"}]`, `"identifier":[{"system":"https://fhir.nhs.uk/Id/nhs-number"}]`
	for _, c := range []struct{ meta, content, want string }{
		{"", good, `"meta":{"profile":[` + own + `]},`},
		{`"meta":{"versionId":"1"},`, good, `"meta":{"versionId":"1","profile":[` + own + `]},`},
		{`"meta":{"profile":[` + other + `]},`, good, `"meta":{"profile":[` + other + `,` + own + `]},`},
		{`"meta":{"profile":[` + own + `]},`, good, `"meta":{"profile":[` + own + `]},`},
		{`"meta":{"profile":[` + strings.TrimSuffix(own, `"`) + `|2.6.1"]},`, good, `"meta":{"profile":[` + strings.TrimSuffix(own, `"`) + `|2.6.1"]},`},
		{"", bad, ""},
		{`"meta":{"profile":[` + own + `]},`, bad, ""},
		{`"meta":{"profile":[` + own + `,` + other + `,` + strings.TrimSuffix(own, `"`) + `|2.6.1"]},`, bad, `"meta":{"profile":[` + other + `]},`},
		{`"meta":{"versionId":"1","profile":[` + own + `]},`, bad, `"meta":{"versionId":"1"},`},
	} {
		e, issues := Read([]byte(`{"resourceType":"Patient",`+c.meta+c.content+`}`), ReadOptions{NoJudge: true})
		if issues.Worst() != nil {
			t.Fatal(issues)
		}
		for range 2 { // again changes nothing
			if e.Declare() != (c.content == good) {
				t.Errorf("%s%s: declared %v", c.meta, c.content, c.content != good)
			}
			got, err := AppendJSON(nil, e)
			if want := `{"resourceType":"Patient",` + c.want + c.content + `}`; err != nil || string(got) != want {
				t.Errorf("%s%s\n got %s (%v)\nwant %s", c.meta, c.content, got, err, want)
			}
		}
		if l := Validate(e); len(l) > 0 {
			t.Error(l)
		}
	}
}
