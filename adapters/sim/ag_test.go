package sim

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// asked is a request with one photo in a Binary and one inline.
var asked = `{"resourceType":"Bundle","type":"message","identifier":{"system":"urn:dermgate:outbound","value":"key-1"},"entry":[
 {"fullUrl":"urn:uuid:1","resource":{"resourceType":"MessageHeader","eventCoding":{"code":"servicerequest-request"},"source":{"endpoint":"urn:x"},"focus":[{"reference":"urn:uuid:2"}]}},
 {"fullUrl":"urn:uuid:2","resource":{"resourceType":"ServiceRequest","status":"active","intent":"order","priority":"routine","subject":{"reference":"urn:uuid:3"},
  "identifier":[{"system":"urn:gp","value":"P1"}],"note":[{"text":"What is it?"}],
  "category":[{"coding":[{"system":"https://fhir.nhs.uk/CodeSystem/message-category-servicerequest","code":"request"}]}]}},
 {"fullUrl":"urn:uuid:3","resource":{"resourceType":"Patient","identifier":[{"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990548609"}]}},
 {"fullUrl":"urn:uuid:4","resource":{"resourceType":"Media","status":"completed","extension":[{"url":"https://dermgate.github.io/fhir/StructureDefinition/lesion","valueString":"L1"}],
  "content":{"contentType":"image/jpeg","url":"urn:uuid:5","size":8,"title":"one.jpg"}}},
 {"fullUrl":"urn:uuid:5","resource":{"resourceType":"Binary","contentType":"image/jpeg","data":"` + base64.StdEncoding.EncodeToString([]byte("overview")) + `"}},
 {"fullUrl":"urn:uuid:6","resource":{"resourceType":"Media","status":"completed","content":{"contentType":"image/png","data":"` + base64.StdEncoding.EncodeToString([]byte("close")) + `"}}}]}`

// send posts a message to the platform.
func (p *AGPlatform) send(t *testing.T, body, requestID string) (int, string) {
	t.Helper()
	req, err := http.NewRequest("POST", p.Base()+"/$process-message", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", fhirJSON)
	req.Header.Set("X-Request-ID", requestID)
	req.Header.Set("X-Correlation-ID", "case-1")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(said)
}

func TestTheAGPlatformChecksWhatItGets(t *testing.T) {
	p, err := StartAG("")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for name, c := range map[string]struct {
		body   string
		id     string
		status int
		code   string
	}{
		"no request id":           {asked, "", 400, "required"},
		"not JSON":                {"<Bundle/>", "r", 400, "structure"},
		"no message":              {edited(t, asked, `"type":"message"`, `"type":"batch"`), "r", 400, "structure"},
		"a dangling reference":    {edited(t, asked, `"subject":{"reference":"urn:uuid:3"}`, `"subject":{"reference":"urn:uuid:9"}`), "r", 400, "not-found"},
		"a wrong check digit":     {edited(t, asked, "9990548609", "9990548608"), "r", 422, "Patient.identifier"},
		"neither kind":            {edited(t, asked, `"code":"request"`, `"kode":"request"`), "r", 422, "ServiceRequest.category"},
		"a photo that stayed":     {edited(t, asked, `"url":"urn:uuid:5"`, `"url":"urn:sha-256:00"`), "r", 422, "not here"},
		"a photo cut off":         {edited(t, asked, `"size":8`, `"size":9`), "r", 422, "size"},
		"another photo's hash":    {edited(t, asked, `"size":8`, `"hash":"AAAA"`), "r", 422, "hash"},
		"an inline photo's other": {edited(t, asked, `"contentType":"image/png",`, `"url":"urn:sha-256:00",`), "r", 422, "url"},
	} {
		if status, said := p.send(t, c.body, c.id); status != c.status || !strings.Contains(said, c.code) {
			t.Errorf("%s: %d %s, want %d %s", name, status, said, c.status, c.code)
		}
	}
	if len(p.Requests()) != 0 {
		t.Fatal("kept what it refused")
	}
	status, said := p.send(t, asked, "r-1")
	if status != 200 || !strings.Contains(said, `"identifier":"key-1"`) || !strings.Contains(said, `"AG-`) {
		t.Fatalf("%d %s", status, said)
	}
	if status, said := p.send(t, asked, "r-1"); status != 409 || !strings.Contains(said, "duplicate") {
		t.Errorf("again: %d %s", status, said)
	}
	got := p.Requests()
	if len(got) != 1 || got[0].Patient != "9990548609" || got[0].Correlation != "case-1" || got[0].Notes[0] != "What is it?" || len(got[0].Photos) != 2 ||
		string(got[0].Photos[0].Bytes) != "overview" || got[0].Photos[0].Lesion != "L1" || got[0].Photos[0].Name != "one.jpg" || string(got[0].Photos[1].Bytes) != "close" {
		t.Errorf("%+v", got)
	}
}

func TestTheAGPlatformAnswers(t *testing.T) {
	p, err := StartAG("")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var body []byte
	var header http.Header
	status := 200
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		header = r.Header
		w.WriteHeader(status)
	}))
	defer gateway.Close()
	p.Gateway = gateway.URL + "/fhir"
	if _, said := p.send(t, asked, "r-1"); !strings.Contains(said, "AG-") {
		t.Fatal(said)
	}
	id := p.Requests()[0].ID
	advice := Advice{Outcome: "RETURN_TO_REFERRER_WITH_ADVICE", Recommendation: "REFERRAL_RECOMMENDED", Guidance: "Please refer.", Priority: "URGENT"}
	if err := p.Answer(context.Background(), id, advice); err != nil {
		t.Fatal(err)
	}
	root, issues := fhir.Read(body, fhir.ReadOptions{})
	if issues = append(issues, fhir.Validate(root)...); issues.Worst() != nil {
		t.Fatalf("%v\n%s", issues, body)
	}
	f := flow.FactsOf("ag", &fhir.Bundle{Root: root})
	if f.Event != flow.Answered || f.Kind != "advice" || f.ResponseTo != "key-1" || f.NHSNumber != "9990548609" ||
		f.Outcome.Recommendation != "REFERRAL_RECOMMENDED" || f.Outcome.Priority != "URGENT" || header.Get("X-Correlation-ID") != "case-1" || header.Get("X-Request-ID") == "" {
		t.Errorf("%+v %v", f, header)
	}
	status = 422
	if err := p.Answer(context.Background(), id, advice); err == nil {
		t.Error("the gateway's refusal is not told")
	}
	if err := p.Answer(context.Background(), "AG-99", advice); err == nil {
		t.Error("answered nobody")
	}
	status = 200
	control(t, p.URL+"/sim/requests/"+id+"/answer", `{"outcome":"REQUIRE_FURTHER_INFORMATION","guidance":"Sharper, please"}`, 204)
	if !strings.Contains(string(body), "REFERRER_TO_SUBMIT_FURTHER_INFORMATION") {
		t.Errorf("%s", body)
	}
}
