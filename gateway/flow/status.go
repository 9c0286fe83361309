package flow

import "context"

// tellStatus answers a question about the case (REF^I15) with where it stands and what became of it, under what
// the question itself is known by. The case does not move.
func (d *decision) tellStatus(ctx context.Context, t *Translated) error {
	d.question = t
	defer func() { d.question = nil }()
	return d.spread(ctx, t.Facts, nil)
}
