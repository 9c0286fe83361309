package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// curl makes one call with the headers of a referring clinician; a header given as "" is left out.
func (s *ERS) curl(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, s.Base()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	all := append([]string{"Authorization", "Bearer t", "NHSD-End-User-Organisation-ODS", "Y06601",
		"NHSD-eRS-Business-Function", "REFERRING_CLINICIAN", "Content-Type", fhirJSON, "X-Correlation-ID", "c-1"}, headers...)
	for i := 0; i < len(all); i += 2 {
		req.Header.Del(all[i])
		if all[i+1] != "" {
			req.Header.Set(all[i], all[i+1])
		}
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(said)
}

// edited changes texts of a JSON body; each must be there.
func edited(t *testing.T, body string, edit ...string) string {
	t.Helper()
	for i := 0; i < len(edit); i += 2 {
		if !strings.Contains(body, edit[i]) {
			t.Fatalf("%q is not in the body", edit[i])
		}
		body = strings.ReplaceAll(body, edit[i], edit[i+1])
	}
	return body
}

// bodies are the smallest good ones, in the shape of the published examples.
func (s *ERS) bodies() map[string]string {
	list := `{"meta":{"profile":["` + stu3 + `eRS-Shortlist-List-1"]},"resourceType":"List","status":"current","mode":"snapshot",
	"contained":[{"resourceType":"Parameters","meta":{"profile":["` + stu3 + `eRS-ServiceSearchCriteria-Parameters-1"]},"id":"S1","parameter":[
	{"name":"priority","valueCoding":{"system":"` + stu3Codes + `eRS-Priority-1","code":"URGENT"}},{"name":"specialty","valueCoding":{"system":"` + s.Base() + `/STU3/CodeSystem/SPECIALTY","code":"DERMATOLOGY"}}]}],
	"entry":[{"item":{"identifier":{"system":"` + service + `","value":"50001"}}}],"extension":[{"valueReference":{"reference":"#S1"}}]}`
	patient := `{"name":"patient","valueIdentifier":{"system":"` + nhsNumber + `","value":"9990548609"}}`
	doc := func(kind string) string {
		return `{"meta":{"profile":["` + stu3 + `eRS-DocumentReference-1"]},"resourceType":"DocumentReference","type":{"coding":[{"system":"` + stu3Codes +
			`eRS-AttachmentType-1","code":"` + kind + `"}]},"status":"current","indexed":"2026-03-01T09:00:00.000Z","content":[{"attachment":{"url":"BINARY"}}]}`
	}
	return map[string]string{
		"A011": `{"resourceType":"Parameters","meta":{"profile":["` + stu3 + `eRS-CreateReferral-Parameters-1"]},"parameter":[` + patient +
			`,{"name":"intentionToAddReferralLetter","valueCoding":{"code":"NEED_TO_ADD_LATER"}},{"name":"shortlist","resource":` + list + `}]}`,
		"A044": `{"resourceType":"Parameters","meta":{"profile":["` + stu3 + `eRS-CreateAdviceAndGuidance-Request-Parameters-1"]},"parameter":[` + patient +
			`,{"name":"providerConversionAuthorisation","valueCoding":{"code":"NOT_AUTHORISED_TO_CONVERT"}},{"name":"request","valueString":"What is it?"},
			{"name":"shortlist","resource":` + list + `},{"name":"requestAttachmentFile","resource":` + doc("ADVICE_REQUEST") + `}]}`,
		"A012": `{"resourceType":"Parameters","meta":{"profile":["` + stu3 + `eRS-MaintainReferralLetter-Parameters-1"]},"parameter":[
			{"name":"referralLetterFile","resource":` + doc("REFERRER") + `}]}`,
		"A016": `{"resourceType":"Appointment","meta":{"profile":["` + stu3 + `eRS-Appointment-1"]},"id":"a","description":"e-Referral Appointment","status":"proposed","reason":[{"coding":[{"system":"` + stu3Codes +
			`eRS-ReviewReason-1","code":"TRIAGE"}]}],"incomingReferral":[{"reference":"ReferralRequest/UBRN/_history/4"}],"participant":[
			{"actor":{"identifier":{"system":"` + service + `","value":"50001"}},"status":"accepted"},{"actor":{"identifier":{"system":"` + nhsNumber + `","value":"9990548609"}},"status":"accepted"}]}`,
	}
}

const (
	pathA011 = "/STU3/ReferralRequest/$ers.createReferral"
	pathA044 = "/STU3/CommunicationRequest/$ers.createAdviceAndGuidance"
)

// prepared has one referral with a file uploaded for it, and one free upload.
func prepared(t *testing.T) (s *ERS, ubrn, bound, free string) {
	t.Helper()
	s, err := StartERS("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	resp, body := s.curl(t, "POST", pathA011, s.bodies()["A011"])
	ubrn = text(parse([]byte(body)), "id")
	if resp.StatusCode != 201 || len(ubrn) != 12 || resp.Header.Get("ETag") != `W/"3"` || resp.Header.Get("X-Correlation-ID") != "c-1" {
		t.Fatalf("A011: %d %v %s", resp.StatusCode, resp.Header, body)
	}
	upload := func(referral string) string {
		resp, body := s.curl(t, "POST", "/STU3/Binary", "photo", "Content-Type", "image/jpeg", "NHSD-eRS-File-Name", "p.jpg", "NHSD-eRS-Referral-ID", referral)
		if resp.StatusCode != 201 || !strings.HasPrefix(resp.Header.Get("Location"), "Binary/") || body != "" {
			t.Fatalf("A020: %d %v %s", resp.StatusCode, resp.Header, body)
		}
		return resp.Header.Get("Location")
	}
	return s, ubrn, upload(ubrn), upload("")
}

func TestWhatERSRefuses(t *testing.T) {
	s, ubrn, bound, free := prepared(t)
	b := s.bodies()
	letter, send := "/STU3/ReferralRequest/"+ubrn+"/$ers.maintainReferralLetter", "/STU3/Appointment"
	a012, a044 := edited(t, b["A012"], "BINARY", bound), edited(t, b["A044"], "BINARY", free)
	a016 := edited(t, b["A016"], "UBRN", ubrn)
	ok := `W/"3"`
	for name, c := range map[string]struct {
		path, body string
		headers    []string
		status     int
		code       string
	}{
		"no token":                   {pathA011, b["A011"], []string{"Authorization", ""}, 401, "NO_ACCESS"},
		"no organisation":            {pathA011, b["A011"], []string{"NHSD-End-User-Organisation-ODS", ""}, 400, "MISSING_HEADER"},
		"no business function":       {pathA011, b["A011"], []string{"NHSD-eRS-Business-Function", ""}, 400, "MISSING_HEADER"},
		"a provider's function":      {pathA011, b["A011"], []string{"NHSD-eRS-Business-Function", "SERVICE_PROVIDER_CLINICIAN"}, 403, "FORBIDDEN"},
		"on behalf of":               {pathA011, b["A011"], []string{"NHSD-eRS-On-Behalf-Of-User-ID", "1"}, 403, "NO_ACCESS"},
		"an admin without clinician": {pathA011, b["A011"], []string{"NHSD-eRS-Business-Function", "REFERRING_CLINICIAN_ADMIN"}, 422, "VALUE_IS_REQUIRED"},
		"plain JSON":                 {pathA011, b["A011"], []string{"Content-Type", "application/json"}, 415, ""},
		"another profile":            {pathA011, edited(t, b["A011"], "CreateReferral", "Create"), nil, 422, "INVALID_FHIR_STRUCTURE"},
		"an unknown parameter":       {pathA011, edited(t, b["A011"], "intentionToAddReferralLetter", "intention"), nil, 422, "UNEXPECTED_FIELD"},
		"a wrong check digit":        {pathA011, edited(t, b["A011"], "9990548609", "9990548608"), nil, 422, "PATIENT_ERROR"},
		"R4's identifier system":     {pathA011, edited(t, b["A011"], nhsNumber, "https://fhir.nhs.uk/Id/nhs-number"), nil, 422, "MISSING_VALUE"},
		"another priority":           {pathA011, edited(t, b["A011"], "URGENT", "STAT"), nil, 422, "INVALID_CODE"},
		"no conversion":              {pathA044, edited(t, a044, `"code":"NOT_AUTHORISED_TO_CONVERT"`, `"code":""`), nil, 422, "MISSING_VALUE"},
		"8,001 characters":           {pathA044, edited(t, a044, "What is it?", strings.Repeat("é", 8001)), nil, 422, "INVALID_VALUE"},
		"a file of another request":  {pathA044, edited(t, a044, free, bound), nil, 422, "INAPPROPRIATE_VALUE"},
		"a file that is not there":   {pathA044, edited(t, a044, free, "Binary/x"), nil, 422, "REFERENCE_NOT_FOUND"},
		"two services":               {pathA044, edited(t, a044, `"entry":[`, `"entry":[{"item":{"identifier":{"system":"`+service+`","value":"2"}}},`), nil, 422, "TOO_MANY_ITEMS"},
		"no If-Match":                {letter, a012, nil, 412, ""},
		"a strong If-Match":          {letter, a012, []string{"If-Match", `"3"`}, 400, "INVALID_VALUE"},
		"an old version":             {letter, a012, []string{"If-Match", `W/"2"`}, 409, ""},
		"no such referral":           {edited(t, letter, ubrn, "000000000000"), a012, []string{"If-Match", ok}, 404, ""},
		"not uploaded for it":        {letter, edited(t, a012, bound, free), []string{"If-Match", ok}, 422, "INAPPROPRIATE_VALUE"},
		"an advice's file type":      {letter, edited(t, a012, "REFERRER", "ADVICE_REQUEST"), []string{"If-Match", ok}, 422, "INVALID_VALUE"},
		"the same file twice": {letter, edited(t, a012, `"parameter":[`, `"parameter":[`+a012[strings.Index(a012, `{"name":"referralLetterFile"`):strings.LastIndex(a012, "]}")]+","),
			[]string{"If-Match", ok}, 422, "DUPLICATE_FILENAME"},
		"an empty set":            {letter, `{"resourceType":"Parameters","meta":{"profile":["` + stu3 + `eRS-MaintainReferralLetter-Parameters-1"]}}`, []string{"If-Match", ok}, 422, "MISSING_VALUE"},
		"sent by an old version":  {send, edited(t, a016, "_history/4", "_history/2"), nil, 409, ""},
		"another patient":         {send, edited(t, a016, "9990548609", "9990000018", "_history/4", "_history/3"), nil, 422, "INAPPROPRIATE_VALUE"},
		"a service not asked for": {send, edited(t, a016, "50001", "50002", "_history/4", "_history/3"), nil, 422, "INAPPROPRIATE_VALUE"},
		"not for triage":          {send, edited(t, a016, "TRIAGE", "NO_SLOTS_AT_SERVICE"), nil, 422, "INVALID_VALUE"},
		"a HEIC":                  {"/STU3/Binary", "x", []string{"Content-Type", "image/heic", "NHSD-eRS-File-Name", "x.heic"}, 415, ""},
		"a file without a name":   {"/STU3/Binary", "x", []string{"Content-Type", "image/png"}, 422, "MISSING_VALUE"},
		"an empty file":           {"/STU3/Binary", "", []string{"Content-Type", "image/png", "NHSD-eRS-File-Name", "x.png"}, 422, "FILE_SIZE_ERROR"},
		"a byte over":             {"/STU3/Binary", strings.Repeat("x", maxFile+1), []string{"Content-Type", "image/png", "NHSD-eRS-File-Name", "x.png"}, 422, "FILE_SIZE_ERROR"},
		"uploaded for nobody":     {"/STU3/Binary", "x", []string{"Content-Type", "image/png", "NHSD-eRS-File-Name", "x.png", "NHSD-eRS-Referral-ID", "1"}, 422, "INAPPROPRIATE_VALUE"},
	} {
		resp, said := s.curl(t, "POST", c.path, c.body, c.headers...)
		if resp.StatusCode != c.status || !strings.Contains(said, `"`+c.code+`"`) && c.code != "" {
			t.Errorf("%s: %d %s, want %d %s", name, resp.StatusCode, said, c.status, c.code)
		}
	}
	if len(s.Requests("r")) != 1 || len(s.Requests("a")) != 0 {
		t.Error("a refused call created something")
	}
}

func TestERSFromShortlistToTriage(t *testing.T) {
	s, ubrn, bound, _ := prepared(t)
	letter := "/STU3/ReferralRequest/" + ubrn + "/$ers.maintainReferralLetter"
	a012 := edited(t, s.bodies()["A012"], "BINARY", bound)
	if resp, said := s.curl(t, "POST", letter, a012, "If-Match", `W/"3"`); resp.StatusCode != 200 || resp.Header.Get("ETag") != `W/"4"` {
		t.Fatalf("A012: %d %s", resp.StatusCode, said)
	}
	if resp, said := s.curl(t, "POST", letter, a012, "If-Match", `W/"4"`); resp.StatusCode != 422 || !strings.Contains(said, "NO_CHANGES_DETECTED") {
		t.Errorf("A012 again: %d %s", resp.StatusCode, said)
	}
	a016 := edited(t, s.bodies()["A016"], "UBRN", ubrn)
	if resp, said := s.curl(t, "POST", "/STU3/Appointment", a016); resp.StatusCode != 201 || !strings.Contains(said, "/_history/6") {
		t.Fatalf("A016: %d %s", resp.StatusCode, said)
	}
	if resp, _ := s.curl(t, "POST", "/STU3/Appointment", a016); resp.StatusCode != 409 {
		t.Errorf("A016 again: %d", resp.StatusCode)
	}
	control(t, s.URL+"/sim/referral/"+ubrn+"/triage", `{"outcome":"ACCEPT_REFER_BOOK_LATER","comment":"Clinic"}`, 204)
	control(t, s.URL+"/sim/referral/"+ubrn+"/triage", `{"outcome":"REDIRECT","comment":"Clinic"}`, 400)
	resp, said := s.curl(t, "GET", "/STU3/ReferralRequest/"+ubrn, "")
	if resp.StatusCode != 200 || resp.Header.Get("ETag") != `W/"7"` || !strings.Contains(said, "ACCEPT_REFER_BOOK_LATER") || !strings.Contains(said, `"Clinic"`) {
		t.Errorf("A005: %d %s", resp.StatusCode, said)
	}
	control(t, s.URL+"/sim/referral/"+ubrn+"/book", "", 204)
	if q, _ := s.Request("r", ubrn); q.State != "BOOKED" {
		t.Error(q.State)
	}
	if resp, _ := s.curl(t, "GET", "/STU3/CommunicationRequest/"+ubrn, ""); resp.StatusCode != 422 {
		t.Errorf("a referral read as advice: %d", resp.StatusCode)
	}
}

func TestERSAConversation(t *testing.T) {
	s, _, _, free := prepared(t)
	resp, said := s.curl(t, "POST", pathA044, edited(t, s.bodies()["A044"], "BINARY", free))
	ubrn := text(parse([]byte(said)), "parameter", 0, "resource", "id")
	if resp.StatusCode != 200 || len(ubrn) != 12 || resp.Header.Get("ETag") != "" {
		t.Fatalf("A044: %d %s", resp.StatusCode, said)
	}
	control(t, s.URL+"/sim/advice/"+ubrn+"/answer", `{"outcome":"RETURN_TO_REFERRER_WITH_ADVICE","guidance":"Benign"}`, 400) // no recommendation
	control(t, s.URL+"/sim/advice/"+ubrn+"/answer", `{"outcome":"RETURN_TO_REFERRER_WITH_ADVICE","recommendation":"ADVICE_ONLY_NO_REFERRAL_RECOMMENDED","guidance":"Benign"}`, 204)
	if _, said := s.curl(t, "GET", "/STU3/CommunicationRequest/"+ubrn, ""); !strings.Contains(said, "REFERRER_TO_REVIEW_RESPONSE") || strings.Contains(said, "ADVICE_ONLY") {
		t.Errorf("A024: %s", said)
	}
	talk := "/STU3/Communication?based-on=CommunicationRequest/" + ubrn + "/_history/%d&_include=Communication:content-reference:DocumentReference"
	if resp, _ := s.curl(t, "GET", fmt.Sprintf(talk, 1), ""); resp.StatusCode != 404 {
		t.Errorf("A025 of an old version: %d", resp.StatusCode)
	}
	_, said = s.curl(t, "GET", fmt.Sprintf(talk, 2), "")
	var set struct {
		Total int
		Entry []struct{ Search struct{ Mode string } }
	}
	if err := json.Unmarshal([]byte(said), &set); err != nil || set.Total != 2 || len(set.Entry) != 3 || !strings.Contains(said, `"Benign"`) {
		t.Errorf("A025: %s", said)
	}
	id := strings.TrimPrefix(free, "Binary/")
	resp, _ = s.curl(t, "GET", "/R4/Binary/"+id, "")
	if resp.StatusCode != 307 {
		t.Fatalf("A042: %d", resp.StatusCode)
	}
	got, err := http.Get(resp.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	if b, _ := io.ReadAll(got.Body); string(b) != "photo" {
		t.Errorf("the object is %q", b)
	}
	withToken, err := http.NewRequest("GET", resp.Header.Get("Location"), nil)
	if err != nil {
		t.Fatal(err)
	}
	withToken.Header.Set("Authorization", "Bearer t")
	refused, err := http.DefaultClient.Do(withToken)
	if err != nil {
		t.Fatal(err)
	}
	if refused.Body.Close(); refused.StatusCode != 400 {
		t.Errorf("the object store takes e-RS's token: %d", refused.StatusCode)
	}
	control(t, s.URL+"/sim/request/"+ubrn+"/cancel", "", 204)
	if q, _ := s.Request("a", ubrn); q.State != "CONVERSATION_ENDED_CANCELLED" {
		t.Error(q.State)
	}
}

func TestScanning(t *testing.T) {
	s, err := StartERS("")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Scan = "PENDING"
	for name, want := range map[string]string{"x.png": "PENDING", "x.jpg": "VALIDATION_FAILED"} {
		resp, _ := s.curl(t, "POST", "/STU3/Binary", "x", "Content-Type", "image/png", "NHSD-eRS-File-Name", name)
		if _, said := s.curl(t, "GET", "/R4/"+resp.Header.Get("Location"), ""); !strings.Contains(said, want) {
			t.Errorf("%s: %s, want %s", name, said, want)
		}
	}
}

// control posts to a control endpoint.
func control(t *testing.T, url, body string, want int) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if said, _ := io.ReadAll(resp.Body); resp.StatusCode != want {
		t.Errorf("%s: %d %s, want %d", url, resp.StatusCode, said, want)
	}
}

func TestFaultsByHTTP(t *testing.T) {
	s, err := StartERS("")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	control(t, s.URL+"/sim/faults", `{"call":"A011","skip":1,"times":2,"status":503,"retryAfter":"7"}`, 204)
	control(t, s.URL+"/sim/faults", `{"cal":"A011"}`, 400)
	var got []int
	for range 4 {
		resp, _ := s.curl(t, "POST", pathA011, s.bodies()["A011"])
		got = append(got, resp.StatusCode)
		if resp.StatusCode == 503 && resp.Header.Get("Retry-After") != "7" {
			t.Error("no Retry-After")
		}
	}
	if fmt.Sprint(got) != "[201 503 503 201]" {
		t.Errorf("answers %v", got)
	}
	resp, err := http.Get(s.URL + "/sim/received?name=A011")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var calls []Call
	if err := json.NewDecoder(resp.Body).Decode(&calls); err != nil || len(calls) != 4 || calls[1].Status != 503 {
		t.Errorf("%v %v", calls, err)
	}
}
