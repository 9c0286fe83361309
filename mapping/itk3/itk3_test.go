package itk3

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

var pdfBytes = []byte("%PDF-1.4\n%%EOF\n")

func data(b []byte) fhir.Data {
	return fhir.Data{Size: int64(len(b)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}
}

// bundle reads testdata/answered.json, a request with its answer; edit replaces texts in it.
func bundle(t testing.TB, edit ...string) *fhir.Bundle {
	t.Helper()
	b, err := os.ReadFile("testdata/answered.json")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for i := 0; i < len(edit); i += 2 {
		if !strings.Contains(text, edit[i]) {
			t.Fatalf("%q is not in the Bundle", edit[i])
		}
		text = strings.ReplaceAll(text, edit[i], edit[i+1])
	}
	root, issues := fhir.Read([]byte(text), fhir.ReadOptions{NoJudge: true})
	if issues.Worst() != nil {
		t.Fatal(issues)
	}
	return &fhir.Bundle{Root: root}
}

func out() Out {
	return Out{ID: "5f0c1d2e-0000-5000-8000-000000000001", At: time.Date(2026, 11, 3, 15, 0, 0, 0, time.UTC), Mailbox: "RXX01OT001", Workflow: ConsultReport,
		Sender: Party{"RXX01", "St Elsewhere & Son", "02079460100"}, Title: "Dermatology advice", Version: 1, Letter: data(pdfBytes),
		Files: func(sha string) (fhir.Data, error) { return data([]byte("file " + sha)), nil }}
}

func written(t testing.TB, b *fhir.Bundle, o Out) string {
	t.Helper()
	m, err := Send(b, o)
	if err != nil {
		t.Fatal(err)
	}
	var w bytes.Buffer
	n, err := m.WriteTo(&w)
	if err != nil || n != int64(w.Len()) {
		t.Fatalf("%d of %d bytes, %v", n, w.Len(), err)
	}
	return w.String()
}

// The whole message, as it is: UPDATE=1 writes it anew. The same input gives the same bytes.
func TestTheMessage(t *testing.T) {
	got := strings.ReplaceAll(written(t, bundle(t), out()), "><", ">\n<")
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile("testdata/message.xml", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/message.xml")
	if err != nil || got != string(want) {
		t.Errorf("another message (%v):\n%s", err, got)
	}
	if again := strings.ReplaceAll(written(t, bundle(t), out()), "><", ">\n<"); again != got {
		t.Error("the same input gave other bytes")
	}
	d := xml.NewDecoder(strings.NewReader(got))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheOtherVersionACopyAndAReplacement(t *testing.T) {
	o := out()
	o.Workflow, o.Copy, o.Version, o.Replaces = SendDocument, true, 2, "5f0c1d2e-0000-5000-8000-000000000000"
	got := written(t, bundle(t), o)
	for _, want := range []string{`<extension url="LocalExtension"><valueString value="None"/>`, `<code value="FI"/>`, `<title value="Dermatology advice"/>`,
		`<status value="amended"/>`, `<relatesTo><code value="replaces"/><targetIdentifier><system value="https://tools.ietf.org/html/rfc4122"/><value value="5f0c1d2e-0000-5000-8000-000000000000"/>`, "Version: 2"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestTheAddressTravelsOnlyWhereTheNumberIsNotVerified(t *testing.T) {
	if got := written(t, bundle(t), out()); strings.Contains(got, "Sample Street") {
		t.Error("the address of a verified number travels")
	}
	if got := written(t, bundle(t, `"code": "01"`, `"code": "02"`), out()); !strings.Contains(got, "14 Sample Street") || !strings.Contains(got, `<code value="02"/>`) {
		t.Error("no address, or no status, of a number that is not verified")
	}
}

func TestWhatMESHOrTheReceiverCannotDoWithout(t *testing.T) {
	for where, edit := range map[string][]string{
		"Patient.identifier":        {"9990001014", "9990001015"},
		"Patient.birthDate":         {"1968-04-12", "1968-04"},
		"Patient.name.family":       {`"family": "Testcase",`, ``},
		"DocumentReference.content": {"application/pdf", "text/plain"},
	} {
		o := out()
		if where == "DocumentReference.content" {
			o.Letter = fhir.Data{}
		}
		_, err := Send(bundle(t, edit...), o)
		i := new(issue.Issue)
		if !errors.As(err, &i) || i.Kind != issue.Required || i.Where != where {
			t.Errorf("%s: %v", where, err)
		}
	}
	o := out()
	o.Letter = fhir.Data{}
	if got := written(t, bundle(t), o); strings.Count(got, "<Binary>") != 2 { // the answer's own letter, and a photo
		t.Error("the answer's own letter does not do")
	}
}

func TestAFileThatBreaksOffIsAnError(t *testing.T) {
	o, broken := out(), errors.New("disk")
	o.Letter.Open = func() (io.ReadCloser, error) { return nil, broken }
	m, err := Send(bundle(t), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.WriteTo(io.Discard); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	o = out()
	o.Letter.Size++
	m, _ = Send(bundle(t), o)
	if _, err := m.WriteTo(io.Discard); err == nil {
		t.Error("a letter that is too short was sent")
	}
}

func TestWhereItGoes(t *testing.T) {
	message := written(t, bundle(t), out())
	if to, err := Recipient(strings.NewReader(message)); err != nil || to != "GPPROVIDER_9990001014_19680412_Testcase" {
		t.Errorf("%q %v", to, err)
	}
	read := strings.NewReader(message)
	if _, err := Recipient(io.LimitReader(read, int64(strings.Index(message, "<Binary>")))); err != nil {
		t.Errorf("the files are read for it: %v", err)
	}
	for _, bad := range []string{"", "<a>", "no XML", `<Patient></Patient>`, `<Bundle xmlns="http://hl7.org/fhir"></Bundle>`} {
		if to, err := Recipient(strings.NewReader(bad)); err == nil {
			t.Errorf("%q leads to %q", bad, to)
		}
	}
	if Registered(bundle(t)) != "Y06601" || Registered(bundle(t, `{"reference": "urn:uuid:practice"}`, `{"reference": "urn:uuid:nobody"}`)) != "" {
		t.Error("the registered practice")
	}
}

// response is an ITK3 response as the specification has it.
const response = `<?xml version="1.0" encoding="UTF-8"?><Bundle xmlns="http://hl7.org/fhir"><id value="b"/><type value="message"/>
<entry><fullUrl value="urn:uuid:h"/><resource><MessageHeader><extension url="https://fhir.nhs.uk/STU3/StructureDefinition/Extension-ITK-MessageHandling-2"><extension url="SenderReference"><valueString value="REF"/></extension></extension>
<event><system value="https://fhir.nhs.uk/STU3/CodeSystem/ITK-MessageEvent-2"/><code value="ITK008M"/></event><sender><reference value="urn:uuid:o"/></sender>
<response><identifier value="5F0C1D2E-0000-5000-8000-000000000001"/><code value="ok"/></response></MessageHeader></resource></entry>
<entry><fullUrl value="urn:uuid:o"/><resource><Organization><id value="o"/><identifier><system value="https://fhir.nhs.uk/Id/ods-organization-code"/><value value="y06601"/></identifier></Organization></resource></entry>
<entry><fullUrl value="urn:uuid:x"/><resource><OperationOutcome><issue><severity value="information"/><code value="informational"/><details><coding><code value="20013"/><display value="Rosalind Testcase"/></coding></details></issue></OperationOutcome></resource></entry></Bundle>`

// responseJSON is the same in the other language.
const responseJSON = `{"resourceType":"Bundle","type":"message","entry":[{"resource":{"resourceType":"MessageHeader",
"extension":[{"url":"x","extension":[{"url":"SenderReference","valueString":"REF"}]}],"event":{"code":"ITK008M"},"sender":{"reference":"Organization/o"},
"response":{"identifier":"urn:uuid:5f0c1d2e-0000-5000-8000-000000000001","code":"ok"}}},
{"resource":{"resourceType":"Organization","id":"o","identifier":[{"system":"https://fhir.nhs.uk/Id/ods-organization-code","value":"Y06601"}]}},
{"resource":{"resourceType":"OperationOutcome","issue":[{"severity":"information","details":{"coding":[{"code":"20013"}]}}]}}]}`

func TestResponses(t *testing.T) {
	for name, text := range map[string]string{"XML": response, "JSON": responseJSON} {
		r, err := ReadResponse([]byte(text))
		if err != nil || r.To != "5f0c1d2e-0000-5000-8000-000000000001" || r.Reference != "ref" || r.Code != Success || r.Sender != "Y06601" || !r.Positive() || r.Level() != Infrastructure {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
	for code, want := range map[string]struct {
		positive, repeat bool
		level            Level
	}{
		"20013": {true, false, Infrastructure}, "30001": {true, false, Business}, "30002": {false, false, Business}, "30003": {false, false, Business},
		"10001": {false, false, Infrastructure}, "20009": {false, false, Infrastructure}, "200001": {false, false, Infrastructure},
		"20007": {false, true, Infrastructure}, "20008": {false, true, Infrastructure}, "39999": {false, false, Business}, "": {false, false, Infrastructure},
	} {
		r, err := ReadResponse([]byte(strings.Replace(response, "20013", code, 1)))
		if err != nil || r.Positive() != want.positive || r.Repeat() != want.repeat || r.Level() != want.level {
			t.Errorf("%q: %+v %v", code, r, err)
		}
	}
	r, err := ReadResponse([]byte(strings.Replace(response, `<code value="ok"/>`, `<code value="fatal-error"/>`, 1)))
	if err != nil || r.Positive() {
		t.Errorf("a fatal error is no success, whatever code stands beside it: %+v %v", r, err)
	}
	two := strings.Replace(response, "<issue>", `<issue><details><coding><code value="20013"/></coding></details></issue><issue>`, 1)
	two = two[:strings.LastIndex(two, "20013")] + "20009" + two[strings.LastIndex(two, "20013")+5:]
	if r, err := ReadResponse([]byte(two)); err != nil || r.Code != "20009" {
		t.Errorf("the worst of several counts: %+v %v", r, err)
	}
}

func TestWhatIsNoResponse(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "text": "hello", "cut": response[:400], "another document": "<html/>", "a document type": `<!DOCTYPE x [<!ENTITY e "x">]>` + response,
		"two documents": "<a/><b/>", "another event": strings.Replace(response, "ITK008M", "ITK007C", 1),
		"to nothing":    strings.NewReplacer(`<identifier value="5F0C1D2E-0000-5000-8000-000000000001"/>`, "", "SenderReference", "Other").Replace(response),
		"of no outcome": strings.NewReplacer(`<code value="ok"/>`, "", "20013", "").Replace(response),
		"deep":          strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100), "wide": "<a>" + strings.Repeat("<b/>", mostNodes) + "</a>", "large": strings.Repeat(" ", mostBytes+1),
		"deep JSON": strings.Repeat(`{"a":`, 100), "an array": "[1]", "more JSON": responseJSON + "{}",
	} {
		r, err := ReadResponse([]byte(text))
		i := new(issue.Issue)
		if !errors.As(err, &i) || i.Where == "" || strings.Contains(err.Error(), "Testcase") {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
}

func FuzzReadResponse(f *testing.F) {
	f.Add([]byte(response))
	f.Add([]byte(responseJSON))
	f.Add([]byte(`<Bundle><entry><resource><MessageHeader><event><code value="ITK008M"/></event></MessageHeader></resource></entry></Bundle>`))
	f.Add([]byte(`{"entry":[[{"resource":null}]]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ReadResponse(b)
		if err == nil && (r.To == "" && r.Reference == "" || r.Positive() && r.Type != "ok" || strings.Trim(r.Code, "0123456789") != "") {
			t.Errorf("%+v", r)
		}
	})
}

func FuzzRecipient(f *testing.F) {
	f.Add([]byte(`<Bundle><Patient><identifier><system value="https://fhir.nhs.uk/Id/nhs-number"/><value value="1"/></identifier><name><family value="A"/></name><birthDate value="1968-04-12"/></Patient></Bundle>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if to, err := Recipient(bytes.NewReader(b)); err == nil && !strings.HasPrefix(to, "GPPROVIDER_") {
			t.Errorf("%q", to)
		}
	})
}
