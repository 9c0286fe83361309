package sim

import (
	"fmt"
	"strings"
	"testing"
)

// decisions are the smallest good bodies of what a provider decides.
func (s *ERS) decisions() map[string]string {
	parameters := func(profile string, ps ...string) string {
		return `{"resourceType":"Parameters","meta":{"profile":["` + stu3 + profile + `"]},"parameter":[` + strings.Join(ps, ",") + `]}`
	}
	coded := func(name, system, code string) string {
		return `{"name":"` + name + `","valueCoding":{"system":"` + system + `","code":"` + code + `"}}`
	}
	words := func(name, text string) string { return `{"name":"` + name + `","valueString":"` + text + `"}` }
	return map[string]string{
		"A026": parameters("eRS-SendCommunicationToRequester-Request-Parameters-1", coded("guidanceOutcome", stu3Codes+"eRS-GuidanceResponseOutcome-1", "RETURN_TO_REFERRER_WITH_ADVICE"),
			coded("guidanceIntendedRecommendation", stu3Codes+"eRS-GuidanceIntendedRecommendation-1", "REFERRAL_RECOMMENDED"),
			words("guidance", "Please refer."), coded("updatedPriority", stu3Codes+"eRS-Priority-1", "URGENT")),
		"A028": parameters("eRS-RecordReviewOutcome-Parameters-1", coded("reviewOutcome", stu3Codes+"eRS-ReviewOutcome-1", "ACCEPT_REFER_BOOK_LATER"),
			words("reviewComments", "Clinic"), coded("reviewPriority", stu3Codes+"eRS-Priority-1", "URGENT")),
		"A036": parameters("eRS-CancelReferral-Request-Parameters-1", coded("cancellationReason", s.system(cancellationReasons), "PATIENT_REQUEST_CANCELLATION_OTHER"),
			words("cancellationComments", "Moved away")),
	}
}

var clinician = []string{"NHSD-End-User-Organisation-ODS", "RXX01", "NHSD-eRS-Business-Function", "SERVICE_PROVIDER_CLINICIAN"}

// TestWhatWritesHoldsTheContract makes each call that changes something once as documented, and meets each with every
// status that is published for it.
func TestWhatWritesHoldsTheContract(t *testing.T) {
	s, ubrn, bound, free := prepared(t)
	doc, b, d := published(t), s.bodies(), s.decisions()
	const referral, talk = "/STU3/ReferralRequest/{ubrn}", "/STU3/CommunicationRequest/{ubrn}"
	call := func(name, method, template, path, body string, want int, headers ...string) string {
		t.Helper()
		resp, said := s.curl(t, method, path, body, headers...)
		if resp.StatusCode != want {
			t.Fatalf("%s: %d, want %d: %s", name, resp.StatusCode, want, said)
		}
		holds(t, doc, method, template, resp, said)
		for _, n := range statuses(doc.Paths.Value(template).GetOperation(method)) {
			if err := s.Arrange(Fault{Call: name, Status: n, Code: map[int]string{400: "INVALID_VALUE", 422: "PATIENT_ERROR"}[n]}); err != nil {
				t.Fatal(err)
			}
			resp, said := s.curl(t, method, path, body, headers...)
			if resp.StatusCode != n {
				t.Errorf("%s: %d, want %d", name, resp.StatusCode, n)
			}
			holds(t, doc, method, template, resp, said)
		}
		return said
	}
	const search = "/STU3/HealthcareService/$ers.searchHealthcareServicesForPatient"
	control(t, s.URL+"/sim/services", `{"id":"50001","flow":"BY_POST"}`, 400)
	control(t, s.URL+"/sim/services", `{"id":"50001","name":"Mole clinic","wait":3}`, 204)
	criteria := `{"resourceType":"Parameters","meta":{"profile":["` + stu3 + `eRS-PatientServiceSearch-Parameters-1"]},"parameter":[
	{"name":"requestType","valueCoding":{"system":"` + stu3Codes + `eRS-RequestType-1","code":"APPOINTMENT_REQUEST"}},{"name":"sortBy","valueCoding":{"system":"` + stu3Codes + `eRS-SortBy-1","code":"DISTANCE"}},
	{"name":"patient","valueIdentifier":{"system":"` + nhsNumber + `","value":"9990548609"}},{"name":"searchCriteria","resource":{"resourceType":"Parameters","parameter":[
	{"name":"priority","valueCoding":{"system":"` + stu3Codes + `eRS-Priority-1","code":"URGENT"}},{"name":"specialty","valueCoding":{"system":"` + s.system(specialtySystem) + `","code":"DERMATOLOGY"}}]}}]}`
	if said := call("A010", "POST", search, search, criteria, 200); !strings.Contains(said, "Mole clinic") || strings.Contains(said, "ADVICE_AND_GUIDANCE_REQUEST") {
		t.Errorf("A010: %s", said)
	}
	if said := call("A010", "POST", search, search, edited(t, criteria, "APPOINTMENT_REQUEST", "ADVICE_AND_GUIDANCE_REQUEST"), 200); !strings.Contains(said, "7654322") || strings.Contains(said, "Mole clinic") {
		t.Errorf("A010 of advice: %s", said)
	}
	if said := call("A010", "POST", search, search, edited(t, criteria, "DERMATOLOGY", "CARDIOLOGY"), 200); !strings.Contains(said, "emptyReason") {
		t.Errorf("A010 of nothing: %s", said)
	}
	call("A010", "POST", search, search, edited(t, criteria, "9990548609", "9990548608"), 422)
	call("A020", "POST", "/STU3/Binary", "/STU3/Binary", "photo", 201, "Content-Type", "image/jpeg", "NHSD-eRS-File-Name", "q.jpg")
	call("A011", "POST", pathA011, pathA011, b["A011"], 201)
	call("A012", "POST", referral+"/$ers.maintainReferralLetter", "/STU3/ReferralRequest/"+ubrn+"/$ers.maintainReferralLetter", edited(t, b["A012"], "BINARY", bound), 200, "If-Match", `W/"3"`)
	call("A016", "POST", "/STU3/Appointment", "/STU3/Appointment", edited(t, b["A016"], "UBRN", ubrn), 201)
	call("A028", "POST", referral+"/$ers.recordReviewOutcome", "/STU3/ReferralRequest/"+ubrn+"/$ers.recordReviewOutcome", d["A028"], 200,
		append([]string{"If-Match", `W/"6"`}, application...)...)
	if said := call("A005", "GET", referral, "/STU3/ReferralRequest/"+ubrn, "", 200); !strings.Contains(said, `"ACCEPT_REFER_BOOK_LATER"`) || !strings.Contains(said, `"URGENT"`) {
		t.Errorf("after A028: %s", said)
	}
	if err := s.Book(ubrn); err != nil {
		t.Fatal(err)
	}
	said := call("A036", "POST", referral+"/$ers.cancelReferral", "/STU3/ReferralRequest/"+ubrn+"/$ers.cancelReferral", d["A036"], 200, "If-Match", `W/"8"`)
	if !strings.Contains(said, "updatedAppointment") || !strings.Contains(said, "CANCELLED_REFERRAL") || !strings.Contains(said, "Moved away") {
		t.Errorf("A036: %s", said)
	}
	said = call("A044", "POST", pathA044, pathA044, edited(t, b["A044"], "BINARY", free), 200)
	asked := text(parse([]byte(said)), "parameter", 0, "resource", "id")
	call("A026", "POST", talk+"/$ers.sendCommunicationToRequester", "/STU3/CommunicationRequest/"+asked+"/$ers.sendCommunicationToRequester", d["A026"], 200,
		append([]string{"If-Match", `W/"1"`}, clinician...)...)
	if said := call("A024", "GET", talk, "/STU3/CommunicationRequest/"+asked, "", 200); !strings.Contains(said, "REFERRER_TO_REVIEW_RESPONSE") {
		t.Errorf("after A026: %s", said)
	}
	said = call("A025", "GET", "/STU3/Communication", "/STU3/Communication?based-on=CommunicationRequest/"+asked+"/_history/2", "", 200)
	if !strings.Contains(said, "Please refer.") {
		t.Errorf("A025: %s", said)
	}
	call("A005", "GET", referral+"/_history/{version}", "/STU3/ReferralRequest/"+ubrn+"/_history/9", "", 200)
	call("A024", "GET", talk+"/_history/{version}", "/STU3/CommunicationRequest/"+asked+"/_history/2", "", 200)
	for path, want := range map[string]int{"/STU3/CommunicationRequest/" + asked + "/_history/1": 404, "/STU3/ReferralRequest/" + ubrn + "/_history/x": 404} {
		if resp, _ := s.curl(t, "GET", path, ""); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func TestWhatAProvidersDecisionIsRefusedFor(t *testing.T) {
	s, ubrn, _, free := prepared(t)
	d := s.decisions()
	_, said := s.curl(t, "POST", pathA044, edited(t, s.bodies()["A044"], "BINARY", free))
	asked := text(parse([]byte(said)), "parameter", 0, "resource", "id")
	advise, triage, cancel := "/STU3/CommunicationRequest/"+asked+"/$ers.sendCommunicationToRequester",
		"/STU3/ReferralRequest/"+ubrn+"/$ers.recordReviewOutcome", "/STU3/ReferralRequest/"+ubrn+"/$ers.cancelReferral"
	now := func(version int, more ...string) []string {
		return append(append([]string{"If-Match", fmt.Sprintf(`W/"%d"`, version)}, clinician...), more...)
	}
	referring := []string{"If-Match", `W/"3"`}
	for name, c := range map[string]struct {
		path, body string
		headers    []string
		status     int
		code       string
	}{
		"a referrer advises":          {advise, d["A026"], []string{"If-Match", `W/"1"`}, 403, "FORBIDDEN"},
		"no version":                  {advise, d["A026"], clinician, 412, ""},
		"an old version":              {advise, d["A026"], now(9), 409, ""},
		"advice without advice":       {advise, edited(t, d["A026"], "Please refer.", ""), now(1), 422, "MISSING_VALUE"},
		"no recommendation":           {advise, edited(t, d["A026"], `"code":"REFERRAL_RECOMMENDED"`, `"code":""`), now(1), 422, "INVALID_VALUE"},
		"recommended with a question": {advise, edited(t, d["A026"], "RETURN_TO_REFERRER_WITH_ADVICE", "REQUIRE_FURTHER_INFORMATION"), now(1), 422, "INAPPROPRIATE_VALUE"},
		"too much of it":              {advise, edited(t, d["A026"], "Please refer.", strings.Repeat("x", 8001)), now(1), 422, "INVALID_VALUE"},
		"converted without leave": {advise, edited(t, d["A026"], "RETURN_TO_REFERRER_WITH_ADVICE", "PROVIDER_CONVERTED",
			`{"name":"guidanceIntendedRecommendation","valueCoding":{"system":"`+stu3Codes+`eRS-GuidanceIntendedRecommendation-1","code":"REFERRAL_RECOMMENDED"}},`, ""), now(1), 422, "INAPPROPRIATE_VALUE"},
		"triage of what is not sent":  {triage, d["A028"], now(3), 422, "INVALID_REQUEST_STATE"},
		"another outcome":             {triage, edited(t, d["A028"], "ACCEPT_REFER_BOOK_LATER", "CANCEL_APPOINTMENT_ACTION_LATER"), now(3), 422, "INVALID_CODE"},
		"no comment":                  {triage, edited(t, d["A028"], "Clinic", ""), now(3), 422, "MISSING_VALUE"},
		"a priority of what is back":  {triage, edited(t, d["A028"], "ACCEPT_REFER_BOOK_LATER", "RETURN_TO_REFERRER_WITH_ADVICE"), now(3), 422, "PRIORITY_NOT_CURRENT"},
		"no such reason":              {cancel, edited(t, d["A036"], "PATIENT_REQUEST_CANCELLATION_OTHER", "BORED"), referring, 422, "INAPPROPRIATE_VALUE"},
		"a reason without its words":  {cancel, edited(t, d["A036"], "Moved away", ""), referring, 422, "MISSING_VALUE"},
		"a provider's reason":         {cancel, edited(t, d["A036"], "PATIENT_REQUEST_CANCELLATION_OTHER", "BOOKED_OUTSIDE_CAB"), referring, 422, "INAPPROPRIATE_VALUE"},
		"a reason of triage too soon": {cancel, edited(t, d["A036"], "PATIENT_REQUEST_CANCELLATION_OTHER", "NO_LONGER_REQUIRED"), now(3), 422, "INAPPROPRIATE_VALUE"},
		"a reason in one word":        {cancel, edited(t, d["A036"], "Moved away", strings.Repeat("x", 2001)), referring, 422, "INAPPROPRIATE_VALUE"},
	} {
		if resp, said := s.curl(t, "POST", c.path, c.body, c.headers...); resp.StatusCode != c.status || !strings.Contains(said, `"`+c.code+`"`) && c.code != "" {
			t.Errorf("%s: %d %s, want %d %s", name, resp.StatusCode, said, c.status, c.code)
		}
	}
	if q, _ := s.Request("a", asked); q.Version != 1 {
		t.Error("a refused call changed something")
	}
}
