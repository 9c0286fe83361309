package sim

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSettings(t *testing.T) {
	for text, want := range map[string]Fault{
		"call=A044,status=503,times=3,retryAfter=7":  {Call: "A044", Status: 503, Times: 3, RetryAfter: "7"},
		`{"call":"A044","delay":"1.5s","body":"{}"}`: {Call: "A044", Delay: 1500 * time.Millisecond, Body: "{}"},
		"drop,skip=2": {Drop: true, Skip: 2},
	} {
		var got Fault
		if err := Setting(text, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v %v", text, got, err)
		}
	}
	var a Ack
	if err := Setting("code=AR,error=207,delay=20ms", &a); err != nil || !reflect.DeepEqual(a, Ack{Code: "AR", Error: "207", Delay: 20 * time.Millisecond}) {
		t.Errorf("%+v %v", a, err)
	}
	for _, text := range []string{"", "status", "status=often", "cal=A044", "delay=2", `{"status":503`, "times=1.5"} {
		if err := Setting(text, new(Fault)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
	b, err := json.Marshal(Fault{Call: "A044", Delay: time.Second, Drop: true})
	if err != nil || string(b) != `{"call":"A044","drop":true,"delay":"1s"}` {
		t.Errorf("%s %v", b, err)
	}
}

// asks reads from a control API, in the way of a person.
func asks(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
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

func TestWhatIsToldAndShown(t *testing.T) {
	s, err := StartERS("")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Keep = 2
	for _, bad := range []string{`{"call":"A099","status":503}`, `{"call":"A044"}`, `{"status":42}`, `{"drop":true,"skip":-1}`, "", "[]"} {
		if status, said := asks(t, "POST", s.URL+"/sim/faults", bad); status != 400 {
			t.Errorf("%s: %d %s", bad, status, said)
		}
	}
	control(t, s.URL+"/sim/faults", `{"call":"A004","status":503,"times":-1}`, 204)
	for range 3 {
		if resp, _ := s.curl(t, "GET", "/STU3/CodeSystem/PRIORITY", ""); resp.StatusCode != 503 {
			t.Errorf("a fault for ever ended: %d", resp.StatusCode)
		}
	}
	if _, said := asks(t, "GET", s.URL+"/sim/faults", ""); !strings.Contains(said, `"status":503`) {
		t.Error(said)
	}
	asks(t, "DELETE", s.URL+"/sim/faults", "")
	if resp, _ := s.curl(t, "GET", "/STU3/CodeSystem/PRIORITY", ""); resp.StatusCode != 200 {
		t.Errorf("no faults, and yet %d", resp.StatusCode)
	}
	if _, said := asks(t, "GET", s.URL+"/sim/received", ""); strings.Count(said, `"A004"`) != 2 || !strings.Contains(said, `"n":4`) {
		t.Errorf("more or less than the last two: %s", said)
	}
	s.curl(t, "POST", pathA011, s.bodies()["A011"])
	status, said := asks(t, "GET", s.URL+"/sim/received/5", "")
	if status != 200 || !strings.Contains(said, "eRS-CreateReferral-Parameters-1") || strings.Contains(said, "Bearer t") || !strings.Contains(said, "Bearer …") {
		t.Errorf("%d %s", status, said)
	}
	if status, _ := asks(t, "GET", s.URL+"/sim/received/1", ""); status != 404 {
		t.Errorf("a call that is forgotten: %d", status)
	}
	if _, said := asks(t, "GET", s.URL+"/sim", ""); !strings.Contains(said, `"A026"`) || !strings.Contains(said, "/sim/advice/{ubrn}/convert") {
		t.Error(said)
	}
	if resp, said := s.curl(t, "GET", "/STU3/CodeSystem/PRIORITY", "", "Accept", "text/html"); resp.StatusCode != 406 || said != "Not Acceptable" {
		t.Errorf("HTML: %d %s", resp.StatusCode, said)
	}
}

func TestTooManyCallsASecond(t *testing.T) {
	s, err := StartERS("")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	s.Now, s.Rate = func() time.Time { return now }, 2
	var got []int
	for range 3 {
		resp, _ := s.curl(t, "GET", "/STU3/CodeSystem/PRIORITY", "")
		got = append(got, resp.StatusCode)
	}
	now = now.Add(time.Second)
	resp, _ := s.curl(t, "GET", "/STU3/CodeSystem/PRIORITY", "")
	if got = append(got, resp.StatusCode); !slices.Equal(got, []int{200, 200, 429, 200}) {
		t.Error(got)
	}
}

func TestPeopleInERS(t *testing.T) {
	s, err := StartERS("")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	at := s.URL + "/sim/"
	_, said := asks(t, "POST", at+"advice", `{"patient":"9990548609","priority":"ROUTINE","service":"50001","text":"What is it?","conversion":"AUTHORISED_TO_CONVERT","files":[{"name":"a.txt","type":"text/plain","body":"YQ=="}]}`)
	ubrn := text(parse([]byte(said)), "ubrn")
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{"advice", `{"patient":"1"}`, 400},
		{"advice/" + ubrn + "/answer", `{"outcome":"RETURN_TO_REFERRER_WITH_ADVICE","recommendation":"MAYBE","guidance":"x"}`, 400},
		{"advice/1/answer", `{"outcome":"REQUIRE_FURTHER_INFORMATION","guidance":"x"}`, 404},
		{"advice/" + ubrn + "/answer", `{"outcome":"REQUIRE_FURTHER_INFORMATION","guidance":"How large?","files":[{"name":"scale.pdf","type":"application/pdf","body":"YQ=="}]}`, 204},
		{"advice/" + ubrn + "/attach", `{"text":"7 mm"}`, 204},
		{"request/" + ubrn + "/touch", "", 204},
		{"advice/" + ubrn + "/convert", "", 200},
		{"advice/" + ubrn + "/convert", "", 400},
		{"advice/" + ubrn + "/close", "", 400},
		{"request/1/cancel", "", 404},
		{"scanned", `{"name":"scale.pdf","status":"FINE"}`, 400},
		{"scanned", `{"name":"scale.pdf","status":"THREATS_FOUND"}`, 204},
		{"scan", `{"status":"FINE"}`, 400},
	} {
		if status, said := asks(t, "POST", at+c.path, c.body); status != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.path, c.body, status, said, c.status)
		}
	}
	q, _ := s.Request("a", ubrn)
	r, ok := s.Request("r", ubrn)
	if q.State != converted || !ok || r.State != "TRIAGED_PROVIDER_TO_ACTION" || len(r.Files) != 2 || r.Patient != q.Patient {
		t.Errorf("%+v %+v", q, r)
	}
	if err := s.Cancel(ubrn); err != nil {
		t.Fatal(err)
	}
	if _, said := asks(t, "GET", at+"requests", ""); !strings.Contains(said, "CANCELLED_REFERRAL") {
		t.Error(said)
	}
	if s.Book(ubrn) == nil {
		t.Error("booked what is cancelled")
	}
}

func TestTokensOfAnotherProcess(t *testing.T) {
	s, err := StartToken("")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ers, err := StartERS("")
	if err != nil {
		t.Fatal(err)
	}
	defer ers.Close()
	ers.Tokens = Several{Given{"fixed": true}, Asked(s.URL)}
	_, said := asks(t, "POST", s.URL+"/sim/tokens", `{"user":true}`)
	user := text(parse([]byte(said)), "access_token")
	_, said = asks(t, "POST", s.URL+"/sim/tokens", `{}`)
	application := text(parse([]byte(said)), "access_token")
	create := func(token string) int {
		resp, _ := ers.curl(t, "POST", pathA011, ers.bodies()["A011"], "Authorization", "Bearer "+token)
		return resp.StatusCode
	}
	for token, want := range map[string]int{user: 201, application: 403, "fixed": 201, "forged": 401} {
		if got := create(token); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
	if _, said := asks(t, "DELETE", s.URL+"/sim/tokens", ""); said != "" || create(user) != 401 {
		t.Error("a revoked token passes")
	}
	for body, want := range map[string]int{`{"clientId":"a"}`: 400, `{"clientId":"a","kid":"k","jwks":"http://x"}`: 400, `{"clientId":"a","kid":"k","publicKey":"x"}`: 400, `{"clientId":"a","kid":"k"}`: 204} {
		control(t, s.URL+"/sim/clients", body, want)
	}
	s.Close()
	if create("forged") != 401 || create("fixed") != 201 {
		t.Error("a token service that is not there is trusted, or hinders")
	}
}

func TestTheEPRIsToldWhatToDo(t *testing.T) {
	e, err := StartEPR("")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	gateway, err := StartGP("") // takes RRI
	if err != nil {
		t.Fatal(err)
	}
	defer gateway.Close()
	addr, err := e.Control("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at, referral := "http://"+addr+"/sim/", edited(t, referral, "RF1|||||R1", "RF1||||||R1")
	for _, bad := range []string{`{"code":"XX"}`, `{}`, `{"code":"AE","lose":true}`} {
		control(t, at+"faults", bad, 400)
	}
	control(t, at+"faults", `{"cut":true,"lose":true}`, 204)
	control(t, at+"faults", `{"code":"AE","error":"204","times":2}`, 204)
	if _, err := Send(context.Background(), e.Address(), []byte(referral)); err == nil || len(e.Messages()) != 0 {
		t.Errorf("half an answer: %v, %d messages", err, len(e.Messages()))
	}
	for range 2 {
		if ack := exchange(t, e.Address(), referral); !strings.Contains(ack, "MSA|AE|DG1") {
			t.Errorf("%q", ack)
		}
	}
	exchange(t, e.Address(), referral)
	if _, said := asks(t, "GET", at+"messages", ""); !strings.Contains(said, `"control":"DG1"`) || !strings.Contains(said, `"size":8`) {
		t.Error(said)
	}
	if _, said := asks(t, "GET", at+"messages/1", ""); said != referral {
		t.Error(said)
	}
	if _, said := asks(t, "GET", at+"messages/1/photos/1", ""); said != "overview" {
		t.Error(said)
	}
	control(t, at+"messages/1/outcome", `{"code":"A"}`, 400) // no gateway is named
	e.Gateway = gateway.Address()
	for path, want := range map[string]int{"messages/2/outcome": 404, "messages/1/photos/2": 404} {
		method := map[bool]string{true: "POST", false: "GET"}[strings.Contains(path, "outcome")]
		if status, _ := asks(t, method, at+path, `{"code":"A"}`); status != want {
			t.Errorf("%s: %d", path, status)
		}
	}
	control(t, at+"messages/1/outcome", `{"code":"R"}`, 400) // returned without a word
	if status, said := asks(t, "POST", at+"messages/1/outcome", `{"code":"R","text":"Benign & small"}`); status != 200 || !strings.Contains(said, `"code":"AA"`) {
		t.Errorf("%d %s", status, said)
	}
	if got := gateway.Messages(); len(got) != 1 || got[0].Type != "RRI^I12" || got[0].Patient != "9990548609" || got[0].Texts[0] != "Benign & small" ||
		!strings.Contains(string(got[0].Raw), "\rMSA|AA|DG1\rRF1|R|||||R1|") {
		t.Errorf("%+v", got)
	}
	control(t, at+"messages/1/appointment", `{"event":"S12","at":"soon"}`, 400)
	if _, said := asks(t, "POST", at+"messages/1/appointment", `{"event":"S12","at":"202612101000"}`); !strings.Contains(said, `"code":"AE"`) { // a GP system takes no SIU
		t.Error(said)
	}
}

func TestMESHIsToldWhatToDo(t *testing.T) {
	m, sign := startMESH(t)
	at := m.URL + "/sim/"
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{"mailboxes", `{"id":"P","password":"pp","ods":"Y1","practice":true}`, 204},
		{"mailboxes", `{"id":"Q"}`, 400},
		{"patients", `{"nhsNumber":"9990001014","birth":"19680412","surname":"Testcase","mailbox":"P"}`, 204},
		{"patients", `{"nhsNumber":"9990001014","birth":"19680412","surname":"Testcase","mailbox":"Z"}`, 404},
		{"patients", `{"nhsNumber":"1"}`, 400},
		{"practices/P", `{"away":true,"business":"30002","delay":"1ms"}`, 204},
		{"practices/P", `{"business":"99"}`, 400},
		{"practices/A", `{}`, 404},
		{"mailboxes/A/messages", `{"from":"B","workflow":"W","content":"hello"}`, 200},
		{"mailboxes/Z/messages", `{"workflow":"W","content":"hello"}`, 404},
		{"messages/none/expire", "", 404},
	} {
		if status, said := asks(t, "POST", at+c.path, c.body); status != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.path, c.body, status, said, c.status)
		}
	}
	if status, said := meshCall(t, m, "POST", "A/outbox", sign(), "x", "Mex-To", "GPPROVIDER_9990001014_19680412_TESTCASE", "Mex-WorkflowID", "W"); status != 202 {
		t.Fatalf("%d %s", status, said)
	}
	_, said := asks(t, "GET", at+"mailboxes/P/messages", "")
	if !strings.Contains(said, `"to":"P"`) || strings.Contains(said, "9990001014") {
		t.Error(said)
	}
	_, said = asks(t, "GET", at+"mailboxes", "")
	if !strings.Contains(said, `{"id":"P","ods":"Y1","practice":true,"waiting":1}`) {
		t.Error(said)
	}
	id := m.Messages("P")[0].ID
	if _, said := asks(t, "GET", at+"messages/"+id, ""); said != "x" {
		t.Error(said)
	}
	control(t, at+"messages/"+id+"/expire", "", 204)
	if m.Waiting("P") != 0 || m.Waiting("A") != 2 {
		t.Errorf("%d and %d waiting", m.Waiting("P"), m.Waiting("A"))
	}
}
