package ers

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/gateway/flow"
)

const specialist = "SERVICE_PROVIDER_CLINICIAN"

// relaying makes a rig of a specialist's act on a request that a GP has sent in e-RS.
func relaying(t *testing.T, what, priority string, r flow.Relayed) *rig {
	t.Helper()
	g := newRig(t, Referral)
	g.ODS, g.BusinessFunction = "RXX01", specialist
	g.Reference = &Reference{Now: func() time.Time { return at }}
	sent := sim.Sent{Patient: "9990548609", Priority: priority, Service: "50001", Organisation: "Y06601", Text: "What is it?"}
	send := g.ers.Refer
	if what == flow.RelayAnswer {
		send = g.ers.Ask
	}
	ubrn, err := send(sent)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	parts := g.del.Parts[:len(r.Files)]
	g.del = flow.Delivery{ID: flow.NewID(1, "act"), Case: flow.NewID(1, "c"), What: what, Key: "act-1", Note: ubrn, Created: at,
		Body: flow.BodyRef{Inline: body, Size: int64(len(body))}, Parts: parts}
	return g
}

// there gives the request as the simulator has it.
func (r *rig) there(t *testing.T) sim.Request {
	t.Helper()
	kind := "r"
	if r.del.What == flow.RelayAnswer {
		kind = "a"
	}
	q, ok := r.ers.Request(kind, r.del.Note)
	if !ok {
		t.Fatal("no such request")
	}
	return q
}

var (
	anAnswer  = flow.Relayed{Outcome: "RETURN_TO_REFERRER_WITH_ADVICE", Recommendation: "REFERRAL_RECOMMENDED", Text: "Please refer.", Files: []flow.File{{Name: "plan.jpg", Description: "Plan"}}}
	anOutcome = flow.Relayed{Outcome: "ACCEPT_REFER_BOOK_LATER", Text: "Clinic in a week.", Files: []flow.File{{Name: "plan.jpg"}}}
	anEnd     = flow.Relayed{Reason: "INTEND_PRIVATE", Text: "Goes elsewhere."}
	theActs   = map[string]struct {
		flow.Relayed
		call, state, calls string
	}{
		flow.RelayAnswer: {anAnswer, "A026", "REFERRER_TO_REVIEW_RESPONSE", "A024 A020 A024 A026"},
		flow.RelayTriage: {anOutcome, "A028", "TRIAGED_PROVIDER_TO_ACTION", "A005 A020 A005 A028"},
		flow.RelayCancel: {anEnd, "A036", "CANCELLED_REFERRAL", "A005 A004 A036"},
	}
)

func TestAnActIsRelayedAsItWasDecided(t *testing.T) {
	for what, a := range theActs {
		r := relaying(t, what, "ROUTINE", a.Relayed)
		o := r.want(flow.Delivered, "")
		if got := r.calls(); got != a.calls {
			t.Errorf("%s: calls %s", what, got)
		}
		if q := r.there(t); q.State != a.state || o.Facts[FactStatus] != a.state || q.Priority != "ROUTINE" {
			t.Errorf("%s: %s, %v", what, q.State, o.Facts)
		}
		r.want(flow.Delivered, "") // settled in vain: the step says that it is done
		if n := len(r.ers.Received(a.call)); n != 1 {
			t.Errorf("%s: called %d times", what, n)
		}
	}
}

// Whatever goes wrong at any call, and wherever the process dies, an act is done once.
func TestAnActIsDoneOnce(t *testing.T) {
	for what, a := range theActs {
		n := len(strings.Fields(a.calls))
		for i := range n {
			for name, f := range faults {
				t.Run(what+"/"+name, func(t *testing.T) {
					t.Parallel()
					r := relaying(t, what, "ROUTINE", a.Relayed)
					if f.Delay > 0 {
						r.HTTP = &http.Client{Timeout: 200 * time.Millisecond}
					}
					f.Skip = i
					r.ers.Fail(f)
					r.once(t, a.state)
				})
			}
		}
		for n := 1; n < 8; n++ {
			for _, after := range []bool{false, true} {
				r := relaying(t, what, "ROUTINE", a.Relayed)
				r.crash = func(saves int) (bool, bool) { return saves == n && !after, saves == n && after }
				r.once(t, a.state)
			}
		}
	}
}

// once attempts the act to its end, and counts what e-RS has of it.
func (r *rig) once(t *testing.T, state string) {
	t.Helper()
	for range 20 {
		o, err := r.attempt()
		if err != nil && !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		if err == nil && o.Result == flow.Unknown && strings.HasPrefix(o.Cause.Where, "A020") { // the file: a person says that it is not there
			step, ok := Resolved(r.del, "", at)
			if !ok {
				t.Fatal("nothing to resolve")
			}
			r.del.Steps = append(r.del.Steps, step)
		} else if err == nil && o.Result != flow.Retry {
			if o.Result != flow.Delivered || r.there(t).State != state {
				t.Fatalf("%s: %v, %s", o.Result, o.Cause, r.there(t).State)
			}
			if r.del.What == flow.RelayAnswer && r.said(t) != 1 {
				t.Errorf("the guidance was given %d times", r.said(t))
			}
			return
		}
	}
	t.Fatal("no end")
}

// A version that moved is read anew; a request that somebody else has dealt with meanwhile is looked at by a person.
func TestAnActOnWhatHasMoved(t *testing.T) {
	for what, a := range theActs {
		r := relaying(t, what, "ROUTINE", a.Relayed)
		r.ers.Fail(sim.Fault{Call: a.call, Status: 409, Times: 2})
		if r.want(flow.Delivered, ""); len(r.ers.Received(a.call)) != 3 {
			t.Errorf("%s: %s", what, r.calls())
		}
		r = relaying(t, what, "ROUTINE", a.Relayed)
		r.ers.Fail(sim.Fault{Call: a.call, Status: 423})
		r.want(flow.Retry, a.call)
		r.want(flow.Delivered, "")
		r = relaying(t, what, "ROUTINE", a.Relayed)
		r.ers.Fail(sim.Fault{Call: a.call, Drop: true})
		r.want(flow.Retry, a.call) // and before the next attempt somebody else acts
		var err error
		switch what {
		case flow.RelayAnswer:
			err = r.ers.Answer(r.del.Note, sim.Advice{Outcome: anAnswer.Outcome, Recommendation: "OTHER", Guidance: "Another's words"})
		case flow.RelayTriage:
			err = r.ers.Triage(r.del.Note, sim.Outcome{Outcome: anOutcome.Outcome, Comment: "Another's words"})
		default:
			err = r.ers.Cancel(r.del.Note)
		}
		if err != nil {
			t.Fatal(err)
		}
		if o := r.want(flow.Refused, a.call); !strings.Contains(o.Cause.Text, a.state) || len(r.ers.Received(a.call)) != 1 {
			t.Errorf("%s: %v after %s", what, o.Cause, r.calls())
		}
	}
}

// No specialist's conversion goes out, however the act came to be kept.
func TestAConversionIsNeverRelayed(t *testing.T) {
	r := relaying(t, flow.RelayAnswer, "ROUTINE", flow.Relayed{Outcome: "PROVIDER_CONVERTED", Text: "We will see them."})
	if o := r.want(flow.Refused, "outcome"); !strings.Contains(o.Cause.Text, "conversion") || r.calls() != "" {
		t.Errorf("%v after %q", o.Cause, r.calls())
	}
}

// A suspected cancer keeps its priority until the referrer agrees. A raised one needs nobody.
func TestALoweredSuspectedCancerWaitsForItsReferrer(t *testing.T) {
	lowered := anOutcome
	lowered.Priority, lowered.Files = "URGENT", nil
	r := relaying(t, flow.RelayTriage, "TWO_WEEK_WAIT", lowered)
	r.want(flow.Held, flow.ForReferrer)
	r.want(flow.Held, flow.ForReferrer) // replayed without an agreement
	if len(r.ers.Received("A028")) != 0 {
		t.Fatal("sent without an agreement")
	}
	r.del.Steps = append(r.del.Steps, flow.Step{Name: flow.AgreedBy, At: at, Data: map[string]string{"by": "Dr Example"}})
	if r.want(flow.Delivered, ""); r.there(t).Priority != "URGENT" {
		t.Error("not lowered")
	}
	raised := lowered
	raised.Priority = "TWO_WEEK_WAIT"
	r = relaying(t, flow.RelayTriage, "ROUTINE", raised)
	if r.want(flow.Delivered, ""); r.there(t).Priority != "TWO_WEEK_WAIT" {
		t.Error("not raised")
	}
	answer := anAnswer
	answer.Priority, answer.Files = "ROUTINE", nil
	relaying(t, flow.RelayAnswer, "TWO_WEEK_WAIT", answer).want(flow.Held, flow.ForReferrer)
}

func TestACancellationHasAReasonOfERS(t *testing.T) {
	for name, c := range map[string]struct {
		flow.Relayed
		function, where, says string
	}{
		"unknown":            {flow.Relayed{Reason: "BECAUSE", Text: "x"}, specialist, "code", "TRIAGE_ENDED"},
		"a referrer's":       {flow.Relayed{Reason: "RAISED_IN_ERROR", Text: "x"}, specialist, "code", "may give; those are"},
		"without a comment":  {flow.Relayed{Reason: "PATIENT_REQUEST_CANCELLATION_OTHER"}, specialist, "text", "comment"},
		"a provider's":       {flow.Relayed{Reason: "TRIAGE_ENDED"}, "REFERRING_CLINICIAN", "code", "RAISED_IN_ERROR"},
		"without any":        {flow.Relayed{Text: "x"}, specialist, "code", "REFERRAL-CANCELLATION-REASON"},
		"of what is no more": {flow.Relayed{Reason: "TRIAGE_ENDED"}, specialist, "A036", "INAPPROPRIATE_VALUE"}, // not triaged yet: e-RS's own rule
	} {
		r := relaying(t, flow.RelayCancel, "ROUTINE", c.Relayed)
		r.BusinessFunction = c.function
		if o := r.want(flow.Refused, c.where); !strings.Contains(o.Cause.Text, c.says) {
			t.Errorf("%s: %v", name, o.Cause)
		}
	}
	r := relaying(t, flow.RelayCancel, "ROUTINE", flow.Relayed{Reason: "RAISED_IN_ERROR"})
	r.BusinessFunction = "REFERRING_CLINICIAN"
	r.want(flow.Delivered, "")
	r.ers.Fail(sim.Fault{Call: "A004", Status: 500})
	r.want(flow.Delivered, "") // the reasons are known for a day
}

// An act without a user waits for one, and what they did in e-RS itself is resolved by its number.
func TestAnActWithoutAUserIsHeld(t *testing.T) {
	r := relaying(t, flow.RelayTriage, "ROUTINE", flow.Relayed{Outcome: "ACCEPT_REFER_BOOK_LATER", Text: "Clinic."})
	signedIn := false
	r.User = signIns(func() bool { return signedIn })
	r.want(flow.Held, flow.ForUser)
	if r.calls() != "" {
		t.Errorf("called as nobody: %s", r.calls())
	}
	held := r.del
	held.State, held.Cause = flow.Parked, r.deliver().Cause
	if _, ok := Resolved(held, "000000079999", at); ok {
		t.Error("resolved by another request's number")
	}
	if _, ok := Resolved(held, held.Note, at); !ok {
		t.Error("not resolved by its number")
	}
	signedIn = true
	r.want(flow.Delivered, "")
}

func TestBodiesOfActsEqualTheExamplesOfNHSEngland(t *testing.T) {
	plan := []file{{"Binary/19eb7224-dff3-4730-a5cb-67eac811f1a5", "Treatment Specification", "2021-09-29T13:22:35.335000+00:00"}}
	for name, body := range map[string]any{
		"a026-attachment": guidanceBody(flow.Relayed{Outcome: "RETURN_TO_REFERRER_WITH_ADVICE", Recommendation: "OTHER", Text: "Advise treatment as in attached document"}, "ROUTINE", plan),
		"a028-accept":     outcomeBody(flow.Relayed{Outcome: "ACCEPT_REFER_BOOK_LATER", Text: "Urgent action needed. To be booked ASAP", Priority: "URGENT"}, nil),
		"a036-comment":    cancelBody("_baseurl_", flow.Relayed{Reason: "RAISED_IN_ERROR", Text: "This is a cancellation reason comment"}),
	} {
		if diff := cmp.Diff(example(t, name), written(t, body)); diff != "" {
			t.Errorf("%s (-example +ours):\n%s", name, diff)
		}
	}
}

// said counts what the provider wrote in a conversation.
func (r *rig) said(t *testing.T) int {
	t.Helper()
	r.HTTP = nil // without the limit of a fault
	talk, err := r.conversation(context.Background(), r.del.Note, strconv.Itoa(r.there(t).Version))
	if err != nil {
		t.Fatal(err)
	}
	answers, err := talk.answers()
	if err != nil {
		t.Fatal(err)
	}
	return len(answers)
}
