package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/dermgate/dermgate/adapters/ers"
	"github.com/dermgate/dermgate/gateway/api"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// acts carries out what a person decided about a delivery or a destination.
type acts struct{ a *app }

func (x acts) Act(ctx context.Context, act api.Act) error {
	if act.Translate {
		return issue.New(issue.UnsupportedType, "translate", "translating a delivery again is not done by this version: replay it, or send the message anew")
	}
	if act.Verb == "redirect" {
		if _, ok := x.a.workers[act.To]; !ok {
			return issue.New(issue.NotFound, "to", "no such destination")
		}
	}
	if act.Verb == "resolve" {
		return x.resolve(ctx, act)
	}
	err := x.a.store.Act(ctx, act.Act)
	x.a.pokeAll()
	return public(err)
}

// resolve records what a person found out about a create that nobody knew the end of, and lets the
// delivery go on from there: with the UBRN, or from before the create.
func (x acts) resolve(ctx context.Context, act api.Act) error {
	ds, err := x.a.store.Deliveries(ctx, flow.DeliveryQuery{ID: act.ID})
	if err != nil {
		return public(err)
	}
	if len(ds) == 0 {
		return issue.New(issue.NotFound, "delivery", "no such delivery")
	}
	step, ok := ers.Resolved(ds[0], act.UBRN, act.At)
	if !ok {
		return issue.New(issue.Conflict, "delivery", "nothing about this delivery is unknown, or it is no UBRN of 12 digits")
	}
	act.Step, act.Verb = &step, "replay"
	err = x.a.store.Act(ctx, act.Act)
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
