package pathway

import (
	"errors"
	"math/rand"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC) // a Friday

func machines(t *testing.T) Machines {
	t.Helper()
	ms, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return ms
}

func TestEveryEventBelongsToATransition(t *testing.T) {
	ms := machines(t)
	for _, e := range []Event{ValidationFailed, Corrected, SignAndSend, ChannelAccepted, AcceptedByChannel, ChannelRejected,
		RetrySameKey, TakenBack, MoreInformation, InformationGiven, ReturnWithAdvice, AnswerAmended, ReadAndDecide, AskAgain,
		CloseCase, Converted, Discard, Withdraw, CancelReferral, EndClosed, EndCancelled, EndBeforeDecision, EndObserved,
		AcceptBookLater, AcceptBookNow, BookedEvent, CancelledProvider, CancelledPatient, OwnedByPAS, StraightToTest,
		EndedByTriage, OpenedForReview, PutBack, RaisePriority, ReviewedAndClosed, Resent, OutcomeAmended,
		NoticesDischarged, TimerBreach, UnreadBreach} {
		found := false
		for _, m := range ms {
			for _, tr := range m.Transitions {
				got, ok := m.Find(tr.From, e)
				found = found || ok && got.ID == tr.ID
			}
		}
		if !found {
			t.Errorf("no transition for event %q", e)
		}
	}
}

func TestEveryTransitionIsFoundByItsOwnEvent(t *testing.T) {
	for kind, m := range machines(t) {
		for _, tr := range m.Transitions {
			got, ok := m.Find(tr.From, Event(tr.Event))
			if !ok || got.ID != tr.ID {
				t.Errorf("%s %s: found %q", kind, tr.ID, got.ID)
			}
		}
	}
}

func TestAMachineThatCannotBeTrustedDoesNotLoad(t *testing.T) {
	good := string(machinesJSON)
	for name, edit := range map[string][2]string{
		"exit from an end":  {`"terminal": [`, `"terminal": ["RESPONDED",`},
		"cannot be reached": {`"states": [`, `"states": ["LIMBO",`},
		"cannot end":        {`"from": "ENDED_NOTICE_DUE"`, `"from": "RESPONDED"`},
		"entry into an end": {`"state": "AWAITING_PROVIDER",
     "event": "found`, `"state": "CLOSED",
     "event": "found`},
		"one machine is missing": {`"RAS": {`, `"RAT": {`},
		"unknown state":          {`"from": "RESPONDED"`, `"from": "ANSWERED"`},
		"no timer":               {`"state": "RESPONDED"`, `"state": "NOWHERE"`},
		"not JSON":               {`{`, `[`},
	} {
		bad := strings.Replace(good, edit[0], edit[1], 1)
		if bad == good {
			t.Fatalf("%s: the edit found nothing", name)
		}
		if _, err := load([]byte(bad)); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}

// Random traces: a case only ever ends when the patient has been told, and from advice nothing but advice
// states are reached.
func TestRandomTracesKeepTheInvariants(t *testing.T) {
	ms := machines(t)
	rnd := rand.New(rand.NewSource(1))
	for n := range 10_000 {
		kind := Advice
		if n%2 == 1 {
			kind = Referral
		}
		m := ms[kind]
		c := &Case{ID: "c", Kind: kind, State: m.Initial}
		for range 40 {
			tr := m.Transitions[rnd.Intn(len(m.Transitions))]
			_, err := ms.Fire(c, Event(tr.Event), noon)
			var unknown *ErrTransition
			if err != nil && !errors.As(err, &unknown) && c.Told() {
				t.Fatalf("%s refused although the patient is told: %v", tr.ID, err)
			}
			if m.Ended(c.State) && !c.Told() {
				t.Fatalf("%s ended in %s with a notice owed", kind, c.State)
			}
			if len(c.Obligations) > 0 && rnd.Intn(3) == 0 {
				c.Obligations[rnd.Intn(len(c.Obligations))].Discharge(NoticeTold, "test", noon)
			}
		}
	}
}

func TestEveryOpenStateHasALimit(t *testing.T) {
	for kind, m := range machines(t) {
		for _, s := range m.States {
			for _, u := range []string{"", Routine, Urgent, TwoWeekWait} {
				if _, ok := DefaultTimers().Limit(&Case{Kind: kind, State: s, Urgency: u}); !ok && s != m.Initial && !m.Ended(s) {
					t.Errorf("%s %s %q has no limit", kind, s, u)
				}
			}
		}
	}
}
