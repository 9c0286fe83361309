package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
)

// fileOf writes a file and gives its name.
func fileOf(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// acting is pullConfig with specialists who sign in with their acts.
var acting = strings.Replace(pullConfig, "watch: 1s", "watch: 1s, acts_as: SERVICE_PROVIDER_CLINICIAN", 1)

// does runs a verb that must be taken.
func (w *world) does(t *testing.T, ctx context.Context, args ...string) string {
	t.Helper()
	out, code := w.operate(ctx, args...)
	if code != 0 {
		t.Fatalf("%v: %d %s", args, code, out)
	}
	return out
}

// refuses runs a verb that must be refused for a reason.
func (w *world) refuses(t *testing.T, ctx context.Context, why string, args ...string) {
	t.Helper()
	if out, code := w.operate(ctx, args...); code == 0 || !strings.Contains(out, why) {
		t.Errorf("%v: %d %s, want %q", args, code, out, why)
	}
}

// A specialist triages a suspected cancer that was found in e-RS: held until they sign in, lowered once its referrer agrees, and
// ended at last with a reason of e-RS. Each is done once, audited once, and in the story.
func TestWhatASpecialistDecidesIsRelayed(t *testing.T) {
	ubrn := ""
	ctx, w := pulling(t, acting, func(ers *sim.ERS) { ubrn = referred(t, ers, "TWO_WEEK_WAIT") })
	w.eventually(t, ctx, "it is taken", func() bool { return len(w.told("REF^I12")) == 1 })
	id := w.theCase(t, pathway.Referral).ID
	comment := fileOf(t, "Not a melanoma: clinic in six weeks.\n")
	w.refuses(t, ctx, "text", "triage", id, "--outcome", "ACCEPT_REFER_BOOK_LATER", "--text", fileOf(t, "\n"), "--reason", "seen")
	w.refuses(t, ctx, "PRIORITY_NOT_CURRENT", "triage", id, "--outcome", "RETURN_TO_REFERRER_WITH_ADVICE", "--priority", "ROUTINE", "--text", comment, "--reason", "seen")
	w.refuses(t, ctx, "advice is answered", "answer", id, "--outcome", "REQUIRE_FURTHER_INFORMATION", "--text", comment, "--reason", "seen")
	w.refuses(t, ctx, "no conversion", "answer", id, "--outcome", "PROVIDER_CONVERTED", "--text", comment, "--reason", "seen")

	lower := []string{"triage", id, "--outcome", "ACCEPT_REFER_BOOK_LATER", "--priority", "ROUTINE", "--text", comment, "--reason", "seen with photos"}
	w.does(t, ctx, lower...)
	held := func(where string) func() bool {
		return func() bool {
			ds, err := w.app.store.Deliveries(ctx, flow.DeliveryQuery{To: actsOf("ers-list"), State: flow.Parked})
			return err == nil && len(ds) == 1 && ds[0].Cause.Where == where
		}
	}
	w.eventually(t, ctx, "it is held for a user", held(flow.ForUser))
	if task := w.theCase(t, pathway.Referral).Task("sign-in"); task == nil || task.Owner != "Dermatology admin" {
		t.Errorf("%+v", task)
	}
	w.refuses(t, ctx, "on its way already", lower...)
	w.does(t, ctx, "release", id, "--user-token-file", fileOf(t, w.token.SignIn()), "--reason", "signed in")
	w.eventually(t, ctx, "it waits for the referrer", held(flow.ForReferrer))
	c := w.theCase(t, pathway.Referral)
	if c.Task("agree") == nil || c.Task("sign-in") != nil || len(w.ers.Received("A028")) != 0 {
		t.Errorf("%+v", c.Tasks)
	}
	w.does(t, ctx, "agree", id, "--reason", "spoke to the consultant")
	w.eventually(t, ctx, "it is in e-RS", func() bool {
		q, _ := w.ers.Request("r", ubrn)
		return q.State == "TRIAGED_PROVIDER_TO_ACTION" && q.Priority == "ROUTINE"
	})
	w.eventually(t, ctx, "the case has it", func() bool { return w.theCase(t, pathway.Referral).State == pathway.ProviderToAction })
	if c := w.theCase(t, pathway.Referral); c.Task("urgency-lowered") != nil || c.Agreed == "" {
		t.Errorf("its referrer agreed: %+v", c.Tasks)
	}

	// A reason that is not theirs is refused with those that are; another act takes the place of what was refused.
	signedIn := fileOf(t, w.token.SignIn())
	w.does(t, ctx, "cancel", id, "--because", "RAISED_IN_ERROR", "--user-token-file", signedIn, "--reason", "wrong list")
	w.eventually(t, ctx, "it is refused", held("code"))
	if task := w.theCase(t, pathway.Referral).Task("act-refused"); task == nil || !strings.Contains(task.Why, "TRIAGE_ENDED") {
		t.Errorf("%+v", task)
	}
	w.does(t, ctx, "cancel", id, "--because", "STRAIGHT_TO_TEST", "--text", comment, "--user-token-file", fileOf(t, w.token.SignIn()), "--reason", "biopsy")
	w.eventually(t, ctx, "it has ended in e-RS", func() bool { q, _ := w.ers.Request("r", ubrn); return q.State == "CANCELLED_REFERRAL" })
	w.eventually(t, ctx, "the case has ended", func() bool { return w.theCase(t, pathway.Referral).State == pathway.EndedNoticeDue })
	if a, b := len(w.ers.Received("A028")), len(w.ers.Received("A036")); a != 1 || b != 1 {
		t.Errorf("%d triages, %d ends", a, b)
	}
	trace := w.does(t, ctx, "trace", id)
	for _, line := range []string{"relay:triage ACCEPT_REFER_BOOK_LATER, priority ROUTINE by local", "the referrer agrees", "relay:cancel STRAIGHT_TO_TEST by local", "decided anew"} {
		if !strings.Contains(trace, line) {
			t.Errorf("%q is not in\n%s", line, trace)
		}
	}
	if strings.Contains(trace, "melanoma") {
		t.Error("a doctor's words are in the story")
	}
}

// Advice is answered in the specialist's words; an answer that is pressed twice is one.
func TestASpecialistsAnswerIsRelayed(t *testing.T) {
	ubrn := ""
	ctx, w := pulling(t, signedIn.Replace(pullConfig), func(ers *sim.ERS) {
		var err error
		if ubrn, err = ers.Ask(sim.Sent{Patient: "9990548609", Priority: "URGENT", Service: "50001", Text: "Is this a naevus?"}); err != nil {
			t.Fatal(err)
		}
	})
	w.eventually(t, ctx, "it is taken", func() bool { return len(w.told("REF^I12")) == 1 })
	id := w.theCase(t, pathway.Advice).ID
	parsed, err := flow.ParseID(id)
	if err != nil {
		t.Fatal(err)
	}
	d := flow.Decision{What: flow.RelayAnswer, Person: "Dr Example", Reason: "seen", Key: "press-01",
		Act: flow.Relayed{Outcome: "RETURN_TO_REFERRER_WITH_ADVICE", Recommendation: "REFERRAL_RECOMMENDED", Text: "Refer, please."}}
	done := make(chan error, 8)
	for range cap(done) {
		go func() { done <- w.app.pipeline.Relay(ctx, parsed, d) }()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	other := d
	other.Act.Text = "Other words."
	if err := w.app.pipeline.Relay(ctx, parsed, other); err == nil {
		t.Error("other words were taken under the same key")
	}
	w.eventually(t, ctx, "the case has the answer", func() bool { return w.theCase(t, pathway.Advice).State == pathway.Responded })
	if n := len(w.ers.Received("A026")); n != 1 {
		t.Errorf("%d answers", n)
	}
	if q, _ := w.ers.Request("a", ubrn); q.State != "REFERRER_TO_REVIEW_RESPONSE" || q.Priority != "URGENT" {
		t.Errorf("%+v", q)
	}
	w.refuses(t, ctx, "advice is answered", "cancel", id, "--because", "INTEND_PRIVATE", "--reason", "x")
}

// A referrer ends a referral that the gateway had sent for them.
func TestAReferrerCancelsWhatWasSent(t *testing.T) {
	ctx, w := running(t)
	if err := w.sendHL7(ctx, &teller{out: &lockedBuffer{}}, "suspected-cancer.hl7"); err != nil {
		t.Fatal(err)
	}
	c := w.await(t, ctx, pathway.AwaitingTriage)
	w.refuses(t, ctx, "who was asked answers there", "triage", c.ID, "--outcome", "ACCEPT_REFER_BOOK_LATER", "--text", fileOf(t, "x"), "--reason", "x")
	w.does(t, ctx, "cancel", c.ID, "--because", "RAISED_IN_ERROR", "--reason", "sent twice")
	w.eventually(t, ctx, "it has ended in e-RS", func() bool { q, _ := w.ers.Request("r", c.Channel["ubrn"]); return q.State == "CANCELLED_REFERRAL" })
}

// What the hospital's own system answers about a request of e-RS carries nobody's sign-in: its provider is asked to bring it
// there, until e-RS shows it.
func TestAnAnswerThatIsNotInERSIsAsked(t *testing.T) {
	ubrn := ""
	ctx, w := pulling(t, acting, func(ers *sim.ERS) { ubrn = referred(t, ers, "ROUTINE") })
	w.eventually(t, ctx, "it is taken", func() bool { return len(w.told("REF^I12")) == 1 })
	accepted := "MSH|^~\\&|EPR|RXX01|DERMGATE|RXX01|20261103101500||RRI^I12^RRI_I12|EPR1|P|2.4|||AL|NE|GBR|UNICODE UTF-8\r" +
		"MSA|AA|R1\rRF1|A||||||||||" + ubrn + "^UBRN\rPRD|RT|||||||||CLINIC^^RXX01\rPID|1||9990548609^^^NHS^NH||Testpatient^Zoe\r"
	r, err := w.app.accept(ctx, flow.Received{Source: "mllp", Format: flow.HL7v2, Raw: []byte(accepted), At: w.app.now()})
	if err != nil || r.Refused {
		t.Fatalf("%v %s", err, r.Answer)
	}
	asked := func() *pathway.Task { return w.theCase(t, pathway.Referral).Task("answer-not-in-ers") }
	w.eventually(t, ctx, "the provider is asked", func() bool { return asked() != nil })
	if task := asked(); task.Owner != "Dermatology admin" || !strings.Contains(task.Why, "gateway triage") || len(w.ers.Received("A028")) != 0 {
		t.Errorf("%+v", task)
	}
	w.does(t, ctx, "triage", w.theCase(t, pathway.Referral).ID, "--outcome", "ACCEPT_REFER_BOOK_LATER", "--text", fileOf(t, "Clinic."), "--user-token-file", fileOf(t, w.token.SignIn()), "--reason", "as in the EPR")
	w.eventually(t, ctx, "it is in e-RS, and nobody is asked any more", func() bool {
		q, _ := w.ers.Request("r", ubrn)
		return q.State == "TRIAGED_PROVIDER_TO_ACTION" && asked() == nil
	})
}
