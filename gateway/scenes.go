package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/fixtures"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// scene is one request of the demo and what its clinicians do.
type scene struct {
	title string
	play  func(ctx context.Context, w *world, t *teller) error
}

var scenes = []scene{
	{"advice, a mole on the forearm", playAdvice},
	{"routine referral, a plaque", playRoutine},
	{"urgent suspected cancer", playSuspected},
}

// until waits for something to have happened.
func until(ctx context.Context, what string, happened func() bool) error {
	for !happened() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited in vain until %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// playAdvice: a GP asks with three photos; the specialist advises; the GP reads it and decides.
func playAdvice(ctx context.Context, w *world, t *teller) error {
	if err := w.sendHL7(ctx, t, "advice.hl7"); err != nil {
		return err
	}
	if err := until(ctx, "the A&G platform has the request", func() bool { return len(w.ag.Requests()) > 0 }); err != nil {
		return err
	}
	q := w.ag.Requests()[0]
	t.say("A&G platform", fmt.Sprintf("has the question and %d photos", len(q.Photos)))
	err := w.ag.Answer(ctx, q.ID, sim.Advice{Outcome: "RETURN_TO_REFERRER_WITH_ADVICE", Recommendation: "ADVICE_ONLY_NO_REFERRAL_RECOMMENDED", Priority: "ROUTINE",
		Guidance: "Dermoscopy shows a benign melanocytic naevus.\nPlease photograph again in 3 months; refer if it grows or changes colour."})
	if err != nil {
		return err
	}
	if err := until(ctx, "the GP has the advice", func() bool { return of(w.emis.Messages(), "ORU^R01", "9990001014") != nil }); err != nil {
		return err
	}
	t.say("GP system EMIS", "has the advice; the GP reads it and will manage it in the practice")
	return w.emis.Review(ctx, sim.Review{ID: "review-AG0001", Answer: of(w.emis.Messages(), "ORU^R01", q.Patient).Control, Patient: q.Patient,
		Identifiers: []sim.Identifier{{System: "urn:dermgate:case", Value: q.Correlation}}, Person: "G5612908", Decision: "manage-in-primary-care"})
}

// playRoutine: a referral by FHIR goes to e-RS, is triaged, and reaches the EPR.
func playRoutine(ctx context.Context, w *world, t *teller) error {
	if err := w.sendFHIR(ctx, t, "referral-routine.json"); err != nil {
		return err
	}
	return w.triage(ctx, t, "9990001030", w.systmone, sim.Outcome{Outcome: "ACCEPT_REFER_BOOK_LATER", Comment: "Face-to-face clinic please."})
}

// playSuspected: an urgent suspected cancer referral; besides, the hospital's cancer tracking takes over
// its 28-day clock.
func playSuspected(ctx context.Context, w *world, t *teller) error {
	if err := w.sendHL7(ctx, t, "suspected-cancer.hl7"); err != nil {
		return err
	}
	err := w.triage(ctx, t, "9990001022", w.emis, sim.Outcome{Outcome: "ACCEPT_REFER_BOOK_LATER", Comment: "Straight to skin surgery clinic."})
	if err != nil {
		return err
	}
	ubrn, q := w.referral("9990001022")
	t.say("hospital", "cancer tracking takes over the 28-day clock")
	return w.emis.Review(ctx, sim.Review{ID: "tracking-USC0001", Act: "cancer-tracking", Patient: q.Patient, Person: "cancer-tracking@RXX01",
		Identifiers: []sim.Identifier{{System: "https://fhir.nhs.uk/Id/UBRN", Value: ubrn}}})
}

// referral gives the e-RS referral of a patient.
func (w *world) referral(patient string) (string, sim.Request) {
	for _, ubrn := range w.ers.Requests("r") {
		if q, ok := w.ers.Request("r", ubrn); ok && q.Patient == patient {
			return ubrn, q
		}
	}
	return "", sim.Request{}
}

// triage waits for a referral in e-RS with its photos, decides it, waits for the EPR and the GP to have
// it, and books.
func (w *world) triage(ctx context.Context, t *teller, patient string, gp *sim.GP, o sim.Outcome) error {
	err := until(ctx, "e-RS has the referral with its letter and photos", func() bool {
		_, q := w.referral(patient)
		return q.State == "AWAITING_TRIAGE" && len(q.Files) >= 3
	})
	if err != nil {
		return err
	}
	ubrn, q := w.referral(patient)
	t.say("e-RS", fmt.Sprintf("referral %s, %s, with %d files; a dermatologist triages it", ubrn, q.Priority, len(q.Files)))
	if err := w.ers.Triage(ubrn, o); err != nil {
		return err
	}
	if err := until(ctx, "the EPR has the referral", func() bool { return of(w.epr.Messages(), "REF^I12", patient) != nil }); err != nil {
		return err
	}
	t.say("hospital EPR", "has the triaged referral with its photos, and books an appointment")
	if err := until(ctx, "the GP has the outcome", func() bool { return of(gp.Messages(), "RRI^I12", patient) != nil }); err != nil {
		return err
	}
	return w.ers.Book(ubrn)
}

// of finds the message of a type about a patient, nil when it has not come.
func of(messages []sim.Message, typ, patient string) *sim.Message {
	for i, m := range messages {
		if m.Patient == patient && m.Type == typ {
			return &messages[i]
		}
	}
	return nil
}

// sendHL7 sends a fixture over MLLP, as a GP system does, and wants AA.
func (w *world) sendHL7(ctx context.Context, t *teller, name string) error {
	message, err := fixtures.Message(name)
	if err != nil {
		return err
	}
	conn, err := mllp.Dial(ctx, w.mllp(), nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	raw, err := conn.Exchange(ctx, message)
	if err != nil {
		return err
	}
	ack, err := hl7.ParseAck(raw)
	if err != nil {
		return err
	}
	t.say("GP system EMIS", fmt.Sprintf("sends %s (%d KB, HL7 v2): %s%s", name, len(message)>>10, ack.Code, troubles(ack)))
	if ack.Code != "AA" {
		return errors.New(name + " was not acknowledged")
	}
	return nil
}

// sendFHIR posts a fixture to $process-message and wants 200.
func (w *world) sendFHIR(ctx context.Context, t *teller, name string) error {
	message, err := fixtures.Message(name)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.systmone.FHIR+"/$process-message", bytes.NewReader(message))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/fhir+json")
	req.Header.Set("X-Request-ID", "demo-"+name)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	t.say("GP system SystmOne", fmt.Sprintf("sends %s (%d KB, FHIR R4): %s", name, len(message)>>10, resp.Status))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s was refused: %s", name, diagnostics(answer))
	}
	return nil
}
