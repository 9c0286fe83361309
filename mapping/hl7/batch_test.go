package hl7

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/mapping/issue"
)

// numbered is a message whose control id is n.
func numbered(n string) string {
	return "MSH|^~\\&|GP|Y06601|GW|RXX01|1||ADT^A28|" + n + "|P|2.4\rPID|1||" + n + "\r"
}

const (
	fileHead  = "FHS|^~\\&|GP|Y06601|GW|RXX01|20260105|||f|F1\r"
	batchHead = "BHS|^~\\&|GP|Y06601|GW|RXX01|20260105|||b|B1\r"
)

// controlIDs of the messages of a batch.
func controlIDs(b *Batch) string {
	var out []string
	for _, raw := range b.Messages {
		m, err := Parse(raw)
		if err != nil {
			out = append(out, issue.From(err).Where)
			continue
		}
		out = append(out, string(m.ControlID()))
	}
	return strings.Join(out, " ")
}

func TestABatchIsTakenApart(t *testing.T) {
	one, two := numbered("1"), numbered("2")
	for name, tt := range map[string]struct{ in, ids string }{
		"file and batch":            {fileHead + batchHead + one + two + "BTS|2\rFTS|1\r", "1 2"},
		"two batches":               {fileHead + batchHead + one + "BTS|1\r" + batchHead + two + "BTS|1\rFTS|2\r", "1 2"},
		"batch alone":               {batchHead + one + two + "BTS|2\r", "1 2"},
		"no envelope":               {one + two, "1 2"},
		"an envelope round one":     {batchHead + one + "BTS|1\r", "1"},
		"file without batch":        {fileHead + one + two + "FTS|1\r", "1 2"},
		"counts not stated":         {fileHead + batchHead + one + "BTS\rFTS|\r", "1"},
		"counts that say nothing":   {fileHead + batchHead + one + "BTS|\"\"\rFTS||text\r", "1"},
		"count with a comment":      {batchHead + one + "BTS|1|end\r", "1"},
		"line feeds":                {strings.ReplaceAll(batchHead+one+two+"BTS|2\r", "\r", "\n"), "1 2"},
		"CRLF":                      {strings.ReplaceAll(batchHead+one+two+"BTS|2\r", "\r", "\r\n"), "1 2"},
		"mark, blank lines":         {"\xef\xbb\xbf\r\n \r\n" + batchHead + "\r\n\t\r" + one + "\r\r" + two + "\n\nBTS|2\n\n", "1 2"},
		"MLLP bytes left in":        {"\x0b" + one + "\x1c\r\x0b" + two + "\x1c\r", "1 2"},
		"no last terminator":        {one + strings.TrimSuffix(two, "\r"), "1 2"},
		"nothing in it":             {batchHead + "BTS|0\r", ""},
		"envelope of other marks":   {"BHS#!@%*#GP\r" + one + two + "BTS#2#x\r", "1 2"},
		"messages of other marks":   {batchHead + one + "MSH#^~\\&#A#B#C#D#1##ADT^A28#2#P#2.4\rPID#1\rBTS|2\r", "1 2"},
		"other marks behind an OBX": {one + "OBX|1|TX|a||text\rMSH#^~\\&#A#B#C#D#1##ADT^A28#2#P#2.4\rPID#1\r", "1 2"},
		"text like a header":        {one + "OBX|1|TX|a||text\rMSH: normal\rMSH-7 is old\rBTS is a name\r" + two, "1 2"},
		"one that is no message":    {one + "MSH|^^\r" + two, "1 MSH-2 2"},
	} {
		t.Run(name, func(t *testing.T) {
			if !Several([]byte(tt.in), "") {
				t.Fatal("not seen as several")
			}
			b := Split([]byte(tt.in), "")
			if got := controlIDs(b); got != tt.ids || len(b.Issues) > 0 {
				t.Fatalf("got %q, %v", got, b.Issues)
			}
			at := 0
			for _, m := range b.Messages {
				i := strings.Index(tt.in[at:], string(m))
				if i < 0 || Several(m, "") {
					t.Fatalf("%q is no message of the input", m)
				}
				at += i + len(m)
			}
		})
	}
}

func TestTheMessagesOfABatchAreItsBytes(t *testing.T) {
	one, two := numbered("1")+"OBX|1|TX|a||first\r\nsecond line\r\n", numbered("2")
	in := []byte(batchHead + one + "\r\n" + two + "BTS|2\r")
	b := Split(in, "")
	if string(b.Messages[0]) != one || string(b.Messages[1]) != two {
		t.Errorf("got %q", b.Messages)
	}
	if &b.Messages[0][0] != &in[len(batchHead)] {
		t.Error("copied")
	}
}

func TestASingleMessageIsNotABatch(t *testing.T) {
	for _, in := range []string{numbered("1"), "\x0b" + numbered("1") + "\x1c\r", header, "", "{}", "BTS|1\r", "PID|1\r" + numbered("1"),
		numbered("1") + "OBX|1|TX|a||x\rMSH: normal text\r", inUTF16(numbered("1")+numbered("2"), true, true)} {
		if Several([]byte(in), "") {
			t.Errorf("%q is seen as several", in)
		}
	}
}

func TestAFaultyEnvelopeIsToldWithItsPlace(t *testing.T) {
	one, two := numbered("1"), numbered("2")
	for name, tt := range map[string]struct{ in, where, text string }{
		"too few messages":       {batchHead + one + "BTS|2\r", "BTS-1", "states 2 messages, here are 1"},
		"too many messages":      {batchHead + one + two + "BTS|1\r", "BTS-1", "states 1 messages, here are 2"},
		"second batch":           {batchHead + one + "BTS|1\r" + batchHead + two + "BTS|7\r", "BTS[2]-1", "states 7"},
		"too few batches":        {fileHead + batchHead + one + "BTS|1\rFTS|2\r", "FTS-1", "states 2 batches, here are 1"},
		"count of no batch":      {fileHead + one + two + "FTS|2\r", "FTS-1", "states 2 batches, here are 1"},
		"count is no number":     {batchHead + one + "BTS|one\r", "BTS-1", "no number"},
		"BTS without BHS":        {one + "BTS|2\r", "BTS-1", "states 2 messages, here are 1"},
		"BTS alone":              {fileHead + "BTS|0\r", "BTS", "without BHS"},
		"BTS twice":              {batchHead + one + "BTS|1\rBTS|1\r", "BTS[2]", "without BHS"},
		"FTS without FHS":        {batchHead + one + "BTS|1\rFTS|2\r", "FTS-1", "states 2 batches, here are 1"},
		"FTS twice":              {fileHead + one + "FTS|1\rFTS|1\r", "FTS[2]", "twice"},
		"FHS inside":             {batchHead + fileHead + one + "BTS|1\r", "FHS", "not the first"},
		"FHS twice":              {fileHead + fileHead + one + "FTS|1\r", "FHS[2]", "not the first"},
		"between batches":        {batchHead + one + "BTS|1\r" + two + batchHead + "BTS|0\r", "MSH[2]", "between batches"},
		"before the first batch": {one + batchHead + two + "BTS|1\r", "BHS", "before the first batch"},
		"behind the end":         {fileHead + one + "FTS|1\r" + two, "MSH[2]", "behind the end"},
		"a batch behind the end": {fileHead + one + "FTS|1\r" + batchHead + "BTS|0\r", "BHS", "behind the end"},
		"a line in no message":   {batchHead + "NTE|1||hello\r" + one + "BTS|1\r", "line 2", "no message"},
		"no delimiters":          {"BHS|^^\r" + one + "BTS|1\r", "BHS-2", "stands twice"},
	} {
		t.Run(name, func(t *testing.T) {
			worst := Split([]byte(tt.in), "").Issues.Worst()
			if worst == nil || worst.Where != tt.where || !strings.Contains(worst.Text, tt.text) {
				t.Errorf("got %v, want %q at %s", worst, tt.text, tt.where)
			}
		})
	}
	junk := Split([]byte(batchHead+strings.Repeat("x\r", 1000)), "")
	if len(junk.Issues) > 2*envelopeIssues {
		t.Errorf("%d issues", len(junk.Issues))
	}
}

func TestAMissingTrailerIsAWarning(t *testing.T) {
	b := Split([]byte(fileHead+batchHead+numbered("1")+batchHead+numbered("2")), "")
	var places []string
	for _, i := range b.Issues {
		places = append(places, i.Where)
	}
	if b.Issues.Worst() != nil || strings.Join(places, " ") != "BHS BHS[2] FHS" {
		t.Errorf("got %v", b.Issues)
	}
}

func TestAMissingHeaderIsAWarning(t *testing.T) {
	b := Split([]byte(numbered("1")+numbered("2")+"BTS|2\rFTS|1\r"), "")
	if b.Issues.Worst() != nil || len(b.Issues) != 2 || b.Issues[0].Where != "BTS" || b.Issues[1].Where != "FTS" || len(b.Messages) != 2 {
		t.Errorf("got %v", b.Issues)
	}
}

func TestMoreMessagesThanCanBeAnsweredAreRefused(t *testing.T) {
	b := Split(bytes.Repeat([]byte("MSH|^~\\&\r"), maxMessages+10), "")
	if i := b.Issues.Worst(); i == nil || i.Kind != issue.TooLong || len(b.Messages) != maxMessages {
		t.Errorf("%v, %d messages", i, len(b.Messages))
	}
}

func TestABatchOfUTF16IsTakenApartWhereDeclared(t *testing.T) {
	text := batchHead + numbered("1😀") + numbered("2é") + "BTS|2\r"
	for _, in := range []string{inUTF16(text, true, true), inUTF16(text, false, false)} {
		if !Several([]byte(in), "UNICODE UTF-16") {
			t.Fatal("not seen as several")
		}
		b := Split([]byte(in), "UNICODE UTF-16")
		if len(b.Messages) != 2 || len(b.Issues) != 0 {
			t.Fatalf("%d messages, %v", len(b.Messages), b.Issues)
		}
		var answers [][]byte
		for i, want := range []string{"1😀", "2é"} {
			m := mustParseIn(t, string(b.Messages[i]), "UNICODE UTF-16")
			if got := m.Get(MustPath("PID-3")).Text(); got != want {
				t.Errorf("message %d reads %q", i+1, got)
			}
			answers = append(answers, m.Acknowledge(Ack{Code: "AA"}))
		}
		back := b.Acknowledge(BatchAck{ControlID: "A1", Answers: answers})
		if again := Split(back, "UNICODE UTF-16"); len(again.Messages) != 2 || len(again.Issues) != 0 {
			t.Errorf("the answer: %d messages, %v", len(again.Messages), again.Issues)
		}
	}
}

var batchTime = time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)

// TestABatchAcknowledgementAnswersEachBatch (HL7 v2.8 §2.10.3): parties changed over, BHS-12 and FHS-12 the
// control ids answered, counts of what is inside.
func TestABatchAcknowledgementAnswersEachBatch(t *testing.T) {
	b := Split([]byte(fileHead+batchHead+numbered("1")+numbered("2")+"BTS|2\rBHS#!@%*#X##Y####\r"+numbered("3")+"BTS#1\rFTS|2\r"), "")
	ack := func(n string) []byte { return []byte("MSH|^~\\&|||||||ACK|a" + n + "\rMSA|AA|" + n + "\r") }
	got := string(b.Acknowledge(BatchAck{ControlID: "A1", At: batchTime, Answers: [][]byte{ack("1"), ack("2"), ack("3")}}))
	want := "FHS|^~\\&|GW|RXX01|GP|Y06601|20260301093000+0000||||A1|F1\r" +
		"BHS|^~\\&|GW|RXX01|GP|Y06601|20260301093000+0000||||A1|B1\r" + string(ack("1")) + string(ack("2")) + "BTS|2\r" +
		"BHS#!@%*#Y##X##20260301093000+0000####A1-2\r" + string(ack("3")) + "BTS#1\rFTS|2\r"
	if got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	if back := Split([]byte(got), ""); len(back.Issues) != 0 || len(back.Messages) != 3 {
		t.Errorf("reads back as %d messages, %v", len(back.Messages), back.Issues)
	}
}

func TestMessagesWithoutEnvelopeAreAnsweredAsOneBatch(t *testing.T) {
	b := Split([]byte(numbered("1")+numbered("2")), "")
	got := string(b.Acknowledge(BatchAck{ControlID: "A1", At: batchTime, Answers: [][]byte{[]byte("MSH|1\r"), nil}}))
	if want := "BHS|^~\\&|GW|RXX01|GP|Y06601|20260301093000+0000||||A1\rMSH|1\rBTS|1\r"; got != want {
		t.Errorf("got %q", got)
	}
}

func TestABatchWithoutMessagesIsRefusedAsAWhole(t *testing.T) {
	b := Split([]byte(batchHead+"BTS|3\r"), "")
	m := mustParse(t, string(b.Refuse(Ack{ControlID: "R1", At: batchTime, Issues: b.Issues})))
	for path, want := range map[string]string{"MSH-3": "GW", "MSH-5": "GP", "MSA-1": "AE", "MSA-2": "B1", "ERR-2.1": "BTS", "ERR-2.3": "1"} {
		if got := m.Get(MustPath(path)).Text(); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}

func TestSummary(t *testing.T) {
	got := fmt.Sprintf("%+v", Split([]byte(batchHead+numbered("1")+"BTS|1\r"), "").Summary())
	if want := "{File:<nil> Batches:[{ControlID:B1 Reference: Count:1 Stated:1}]}"; got != want {
		t.Errorf("got %s", got)
	}
}
