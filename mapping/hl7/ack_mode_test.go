package hl7

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/mapping/issue"
)

// The table of HL7 v2.8 §2.9.3: what MSH-15 and MSH-16 ask for, by what became of the message. A row is the
// answer at once and, after a slash, the later one.
func TestWhatMSH15And16AskFor(t *testing.T) {
	const columns = "AL NE ER SU -" // of MSH-16
	type row struct{ kept, refused string }
	table := map[string]row{
		"AL": {"CA/AA CA/ CA/ CA/AA CA/", "CE/ CE/ CE/ CE/ CE/"},
		"ER": {"/AA / / /AA /", "CE/ CE/ CE/ CE/ CE/"},
		"SU": {"CA/AA CA/ CA/ CA/AA CA/", "AE/ / AE/ / /"},
		"NE": {"AA/ / / AA/ /", "AE/ / AE/ / /"},
		"-":  {"AA/ / / AA/ AA/", "AE/ / AE/ / AE/"},
	}
	for accept, r := range table {
		for i, application := range strings.Fields(columns) {
			m := asking(t, accept, application)
			for code, cells := range map[string]string{"AA": r.kept, "AE": r.refused, "AR": strings.ReplaceAll(r.refused, "E/", "R/")} {
				want := strings.Fields(cells)[i]
				if got := atOnce(t, m, code) + "/" + later(m, code); got != want {
					t.Errorf("MSH-15 %s, MSH-16 %s, %s: answered %s, want %s", accept, application, code, got, want)
				}
			}
		}
	}
}

// asking makes a message with MSH-15 and MSH-16; "-" leaves one out.
func asking(t *testing.T, accept, application string) *Message {
	t.Helper()
	clear := func(s string) string { return strings.Trim(s, "-") }
	return mustParse(t, fmt.Sprintf("MSH|^~\\&|A|B|C|D|1||REF^I12|7|P|2.5|||%s|%s\rPID|1\r", clear(accept), clear(application)))
}

// atOnce gives MSA-1 of the answer of an enhanced source, "" for no answer at all.
func atOnce(t *testing.T, m *Message, code string) string {
	t.Helper()
	out := m.Acknowledge(Ack{Code: code, Enhanced: true})
	if out == nil {
		return ""
	}
	a, err := ParseAck(out)
	if err != nil || a.ControlID != "7" {
		t.Errorf("%q: %+v %v", out, a, err)
	}
	return a.Code
}

func later(m *Message, code string) string {
	if code == "AA" && m.Asked().Later() {
		return "AA"
	}
	return ""
}

func TestAnOriginalSourceAnswersWhateverMSH15And16Say(t *testing.T) {
	for _, accept := range []string{"AL", "NE", "ER", "SU", "-"} {
		a, err := ParseAck(asking(t, accept, "NE").Acknowledge(Ack{Code: "AA"}))
		if err != nil || a.Code != "AA" {
			t.Errorf("MSH-15 %s: %+v, %v", accept, a, err)
		}
	}
}

func TestAConditionThatIsNoneIsToldAtItsPlace(t *testing.T) {
	for _, tt := range []struct{ accept, application, want, answer string }{
		{"AL", "SU", "", "CA"},
		{`""`, `""`, "", "AA"},
		{"al", "NE", "MSH-15", "CA"},
		{"NE", "ALWAYS", "MSH-16", "AA"},
	} {
		m := asking(t, tt.accept, tt.application)
		var places []string
		for _, i := range m.Asked().Check() {
			if i.Kind != issue.Code || i.Severity != issue.Error {
				t.Errorf("%+v", i)
			}
			places = append(places, i.Where)
		}
		if got := strings.Join(places, " "); got != tt.want {
			t.Errorf("%s, %s: told at %q, want %q", tt.accept, tt.application, got, tt.want)
		}
		if got := atOnce(t, m, "AA"); got != tt.answer {
			t.Errorf("%s, %s: answered %q, want %q", tt.accept, tt.application, got, tt.answer)
		}
	}
}

func TestRefuseKeepsToWhatTheCutMessageAsksFor(t *testing.T) {
	refusal := Ack{ControlID: "C1", At: ackTime, Enhanced: true, Issues: issue.List{issue.New(issue.Unavailable, "", "send it again")}}
	for asks, want := range map[string]string{"AL|NE": "CR", "NE|AL": "AR", "NE|NE": "", "|": "AR"} {
		out := Refuse([]byte(`MSH|^~\&|A|B|C|D|1||REF^I12|7|P|2.4|||`+asks+"\rPIDX"), refusal)
		if want == "" {
			if out != nil {
				t.Errorf("%s: answered %q, asked for nothing", asks, out)
			}
			continue
		}
		if a, err := ParseAck(out); err != nil || a.Code != want {
			t.Errorf("%s: %+v, %v, want %s", asks, a, err, want)
		}
	}
}

func TestALateAcknowledgementAsksOnlyForItsReceipt(t *testing.T) {
	m := mustParse(t, "MSH#!@%*#EMIS#Y06601#DERMGATE#RXX01#20260105##REF!I12!REF_I12#M7#P#2.3.1###AL#AL##UNICODE UTF-8\rPID#1\r")
	got := string(m.Acknowledge(Ack{Code: "AA", ControlID: "C9", At: ackTime, Asked: Asked{"AL", "NE"}}))
	want := "MSH#!@%*#DERMGATE#RXX01#EMIS#Y06601#20260105101500+0000##ACK!I12!ACK#C9#P#2.3.1###AL#NE##UNICODE UTF-8\rMSA#AA#M7\r"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAnErrorIsToldWithoutTheOtherSidesWords(t *testing.T) {
	for _, tt := range []struct {
		in   AnswerError
		want string
	}{
		{AnswerError{Code: "103", Where: MustPath("PID-3[2].1")}, "103 PID-3[2].1"},
		{AnswerError{Code: "207"}, "207"},
		{AnswerError{Code: "ROSALIND", Where: MustPath("OBX[2]")}, "OBX[2]"},
		{AnswerError{Code: "9990001014"}, ""},
	} {
		if got := tt.in.String(); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.in, got, tt.want)
		}
	}
}
