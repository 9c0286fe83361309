package flow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dermgate/dermgate/mapping/issue"
)

// An answer that matches no case, several, or one of another patient is kept and acknowledged with a warning, and waits as
// a work item without a case: it may have overtaken what leads to its case, and else a person says whose it is.

// overtaken is how long an answer without a case is looked for one, before it is parked.
const overtaken = 5 * time.Minute

// LinkedTo is the Step by which a person says whose a held answer is: "case", "by", "why".
const LinkedTo = "linked-to"

// holds tells whether a message that finds no case is held. A requester's own word on a request that nobody knows is
// refused: who sent it can mend it. So are appointments: a hospital tells of those of all its patients.
func (p *Pipeline) holds(t *Translated, err error) bool {
	var trouble *issue.Issue
	if !errors.As(err, &trouble) || trouble.Kind != issue.NotFound && trouble.Kind != issue.Conflict {
		return false
	}
	rules := p.Sources[t.Source]
	if !rules.Answers || rules.Checks.Unmatched == Require || t.Facts.ofRequester() || t.Facts.Appointment != nil || t.Bundle == nil || t.Facts.Ack != nil || t.Facts.Notice != nil {
		return false
	}
	t.Issues = append(t.Issues, issue.Warn(trouble.Kind, trouble.Where, trouble.Text+": it is held until that is clear"))
	return true
}

// whose gives a held answer its case, or the outcome that leaves it without one.
func (p *Pipeline) whose(ctx context.Context, work *Delivery, t *Translated) (Outcome, error) {
	for _, s := range work.Steps {
		if s.Name == LinkedTo {
			id, err := ParseID(s.Data["case"])
			work.Case, work.Note = id, fmt.Sprintf("a held answer is this case's, by %s: %s", s.Data["by"], s.Data["why"])
			return Outcome{}, err
		}
	}
	id, err := p.find(ctx, t, func(string, string) {}) // it was told when it came
	var trouble *issue.Issue
	switch {
	case err == nil:
		work.Case = id
		return Outcome{}, nil
	case !errors.As(err, &trouble):
		return Outcome{}, err
	case trouble.Kind == issue.NotFound && p.Now().Sub(work.Created) < overtaken:
		return Outcome{Result: Retry, Cause: trouble}, nil
	}
	return Outcome{Result: Refused, Cause: trouble}, nil
}
