package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// What a hospital tells of a patient's record concerns the open cases of that patient: a merge stops them (merge.go), an
// update (ADT^A08, A31) is told in their story. A request stays what its requester sent: no record changes it, and the
// gateway is no patient index. But nobody writes to a patient who has died, and a person looks where it may be another one.

// Updated is the event of a message that updates a patient's record.
const Updated = "updated"

// updatesRecord tells a Bundle that does, by its trigger.
func updatesRecord(b *fhir.Bundle) bool {
	display := b.First("MessageHeader").At("eventCoding.display").Text()
	return strings.HasPrefix(display, "ADT^A08") || strings.HasPrefix(display, "ADT^A31")
}

// ofRecord makes the change for news of patient records: the message, and a work item for every open case of a patient in
// it. One about nobody here is kept and asks for nothing.
func (p *Pipeline) ofRecord(ctx context.Context, t *Translated) (Change, error) {
	part := t.Idem.Partition()
	messageID := NewID(part, "message", t.Idem.Key)
	cases, err := p.casesOf(ctx, t.Bundle)
	if err != nil {
		return Change{}, err
	}
	c := Change{}
	for _, r := range cases {
		c.Deliveries = append(c.Deliveries, Delivery{ID: NewID(part, "work", t.Idem.Key, r.ID.String()), Case: r.ID, Message: messageID, To: ToCase,
			Lane: r.ID.String(), Class: ClassUrgent, Key: messageID.String() + " " + r.ID.String(), What: t.Facts.Event, State: Waiting, Due: t.At, Created: t.At})
	}
	return p.withMessage(ctx, c, t, messageID)
}

// casesOf gives the open cases of all patients in a Bundle, each once: by NHS number, and by the local numbers that their
// requests had.
func (p *Pipeline) casesOf(ctx context.Context, b *fhir.Bundle) ([]CaseRecord, error) {
	var out []CaseRecord
	add := func(r CaseRecord) {
		if !r.Index.Ended && !slices.ContainsFunc(out, func(o CaseRecord) bool { return o.ID == r.ID }) {
			out = append(out, r)
		}
	}
	for patient := range b.All("Patient") {
		if key := p.PatientKey(nhsNumber(patient)); key != "" {
			found, err := p.Store.Cases(ctx, CaseQuery{Patient: key, Open: true, Limit: 1000})
			if err != nil {
				return nil, fmt.Errorf("cases of a record: %w", err)
			}
			for _, r := range found {
				add(r)
			}
		}
		for _, ref := range p.patientRefs(patient) {
			ids, err := p.Store.Find(ctx, ref)
			if err != nil {
				return nil, fmt.Errorf("cases of a record: %w", err)
			}
			for _, id := range ids {
				r, err := p.Store.Case(ctx, id)
				if errors.Is(err, ErrNotFound) {
					continue
				}
				if err != nil {
					return nil, fmt.Errorf("cases of a record: %w", err)
				}
				add(r)
			}
		}
	}
	return out, nil
}

// systemPatient is the cross-reference system of local patient numbers, which lead to their cases as keyed hashes.
const systemPatient = "patient"

// patientRefs gives the cross-references of a patient's local numbers: those with an authority. A number of a visit or an
// account is none of a patient.
func (p *Pipeline) patientRefs(patient fhir.Element) (out []Ref) {
	for id := range patient.Children("identifier") {
		system, value := id.Child("system").Text(), id.Child("value").Text()
		if system == "" || value == "" || system == fhir.SystemNHSNumber || slices.Contains([]string{"AN", "VN"}, coded(id.Child("type"), "")) {
			continue
		}
		out = append(out, Ref{systemPatient, p.PatientKey(system + "\x1f" + value)})
	}
	return out
}

// updated takes an update of the patient's record.
func (d *decision) updated(ctx context.Context, t *Translated) error {
	record := t.Bundle.First("Patient")
	if key := d.p.PatientKey(nhsNumber(record)); key != "" && d.c.Request.Patient != "" && key != d.c.Request.Patient {
		d.task("patient-changed", "a record with a local number of its patient has another NHS number: make sure whose case it is")
		return nil
	}
	request, err := d.loadRequest(ctx)
	if err != nil {
		return err
	}
	differs, gone := compared(request.First("Patient"), record)
	if len(differs)+len(gone) > 0 {
		d.tell("observed", "the patient's record was updated; it differs from the request in: "+strings.Join(append(differs, gone...), ", "), d.why.String())
	}
	if identity := slices.DeleteFunc(differs, func(name string) bool { return !slices.Contains([]string{"name", "gender", "birthDate"}, name) }); len(identity) > 0 {
		d.task("patient-changed", "the patient's record has another "+strings.Join(identity, ", ")+" than the request: make sure whose case it is")
	}
	d.death(record, "the patient's record")
	d.learn(record)
	if d.c.Died && record.Child("deceasedBoolean").Text() == "false" {
		d.c.Died = false
		d.tell("observed", "the patient's record says that they live", d.why.String())
	}
	return nil
}

// death takes from a message that its patient has died: the request, an answer, or the record. That they live only the record
// says: many senders fill PID-30 with N from a template.
func (d *decision) death(patient fhir.Element, says string) {
	if d.c.Died || !died(patient) {
		return
	}
	d.c.Died = true
	d.task("patient-died", says+" says that they have died: nothing is sent to them; see what becomes of the case")
}

// compared names the elements in which an update differs from what is known of a patient, and those that it deletes. What it
// does not mention has not changed; numbers it has are not told, since each sender has its own.
func compared(known, update fhir.Element) (differs, deleted []string) {
	for c := range update.Children("") {
		name := c.Name()
		switch {
		case slices.Contains([]string{"id", "meta", "identifier", "extension", "link", "managingOrganization", "generalPractitioner"}, name) || slices.Contains(append(differs, deleted...), name):
		case absent(c):
			deleted = append(deleted, name+" (deleted)")
		case !mentions(known, c):
			differs = append(differs, name)
		}
	}
	return differs, deleted
}

// absent tells an element that stands without a value, which deletes (0022).
func absent(e fhir.Element) bool {
	for x := range e.Children("extension") {
		if x.Child("url").Text() == "http://hl7.org/fhir/StructureDefinition/data-absent-reason" {
			return true
		}
	}
	return false
}

// mentions tells whether a patient has an element of the same texts.
func mentions(known, e fhir.Element) bool {
	want := texts(e, nil)
	for c := range known.Children(e.Name()) {
		if slices.Equal(texts(c, nil), want) {
			return true
		}
	}
	return false
}

// texts gives the values inside an element.
func texts(e fhir.Element, out []string) []string {
	out = append(out, e.Text())
	for c := range e.Children("") {
		if c.Name() != "extension" && c.Name() != "id" {
			out = texts(c, append(out, c.Name()))
		}
	}
	return out
}

// died tells a patient who has.
func died(patient fhir.Element) bool {
	return patient.Child("deceasedBoolean").Text() == "true" || patient.Child("deceasedDateTime").Text() != ""
}
