package flow

import (
	"context"
	"errors"
	"fmt"

	"github.com/dermgate/dermgate/gateway/pathway"
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
	candidates, err := p.candidates(ctx, t.Facts.Refs)
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

// lead gives the cases that an identifier may lead to. A case's own id needs no reference.
func (p *Pipeline) lead(ctx context.Context, ref Ref) ([]ID, error) {
	if id, err := ParseID(ref.Value); err == nil && ref.System == SystemCase {
		return []ID{id}, nil
	}
	return p.Store.Find(ctx, ref)
}

// candidates gives the cases that identifiers of a message lead to, each once. The first identifier that
// leads anywhere decides: the most telling come first (FactsOf).
func (p *Pipeline) candidates(ctx context.Context, refs []Ref) ([]CaseRecord, error) {
	for _, ref := range refs {
		ids, err := p.lead(ctx, ref)
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
	case Reviewed, ReferralMade, Amended, Withdrawn, StatusAsked:
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
		err := a.apply(ctx, work, &t)
		wait := (*errUnfitted)(nil)
		unfitted := errors.As(err, &wait)
		if unfitted {
			err = a.P.fitFirst(ctx, work, &t, wait)
		}
		if errors.Is(err, ErrStale) {
			continue
		}
		if errors.Is(err, errNotYet) {
			return Outcome{Result: Again, After: fittingEvery}, nil
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

// apply does what a work item asks: it works a message into its case, or what one case says into another.
func (a Applier) apply(ctx context.Context, work Delivery, t *Translated) error {
	switch work.What {
	case openLinked:
		return a.P.openLinked(ctx, work, t)
	case linkReferral:
		return a.P.workReferral(ctx, work)
	}
	return a.P.apply(ctx, work, t)
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
	if next, err := ParseID(d.c.Next); err == nil { // what was amended after its end goes on there
		if _, err := p.Store.Case(ctx, next); errors.Is(err, ErrNotFound) {
			return errNotYet
		}
		work.Case = next
		return p.apply(ctx, work, t)
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
