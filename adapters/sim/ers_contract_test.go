package sim

import (
	"fmt"
	"strings"
	"testing"
)

// application leaves out what only users send.
var application = []string{"NHSD-End-User-Organisation-ODS", "", "NHSD-eRS-Business-Function", ""}

func listBody(system, list, of string) string {
	filter := ""
	if of != "" {
		filter = `,{"name":"service","valueIdentifier":{"system":"` + service + `","value":"` + of + `"}}`
	}
	return `{"resourceType":"Parameters","meta":{"profile":["` + stu3 + `eRS-FetchWorklist-Parameters-1"]},"parameter":[
	{"name":"listType","valueCodeableConcept":{"coding":[{"system":"` + stu3Codes + system + `","code":"` + list + `"}]}}` + filter + `]}`
}

func TestAnswersOfTheProvidersSideHoldTheContract(t *testing.T) {
	s, err := StartERS("")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	doc := published(t)
	files := []File{{Name: "letter.pdf", Type: "application/pdf", Description: "letter", Body: page("letter")},
		{Name: "photo.jpg", Type: "image/jpeg", Status: "PENDING", Body: []byte("jpeg")}}
	sent := Sent{Patient: "9990548609", Priority: "TWO_WEEK_WAIT", Service: "50001", Files: files}
	first, err := s.Refer(sent)
	if err != nil {
		t.Fatal(err)
	}
	sent.State, sent.Related = "DEFERRED_TO_PROVIDER", []string{first}
	deferred, _ := s.Refer(sent)
	sent.State, sent.Related, sent.Files = "BOOKED", nil, nil
	booked, _ := s.Refer(sent)
	advice, err := s.Ask(Sent{Patient: "9990548609", Priority: "ROUTINE", Service: "50002", Text: "What is it?", Files: files})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Attach("a", advice, "Here it is", File{Name: "more.png", Type: "image/png", Body: []byte("png")}); err != nil {
		t.Fatal(err)
	}
	if err := s.Answer(advice, Advice{Outcome: "REQUIRE_FURTHER_INFORMATION", Guidance: "How large?"}); err != nil {
		t.Fatal(err)
	}
	user := []string{"NHSD-End-User-Organisation-ODS", "RXX01", "NHSD-eRS-Business-Function", "SERVICE_PROVIDER_CLINICIAN"}
	behalf := []string{"NHSD-End-User-Organisation-ODS", "RXX01", "NHSD-eRS-Business-Function", actsFor}
	review, slots := "REFERRALS_FOR_REVIEW", "APPOINTMENT_SLOT_ISSUES"
	referrals, talks := "eRS-ReferralListSelector-1", "eRS-CommunicationListSelector-1"
	const pathA008, pathA023 = "/STU3/ReferralRequest/$ers.fetchworklist", "/STU3/CommunicationRequest/$ers.fetchworklist"
	fileID := func(name string) string {
		for id, u := range s.Uploads() {
			if u.Name == name {
				return id
			}
		}
		return ""
	}
	focus := func(version int) string {
		return fmt.Sprintf("?focus=ReferralRequest/%s/_history/%d&intent=proposal&status=ready", first, version)
	}
	for name, c := range map[string]struct {
		method, template, path, body string
		headers                      []string
		status                       int
		says                         string // in the body
	}{
		"review":                   {"POST", pathA008, "", listBody(referrals, review, "50001"), application, 200, first},
		"review, booked":           {"POST", pathA008, "", listBody(referrals, review, "50001"), user, 200, booked},
		"review of another":        {"POST", pathA008, "", listBody(referrals, review, "1"), application, 200, `"List"`},
		"review of all":            {"POST", pathA008, "", listBody(referrals, review, ""), user, 200, first},
		"no service":               {"POST", pathA008, "", listBody(referrals, review, ""), application, 422, "MISSING_VALUE"},
		"a list of referrers":      {"POST", pathA008, "", listBody(referrals, "AWAITING_BOOKING", "50001"), user, 422, "INVALID_CODE"},
		"a referrer's role":        {"POST", pathA008, "", listBody(referrals, review, "50001"), nil, 403, "FORBIDDEN"},
		"slots":                    {"POST", pathA008, "", listBody(referrals, slots, "50001"), application, 200, deferred},
		"no parameters":            {"POST", pathA008, "", "{}", application, 422, "INVALID_FHIR_STRUCTURE"},
		"advice":                   {"POST", pathA023, "", listBody(talks, "ADVICE_AND_GUIDANCE_REQUESTS", ""), user, 200, advice},
		"advice, nobody signed in": {"POST", pathA023, "", listBody(talks, "ADVICE_AND_GUIDANCE_REQUESTS", "50002"), application, 400, "MISSING_HEADER"},
		"nobody to act for":        {"POST", pathA023, "", listBody(talks, "ADVICE_AND_GUIDANCE_REQUESTS", ""), behalf, 403, "NO_ACCESS"},
		"referral":                 {"GET", "/STU3/ReferralRequest/{ubrn}", "/STU3/ReferralRequest/" + first, "", application, 200, "PENDING"},
		"deferred referral":        {"GET", "/STU3/ReferralRequest/{ubrn}", "/STU3/ReferralRequest/" + deferred, "", application, 200, "ReferralRequest/" + first},
		"booked referral":          {"GET", "/STU3/ReferralRequest/{ubrn}", "/STU3/ReferralRequest/" + booked, "", application, 200, "booked"},
		"no referral":              {"GET", "/STU3/ReferralRequest/{ubrn}", "/STU3/ReferralRequest/000000000001", "", application, 404, ""},
		"advice for a referral":    {"GET", "/STU3/ReferralRequest/{ubrn}", "/STU3/ReferralRequest/" + advice, "", application, 422, "INVALID_REQUEST_TYPE"},
		"advice request":           {"GET", "/STU3/CommunicationRequest/{ubrn}", "/STU3/CommunicationRequest/" + advice, "", application, 200, "NOT_AUTHORISED"},
		"conversation": {"GET", "/STU3/Communication", "/STU3/Communication?based-on=CommunicationRequest/" + advice +
			"/_history/7&_include=Communication:content-reference:DocumentReference", "", application, 200, "more.png"},
		"information":         {"POST", "/STU3/ReferralRequest/{ubrn}/$ers.generateCRI", "/STU3/ReferralRequest/" + first + "/$ers.generateCRI", "", application, 200, "%PDF-"},
		"information, advice": {"POST", "/STU3/ReferralRequest/{ubrn}/$ers.generateCRI", "/STU3/ReferralRequest/" + advice + "/$ers.generateCRI", "", application, 422, "INVALID_REQUEST_TYPE"},
		"overview":            {"POST", "/STU3/CommunicationRequest/{ubrn}/$ers.generateCRI", "/STU3/CommunicationRequest/" + advice + "/$ers.generateCRI", "", application, 200, "%PDF-"},
		"file":                {"GET", "/R4/Binary/{id}", "/R4/Binary/" + fileID("letter.pdf"), "", application, 307, ""},
		"file being scanned":  {"GET", "/R4/Binary/{id}", "/R4/Binary/" + fileID("photo.jpg"), "", application, 422, "PENDING"},
		"no file":             {"GET", "/R4/Binary/{id}", "/R4/Binary/none", "", application, 404, "REC_NOT_FOUND"},
		"file, no token":      {"GET", "/R4/Binary/{id}", "/R4/Binary/none", "", append([]string{"Authorization", ""}, application...), 401, "ACCESS_DENIED"},
		"priorities":          {"GET", "/STU3/CodeSystem/{codeSystemType}", "/STU3/CodeSystem/PRIORITY", "", application, 200, "triageContactDays"},
		"specialties":         {"GET", "/STU3/CodeSystem/{codeSystemType}", "/STU3/CodeSystem/SPECIALTY", "", application, 200, "DERMATOLOGY"},
		"reasons":             {"GET", "/STU3/CodeSystem/{codeSystemType}", "/STU3/CodeSystem/REFERRAL-CANCELLATION-REASON", "", application, 200, "NO_LONGER_REQUIRED"},
		"actions":             {"GET", "/STU3/Task", "/STU3/Task" + focus(5), "", application, 200, "RECORD_REVIEW_OUTCOME"},
		"actions, old":        {"GET", "/STU3/Task", "/STU3/Task" + focus(4), "", application, 400, "HISTORY_NOT_SUPPORTED"},
	} {
		t.Run(name, func(t *testing.T) {
			path := c.path
			if path == "" {
				path = c.template
			}
			resp, body := s.curl(t, c.method, path, c.body, c.headers...)
			if resp.StatusCode != c.status || !strings.Contains(body, c.says) {
				t.Fatalf("%d, want %d with %q: %.300s", resp.StatusCode, c.status, c.says, body)
			}
			holds(t, doc, c.method, c.template, resp, body)
		})
	}
	for _, f := range []struct {
		call, method, template, path string
	}{{"A008", "POST", pathA008, pathA008}, {"A005", "GET", "/STU3/ReferralRequest/{ubrn}", "/STU3/ReferralRequest/" + first},
		{"A042", "GET", "/R4/Binary/{id}", "/R4/Binary/" + fileID("letter.pdf")}, {"A007", "POST", "/STU3/ReferralRequest/{ubrn}/$ers.generateCRI", "/STU3/ReferralRequest/" + first + "/$ers.generateCRI"}} {
		for _, status := range []int{401, 403, 404, 422, 429, 500, 503} {
			if f.call == "A008" && status == 404 {
				continue
			}
			s.Fail(Fault{Call: f.call, Status: status, Code: map[int]string{422: "PATIENT_ERROR"}[status]})
			resp, body := s.curl(t, f.method, f.path, "{}", application...)
			if resp.StatusCode != status {
				t.Errorf("%s: %d, want %d", f.call, resp.StatusCode, status)
			}
			holds(t, doc, f.method, f.template, resp, body)
		}
	}
}
