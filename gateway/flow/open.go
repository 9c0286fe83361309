package flow

import (
	"context"
	"fmt"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// open makes the change that opens a case: photos kept, guards asked, the request rendered for each
// destination, or the case held.
func (p *Pipeline) open(ctx context.Context, t *Translated, rules SourceRules) (Change, error) {
	part := t.Idem.Partition()
	caseID, messageID := NewID(part, "case", t.Idem.Key), NewID(part, "message", t.Idem.Key)
	d := &decision{p: p, at: t.At, why: messageID, set: t.set, request: t.Bundle, received: t.HL7, c: &pathway.Case{
		ID: caseID.String(), Kind: t.Facts.Kind, State: p.Machines[t.Facts.Kind].Initial, Urgency: t.Facts.Urgency,
		Conversion: t.Facts.Conversion, Opened: t.At, Entered: t.At, Channel: map[string]string{},
		Request: pathway.Request{Message: messageID.String(), Source: t.Source, ControlID: t.Facts.ControlID, Placer: t.Facts.Placer,
			Organisation: t.Facts.Organisation, Performer: t.Facts.Performer, Requester: t.Facts.Requester,
			Specialty: t.Facts.Specialty, Patient: p.PatientKey(t.Facts.NHSNumber)},
	}}
	holds := p.guard(t, rules)
	if t.Issues.Worst() != nil {
		return Change{}, t.Issues.Worst()
	}
	if rules.Found {
		if err := d.enter(t); err != nil {
			return Change{}, err
		}
	}
	d.tell("received", fmt.Sprintf("%s from %s, %d attachments", t.Facts.Message, t.Source, len(t.Files)), messageID.String())
	d.death(t.Bundle.First("Patient"), "the request")
	d.learn(t.Bundle.First("Patient"))
	if err := d.keepFiles(ctx, t, rules); err != nil {
		return Change{}, err
	}
	if len(t.unusable) > 0 {
		d.ask("photo-unusable", fmt.Sprintf("%d files cannot be sent on: please send them again, as JPEG", len(t.unusable)))
	}
	d.signedIn(t)
	begin := d.begin
	if rules.Found {
		begin = d.found
	}
	if err := begin(ctx, t, holds); err != nil {
		return Change{}, err
	}
	d.refs = append(d.refs, t.Facts.Refs...)
	d.refs = append(d.refs, Ref{"control-id:" + t.Source, t.Facts.ControlID}, Ref{systemResource, "Task/" + taskID(d.c)})
	d.refs = append(append(d.refs, resourceRefs(t.Bundle)...), p.patientRefs(t.Bundle.First("Patient"))...)
	change, err := d.change(ctx, 0)
	if err != nil {
		return Change{}, err
	}
	return p.withMessage(ctx, change, t, messageID)
}

// withMessage completes a change with the message that caused it and the answer to its sender.
func (p *Pipeline) withMessage(ctx context.Context, c Change, t *Translated, id ID) (Change, error) {
	body, mediaType, err := answer(*t, t.At)
	if err != nil {
		return Change{}, err
	}
	m, err := p.message(ctx, *t, id)
	if err != nil {
		return Change{}, err
	}
	if c.Case != nil {
		m.Case = c.Case.Record.ID
	} else if len(c.Deliveries) > 0 { // the work item of a follow-up
		m.Case = c.Deliveries[0].Case
		for _, more := range c.Deliveries[1:] {
			m.Also = append(m.Also, more.Case)
		}
	}
	m.Receipt = Receipt{Message: id, Case: m.Case, Answer: body, Type: mediaType}
	c.Idem, c.Message = &t.Idem, &m
	err = p.acknowledgeLater(ctx, &c, t)
	return c, err
}

// hold is a reason for which a request waits for its requester.
type hold struct{ code, why string }

// guard asks whether the request may leave: consent for its photos, the photos it needs, resources that meet
// UK Core. Suspected cancer never waits: the request goes at once, only its photos stay (pathway.md §6, RA03).
func (p *Pipeline) guard(t *Translated, rules SourceRules) []hold {
	var holds []hold
	ask := func(c Check, code string, found ...*issue.Issue) {
		if t.Facts.Urgency == pathway.TwoWeekWait && c == Require {
			c = Hold
		}
		for _, i := range found {
			t.found(c, i.Kind, i.Where, i.Text)
		}
		if c == Hold {
			holds = append(holds, hold{code, issue.List(found).Error()})
		}
	}
	if len(t.Files) > 0 && t.Facts.Photos > 0 && t.Facts.Consent != "permit" {
		text := "no consent for clinical photography is recorded"
		if t.Facts.Consent == "deny" {
			text = "consent for clinical photography was refused: the photos do not travel"
		}
		ask(rules.Checks.Consent, "photo-consent", issue.New(issue.Required, place(t.Format, "OBX", "Consent"), text))
	}
	t.wantImages(rules, ask)
	if t.Facts.NHSNumber == "" && rules.Checks.NHSNumber == Hold && t.Facts.Urgency != pathway.TwoWeekWait { // the warning is given
		holds = append(holds, hold{"nhs-number", place(t.Format, "PID-3", "Patient.identifier") + ": " + noNumber})
	}
	if t.Facts.Kind == pathway.Advice && t.Facts.Urgency == pathway.TwoWeekWait { // H19
		t.found(Warn, issue.Value, place(t.Format, "RF1-2", "ServiceRequest.priority"),
			"a suspected cancer was asked as advice: it is timed by its urgency; only a referral starts the 28 days")
	}
	if c := rules.Checks.Profile; c != "" && len(t.profile) > 0 {
		if t.Facts.Urgency == pathway.TwoWeekWait && c != Off { // nothing of it stays behind that could be asked for
			c = Warn
		}
		ask(c, "profile", t.profile[:min(len(t.profile), mostTold)]...)
	}
	return holds
}

// begin starts the case on its way: held, or sent.
func (d *decision) begin(ctx context.Context, t *Translated, holds []hold) error {
	for _, h := range holds {
		if h.code == "photo-consent" {
			d.withhold("consent")
		}
		d.ask(h.code, h.why)
	}
	if len(holds) > 0 && !d.c.Suspected() {
		_, err := d.fire(ctx, pathway.ValidationFailed)
		return err
	}
	return d.submit(ctx, t.Facts)
}

// ask opens a timed task for the named requester: an acknowledgement is read by nobody.
func (d *decision) ask(code, why string) {
	span, _ := d.p.Timers.Limit(&pathway.Case{State: pathway.Held, Urgency: d.c.Urgency})
	d.c.AddTask(pathway.Task{Code: code, Owner: d.p.requester(d.c), Why: why, Opened: d.at, Due: d.after(span)})
	d.tell("task", "the requester is asked: "+why, "")
}

func (d *decision) withhold(why string) {
	for i := range d.c.Photos {
		if !d.c.Photos[i].Document && d.c.Photos[i].Waiting == "" {
			d.c.Photos[i].Waiting = why
		}
	}
}

// submit sends the request to every destination that its rules name.
func (d *decision) submit(ctx context.Context, f Facts) error {
	if _, err := d.fire(ctx, pathway.SignAndSend); err != nil {
		return err
	}
	endpoints := d.p.route(f)
	if len(endpoints) == 0 {
		return issue.New(issue.NotFound, "routes", "no destination is configured for this kind of request")
	}
	for _, e := range endpoints {
		if err := d.sendRequest(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// fullURL gives the entry.fullUrl of a resource in a Bundle.
func fullURL(e fhir.Element) string { return e.Parent().Child("fullUrl").Text() }
