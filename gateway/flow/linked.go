package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Cases that belong together stay cases of their own, each with its states, clocks and notices: the referral that a provider
// has made of advice (AG14), the answer that was amended after its case had ended, and the referral that a requester has made
// after "I will refer" (AG13). One is opened, or told of, by a work item that the other leaves in its own commit, so that
// neither is lost nor done twice.

// What of work items about linked cases.
const (
	openLinked   = "open-linked"
	linkReferral = "link-referral"
)

// errNotYet says that the case which a message goes on to is being opened.
var errNotYet = errors.New("flow: the linked case is not open yet")

// Why a case is opened for another.
const (
	linkConverted = "converted"
	linkAmended   = "amended"
)

// link has a case opened for what a message says about this one.
func (d *decision) link(why string, f Facts) error {
	id := d.derive("linked", why, d.why.String())
	into := &d.c.Next
	if why == linkConverted {
		id, into = d.derive("linked", why), &d.c.Became
	}
	if *into != "" {
		return nil // its messages go there
	}
	*into = id.String()
	d.tell("linked", "what was "+why+" goes on as case "+id.String(), id.String())
	d.out = append(d.out, Delivery{ID: d.derive(openLinked, id.String()), Case: d.id(), Message: d.why, To: ToCase, Lane: id.String(),
		Class: class(d.c.Urgency), Key: id.String(), What: openLinked, Note: why, State: Waiting, Due: d.at, Created: d.at})
	return nil
}

// openLinked opens the case that a work item asks for. Done again, it changes nothing.
func (p *Pipeline) openLinked(ctx context.Context, work Delivery, t *Translated) error {
	record, err := p.Store.Case(ctx, work.Case)
	if err != nil {
		return err
	}
	from, err := p.read(record)
	if err != nil {
		return err
	}
	d, err := from.linked(work, t)
	if err != nil {
		return err
	}
	if work.Note == linkAmended {
		if err := d.bring(ctx, t); err != nil {
			return err
		}
		d.outcome(t)
		d.amends, d.restates = true, true
		if err := d.spread(ctx, t.Facts, t.Bundle); err != nil {
			return err
		}
	} else {
		for _, name := range from.c.Sent {
			if e, ok := p.endpoint(name); ok && e.Poll != "" && d.c.Channel["ubrn"] != "" {
				d.poll(e)
			}
		}
	}
	change, err := d.change(ctx, 0)
	if err != nil {
		return err
	}
	change.Applied = work.Key
	if _, err := p.Store.Put(ctx, change); err != nil && !errors.Is(err, ErrStale) { // stale: it is there
		return err
	}
	p.wake(change)
	return nil
}

// linked makes the case that goes on from this one, where the state machine's entries say.
func (d *decision) linked(work Delivery, t *Translated) (*decision, error) {
	c, e, kind := d.c, pathway.AmendedAfterEnd, d.c.Kind
	if work.Note == linkConverted {
		e, kind = pathway.ConvertedAdvice, pathway.Referral
	}
	next := &pathway.Case{ID: work.Key, Kind: kind, State: d.p.Machines[kind].Initial, Urgency: c.Urgency, Conversion: c.Conversion, Opened: d.at, Entered: d.at,
		Channel: maps.Clone(c.Channel), Request: c.Request, From: c.ID, Died: c.Died, Sent: slices.Clone(c.Sent), Letters: maps.Clone(c.Letters)}
	if next.Channel == nil {
		next.Channel = map[string]string{}
	}
	if p := t.Facts.Outcome.Priority; rank(p) > rank(next.Urgency) { // never a lower one
		next.Urgency = p
	}
	out := &decision{p: d.p, c: next, at: d.at, why: work.Message, set: t.set, files: letterFiles(t), kept: true}
	if !d.p.Machines.Enter(next, e, d.at) {
		return nil, issue.New(issue.Internal, "statemachine.json", "no entry for what was "+work.Note)
	}
	next.Mirror = t.Facts.Business
	out.tell("linked", "it goes on from case "+c.ID+", which was "+work.Note, c.ID)
	out.tell("state", fmt.Sprintf("%s (%s)", next.State, e), "")
	out.refs = []Ref{{SystemCase, next.ID}, {systemResource, "Task/" + taskID(next)}}
	if work.Note == linkConverted {
		delete(next.Channel, "ers-request-id") // a. is the advice's
		out.knownAs(t)
	}
	return out, nil
}

// knownAs keeps the identifiers by which the channel knows a converted case: the UBRN that it shares with the advice, and its
// own request id once that is shown.
func (d *decision) knownAs(t *Translated) {
	if d.c.From == "" || d.c.Kind != pathway.Referral || t.Bundle == nil {
		return
	}
	if ubrn := t.ref(fhir.SystemUBRN); ubrn != "" {
		d.known("ubrn", ubrn)
	}
	if ubrn := d.c.Channel["ubrn"]; ubrn != "" {
		d.refs = append(d.refs, Ref{fhir.SystemUBRN, ubrn})
	}
	if id := t.ref(fhir.SystemERSRequest); strings.HasPrefix(id, "r.") && d.c.Channel["ers-request-id"] == "" {
		d.known("ers-request-id", id)
		d.refs = append(d.refs, Ref{fhir.SystemERSRequest, id})
	}
}

// converted takes that a provider has made a referral of advice: observed, never blocked (AG14). The referral is a case of its
// own; one that is found on a worklist comes from there.
func (d *decision) converted(ctx context.Context, t *Translated) error {
	if d.c.Conversion != "AUTHORISED_TO_CONVERT" {
		d.p.alarm("converted-unauthorised", "case "+d.c.ID+": converted although the requester did not authorise it")
	}
	over := d.c.State == pathway.EndedNoticeDue || d.p.Machines[d.c.Kind].Ended(d.c.State)
	if over && d.c.Became != "" {
		return nil
	}
	moved, err := d.fire(ctx, pathway.Converted)
	if err != nil {
		return err
	}
	if !moved { // an answer was on its way, or the end: who asked must know all the same
		d.restates = true
		d.task("converted", "advice was converted while its case is "+string(d.c.State)+": see who owns the next step")
	}
	if err := d.spread(ctx, t.Facts, t.Bundle); err != nil {
		return err
	}
	if d.p.Sources[d.c.Request.Source].Found {
		return nil
	}
	return d.link(linkConverted, t.Facts)
}

// sameAsker tells whether two cases are of the same patient and the same requester, as far as both say who that is.
func sameAsker(a, b *pathway.Case) bool {
	return a.Request.Patient != "" && a.Request.Patient == b.Request.Patient && a.Request.Organisation == b.Request.Organisation &&
		(a.Request.Requester == "" || b.Request.Requester == "" || a.Request.Requester == b.Request.Requester)
}

// systemWillRefer leads from a patient to advice after which somebody has said "I will refer".
const systemWillRefer = "will-refer"

// tellAdvice tells the advice after which a requester has said "I will refer" that they have: the oldest that waits for it.
func (d *decision) tellAdvice(ctx context.Context) error {
	if d.c.Kind != pathway.Referral || d.c.Request.Patient == "" {
		return nil
	}
	said, err := d.p.candidates(ctx, []Ref{{systemWillRefer, d.c.Request.Patient}})
	if err != nil {
		return err
	}
	waiting, err := casesLike(said, func(c *pathway.Case) bool {
		return c.State == pathway.Reviewed && sameAsker(c, d.c) && c.Outcome.Decision == pathway.IWillRefer && c.Referral == ""
	})
	if err != nil || len(waiting) == 0 {
		return err
	}
	id, _ := ParseID(waiting[0].ID)
	key := d.derive(linkReferral, id.String())
	d.out = append(d.out, Delivery{ID: key, Case: id, Message: d.why, To: ToCase, Lane: id.String(), Class: class(d.c.Urgency), Key: key.String(),
		What: linkReferral, Note: d.c.ID, State: Waiting, Due: d.at, Created: d.at})
	return nil
}

// referredBefore finds the referral that a requester had made when they said "I will refer".
func (d *decision) referredBefore(ctx context.Context) error {
	if d.c.Request.Patient == "" {
		return nil
	}
	records, err := d.p.Store.Cases(ctx, CaseQuery{Patient: d.c.Request.Patient, Kind: string(pathway.Referral), Limit: 100})
	if err != nil {
		return fmt.Errorf("linked cases: %w", err)
	}
	made, err := casesLike(records, func(c *pathway.Case) bool {
		return sameAsker(c, d.c) && c.From == "" && len(c.Sent) > 0 && c.Opened.After(d.c.Opened)
	})
	if err == nil && len(made) > 0 {
		d.referred("case "+made[0].ID, made[0].ID)
	}
	return err
}

// casesLike gives the cases that are like that, the oldest first.
func casesLike(records []CaseRecord, like func(*pathway.Case) bool) (out []*pathway.Case, err error) {
	for _, r := range records {
		c := &pathway.Case{}
		if err := json.Unmarshal(r.State, c); err != nil {
			return nil, fmt.Errorf("case %s: %w", r.ID, err)
		}
		if like(c) {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *pathway.Case) int { return a.Opened.Compare(b.Opened) })
	return out, nil
}

// referred records which referral followed "I will refer"; the case can end now (AG13).
func (d *decision) referred(what, ref string) {
	if d.c.State != pathway.Reviewed || d.c.Outcome.Decision != pathway.IWillRefer || d.c.Referral != "" {
		return
	}
	d.c.Referral = ref
	d.c.FinishTasks(pathway.TaskOverdue, what, d.at)
	d.tell("linked", "the referral was made: "+what, ref)
}

// workReferral works the news of a referral into the advice that waits for it.
func (p *Pipeline) workReferral(ctx context.Context, work Delivery) error {
	record, err := p.Store.Case(ctx, work.Case)
	if errors.Is(err, ErrNotFound) {
		return nil // it was removed after its time
	}
	if err != nil {
		return err
	}
	d, err := p.read(record)
	if err != nil {
		return err
	}
	d.why, d.kept = work.Message, true
	moved := d.c.Moves
	d.referred("case "+work.Note, work.Note)
	change, err := d.change(ctx, moved)
	if err != nil {
		return err
	}
	change.Applied = work.Key
	if _, err = p.Store.Put(ctx, change); err == nil {
		p.wake(change)
	}
	return err
}
