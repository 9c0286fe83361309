package flow_test

import (
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
)

// withNotices is an intake that tells patients, and whose answers come by the same source.
func withNotices(t *testing.T) *intake {
	in := newIntake(t, flow.SourceRules{Answers: true})
	texts, err := flow.LoadNotices(nil)
	if err != nil {
		t.Fatal(err)
	}
	in.Endpoints = append(in.Endpoints, flow.Endpoint{Name: "patient", Kind: flow.ToNotify, Templates: texts})
	return in
}

// arrives lets the A&G platform take the request, which owes the patient N1.
func arrives(t *testing.T, in *intake) {
	t.Helper()
	sent := claim(t, in, "ag")
	o := flow.Outcome{Result: flow.Delivered}
	if err := in.Settled(t.Context(), &sent, &o); err != nil {
		t.Fatal(err)
	}
	if err := in.Store.Settle(t.Context(), sent, o); err != nil {
		t.Fatal(err)
	}
}

func claim(t *testing.T, in *intake, to string) flow.Delivery {
	t.Helper()
	claimed, err := in.Store.Claim(t.Context(), to, 1, time.Minute)
	if err != nil || len(claimed) != 1 {
		t.Fatalf("%d deliveries for %s, %v", len(claimed), to, err)
	}
	return claimed[0]
}

// queued gives the notices of a case that were made.
func queued(t *testing.T, in *intake, id flow.ID) []flow.Delivery {
	t.Helper()
	all, err := in.Store.Deliveries(t.Context(), flow.DeliveryQuery{Case: id, To: "patient"})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// person tells whether what is owed to a patient of a case is somebody's task, because they have died.
func person(c pathway.Case) bool {
	for _, o := range c.Obligations {
		if o.Status != pathway.NoticePerson || !strings.Contains(o.By, "died") {
			return false
		}
	}
	return len(c.Obligations) > 0 && asks(c, "patient-died") && asks(c, "tell-patient")
}

const lived = "9990001014^^^NHS^NH||Testcase^Rosalind^^^Ms||19680412|2|||14 Sample Street^^London^^SE1 9ZZ^GBR"

// TestNothingIsSentToWhoHasDied, however the gateway hears of it: by the request, by the record while the request is under
// way, by an answer; and what was queued before that stays.
func TestNothingIsSentToWhoHasDied(t *testing.T) {
	gone := strings.Repeat("|", 18) + "20261102|Y"
	t.Run("the request", func(t *testing.T) {
		in := withNotices(t)
		id := in.send(strings.Replace(request("R1"), "SE1 9ZZ^GBR", "SE1 9ZZ^GBR"+gone, 1)).Case
		arrives(t, in)
		if c := caseOf(t, in, id); !c.Died || !person(c) || len(queued(t, in, id)) != 0 {
			t.Errorf("%+v", c)
		}
	})
	t.Run("the record", func(t *testing.T) {
		in := withNotices(t)
		id := in.send(request("R1")).Case
		in.send(record("U1", lived+gone))
		work(t, in)
		arrives(t, in)
		if c := caseOf(t, in, id); !person(c) || len(queued(t, in, id)) != 0 {
			t.Errorf("%+v", c)
		}
	})
	t.Run("an answer", func(t *testing.T) {
		in := withNotices(t)
		id := in.send(request("R1")).Case
		in.send("MSH|^~\\&|AGP|RXX01|DERMGATE|RXX01|20261103111500||ORU^R01^ORU_R01|A1|P|2.4|||AL|NE|GBR|UNICODE UTF-8\r" +
			"PID|1||" + lived + gone + "\rOBR|1|REFR1^EMIS||ADVICE^Advice^L|||||||||||||||||||||F\rOBX|1|TX|ADVICE^Advice^L||Review in clinic.||||||F\r")
		work(t, in) // it overtook the news of its request's arrival, of which N1 would tell
		if c := caseOf(t, in, id); c.State != pathway.Responded || !person(c) || len(queued(t, in, id)) != 0 {
			t.Errorf("%+v", c)
		}
	})
	t.Run("what was queued before", func(t *testing.T) {
		in := withNotices(t)
		id := in.send(request("R1")).Case
		arrives(t, in)
		if o, err := in.Before(t.Context(), &queued(t, in, id)[0]); err != nil || o.Result != "" {
			t.Fatalf("while they live: %+v %v", o, err)
		}
		in.send(record("U1", lived+gone))
		work(t, in)
		n := claim(t, in, "patient")
		o, err := in.Before(t.Context(), &n)
		if err != nil || o.Result != flow.Refused {
			t.Fatalf("%+v %v", o, err)
		}
		if err := in.Settled(t.Context(), &n, &o); err != nil {
			t.Fatal(err)
		}
		if err := in.Store.Settle(t.Context(), n, o); err != nil {
			t.Fatal(err)
		}
		if c := caseOf(t, in, id); !person(c) || queued(t, in, id)[0].State != flow.Parked {
			t.Errorf("%+v", c)
		}
		in.send(record("U2", lived+strings.Repeat("|", 19)+"N"))
		work(t, in)
		if o, err := in.Before(t.Context(), &n); err != nil || o.Result != "" { // an operator may replay it
			t.Errorf("who lives: %+v %v", o, err)
		}
	})
}
