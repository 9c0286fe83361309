package ers

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// watch is a poll of a request that the rig has sent.
type watch struct {
	*Poller
	t   *testing.T
	del flow.Delivery
}

func (r *rig) watch(kind, ubrn string) *watch {
	note, err := json.Marshal(Cursor{Kind: kind, UBRN: ubrn})
	if err != nil {
		r.t.Fatal(err)
	}
	return &watch{&Poller{Client: r.Client, Name: "ers", Every: time.Minute, Now: func() time.Time { return at }}, r.t,
		flow.Delivery{What: "poll", Note: string(note)}}
}

// poll polls once; the cursor moves on as the store would move it.
func (w *watch) poll() flow.Outcome {
	w.t.Helper()
	o, err := w.Deliver(context.Background(), w.del, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if o.Result == flow.Again {
		w.del.Note = o.Note
	}
	return o
}

// quiet polls and wants no news.
func (w *watch) quiet() {
	w.t.Helper()
	if o := w.poll(); o.Result != flow.Again || o.After != time.Minute || len(o.Replies) != 0 {
		w.t.Fatalf("%s after %s with %d replies: %v", o.Result, o.After, len(o.Replies), o.Cause)
	}
}

// news polls and gives the answer Bundle, which must be valid FHIR R4.
func (w *watch) news(result flow.Result) *fhir.Bundle {
	w.t.Helper()
	o := w.poll()
	if o.Result != result || len(o.Replies) != 1 {
		w.t.Fatalf("%s with %d replies: %v", o.Result, len(o.Replies), o.Cause)
	}
	got := o.Replies[0]
	root, issues := fhir.Read(got.Raw, fhir.ReadOptions{})
	if issues = append(issues, fhir.Validate(root)...); issues.Worst() != nil {
		w.t.Fatalf("%v\n%s", issues, got.Raw)
	}
	if got.Source != "ers" || got.Format != flow.FHIRR4 || got.RequestID != root.At("identifier.value").Text() {
		w.t.Errorf("handed over as %+v", got)
	}
	return &fhir.Bundle{Root: root}
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// says collects an answer's status, outputs and texts.
func says(b *fhir.Bundle) string {
	task := b.First("Task")
	out := []string{task.At("businessStatus.coding.code").Text()}
	for o := range task.Children("output") {
		out = append(out, o.At("type.coding.code").Text()+"="+o.Child("valueCode").Text()+o.Child("valueString").Text())
	}
	for c := range b.All("Communication") {
		for p := range c.Children("payload") {
			out = append(out, p.Child("contentString").Text()+p.At("contentAttachment.title").Text())
		}
	}
	return strings.Join(out, "|")
}

func TestAdviceComesBack(t *testing.T) {
	r := newRig(t, AdviceRequest)
	ubrn := r.want(flow.Delivered, "").Facts[FactUBRN]
	w := r.watch("advice", ubrn)
	w.quiet()
	w.quiet()
	do(t, r.ers.Touch("a", ubrn)) // e-RS wrote something of its own
	w.quiet()

	advice := sim.Advice{Outcome: "RETURN_TO_REFERRER_WITH_ADVICE", Recommendation: "REFERRAL_RECOMMENDED",
		Guidance: "Please refer: <urgent> & soon.\nSecond line, Zoë.", Priority: "URGENT"}
	do(t, r.ers.Answer(ubrn, advice))
	b := w.news(flow.Again)
	if got, want := says(b), "REFERRER_TO_REVIEW_RESPONSE|outcome=RETURN_TO_REFERRER_WITH_ADVICE|priority=URGENT|"+advice.Guidance; got != want {
		t.Errorf("the answer says %q, want %q", got, want)
	}
	facts := flow.FactsOf("ers", b)
	if facts.Event != flow.Answered || facts.NHSNumber != "9990548609" || facts.Kind != "advice" {
		t.Errorf("facts %+v", facts)
	}
	q, _ := r.ers.Request("a", ubrn)
	if len(facts.Refs) != 2 || facts.Refs[0].Value != ubrn || facts.Refs[1].Value != q.ID {
		t.Errorf("the answer is found by %v", facts.Refs)
	}
	w.quiet()
	advice.Outcome, advice.Guidance = "REQUIRE_FURTHER_INFORMATION", "A sharper photo, please."
	do(t, r.ers.Answer(ubrn, advice))
	if got := says(w.news(flow.Again)); !strings.Contains(got, "outcome=REQUIRE_FURTHER_INFORMATION") || !strings.HasSuffix(got, "|A sharper photo, please.") {
		t.Errorf("%q", got)
	}
	do(t, r.ers.Cancel(ubrn))
	if got := says(w.news(flow.Delivered)); !strings.HasPrefix(got, "CONVERSATION_ENDED_CANCELLED|") {
		t.Errorf("%q", got)
	}
}

func TestAReferralIsFollowed(t *testing.T) {
	r := newRig(t, Referral)
	ubrn := r.want(flow.Delivered, "").Facts[FactUBRN]
	w := r.watch("referral", ubrn)
	w.quiet()
	do(t, r.ers.Triage(ubrn, sim.Outcome{Outcome: "ACCEPT_REFER_BOOK_LATER", Comment: "See in clinic", Priority: "TWO_WEEK_WAIT"}))
	b := w.news(flow.Again)
	if got := says(b); got != "TRIAGED_PROVIDER_TO_ACTION|outcome=ACCEPT_REFER_BOOK_LATER|priority=TWO_WEEK_WAIT|comment=See in clinic|See in clinic" {
		t.Errorf("%q", got)
	}
	if facts := flow.FactsOf("ers", b); facts.Event != flow.Triaged || facts.Kind != "referral" {
		t.Errorf("facts %+v", facts)
	}
	r.want(flow.Delivered, "") // nothing is sent again
	do(t, r.ers.Touch("r", ubrn))
	w.quiet()
	do(t, r.ers.Book(ubrn))
	o := w.poll()
	if o.Result != flow.Again || o.After != quietly || len(o.Replies) != 1 {
		t.Errorf("booked: %s after %s with %d replies", o.Result, o.After, len(o.Replies))
	}
	do(t, r.ers.Cancel(ubrn))
	if got := says(w.news(flow.Delivered)); !strings.HasPrefix(got, "CANCELLED_REFERRAL|") {
		t.Errorf("%q", got)
	}
}

func TestTheSameVersionGivesTheSameBytes(t *testing.T) {
	r := newRig(t, AdviceRequest)
	ubrn := r.want(flow.Delivered, "").Facts[FactUBRN]
	do(t, r.ers.Answer(ubrn, sim.Advice{Outcome: "REQUIRE_FURTHER_INFORMATION", Guidance: "More."}))
	first := r.watch("advice", ubrn).poll().Replies[0]
	w := r.watch("advice", ubrn) // the first poll's settlement was lost
	w.Now = func() time.Time { return at.Add(time.Hour) }
	again := w.poll().Replies[0]
	if first.RequestID != again.RequestID || string(first.Raw) != string(again.Raw) {
		t.Error("a repeated poll would look like another answer")
	}
}

func TestTheAnswerNamesItsRequest(t *testing.T) {
	r := newRig(t, Referral)
	ubrn := r.want(flow.Delivered, "").Facts[FactUBRN]
	do(t, r.ers.Triage(ubrn, sim.Outcome{Outcome: "RETURN_TO_REFERRER_WITH_ADVICE", Comment: "Benign"}))
	w := r.watch("referral", ubrn)
	w.del.Note = `{"kind":"referral","ubrn":"` + ubrn + `","request":"key-1"}`
	if got := w.news(flow.Again).First("MessageHeader").At("response.identifier").Text(); got != "key-1" {
		t.Errorf("response to %q", got)
	}
}

func TestPollsThatFail(t *testing.T) {
	r := newRig(t, AdviceRequest)
	ubrn := r.want(flow.Delivered, "").Facts[FactUBRN]
	do(t, r.ers.Answer(ubrn, sim.Advice{Outcome: "REQUIRE_FURTHER_INFORMATION", Guidance: "More."}))
	for _, c := range []struct {
		fault  sim.Fault
		result flow.Result
		after  time.Duration
	}{
		{sim.Fault{Call: "A024", Status: 429, RetryAfter: "3"}, flow.Retry, 3 * time.Second},
		{sim.Fault{Call: "A024", Status: 500}, flow.Retry, 0},
		{sim.Fault{Call: "A024", Status: 409}, flow.Retry, 0},
		{sim.Fault{Call: "A024", DropAfter: true}, flow.Retry, 0},
		{sim.Fault{Call: "A024", Status: 200, Body: "{}"}, flow.Retry, 0},
		{sim.Fault{Call: "A025", Status: 404}, flow.Retry, 0}, // it changed in between
		{sim.Fault{Call: "A025", Status: 503}, flow.Retry, 0},
		{sim.Fault{Call: "A025", Status: 200, Body: `{"entry":[{"resource":{"resourceType":"Communication","note":7}}]}`}, flow.Retry, 0},
		{sim.Fault{Call: "A024", Status: 422, Code: "NO_RELATIONSHIP"}, flow.Refused, 0},
	} {
		r.ers.Fail(c.fault)
		w := r.watch("advice", ubrn)
		// A kept connection that ends early is no fault of the service: net/http reads again by itself.
		w.HTTP = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		if o := w.poll(); o.Result != c.result || o.After != c.after || o.Cause == nil || len(o.Replies) != 0 {
			t.Errorf("%+v: %s after %s, %v", c.fault, o.Result, o.After, o.Cause)
		}
		w.news(flow.Again)
	}
	for _, note := range []string{"", "{}", `{"kind":"advice","ubrn":"7"}`, `{"kind":"other","ubrn":"000000070001"}`} {
		w := r.watch("advice", ubrn)
		w.del.Note = note
		if o := w.poll(); o.Result != flow.Refused || o.Cause.Kind != issue.Internal {
			t.Errorf("%q: %s %v", note, o.Result, o.Cause)
		}
	}
}

func TestWhatTheProviderWroteSinceTheRequester(t *testing.T) {
	var set conversation
	load(t, "a025-attachments", &set)
	talk, files, err := set.sort()
	if err != nil || len(talk) != 2 || len(files) == 0 {
		t.Fatalf("%d messages, %d files, %v", len(talk), len(files), err)
	}
	server, p := serving(t, "a025-attachments")
	defer server.Close()
	read, err := p.conversation(context.Background(), "000000070001", "6")
	if err != nil {
		t.Fatal(err)
	}
	texts, err := read.answers()
	if err != nil || len(texts) != 1 || texts[0].words != "Please perform xxx test and send me the results" || len(texts[0].files) != 1 || texts[0].files[0].Title == "" {
		t.Errorf("%+v %v", texts, err)
	}
}

func TestThereIsNoCodeThatDecides(t *testing.T) {
	paths, err := filepath.Glob("*.go")
	if err != nil || len(paths) == 0 {
		t.Fatal(err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for call, operation := range map[string]string{"A021": "createReferralAndSendForTriage", "A027": "createFromCommunicationRequest",
			"A031": "changeShortlist"} {
			if strings.Contains(string(b), "$ers."+operation) {
				t.Errorf("%s can call %s", path, call)
			}
		}
	}
}
