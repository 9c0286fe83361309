package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dermgate/dermgate/adapters/ers"
	"github.com/dermgate/dermgate/adapters/nhsauth"
	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/flow"
)

// Destinations of the work of a source that finds requests in e-RS: looking at its worklists, and taking what is found. A
// third one watches what was taken (pollOf).
func listOf(source string) string  { return source + "~list" }
func foundOf(source string) string { return source + "~found" }

// actsOf names the destination that relays what people decide about what a source found.
func actsOf(source string) string { return source + "~acts" }

// ersClient is how a source reaches e-RS: an application without the headers of a user, or a user with them.
func (a *app) ersClient(s config.Source) (ers.Client, error) {
	d := asDestination(s) // its calls are paced and limited as those of one
	client, err := a.httpClient(d)
	if err != nil {
		return ers.Client{}, err
	}
	return ers.Client{Base: s.BaseURL, Token: a.token(s.Auth, client), Application: s.BusinessFunction == "", ODS: s.Organisation,
		BusinessFunction: s.BusinessFunction, OnBehalfOf: s.OnBehalfOf, HTTP: a.paced(d, client)}, nil
}

func asDestination(s config.Source) config.Destination {
	return config.Destination{Name: s.Name, Kind: config.ERS, BaseURL: s.BaseURL, Auth: s.Auth, TLS: s.Client, Rate: s.Rate, Timeout: 30 * time.Second,
		Retry: config.Retry{First: time.Second, Longest: 5 * time.Minute}, Probe: time.Minute, WhenParked: config.WhenParkedStop}
}

// openWorklist makes the three workers of a source that finds its requests in e-RS.
func (a *app) openWorklist(s config.Source) error {
	c, err := a.ersClient(s)
	if err != nil {
		return err
	}
	zone, b := a.cfg.Site.Timezone, bodies{a.photos}
	list := &ers.Worklist{Client: c, Name: s.Name, To: listOf(s.Name), Take: foundOf(s.Name), Services: s.Services, Lists: s.Lists, Next: nextLook(s, zone),
		Queue: a.store, Alarm: a.alarms.event, Zone: zone, Now: a.now, Log: a.log, Replay: a.replayParked}
	taker := &ers.Taker{Files: ers.Files{Client: c, Put: b.Put, Open: b.Open, Most: a.cfg.Limits.PhotoBytes}, Name: s.Name, Organisation: s.Organisation,
		To: foundOf(s.Name), Poll: pollOf(s.Name), Every: s.Watch, Reference: &ers.Reference{Client: c, Now: a.now}, Calendar: a.cfg.Site.Calendar(), Cases: a.store, Queue: a.store,
		Accept: a.accept, Lift: a.lift(""), Now: a.now}
	a.lists, a.takers = append(a.lists, list), append(a.takers, taker)
	a.relayActs(s, c)
	d := asDestination(s)
	for name, w := range map[string]struct {
		dest     flow.Destination
		together int // in this process
	}{
		listOf(s.Name):  {list, 1},
		foundOf(s.Name): {taker, 4},
		pollOf(s.Name):  {&ers.Poller{Client: c, Name: s.Name, Every: s.Watch, Taker: taker, Now: a.now}, 2},
	} {
		d.Concurrency = w.together
		a.workers[name] = a.guarded(a.dispatcher(name, w.dest, d), d)
	}
	return nil
}

// relayActs makes the worker of people's acts (A026, A028, A036), each as its own user: the one whose token is configured, or who
// signs in with the act.
func (a *app) relayActs(s config.Source, c ers.Client) {
	as := actsAs(s)
	if as == "" {
		return
	}
	c.Application, c.ODS, c.BusinessFunction = false, s.Organisation, as
	b := bodies{a.photos}
	dest := &ers.Destination{Client: c, OpenBody: b.Open, OpenPart: b.Open, Reference: &ers.Reference{Now: a.now}, Now: a.now}
	e := flow.Endpoint{Name: actsOf(s.Name), Kind: flow.ToERS}
	if s.BusinessFunction == "" {
		users := &nhsauth.Sessions{Client: a.application(s.Auth, c.HTTP)}
		a.sessions[e.Name], dest.User, e.ForUser = users, users, true
	}
	a.pipeline.Endpoints = append(a.pipeline.Endpoints, e)
	d := asDestination(s)
	d.Concurrency = 2
	a.workers[e.Name] = a.guarded(a.dispatcher(e.Name, dest, d), d)
}

// actsAs gives the business function of the people whose acts a source relays; empty where it relays none.
func actsAs(s config.Source) string {
	if s.ActsAs == "" && strings.HasPrefix(s.BusinessFunction, config.ProviderClinician) { // a clinician's, or their admin's, own token
		return s.BusinessFunction
	}
	return s.ActsAs
}

// nextLook gives when worklists are read next: an application twice a day, a user's as often as configured.
func nextLook(s config.Source, zone *time.Location) func(time.Time) time.Time {
	if s.BusinessFunction != "" {
		return func(after time.Time) time.Time { return after.Add(s.Poll) }
	}
	return func(after time.Time) time.Time {
		var next time.Time
		day := after.In(zone)
		for _, add := range []int{0, 1} {
			for _, at := range s.At {
				t := time.Date(day.Year(), day.Month(), day.Day()+add, int(at.Hours()), int(at.Minutes())%60, 0, 0, zone)
				if t.After(after) && (next.IsZero() || t.Before(next)) {
					next = t
				}
			}
		}
		return next
	}
}

// replayParked lets a delivery that works for ever go on after it was parked.
func (a *app) replayParked(ctx context.Context, id flow.ID) error {
	ds, err := a.store.Deliveries(ctx, flow.DeliveryQuery{ID: id})
	if err == nil && len(ds) == 1 && ds[0].State == flow.Parked {
		err = a.store.Act(ctx, flow.Act{Verb: "replay", ID: id, Person: "gateway", Reason: "started again", At: a.now()})
	}
	if err != nil {
		return fmt.Errorf("worklist: %w", err)
	}
	return nil
}
