package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/issue"
)

// urgentTask is how long a person has for what cannot wait.
const urgentTask = 4 * time.Hour

// Settled is the dispatcher's hook: what a destination did to a delivery becomes part of the case, in the
// same commit as the settlement. It is called again when the case had moved meanwhile.
func (p *Pipeline) Settled(ctx context.Context, del *Delivery, o *Outcome) error {
	o.Change = nil
	unfitted := del.To == ToPhotos && o.Result != Delivered
	if del.Case.IsZero() || del.Internal() && !unfitted || o.Result == Retry || o.Result == Again {
		return nil
	}
	if del.What == Acknowledgement {
		p.acknowledged(*del, o)
		return nil
	}
	if err := p.caseOf(ctx, del); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	d, err := p.read(*del.Of)
	if err != nil {
		return err
	}
	del.Of = nil // when it had changed, it is read
	d.why = del.Message
	moved := d.c.Moves
	switch o.Result {
	case Delivered:
		err = d.delivered(ctx, *del, o)
	case Held:
		if o.Cause.Where == ForReferrer {
			d.waitsForReferrer(*del, o.Cause)
			break
		}
		err = d.held(*del, o.Cause)
	default:
		err = d.failed(ctx, *del, o)
	}
	if err != nil {
		return err
	}
	change, err := d.change(ctx, moved)
	if err != nil {
		return err
	}
	o.Change = &change
	return nil
}

// delivered takes what a destination accepted.
func (d *decision) delivered(ctx context.Context, del Delivery, o *Outcome) error {
	d.refs = append(d.refs, o.Refs...)
	if len(o.Facts) > 0 && d.c.Channel == nil {
		d.c.Channel = map[string]string{}
	}
	maps.Copy(d.c.Channel, o.Facts)
	if del.notice() && d.overtaken(del) {
		return nil
	}
	if e, ok := d.p.endpoint(del.To); ok && e.Kind == ToMESH {
		d.tell("sent", del.What+" for "+del.To+" is with MESH", del.ID.String())
	} else {
		d.tell("delivered", del.What+" to "+del.To, del.ID.String())
	}
	if err := d.onItsWay(del, o); err != nil {
		return err
	}
	if e, ok := d.p.endpoint(del.To); ok && e.ForUser {
		d.userActed(del.To)
	}
	d.c.FinishTask("undelivered", func(t pathway.Task) bool { return t.Why == undelivered(del) }, del.To, d.at)
	if del.Relays() {
		d.c.FinishTasks("act-refused", del.To, d.at)
	}
	if del.What == PatientRecord {
		d.c.Recorded = append(d.c.Recorded, del.To)
		if d.c.Request.Patient != "" {
			d.refs = append(d.refs, recordedAt(del.To, d.c))
		}
	}
	if del.What != "referral" && del.What != "advice-request" {
		return nil
	}
	d.c.Sent = append(d.c.Sent, del.To)
	d.c.FinishTasks("send-failed", del.To, d.at)
	if err := d.caughtUp(ctx); err != nil {
		return err
	}
	if len(d.c.Sent) == 1 {
		if err := d.tellAdvice(ctx); err != nil {
			return err
		}
	}
	e, ok := d.p.endpoint(del.To)
	if !ok {
		return nil
	}
	switch {
	case e.Poll != "":
		d.poll(e)
	case e.Kind == ToERS:
		d.ask("answer-in-ers", "this gateway cannot read e-RS for the requester: the answer is read there")
	}
	return d.latePhotos(ctx, e)
}

// poll winds the timer that asks a channel for news, for channels that push none.
func (d *decision) poll(e Endpoint) {
	note, _ := json.Marshal(map[string]string{"kind": string(d.c.Kind), "ubrn": d.c.Channel["ubrn"]})
	d.out = append(d.out, Delivery{ID: d.derive("poll", e.Name), Case: d.id(), Message: d.why, To: e.Poll, Lane: d.c.ID,
		Class: class(d.c.Urgency), Key: d.derive("poll", e.Name).String(), What: "poll", Note: string(note), State: Waiting,
		Due: d.at.Add(e.PollEvery), Created: d.at})
}

// latePhotos sends photos that were released while the request was on its way without them, and those of
// a channel that takes them after the request.
func (d *decision) latePhotos(ctx context.Context, e Endpoint) error {
	pending := d.c.Channel["photos-pending"] // e-RS: photos follow the referral on their own
	if d.c.Releasable(unusable) && pending == "" || !d.c.PhotosDue && (pending == "" || pending == "0") {
		return nil
	}
	return d.sendPhotos(ctx, e)
}

func (d *decision) sendPhotos(ctx context.Context, e Endpoint) error {
	m, later, err := d.rendered(ctx, e, telling{what: "photos"})
	if later || err != nil {
		return err
	}
	m.note = d.c.Channel["ubrn"]
	d.refs = append(d.refs, Ref{"control-id", m.key})
	d.tell("queued", "photos for "+e.Name, "")
	return d.deliver(ctx, e, m)
}

// failed takes what a destination refused or left unknown: the delivery is parked, and somebody is told
// who can do something about it.
func (d *decision) failed(ctx context.Context, del Delivery, o *Outcome) error {
	why := "refused"
	if o.Result == Unknown {
		why = "nobody knows whether it arrived: resolve it"
	}
	d.tell("parked", del.What+" for "+del.To+": "+why+causeOf(o), del.ID.String())
	switch {
	case del.notice():
		d.unsent(del.Key)
		return nil
	case del.What == FitPhotos:
		d.task(unfittedTask, "the photos could not be made to fit: what waits for them is not sent. Replay "+del.ID.String())
		return nil
	case del.What == "poll" && o.Cause != nil && (o.Cause.Kind == issue.NotFound || o.Cause.Kind == issue.Denied):
		d.task("poll-failed", del.To+" is not shown the request any more: it may be with somebody else by now")
		return nil
	case del.What == "poll":
		d.task("poll-failed", "the answer of "+del.To+" cannot be read")
		return nil
	case del.Relays():
		d.relayFailed(del, o)
		return nil
	case del.What != "referral" && del.What != "advice-request":
		d.task("undelivered", undelivered(del))
		return nil
	}
	d.task("send-failed", "the request did not reach "+del.To)
	if d.c.State == pathway.Submitted {
		_, err := d.fire(ctx, pathway.ChannelRejected)
		return err
	}
	return nil
}

func undelivered(del Delivery) string { return del.What + " did not reach " + del.To }

func (d *decision) task(code, why string) {
	d.c.AddTask(pathway.Task{Code: code, Owner: d.p.Owners.Operations, Why: why, Opened: d.at, Due: d.at.Add(urgentTask)})
	d.p.alarm(code, "case "+d.c.ID+": "+why)
}

func causeOf(o *Outcome) string {
	if o.Cause == nil {
		return ""
	}
	return " (" + string(o.Cause.Kind) + " " + o.Cause.Where + ")"
}
