package flow_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// desk is a pipeline with a platform that answers, and a person who looks at alarms.
type desk struct {
	*intake
	alarms []string
	n      int // acts
}

func newDesk(t *testing.T) *desk {
	d := &desk{intake: newIntake(t, flow.SourceRules{})}
	d.Sources["ag"] = flow.SourceRules{Name: "ag", Answers: true, Checks: flow.Checks{NHSNumber: flow.Warn, Photo: flow.Warn}}
	gp := d.Sources["gp"]
	gp.Kind.Referral = []string{"DERM"}
	d.Sources["gp"] = gp
	d.Alarm = func(name, _ string) { d.alarms = append(d.alarms, name) }
	return d
}

// asked opens a case, which the platform takes under a UBRN.
func (d *desk) asked(id, kind, ubrn string) flow.ID {
	d.Helper()
	raw := strings.Replace(request(id), "AG^Advice and Guidance", kind, 1)
	receipt := d.intake.send(raw)
	if receipt.Refused {
		d.Fatalf("%s", receipt.Answer)
	}
	d.took(ubrn)
	return receipt.Case
}

// took settles what waits for the platform, which names it by a UBRN.
func (d *desk) took(ubrn string) {
	d.Helper()
	ds, err := d.store.Claim(d.Context(), "ag", 10, time.Minute)
	if err != nil {
		d.Fatal(err)
	}
	for _, del := range ds {
		o := flow.Outcome{Result: flow.Delivered}
		if ubrn != "" {
			o.Refs = []flow.Ref{{System: fhir.SystemUBRN, Value: ubrn}}
		}
		if err := d.Settled(d.Context(), &del, &o); err != nil {
			d.Fatal(err)
		}
		if err := d.store.Settle(d.Context(), del, o); err != nil {
			d.Fatal(err)
		}
	}
}

// word is what the platform says about a request.
type word struct{ id, ubrn, category, patient, status, text string }

func (w word) bundle() []byte {
	entry := func(n int, resource string) string {
		return fmt.Sprintf(`{"fullUrl":"urn:uuid:0f0c7a30-0000-4000-8000-%012d","resource":%s}`, n, resource)
	}
	ref := func(n int) string { return fmt.Sprintf(`{"reference":"urn:uuid:0f0c7a30-0000-4000-8000-%012d"}`, n) }
	category := ""
	if w.category != "" {
		category = fmt.Sprintf(`"category":[{"coding":[{"system":%q,"code":%q}]}],`, fhir.SystemRequestCategory, w.category)
	}
	entries := []string{
		entry(1, `{"resourceType":"MessageHeader","eventCoding":{"system":"https://fhir.nhs.uk/CodeSystem/message-events-bars","code":"servicerequest-response"},"source":{"endpoint":"urn:x"},"response":{"identifier":"of-`+w.id+`","code":"ok"}}`),
		entry(2, `{"resourceType":"ServiceRequest","identifier":[{"system":"`+fhir.SystemUBRN+`","value":"`+w.ubrn+`"}],`+category+`"status":"active","intent":"order","subject":`+ref(3)+`}`),
		entry(3, `{"resourceType":"Patient","identifier":[{"system":"`+fhir.SystemNHSNumber+`","value":"`+w.patient+`"}]}`),
		entry(4, `{"resourceType":"Task","status":"in-progress","intent":"order","businessStatus":{"coding":[{"system":"`+fhir.SystemAGStatus+`","code":"`+w.status+`"}]},"focus":`+ref(2)+`}`),
	}
	if w.text != "" {
		entries = append(entries, entry(5, `{"resourceType":"Communication","status":"completed","basedOn":[`+ref(2)+`],"subject":`+ref(3)+`,"payload":[{"contentString":"`+w.text+`"}]}`))
	}
	return []byte(`{"resourceType":"Bundle","type":"message","identifier":{"system":"urn:x","value":"` + w.id + `"},"entry":[` + strings.Join(entries, ",") + `]}`)
}

const rosalind, other = "9990001014", "9990001030"

// says hands a word of the platform over.
func (d *desk) says(w word) flow.Receipt {
	d.Helper()
	if w.patient == "" {
		w.patient = rosalind
	}
	receipt, err := d.Accept(d.Context(), flow.Received{Source: "ag", Format: flow.FHIRR4, Raw: w.bundle(), RequestID: w.id})
	if err != nil || receipt.Refused {
		d.Fatalf("%s: %v %s", w.id, err, receipt.Answer)
	}
	return receipt
}

// apply works what has come into its cases, and gives what became of each by message.
func (d *desk) apply() map[flow.ID]flow.Outcome {
	d.Helper()
	out := map[flow.ID]flow.Outcome{}
	for {
		ds, err := d.store.Claim(d.Context(), flow.ToCase, 10, time.Minute)
		if err != nil {
			d.Fatal(err)
		}
		if len(ds) == 0 {
			return out
		}
		for _, work := range ds {
			o, err := flow.Applier{P: d.Pipeline}.Deliver(d.Context(), work, nil)
			if err != nil {
				d.Fatal(err)
			}
			if o.Result == flow.Retry {
				o.After = time.Hour
			}
			if err := d.store.Settle(d.Context(), work, o); err != nil {
				d.Fatal(err)
			}
			out[work.Message] = o
		}
	}
}

func (d *desk) theCase(id flow.ID) (c pathway.Case) {
	d.Helper()
	r, err := d.store.Case(context.Background(), id)
	if err != nil {
		d.Fatal(err)
	}
	if err := json.Unmarshal(r.State, &c); err != nil {
		d.Fatal(err)
	}
	return c
}

// TestAUBRNOfTwoCases: an A&G request and the referral it became share a UBRN (e-RS). What says which of them it is about
// goes there; what does not is held, and never guessed at.
func TestAUBRNOfTwoCases(t *testing.T) {
	d := newDesk(t)
	const ubrn = "000049735440"
	advice, referral := d.asked("R1", "AG^Advice", ubrn), d.asked("R2", "DERM^Dermatology", ubrn)
	d.says(word{id: "W1", ubrn: ubrn, category: "request", status: "REFERRER_TO_REVIEW_RESPONSE", text: "Benign."})
	d.apply()
	if c := d.theCase(advice); c.State != pathway.Responded {
		t.Errorf("the A&G request is %s", c.State)
	}
	if c := d.theCase(referral); len(c.Answers) != 0 {
		t.Error("the referral has the answer to the A&G request")
	}
	which := d.says(word{id: "W2", ubrn: ubrn, status: "REFERRER_TO_REVIEW_RESPONSE", text: "Of which?"})
	if o := d.apply()[which.Message]; o.Result != flow.Refused || o.Cause == nil || !slices.Contains(d.alarms, "several-cases") {
		t.Errorf("%+v, alarms %v", o, d.alarms)
	}
	if strings.Contains(string(which.Answer), `"error"`) || !strings.Contains(string(which.Answer), `"warning"`) {
		t.Errorf("answered %s", which.Answer)
	}
}

// TestAnAnswerThatOvertakesFindsItsCase: it is held, and applied once what leads to its case has come.
func TestAnAnswerThatOvertakesFindsItsCase(t *testing.T) {
	d := newDesk(t)
	const ubrn = "000049735441"
	id := d.intake.send(request("R1")).Case
	early := d.says(word{id: "W1", ubrn: ubrn, status: "REFERRER_TO_REVIEW_RESPONSE", text: "Benign."})
	if o := d.apply()[early.Message]; o.Result != flow.Retry || !slices.Contains(d.alarms, "no-case") {
		t.Fatalf("%+v, alarms %v", o, d.alarms)
	}
	d.took(ubrn)
	held, err := d.store.Deliveries(t.Context(), flow.DeliveryQuery{To: flow.ToCase, State: flow.Waiting})
	if err != nil || len(held) != 1 {
		t.Fatalf("%d %v", len(held), err)
	}
	o, err := flow.Applier{P: d.Pipeline}.Deliver(t.Context(), held[0], nil)
	if err != nil || o.Result != flow.Delivered || d.theCase(id).State != pathway.Responded {
		t.Errorf("%+v %v, the case is %s", o, err, d.theCase(id).State)
	}
	later := held[0]
	later.Case, later.Created = flow.ID{}, d.Now().Add(-time.Hour)
	d.says(word{id: "W9", ubrn: "000000000000", status: "REFERRER_TO_REVIEW_RESPONSE", text: "Whose?"})
	lost, err := d.store.Claim(t.Context(), flow.ToCase, 1, time.Minute)
	if err != nil || len(lost) != 1 {
		t.Fatal(lost, err)
	}
	lost[0].Created = d.Now().Add(-time.Hour)
	if o, err := (flow.Applier{P: d.Pipeline}).Deliver(t.Context(), lost[0], nil); err != nil || o.Result != flow.Refused {
		t.Errorf("after an hour: %+v %v", o, err)
	}
}

// TestAnotherPatientsAnswerIsHeldUntilAPersonSaysWhoseItIs: it changes nothing, whatever its identifiers say, and a person's
// word is in the story.
func TestAnotherPatientsAnswerIsHeldUntilAPersonSaysWhoseItIs(t *testing.T) {
	d := newDesk(t)
	const ubrn = "000049735442"
	id := d.asked("R1", "AG^Advice", ubrn)
	held := d.says(word{id: "W1", ubrn: ubrn, patient: other, status: "REFERRER_TO_REVIEW_RESPONSE", text: "Benign."})
	if o := d.apply()[held.Message]; o.Result != flow.Refused || !slices.Contains(d.alarms, "wrong-patient") || len(d.theCase(id).Answers) != 0 {
		t.Fatalf("%+v, alarms %v", o, d.alarms)
	}
	parked, err := d.store.Deliveries(t.Context(), flow.DeliveryQuery{To: flow.ToCase, State: flow.Parked})
	if err != nil || len(parked) != 1 {
		t.Fatalf("%d %v", len(parked), err)
	}
	step := flow.Step{Name: flow.LinkedTo, Data: map[string]string{"case": id.String(), "by": "Dr B", "why": "the number was mistyped"}}
	for range 2 {
		act := flow.Act{Verb: "replay", ID: parked[0].ID, Person: "Dr B", Reason: "the number was mistyped", Key: "press-0001", Step: &step}
		if err := d.store.Act(t.Context(), act); err != nil {
			t.Fatal(err)
		}
		d.apply()
	}
	c := d.theCase(id)
	story, err := d.store.Story(t.Context(), id)
	if err != nil || c.State != pathway.Responded || len(c.Answers) != 1 || !slices.ContainsFunc(story, func(e flow.Event) bool {
		return e.What == "act" && strings.Contains(e.Text, "Dr B: the number was mistyped")
	}) {
		t.Errorf("%v %s %v %+v", err, c.State, c.Answers, story)
	}
}

// TestAnswersInAnyOrderComeToTheSame: a status, the answer and the end, each twice, in every order: nothing goes back, the
// answer is known and counted once, and the case has ended.
func TestAnswersInAnyOrderComeToTheSame(t *testing.T) {
	words := []word{
		{id: "S", status: "PROVIDER_RESPONSE_REQUIRED"},
		{id: "A", status: "REFERRER_TO_REVIEW_RESPONSE", text: "Benign."},
		{id: "E", status: "CONVERSATION_ENDED_CLOSED"},
	}
	for i, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		d := newDesk(t)
		ubrn := fmt.Sprintf("00004973545%d", i)
		id := d.asked("R1", "AG^Advice", ubrn)
		for _, n := range order {
			w := words[n]
			w.ubrn = ubrn
			d.says(w)
			d.says(w)
			d.apply()
			w.id += "-again" // seen again under another number: a poll
			d.says(w)
			d.apply()
		}
		c := d.theCase(id)
		if !d.Machines[pathway.Advice].Ended(c.State) && c.State != pathway.EndedNoticeDue || c.Outcome.Text == "" {
			t.Errorf("order %v: the case is %s, answers %v, text %q", order, c.State, c.Answers, c.Outcome.Text)
		}
		ds, err := d.store.Deliveries(t.Context(), flow.DeliveryQuery{Case: id})
		if err != nil {
			t.Fatal(err)
		}
		home := 0
		for _, del := range ds {
			if del.What == flow.Answered {
				home++
			}
		}
		if home != 1 {
			t.Errorf("order %v: the answer was sent on %d times", order, home)
		}
	}
}
