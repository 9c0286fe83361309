package flow

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// A request that is found on the worklist of its channel was sent there by somebody else: its provider has it, and its
// patient was told. It begins where the state machine's entries say, goes to where the routes say and never back to the
// channel, and what its referrer adds later follows it.

// ConvertedByProvider is why a referral is with its provider that was advice before (eRS-ReviewOutcome-1).
const ConvertedByProvider = "PROVIDER_CONVERTED_ADVICE_AND_GUIDANCE_ADMIN_TO_REFER"

// unavailableFile is the type of a Task.input of a found request: what could not be brought along, for a person.
const unavailableFile = "unavailable-file"

// enter begins the case of a request that its channel has.
func (d *decision) enter(t *Translated) error {
	e := pathway.FoundOnWorklist
	if t.Facts.Outcome.Code == ConvertedByProvider {
		e = pathway.ConvertedAdvice
	}
	if !d.p.Machines.Enter(d.c, e, d.at) {
		return issue.New(issue.Internal, "statemachine.json", "no entry for a request that was "+string(e))
	}
	d.c.Business, d.c.Mirror = t.Facts.Business, t.Facts.Business
	d.c.Channel["ubrn"], d.c.Channel["ers-request-id"] = t.ref(fhir.SystemUBRN), t.ref(fhir.SystemERSRequest)
	if made, err := time.Parse(time.RFC3339, t.Bundle.First("ServiceRequest").Child("authoredOn").Text()); err == nil {
		d.received28 = made
	}
	if due, err := time.Parse(time.RFC3339, t.Bundle.First("Task").At("restriction.period.end").Text()); err == nil {
		d.c.Due = due
	}
	return nil
}

// ref gives the request's identifier in a system.
func (t *Translated) ref(system string) string {
	return identifier(t.Bundle.First("ServiceRequest"), system)
}

// found sends a found request to where its rules say, but for its own channel. Nothing holds it: it is here.
func (d *decision) found(ctx context.Context, t *Translated, _ []hold) error {
	d.tell("state", fmt.Sprintf("%s (%s: %s)", d.c.State, t.Source, t.Facts.Business), "")
	d.unavailable(t)
	endpoints := slices.DeleteFunc(d.p.route(t.Facts), func(e Endpoint) bool { return e.Kind == ToERS })
	if len(endpoints) == 0 {
		return issue.New(issue.NotFound, "routes", "no destination is configured for what is found on this worklist")
	}
	for _, e := range endpoints {
		if err := d.sendRequest(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// unavailable opens a task for each file that the channel did not give.
func (d *decision) unavailable(t *Translated) {
	for in := range t.Bundle.First("Task").Children("input") {
		if coded(in.Child("type"), fhir.SystemInput) == unavailableFile {
			why := in.Child("valueString").Text()
			d.c.AddTask(pathway.Task{Code: unavailableFile, Owner: d.p.Owners.Provider, Why: why, Opened: d.at, Due: d.at.Add(urgentTask)})
			d.tell("task", why, "")
			d.p.alarm(unavailableFile, "case "+d.c.ID+": "+why)
		}
	}
}

// added takes what the referrer added to a found request: its files follow to every place that has the request.
func (d *decision) added(ctx context.Context, t *Translated) error {
	had := len(d.c.Photos)
	if err := d.informed(ctx, t.Facts); err != nil {
		return err
	}
	d.unavailable(t)
	t.Files = slices.DeleteFunc(t.Files, func(f mapping.File) bool { // it was brought before a crash
		return slices.ContainsFunc(d.c.Photos, func(ph pathway.Photo) bool { return ph.Original == f.SHA256 })
	})
	if err := d.keepFiles(ctx, t, d.p.Sources[t.Source]); err != nil {
		return err
	}
	if len(d.c.Photos) == had {
		return nil
	}
	d.c.Additions = append(d.c.Additions, d.why.String())
	d.refs = append(d.refs, resourceRefs(t.Bundle)...)
	d.request, d.restates = nil, true
	return d.photosFollow(ctx)
}

// addTo brings the files that were added later into the request's Bundle.
func (d *decision) addTo(ctx context.Context, b *fhir.Bundle) error {
	request, patient := fullURL(b.First("ServiceRequest")), fullURL(b.First("Patient"))
	for _, text := range d.c.Additions {
		id, err := ParseID(text)
		if err != nil {
			return err
		}
		t, err := d.p.reload(ctx, d.set, id)
		if err != nil {
			return err
		}
		var came []string
		err = copyEntries(b, t.Bundle, func(url string, _ fhir.Element) bool {
			file := slices.ContainsFunc(d.c.Photos, func(ph pathway.Photo) bool { return ph.Media == url })
			if file {
				came = append(came, url)
			}
			return file
		})
		if err != nil {
			return err
		}
		w := writer{}
		for _, url := range came {
			r := b.Resolve(url)
			repoint(&w, r, "subject", patient)
			if r.Type().Name == "Media" {
				repoint(&w, r, "basedOn", request)
			}
			w.set(w.add(b.First("ServiceRequest"), "supportingInfo"), "reference", url)
		}
		if w.err != nil {
			return w.err
		}
	}
	return nil
}

// informed takes that a referrer has given, in e-RS itself, what was asked for (AG09).
func (d *decision) informed(ctx context.Context, f Facts) error {
	if d.c.State != pathway.InfoRequested || f.Business != "PROVIDER_RESPONSE_REQUIRED" {
		return nil
	}
	_, err := d.fire(ctx, pathway.InformationGiven)
	return err
}

// onward takes what e-RS shows of a request that is no outcome: a priority that was raised, a returned referral that
// was sent again.
func (d *decision) onward(ctx context.Context, t *Translated) error {
	f := t.Facts
	if d.c.State == pathway.Returned && f.Business == "AWAITING_TRIAGE" {
		for _, e := range []pathway.Event{pathway.Resent, pathway.AcceptedByChannel} {
			if _, err := d.fire(ctx, e); err != nil {
				return err
			}
		}
	}
	if d.c.Kind != pathway.Referral || rank(d.c.Urgency) < 0 || rank(f.Outcome.Priority) <= rank(d.c.Urgency) {
		return nil
	}
	d.c.Urgency, d.c.Due = f.Outcome.Priority, time.Time{}
	if _, err := d.fire(ctx, pathway.RaisePriority); err != nil {
		return err
	}
	if !d.p.Sources[d.c.Request.Source].Found { // who asked hears it; the channel knows
		d.restates = true
		return d.spread(ctx, f, t.Bundle)
	}
	for _, name := range d.c.Sent {
		d.task("priority-raised", "the priority was raised in e-RS after the request was sent: bring that to "+name)
	}
	return nil
}

// rank orders the e-RS priorities; one that is not known is below all.
func rank(priority string) int {
	return slices.Index([]string{pathway.Routine, pathway.Urgent, pathway.TwoWeekWait}, priority)
}
