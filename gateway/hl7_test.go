package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/adapters/mllp"
)

// verb runs a verb of the program on a file of that content.
func verb(t *testing.T, content string, args ...string) (out, errs string, code int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "in.hl7")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	var o, e bytes.Buffer
	code = run(t.Context(), append(args, file), stdio{in: strings.NewReader(""), out: &o, err: &e})
	return o.String(), e.String(), code
}

const batchOfTwo = "BHS|^~\\&|A|B|C|D|1|||b|B1\rMSH|^~\\&|A|B|C|D|1||ADT^A28|1|P|2.4\rPID|1\rMSH|^~\\&|A|B|C|D|1||ADT^A31|2|P|2.4\rPID|1\rBTS|2\r"

func TestHL7ShowsEachMessageOfABatch(t *testing.T) {
	type shown struct {
		Batch    struct{ Batches []map[string]any }
		Messages []struct {
			Type      string
			RoundTrip bool `json:"round_trip"`
			Issues    []struct{ Where string }
		}
		Issues []struct{ Where string }
	}
	for name, c := range map[string]struct {
		in     string
		code   int
		types  string
		issues string
	}{
		"whole":        {batchOfTwo, 0, "ADT^A28 ADT^A31", ""},
		"wrong count":  {strings.Replace(batchOfTwo, "BTS|2", "BTS|3", 1), 1, "ADT^A28 ADT^A31", "BTS-1"},
		"no message":   {strings.Replace(batchOfTwo, "MSH|^~\\&|A|B|C|D|1||ADT^A31", "MSH|^^|", 1), 1, "ADT^A28 refused:MSH-2", ""},
		"no envelope":  {strings.NewReplacer("BHS|^~\\&|A|B|C|D|1|||b|B1\r", "", "BTS|2\r", "").Replace(batchOfTwo), 0, "ADT^A28 ADT^A31", ""},
		"empty":        {"BHS|^~\\&\rBTS|0\r", 0, "", ""},
		"UTF-8 marked": {"\ufeff" + batchOfTwo, 0, "ADT^A28 ADT^A31", ""},
	} {
		out, _, code := verb(t, c.in, "hl7", "--json")
		var got shown
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != c.code || len(got.Batch.Batches) != 1 {
			t.Errorf("%s: exit %d, %v: %s", name, code, err, out)
			continue
		}
		var types, issues []string
		for _, m := range got.Messages {
			if m.Type == "" {
				types = append(types, "refused:"+m.Issues[0].Where)
				continue
			}
			types = append(types, m.Type)
			if !m.RoundTrip {
				t.Errorf("%s: no round trip", name)
			}
		}
		for _, i := range got.Issues {
			issues = append(issues, i.Where)
		}
		if strings.Join(types, " ") != c.types || strings.Join(issues, " ") != c.issues {
			t.Errorf("%s: %v, %v", name, types, issues)
		}
	}
	if out, _, code := verb(t, batchOfTwo, "hl7"); code != 0 || !strings.Contains(out, "message 2 of 2: ADT^A31  version 2.4") {
		t.Errorf("exit %d: %s", code, out)
	}
}

func TestHL7ReadsTheCharsetItIsTold(t *testing.T) {
	in := "MSH|^~\\&|A|B|C|D|1||ADT^A28|1|P|2.4||||||SHIFT-JIS\rPID|1||||\x83\x7c^X\r"
	out, _, code := verb(t, in, "hl7", "--json", "--charset", "SHIFT-JIS")
	if code != 0 || !strings.Contains(out, `{"path":"PID-5[1].1","value":"ポ"}`) || !strings.Contains(out, `"round_trip":true`) || strings.Contains(out, `"severity":"error"`) {
		t.Errorf("exit %d: %s", code, out)
	}
	if out, errs, code := verb(t, in, "hl7", "--charset", "klingon"); code != 1 || !strings.Contains(errs, "cannot read") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

func TestMapTranslatesEachMessageOfABatch(t *testing.T) {
	advice, err := os.ReadFile("../fixtures/messages/advice.hl7")
	if err != nil {
		t.Fatal(err)
	}
	one, _, _ := strings.Cut(string(advice), "OBX|3|") // the photos stand behind
	two := strings.Replace(one, "|AG0001|", "|AG0002|", 1)
	count := func(out string) int { return strings.Count(out, `"resourceType": "Bundle"`) }
	if out, errs, code := verb(t, one+two, "map"); count(out) != 2 || code != 0 {
		t.Errorf("exit %d, %d bundles: %s", code, count(out), errs)
	}
	out, errs, code := verb(t, one+"MSH|^~\\&|A|B|C|D|1||QQQ^Q99|3|P|2.4\rPID|1\r"+two, "map")
	if count(out) != 2 || code != 1 || !strings.Contains(errs, "message 2 of 3") {
		t.Errorf("exit %d, %d bundles: %s", code, count(out), errs)
	}
}

func TestASourceIsAnsweredByBatchWhereItSaysSo(t *testing.T) {
	for setting, want := range map[string]bool{"": false, "    acknowledge: {batch: each}\n": false, "    acknowledge: {batch: batch}\n": true} {
		file := filepath.Join(t.TempDir(), "gateway.yaml")
		text := "site: {name: A, ods: RXX01}\nsources:\n  - name: gp\n    kind: hl7http\n    charset: SHIFT-JIS\n" + setting
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := load(file)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := sourceRules(cfg, cfg.Sources[0]); err != nil || r.BatchAnswer != want || r.Charset != "SHIFT-JIS" {
			t.Errorf("%q: %+v, %v", setting, r, err)
		}
	}
}

// A batch is answered message by message, and what is sent next on the connection has its own answer.
func TestSendPrintsEachAcknowledgementOfABatch(t *testing.T) {
	server := &mllp.Server{Name: "listen", Addr: "127.0.0.1:0"}
	if err := server.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, new(mllp.Receiver).Accept) }()
	defer func() { cancel(); <-done }()
	out, errs, code := verb(t, batchOfTwo, "send", "--repeat", "2", "--to", "mllp://"+server.Address())
	if code != 0 || strings.Count(out, "AA 1") != 2 || strings.Count(out, "AA 2") != 2 || !strings.Contains(out, "AA 4  p50") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
}
