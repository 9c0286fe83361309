package flow

import (
	"context"
	"errors"
	"slices"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// observe moves the case by what a message says happened, and sends the news where the routes say.
func (d *decision) observe(ctx context.Context, t *Translated) error {
	f := t.Facts
	if f.Business != "" {
		d.c.Mirror = f.Business
	}
	switch f.Event {
	case NoticeStatus:
		return d.noticed(f.Notice)
	case Acknowledged:
		return d.answeredLate(ctx, f)
	case Receipted:
		d.receipted(f)
		return nil
	case Attested:
		return d.attested(f)
	case Merged:
		d.stop(t)
		return nil
	case Updated:
		return d.updated(ctx, t)
	}
	d.death(t.Bundle.First("Patient"), "message "+d.why.String())
	d.learn(t.Bundle.First("Patient"))
	d.hospitalTold(f)
	if f.Event != StatusOnly && f.Event != Tracked && (!f.ofRequester() || d.p.Sources[t.Source].Found) {
		if err := d.caughtUp(ctx); err != nil {
			return err
		}
	}
	if d.contradicts(f) {
		return nil
	}
	d.guardPriority(f)
	d.knownAs(t)
	if err := d.bring(ctx, t); err != nil {
		return err
	}
	d.notInERS(t)
	switch f.Event {
	case Answered:
		return d.answered(ctx, t)
	case InfoRequested:
		return d.news(ctx, t, pathway.MoreInformation)
	case Triaged:
		return d.triaged(ctx, t)
	case BookedEvent:
		return d.booked(ctx, t)
	case Unbooked, NotAttended:
		return d.unbooked(ctx, t)
	case ConvertedTo:
		return d.converted(ctx, t)
	case Ended:
		return d.ended(ctx, t)
	case Reviewed:
		return d.reviewed(ctx, f)
	case Tracked:
		return d.tracked(f)
	case Amended, Withdrawn:
		if d.p.Sources[t.Source].Found {
			return d.added(ctx, t)
		}
		d.takenBack(t.Bundle)
		return d.fromRequester(ctx, f)
	case ReferralMade:
		d.referred("says "+f.Outcome.Person, "attested:"+f.Outcome.Person)
	case StatusOnly:
		return d.status(ctx, t)
	case StatusAsked:
		return d.tellStatus(ctx, t)
	}
	return nil
}

// contradicts tells what cannot be of a case of its kind: an outcome of triage for advice, or an answer to advice for a
// referral. It changes nothing, and somebody looks.
func (d *decision) contradicts(f Facts) bool {
	var of pathway.Kind
	switch f.Event {
	case Answered, InfoRequested, ConvertedTo:
		of = pathway.Advice
	case Triaged, BookedEvent, Unbooked, NotAttended:
		of = pathway.Referral
	}
	if of == "" || of == d.c.Kind {
		return false
	}
	d.tell("observed", f.Event+" is no news of "+string(d.c.Kind), d.why.String())
	d.task("contradiction", f.Event+" came for a case of "+string(d.c.Kind)+": see what its sender means by message "+d.why.String())
	return true
}

// caughtUp lets an answer that overtook the news of its request's arrival count as that news.
func (d *decision) caughtUp(ctx context.Context) error {
	switch d.c.State {
	case pathway.SendFailed:
		if _, err := d.fire(ctx, pathway.RetrySameKey); err != nil {
			return err
		}
	case pathway.Submitted:
	default:
		return nil
	}
	return d.arrived(ctx)
}

// arrived moves a submitted case to where its channel has accepted it.
func (d *decision) arrived(ctx context.Context) error {
	e := pathway.ChannelAccepted
	if d.c.Kind == pathway.Referral {
		e = pathway.AcceptedByChannel
	}
	_, err := d.fire(ctx, e)
	return err
}

// guardPriority raises an alarm when the channel lowered a suspected cancer: it is carried as it is, at
// once, and somebody must look (only the referrer may lower it).
func (d *decision) guardPriority(f Facts) {
	if d.c.Suspected() && f.Outcome.Priority != "" && f.Outcome.Priority != pathway.TwoWeekWait && d.c.Agreed != "" {
		d.tell("observed", "the priority is lowered, as its referrer agreed", "")
		return
	}
	if d.c.Suspected() && f.Outcome.Priority != "" && f.Outcome.Priority != pathway.TwoWeekWait {
		d.p.alarm("urgency-lowered", "case "+d.c.ID+": the channel lowered the priority of a suspected cancer")
		d.c.AddTask(pathway.Task{Code: "urgency-lowered", Owner: d.c.Request.Organisation,
			Why: "the priority of a suspected cancer was lowered by the provider", Opened: d.at, Due: d.at.Add(urgentTask)})
	}
}

// answered takes an answer to advice: the first one, or one that differs from the last. A recommendation
// to refer stays a recommendation; nothing but the answer leaves (INV1).
func (d *decision) answered(ctx context.Context, t *Translated) error {
	e, known := pathway.ReturnWithAdvice, d.c.Outcome.Text
	if d.c.State == pathway.Responded || d.c.State == pathway.Reviewed {
		if t.Facts.Advice == known {
			return nil
		}
		e, d.amends = pathway.AnswerAmended, true
	}
	over := d.c.State == pathway.EndedNoticeDue || d.p.Machines[d.c.Kind].Ended(d.c.State)
	if over && t.Facts.Advice == known {
		return nil
	}
	if d.p.Machines[d.c.Kind].Ended(d.c.State) {
		return errors.Join(d.amended(ctx, over), d.link(linkAmended, t.Facts))
	}
	d.outcome(t)
	if err := d.amended(ctx, over); err != nil {
		return err
	}
	if over {
		return d.late(ctx, t)
	}
	return d.news(ctx, t, e)
}

// late brings home an answer that the end of its conversation has overtaken: the case stays ended, and what the specialist
// wrote is not lost for it.
func (d *decision) late(ctx context.Context, t *Translated) error {
	d.tell("observed", "the answer came after the end", d.why.String())
	d.ask("late-answer", "the answer came after the end of the conversation: read it")
	return d.spread(ctx, t.Facts, t.Bundle)
}

func (d *decision) triaged(ctx context.Context, t *Translated) error {
	if amended, err := d.amendedOutcome(ctx, t); err != nil || amended {
		return err
	}
	d.outcome(t)
	switch t.Facts.Result {
	case OutcomeAccepted:
		return d.news(ctx, t, pathway.AcceptBookLater)
	case OutcomeTest:
		return d.news(ctx, t, pathway.StraightToTest)
	}
	return d.news(ctx, t, pathway.ReturnWithAdvice)
}

func (d *decision) outcome(t *Translated) {
	d.c.Outcome = t.Facts.Outcome
	d.c.Outcome.Decision, d.c.Outcome.Text = "", t.Facts.Advice // what was decided was about what came before
	d.c.Answers = append(d.c.Answers, d.why.String())
	d.refs = append(d.refs, resourceRefs(t.Bundle)...)
}

// ended takes the end that the channel shows.
func (d *decision) ended(ctx context.Context, t *Translated) error {
	e := pathway.EndObserved
	withdrawn := d.c.Request.Change != nil && d.c.Request.Change.Trigger == "I14"
	switch {
	case d.c.State == pathway.Responded:
		e = pathway.EndBeforeDecision
	case withdrawn && d.c.Kind == pathway.Advice && t.Facts.Business == "CONVERSATION_ENDED_CANCELLED":
		e = pathway.Withdraw // by its requester, and the channel shows it
	case withdrawn && d.c.State == pathway.AwaitingTriage:
		e = pathway.CancelReferral
	case slices.Contains(triageReasons, t.Facts.Outcome.Code):
		e = pathway.EndedByTriage
	case t.Facts.Business == "CONVERSATION_ENDED_CLOSED":
		e = pathway.EndClosed
	case t.Facts.Business == "CONVERSATION_ENDED_CANCELLED":
		e = pathway.EndCancelled
	}
	return d.news(ctx, t, e)
}

// triageReasons are those of PROVIDER_TRIAGE by which a provider ends a referral that was triaged (e-RS A036), but for
// STRAIGHT_TO_TEST, which is an acceptance.
var triageReasons = []string{"COMPLEX_PATHWAY", "BOOKED_CLINICAL_NEED", "COMMUNITY_SERVICE_NA", "OUTPATIENT_SERVICE_NA", "OUTPATIENT_CLINICIAN_NA",
	"NO_LONGER_REQUIRED", "OTHER_OTHER", "TRIAGE_ENDED"}

// news moves the case and, when that moved it, sends the message on: to the GP system, the hospital.
func (d *decision) news(ctx context.Context, t *Translated, e pathway.Event) error {
	moved, err := d.fire(ctx, e)
	if err != nil || !moved {
		return err
	}
	return d.spread(ctx, t.Facts, t.Bundle)
}

// spread sends news of the case to where the routes say; nil for what the case itself knows.
func (d *decision) spread(ctx context.Context, f Facts, news *fhir.Bundle) error {
	f.Kind, f.Organisation, f.Specialty = d.c.Kind, d.c.Request.Organisation, d.c.Request.Specialty
	if f.Urgency == "" {
		f.Urgency = d.c.Urgency
	}
	for _, to := range d.p.route(f) {
		for _, what := range to.tells(f) {
			if err := d.sendTold(ctx, to, telling{what: what, answer: news, elsewhere: d.p.elsewhere(f)}); err != nil {
				return err
			}
		}
	}
	return nil
}
