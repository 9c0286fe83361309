package flow_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/gateway/flow"
)

// TestAMessageAboutNoCaseIsRefused: a map exists for these, and no place in the flow: they are neither taken
// for requests nor acknowledged and dropped. The connection lives: a request is accepted after them.
func TestAMessageAboutNoCaseIsRefused(t *testing.T) {
	in := newIntake(t, flow.SourceRules{})
	head := func(event, id string) string {
		return "MSH|^~\\&|PAS|RXX01|DERMGATE|RXX01|20261103101500||" + event + "|" + id + "|P|2.4|||AL|NE|GBR|UNICODE UTF-8\r"
	}
	pid := "PID|1||9990001014^^^NHS^NH||Testcase^Rosalind||19680412|2\r"
	letter := "TXA|1|CN|TX||||||||DOC1|||||AU\rOBX|1|TX|CN^Clinic letter^L||Seen today.||||||F\r"
	for name, raw := range map[string]string{
		"a letter":               head("MDM^T02^MDM_T02", "D1") + "EVN||20261103101500\r" + pid + "PV1|1|N\r" + letter,
		"a letter of no patient": head("MDM^T02^MDM_T02", "D2") + "EVN||20261103101500\r" + letter,
		"a new person":           head("ADT^A28^ADT_A05", "P1") + "EVN||20261103101500\r" + pid,
		"a visit":                head("ADT^A04^ADT_A01", "P2") + "EVN||20261103101500\r" + pid + "PV1|1|O|CLINIC\r",
	} {
		receipt, err := in.Accept(context.Background(), flow.Received{Source: "gp", Format: flow.HL7v2, Raw: []byte(raw)})
		if err != nil || !receipt.Refused {
			t.Fatalf("%s: %+v %v", name, receipt, err)
		}
		if ack := string(receipt.Answer); !strings.Contains(ack, "MSA|AR|") || !strings.Contains(ack, "ERR|MSH^1^9^200") {
			t.Errorf("%s: %q", name, ack)
		}
	}
	if len(in.store.refusals) != 4 {
		t.Errorf("%d refusals on record, want 4", len(in.store.refusals))
	}
	receipt, err := in.Accept(context.Background(), flow.Received{Source: "gp", Format: flow.HL7v2, Raw: []byte(request("R1"))})
	if err != nil || receipt.Refused {
		t.Errorf("a request after them: %+v %v", receipt, err)
	}
}

// TestAnAcknowledgementOfNothingEndsThere: it is kept and alarmed, and answered only where it asks for it, so that two
// systems do not acknowledge each other's acknowledgements for ever.
func TestAnAcknowledgementOfNothingEndsThere(t *testing.T) {
	for asks, want := range map[string]string{"": "", "|||AL|NE": "MSA|AE|K", "|||NE|ER": "MSA|AE|K"} {
		in := newIntake(t, flow.SourceRules{})
		var alarms []string
		in.Alarm = func(name, _ string) { alarms = append(alarms, name) }
		raw := "MSH|^~\\&|PAS|RXX01|DERMGATE|RXX01|20261103101500||ACK^I12|K|P|2.4" + asks + "\rMSA|AA|DG00000000000000000\r"
		receipt, err := in.Accept(context.Background(), flow.Received{Source: "gp", Format: flow.HL7v2, Raw: []byte(raw)})
		if err != nil || !receipt.Refused || len(in.store.refusals) != 1 {
			t.Errorf("%q: %+v %v, %d refusals on record", asks, receipt, err, len(in.store.refusals))
		}
		if got := string(receipt.Answer); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: answered %q", asks, got)
		}
		if len(alarms) != 1 || alarms[0] != "no-case" {
			t.Errorf("%q: alarms %v", asks, alarms)
		}
	}
}

// TestWhatNoSourceTakes: what a translation alone can do without, the flow refuses at its place: nothing of it becomes
// work, and a photo that is none passes only where the source lets it, as a document.
func TestWhatNoSourceTakes(t *testing.T) {
	head := "MSH|^~\\&|PAS|RXX01|DERMGATE|RXX01|20261103101500||%s|%s|P|2.4|||AL|NE|GBR|UNICODE UTF-8\r"
	pid := "PID|1||9990001014^^^NHS^NH||Testcase^Rosalind||19680412|2\r"
	order := "OBR|1|O1^PAS||SKINLESION^Skin lesion^L\r"
	noPhoto := request("T1") + "OBX|2|ED|OVERVIEW^Overview^L||^image^jpeg^Base64^VGhpcyBpcyBubyBwaG90bw==||||||F\r"
	in := newIntake(t, flow.SourceRules{})
	for raw, want := range map[string]string{
		fmt.Sprintf(head, "ORM^O01", "O1") + pid:                                                                       "ERR|ORC^1^^101",
		fmt.Sprintf(head, "ORM^O01", "O2") + pid + order:                                                               "ERR|ORC^1^^101",
		fmt.Sprintf(head, "ORU^R01", "O3") + pid + "OBX|1|TX|ADVICE||text\r":                                           "ERR|OBR^1^^101",
		fmt.Sprintf(head, "ORU^R01", "O4") + pid + order + strings.Replace(pid, "9990001014", "9990001022", 1) + order: "ERR|PID^2^^100",
		noPhoto: "ERR|OBX^2^5^102",
	} {
		receipt := in.send(raw)
		if ack := string(receipt.Answer); !receipt.Refused || !strings.Contains(ack, "MSA|AE|") || !strings.Contains(ack, want) {
			t.Errorf("want %s: %q", want, ack)
		}
	}
	lax := newIntake(t, flow.SourceRules{})
	rules := lax.Sources["gp"]
	rules.Checks.Photo, rules.Checks.Images = flow.Warn, flow.Require
	lax.Sources["gp"] = rules
	if receipt := lax.send(noPhoto); !receipt.Refused || !strings.Contains(string(receipt.Answer), "advice is asked without a photo") {
		t.Errorf("a text counts as a photo: %q", receipt.Answer)
	}
}
