package letter

import (
	"bytes"
	"testing"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// The letter of an answer is a PDF, the same bytes each time, and grows with the words of the answer: none is cut.
func TestTheLetterOfAnAnswer(t *testing.T) {
	make := func(words string) []byte {
		root, issues := fhir.Read([]byte(`{"resourceType":"Bundle","type":"message","timestamp":"2026-11-03T15:00:00Z","entry":[
{"fullUrl":"urn:uuid:p","resource":{"resourceType":"Patient","name":[{"family":"Testcase"}]}},
{"fullUrl":"urn:uuid:d","resource":{"resourceType":"Practitioner","name":[{"family":"Hale"}]}},
{"fullUrl":"urn:uuid:c","resource":{"resourceType":"Communication","status":"completed","sender":{"reference":"urn:uuid:d"},"payload":[{"contentString":"`+words+`"}]}}]}`), fhir.ReadOptions{NoJudge: true})
		if issues.Worst() != nil {
			t.Fatal(issues)
		}
		b, err := Answer(&fhir.Bundle{Root: root}, "Dermatology advice")
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	short := make("Benign naevus.")
	if !bytes.HasPrefix(short, []byte("%PDF-")) || !bytes.Equal(short, make("Benign naevus.")) {
		t.Error("no PDF, or another one each time")
	}
	if long := make("Benign naevus. " + string(bytes.Repeat([]byte("Please refer if it grows. "), 300))); bytes.Count(long, []byte("/Type /Page\n")) <= bytes.Count(short, []byte("/Type /Page\n")) {
		t.Error("a long answer takes no more pages")
	}
}
