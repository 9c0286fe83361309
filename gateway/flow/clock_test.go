package flow_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// clockwork remembers by the clock on the wall when clocks ring, which stores count by their own.
type clockwork struct {
	flow.Store
	wound map[flow.ID]flow.Delivery
}

func (c *clockwork) Put(ctx context.Context, change flow.Change) (flow.Receipt, error) {
	r, err := c.Store.Put(ctx, change)
	c.wind(&change, err)
	return r, err
}

func (c *clockwork) Settle(ctx context.Context, d flow.Delivery, o flow.Outcome) error {
	err := c.Store.Settle(ctx, d, o)
	c.wind(o.Change, err)
	return err
}

func (c *clockwork) wind(change *flow.Change, err error) {
	if change == nil || err != nil {
		return
	}
	for _, d := range change.Deliveries {
		if d.To == flow.ToClock {
			c.wound[d.ID] = d
		}
	}
}

// wall is a desk with a clock on the wall that a test moves on: what is due rings.
type wall struct {
	*desk
	clocks *clockwork
	at     time.Time
	texts  []string // of alarms
}

func newWall(t *testing.T, at time.Time) *wall {
	w := &wall{desk: newDesk(t), at: at}
	w.clocks = &clockwork{w.store.Store, map[flow.ID]flow.Delivery{}}
	w.store.Store = w.clocks
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	gp := w.Sources["gp"]
	gp.Urgency = mapping.UrgencyRule{From: hl7.MustPath("RF1-2.1"), TwoWeekWait: []string{"2WW"}, Urgent: []string{"U"}, Routine: []string{"R"}}
	w.Sources["gp"] = gp
	w.Routes = []flow.Route{{When: flow.When{Event: flow.Requested}, To: []string{"ag"}}}
	w.Site.Zone, w.Timers = zone, pathway.DefaultTimers()
	w.Owners = flow.Owners{Provider: "Dermatology admin", Deputy: "Dermatology secretary", Operations: "Interface team"}
	w.Now = func() time.Time { return w.at }
	w.Alarm = func(name, text string) {
		w.alarms, w.texts = append(w.alarms, name), append(w.texts, name+": "+text)
	}
	return w
}

// send hands a request over at the time on the wall.
func (w *wall) send(raw string) flow.ID {
	w.Helper()
	receipt, err := w.Accept(w.Context(), flow.Received{Source: "gp", At: w.at, Format: flow.HL7v2, Raw: []byte(raw)})
	if err != nil || receipt.Refused {
		w.Fatalf("%v %s", err, receipt.Answer)
	}
	return receipt.Case
}

// until moves the clock on and rings, in their order, all clocks that are due by then, those among them that others wind.
func (w *wall) until(at string) {
	w.Helper()
	to, err := time.Parse(time.RFC3339, at)
	if err != nil {
		w.Fatal(err)
	}
	for {
		var first *flow.Delivery
		for _, d := range w.clocks.wound {
			if !d.Due.After(to) && (first == nil || d.Due.Before(first.Due)) {
				first = &d
			}
		}
		if first == nil {
			w.at = to
			return
		}
		if first.Due.After(w.at) {
			w.at = first.Due
		}
		delete(w.clocks.wound, first.ID)
		if o, err := (flow.Clock{P: w.Pipeline}).Deliver(context.Background(), *first, nil); err != nil || o.Result != flow.Delivered {
			w.Fatalf("%v %+v", err, o)
		}
	}
}

// asks gives the open tasks of a code: whom, since when.
func (w *wall) asks(id flow.ID, code string) (out []string) {
	for _, t := range w.theCase(id).Tasks {
		if t.Code == code && t.Done.IsZero() {
			out = append(out, t.Owner+" "+t.Opened.In(w.Site.Zone).Format("Mon 2 Jan 15:04"))
		}
	}
	return out
}

// acted hands over what a person has done about a case, and works it in.
func (d *desk) acted(source, act, person, decision string, id flow.ID) flow.Outcome {
	d.Helper()
	d.n++
	entry := func(n, resource string) string {
		return `{"fullUrl":"urn:uuid:5157d0d0-0000-4000-8001-00000000000` + n + `","resource":` + resource + `}`
	}
	ref := func(n string) string { return `{"reference":"urn:uuid:5157d0d0-0000-4000-8001-00000000000` + n + `"}` }
	output := ""
	if decision != "" {
		output = `,"output":[{"type":{"coding":[{"system":"` + fhir.SystemOutput + `","code":"decision"}]},"valueCode":"` + decision + `"}]`
	}
	raw := `{"resourceType":"Bundle","type":"message","identifier":{"system":"urn:gp","value":"act"},"entry":[` + strings.Join([]string{
		entry("1", `{"resourceType":"MessageHeader","eventCoding":{"system":"https://fhir.nhs.uk/CodeSystem/message-events-bars","code":"servicerequest-request"},"source":{"endpoint":"urn:gp"},"focus":[`+ref("3")+`]}`),
		entry("2", `{"resourceType":"ServiceRequest","identifier":[{"system":"`+flow.SystemCase+`","value":"`+id.String()+`"}],"status":"active","intent":"order","subject":`+ref("4")+`}`),
		entry("3", `{"resourceType":"Task","status":"completed","intent":"order","focus":`+ref("2")+`,"code":{"coding":[{"system":"`+fhir.SystemAct+`","code":"`+act+`"}]},"owner":{"identifier":{"value":"`+person+`"}}`+output+`}`),
		entry("4", `{"resourceType":"Patient","active":true}`),
	}, ",") + `]}`
	receipt, err := d.Accept(d.Context(), flow.Received{Source: source, At: d.Now(), Format: flow.FHIRR4, Raw: []byte(raw), RequestID: fmt.Sprintf("act-%d", d.n)})
	if err != nil || receipt.Refused {
		d.Fatalf("%s: %v %s", act, err, receipt.Answer)
	}
	return d.apply()[receipt.Message]
}

func (w *wall) equal(what string, got []string, want ...string) {
	w.Helper()
	if !slices.Equal(got, want) {
		w.Errorf("%s: %q, want %q", what, got, want)
	}
}

func (w *wall) count(alarm string) (n int) {
	for _, a := range w.alarms {
		if a == alarm {
			n++
		}
	}
	return n
}

const gp = "G5612908"

// Advice that does not come: on the day the provider and who asked are asked to act, the patient is owed a word, and the
// case stays where it is; then the deputy and the practice; then, every working day, again.
func TestAnAnswerThatDoesNotComeIsNeverSilent(t *testing.T) {
	w := newWall(t, time.Date(2026, 12, 18, 15, 0, 0, 0, time.UTC)) // the Friday before Christmas
	id := w.send(request("L1"))
	w.took("000000070001")
	w.until("2026-12-29T14:59:00Z")
	w.equal("before the limit", w.asks(id, pathway.TaskOverdue))
	w.until("2026-12-29T15:01:00Z") // Monday to Thursday, and the Tuesday after Boxing Day is kept
	w.equal("at the limit", w.asks(id, pathway.TaskOverdue), "Dermatology admin Tue 29 Dec 15:00", gp+" Tue 29 Dec 15:00")
	c := w.theCase(id)
	if c.State != pathway.AwaitingProvider || c.Told() || c.Obligations[len(c.Obligations)-1].Notice != "N8" || w.count("overdue") != 1 {
		t.Errorf("%s %+v %q", c.State, c.Obligations, w.texts)
	}
	w.until("2026-12-30T15:01:00Z")
	w.equal("a day later", w.asks(id, pathway.TaskOverdue), "Dermatology admin Tue 29 Dec 15:00", gp+" Tue 29 Dec 15:00",
		"Dermatology secretary Wed 30 Dec 15:00", "Y06601 Wed 30 Dec 15:00")
	w.until("2027-01-06T15:01:00Z")
	if n := w.count("overdue"); n != 6 { // 31 December, 4, 5 and 6 January besides
		t.Errorf("%d alarms: %q", n, w.texts)
	}
	if c := w.theCase(id); c.State != pathway.AwaitingProvider || len(w.asks(id, pathway.TaskOverdue)) != 4 || len(slices.DeleteFunc(c.Obligations, func(o pathway.Obligation) bool { return o.Notice != "N8" })) != 1 {
		t.Errorf("%s %v %+v", c.State, w.asks(id, pathway.TaskOverdue), c.Obligations)
	}
	w.says(word{id: "L1a", ubrn: "000000070001", category: "request", status: "REFERRER_TO_REVIEW_RESPONSE", text: "A naevus."})
	w.apply()
	if c := w.theCase(id); c.State != pathway.Responded || len(w.asks(id, pathway.TaskOverdue)) != 0 {
		t.Errorf("answered: %s %v", c.State, w.asks(id, pathway.TaskOverdue))
	}
}

// Answers that nobody reads: one that says "please refer" is told of by itself, the same day, and again to the practice four
// hours later; the others in one alarm a day for each who asked.
func TestUnreadAnswers(t *testing.T) {
	w := newWall(t, time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)) // a Monday
	answered := func(id, ubrn, status, text string) flow.ID {
		c := w.send(request(id))
		w.took(ubrn)
		w.says(word{id: id + "a", ubrn: ubrn, category: "request", status: status, text: text})
		w.apply()
		return c
	}
	first := answered("U1", "000000070011", "REFERRER_TO_REVIEW_RESPONSE", "A naevus.")
	second := answered("U2", "000000070012", "REFERRER_TO_REVIEW_RESPONSE", "A wart.")
	urgent := w.send(strings.Replace(request("U3"), "|R^Routine|", "|2WW|", 1))
	w.took("000000070013")
	w.says(word{id: "U3a", ubrn: "000000070013", category: "request", status: "REFERRER_TO_REVIEW_RESPONSE", text: "Please refer."})
	w.apply()
	w.until("2026-11-23T17:01:00Z")
	w.equal("the urgent one", w.asks(urgent, pathway.TaskOverdue), gp+" Mon 23 Nov 17:00")
	w.equal("the others", append(w.asks(first, pathway.TaskOverdue), w.asks(second, pathway.TaskOverdue)...))
	w.until("2026-11-23T21:01:00Z")
	w.equal("the urgent one later", w.asks(urgent, pathway.TaskOverdue), gp+" Mon 23 Nov 17:00", "Y06601 Mon 23 Nov 21:00")
	alone := w.count("overdue")
	if alone != 2 || !strings.Contains(w.texts[0], urgent.String()) {
		t.Errorf("%q", w.texts)
	}
	if c := w.theCase(urgent); c.State != pathway.Responded || c.Moves != 4 { // DRAFT → … → RESPONDED, and AG20
		t.Errorf("%s %d", c.State, c.Moves)
	}
	digest := flow.Digest{P: w.Pipeline, At: 8 * time.Hour}
	look := func(after time.Duration) {
		t.Helper()
		o, err := digest.Deliver(t.Context(), flow.Delivery{}, nil)
		if err != nil || o.Result != flow.Again || o.After != after {
			t.Errorf("%v %+v", err, o)
		}
	}
	w.until("2026-11-24T08:00:00Z")
	look(24 * time.Hour)
	if w.count("unread-digest") != 0 {
		t.Errorf("none is late yet: %q", w.texts)
	}
	w.until("2026-11-25T09:01:00Z")
	w.equal("late", append(w.asks(first, pathway.TaskOverdue), w.asks(second, pathway.TaskOverdue)...), gp+" Wed 25 Nov 09:00", gp+" Wed 25 Nov 09:00")
	for _, text := range w.texts {
		if strings.HasPrefix(text, "overdue") && !strings.Contains(text, urgent.String()) {
			t.Errorf("told of by itself: %s", text)
		}
	}
	w.until("2026-11-26T08:00:00Z")
	look(24 * time.Hour)
	if w.count("unread-digest") != 1 || !strings.Contains(w.texts[len(w.texts)-1], gp+": 2 answers") {
		t.Errorf("%q", w.texts)
	}
	w.until("2026-11-28T08:00:00Z") // a Saturday
	look(48 * time.Hour)
	if w.count("unread-digest") != 1 {
		t.Errorf("at the weekend: %q", w.texts)
	}
	w.until("2026-11-30T08:00:00Z")
	look(24 * time.Hour)
	if w.count("unread-digest") != 3 { // the practice was asked as well meanwhile
		t.Errorf("%q", w.texts)
	}
}

// The digest is one delivery of the store, however many gateways begin.
func TestTheDigestIsBegunOnce(t *testing.T) {
	w := newWall(t, time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC))
	for range 2 {
		if err := (flow.Digest{P: w.Pipeline, At: 8 * time.Hour}).Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ds, err := w.store.Deliveries(t.Context(), flow.DeliveryQuery{To: flow.ToDigest})
	if err != nil || len(ds) != 1 || time.Until(ds[0].Due).Round(time.Hour) != 71*time.Hour {
		t.Errorf("%v %+v", err, ds)
	}
}

// The 28 days of a suspected cancer: watched from the day its referral came, until somebody of the hospital's cancer tracking
// has taken them over by name.
func TestTwentyEightDaysAreWatchedUntilTheyAreTakenOver(t *testing.T) {
	w := newWall(t, time.Date(2026, 10, 12, 9, 0, 0, 0, time.UTC))
	suspected := func(id string) flow.ID {
		return w.send(strings.NewReplacer("AG^Advice and Guidance", "DERM^Dermatology", "|R^Routine|", "|2WW|").Replace(request(id)))
	}
	id, other := suspected("D1"), suspected("D2")
	routine := w.send(strings.Replace(request("D3"), "AG^Advice and Guidance", "DERM^Dermatology", 1))
	w.took("000000070099")
	w.until("2026-11-02T08:59:00Z")
	w.equal("before", w.asks(id, "diagnosis-due"))
	w.until("2026-11-02T10:01:00Z")
	w.equal("after 21 days, the clocks having gone back", w.asks(id, "diagnosis-due"), "Dermatology admin Mon 2 Nov 10:00")
	w.acted("ag", "cancer-tracking", "Cancer Tracker 1", "", other)
	if c := w.theCase(other); c.Tracked != "Cancer Tracker 1" || c.TrackedAt.IsZero() || len(w.asks(other, "diagnosis-due")) != 0 {
		t.Errorf("%q %s %v", c.Tracked, c.TrackedAt, c.Tasks)
	}
	w.until("2026-11-09T10:01:00Z")
	w.equal("after 28", w.asks(id, "diagnosis-due"), "Dermatology admin Mon 2 Nov 10:00", "Dermatology secretary Mon 9 Nov 10:00")
	w.equal("taken over", w.asks(other, "diagnosis-due"))
	w.equal("routine", w.asks(routine, "diagnosis-due"))
	told := w.count("diagnosis-due")
	if w.until("2026-11-10T10:01:00Z"); w.count("diagnosis-due") != told+1 {
		t.Errorf("the next day: %q", w.texts)
	}
}
