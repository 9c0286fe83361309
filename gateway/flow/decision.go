package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// decision gathers what one message, settlement, alarm clock or person changes about a case. It is pure
// but for the bodies it keeps; nothing of it counts until its Change is committed.
type decision struct {
	p          *Pipeline
	c          *pathway.Case
	version    int64 // of the record that was read; 0: the case is new
	at         time.Time
	why        ID                   // the message that caused it
	set        *mapping.Set         // translates and renders all of it, whatever is put in force meanwhile
	request    *fhir.Bundle         // canonical Bundle of the request; loaded when first needed
	question   *Translated          // about the case, while it is answered
	received   *hl7.Message         // the request as it came, when it came as HL7 v2
	files      map[string]fhir.Data // of the answer that is sent on, by their hash
	kept       bool                 // what caused it is acknowledged: it waits for photos that are made to fit
	fitter     *fitter              // makes photos fit; nil: others do that first
	carried    []pathway.Photo      // files that the message being rendered may carry, as its destination may have them
	asked      []string             // media of those that it does
	again      string               // key of the act by which something is sent anew; empty else
	amends     bool                 // it changes one that was given before
	restates   bool                 // it is news without a move: a message of its own
	received28 time.Time            // of a found request: when it was made
	reviewer   string               // clinician who has just read the answer, and thereby releases what tells the patient of it
	words      string               // what a clinician writes to the patient; kept nowhere but in the notice
	when       string               // start of the appointment that the message at hand books
	hospital   string               // who says in the message at hand that the patient knows of it
	record     string               // HL7 v2 message that a PatientRecord is
	story      []Event
	out        []Delivery
	refs       []Ref
}

func (p *Pipeline) read(record CaseRecord) (*decision, error) {
	c := &pathway.Case{}
	if err := json.Unmarshal(record.State, c); err != nil {
		return nil, fmt.Errorf("case %s: %w", record.ID, err)
	}
	return &decision{p: p, c: c, version: record.Version, at: p.Now(), set: p.Maps()}, nil
}

func (d *decision) id() ID { id, _ := ParseID(d.c.ID); return id }

// derive makes an id in the case's partition.
func (d *decision) derive(parts ...string) ID {
	return NewID(d.id().Partition(), append([]string{d.c.ID}, parts...)...)
}

func (d *decision) tell(what, text, ref string) {
	d.story = append(d.story, Event{At: d.at, What: what, Text: text, Ref: ref})
}

// fire moves the case and sees to what the move owes: notices, clocks, and moves that follow by
// themselves. An event that the state does not know is told in the story and changes nothing: what the
// other side did is observed, never blocked.
func (d *decision) fire(ctx context.Context, e pathway.Event) (bool, error) {
	before := d.c.State
	t, err := d.p.Machines.Fire(d.c, e, d.at)
	var unknown *pathway.ErrTransition
	if errors.As(err, &unknown) {
		d.tell("observed", unknown.Error(), "")
		return false, nil
	}
	if err != nil {
		return false, err
	}
	d.tell("state", fmt.Sprintf("%s → %s (%s, %s)", before, t.To, t.ID, e), "")
	return true, d.notices(ctx)
}

// follow makes the moves that need nobody: a case whose notices are discharged ends where its requester
// has decided, or the hospital has taken over.
func (d *decision) follow(ctx context.Context) error {
	for d.c.Told() {
		var e pathway.Event
		switch {
		case d.c.State != pathway.Reviewed && !d.c.Home():
			return nil // who asked does not have the news yet
		case d.c.State == pathway.EndedNoticeDue:
			e = pathway.NoticesDischarged
		case d.c.State == pathway.Reviewed && d.c.Outcome.Decision == pathway.ManageInPrimaryCare:
			e = pathway.CloseCase
		case d.c.State == pathway.Reviewed && d.c.Outcome.Decision == pathway.IWillRefer && d.c.Referral != "":
			e = pathway.CloseCase
		case d.c.State == pathway.Returned && d.c.Outcome.Decision != "" && d.c.Outcome.Decision != pathway.AskedAgain:
			e = pathway.ReviewedAndClosed
		case d.c.State == pathway.Booked && (!d.c.Suspected() || d.c.Tracked != ""):
			e = pathway.OwnedByPAS
		default:
			return nil
		}
		if moved, err := d.fire(ctx, e); err != nil || !moved {
			return err
		}
	}
	return nil
}

// deliver adds a delivery in the case's lane of a destination. key is the outbound idempotency key.
func (d *decision) deliver(ctx context.Context, e Endpoint, m outgoing) error {
	body, err := d.p.stream(ctx, d.id(), m.body, m.mediaType)
	if err != nil {
		return err
	}
	d.out = append(d.out, Delivery{ID: d.derive("delivery", e.Name, m.what, m.key), Case: d.id(), Message: d.why, To: e.Name,
		Lane: d.c.ID, Class: class(d.c.Urgency), Key: m.key, What: m.what, Maps: m.maps, Body: body, Parts: m.parts, Note: m.note, Unfit: m.unfit,
		Steps: d.signInStep(e), State: Waiting, Due: d.at, Created: d.at})
	return nil
}

// outgoing is a message rendered for one destination: its key, and its bytes once they are kept, never change
// again.
type outgoing struct {
	what, key string
	form      string // of HL7 v2: RRI_I12
	size      int64  // of HL7 v2, in bytes
	unsent    string // places that its version lacks
	body      func(io.Writer) error
	mediaType string
	parts     []BodyRef
	note      string
	practice  string // of ToMESH: ODS code of where it goes; empty where nobody knows
	maps      string // digest of the set that rendered it; empty where none did
	unfit     *Unfit // why it must not be sent as it is
}

// whole is the body of a message that is in memory.
func whole(b []byte) func(io.Writer) error {
	return func(w io.Writer) error { _, err := w.Write(b); return err }
}

// change closes the decision: the case's next version with its story, deliveries and references.
func (d *decision) change(ctx context.Context, moved int) (Change, error) {
	if err := d.follow(ctx); err != nil {
		return Change{}, err
	}
	if d.c.Moves != moved {
		if err := errors.Join(d.clock(), d.watch()); err != nil {
			return Change{}, err
		}
	}
	state, err := json.Marshal(d.c)
	if err != nil {
		return Change{}, err
	}
	return Change{
		Case: &CaseChange{
			Record: CaseRecord{ID: d.id(), Version: d.version + 1, State: state, Index: CaseIndex{
				Kind: string(d.c.Kind), State: string(d.c.State), Urgency: d.c.Urgency, Organisation: d.c.Request.Organisation,
				Performer: d.c.Request.Performer, Patient: d.c.Request.Patient, Opened: d.c.Opened, Changed: d.at,
				Ended: d.p.Machines[d.c.Kind].Ended(d.c.State), ForUser: d.c.Task(signInTask) != nil, Work: d.c.Work(),
			}},
			Story: d.story,
		},
		Refs:       d.refs,
		Deliveries: d.out,
	}, nil
}
