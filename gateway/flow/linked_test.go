package flow_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
)

func (d *desk) id(text string) flow.ID {
	d.Helper()
	id, err := flow.ParseID(text)
	if err != nil || id.IsZero() {
		d.Fatalf("%q is no case: %v", text, err)
	}
	return id
}

// A provider who converts advice is observed, never blocked: with an alarm where its requester had not authorised it. The
// referral is a case of its own, with the same UBRN, and what is said of it goes there and nowhere else.
func TestConvertedAdviceBecomesALinkedReferral(t *testing.T) {
	w := newWall(t, time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	const ubrn = "000000070021"
	w.Endpoints[0].Poll, w.Endpoints[0].PollEvery = "ag~poll", time.Hour
	id := w.send(request("C1"))
	w.took(ubrn)
	for range 2 { // told twice
		w.says(word{id: "C1a" + time.Duration(w.n).String(), ubrn: ubrn, category: "request", status: "ADVICE_CONVERTED", text: "We will see her."})
		w.apply()
		w.n++
	}
	c := w.theCase(id)
	if c.State != pathway.EndedNoticeDue || c.Obligations[len(c.Obligations)-1].Notice != "N5" || w.count("converted-unauthorised") == 0 {
		t.Errorf("%s %+v %q", c.State, c.Obligations, w.alarms)
	}
	next := w.theCase(w.id(c.Became))
	if next.Kind != pathway.Referral || next.State != pathway.ProviderToAction || next.From != c.ID || next.Channel["ubrn"] != ubrn || next.Request.Patient != c.Request.Patient || next.TaskStatus != "accepted" {
		t.Errorf("%+v", next)
	}
	all, err := w.store.Cases(t.Context(), flow.CaseQuery{})
	if err != nil || len(all) != 2 {
		t.Errorf("%d cases: %v", len(all), err)
	}
	polls, err := w.store.Deliveries(t.Context(), flow.DeliveryQuery{Case: w.id(c.Became), To: "ag~poll"})
	if err != nil || len(polls) != 1 || !strings.Contains(polls[0].Note, `"referral"`) || !strings.Contains(polls[0].Note, ubrn) {
		t.Errorf("asked for: %v %+v", err, polls)
	}
	if asked, _ := w.store.Deliveries(t.Context(), flow.DeliveryQuery{To: "ag"}); len(asked) != 1 {
		t.Errorf("%d messages left for the platform: advice was converted into one", len(asked))
	}
	w.says(word{id: "C1r", ubrn: ubrn, category: "referral", status: "BOOKED"})
	w.apply()
	if next := w.theCase(w.id(c.Became)); next.State != pathway.Booked {
		t.Errorf("the referral is %s", next.State)
	}
	if c := w.theCase(id); c.State != pathway.EndedNoticeDue {
		t.Errorf("the advice is %s", c.State)
	}
}

// One that authorised it raises no alarm.
func TestAnAuthorisedConversionIsNoAlarm(t *testing.T) {
	w := newWall(t, time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	w.send(request("C2") + "OBX|2|CE|CONVERSION^Conversion^L||Y^Yes^HL70136||||||F|||20261103101000\r")
	w.took("000000070022")
	w.says(word{id: "C2a", ubrn: "000000070022", category: "request", status: "ADVICE_CONVERTED"})
	w.apply()
	if w.count("converted-unauthorised") != 0 {
		t.Errorf("%q", w.texts)
	}
}

// An answer that is amended after its case has ended goes on as a linked case that must be read again: the one that ended
// stays as it was, the amendment of the amendment comes to the linked one, and the same again is nothing new (H21).
func TestAnAmendmentAfterTheEndOpensALinkedCase(t *testing.T) {
	w := newWall(t, time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	const ubrn = "000000070031"
	w.Endpoints = append(w.Endpoints, flow.Endpoint{Name: "home", Kind: flow.ToMLLP, Message: "RRI_I12", Answer: "MDM_T02", Version: "2.4"})
	w.Routes = append(w.Routes, flow.Route{When: flow.When{Event: flow.Answered}, To: []string{"home"}})
	id := w.send(request("E1"))
	w.took(ubrn)
	says := func(id, text string) {
		t.Helper()
		w.says(word{id: id, ubrn: ubrn, category: "request", status: "REFERRER_TO_REVIEW_RESPONSE", text: text})
		w.apply()
	}
	says("E1a", "A naevus.")
	w.acted("gp", "review", "G5612908", pathway.ManageInPrimaryCare, id)
	w.acted("ag", "attest-told", "G5612908", "", id)
	if c := w.theCase(id); c.State != pathway.Closed {
		t.Fatalf("%s %+v", c.State, c.Obligations)
	}
	says("E1b", "A naevus.")
	if c := w.theCase(id); c.Next != "" {
		t.Fatal("the same answer again is an amendment")
	}
	says("E1c", "A melanoma.")
	c := w.theCase(id)
	next := w.theCase(w.id(c.Next))
	if c.State != pathway.Closed || next.State != pathway.Responded || next.Kind != pathway.Advice || next.From != c.ID || len(next.Answers) != 1 {
		t.Fatalf("%s, %s %+v", c.State, next.State, next)
	}
	says("E1d", "A melanoma, in situ.")
	says("E1e", "A melanoma, in situ.")
	if next = w.theCase(w.id(c.Next)); next.State != pathway.Responded || len(next.Answers) != 2 {
		t.Errorf("%s, %d answers", next.State, len(next.Answers))
	}
	var told []string
	for {
		ds, err := w.store.Claim(t.Context(), "home", 1, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if len(ds) == 0 {
			break
		}
		content, err := w.Content(t.Context(), ds[0])
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, strings.Split(string(content), "|")[8])
		if err := w.store.Settle(t.Context(), ds[0], flow.Outcome{Result: flow.Delivered}); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(told) // two cases, two lanes
	w.equal("what went home", told, "MDM^T02^MDM_T02", "MDM^T10^MDM_T02", "MDM^T10^MDM_T02")
	w.acted("gp", "review", "G5612908", pathway.ManageInPrimaryCare, id) // by what the GP system knows
	w.acted("ag", "attest-told", "G5612908", "", id)
	if next = w.theCase(w.id(c.Next)); next.State != pathway.Closed {
		t.Errorf("%s %+v", next.State, next.Obligations)
	}
}

// The outcome of a triage that is amended: before booking the case knows it (RA37), later somebody looks, after the end it goes
// on as a linked case for the provider to act on; each time who asked hears it.
func TestAnOutcomeThatIsAmended(t *testing.T) {
	w := newWall(t, time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	const ubrn = "000000070041"
	w.Endpoints = append(w.Endpoints, flow.Endpoint{Name: "home", Kind: flow.ToMLLP, Message: "RRI_I12", Version: "2.4"})
	w.Routes = append(w.Routes, flow.Route{When: flow.When{Event: flow.Triaged}, To: []string{"home"}})
	id := w.send(strings.Replace(request("O1"), "AG^Advice and Guidance", "DERM^Dermatology", 1))
	w.took(ubrn)
	home := func(n int) {
		t.Helper()
		if told, err := w.store.Deliveries(t.Context(), flow.DeliveryQuery{To: "home"}); err != nil || len(told) != n {
			t.Fatalf("%d messages went home, want %d: %v", len(told), n, err)
		}
	}
	says := func(id, status, text string) {
		t.Helper()
		w.says(word{id: id, ubrn: ubrn, category: "referral", status: status, text: text})
		w.apply()
	}
	says("O1a", "TRIAGED_PROVIDER_TO_ACTION", "Clinic.")
	says("O1b", "TRIAGED_PROVIDER_TO_ACTION", "Clinic.")
	home(1)
	says("O1c", "TRIAGED_PROVIDER_TO_ACTION", "Surgery, not clinic.")
	if c := w.theCase(id); c.State != pathway.ProviderToAction || len(c.Answers) != 2 {
		t.Errorf("%s, %d answers", c.State, len(c.Answers))
	}
	home(2)
	says("O1d", "BOOKED", "")
	w.acted("ag", "attest-told", "G5612908", "", id)
	c := w.theCase(id)
	if c.State != pathway.HandedToBooking {
		t.Fatalf("%s %+v", c.State, c.Obligations)
	}
	says("O1e", "TRIAGED_PROVIDER_TO_ACTION", "Clinic after all.")
	home(3)
	c = w.theCase(id)
	if next := w.theCase(w.id(c.Next)); c.State != pathway.HandedToBooking || next.State != pathway.ProviderToAction || next.From != c.ID {
		t.Errorf("%s, %s", c.State, next.State)
	}
}

// "I will refer" is watched until the referral is there: one working day when it is a suspected cancer. A later referral of
// the same requester and patient ends it, and so does one that was made before they said so, or their word.
func TestIWillReferIsWatchedUntilTheReferralIsThere(t *testing.T) {
	answered := func(w *wall, id, ubrn string) flow.ID {
		c := w.send(request(id))
		w.took(ubrn)
		w.says(word{id: id + "a", ubrn: ubrn, category: "request", status: "REFERRER_TO_REVIEW_RESPONSE", text: "Please refer."})
		w.apply()
		return c
	}
	referral := func(id string) string {
		return strings.Replace(request(id), "AG^Advice and Guidance", "DERM^Dermatology", 1)
	}
	start := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	t.Run("later", func(t *testing.T) {
		w := newWall(t, start)
		id := answered(w, "R1", "000000070051")
		w.acted("gp", "review", gp, pathway.IWillRefer, id)
		w.acted("ag", "attest-told", gp, "", id)
		w.until("2026-11-30T09:01:00Z")
		w.equal("after five working days", w.asks(id, pathway.TaskOverdue), gp+" Mon 30 Nov 09:00")
		other := w.send(strings.Replace(referral("R2"), "9990001014", "9990001030", 1))
		w.took("000000070052")
		w.apply()
		if c := w.theCase(id); c.State != pathway.Reviewed {
			t.Errorf("another patient's referral %s made it %s", other, c.State)
		}
		made := w.send(referral("R3"))
		w.apply()
		if c := w.theCase(id); c.State != pathway.Reviewed {
			t.Error("a referral that nobody has accepted yet counts")
		}
		w.took("000000070053")
		w.apply()
		if c := w.theCase(id); c.State != pathway.Closed || c.Referral != made.String() || len(w.asks(id, pathway.TaskOverdue)) != 0 {
			t.Errorf("%s %q %v", c.State, c.Referral, c.Tasks)
		}
	})
	t.Run("before", func(t *testing.T) {
		w := newWall(t, start)
		id := answered(w, "R4", "000000070054")
		w.at = w.at.Add(time.Hour)
		made := w.send(referral("R5"))
		w.took("000000070055")
		w.acted("ag", "attest-told", gp, "", id)
		w.acted("gp", "review", gp, pathway.IWillRefer, id)
		w.acted("ag", "attest-told", gp, "", id)
		if c := w.theCase(id); c.State != pathway.Closed || c.Referral != made.String() {
			t.Errorf("%s %q", c.State, c.Referral)
		}
	})
	t.Run("by word", func(t *testing.T) {
		w := newWall(t, start)
		id := answered(w, "R6", "000000070056")
		w.acted("gp", "review", gp, pathway.IWillRefer, id)
		w.acted("ag", "attest-told", gp, "", id)
		if c := w.theCase(id); c.State != pathway.Reviewed {
			t.Fatal(c.State)
		}
		w.acted("gp", "referral-made", gp, "", id)
		if c := w.theCase(id); c.State != pathway.Closed || c.Referral != "attested:"+gp {
			t.Errorf("%s %q", c.State, c.Referral)
		}
		sent, err := w.store.Deliveries(t.Context(), flow.DeliveryQuery{To: "ag"})
		if err != nil || len(sent) != 1 {
			t.Errorf("INV1: %d messages left: %v", len(sent), err)
		}
	})
}

// A request that its requester withdraws before anybody has it ends, and nothing of it leaves any more; one that has gone out
// ends when its channel shows that it did, as withdrawn.
func TestAWithdrawalBeforeAndAfterSending(t *testing.T) {
	w := newWall(t, time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	withdraw := func(id string) {
		t.Helper()
		raw := strings.NewReplacer("REF^I12^REF_I12|"+id, "REF^I14^REF_I14|"+id+"w").Replace(request(id))
		w.send(raw)
		w.apply()
	}
	id := w.send(request("W1"))
	ds, err := w.store.Claim(t.Context(), "ag", 1, time.Minute)
	if err != nil || len(ds) != 1 {
		t.Fatal(ds, err)
	}
	o := flow.Outcome{Result: flow.Refused}
	if err := w.Settled(t.Context(), &ds[0], &o); err != nil {
		t.Fatal(err)
	}
	if err := w.store.Settle(t.Context(), ds[0], o); err != nil {
		t.Fatal(err)
	}
	withdraw("W1")
	c := w.theCase(id)
	if c.State != pathway.Cancelled || c.Pending() != 0 {
		t.Errorf("%s %+v", c.State, c.Tasks)
	}
	if o, err := w.Before(t.Context(), &ds[0]); err != nil || o.Result != flow.Refused {
		t.Errorf("it would be sent all the same: %v %+v", err, o)
	}
	id = w.send(request("W2"))
	w.took("000000070061")
	withdraw("W2")
	if c := w.theCase(id); c.State != pathway.AwaitingProvider || c.Task(flow.Withdrawn) == nil {
		t.Errorf("%s %+v", c.State, c.Tasks)
	}
	w.says(word{id: "W2a", ubrn: "000000070061", category: "request", status: "CONVERSATION_ENDED_CANCELLED"})
	w.apply()
	if c := w.theCase(id); c.State != pathway.EndedNoticeDue || c.Obligations[len(c.Obligations)-1].Event != "N6-request-withdrawn" {
		t.Errorf("%s %+v", c.State, c.Obligations)
	}
}

// What is of another kind of case changes nothing, and somebody looks.
func TestNewsOfTheOtherKindOfCaseChangesNothing(t *testing.T) {
	w := newWall(t, time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	id := w.send(request("K1"))
	w.took("000000070071")
	w.says(word{id: "K1a", ubrn: "000000070071", status: "TRIAGED_PROVIDER_TO_ACTION", text: "Clinic."})
	w.apply()
	if c := w.theCase(id); c.State != pathway.AwaitingProvider || c.Task("contradiction") == nil || c.Outcome.Text != "" || !slices.Contains(w.alarms, "contradiction") {
		t.Errorf("%s %+v", c.State, c.Tasks)
	}
}
