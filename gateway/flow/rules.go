package flow

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dermgate/dermgate/mapping/issue"
)

// The rules that every store shares, so that no two of them can differ.

// Check finds what would keep a change from being one commit: parts in different partitions, a slot
// without its message, references that lead to no case. All of these are faults of the caller.
func (c Change) Check() error {
	if c.Idem != nil && c.Message == nil {
		return errors.New("flow: an idempotency slot without its message")
	}
	if len(c.Refs) > 0 && c.Case == nil {
		return errors.New("flow: references without their case")
	}
	here := c.Partition()
	for _, p := range c.parts() {
		if p.id.Partition() != here {
			return fmt.Errorf("flow: the %s %s lives in partition %d, its change in %d", p.what, p.id, p.id.Partition(), here)
		}
	}
	return nil
}

// Partition that the remains lie in: all of them must.
func (r Remains) Partition() int {
	switch {
	case r.Case != nil:
		return r.Case.ID.Partition()
	case len(r.Messages) > 0:
		return r.Messages[0].ID.Partition()
	case len(r.Deliveries) > 0:
		return r.Deliveries[0].Partition()
	}
	return 0
}

// Check finds what would keep a removal from being one commit. It is a fault of the caller.
func (r Remains) Check() error {
	here := r.Partition()
	for _, m := range r.Messages {
		if m.ID.Partition() != here {
			return fmt.Errorf("flow: the message %s lives in partition %d, what is removed with it in %d", m.ID, m.ID.Partition(), here)
		}
	}
	for _, id := range r.Deliveries {
		if id.Partition() != here {
			return fmt.Errorf("flow: the delivery %s lives in partition %d, what is removed with it in %d", id, id.Partition(), here)
		}
	}
	return nil
}

type part struct {
	what string
	id   ID
}

func (c Change) parts() []part {
	var out []part
	if c.Message != nil {
		out = append(out, part{"message", c.Message.ID})
	}
	if c.Case != nil {
		out = append(out, part{"case", c.Case.Record.ID})
	}
	for _, d := range c.Deliveries {
		out = append(out, part{"delivery", d.ID})
	}
	return out
}

// Delay is how long after it is kept a delivery becomes due. Stores count it on their own clock, so that a
// gateway's clock that is wrong by an hour makes nothing late or early.
func (d Delivery) Delay() time.Duration {
	if d.Due.IsZero() || d.Created.IsZero() {
		return 0
	}
	return max(0, d.Due.Sub(d.Created))
}

// Internal tells work of the gateway itself: follow-ups and clocks.
func (d Delivery) Internal() bool { return strings.HasPrefix(d.To, "~") }

// Wanted tells whether a delivery answers a query (but for its Limit).
func (q DeliveryQuery) Wanted(d Delivery) bool {
	return (q.ID.IsZero() || q.ID == d.ID) && (q.Case.IsZero() || q.Case == d.Case) &&
		(q.State == "" || q.State == d.State) && (q.To == d.To || q.To == "" && (!d.Internal() || !q.ID.IsZero() || q.All && !q.Case.IsZero()))
}

// Wanted tells whether a case answers a query (but for its Limit). An organisation sees what it asked for
// and what it was asked.
func (q CaseQuery) Wanted(i CaseIndex) bool {
	return (q.Patient == "" || q.Patient == i.Patient) && (q.Kind == "" || q.Kind == i.Kind) &&
		(q.State == "" || q.State == i.State) && (!q.Open || !i.Ended) &&
		(q.Organisation == "" || q.Organisation == i.Organisation || q.Organisation == i.Performer)
}

// Check finds what would keep a settlement from being one commit with its change: the change must be of the
// delivery's own partition.
func (o Outcome) Check(d Delivery) error {
	if o.Change == nil {
		return nil
	}
	if err := o.Change.Check(); err != nil {
		return err
	}
	if there := o.Change.Partition(); there != d.ID.Partition() {
		return fmt.Errorf("flow: the delivery %s lives in partition %d, its change in %d", d.ID, d.ID.Partition(), there)
	}
	return nil
}

// State is what an attempt with this outcome makes of a delivery.
func (o Outcome) State() State {
	switch o.Result {
	case Delivered:
		return Done
	case Retry, Again:
		return Waiting
	}
	return Parked
}

// Settled gives the delivery as it is after an attempt, but for Due. Again is no attempt, and wipes the
// failed ones before it: what it waits for is reachable. An empty Note leaves the old one.
func (d Delivery) Settled(o Outcome) Delivery {
	d.State, d.Cause = o.State(), o.Cause
	if o.Result == Again {
		d.Attempt = 0
		if o.Note != "" {
			d.Note = o.Note
		}
	}
	return d
}

// Check finds what is missing from an act: every one has a person and a reason.
func (a Act) Check() error {
	switch {
	case a.Person == "":
		return issue.New(issue.Required, "person", "an act needs the person who decided it")
	case strings.TrimSpace(a.Reason) == "":
		return issue.New(issue.Required, "reason", "an act needs a reason")
	}
	switch a.Verb {
	case "pause", "resume", "redirect":
		if a.To == "" {
			return issue.New(issue.Required, "to", a.Verb+" needs a destination")
		}
	case "replay", "discard", "resolve":
	default:
		return issue.New(issue.Code, "verb", "an act is one of replay, discard, resolve, redirect, pause, resume")
	}
	return nil
}

// Acted gives the delivery as it is after an act on it, but for Due. Only a parked delivery can be acted
// on; a waiting one can be discarded, since some wait for what will never come back. A replay starts to
// count attempts afresh, and keeps the steps that were done, with the one that the person found out.
func (d Delivery) Acted(a Act) (Delivery, error) {
	if d.State != Parked && !(d.State == Waiting && a.Verb == "discard") {
		return d, issue.New(issue.Conflict, "delivery", "it is "+string(d.State)+": "+a.Verb+" is for a parked delivery")
	}
	if a.Child != nil {
		if a.Child.ID.Partition() != d.ID.Partition() {
			return d, fmt.Errorf("flow: the delivery %s lives in partition %d, what is sent in its place in %d", d.ID, d.ID.Partition(), a.Child.ID.Partition())
		}
		d.State = Discarded
		return d, nil
	}
	switch a.Verb {
	case "discard":
		d.State = Discarded
	case "resolve":
		d.State = Done
	case "redirect":
		d.To, d.State, d.Attempt = a.To, Waiting, 0
	default:
		d.State, d.Attempt = Waiting, 0
		if a.Step != nil {
			d.Steps = d.WithStep(*a.Step)
		}
	}
	return d, nil
}

// WithStep gives the steps of a delivery and one more, which takes the place of one of the same name.
func (d Delivery) WithStep(s Step) []Step {
	out := make([]Step, 0, len(d.Steps)+1)
	for _, old := range d.Steps {
		if old.Name != s.Name {
			out = append(out, old)
		}
	}
	return append(out, s)
}

// Event is the line that an act leaves in the story of the delivery's case.
func (a Act) Event() Event {
	text := a.Verb + " by " + a.Person + ": " + a.Reason
	if a.Verb == "redirect" {
		text = a.Verb + " to " + a.To + " by " + a.Person + ": " + a.Reason
	}
	if a.Child != nil {
		text += "; " + a.Child.ID.String() + " is sent in its place"
	}
	return Event{At: a.At, What: "act", Text: text, Ref: a.ID.String()}
}
