package sim

import (
	"context"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/fhir"
)

var referral = "MSH|^~\\&|DERMGATE|RXX01|EPR|RXX01|20260301090000||REF^I12|DG1|P|2.4\r" +
	"RF1|||||R1\rPID|||LOCAL1^^^H~9990548609^^^NHS||TESTPATIENT^ZOE\r" +
	"OBX|1|ED|PHOTO^Overview|L1|^image^jpeg^Base64^" + base64.StdEncoding.EncodeToString([]byte("overview")) + "\r" +
	"OBX|2|TX|NOTE||Grown \\T\\ itching~second line\r"

func exchange(t *testing.T, address, message string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	ack, err := Send(ctx, address, []byte(message))
	if err != nil {
		t.Fatal(err)
	}
	return string(ack)
}

func TestTheEPRTakesAReferral(t *testing.T) {
	e, err := StartEPR("")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for range 2 {
		if ack := exchange(t, e.Address(), referral); !strings.Contains(ack, "\rMSA|AA|DG1\r") || !strings.HasPrefix(ack, "MSH|^~\\&|EPR|RXX01|DERMGATE|RXX01|") {
			t.Errorf("%q", ack)
		}
	}
	got := e.Messages()
	if len(got) != 1 || e.Repeats() != 1 {
		t.Fatalf("%d messages, %d repeats", len(got), e.Repeats())
	}
	m := got[0]
	if m.Type != "REF^I12" || m.Patient != "9990548609" || len(m.Photos) != 1 || string(m.Photos[0].Bytes) != "overview" || m.Photos[0].Lesion != "L1" ||
		m.Photos[0].Type != "image/jpeg" || strings.Join(m.Texts, "|") != "Grown & itching|second line" || string(m.Raw) != referral {
		t.Errorf("%+v", m)
	}
}

func TestTheEPRNamesWhatIsWrong(t *testing.T) {
	e, err := StartEPR("")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for name, c := range map[string]struct{ message, err string }{
		"not HL7":              {"hello", "ERR|MSH^1^1^100"},
		"another type":         {edited(t, referral, "REF^I12", "ADT^A01"), "ERR|MSH^1^9^200"},
		"no control id":        {edited(t, referral, "DG1", ""), "ERR|MSH^1^10^101"},
		"a wrong check digit":  {edited(t, referral, "9990548609", "9990548608"), "ERR|PID^1^3^101"},
		"no RF1":               {edited(t, referral, "RF1|", "ZF1|"), "ERR|RF1^1^100"},
		"a photo that is none": {edited(t, referral, "^Base64^", "^Base64^!"), "ERR|OBX^1^5^102"},
		"in v2.5":              {edited(t, referral, "|P|2.4", "|P|2.5.1", "RF1|", "ZF1|"), "ERR||RF1^1|100|E"},
	} {
		if ack := exchange(t, e.Address(), c.message); !strings.Contains(ack, "MSA|AE|") || !strings.Contains(ack, c.err+"\r") {
			t.Errorf("%s: %q, want %s", name, ack, c.err)
		}
	}
	if len(e.Messages()) != 0 {
		t.Error("kept what it refused")
	}
}

func TestTheEPRMisbehavesOnCue(t *testing.T) {
	e, err := StartEPR("")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	e.Next(Ack{Code: "AR", Error: "207"}, Ack{Close: true, Lose: true}, Ack{Silent: true}, Ack{Delay: time.Millisecond})
	if ack := exchange(t, e.Address(), referral); !strings.Contains(ack, "MSA|AR|DG1") || !strings.Contains(ack, "207") {
		t.Errorf("%q", ack)
	}
	if _, err := Send(context.Background(), e.Address(), []byte(referral)); err == nil || len(e.Messages()) != 0 {
		t.Errorf("closed: %v, %d messages", err, len(e.Messages()))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := Send(ctx, e.Address(), []byte(referral)); err == nil || len(e.Messages()) != 1 {
		t.Errorf("silent: %v, %d messages", err, len(e.Messages()))
	}
	if ack := exchange(t, e.Address(), referral); !strings.Contains(ack, "MSA|AA") || e.Repeats() != 1 {
		t.Errorf("after the answer was lost: %q, %d repeats", ack, e.Repeats())
	}
}

func TestABrokenFrameClosesTheConnection(t *testing.T) {
	e, err := StartEPR("")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, raw := range []string{"GET / HTTP/1.1\r\n\r\n", "\x0bMSH|\x1cX"} {
		c, err := net.Dial("tcp", e.Address())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, raw); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%q was answered", raw)
		}
		c.Close()
	}
}

func TestTheGPTakesAnswersOnly(t *testing.T) {
	g, err := StartGP("")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	answer := edited(t, referral, "REF^I12", "ORU^R01")
	if ack := exchange(t, g.Address(), answer); !strings.Contains(ack, "MSA|AA") {
		t.Errorf("%q", ack)
	}
	late := "MSH|^~\\&|A|B|C|D|20260301||ACK^I12|A1|P|2.4\rMSA|AA|1\r"
	if ack := exchange(t, g.Address(), late); !strings.Contains(ack, "MSA|AA") || len(g.Messages()) != 2 {
		t.Errorf("%q", ack)
	}
	if ack := exchange(t, g.Address(), edited(t, referral, "DG1", "DG3")); !strings.Contains(ack, "MSA|AE") {
		t.Errorf("a referral: %q", ack)
	}
}

func TestTheGPTellsThatItReadTheAnswer(t *testing.T) {
	g, err := StartGP("")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	var body []byte
	gateway := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { body, _ = io.ReadAll(r.Body) }))
	defer gateway.Close()
	g.FHIR = gateway.URL + "/fhir"
	review := Review{ID: "review-1", Answer: "DG2", Identifiers: []Identifier{{"urn:gp", "P1", "PLAC"}}, Patient: "9990548609", Person: "C1234567", Decision: "i-will-refer"}
	if err := g.Review(context.Background(), review); err != nil {
		t.Fatal(err)
	}
	root, issues := fhir.Read(body, fhir.ReadOptions{})
	if issues = append(issues, fhir.Validate(root)...); issues.Worst() != nil {
		t.Fatalf("%v\n%s", issues, body)
	}
	f := flow.FactsOf("gp", &fhir.Bundle{Root: root})
	if f.Event != flow.Reviewed || f.Outcome.Decision != "i-will-refer" || f.Outcome.Person != "C1234567" || f.Placer != "P1" || f.ResponseTo != "DG2" {
		t.Errorf("%+v", f)
	}
	if err := g.Review(context.Background(), Review{ID: "x"}); err == nil {
		t.Error("nobody read it")
	}
}
