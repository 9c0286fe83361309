package flow

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/issue"
)

// stoppedEvery is how often a delivery of a stopped case looks whether it may go.
const stoppedEvery = 5 * time.Second

// Before is the dispatcher's hook: what became known since something was queued may keep it from going. Of a case that waits
// for a person's word (merge.go) it comes again later: what was told to nobody yet is not news for a patient either. A
// notice to a patient who has died since, or of whom it is known since that they are told another way, is parked; one that is not
// owed any more is passed over. Polls go on: what a channel says is observed.
func (p *Pipeline) Before(ctx context.Context, del *Delivery) (Outcome, error) {
	if del.Case.IsZero() || del.Internal() || del.What == "poll" || del.What == Acknowledgement {
		return Outcome{}, nil
	}
	if err := p.caseOf(ctx, del); errors.Is(err, ErrNotFound) {
		return Outcome{}, nil // of a store that has lost it, which its settlement will tell
	} else if err != nil {
		return Outcome{}, err
	}
	if del.Of.Index.State != string(pathway.Cancelled) && !slices.ContainsFunc(holdsBack, func(mark string) bool { return bytes.Contains(del.Of.State, []byte(mark)) }) { // most do not: no need to read all of the case
		return Outcome{}, nil
	}
	d, err := p.read(*del.Of)
	switch {
	case err != nil:
		return Outcome{}, err
	case d.c.Stopped != "":
		return Outcome{Result: Again, After: stoppedEvery}, nil
	case d.c.State == pathway.Cancelled && !del.notice():
		return Outcome{Result: Refused, Cause: issue.New(issue.Conflict, "", "its requester has withdrawn it before it was sent")}, nil
	case del.notice():
		return d.beforeNotice(del), nil
	}
	return Outcome{}, nil
}

// holdsBack are the marks in a case's state of what may keep something from going.
var holdsBack = []string{`"stopped":`, `"died":`, `"needs":`, `"` + pathway.NoticeCancelled + `"`, `"` + pathway.NoticeWaived + `"`}

// beforeNotice looks again at a notice that was queued. One that is not owed any more passes without being sent.
func (d *decision) beforeNotice(del *Delivery) Outcome {
	o := d.c.Obligation(del.Key)
	switch {
	case d.c.Died:
		return Outcome{Result: Refused, Cause: issue.New(issue.Denied, "", theyDied)}
	case o == nil:
		return Outcome{}
	case o.Status == pathway.NoticeCancelled || o.Status == pathway.NoticeWaived:
		return Outcome{Result: Delivered}
	case d.outgrown(o):
		return Outcome{Result: Refused, Cause: issue.New(issue.Denied, "", outgrown)}
	}
	return Outcome{}
}

// caseOf sees to it that a delivery's case is at hand.
func (p *Pipeline) caseOf(ctx context.Context, del *Delivery) error {
	if del.Of != nil {
		return nil
	}
	record, err := p.Store.Case(ctx, del.Case)
	if err == nil {
		del.Of = &record
	}
	return err
}

// notice tells what goes to the patient.
func (del Delivery) notice() bool { return strings.HasPrefix(del.What, "notice:") }
