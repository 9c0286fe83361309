package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/dermgate/dermgate/adapters/ers"
	"github.com/dermgate/dermgate/adapters/mesh"
	"github.com/dermgate/dermgate/gateway/api"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// acts carries out what a person decided about a delivery or a destination.
type acts struct{ a *app }

func (x acts) Act(ctx context.Context, act api.Act) error {
	if act.Verb == "resolve" {
		return x.resolve(ctx, act)
	}
	if act.Verb == "replay" && act.To != "" {
		act.Verb = "redirect"
	}
	if err := x.own(ctx, act); err != nil {
		return err
	}
	if act.Verb == "replay" || act.Verb == "redirect" {
		if err := x.prepare(ctx, &act); err != nil {
			return public(err)
		}
	}
	err := x.a.store.Act(ctx, act.Act)
	x.a.pokeAll()
	return public(err)
}

// own refuses what makes no sense for the gateway's own work: there is nothing in it to be sent elsewhere.
func (x acts) own(ctx context.Context, act api.Act) error {
	if act.ID.IsZero() {
		return nil
	}
	del, err := x.delivery(ctx, act.ID)
	switch {
	case err != nil && !errors.Is(err, flow.ErrNotFound):
		return public(err)
	case err != nil || !del.Internal(): // what is gone, the store speaks of
		return nil
	case act.To != "" || act.Translate || act.Content != "":
		return issue.New(issue.UnsupportedType, "delivery", "work of the gateway itself is replayed as it is, or discarded")
	case act.Verb == "discard" && del.To == flow.ToDigest:
		return issue.New(issue.UnsupportedType, "delivery", "without it nobody is told of answers that nobody reads: replay it")
	case act.Verb == "discard" && del.To == flow.ToPrune:
		return issue.New(issue.UnsupportedType, "delivery", "without it nothing old is removed any more: replay it")
	}
	return nil
}

// prepare gives an act its child, where the delivery is not sent as it is. One that was carried out before needs none:
// the store knows it by its key.
func (x acts) prepare(ctx context.Context, act *api.Act) error {
	anew := act.Translate || act.Content != ""
	if !anew && act.To == "" {
		return nil
	}
	del, err := x.delivery(ctx, act.ID)
	if err != nil {
		return err
	}
	if !anew {
		return x.a.pipeline.Same(del.To, act.To)
	}
	if del.State != flow.Parked {
		return nil // the store says what is wrong with it, or that it was done
	}
	child, refs, err := x.anew(ctx, del, *act)
	if err == nil {
		act.Child, act.Refs = &child, refs
	}
	return err
}

// anew makes what is sent in the place of a delivery.
func (x acts) anew(ctx context.Context, del flow.Delivery, act api.Act) (flow.Delivery, []flow.Ref, error) {
	if _, unknown := resolved(del, "", x.a.now()); unknown {
		return flow.Delivery{}, nil, issue.New(issue.Conflict, "delivery", "nobody knows whether it was created: resolve it first")
	}
	a := flow.Anew{To: act.To, Key: act.Key}
	if act.Content != "" {
		a.Content = []byte(act.Content)
	}
	return x.a.pipeline.Anew(ctx, del, a)
}

func (x acts) delivery(ctx context.Context, id flow.ID) (flow.Delivery, error) {
	ds, err := x.a.store.Deliveries(ctx, flow.DeliveryQuery{ID: id})
	if err != nil {
		return flow.Delivery{}, err
	}
	if len(ds) == 0 {
		return flow.Delivery{}, flow.ErrNotFound
	}
	return ds[0], nil
}

// Preview says what an act would do.
func (x acts) Preview(ctx context.Context, act api.Act) (api.Preview, error) {
	del, err := x.delivery(ctx, act.ID)
	if err != nil {
		return api.Preview{}, public(err)
	}
	if _, err := del.Acted(flow.Act{Verb: act.Verb, To: act.To}); err != nil {
		return api.Preview{}, err
	}
	if err := x.own(ctx, act); err != nil {
		return api.Preview{}, err
	}
	p := api.Preview{Verb: act.Verb, To: cmp.Or(act.To, del.To), Cause: del.Cause}
	if p.Behind, err = x.behind(ctx, del); err != nil {
		return p, public(err)
	}
	if act.Verb == "discard" {
		p.To, p.Repeat = "", "nothing is sent"
		return p, nil
	}
	send := del
	if act.Translate || act.Content != "" {
		if send, _, err = x.anew(ctx, del, act); err != nil {
			return p, public(err)
		}
	} else if err := x.a.pipeline.Same(del.To, p.To); err != nil {
		return p, err
	}
	p.Key, p.SHA256, p.Bytes, p.Parts, p.Maps = send.Key, send.Body.SHA256, send.Body.Size, len(send.Parts), send.Maps
	p.Same = send.ID == del.ID
	for _, s := range send.Steps {
		p.Steps = append(p.Steps, s.Name)
	}
	switch {
	case del.Internal():
		p.Repeat = "it is work of the gateway itself: what was done is not done again"
	case p.Same:
		p.Repeat = "what has it already knows it again by its key"
	default:
		p.Repeat = "a new key: whoever has the first already holds both"
	}
	return p, nil
}

// behind counts what else of the case is on its way to the destination.
func (x acts) behind(ctx context.Context, del flow.Delivery) (n int, err error) {
	if del.Case.IsZero() {
		return 0, nil
	}
	ds, err := x.a.store.Deliveries(ctx, flow.DeliveryQuery{Case: del.Case, To: del.To, Limit: 1000})
	for _, d := range ds {
		if d.ID != del.ID && d.Lane == del.Lane && (d.State == flow.Waiting || d.State == flow.Parked) {
			n++
		}
	}
	return n, err
}

// Content gives what a delivery sends.
func (x acts) Content(ctx context.Context, id flow.ID) ([]byte, string, error) {
	del, err := x.delivery(ctx, id)
	if err != nil {
		return nil, "", public(err)
	}
	b, err := x.a.pipeline.Content(ctx, del)
	return b, del.Body.Type, err
}

// resolve records what a person found out about a create that nobody knew the end of, and lets the
// delivery go on from there: with the UBRN, or from before the create.
func (x acts) resolve(ctx context.Context, act api.Act) error {
	del, err := x.delivery(ctx, act.ID)
	if err != nil {
		return public(err)
	}
	if !act.Case.IsZero() {
		return x.link(ctx, del, act)
	}
	step, ok := resolved(del, act.UBRN, act.At)
	if !ok {
		return issue.New(issue.Conflict, "delivery", "nothing about this delivery is unknown, or it is no UBRN of 12 digits")
	}
	act.Step, act.Verb = &step, "replay"
	err = x.a.store.Act(ctx, act.Act)
	x.a.pokeAll()
	return public(err)
}

// resolved gives the step that records what a person found out about a delivery that was cut off.
func resolved(del flow.Delivery, ubrn string, at time.Time) (flow.Step, bool) {
	if step, ok := ers.Resolved(del, ubrn, at); ok {
		return step, true
	}
	if ubrn != "" {
		return flow.Step{}, false
	}
	return mesh.NotSent(del, at)
}

// link says whose a held answer is: it is then applied to that case.
func (x acts) link(ctx context.Context, del flow.Delivery, act api.Act) error {
	if del.To != flow.ToCase || !del.Case.IsZero() {
		return issue.New(issue.Conflict, "delivery", "it is no answer that is held: it knows its case")
	}
	if _, err := x.a.store.Case(ctx, act.Case); err != nil {
		if errors.Is(err, flow.ErrNotFound) {
			return issue.New(issue.NotFound, "case", "no such case").Because(err)
		}
		return public(err)
	}
	act.Step = &flow.Step{Name: flow.LinkedTo, At: act.At, Data: map[string]string{"case": act.Case.String(), "by": act.Person, "why": act.Reason}}
	act.Verb = "replay"
	err := x.a.store.Act(ctx, act.Act)
	x.a.pokeAll()
	return public(err)
}

func (a *app) pokeAll() {
	for _, w := range a.workers {
		w.Poke()
	}
}

// public gives the errors of the store their faces.
func public(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, flow.ErrNotFound):
		return issue.New(issue.NotFound, "", "no such delivery").Because(err)
	case errors.Is(err, flow.ErrUnavailable):
		return issue.New(issue.Unavailable, "", "the store is unavailable").Because(err)
	}
	return err
}

// explainer translates a kept message again and says where each element comes from.
type explainer struct{ p *flow.Pipeline }

func (e explainer) Explain(ctx context.Context, m flow.Message) ([]byte, error) {
	trace, err := e.p.Explain(ctx, m)
	if err != nil {
		return nil, err
	}
	return json.Marshal(trace)
}
