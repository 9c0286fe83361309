package flow_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/bolt"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/maps"
)

// intake is a pipeline over an empty store in a file, with one source called gp.
type intake struct {
	*testing.T
	*flow.Pipeline
	store *frail
}

// frail is a store that can keep no more changes after so many.
type frail struct {
	flow.Store
	puts     int            // left; negative: no end
	refusals []flow.Message // recorded
}

func (f *frail) Put(ctx context.Context, c flow.Change) (flow.Receipt, error) {
	if f.puts == 0 {
		return flow.Receipt{}, fmt.Errorf("put: %w", flow.ErrUnavailable)
	}
	f.puts--
	return f.Store.Put(ctx, c)
}

func (f *frail) Refuse(ctx context.Context, m flow.Message) error {
	f.refusals = append(f.refusals, m)
	return f.Store.Refuse(ctx, m)
}

// shipped are the shipped maps, loaded once.
var shipped = sync.OnceValues(func() (*mapping.Set, error) { return mapping.Load(maps.FS) })

// send hands a message to the pipeline, which can keep it.
func (in *intake) send(raw string) flow.Receipt {
	in.Helper()
	receipt, err := in.Accept(context.Background(), flow.Received{Source: "gp", Format: flow.HL7v2, Raw: []byte(raw)})
	if err != nil {
		in.Fatal(err)
	}
	return receipt
}

func newIntake(t *testing.T, rules flow.SourceRules) *intake {
	t.Helper()
	store, err := bolt.Open(filepath.Join(t.TempDir(), "gateway.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	set, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	machines, err := pathway.Load()
	if err != nil {
		t.Fatal(err)
	}
	rules.Name, rules.Requests, rules.Processing = "gp", true, "P"
	rules.Kind = mapping.KindRule{From: hl7.MustPath("RF1-3.1"), Advice: []string{"AG"}}
	rules.Checks = flow.Checks{Consent: flow.Off, Images: flow.Off, NHSNumber: flow.Require, Photo: flow.Require}
	f := &frail{Store: store, puts: -1}
	return &intake{T: t, store: f, Pipeline: &flow.Pipeline{
		Store: f, Maps: func() *mapping.Set { return set }, Machines: machines, Site: flow.Site{ODS: "RXX01", Zone: time.UTC},
		Sources: map[string]flow.SourceRules{"gp": rules}, Secret: []byte("secret"), Now: func() time.Time { return received },
		Endpoints: []flow.Endpoint{{Name: "ag", Kind: flow.ToFHIR}}, Routes: []flow.Route{{To: []string{"ag"}}},
	}}
}

var received = time.Date(2026, 11, 3, 10, 15, 0, 0, time.UTC)

// request asks for advice under a control id.
func request(id string) string { return requestOf(id, "UNICODE UTF-8", "Testcase") }

func requestOf(id, set, name string) string {
	return "MSH|^~\\&|EMIS|Y06601|DERMGATE|RXX01|20261103101500||REF^I12^REF_I12|" + id + "|P|2.4|||AL|NE|GBR|" + set + "\r" +
		"RF1|P|R^Routine|AG^Advice and Guidance|||REF" + id + "^EMIS|20261103101500||20261103101500|D22.6^Melanocytic naevi of upper limb^I10\r" +
		"PRD|RP|Okafor^Ngozi^^^Dr|1 Lambeth Road^^London^^SE1 7AA^GBR||||G5612908^GMP|||LAMBETH ROAD SURGERY^^Y06601\r" +
		"PRD|RT|^^^^||||||||ST ELSEWHERE DERMATOLOGY^^RXX01\r" +
		"PID|1||9990001014^^^NHS^NH||" + name + "^Rosalind^^^Ms||19680412|2|||14 Sample Street^^London^^SE1 9ZZ^GBR\r" +
		"OBX|1|FT|QUESTION^Clinical question^L|L1|Changing mole on the left forearm||||||F|||20261103101000\r"
}

const (
	batchHead = "BHS|^~\\&|EMIS|Y06601|DERMGATE|RXX01|20261103|||b|B1\r"
	fileHead  = "FHS|^~\\&|EMIS|Y06601|DERMGATE|RXX01|20261103|||f|F1\r"
)

func (i *intake) take(raw string) (flow.Receipt, error) {
	return i.Accept(context.Background(), flow.Received{Source: "gp", At: received, Format: flow.HL7v2, Raw: []byte(raw)})
}

// gives checks the answers of a batch: "AA 1", "AE 2 BTS-1", one each.
func (i *intake) gives(raw string, want ...string) flow.Receipt {
	i.Helper()
	r, err := i.take(raw)
	if err != nil {
		i.Fatal(err)
	}
	if r.Answer != nil {
		i.Errorf("a single answer beside those of the batch: %q", r.Answer)
	}
	var got []string
	for _, a := range r.Answers {
		got = append(got, says(i.T, a))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		i.Errorf("answered %q, want %q", got, want)
	}
	return r
}

// says reads an acknowledgement: code, control id, then code and place of each error.
func says(t *testing.T, ack []byte) string {
	t.Helper()
	a, err := hl7.ParseAck(ack)
	if err != nil {
		t.Fatalf("%q: %v", ack, err)
	}
	out := a.Code + " " + a.ControlID
	for _, e := range a.Errors {
		if out += " " + e.Code; e.Where != (hl7.Path{}) {
			out += " " + e.Where.String()
		}
	}
	return out
}

// cases counts those kept.
func (i *intake) cases() int {
	i.Helper()
	cs, err := i.store.Cases(context.Background(), flow.CaseQuery{Limit: 1000})
	if err != nil {
		i.Fatal(err)
	}
	return len(cs)
}

func TestEachMessageOfABatchIsAcceptedForItself(t *testing.T) {
	for name, raw := range map[string]string{
		"in an envelope": fileHead + batchHead + request("1") + request("2") + request("3") + "BTS|3\rFTS|1\r",
		"without one":    request("1") + request("2") + request("3"),
	} {
		t.Run(name, func(t *testing.T) {
			i := newIntake(t, flow.SourceRules{})
			if r := i.gives(raw, "AA 1", "AA 2", "AA 3"); r.Refused || r.Repeat {
				t.Errorf("refused %v, repeat %v", r.Refused, r.Repeat)
			}
			if n := i.cases(); n != 3 {
				t.Errorf("%d cases", n)
			}
			first, err := i.take(request("2"))
			if err != nil || !first.Repeat {
				t.Errorf("the second message alone is no repeat: %v", err)
			}
			if r := i.gives(raw, "AA 1", "AA 2", "AA 3"); !r.Repeat || !bytes.Equal(r.Answers[1], first.Answer) || i.cases() != 3 {
				t.Errorf("the batch again: repeat %v, %d cases", r.Repeat, i.cases())
			}
		})
	}
}

func TestARefusedMessageKeepsTheOthersOfItsBatchIn(t *testing.T) {
	i := newIntake(t, flow.SourceRules{})
	bad := strings.Replace(request("2"), "9990001014", "9990001015", 1)
	r := i.gives(batchHead+request("1")+bad+"MSH|^^\r"+request("1")+request("4")+"BTS|5\r", "AA 1", "AE 2 102 PID-3", "AE  100 MSH-2", "AA 1", "AA 4")
	if !r.Refused || r.Repeat || i.cases() != 2 || len(i.store.refusals) != 2 {
		t.Errorf("refused %v, repeat %v, %d cases, %d refusals", r.Refused, r.Repeat, i.cases(), len(i.store.refusals))
	}
}

func TestAFaultyEnvelopeRefusesEveryMessageAndKeepsNone(t *testing.T) {
	for name, c := range map[string]struct {
		raw  string
		want []string
	}{
		"count":       {batchHead + request("1") + request("2") + "BTS|3\r", []string{"AE 1 100 BTS-1", "AE 2 100 BTS-1"}},
		"nesting":     {request("1") + "BTS|1\rBTS|1\r", []string{"AE 1 100 BTS[2]"}},
		"both":        {batchHead + request("1") + "BTS|2\rFTS|2\r", []string{"AE 1 100 BTS-1 100 FTS-1"}},
		"no messages": {batchHead + "BTS|2\r", []string{"AE B1 100 BTS-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			i := newIntake(t, flow.SourceRules{})
			if r := i.gives(c.raw, c.want...); !r.Refused || r.Kind != "structure" {
				t.Errorf("refused %v, %s", r.Refused, r.Kind)
			}
			if i.cases() != 0 || len(i.store.refusals) != len(c.want) {
				t.Errorf("%d cases, %d refusals recorded", i.cases(), len(i.store.refusals))
			}
			for _, m := range i.store.refusals {
				if kept, err := i.store.Message(context.Background(), m.ID); err != nil || !kept.Receipt.Refused || len(kept.Receipt.Answer) == 0 {
					t.Errorf("not recorded: %v", err)
				}
			}
			fixed := strings.NewReplacer("BTS|3", "BTS|2", "BTS|2\rFTS|2\r", "BTS|1\r").Replace(c.raw)
			if name == "count" || name == "both" {
				if r, err := i.take(fixed); err != nil || r.Refused || i.cases() != len(c.want) {
					t.Errorf("the corrected batch: %+v, %v, %d cases", r, err, i.cases())
				}
			}
		})
	}
}

func TestAStoreThatFailsInTheMiddleOfABatchLosesNothing(t *testing.T) {
	i := newIntake(t, flow.SourceRules{})
	var alarms []string
	i.Alarm = func(name, _ string) { alarms = append(alarms, name) }
	raw := batchHead + request("1") + request("2") + request("3") + request("4") + "BTS|4\r"
	i.store.puts = 0
	if _, err := i.take(raw); !errors.Is(err, flow.ErrUnavailable) {
		t.Errorf("nothing was kept, and the source is told %v", err)
	}
	i.store.puts = 2
	i.gives(raw, "AA 1", "AA 2", "AR 3 207", "AR 4 207")
	if len(alarms) != 1 || alarms[0] != "batch-not-kept" {
		t.Errorf("alarms %v", alarms)
	}
	i.store.puts = -1
	if r := i.gives(raw, "AA 1", "AA 2", "AA 3", "AA 4"); r.Repeat || r.Refused || i.cases() != 4 {
		t.Errorf("sent again: %d cases", i.cases())
	}
}

func TestABatchAcknowledgementWhereTheSourceWantsOne(t *testing.T) {
	i := newIntake(t, flow.SourceRules{BatchAnswer: true})
	for _, c := range []struct {
		raw, id string
		want    []string
	}{
		{batchHead + request("1") + request("2") + "BTS|2\r", "B1", []string{"AA 1", "AA 2"}},
		{request("3") + request("4"), "", []string{"AA 3", "AA 4"}},
		{batchHead + request("5") + "BTS|7\r", "B1", []string{"AE 5 100 BTS-1"}},
		{batchHead + "BTS|0\r", "B1", nil},
	} {
		r, err := i.take(c.raw)
		if err != nil || len(r.Answers) != 1 || r.Answer != nil {
			t.Fatalf("%d answers, %v", len(r.Answers), err)
		}
		ack := hl7.Split(r.Answers[0], "")
		s := ack.Summary()
		if len(ack.Issues) > 0 || len(ack.Messages) != len(c.want) || s.Batches[0].Reference != c.id || s.Batches[0].ControlID == "" {
			t.Fatalf("%q: %v", r.Answers[0], ack.Issues)
		}
		for n, want := range c.want {
			if got := says(t, ack.Messages[n]); got != want {
				t.Errorf("answered %q, want %q", got, want)
			}
		}
	}
	if r, err := i.take(request("9")); err != nil || says(t, r.Answer) != "AA 9" || r.Answers != nil {
		t.Errorf("a single message: %+v, %v", r, err)
	}
}

func TestAnEmptyBatchIsAnsweredByAnEmptyOne(t *testing.T) {
	r, err := newIntake(t, flow.SourceRules{}).take(batchHead + "BTS|0\r")
	if err != nil || len(r.Answers) != 1 || !strings.Contains(string(r.Answers[0]), "|B1\rBTS|0\r") {
		t.Errorf("%q, %v", r.Answers, err)
	}
}

// TestASourceThatDeclaresItsSetIsTranscodedAndItsBytesAreKept: the original is what is hashed, kept and
// repeated, and the answer is in the sender's set.
func TestASourceThatDeclaresItsSetIsTranscodedAndItsBytesAreKept(t *testing.T) {
	raw := requestOf("1", "SHIFT-JIS", "\x83\x7c\x95\x5c") // with | and \ inside
	i := newIntake(t, flow.SourceRules{Charset: "SHIFT-JIS"})
	r, err := i.take(raw)
	if err != nil || says(t, r.Answer) != "AA 1" {
		t.Fatalf("%q, %v", r.Answer, err)
	}
	kept, err := i.store.Message(context.Background(), r.Message)
	if err != nil || string(kept.Raw.Inline) != raw || kept.Idem.Digest != kept.Raw.SHA256 {
		t.Errorf("kept %q, %v", kept.Raw.Inline, err)
	}
	if again, err := i.take(raw); err != nil || !again.Repeat {
		t.Errorf("the same bytes are no repeat: %v", err)
	}
	if other, err := i.take(requestOf("1", "SHIFT-JIS", "\x95\x5c")); err != nil || says(t, other.Answer) != "AE 1 205 MSH-10" {
		t.Errorf("other bytes: %q, %v", other.Answer, err)
	}
	if bad, err := i.take(requestOf("2", "SHIFT-JIS", "\x83 ")); err != nil || says(t, bad.Answer) != "AE 2 102 PID-5" {
		t.Errorf("invalid bytes: %q, %v", bad.Answer, err)
	}
	plain := newIntake(t, flow.SourceRules{})
	if r, err := plain.take(requestOf("1", "SHIFT-JIS", "x")); err != nil || says(t, r.Answer) != "AE 1 102 MSH-18" {
		t.Errorf("not declared: %q, %v", r.Answer, err)
	}
}
