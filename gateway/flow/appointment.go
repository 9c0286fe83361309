package flow

import (
	"context"
	"slices"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// AppointmentFact is what a booking system said of an appointment. Its identifiers lead to the case once one of them
// has been booked for it: a cancellation often names nothing else.
type AppointmentFact struct {
	IDs    []string `json:"ids,omitempty"` // system and value of each
	Status string   `json:"status"`        // FHIR AppointmentStatus
	Start  string   `json:"start,omitempty"`
	By     string   `json:"by,omitempty"` // who cancelled: "pat", "prov" or ""
}

// systemAppointment begins the cross-reference system of appointment identifiers; the source ends it, since two
// hospitals may number alike.
const systemAppointment = "appointment:"

// systemCancellation says who cancelled an appointment.
const systemCancellation = "http://terminology.hl7.org/CodeSystem/appointment-cancellation-reason"

// Facts of the case about its appointment (pathway.Case.Channel).
const (
	bookedID    = "appointment"
	bookedStart = "appointment-start"
)

// appointment reads what the message is about, when that is an appointment.
func (f *Facts) appointment(b *fhir.Bundle, header fhir.Element) {
	a := b.Resolve(header.At("focus[0].reference").Text())
	if !a.OK() || a.Type().Name != "Appointment" {
		return
	}
	f.Kind = pathway.Referral // advice has no appointment
	f.Appointment = &AppointmentFact{Status: a.Child("status").Text(), Start: a.Child("start").Text(), By: coded(a.Child("cancelationReason"), systemCancellation)}
	for id := range a.Children("identifier") {
		if ref := refOf(id); ref.Value != "" && coded(id.Child("type"), "") != "PGN" { // a group's number is not one appointment's
			f.Appointment.IDs = append(f.Appointment.IDs, ref.System+" "+ref.Value)
		}
	}
	f.Refs = append(f.Refs, f.Appointment.refs(f.Source)...)
}

func (a *AppointmentFact) refs(source string) (out []Ref) {
	for _, id := range a.IDs {
		out = append(out, Ref{systemAppointment + source, id})
	}
	return out
}

// event says what happened to the appointment, in the words of the routing rules.
func (a *AppointmentFact) event() string {
	switch a.Status {
	case "booked":
		return BookedEvent
	case "cancelled", "entered-in-error":
		return Unbooked
	case "noshow":
		return NotAttended
	}
	return StatusOnly
}

// booked takes an appointment: the case's first, or a change of it, or another one. What the booking system has done is
// observed, never blocked.
func (d *decision) booked(ctx context.Context, t *Translated) error {
	a := t.Facts.Appointment
	if a != nil && d.c.State == pathway.Booked {
		other, err := d.rebooked(ctx, a, t.Source)
		if !other || err != nil {
			return err
		}
		d.restates = true
		return d.spread(ctx, t.Facts, t.Bundle)
	}
	e := pathway.BookedEvent
	if d.c.State == pathway.AwaitingTriage || d.c.State == pathway.InTriage {
		e = pathway.AcceptBookNow
	}
	if a != nil {
		d.when = a.Start
	}
	moved, err := d.fire(ctx, e)
	if err != nil || !moved {
		return err
	}
	if a != nil {
		d.remember(a, t.Source)
	}
	return d.spread(ctx, t.Facts, t.Bundle)
}

// remember keeps which appointment the case has, and how to find the case by it.
func (d *decision) remember(a *AppointmentFact, source string) {
	if len(a.IDs) > 0 {
		d.known(bookedID, a.IDs[len(a.IDs)-1]) // the filler's, where there is one
	}
	d.known(bookedStart, a.Start)
	d.refs = append(d.refs, a.refs(source)...)
}

// rebooked takes news of an appointment while the case has one, and tells whether it has another time now, which goes to
// where the booking went: when it has moved, the patient is owed N7. The state machine has no move for it, and none is
// invented.
func (d *decision) rebooked(ctx context.Context, a *AppointmentFact, source string) (bool, error) {
	d.refs = append(d.refs, a.refs(source)...)
	before := d.c.Channel[bookedStart]
	switch {
	case !d.same(a):
		d.tell("observed", "another appointment was booked", "")
	case before == a.Start || a.Start == "":
		d.tell("observed", "the appointment was changed, its time was not", "")
	default:
		d.known(bookedStart, a.Start)
		if before == "" {
			d.tell("observed", "the appointment has a time", "")
			return true, nil
		}
		d.tell("observed", "the appointment was moved", "")
		d.when = a.Start
		d.cancel("N7", "the appointment was moved again")
		return true, d.notice(ctx, d.c.Owe("N7-appointment-changed", d.at, d.p.calendar()))
	}
	return false, nil
}

// unbooked takes the end of the case's appointment: cancelled, or not attended (RA15, RA16). Whoever was to act before it
// was booked is to act again. Without a word on who cancelled it was the hospital, which has sent the message.
func (d *decision) unbooked(ctx context.Context, t *Translated) error {
	a, e, business := t.Facts.Appointment, pathway.CancelledProvider, "APPT_CANCELLED_BY_PROVIDER"
	switch {
	case t.Facts.Event == NotAttended:
		e, business = pathway.CancelledPatient, "DID_NOT_ATTEND"
	case a != nil && a.By == "pat" || t.Facts.Business == "APPT_CANCELLED_BY_PATIENT":
		e, business = pathway.CancelledPatient, "APPT_CANCELLED_BY_PATIENT"
	}
	if a != nil && !d.same(a) {
		d.tell("observed", "an appointment that is not the one of this case has ended: "+a.Status, "")
		return nil
	}
	moved, err := d.fire(ctx, e)
	if err != nil || !moved {
		return err
	}
	d.c.Business = business // RA16 has two
	delete(d.c.Channel, bookedID)
	delete(d.c.Channel, bookedStart)
	return d.spread(ctx, t.Facts, t.Bundle)
}

// same tells whether the message is about the appointment that the case has, as far as either says which.
func (d *decision) same(a *AppointmentFact) bool {
	known := d.c.Channel[bookedID]
	return known == "" || len(a.IDs) == 0 || slices.Contains(a.IDs, known)
}

// known keeps a fact about the case that a channel gave.
func (d *decision) known(name, value string) {
	if d.c.Channel == nil {
		d.c.Channel = map[string]string{}
	}
	if value != "" {
		d.c.Channel[name] = value
	}
}
