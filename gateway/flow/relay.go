package flow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Decision is a person's act about a request that its channel has, to be relayed there.
type Decision struct {
	What   string // RelayAnswer, RelayTriage, RelayCancel
	Act    Relayed
	Person string // verified identity
	Reason string // why; not clinical
	Token  string // their CIS2 ID token; empty: it is held until a user signs in
	Key    string // idempotency key of the act
}

// agreeTask is the code of the task of a case in which an act waits for the referrer's agreement.
const agreeTask = "agree"

// relayID is that of the delivery of an act: pressed twice, it is one.
func relayID(id ID, key string) ID { return NewID(id.Partition(), id.String(), "relay", key) }

// Relayed gives the delivery of an act that was taken under a key before; ErrNotFound where none was.
func (p *Pipeline) Relayed(ctx context.Context, id ID, key string) (Delivery, error) {
	ds, err := p.Store.Deliveries(ctx, DeliveryQuery{ID: relayID(id, key)})
	if err == nil && len(ds) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Delivery{}, err
	}
	return ds[0], nil
}

// Relay takes a person's act and has it sent to the channel as theirs. The case moves when the channel shows what came of
// it, as after any act that is done there. Pressed twice, it acts once; other words under the same key are refused, and so is
// a second act while one is on its way.
func (p *Pipeline) Relay(ctx context.Context, id ID, r Decision) error {
	if err := r.Act.Check(r.What); err != nil {
		return err
	}
	body, err := json.Marshal(r.Act)
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	return p.releasing(ctx, id, r.Person, r.Reason, func(d *decision) (bool, error) {
		before, err := p.Relayed(ctx, id, r.Key)
		if errors.Is(err, ErrNotFound) {
			return true, d.relay(ctx, r, body)
		}
		if err == nil {
			err = p.sameAct(ctx, before, r, body)
		}
		return false, err
	})
}

// sameAct refuses other words under a key that was used before.
func (p *Pipeline) sameAct(ctx context.Context, before Delivery, r Decision, body []byte) error {
	was, err := p.Content(ctx, before)
	if err != nil {
		return err
	}
	if before.What != r.What || !bytes.Equal(was, body) {
		return issue.New(issue.Conflict, "Idempotency-Key", "another act was taken under this key")
	}
	return nil
}

func (d *decision) relay(ctx context.Context, r Decision, body []byte) error {
	e, err := d.relayTo(r.What)
	if err != nil {
		return err
	}
	if err := d.oneAtATime(ctx, e.Name, r); err != nil {
		return err
	}
	if r.Token != "" && e.ForUser && d.p.SignedIn != nil {
		d.p.SignedIn(e.Name, d.id(), r.Token)
		d.c.SignedIn = d.at
	}
	said := r.Act.Outcome + r.Act.Reason
	if r.Act.Priority != "" {
		said += ", priority " + r.Act.Priority
	}
	if err := d.deliver(ctx, e, outgoing{what: r.What, key: relayID(d.id(), r.Key).String(), body: whole(body), mediaType: "application/json", note: d.c.Channel["ubrn"]}); err != nil {
		return err
	}
	sent := &d.out[len(d.out)-1]
	sent.ID = relayID(d.id(), r.Key)
	d.tell("act", r.What+" "+said+" by "+r.Person+": "+r.Reason, sent.ID.String())
	return nil
}

// relayTo gives the destination that relays an act about the case, or says why there is none.
func (d *decision) relayTo(what string) (Endpoint, error) {
	rules := d.p.Sources[d.c.Request.Source]
	refuse := func(text string) (Endpoint, error) { return Endpoint{}, issue.New(issue.Conflict, "case", text) }
	switch {
	case d.c.Channel["ubrn"] == "":
		return refuse("its request is not in e-RS")
	case d.c.Stopped != "":
		return refuse("it is stopped (" + d.c.Stopped + "): first whose case it is")
	case d.p.Machines[d.c.Kind].Ended(d.c.State):
		return refuse("it has ended")
	case (what == RelayAnswer) != (d.c.Kind == pathway.Advice):
		return refuse("advice is answered, and a referral is triaged or cancelled: this is " + string(d.c.Kind))
	}
	if rules.Found {
		if e, ok := d.p.endpoint(rules.Acts); ok {
			return e, nil
		}
		return refuse("its source relays no acts: it needs acts_as, or business_function with a user's token")
	}
	for _, name := range d.c.Sent {
		if e, ok := d.p.endpoint(name); ok && e.Kind == ToERS && what == RelayCancel {
			return e, nil
		}
	}
	return refuse("it was sent to e-RS by its referrer: who was asked answers there")
}

// oneAtATime refuses an act while another one of the case is on its way. It takes the place of one that was refused.
func (d *decision) oneAtATime(ctx context.Context, to string, r Decision) error {
	ds, err := d.p.Store.Deliveries(ctx, DeliveryQuery{Case: d.id(), To: to, Limit: 1000})
	if err != nil {
		return err
	}
	for _, del := range ds {
		switch {
		case !del.Relays() || !slices.Contains([]State{Waiting, Claimed, Parked}, del.State):
		case del.State == Parked && del.Cause != nil && del.Cause.Where != ForUser && del.Cause.Where != ForReferrer:
			err := d.p.Store.Act(ctx, Act{Verb: "discard", ID: del.ID, Person: r.Person, Reason: "decided anew: " + r.Reason, Key: r.Key + ":anew", At: d.at})
			if err != nil {
				return err
			}
		default:
			return issue.New(issue.Conflict, "case", "an act is on its way already: delivery "+del.ID.String()+" is "+string(del.State))
		}
	}
	return nil
}

// waitsForReferrer takes an act that its channel was not given, since it takes the priority of a suspected cancer from a
// request whose referrer has not agreed (CWT guidance): they are asked, and somebody hears of it.
func (d *decision) waitsForReferrer(del Delivery, cause *issue.Issue) {
	d.tell("held", del.What+" for "+del.To+": "+cause.Text, del.ID.String())
	if d.c.Task(agreeTask) != nil {
		return
	}
	d.ask(agreeTask, "the provider would lower the priority of a suspected cancer: agree (gateway agree), or say no to them")
	d.p.alarm("priority-lowered", "case "+d.c.ID+": the provider would lower the priority of a suspected cancer; it waits for the referrer")
}

// Agreement is a referrer's word that a priority may be lowered.
type Agreement struct {
	Person string // verified identity
	Reason string
	Key    string // idempotency key of the act
}

// Agree records that the referrer agrees to what waits for them, and lets it go. Pressed twice, it acts once.
func (p *Pipeline) Agree(ctx context.Context, id ID, a Agreement) error {
	ds, err := p.Store.Deliveries(ctx, DeliveryQuery{Case: id, State: Parked, Limit: 1000})
	if err != nil {
		return err
	}
	ds = slices.DeleteFunc(ds, func(d Delivery) bool { return d.Cause == nil || d.Cause.Where != ForReferrer })
	// That they agree is known before e-RS can show what they agreed to.
	err = p.releasing(ctx, id, a.Person, a.Reason, func(d *decision) (bool, error) {
		if d.c.Task(agreeTask) == nil || d.c.Agreed != "" {
			return false, nil
		}
		d.c.Agreed = a.Person
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, del := range ds {
		step := Step{Name: AgreedBy, At: p.Now(), Data: map[string]string{"by": a.Person, "why": a.Reason}}
		err := p.Store.Act(ctx, Act{Verb: "replay", ID: del.ID, Person: a.Person, Reason: a.Reason, Key: a.Key + ":" + del.ID.String(), At: p.Now(), Step: &step})
		if i := issue.From(err); err != nil && (errors.Is(err, ErrUnavailable) || i == nil || i.Kind != issue.Conflict) { // Conflict: it has moved on by itself
			return err
		}
		p.poke(del.To)
	}
	// The task is closed last, so that an act that was broken off is carried on when it is pressed again.
	return p.releasing(ctx, id, a.Person, a.Reason, func(d *decision) (bool, error) {
		if d.c.Task(agreeTask) == nil {
			return false, nil
		}
		d.tell("act", "the referrer agrees that the priority is lowered: "+a.Person+": "+a.Reason, "")
		d.c.FinishTasks(agreeTask, a.Person, d.at)
		return true, nil
	})
}

// relayFailed tells the provider of an act that its channel did not take.
func (d *decision) relayFailed(del Delivery, o *Outcome) {
	why := "what was decided is not in e-RS: " + causeText(o) + ". Decide anew, or do it there and discard delivery " + del.ID.String()
	d.c.AddTask(pathway.Task{Code: "act-refused", Owner: d.p.Owners.Provider, Why: why, Opened: d.at, Due: d.at.Add(urgentTask)})
	d.p.alarm("act-refused", "case "+d.c.ID+": e-RS did not take "+del.What)
}

func causeText(o *Outcome) string {
	if o.Cause == nil {
		return "refused"
	}
	return o.Cause.Error()
}

// notInERS asks the provider to bring to e-RS what their own system has answered about a request that was found there, since
// its referrer looks there: it carries nobody's sign-in, nor all that e-RS asks for. What e-RS itself shows ends that.
func (d *decision) notInERS(t *Translated) {
	const task = "answer-not-in-ers"
	finder := d.c.Request.Source
	if !d.p.Sources[finder].Found || !slices.Contains([]string{Answered, InfoRequested, Triaged, Ended}, t.Facts.Event) {
		return
	}
	if t.Source == finder {
		d.c.FinishTasks(task, finder, d.at)
		return
	}
	verb := map[pathway.Kind]string{pathway.Advice: "gateway answer"}[d.c.Kind]
	if verb == "" {
		verb = "gateway triage, gateway cancel"
	}
	why := t.Facts.Event + " by " + t.Source + " is not in e-RS: relay it there (" + verb + "), or write it there"
	d.c.AddTask(pathway.Task{Code: task, Owner: d.p.Owners.Provider, Why: why, Opened: d.at, Due: d.at.Add(urgentTask)})
	d.tell("task", why, "")
}
