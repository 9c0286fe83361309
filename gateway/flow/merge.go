package flow

import (
	"context"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Two records of a patient become one (ADT^A34, A40) while a case of either is under way: the case is stopped, somebody is
// told, and a named person decides (pathway.md H1). Nothing of the case is merged, moved or sent meanwhile: which patient it
// is about was said by its requester, and no machine says otherwise.

// Merged is the event of a message that merges patient records.
const Merged = "merged"

// mergesRecords tells a Bundle that replaces a record of a patient by another.
func mergesRecords(b *fhir.Bundle) bool {
	for p := range b.All("Patient") {
		if replaced(p) {
			return true
		}
	}
	return false
}

func replaced(patient fhir.Element) bool {
	for l := range patient.Children("link") {
		if l.Child("type").Text() == "replaced-by" {
			return true
		}
	}
	return false
}

// stop holds all that the case would send until a person has decided.
func (d *decision) stop(t *Translated) {
	why := "its patient's record takes over another one"
	for patient := range t.Bundle.All("Patient") {
		if d.p.PatientKey(nhsNumber(patient)) == d.c.Request.Patient && replaced(patient) {
			why = "its patient's record is replaced by another one"
		}
	}
	d.c.Stopped = "merge"
	d.tell("stopped", "nothing leaves until a person has decided: "+why, d.why.String())
	d.task("merge", why+": make sure whose case it is, then release it with --merge, or give it up")
}

// ReleaseMerged lets a case go on that a merge has stopped: a named person has made sure whose it is. Pressed twice, it
// acts once.
func (p *Pipeline) ReleaseMerged(ctx context.Context, id ID, person, reason string) error {
	return p.releasing(ctx, id, person, reason, func(d *decision) (bool, error) {
		if d.c.Stopped == "" {
			return false, nil
		}
		d.c.Stopped = ""
		d.c.Did(pathway.ActRelease)
		d.c.FinishTasks("merge", person, d.at)
		d.tell("act", "released after a merge by "+person+": "+reason, "")
		return true, nil
	})
}

// mayRelease refuses to let anything of a stopped case go by the word on something else.
func mayRelease(c *pathway.Case) error {
	if c.Stopped == "" {
		return nil
	}
	return issue.New(issue.Conflict, "case", "patient records were merged: make sure whose case it is, and release it with merge first")
}
