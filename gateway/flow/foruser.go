package flow

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Some of what a request needs is taken from a user alone who has signed in (NHS e-RS: nearly every write). Their sign-in
// comes beside the request, or a signed-in referrer releases what waits for one. What waits is held: parked, never sent
// another way, with a task for who asked, and an alarm when it has waited too long.

// signInTask is the code of the task of a case that is held for a user.
const signInTask = "sign-in"

// SignIn is a referrer's word that lets go of what is held for a user.
type SignIn struct {
	Person string // verified identity
	Reason string
	Token  string // CIS2 ID token
	Key    string // idempotency key of the act
}

// errNoSignIn refuses to release for nobody what is held for a user.
func errNoSignIn() error {
	return issue.New(issue.Required, ForUser, "it is held for a user: hand in the CIS2 ID token of a referrer who has signed in")
}

// signedIn hands the sign-in that came with a request to the destinations that need one, before anything is claimed.
func (d *decision) signedIn(t *Translated) {
	if t.Subject.Token == "" {
		return
	}
	for _, e := range d.p.route(t.Facts) {
		if e.ForUser && d.p.SignedIn != nil {
			d.p.SignedIn(e.Name, d.id(), t.Subject.Token)
			d.c.SignedIn = d.at
		}
	}
}

// signInStep tells a delivery to a destination that needs one that a user has signed in for its case.
func (d *decision) signInStep(e Endpoint) []Step {
	if !e.ForUser || d.c.SignedIn.IsZero() {
		return nil
	}
	return []Step{{Name: SignedIn, At: d.c.SignedIn}}
}

// held takes what a destination did not take because no user has signed in: nothing was refused, and nothing was sent. The
// requester is asked to sign in; a clock rings when they have not by the limit of what is held.
func (d *decision) held(del Delivery, cause *issue.Issue) error {
	d.tell("held", del.What+" for "+del.To+": "+cause.Text, del.ID.String())
	if d.c.Task(signInTask) != nil {
		return nil
	}
	if del.Relays() && d.p.Sources[d.c.Request.Source].Found {
		span, _ := d.p.Timers.Limit(&pathway.Case{State: pathway.Held, Urgency: d.c.Urgency})
		why := "who decided it must sign in and release what " + del.To + " takes from a user alone, or do it in their own e-RS session"
		d.c.AddTask(pathway.Task{Code: signInTask, Owner: d.p.Owners.Provider, Why: why, Opened: d.at, Due: d.after(span)})
	} else {
		d.ask(signInTask, "a signed-in referrer must release what "+del.To+" takes from a user alone, or do it in their own e-RS session")
	}
	task := d.c.Task(signInTask)
	return d.wind(clockNote{Task: task.ID}, task.Due, "sign-in clock", task.ID)
}

// ringHeld tells that a case has waited for a user for too long; false when it waits no more.
func (d *decision) ringHeld(task string) bool {
	asked := d.c.Task(signInTask)
	if asked == nil || asked.ID != task {
		return false
	}
	d.c.AddTask(pathway.Task{Code: "held", Owner: d.p.Owners.Operations, Why: "held for a user beyond its limit", Opened: d.at, Due: d.at.Add(urgentTask)})
	d.tell("overdue", "held for a user: "+asked.Owner+" was asked to sign in, now operations are told", "")
	what := "a request"
	if d.c.Suspected() {
		what = "a suspected cancer"
	}
	d.p.alarm("held", "case "+d.c.ID+": "+what+" is held for a user beyond its limit")
	return true
}

// waitsForUser gives what is held for a user of a case.
func (p *Pipeline) waitsForUser(ctx context.Context, id ID) ([]Delivery, error) {
	all, err := p.Store.Deliveries(ctx, DeliveryQuery{Case: id, State: Parked, Limit: 1000})
	return slices.DeleteFunc(all, func(d Delivery) bool { return !d.Held() }), err
}

// ReleaseSignedIn lets go of all that a case holds, for a referrer who has signed in: what is held for a user is sent as
// them, and what Release lets go. Pressed twice, it acts once.
func (p *Pipeline) ReleaseSignedIn(ctx context.Context, id ID, s SignIn) error {
	if s.Token == "" {
		return errNoSignIn()
	}
	act := func(d *decision) (bool, error) {
		if err := mayRelease(d.c); err != nil {
			return false, err
		}
		d.c.SignedIn = d.at
		released, err := d.release(ctx, s.Person)
		if err != nil || !released && d.c.Task(signInTask) == nil {
			return false, err
		}
		for _, e := range p.Endpoints {
			if e.ForUser && p.SignedIn != nil {
				p.SignedIn(e.Name, id, s.Token)
			}
		}
		return true, nil
	}
	// What the case sends anew by its release knows of the sign-in by the case; what is parked by a step of its own. The task
	// is closed last, so that an act that was broken off is carried on when it is pressed again.
	if err := p.releasing(ctx, id, s.Person, s.Reason, act); err != nil {
		return err
	}
	if err := p.replayHeld(ctx, id, s); err != nil {
		return err
	}
	return p.releasing(ctx, id, s.Person, s.Reason, func(d *decision) (bool, error) {
		if d.c.Task(signInTask) == nil {
			return false, nil
		}
		d.tell("act", "sent on as the user who has signed in, by "+s.Person, "")
		d.userActed(s.Person)
		if d.c.State == pathway.Submitted { // its own clock kept silent meanwhile
			span, _ := p.Timers.Limit(d.c)
			return true, d.wind(clockNote{State: d.c.State, Move: d.c.Moves}, d.after(span), "clock after sign-in", d.at.UTC().Format(time.RFC3339Nano))
		}
		return true, nil
	})
}

// userActed ends the wait for a user: a step that somebody took by hand.
func (d *decision) userActed(person string) {
	if d.c.Task(signInTask) == nil {
		return
	}
	d.c.FinishTasks(signInTask, person, d.at)
	d.c.FinishTasks("held", person, d.at)
	d.c.Did(pathway.ActSignIn)
}

func (p *Pipeline) replayHeld(ctx context.Context, id ID, s SignIn) error {
	waiting, err := p.waitsForUser(ctx, id)
	if err != nil {
		return err
	}
	for _, del := range waiting {
		err := p.Store.Act(ctx, Act{Verb: "replay", ID: del.ID, Person: s.Person, Reason: s.Reason, Key: s.Key + ":" + del.ID.String(), At: p.Now(),
			Step: &Step{Name: SignedIn, At: p.Now()}})
		if i := issue.From(err); err != nil && (errors.Is(err, ErrUnavailable) || i == nil || i.Kind != issue.Conflict) { // Conflict: it has moved on by itself
			return err
		}
		p.poke(del.To)
	}
	return nil
}
