package hl7

import (
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/mapping/issue"
)

var ackTime = time.Date(2026, 1, 5, 10, 15, 0, 0, time.UTC)

func TestEveryKindHasAnAnswer(t *testing.T) {
	want := map[issue.Kind][2]string{
		issue.Structure: {"AE", "100"}, issue.Required: {"AE", "101"}, issue.Value: {"AE", "102"}, issue.Code: {"AE", "103"},
		issue.TooLong: {"AE", "104"}, issue.UnsupportedType: {"AR", "200"}, issue.UnsupportedEvent: {"AR", "201"},
		issue.UnsupportedProcessing: {"AR", "202"}, issue.UnsupportedVersion: {"AR", "203"}, issue.NotFound: {"AE", "204"},
		issue.Duplicate: {"AA", "205"}, issue.Conflict: {"AE", "205"}, issue.Denied: {"AR", "207"},
		issue.Unavailable: {"AR", "207"}, issue.Unmapped: {"AE", "0"}, issue.Internal: {"AR", "207"},
	}
	for _, k := range issue.Kinds() {
		got := [2]string{AckCode([]*issue.Issue{issue.New(k, "", "")}), ErrorCode(k)}
		if w, ok := want[k]; !ok || got != w {
			t.Errorf("%s: got %v, want %v", k, got, w)
		}
	}
}

func TestAckCodeIsTheWorst(t *testing.T) {
	e, r, w := issue.New(issue.Required, "", ""), issue.New(issue.UnsupportedType, "", ""), issue.Warn(issue.UnsupportedType, "", "")
	for _, tt := range []struct {
		issues []*issue.Issue
		want   string
	}{{nil, "AA"}, {issue.List{w}, "AA"}, {issue.List{w, e}, "AE"}, {issue.List{r, e}, "AR"}, {issue.List{e, r}, "AR"}} {
		if got := AckCode(tt.issues); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.issues, got, tt.want)
		}
	}
}

func TestAcknowledge(t *testing.T) {
	const in = "MSH|^~\\&|EMIS|Y06601^X|DERMGATE|RXX01|20260105||REF^I12^REF_I12|M\\T\\1 |P|%s|||AL|NE||%s\rPID|1\r"
	message := func(version, charset string) string {
		return strings.Replace(strings.Replace(in, "%s", version, 1), "%s", charset, 1)
	}
	problems := []*issue.Issue{
		issue.New(issue.Value, "PID-3[2].1", "not a valid NHS number | check"),
		issue.Warn(issue.Required, "OBX[2]-5", "no consent"),
		issue.New(issue.Code, "Bundle.entry[0]", "elsewhere"),
	}
	tests := []struct {
		name, in string
		ack      Ack
		want     string
	}{
		{"accepted", message("2.5", "UNICODE UTF-8"), Ack{Code: "AA"},
			"MSH|^~\\&|DERMGATE|RXX01|EMIS|Y06601^X|20260105101500+0000||ACK^I12^ACK|C1|P|2.5||||||UNICODE UTF-8\rMSA|AA|M\\T\\1 \r"},
		{"refused, v2.5", message("2.5.1", ""), Ack{Issues: problems},
			"MSH|^~\\&|DERMGATE|RXX01|EMIS|Y06601^X|20260105101500+0000||ACK^I12^ACK|C1|P|2.5.1\rMSA|AE|M\\T\\1 \r" +
				"ERR||PID^1^3^2^1|102^Data type error^HL70357|E|value^^99DERMGATE|||not a valid NHS number \\F\\ check\r" +
				"ERR||OBX^2^5|101^Required field missing^HL70357|W|required^^99DERMGATE|||no consent\r" +
				"ERR|||103^Table value not found^HL70357|E|code^^99DERMGATE|||elsewhere\r"},
		{"refused, v2.4", message("2.4", ""), Ack{Code: "AE", Issues: problems},
			"MSH|^~\\&|DERMGATE|RXX01|EMIS|Y06601^X|20260105101500+0000||ACK^I12^ACK|C1|P|2.4\r" +
				"MSA|AE|M\\T\\1 |PID-3[2].1: not a valid NHS number \\F\\ check\r" +
				"ERR|PID^1^3^102&not a valid NHS number \\F\\ check&HL70357~OBX^2^5^101&no consent&HL70357~^^^103&elsewhere&HL70357\r"},
		{"accepted, v2.3 with a text", message("2.3", ""), Ack{Code: "AA", Text: "kept"},
			"MSH|^~\\&|DERMGATE|RXX01|EMIS|Y06601^X|20260105101500+0000||ACK^I12|C1|P|2.3\rMSA|AA|M\\T\\1 |kept\r"},
		{"own delimiters", "MSH#!@%*#A#B#C#D#1##ADT!A01#9#T#2.5\rPID#1", Ack{Code: "AR", Issues: issue.List{issue.New(issue.Denied, "MSH-4", "a#b!c")}},
			"MSH#!@%*#C#D#A#B#20260105101500+0000##ACK!A01!ACK#C1#T#2.5\rMSA#AR#9\rERR##MSH!1!4#207!Application error!HL70357#E#denied!!99DERMGATE###a%F%b%S%c\r"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := tt.ack
			a.ControlID, a.At = "C1", ackTime
			got := string(mustParse(t, tt.in).Acknowledge(a))
			if got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", strings.ReplaceAll(got, "\r", "\n"), strings.ReplaceAll(tt.want, "\r", "\n"))
			}
		})
	}
}

func TestRefuseMirrorsWhatCanBeRead(t *testing.T) {
	refusal := Ack{ControlID: "C1", At: ackTime, Issues: issue.List{issue.New(issue.Structure, "MSH[2]", "two messages")}}
	for in, id := range map[string]string{
		header + "\rPID|1\r" + header:  "1",
		"\x0b" + header + "\rPIDX|1":   "1",
		header:                         "1",
		"MSH|^~\\&|A|B|C|D|1||ADT^A":   "",
		"MSH":                          "",
		"{}":                           "",
		"":                             "",
		"MSH|^^\\&|A|B":                "",
		"MSH|^|A|B|C|D|1||ADT^A01|7|P": "7",
		"MSH|~|A|B|C|D|1||ADT~A01|8|P": "8",
	} {
		out := Refuse([]byte(in), refusal)
		a, err := ParseAck(out)
		if err != nil || a.Code != "AE" || a.ControlID != id || len(a.Errors) != 1 || a.Errors[0].Code != "100" || a.Errors[0].Where.String() != "MSH[2]" {
			t.Errorf("%q: %+v, %v in %q", in, a, err, out)
		}
	}
}

func TestParseAck(t *testing.T) {
	tests := map[string]Answer{
		"MSH|^~\\&|A\rMSA|AA|77":                                  {Code: "AA", ControlID: "77"},
		"MSH|^~\\&|A\nMSA|CE|7\\T\\7\nERR||PID^1^3^2^1^4|102^x|E": {"CE", "7&7", []AnswerError{{"102", "E", MustPath("PID-3[2].1.4")}}},
		"MSH|^~\\&|A\rMSA|AE|1\rERR|OBX^2^5^101&t&HL70357~^^^207": {"AE", "1", []AnswerError{{"101", "", MustPath("OBX[2]-5")}, {"207", "", Path{}}}},
		"MSH|^~\\&|A\rMSA|AR|1\rERR|||207|W\rERR|||200^y|E":       {"AR", "1", []AnswerError{{"207", "W", Path{}}, {"200", "E", Path{}}}},
		"MSH|^~\\&|A\rMSA|AR|1\rERR|":                             {Code: "AR", ControlID: "1"},
	}
	for in, want := range tests {
		got, err := ParseAck([]byte(in))
		if err != nil || got.Code != want.Code || got.ControlID != want.ControlID || len(got.Errors) != len(want.Errors) {
			t.Errorf("%q: %+v, %v", in, got, err)
			continue
		}
		for i, e := range want.Errors {
			if got.Errors[i] != e {
				t.Errorf("%q: error %d is %+v, want %+v", in, i, got.Errors[i], e)
			}
		}
	}
	for _, in := range []string{"", "AA", "MSH|^~\\&|A", "MSH|^~\\&|A\rMSA", "MSH|^~\\&|A\rMSA||1"} {
		if a, err := ParseAck([]byte(in)); err == nil {
			t.Errorf("%q was read as %+v", in, a)
		}
	}
}
