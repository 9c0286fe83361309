package flow

import (
	"context"
	"slices"

	"github.com/dermgate/dermgate/gateway/pathway"
)

// PatientRecord is what a destination is told of who a patient is, before anything about them.
const PatientRecord = "patient-record"

// introduce tells a destination that wants it who the patient is: a delivery of its own in the case's lane, before the first
// message about the case. When it is refused, what follows waits for a person, as behind anything that is parked.
func (d *decision) introduce(ctx context.Context, e Endpoint, n telling) error {
	if e.First == "" || n.what == PatientRecord || slices.Contains(d.c.Introduced, e.Name) {
		return nil
	}
	var err error
	if d.record, err = d.recordFor(ctx, e); err != nil {
		return err
	}
	d.c.Introduced = append(d.c.Introduced, e.Name)
	return d.sendTold(ctx, e, telling{what: PatientRecord})
}

// recordFor gives the HL7 v2 message that tells a destination who a patient is: A31, an update, where it has taken their record
// from a case before, else the one that adds it.
func (d *decision) recordFor(ctx context.Context, e Endpoint) (string, error) {
	if slices.Contains(d.c.Recorded, e.Name) {
		return updateRecord, nil
	}
	if d.c.Request.Patient == "" {
		return e.First, nil
	}
	others, err := d.p.Store.Find(ctx, recordedAt(e.Name, d.c))
	if err != nil {
		return "", err
	}
	if len(others) > 0 {
		return updateRecord, nil
	}
	return e.First, nil
}

// recordedAt leads from a patient to the cases from which a destination has taken their record.
func recordedAt(name string, c *pathway.Case) Ref { return Ref{"recorded:" + name, c.Request.Patient} }

// updateRecord updates the record of a person (HL7 v2.4 §3.3.31).
const updateRecord = "ADT_A31"
