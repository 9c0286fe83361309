package flow_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/issue"
)

// merge is an A40 of these records; each is the whole of PID-3 or MRG-1.
func merge(id, stays, goes string) string {
	return "MSH|^~\\&|PAS|RXX01|DERMGATE|RXX01|20261103101500||ADT^A40^ADT_A39|" + id + "|P|2.4|||AL|NE|GBR|UNICODE UTF-8\r" +
		"EVN||20261103101500\rPID|1||" + stays + "||Testcase^Rosalind||19680412|2\rMRG|" + goes + "\r"
}

// work applies what waits for its case, and tells how much that was.
func work(t *testing.T, in *intake) int {
	t.Helper()
	n := 0
	for {
		claimed, err := in.Store.Claim(context.Background(), flow.ToCase, 10, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if len(claimed) == 0 {
			return n
		}
		for _, del := range claimed {
			o, err := flow.Applier{P: in.Pipeline}.Deliver(context.Background(), del, nil)
			if err != nil || o.Result != flow.Delivered {
				t.Fatalf("%+v %v", o, err)
			}
			if err := in.Store.Settle(context.Background(), del, o); err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
}

func caseOf(t *testing.T, in *intake, id flow.ID) pathway.Case {
	t.Helper()
	r, err := in.Store.Case(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	var c pathway.Case
	if err := json.Unmarshal(r.State, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAMergeStopsTheOpenCases of either patient, and of no other: nothing of them is sent, somebody is asked, and only a
// person's word that is about the merge lets them go on, once.
func TestAMergeStopsTheOpenCases(t *testing.T) {
	in, ctx := newIntake(t, flow.SourceRules{}), context.Background()
	var alarms []string
	in.Alarm = func(name, _ string) { alarms = append(alarms, name) }
	accept := func(raw string) flow.Receipt {
		t.Helper()
		r, err := in.Accept(ctx, flow.Received{Source: "gp", Format: flow.HL7v2, Raw: []byte(raw)})
		if err != nil || r.Refused {
			t.Fatalf("%s %v", r.Answer, err)
		}
		return r
	}
	ours, same := accept(request("R1")).Case, accept(request("R2")).Case
	other := accept(strings.ReplaceAll(request("R3"), "9990001014", "9990001022")).Case

	if got := accept(merge("M1", "A100^^^RXX01^MR", "A101^^^RXX01^MR")); got.Case != (flow.ID{}) || work(t, in) != 0 {
		t.Errorf("a merge of nobody here asks for something: %+v", got)
	}
	raw := merge("M2", "9990001030^^^NHS^NH", "9990001014^^^NHS^NH")
	accept(raw)
	if again := accept(raw); !again.Repeat {
		t.Error("the same merge again is another")
	}
	if n := work(t, in); n != 2 {
		t.Errorf("%d cases were told, want 2", n)
	}
	stopped := func(id flow.ID) bool {
		t.Helper()
		ds, err := in.Store.Deliveries(ctx, flow.DeliveryQuery{Case: id, To: "ag"})
		if err != nil || len(ds) == 0 {
			t.Fatalf("%d deliveries %v", len(ds), err)
		}
		o, err := in.Before(ctx, &ds[0])
		if err != nil || o.Result != "" && o.Result != flow.Again {
			t.Fatal(o, err)
		}
		ds[0].What = "poll"
		if polled, err := in.Before(ctx, &ds[0]); polled.Result != "" || err != nil {
			t.Errorf("what a channel says is not heard: %v", err)
		}
		return o.Result == flow.Again
	}
	for id, want := range map[flow.ID]bool{ours: true, same: true, other: false} {
		if c := caseOf(t, in, id); stopped(id) != want || (c.Stopped != "") != want || len(c.Tasks) != map[bool]int{true: 1, false: 0}[want] {
			t.Errorf("stopped %v %q, %d tasks: want %v", stopped(id), c.Stopped, len(c.Tasks), want)
		}
	}
	if c := caseOf(t, in, ours); c.Tasks[0].Code != "merge" || c.Tasks[0].Due.Sub(received) > 4*time.Hour || !strings.Contains(c.Tasks[0].Why, "replaced by another") {
		t.Errorf("%+v", c.Tasks[0])
	}
	if len(alarms) != 2 || alarms[0] != "merge" || alarms[1] != "merge" {
		t.Errorf("alarms %v", alarms)
	}
	if err := in.ReleaseMerged(ctx, ours, "", "checked"); issue.From(err) == nil {
		t.Error("released by nobody")
	}
	for range 2 {
		if err := in.ReleaseMerged(ctx, ours, "Dr Sister", "seen with the patient"); err != nil {
			t.Fatal(err)
		}
	}
	story, err := in.Store.Story(ctx, ours)
	if err != nil {
		t.Fatal(err)
	}
	acts := 0
	for _, e := range story {
		if e.What == "act" {
			acts++
		}
	}
	if c := caseOf(t, in, ours); stopped(ours) || c.Stopped != "" || c.Tasks[0].Done.IsZero() || c.Tasks[0].By != "Dr Sister" || acts != 1 {
		t.Errorf("after the release: %+v, %d acts", c.Tasks[0], acts)
	}
	if !stopped(same) {
		t.Error("the other case went on by itself")
	}
}

// TestAStoppedCaseIsNotReleasedByTheWay: the word that consent is recorded says nothing of whose case it is.
func TestAStoppedCaseIsNotReleasedByTheWay(t *testing.T) {
	in, ctx := newIntake(t, flow.SourceRules{}), context.Background()
	rules := in.Sources["gp"]
	rules.Checks.Images = flow.Hold
	in.Sources["gp"] = rules
	receipt, err := in.Accept(ctx, flow.Received{Source: "gp", Format: flow.HL7v2, Raw: []byte(request("R1"))})
	if err != nil || receipt.Refused {
		t.Fatalf("%s %v", receipt.Answer, err)
	}
	if _, err := in.Accept(ctx, flow.Received{Source: "gp", Format: flow.HL7v2, Raw: []byte(merge("M1", "9990001014^^^NHS^NH~A100^^^RXX01^MR", "A101^^^RXX01^MR"))}); err != nil {
		t.Fatal(err)
	}
	work(t, in)
	if c := caseOf(t, in, receipt.Case); c.State != pathway.Held || c.Stopped == "" || !strings.Contains(c.Tasks[len(c.Tasks)-1].Why, "takes over") {
		t.Fatalf("%s %q", c.State, c.Stopped)
	}
	if i := issue.From(in.Release(ctx, receipt.Case, "Dr Okafor", "it may go without")); i == nil || i.Kind != issue.Conflict {
		t.Errorf("released although stopped: %v", i)
	}
	if err := in.ReleaseMerged(ctx, receipt.Case, "Dr Okafor", "the same patient"); err != nil {
		t.Fatal(err)
	}
	if c := caseOf(t, in, receipt.Case); c.State != pathway.Held {
		t.Errorf("the word on the merge let the request go: %s", c.State)
	}
	if err := in.Release(ctx, receipt.Case, "Dr Okafor", "it may go without"); err != nil {
		t.Fatal(err)
	}
	if c := caseOf(t, in, receipt.Case); c.State != pathway.Submitted {
		t.Errorf("released: %s", c.State)
	}
}

// TestAWrongNumberFindsNoPatient: what names a patient by an NHS number that is none is refused, be it a request, an answer
// or a merge, since nobody could tell whom it is about; a source that may send such numbers is believed.
func TestAWrongNumberFindsNoPatient(t *testing.T) {
	wrong := func(raw string) string { return strings.ReplaceAll(raw, "9990001014", "9990001015") }
	answer := "MSH|^~\\&|PAS|RXX01|DERMGATE|RXX01|20261103101500||RRI^I12^RRI_I12|A1|P|2.4|||AL|NE|GBR|UNICODE UTF-8\r" +
		"MSA|AA|R1\rRF1|P|||||REFR1^EMIS\rPRD|RT|||||||||CLINIC^^RXX01\rPID|1||9990001014^^^NHS^NH||Testcase^Rosalind\r"
	for name, tt := range map[string]struct {
		raw    string
		number flow.Check
		where  string // of the refusal; empty: taken
	}{
		"a request":                   {wrong(request("R2")), flow.Require, "PID^1^3^102"},
		"an answer":                   {wrong(answer), flow.Require, "PID^1^3^102"},
		"an answer that is right":     {answer, flow.Require, ""},
		"an answer from who may":      {wrong(answer), flow.Warn, ""},
		"a merge":                     {merge("M1", "9990001015^^^NHS^NH", "A101^^^RXX01^MR"), flow.Require, "PID^1^3^102"},
		"a merge of a wrong number":   {merge("M2", "9990001014^^^NHS^NH", "9990001015^^^NHS^NH"), flow.Require, "MRG^1^1^102"},
		"a second number that is one": {strings.ReplaceAll(request("R3"), "^^^NHS^NH", "^^^NHS^NH~9990001015^^^NHS^NH"), flow.Require, ""},
	} {
		in := newIntake(t, flow.SourceRules{Answers: true})
		if r, err := in.Accept(context.Background(), flow.Received{Source: "gp", Format: flow.HL7v2, Raw: []byte(request("R1"))}); err != nil || r.Refused {
			t.Fatalf("%s %v", r.Answer, err)
		}
		rules := in.Sources["gp"]
		rules.Checks.NHSNumber = tt.number
		in.Sources["gp"] = rules
		r, err := in.Accept(context.Background(), flow.Received{Source: "gp", Format: flow.HL7v2, Raw: []byte(tt.raw)})
		if err != nil || r.Refused != (tt.where != "") || !strings.Contains(string(r.Answer), tt.where) {
			t.Errorf("%s: %q %v, want %q", name, r.Answer, err, tt.where)
		}
	}
}
