package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/fixtures/corpus"
	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// corpusFiles is how many messages and batches the corpus has.
const corpusFiles = 696

// TestCorpusExplainsItself shows every file of the corpus as `gateway hl7 --json` does: an object for each,
// and what is taken goes round byte for byte; what is not is refused at a place.
func TestCorpusExplainsItself(t *testing.T) {
	type shown struct {
		Type      string
		RoundTrip *bool `json:"round_trip"`
		Fields    []struct{ Path string }
		Issues    []struct{ Where, Severity string }
		Messages  []shownMessage
	}
	n, refused, batches := 0, 0, 0
	for name, raw := range corpus.HL7v2() {
		n++
		out, errs, code := verb(t, string(raw), "hl7", "--json")
		var got shown
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Errorf("%s: exit %d, no JSON: %v %s", name, code, err, errs)
			continue
		}
		switch {
		case got.Messages != nil:
			batches++
			for i, m := range got.Messages {
				if !m.whole() {
					t.Errorf("%s: message %d does not go round, and is not refused at a place", name, i+1)
				}
			}
		case got.RoundTrip == nil:
			refused++
			if code != 1 || len(got.Issues) == 0 || got.Issues[0].Where == "" {
				t.Errorf("%s: refused with exit %d and %v", name, code, got.Issues)
			}
		case !*got.RoundTrip || len(got.Fields) == 0 || code != 0:
			t.Errorf("%s: round trip %v, %d fields, exit %d", name, *got.RoundTrip, len(got.Fields), code)
		}
	}
	if n != corpusFiles || refused != 12 || batches != 9 {
		t.Errorf("%d files, %d refused, %d batches: want %d, 12, 9", n, refused, batches, corpusFiles)
	}
}

type shownMessage struct {
	RoundTrip *bool `json:"round_trip"`
	Issues    []struct{ Where, Severity string }
}

// whole tells a message that goes round, or that is refused with its place.
func (m shownMessage) whole() bool {
	if m.RoundTrip != nil {
		return *m.RoundTrip
	}
	return len(m.Issues) > 0 && m.Issues[0].Where != "" && m.Issues[0].Severity == "error"
}

// TestCorpusIsAnswered sends every file of the corpus to a gateway in a process of its own: each message has
// its acknowledgement, and the gateway lives. An acknowledgement of nothing that was sent has none, unless it asks.
func TestCorpusIsAnswered(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for name, raw := range corpus.HL7v2() {
		if m, err := hl7.Parse(raw); err == nil && m.Get(hl7.MustPath("MSH-9.1")).Text() == "ACK" && m.Asked() == (hl7.Asked{}) {
			continue
		}
		file := filepath.Join(dir, strings.ReplaceAll(name, "/", "-"))
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	s := startStreams(t, nil)
	out, errs, _ := verb(t, string(referral(1)), append([]string{"send", "--concurrency", "8", "--to", "mllp://" + s.mllp}, files...)...)
	for _, file := range files {
		if !strings.Contains(out, file+": A") && !strings.Contains(out, file+": C") {
			t.Errorf("%s has no acknowledgement", filepath.Base(file))
		}
	}
	if strings.Contains(out, "no answer") || !strings.Contains(out, "AA 20 ") { // our own referral, sent last, a merge and seven updates that concern nobody here, and eleven answers that are held
		t.Errorf("%s\n%s", out[max(0, len(out)-400):], errs)
	}
}

// TestCorpusIsMapped shows every file of the corpus as `gateway map --explain` does: an object for each message that has
// a map, whose leaves add up; the others are refused with exit 1.
func TestCorpusIsMapped(t *testing.T) {
	set, err := loadMaps("") // once: the verb would for each
	if err != nil {
		t.Fatal(err)
	}
	mapped, refused := 0, 0
	for name, raw := range corpus.HL7v2() {
		var out, errs bytes.Buffer
		err := mapFlags{explain: true}.toFHIR(stdio{nil, &out, &errs}, config.Default(), set, raw)
		if err != nil && (!errors.Is(err, errFound) || !strings.Contains(errs.String(), "error: ")) {
			t.Errorf("%s: %v: %s", name, err, errs.String())
		}
		objects := json.NewDecoder(&out)
		for objects.More() {
			var got explained
			if err := objects.Decode(&got); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			mapped++
			if l := got.Leaves; l.Valued != l.Mapped+l.Ignored+l.Unmapped || len(got.Unmapped) != l.Unmapped || len(got.Ignored) != l.Ignored || len(got.Elements) == 0 {
				t.Errorf("%s: the leaves do not add up: %+v", name, l)
			}
		}
		if err != nil {
			refused++
		}
	}
	t.Logf("%d messages mapped, %d files refused in part or whole", mapped, refused)
	if mapped < 400 {
		t.Errorf("only %d messages have a map", mapped)
	}
}
