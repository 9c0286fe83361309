package flow

import (
	"context"
	"fmt"
	"slices"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/issue"
)

// What who asked says of a request: that they have read the answer and what they decided, that they have made the referral
// themselves, that the request is another one now, or is not asked any more.

// reviewed records that the requester read what came and what they decided: an answer (AG11), or a referral that was returned
// to them (RA17, once its patient knows).
func (d *decision) reviewed(ctx context.Context, f Facts) error {
	if f.Outcome.Person == "" || f.Outcome.Decision == "" {
		return issue.New(issue.Required, "Task.owner", "a review names the person and the decision")
	}
	if slices.Contains([]pathway.State{pathway.Responded, pathway.Reviewed, pathway.Returned}, d.c.State) { // else it is about something else
		d.c.Outcome.Decision, d.c.Outcome.Person = f.Outcome.Decision, f.Outcome.Person
	}
	d.reviewer, d.words = f.Outcome.Person, f.Words
	d.c.Attest("read by "+f.Outcome.Person, d.at)
	switch d.c.State {
	case pathway.Responded:
		d.c.FinishTasks(pathway.TaskOverdue, f.Outcome.Person, d.at)
		if _, err := d.fire(ctx, pathway.ReadAndDecide); err != nil {
			return err
		}
	case pathway.Returned, pathway.Reviewed:
		d.tell("act", "whoever asked has read it: "+f.Outcome.Decision, "")
	default:
		d.tell("observed", "read while the case is "+string(d.c.State)+": "+f.Outcome.Decision, "")
		return d.release4(ctx)
	}
	if err := d.release4(ctx); err != nil {
		return err
	}
	d.c.FinishTasks(taskBring, f.Outcome.Person, d.at)
	switch f.Outcome.Decision {
	case pathway.AskedAgain:
		_, err := d.fire(ctx, pathway.AskAgain)
		return err
	case pathway.IWillRefer:
		if d.c.Request.Patient != "" {
			d.refs = append(d.refs, Ref{systemWillRefer, d.c.Request.Patient})
		}
		return d.referredBefore(ctx)
	}
	return nil
}

// fromRequester takes a change or withdrawal by whoever asked. What has not gone out ends here; what has is not sent on by
// machine (e-RS has no call for either): whoever asked brings it to each place that has the request, and the state follows
// when the channel shows it.
func (d *decision) fromRequester(ctx context.Context, f Facts) error {
	d.changed(f)
	if f.Event == Withdrawn && len(d.c.Sent) == 0 {
		return d.discard(ctx)
	}
	for _, name := range d.c.Sent {
		d.ask(f.Event, "the request was "+f.Event+" after it was sent: bring that to "+name)
	}
	if len(d.c.Sent) == 0 {
		d.ask(f.Event, "the request was "+f.Event+" before it was sent: discard it or let it go")
	}
	return nil
}

// discard ends a request that its requester withdraws before anybody has it; what is on its way to somebody at this moment is
// theirs to call back.
func (d *decision) discard(ctx context.Context) error {
	if d.c.State == pathway.SendFailed {
		if _, err := d.fire(ctx, pathway.TakenBack); err != nil {
			return err
		}
	}
	if d.c.State != pathway.Held && d.c.State != pathway.Draft {
		d.ask(Withdrawn, "the request was "+Withdrawn+" while it was being sent: see whether it has arrived, and bring that there")
		return nil
	}
	if _, err := d.fire(ctx, pathway.Discard); err != nil {
		return err
	}
	for i := range d.c.Tasks {
		if t := &d.c.Tasks[i]; t.Done.IsZero() {
			t.Done, t.By = d.at, "the request was withdrawn"
		}
	}
	return nil
}

// status takes what is no news of its own: who is at it, a priority that was raised, information that was given, a referral
// that was sent again.
func (d *decision) status(ctx context.Context, t *Translated) error {
	f := t.Facts
	switch {
	case d.c.State == pathway.InfoRequested && f.Business == "PROVIDER_RESPONSE_REQUIRED":
		if _, err := d.fire(ctx, pathway.InformationGiven); err != nil {
			return err
		}
	case d.c.State == pathway.AwaitingTriage && f.Business == "AWAITING_TRIAGE" && f.Working == "in-progress":
		if _, err := d.fire(ctx, pathway.OpenedForReview); err != nil {
			return err
		}
	case d.c.State == pathway.InTriage && f.Business == "AWAITING_TRIAGE" && (f.Working == "received" || f.Working == "requested"):
		if _, err := d.fire(ctx, pathway.PutBack); err != nil {
			return err
		}
	case f.Appointment != nil:
		d.tell("observed", "the appointment is "+f.Appointment.Status, "")
	}
	return d.onward(ctx, t)
}

// amendedOutcome takes another outcome of a triage than the one that is known. It tells whether it was one.
func (d *decision) amendedOutcome(ctx context.Context, t *Translated) (bool, error) {
	f, c := t.Facts, d.c
	first := c.State == pathway.AwaitingTriage || c.State == pathway.InTriage || len(c.Answers) == 0
	if first {
		return false, nil
	}
	if f.Advice == c.Outcome.Text && f.Outcome.Code == c.Outcome.Code && f.Outcome.Priority == c.Outcome.Priority {
		return true, nil // said before
	}
	if d.p.Machines[c.Kind].Ended(c.State) {
		return true, d.link(linkAmended, f)
	}
	d.outcome(t)
	d.amends = true
	if c.State == pathway.ProviderToAction {
		switch f.Result {
		case OutcomeAccepted:
			return true, d.news(ctx, t, pathway.OutcomeAmended)
		case OutcomeTest: // the referral ends with it
			return true, d.news(ctx, t, pathway.StraightToTest)
		}
	}
	d.restates = true
	d.tell("observed", "the outcome was amended: "+f.Result+", while the case is "+string(c.State), d.why.String())
	d.task("outcome-amended", fmt.Sprintf("the outcome was amended (%s) while the case is %s: see that the right one is acted on", f.Result, c.State))
	return true, d.spread(ctx, f, t.Bundle)
}
