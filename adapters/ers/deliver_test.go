package ers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/letter"
	"github.com/dermgate/dermgate/mapping/issue"
)

func TestAdviceTakesItsPhotosFirst(t *testing.T) {
	r := newRig(t, AdviceRequest)
	o := r.want(flow.Delivered, "")
	if got := r.calls(); got != "A020 A020 A044" {
		t.Errorf("calls: %s", got)
	}
	q, ok := r.ers.Request("a", o.Facts[FactUBRN])
	if !ok || q.Patient != "9990548609" || q.Priority != "TWO_WEEK_WAIT" || q.Service != "50001" || q.Conversion != "NOT_AUTHORISED_TO_CONVERT" {
		t.Fatalf("e-RS has %+v for %v", q, o.Facts)
	}
	if names(q.Files) != "L1-overview-1.jpg L1-dermoscopic-1.jpg" || string(q.Files[1].Body) != "dermoscopic" {
		t.Errorf("files: %s", names(q.Files))
	}
	if !strings.Contains(q.Text, "Changing mole on the left forearm") || !strings.Contains(q.Text, "Grown over three months.\nItches at night.") ||
		strings.Contains(q.Text, "Testpatient") {
		t.Errorf("text: %s", q.Text)
	}
	if o.Facts[FactStatus] != "PROVIDER_RESPONSE_REQUIRED" || o.Facts[FactVersion] != "1" || o.Facts[FactID] != q.ID || len(o.Refs) != 2 {
		t.Errorf("facts %v, refs %v", o.Facts, o.Refs)
	}
}

func TestAReferralIsSentBeforeItsPhotos(t *testing.T) {
	r := newRig(t, Referral)
	o := r.want(flow.Delivered, "")
	if got := r.calls(); got != "A011 A020 A005 A012 A005 A016" {
		t.Errorf("calls: %s", got)
	}
	q := r.onlyReferral()
	if q.State != "AWAITING_TRIAGE" || q.Service != "50001" || q.Priority != "TWO_WEEK_WAIT" || names(q.Files) != letter.Name {
		t.Errorf("e-RS has %+v", q)
	}
	if o.Facts[FactPhotos] != "2" || o.Facts[FactStatus] != q.State || o.Facts[FactVersion] != fmt.Sprint(q.Version) || o.Facts["state"] != "" {
		t.Errorf("facts %v", o.Facts)
	}
	if pdf, err := letter.PDF(r.bundleOf()); err != nil || !bytes.Equal(pdf, q.Files[0].Body) || q.Files[0].Type != "application/pdf" {
		t.Errorf("the letter is another one: %v", err)
	}
	said := letter.Text(r.bundleOf())
	for _, want := range []string{"Ms Zoë Testpatient", "NHS number: 9990548609", "1 Example Street, Leeds, LS1 4AP", "Dr Ann Example", "Example Surgery",
		"Priority: TWO WEEK WAIT", "Diameter: 8.5 mm", "L1-overview-1.jpg: lesion: L1, overview, left forearm, taken 2026-02-28",
		"REASON FOR REFERRAL\nChanging mole on the left forearm\n"} {
		if !strings.Contains(said, want) {
			t.Errorf("the letter does not say %q:\n%s", want, said)
		}
	}
	if strings.Contains(said, "ALLERGIES") {
		t.Error("a heading without content")
	}
	if r.del.Attempt = 0; r.want(flow.Delivered, "").Facts[FactUBRN] != q.UBRN || r.calls() != "A011 A020 A005 A012 A005 A016" {
		t.Errorf("delivered again, it calls again: %s", r.calls())
	}
}

// photosAfter sends the referral, then gives a rig for the delivery of its photos.
func photosAfter(t *testing.T) *rig {
	r := newRig(t, Referral)
	ubrn := r.want(flow.Delivered, "").Facts[FactUBRN]
	r.del.What, r.del.Note, r.del.Steps = Photos, ubrn, nil
	return r
}

func TestPhotosJoinTheLetter(t *testing.T) {
	r := photosAfter(t)
	o := r.want(flow.Delivered, "")
	q := r.onlyReferral()
	if names(q.Files) != letter.Name+" L1-overview-1.jpg L1-dermoscopic-1.jpg" || o.Facts[FactPhotos] != "0" {
		t.Errorf("files: %s, facts %v", names(q.Files), o.Facts)
	}
	for _, c := range r.ers.Received("A020") {
		if c.Header.Get("NHSD-eRS-Referral-ID") != q.UBRN {
			t.Errorf("uploaded for %q", c.Header.Get("NHSD-eRS-Referral-ID"))
		}
	}
}

func TestPhotosFindTheirReferralInTheBundle(t *testing.T) {
	r := newRig(t, Referral)
	ubrn := r.want(flow.Delivered, "").Facts[FactUBRN]
	body := strings.Replace(string(r.del.Body.Inline), `"status": "active", "intent"`,
		`"identifier": [{"system": "https://fhir.nhs.uk/Id/UBRN", "value": "`+ubrn+`"}], "status": "active", "intent"`, 1)
	r.del.What, r.del.Body.Inline, r.del.Steps = Photos, []byte(body), nil
	r.want(flow.Delivered, "")
	if q := r.onlyReferral(); len(q.Files) != 3 {
		t.Errorf("files: %s", names(q.Files))
	}
	r.del.Body.Inline = []byte(strings.Replace(body, ubrn, "70001?x=/..", 1))
	r.want(flow.Refused, "ServiceRequest.identifier")
}

func TestPhotosOfAdviceCannotFollow(t *testing.T) {
	r := newRig(t, AdviceRequest)
	r.del.What, r.del.Note = Photos, "000000070001"
	r.want(flow.Refused, "Media")
}

func TestPhotosThatERSDoesNotTake(t *testing.T) {
	r := photosAfter(t)
	exact := r.photo("image/jpeg", strings.Repeat("x", maxFile))
	over := r.photo("image/jpeg", strings.Repeat("x", maxFile+1))
	heic, empty := r.photo("image/heic", "heic"), r.photo("image/jpeg", "")
	r.del.Parts = []flow.BodyRef{exact, over, heic, empty}
	o := r.want(flow.Refused, "attachment 2 of 4")
	if o.Cause.Kind != issue.TooLong {
		t.Errorf("cause %+v", o.Cause)
	}
	if q := r.onlyReferral(); q.State != "AWAITING_TRIAGE" || names(q.Files) != letter.Name+" attachment-"+exact.SHA256[:8]+".jpg" {
		t.Errorf("the referral must stay sent, with the file that fits: %s %s", q.State, names(q.Files))
	}
	before := len(r.ers.Uploads())
	r.want(flow.Refused, "attachment 2 of 4") // replayed by a person
	if len(r.ers.Uploads()) != before {
		t.Error("replayed, it uploads again")
	}
}

func TestAdviceWithAPhotoThatERSDoesNotTakeIsNotSent(t *testing.T) {
	for _, c := range []struct{ mediaType, content string }{{"image/jpeg", strings.Repeat("x", maxFile+1)}, {"image/webp", "x"}, {"image/jpeg", ""}} {
		r := newRig(t, AdviceRequest)
		r.del.Parts[1] = r.photo(c.mediaType, c.content)
		if r.want(flow.Refused, "attachment 2 of 2"); r.calls() != "" {
			t.Errorf("%s: calls %s", c.mediaType, r.calls())
		}
	}
}

func TestWhatIsMissingIsRefusedNotGuessed(t *testing.T) {
	const conversion = `"url": "https://dermgate.github.io/fhir/StructureDefinition/conversion-authorisation", "valueCode"`
	for name, c := range map[string]struct {
		what  string
		where string
		edit  []string
	}{
		"conversion not stated": {AdviceRequest, "ServiceRequest.extension(conversion-authorisation)", []string{conversion, strings.Replace(conversion, "conversion-", "other-", 1)}},
		"no NHS number":         {Referral, "Patient.identifier", []string{"Id/nhs-number", "Id/local"}},
		"no service":            {Referral, "ServiceRequest.performer", []string{"Id/ers-service", "Id/other"}},
		"a priority that e-RS does not know": {Referral, "ServiceRequest.priority",
			[]string{"ers-priority", "other", `"priority": "urgent"`, `"priority": "stat"`}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, c.what, c.edit...)
			if r.want(flow.Refused, c.where); r.calls() != "" {
				t.Errorf("calls: %s", r.calls())
			}
		})
	}
}

func TestAdviceWithoutAWordIsNotAsked(t *testing.T) {
	r := newRig(t, AdviceRequest)
	r.del.Parts = nil
	r.del.Body.Inline = []byte(`{"resourceType":"Bundle","type":"message","entry":[
		{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient","identifier":[{"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990548609"}]}},
		{"fullUrl":"urn:uuid:2","resource":{"resourceType":"ServiceRequest","status":"active","intent":"order","priority":"routine",
		"extension":[{"url":"https://dermgate.github.io/fhir/StructureDefinition/conversion-authorisation","valueCode":"AUTHORISED_TO_CONVERT"}],
		"subject":{"reference":"urn:uuid:1"}}}]}`)
	r.Service = "50001"
	if r.want(flow.Refused, "ServiceRequest.note"); r.calls() != "" {
		t.Errorf("calls: %s", r.calls())
	}
}

func TestTheLongestText(t *testing.T) {
	r := newRig(t, AdviceRequest, "Itches at night.", "X")
	text, _ := letter.Question(r.bundleOf(), maxText)
	spare := maxText - len([]rune(text))
	r = newRig(t, AdviceRequest, "Itches at night.", "X"+strings.Repeat("é", spare))
	r.want(flow.Delivered, "")
	if got := r.calls(); got != "A020 A020 A044" {
		t.Errorf("calls: %s", got)
	}
	r = newRig(t, AdviceRequest, "Itches at night.", "X"+strings.Repeat("é", spare+1))
	r.want(flow.Delivered, "")
	q, _ := r.ers.Request("a", r.ers.Requests("a")[0])
	if names(q.Files) != letter.Name+" L1-overview-1.jpg L1-dermoscopic-1.jpg" || !strings.Contains(q.Text, "in the attached letter") || !bytes.HasPrefix(q.Files[0].Body, []byte("%PDF-")) {
		t.Errorf("%s: %s", names(q.Files), q.Text)
	}
}

func TestAnAdminNamesTheClinician(t *testing.T) {
	r := newRig(t, AdviceRequest)
	r.BusinessFunction = "REFERRING_CLINICIAN_ADMIN"
	r.want(flow.Delivered, "")
	r = newRig(t, Referral, "sds-user-id", "gmc")
	r.BusinessFunction = "REFERRING_CLINICIAN_ADMIN"
	r.want(flow.Refused, "ServiceRequest.requester")
}

func TestNothingIsSentWithoutAUser(t *testing.T) {
	r := newRig(t, Referral)
	r.Token = func(context.Context, string) (string, error) { return "", nil }
	if o := r.want(flow.Held, flow.ForUser); o.Cause.Kind != issue.Denied || r.saves != 0 || r.calls() != "" {
		t.Errorf("cause %+v after %d steps", o.Cause, r.saves)
	}
	r = newRig(t, Referral)
	r.Token = func(context.Context, string) (string, error) { return "", errors.New("the token service is down") }
	r.want(flow.Retry, "sign-in")
	r.Token = func(context.Context, string) (string, error) { return "t", nil }
	if r.want(flow.Delivered, ""); len(r.ers.Requests("r")) != 1 {
		t.Error("after the token came, not one referral")
	}
}

func TestATokenIsRenewedOnce(t *testing.T) {
	tokens, err := sim.StartToken("")
	if err != nil {
		t.Fatal(err)
	}
	defer tokens.Close()
	r := newRig(t, Referral)
	r.ers.Tokens = tokens
	current := tokens.Issue()
	tokens.Revoke()
	r.Token = func(_ context.Context, refused string) (string, error) {
		if refused == current {
			current = tokens.Issue()
		}
		return current, nil
	}
	if r.want(flow.Delivered, ""); r.onlyReferral().State != "AWAITING_TRIAGE" {
		t.Error("not sent")
	}
	tokens.Revoke()
	r = newRig(t, Referral)
	r.ers.Tokens = tokens
	r.Token = func(context.Context, string) (string, error) { return "stale", nil }
	r.want(flow.Retry, "A011")
	if r.want(flow.Retry, "A011"); len(r.ers.Requests("r")) != 0 {
		t.Error("created with a bad token")
	}
}

func TestAnswersThatAreClassified(t *testing.T) {
	for _, c := range []struct {
		fault  sim.Fault
		result flow.Result
		kind   issue.Kind
		after  time.Duration
	}{
		{sim.Fault{Call: "A011", Status: 429, RetryAfter: "2"}, flow.Retry, issue.Unavailable, 2 * time.Second},
		{sim.Fault{Call: "A011", Status: 503, RetryAfter: "60"}, flow.Retry, issue.Unavailable, time.Minute},
		{sim.Fault{Call: "A012", Status: 423}, flow.Retry, issue.Unavailable, 0},
		{sim.Fault{Call: "A012", Status: 409, Times: 3}, flow.Retry, issue.Conflict, 0},
		{sim.Fault{Call: "A016", Status: 409, Times: 3}, flow.Retry, issue.Conflict, 0},
		{sim.Fault{Call: "A016", Status: 502}, flow.Retry, issue.Unavailable, 0},
		{sim.Fault{Call: "A016", Status: 504}, flow.Retry, issue.Unavailable, 0},
		{sim.Fault{Call: "A005", Status: 500}, flow.Retry, issue.Unavailable, 0},
		{sim.Fault{Call: "A005", Status: 200, Body: "<html>"}, flow.Retry, issue.Structure, 0},
		{sim.Fault{Call: "A011", Status: 403}, flow.Refused, issue.Denied, 0},
		{sim.Fault{Call: "A011", Status: 422, Code: "PATIENT_ERROR"}, flow.Refused, issue.Value, 0},
		{sim.Fault{Call: "A011", Status: 406}, flow.Refused, issue.Value, 0},
		{sim.Fault{Call: "A012", Status: 412}, flow.Refused, issue.Value, 0},
		{sim.Fault{Call: "A005", Status: 404}, flow.Refused, issue.NotFound, 0},
		{sim.Fault{Call: "A020", Status: 415}, flow.Refused, issue.Value, 0},
		{sim.Fault{Call: "A011", Status: 307}, flow.Refused, issue.Value, 0},
	} {
		r := newRig(t, Referral)
		r.ers.Fail(c.fault)
		o := r.want(c.result, c.fault.Call)
		if o.Cause.Kind != c.kind || o.After != c.after {
			t.Errorf("%+v: %+v after %s", c.fault, o.Cause, o.After)
		}
		if c.fault.Code != "" && !strings.Contains(o.Cause.Text, " "+c.fault.Code+" (") {
			t.Errorf("%+v: the code is not named: %s", c.fault, o.Cause.Text)
		}
		if created := len(r.ers.Requests("r")) == 1; created != (o.Facts[FactUBRN] != "") {
			t.Errorf("%+v: created %v, but told %v", c.fault, created, o.Facts)
		}
		if r.want(flow.Delivered, ""); r.onlyReferral().State != "AWAITING_TRIAGE" {
			t.Errorf("%+v: not sent after all", c.fault)
		}
	}
}

func TestAVersionThatMovedIsReadAgain(t *testing.T) {
	r := newRig(t, Referral)
	r.ers.Fail(sim.Fault{Call: "A012", Status: 409})
	r.ers.Fail(sim.Fault{Call: "A016", Status: 409, Times: 2})
	r.want(flow.Delivered, "")
	if got := r.calls(); got != "A011 A020 A005 A012 A005 A012 A005 A016 A005 A016 A005 A016" {
		t.Errorf("calls: %s", got)
	}
}

func TestNamesOfFiles(t *testing.T) {
	r := newRig(t, AdviceRequest)
	twice := r.del.Parts[0]
	for name, c := range map[string]struct {
		title string
		want  string
	}{
		"as the Bundle says":       {"L1-overview-1.jpg", "L1-overview-1.jpg L1-overview-1-2.jpg"},
		"not in a header":          {"läsion.jpg", "attachment-" + twice.SHA256[:8] + ".jpg attachment-" + twice.SHA256[:8] + "-2.jpg"},
		"no path":                  {"../../x.jpg", "attachment-" + twice.SHA256[:8] + ".jpg attachment-" + twice.SHA256[:8] + "-2.jpg"},
		"the extension must fit":   {"x.png", "attachment-" + twice.SHA256[:8] + ".jpg attachment-" + twice.SHA256[:8] + "-2.jpg"},
		"nothing but an extension": {".jpg", "attachment-" + twice.SHA256[:8] + ".jpg attachment-" + twice.SHA256[:8] + "-2.jpg"},
	} {
		body := strings.NewReplacer("L1-overview-1.jpg", c.title, "L1-dermoscopic-1.jpg", c.title, r.del.Parts[1].SHA256, twice.SHA256).Replace(string(r.del.Body.Inline))
		again := *r
		again.del.Body.Inline = []byte(body)
		var got []string
		for _, p := range parts(again.bundleOf(), []flow.BodyRef{twice, twice}) {
			got = append(got, p.name)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
}
