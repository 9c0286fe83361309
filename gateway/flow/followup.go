package flow

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// followUp makes the change for a message about a case that exists: it is kept with a work item, and
// acknowledged; Apply works it into its case afterwards, once.
func (p *Pipeline) followUp(ctx context.Context, t *Translated) (Change, error) {
	id, err := p.find(ctx, t, p.alarm)
	if p.holds(t, err) {
		id, err = ID{}, nil
	}
	if err != nil {
		return Change{}, err
	}
	part := t.Idem.Partition()
	messageID := NewID(part, "message", t.Idem.Key)
	lane := id
	if id.IsZero() {
		lane = messageID
	}
	work := Delivery{ID: NewID(part, "work", t.Idem.Key), Case: id, Message: messageID, To: ToCase, Lane: lane.String(),
		Class: class(t.Facts.Urgency), Key: messageID.String(), What: t.Facts.Event, State: Waiting, Due: t.At, Created: t.At}
	return p.withMessage(ctx, Change{Deliveries: []Delivery{work}}, t, messageID)
}

// find gives the one case that a message is about. None, several, or one of another patient is never guessed at: an
// answer is held (held.go), anything else refused, and somebody is told.
func (p *Pipeline) find(ctx context.Context, t *Translated, alarm func(name, text string)) (ID, error) {
	candidates, err := p.candidates(ctx, t.Facts)
	if err != nil {
		return ID{}, err
	}
	where := place(t.Format, "MSA-2", "MessageHeader.response.identifier")
	switch {
	case t.Facts.Appointment != nil:
		where = place(t.Format, "SCH-26", "Appointment.basedOn")
	case t.Facts.ofRequester():
		where = place(t.Format, "RF1-6", "ServiceRequest.identifier")
	}
	patient, other := p.PatientKey(t.Facts.NHSNumber), false
	var match []CaseRecord
	for _, r := range candidates {
		if patient != "" && r.Index.Patient != "" && patient != r.Index.Patient {
			other = true
			continue
		}
		if t.Facts.Kind == "" || string(t.Facts.Kind) == r.Index.Kind {
			match = append(match, r)
		}
	}
	switch {
	case len(match) == 1:
		return match[0].ID, p.mayAnswer(t, match[0])
	case len(match) > 1:
		alarm("several-cases", "source "+t.Source+": a message whose identifiers lead to more than one case")
		return ID{}, issue.New(issue.Conflict, where, "the identifiers lead to more than one case")
	case other:
		alarm("wrong-patient", "source "+t.Source+": an answer names another patient than its request")
		return ID{}, issue.New(issue.Conflict, place(t.Format, "PID-3", "Patient.identifier"), "the patient is not the one of the request")
	}
	alarm("no-case", "source "+t.Source+": a message about no known case")
	return ID{}, issue.New(issue.NotFound, where, "no case is known by these identifiers")
}

// candidates gives the cases that the message's identifiers lead to, each once. The first identifier that
// leads anywhere decides: the most telling come first (FactsOf).
func (p *Pipeline) candidates(ctx context.Context, f Facts) ([]CaseRecord, error) {
	for _, ref := range f.Refs {
		ids, err := p.Store.Find(ctx, ref)
		if err != nil {
			return nil, fmt.Errorf("correlate: %w", err)
		}
		var out []CaseRecord
		for _, id := range ids {
			r, err := p.Store.Case(ctx, id)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("correlate: %w", err)
			}
			out = append(out, r)
		}
		if len(out) > 0 {
			return out, nil
		}
	}
	return nil, nil
}

// mayAnswer tells whether the source may speak about the case: who was asked answers, who asked decides.
func (p *Pipeline) mayAnswer(t *Translated, r CaseRecord) error {
	rules := p.Sources[t.Source]
	switch {
	case t.Facts.Event == Attested && rules.Organisation != "" && rules.Organisation == r.Index.Organisation:
		return nil // who asked may say that they have it
	case !t.Facts.ofRequester() && !rules.Answers:
		return issue.New(issue.Denied, "", "this source may not answer requests")
	case t.Facts.ofRequester() && rules.Organisation != "" && rules.Organisation != r.Index.Organisation:
		return issue.New(issue.Denied, "", "only the organisation that asked may decide this")
	case t.Facts.Event == StatusAsked && len(p.route(t.Facts.about(r.Index))) == 0:
		return issue.New(issue.UnsupportedEvent, place(t.Format, "MSH-9.2", "MessageHeader.eventCoding"), "no route sends an answer to event "+StatusAsked)
	}
	return nil
}

// ofRequester tells what only who asked may say of a request.
func (f Facts) ofRequester() bool {
	switch f.Event {
	case Reviewed, Amended, Withdrawn, StatusAsked:
		return true
	}
	return false
}

// about gives the facts as routes ask for them, with what the case knows better than a message about it.
func (f Facts) about(x CaseIndex) Facts {
	f.Kind, f.Organisation = pathway.Kind(x.Kind), x.Organisation
	return f
}

// Applier is the internal destination ToCase: it works follow-ups into their cases.
type Applier struct{ P *Pipeline }

// Deliver applies one follow-up. It is applied at most once however often this runs: the change carries
// the message's id. A message that does not translate any more parks, visibly. One whose case has photos that are being
// made to fit waits, in its place.
func (a Applier) Deliver(ctx context.Context, work Delivery, _ func(Step) error) (Outcome, error) {
	t, err := a.P.reload(ctx, a.P.Maps(), work.Message)
	if err != nil {
		return Outcome{}, storeTrouble(err)
	}
	if work.Case.IsZero() {
		if held, err := a.P.whose(ctx, &work, &t); err != nil || held.Result != "" {
			return held, err
		}
	}
	busy, err := a.P.fittingNow(ctx, work.Case)
	if err != nil {
		return Outcome{}, err
	}
	if busy {
		return Outcome{Result: Again, After: fittingEvery}, nil
	}
	for {
		err := a.P.apply(ctx, work, &t)
		wait := (*errUnfitted)(nil)
		unfitted := errors.As(err, &wait)
		if unfitted {
			err = a.P.fitFirst(ctx, work, &t, wait)
		}
		if errors.Is(err, ErrStale) {
			continue
		}
		var trouble *issue.Issue
		if errors.As(err, &trouble) && trouble.Kind != issue.Unavailable {
			return Outcome{Result: Refused, Cause: trouble}, nil
		}
		if err != nil {
			return Outcome{}, err
		}
		if unfitted {
			return Outcome{Result: Again, After: fittingEvery}, nil
		}
		return Outcome{Result: Delivered}, nil
	}
}

func storeTrouble(err error) error {
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("a work item without its message: %w", err)
	}
	return err
}

func (p *Pipeline) apply(ctx context.Context, work Delivery, t *Translated) error {
	record, err := p.Store.Case(ctx, work.Case)
	if errors.Is(err, ErrNotFound) { // it was removed after its time, in the moment in which this came
		p.alarm("no-case", "case "+work.Case.String()+": a message about a case that is not kept any more")
		return issue.New(issue.NotFound, "case", "it is not kept any more").Because(err)
	}
	if err != nil {
		return err
	}
	d, err := p.read(record)
	if err != nil {
		return err
	}
	d.why, d.set, d.files, d.kept = work.Message, t.set, letterFiles(t), true
	moved := d.c.Moves
	if work.Note != "" {
		d.tell("act", work.Note, work.ID.String())
	}
	if t.Facts.Event != NoticeStatus && t.Facts.Event != Receipted { // several a message: only what they come to is part of the story
		d.tell("received", t.Facts.Event+" from "+t.Source, work.Message.String())
	}
	if err := d.observe(ctx, t); err != nil {
		return err
	}
	change, err := d.change(ctx, moved)
	if err != nil {
		return err
	}
	change.Applied = work.Key // the message, and of one about several cases which
	if _, err := p.Store.Put(ctx, change); err != nil {
		return err
	}
	p.wake(change)
	return nil
}

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
	if f.Event != StatusOnly && f.Event != StatusAsked && f.Event != Reviewed && f.Event != Tracked {
		if err := d.caughtUp(ctx); err != nil {
			return err
		}
	}
	d.guardPriority(f)
	if err := d.bring(ctx, t); err != nil {
		return err
	}
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
		if d.c.Conversion != "AUTHORISED_TO_CONVERT" {
			d.p.alarm("converted-unauthorised", "case "+d.c.ID+": converted although the requester did not authorise it")
		}
		return d.news(ctx, t, pathway.Converted)
	case Ended:
		return d.ended(ctx, t)
	case Reviewed:
		return d.reviewed(ctx, f)
	case Tracked:
		d.c.Tracked = f.Outcome.Person
		d.tell("act", "cancer tracking has taken over the 28-day clock", "")
	case Amended, Withdrawn:
		if d.p.Sources[t.Source].Found {
			return d.added(ctx, t)
		}
		d.fromRequester(f)
		d.takenBack(t.Bundle)
	case StatusOnly:
		if d.p.Sources[t.Source].Found {
			return d.onward(ctx, f)
		}
		if f.Appointment != nil {
			d.tell("observed", "the appointment is "+f.Appointment.Status, "")
		}
	case StatusAsked:
		return d.tellStatus(ctx, t)
	}
	return nil
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
	d.outcome(t)
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
	decision := d.c.Outcome.Decision
	d.c.Outcome = t.Facts.Outcome
	d.c.Outcome.Decision, d.c.Outcome.Text = decision, t.Facts.Advice
	d.c.Answers = append(d.c.Answers, d.why.String())
	d.refs = append(d.refs, resourceRefs(t.Bundle)...)
}

// ended takes the end that the channel shows.
func (d *decision) ended(ctx context.Context, t *Translated) error {
	e := pathway.EndObserved
	switch {
	case d.c.State == pathway.Responded:
		e = pathway.EndBeforeDecision
	case t.Facts.Business == "CONVERSATION_ENDED_CLOSED":
		e = pathway.EndClosed
	case t.Facts.Business == "CONVERSATION_ENDED_CANCELLED":
		e = pathway.EndCancelled
	}
	return d.news(ctx, t, e)
}

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

// reviewed records that the requester read the answer and what they decided (AG11).
func (d *decision) reviewed(ctx context.Context, f Facts) error {
	if f.Outcome.Person == "" || f.Outcome.Decision == "" {
		return issue.New(issue.Required, "Task.owner", "a review names the person and the decision")
	}
	d.c.Outcome.Decision, d.c.Outcome.Person = f.Outcome.Decision, f.Outcome.Person
	if _, err := d.fire(ctx, pathway.ReadAndDecide); err != nil {
		return err
	}
	d.c.FinishTasks("overdue", f.Outcome.Person, d.at)
	d.c.Attest("read by "+f.Outcome.Person, d.at)
	d.c.FinishTasks(taskBring, f.Outcome.Person, d.at)
	if f.Outcome.Decision == "ask-again" {
		_, err := d.fire(ctx, pathway.AskAgain)
		return err
	}
	return nil
}

// fromRequester takes a change or withdrawal of a request that has gone out. Neither is sent on by machine
// yet (e-RS has no call for either): whoever asked brings it to each place that has the request, and the
// state follows when the channel shows it.
func (d *decision) fromRequester(f Facts) {
	d.changed(f)
	for _, name := range d.c.Sent {
		d.ask(f.Event, "the request was "+f.Event+" after it was sent: bring that to "+name)
	}
	if len(d.c.Sent) == 0 {
		d.ask(f.Event, "the request was "+f.Event+" before it was sent: discard it or let it go")
	}
}

// noticed takes what NHS Notify tells of a notice. Only what shows that the patient knows discharges it: a
// read message in the NHS App. An e-mail or text that was handed over is not telling; what failed or was
// skipped becomes a person's task (INV2).
func (d *decision) noticed(n *NoticeFact) error {
	o := d.c.Obligation(n.Reference)
	if o == nil {
		return nil
	}
	switch {
	case n.Channel == "nhsapp" && (n.Status == "delivered" || n.Status == "read"):
		if o.Status == pathway.NoticeTold || o.Status == pathway.NoticeWaived {
			return nil
		}
		o.Discharge(pathway.NoticeTold, "nhsapp:"+n.Status, d.at)
		d.c.FinishTask(taskTell, func(t pathway.Task) bool { return strings.HasPrefix(t.Why, o.Event+":") }, "NHS Notify", d.at)
		d.tell("told", o.Event+" read in the NHS App", o.Ref)
	case n.Channel == "" && n.Status == "failed":
		d.person(o, "NHS Notify could not deliver it")
	case n.Channel == "nhsapp" && (n.Status == "failed" || n.Status == "skipped"): // of the others none shows that it was read
		d.person(o, "the NHS App "+n.Status+" it")
	}
	return nil
}
