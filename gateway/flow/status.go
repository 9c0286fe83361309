package flow

import (
	"context"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// tellStatus answers a question about the case (REF^I15) with where it stands and what became of it, under what
// the question itself is known by. The case does not move.
func (d *decision) tellStatus(ctx context.Context, t *Translated) error {
	d.question = t
	defer func() { d.question = nil }()
	return d.spread(ctx, t.Facts, nil)
}

// standing makes a Bundle about the case an answer to the question: its state, and the question's control id.
func (d *decision) standing(b *fhir.Bundle) error {
	id := d.question.Facts.ControlID
	b.Root.At("identifier.value").SetText(id)
	for p := range b.All("Provenance") {
		for e := range p.Children("entity") {
			if known := e.At("what.identifier"); known.Child("system").Text() == fhir.SystemControlID {
				known.Child("value").SetText(id)
			}
		}
	}
	return d.caseTask(b)
}
