package fhir

import (
	"strings"
	"testing"
)

func TestValidateFindsWhatIsWrong(t *testing.T) {
	const (
		sr  = `{"resourceType":"ServiceRequest","status":"active","intent":"order","subject":{"display":"x"}`
		obs = `{"resourceType":"Observation","status":"final","code":{"text":"a"}`
		md  = `{"resourceType":"MessageHeader","eventUri":"urn:x","source":{"endpoint":"urn:x"}}`
		app = `{"resourceType":"Appointment","participant":[{"type":[{"text":"a"}],"status":"accepted"}],"status":`
	)
	for in, want := range map[string]string{
		// required, empty, codes
		`{"resourceType":"ServiceRequest","status":"active","intent":"order"}`:                                                                     "ServiceRequest.subject: required",
		`{"resourceType":"Media","status":"completed"}`:                                                                                            "Media.content: required",
		`{"resourceType":"MessageHeader","source":{"endpoint":"urn:x"}}`:                                                                           "MessageHeader.event[x]: required",
		`{"resourceType":"Patient","link":[{"type":"refer"}]}`:                                                                                     "Patient.link[0].other: required",
		`{"resourceType":"ServiceRequest","status":"actve","intent":"order","subject":{"display":"x"}}`:                                            "ServiceRequest.status: a code outside its required value set: want one of draft, active",
		`{"resourceType":"Task","status":"in-progres","intent":"order"}`:                                                                           "Task.status: a code outside its required value set: did you mean in-progress?",
		`{"resourceType":"Patient","name":[{"given":["a",null]}]}`:                                                                                 "Patient.name[0].given[1]: an empty value",
		`{"resourceType":"Patient","deceasedBoolean":true,"deceasedDateTime":"2000"}`:                                                              "Patient.deceasedDateTime: a choice given twice",
		`{"resourceType":"Patient","_birthDate":{"extension":[{"url":"a"}]}}`:                                                                      "Patient.birthDate.extension[0].value[x]: required, or extension (ext-1)",
		`{"resourceType":"Patient","extension":[{"url":"a","valueCode":"a","extension":[{"url":"b"}]}]}`:                                           "Patient.extension[0].extension[0]: not beside value (ext-1)",
		`{"resourceType":"Patient","extension":[{"valueCode":"a"}]}`:                                                                               "Patient.extension[0].url: required",
		`{"resourceType":"Patient","birthDate":"2000-02-30"}`:                                                                                      "Patient.birthDate: not of the form of a date",
		`{"resourceType":"Patient","multipleBirthInteger":1.5}`:                                                                                    "Patient.multipleBirthInteger: not of the form of a integer",
		`{"resourceType":"Patient","text":{"status":"generated","div":"<div><script>x</script></div>"}}`:                                           "Patient.text.div: not of the form of a xhtml",
		`{"resourceType":"Parameters","parameter":[{"name":"a"}]}`:                                                                                 "Parameters.parameter[0].value[x]: required, or resource or part (inv-1)",
		`{"resourceType":"Parameters","parameter":[{"name":"a","valueCode":"a","part":[{"name":"b"}]}]}`:                                           "Parameters.parameter[0].part[0]: not beside resource or value (inv-1)",
		`{"resourceType":"Patient","telecom":[{"value":"07700 900123"}]}`:                                                                          "Patient.telecom[0].system: required with value (cpt-2)",
		`{"resourceType":"Patient","contact":[{"gender":"female"}]}`:                                                                               "Patient.contact[0].name: required, or telecom or address or organization (pat-1)",
		`{"resourceType":"Organization","active":true}`:                                                                                            "Organization.identifier: required, or name (org-1)",
		`{"resourceType":"Consent","status":"active","scope":{"text":"a"},"category":[{"text":"a"}]}`:                                              "Consent.policy: required, or policyRule (ppc-1)",
		`{"resourceType":"Media","status":"completed","content":{"data":"AAAA"}}`:                                                                  "Media.content.contentType: required with data (att-1)",
		sr + `,"orderDetail":[{"text":"a"}]}`:                                                                                                      "ServiceRequest.code: required with orderDetail (prr-1)",
		obs + `,"valueString":"a","dataAbsentReason":{"text":"a"}}`:                                                                                "Observation.dataAbsentReason: not beside value (obs-6)",
		obs + `,"valueQuantity":{"value":1,"code":"mm"}}`:                                                                                          "Observation.valueQuantity.system: required with code (qty-3)",
		obs + `,"effectivePeriod":{"start":"2026-11-25","end":"2026-11-24"}}`:                                                                      "Observation.effectivePeriod.end: before the start",
		obs + `,"effectivePeriod":{"start":"2026-11-24T10:00:00+01:00","end":"2026-11-24T08:59:00Z"}}`:                                             "Observation.effectivePeriod.end: before the start",
		obs + `,"contained":[{"resourceType":"Patient","id":"a","contained":[{"resourceType":"Basic"}]}]}`:                                         "Observation.contained[0].contained: a contained resource contains none",
		obs + `,"contained":[{"resourceType":"Media","status":"x","content":{"url":"a"}}]}`:                                                        "Observation.contained[0].status: a code outside",
		obs + `,"subject":{"reference":"#nobody"}}`:                                                                                                "Observation.subject.reference: no contained resource",
		obs + `,"subject":{"reference":"Media/1"}}`:                                                                                                "Observation.subject.reference: may not point at a Media",
		obs + `,"subject":{"reference":"https://example.org/fhir/Media/1/_history/2"}}`:                                                            "Observation.subject.reference: may not point at a Media",
		bundled("collection", obs+`,"subject":{"reference":"urn:uuid:0f0c7a30-0000-4000-8000-000000000009"}}`):                                     "Bundle.entry[0].resource.subject.reference: leads to no entry",
		bundled("collection", obs+`,"subject":{"reference":"urn:test:1"}}`, `{"resourceType":"Media","status":"completed","content":{"url":"a"}}`): "Bundle.entry[0].resource.subject.reference: may not point at a Media",
		bundled("message", md, obs+`,"subject":{"reference":"Patient/elsewhere"}}`):                                                                "Bundle.entry[1].resource.subject.reference: leads to no entry",
		app + `"booked","start":"2026-11-24T10:00:00Z"}`:                                                                                           "Appointment.end: required with start (app-2)",
		app + `"cancelled","end":"2026-11-24T10:00:00Z"}`:                                                                                          "Appointment.start: required with end (app-2)",
		app + `"booked"}`: "Appointment.start: required unless",
		app + `"waitlist","cancelationReason":{"text":"a"}}`:                                        "Appointment.cancelationReason: of what is neither",
		`{"resourceType":"Appointment","status":"cancelled","participant":[{"status":"accepted"}]}`: "Appointment.participant[0].type: required, or actor (app-1)",
		bundled("message", obs+`}`): "Bundle.entry[0].resource: a message begins with a MessageHeader",
		`{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"urn:x:1","resource":{"resourceType":"Basic","code":{"text":"a"}}},{"fullUrl":"urn:x:1","resource":{"resourceType":"Basic","code":{"text":"a"}}}]}`: "Bundle.entry[1].fullUrl: another entry",
		bundled("collection", bundled("collection", obs+`,"subject":{"reference":"urn:uuid:0f0c7a30-0000-4000-8000-000000000009"}}`)):                                                                                         "Bundle.entry[0].resource.entry[0].resource.subject.reference: leads to no entry",
	} {
		e, issues := Read([]byte(in), ReadOptions{NoJudge: true})
		if issues.Worst() != nil {
			t.Fatalf("%s: %v", in, issues)
		}
		if l := Validate(e); len(l) == 0 || !strings.HasPrefix(l[0].Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", in, l, want)
		}
	}
}

// bundled puts resources into a Bundle under urn:test:0, urn:test:1, ….
func bundled(typ string, resources ...string) string {
	var b strings.Builder
	b.WriteString(`{"resourceType":"Bundle","type":"` + typ + `","entry":[`)
	for n, r := range resources {
		if n > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"fullUrl":"urn:test:` + string(rune('0'+n)) + `","resource":` + r + `}`)
	}
	return b.String() + `]}`
}

func TestValidateAcceptsWhatIsRight(t *testing.T) {
	const md = `{"resourceType":"MessageHeader","eventUri":"urn:x","source":{"endpoint":"urn:x"}}`
	for _, in := range []string{
		`{"resourceType":"Patient"}`,
		`{"resourceType":"Appointment","status":"cancelled","cancelationReason":{"text":"a"},"participant":[{"type":[{"text":"a"}],"status":"accepted"}]}`,
		`{"resourceType":"Appointment","status":"noshow","start":"2026-11-24T10:00:00Z","_end":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]},"participant":[{"type":[{"text":"a"}],"status":"accepted"}]}`,
		`{"resourceType":"Observation","status":"final","code":{"text":"a"},"effectivePeriod":{"start":"2026-11-24T10:00:00+01:00","end":"2026-11-24T09:01:00Z"}}`,
		`{"resourceType":"Observation","status":"final","code":{"text":"a"},"effectivePeriod":{"start":"2026-11-24T10:00:00Z","end":"2026-11"}}`,
		`{"resourceType":"Observation","contained":[{"resourceType":"Patient","id":"p","managingOrganization":{"reference":"#o"}},{"resourceType":"Organization","id":"o","name":"a","partOf":{"reference":"#"}}],"status":"final","code":{"text":"a"},"subject":{"reference":"#p"}}`,
		bundled("message", md, `{"resourceType":"Patient","id":"1","managingOrganization":{"reference":"Organization/9","display":"known by name"}}`),
		bundled("message", md, `{"resourceType":"Patient","id":"1","link":[{"type":"refer","other":{"reference":"Patient/1/_history/3"}}]}`),
		bundled("message", md, `{"resourceType":"Patient","link":[{"type":"refer","other":{"reference":"urn:test:1"}},{"type":"refer","other":{"reference":"https://example.org/fhir/Patient/7"}}]}`),
		bundled("collection", `{"resourceType":"Patient","link":[{"type":"refer","other":{"reference":"Patient/elsewhere"}}]}`),
		`{"resourceType":"Bundle","type":"message","entry":[{"resource":` + md + `},{"fullUrl":"https://example.org/fhir/Patient/7","resource":{"resourceType":"Patient","link":[{"type":"refer","other":{"reference":"Patient/7"}}]}}]}`,
	} {
		e, issues := Read([]byte(in), ReadOptions{NoJudge: true})
		if issues = append(issues, Validate(e)...); len(issues) > 0 {
			t.Errorf("%s: %v", in, issues)
		}
	}
	if l := Validate(Element{}); len(l) > 0 {
		t.Errorf("no element: %v", l)
	}
}

// TestLexicalForms follows the expressions of FHIR R4 §2.24.0.1.
func TestLexicalForms(t *testing.T) {
	for typ, texts := range map[string]struct{ right, wrong []string }{
		"boolean":      {[]string{"true", "false"}, []string{"True", "0"}},
		"integer":      {[]string{"0", "-1", "2147483647", "-2147483648"}, []string{"", "-", "+1", "01", "1.0", "2147483648", "-2147483649", "--1"}},
		"unsignedInt":  {[]string{"0", "7"}, []string{"-1", "2147483648"}},
		"positiveInt":  {[]string{"1"}, []string{"0", "00", "-1"}},
		"decimal":      {[]string{"0", "-0.50", "1e10", "1E-2", "1.5e+3"}, []string{"", ".5", "1.", "01", "1e", "1e+-3", "NaN", "1,5", "1e999", "-1e400"}},
		"date":         {[]string{"2024", "2024-02", "2024-02-29", "2000-02-29"}, []string{"", "0000", "24", "2024-2", "2024-13", "2023-02-29", "1900-02-29", "2024-04-31", "2024-02-29T", "2024-00-01", "2024-01-00"}},
		"dateTime":     {[]string{"2024", "2024-02-29T10:00:00Z", "2024-02-29T10:00:00.123456789+14:00", "2016-12-31T23:59:60Z"}, []string{"2024-02-29T10:00", "2024-02-29T10:00:00", "2024-02-29 10:00:00Z", "2024-02-29T24:00:00Z", "2024-02-29T10:00:00+14:30", "2024-02T10:00:00Z", "2024-02-29T10:00:00.Z"}},
		"instant":      {[]string{"2024-02-29T10:00:00.5-11:30"}, []string{"2024-02-29", "2024-02-29T10:00:00", "2024-02-29T10:60:00Z"}},
		"time":         {[]string{"10:00:00", "23:59:59.1"}, []string{"", "10:00", "24:00:00", "10:00:00Z", "10:00:00."}},
		"id":           {[]string{"a-B.9", strings.Repeat("a", 64)}, []string{"", "a_b", strings.Repeat("a", 65), "ä"}},
		"code":         {[]string{"a", "a b", "é"}, []string{"", " a", "a ", "a  b", "a\tb", " "}},
		"uri":          {[]string{"urn:x", "relative", "https://example.org/ä%20%C3", "a/b:c", "a+b-1.0:c", "?:"}, []string{"", "a b", "a\n", "\x01", "\xff", "%", "a%2", "%zz", "a%20%", "::", "1a:b", ":"}},
		"oid":          {[]string{"urn:oid:1.2.3", "urn:oid:2.0.1"}, []string{"1.2.3", "urn:oid:3.1", "urn:oid:1..2", "urn:oid:1.02", "urn:oid:1.", "urn:oid:"}},
		"uuid":         {[]string{"urn:uuid:0f0c7a30-5b1e-4c55-8a53-000000000001"}, []string{"0f0c7a30-5b1e-4c55-8a53-000000000001", "urn:uuid:0F0C7A30-5b1e-4c55-8a53-000000000001", "urn:uuid:0f0c7a305b1e-4c55-8a53-0000000000011"}},
		"base64Binary": {[]string{"AAAA", "AA==", "AAA=", "AAAA\r\nBBBB", "+/8="}, []string{"", "AAA", "A===", "====", "AA=A", "AA-_", "AAAAA"}},
		"string":       {[]string{"a", " a\n\t", "😀"}, []string{"", " ", "\n", "a\x00", "a\x1f", "\xc3"}},
		"xhtml": {[]string{`<div xmlns="http://www.w3.org/1999/xhtml">a<br/><a href="#x">b</a><!-- c --></div>`, `<div xmlns="http://www.w3.org/1999/xhtml"><img src="https://example.org/a.png"/></div>`},
			[]string{"", "text", `<div>a</div>`, `<p xmlns="http://www.w3.org/1999/xhtml">a</p>`, `<div xmlns="http://www.w3.org/1999/xhtml"> </div>`,
				`<div xmlns="http://www.w3.org/1999/xhtml">a</div><div xmlns="http://www.w3.org/1999/xhtml">b</div>`,
				`<div xmlns="http://www.w3.org/1999/xhtml">a<script>b</script></div>`, `<div xmlns="http://www.w3.org/1999/xhtml" onclick="x()">a</div>`,
				`<div xmlns="http://www.w3.org/1999/xhtml"><a href=" JavaScript:x()">a</a></div>`, `<div xmlns="http://www.w3.org/1999/xhtml"><img src="data:image/svg+xml,x"/></div>`,
				`<!DOCTYPE x [<!ENTITY e "a">]><div xmlns="http://www.w3.org/1999/xhtml">&e;</div>`, `<div xmlns="http://www.w3.org/1999/xhtml">a<iframe/></div>`, `<div xmlns="http://www.w3.org/1999/xhtml">a`}},
	} {
		dt, ok := R4().Datatype(typ)
		if !ok {
			t.Fatalf("no data type %s", typ)
		}
		for _, s := range texts.right {
			if !dt.lexical(s) {
				t.Errorf("%s %q: refused", typ, s)
			}
		}
		for _, s := range texts.wrong {
			if dt.lexical(s) {
				t.Errorf("%s %q: accepted", typ, s)
			}
		}
	}
}
