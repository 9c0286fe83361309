package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/issue"
)

// alarms tell people what cannot wait for somebody to look: in the log always, by webhook where one is configured. What
// lasts (a destination down, an old delivery, a silent sender) opens once and closes once, however many replicas see it:
// they share a mark that is odd while it is open. What the webhook is to be told is a delivery, so that a webhook that is
// down or a gateway that dies loses none of it.
type alarms struct {
	a *app

	mu    sync.Mutex
	heard map[string]time.Time // last message by source, until the store knows
}

// alarm is what the webhook gets: no patient data, ids and configured names only.
type alarm struct {
	Name  string    `json:"name"`
	State string    `json:"state"` // "open", "closed", or "event" for what has no end
	Text  string    `json:"text"`
	At    time.Time `json:"at"`
}

// Kinds of marks.
const (
	markAlarm = "alarm" // by name: how often it was opened and closed
	markHeard = "heard" // by source: ms since 1970
)

func newAlarms(a *app) *alarms { return &alarms{a: a, heard: map[string]time.Time{}} }

// event tells something that happened. The same within an hour is the same: what is decided again tells it again.
func (w *alarms) event(name, text string) {
	al := alarm{Name: name, State: "event", Text: text, At: w.a.now()}
	w.log(al)
	go func() {
		if err := w.keep(context.Background(), al, text, al.At.UTC().Truncate(time.Hour).Format(time.RFC3339)); err != nil {
			w.a.log.Error("alarm could not be kept for the webhook", "name", name, "error", err)
		}
	}()
}

// down tells at once that a destination has stopped or begun again to answer; else the next look would.
func (w *alarms) down(ctx context.Context, to string, open bool) {
	marks, err := w.a.store.Marks(ctx, markAlarm)
	if err == nil {
		err = w.state(ctx, marks, downAlarm(to, open))
	}
	if err != nil {
		w.a.log.Warn("alarm waits for the next look", "to", to, "error", err)
	}
}

func downAlarm(to string, open bool) condition {
	return condition{"destination-down:" + to, open, "destination " + to + " does not answer: one delivery at a time tries"}
}

// condition is an alarm that lasts while it holds.
type condition struct {
	name string
	on   bool
	text string
}

// state opens or closes an alarm; what is so already says nothing. The webhook's delivery is kept before the mark: a
// replica that dies between leaves it to another, for whom it is the same delivery.
func (w *alarms) state(ctx context.Context, marks map[string]int64, c condition) error {
	n := marks[c.name]
	if n%2 == 1 == c.on {
		return nil
	}
	al := alarm{Name: c.name, State: "closed", Text: c.text, At: w.a.now()}
	if c.on {
		al.State = "open"
	}
	if err := w.keep(ctx, al, strconv.FormatInt(n+1, 10)); err != nil {
		return err
	}
	err := w.a.store.Mark(ctx, markAlarm, c.name, n, n+1)
	if errors.Is(err, flow.ErrStale) {
		return nil // another replica has told it
	}
	if err == nil {
		w.log(al)
	}
	return err
}

// calendar tells, in good time, that limits will be counted by bank holidays that nobody has looked up.
func (w *alarms) calendar(context.Context) ([]condition, error) {
	text, unsure := unproclaimed(w.a.cfg.Site, w.a.now())
	return []condition{{"bank-holidays", unsure, text}}, nil
}

// limitsReach is how far ahead limits are counted: 40 working days, and what lies between.
const limitsReach = 90 * 24 * time.Hour

// unproclaimed tells of the first year within the reach of a limit whose bank holidays follow by rule alone.
func unproclaimed(site config.Site, now time.Time) (text string, unsure bool) {
	year := max(pathway.Proclaimed+1, now.Year())
	unsure = now.Add(limitsReach).Year() > pathway.Proclaimed
	for _, days := range [][]string{site.BankHolidays.Also, site.BankHolidays.Not} {
		for _, day := range days {
			unsure = unsure && day < strconv.Itoa(year) // somebody has looked
		}
	}
	return "bank holidays of " + strconv.Itoa(year) + " follow by rule: look at gov.uk/bank-holidays, and name those that differ in site.bank_holidays", unsure
}

func (w *alarms) log(al alarm) {
	w.a.log.Warn("alarm", "name", al.Name, "state", al.State, "text", al.Text)
}

// keep leaves an alarm to whoever calls the webhook. which tells it from others of its name.
func (w *alarms) keep(ctx context.Context, al alarm, which ...string) error {
	if !w.a.cfg.Alarms.Webhook.Given() {
		return nil
	}
	note, err := json.Marshal(al)
	if err != nil {
		return err
	}
	id := flow.NewID(flow.PartitionOf("alarm", al.Name), append([]string{"alarm", al.Name}, which...)...)
	_, err = w.a.store.Put(ctx, flow.Change{Deliveries: []flow.Delivery{{ID: id, To: flow.ToAlarm, Lane: al.Name, Class: flow.ClassUrgent, Key: id.String(),
		What: "alarm", Note: string(note), State: flow.Waiting, Due: al.At, Created: al.At}}})
	if err == nil {
		w.a.poke(flow.ToAlarm)
	}
	return err
}

// listen notes that a source was heard.
func (w *alarms) listen(next flow.Accept) flow.Accept {
	return func(ctx context.Context, r flow.Received) (flow.Receipt, error) {
		w.mu.Lock()
		w.heard[r.Source] = w.a.now()
		w.mu.Unlock()
		return next(ctx, r)
	}
}

// watch looks every so often for what lasts.
func (w *alarms) watch(ctx context.Context, every time.Duration) {
	for {
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			w.a.log.Warn("alarms could not be looked after", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

// look compares what the replicas have said with what is, once.
func (w *alarms) look(ctx context.Context) error {
	marks, err := w.a.store.Marks(ctx, markAlarm) // before all else: who has seen something newer has changed them
	if err != nil {
		return err
	}
	var now []condition
	for _, find := range []func(context.Context) ([]condition, error){w.silent, w.old, w.unanswered, w.calendar} {
		found, err := find(ctx)
		if err != nil {
			return err
		}
		now = append(now, found...)
	}
	for _, c := range now {
		if err := w.state(ctx, marks, c); err != nil {
			return err
		}
	}
	return nil
}

// silent tells the store which sources this replica has heard, and looks which of them no replica has for too long.
func (w *alarms) silent(ctx context.Context) (out []condition, err error) {
	w.mu.Lock()
	heard := w.heard
	w.heard = map[string]time.Time{}
	w.mu.Unlock()
	for source, at := range heard {
		if err := w.a.store.Mark(ctx, markHeard, source, -1, at.UnixMilli()); err != nil {
			return nil, err
		}
	}
	last, err := w.a.store.Marks(ctx, markHeard)
	if err != nil {
		return nil, err
	}
	for source, limit := range w.a.cfg.Alarms.SenderSilent {
		at := time.UnixMilli(last[source])
		if last[source] == 0 { // never: its silence begins now
			at = w.a.now()
			if err := w.a.store.Mark(ctx, markHeard, source, -1, at.UnixMilli()); err != nil {
				return nil, err
			}
		}
		w.a.metrics.Silence(source, at, limit)
		out = append(out, condition{"sender-silent:" + source, w.a.now().Sub(at) > limit, "source " + source + ": nothing for longer than " + limit.String()})
	}
	return out, nil
}

// old looks at the oldest deliveries of each destination, waiting and parked; of the gateway's own work too, but for
// what waits by its nature.
func (w *alarms) old(ctx context.Context) (out []condition, err error) {
	var sent []string
	for _, d := range w.a.cfg.Destinations {
		sent = append(sent, d.Name)
	}
	names := map[flow.State][]string{flow.Waiting: slices.Concat(sent, []string{flow.ToCase, flow.ToPhotos}), flow.Parked: slices.Concat(sent, flow.Own())}
	for state, limit := range map[flow.State]time.Duration{flow.Waiting: w.a.cfg.Alarms.OldestWaiting, flow.Parked: w.a.cfg.Alarms.OldestParked} {
		if limit == 0 {
			continue
		}
		for _, to := range names[state] {
			ds, err := w.a.store.Deliveries(ctx, flow.DeliveryQuery{To: to, State: state, Limit: 1})
			if err != nil {
				return nil, err
			}
			on := len(ds) > 0 && w.a.now().Sub(ds[0].Created) > limit
			out = append(out, condition{"oldest-" + string(state) + ":" + to, on, "destination " + to + ": a delivery has been " + string(state) + " longer than " + limit.String()})
		}
	}
	return out, nil
}

// unanswered looks which destinations do not answer.
func (w *alarms) unanswered(ctx context.Context) (out []condition, err error) {
	for _, d := range w.a.cfg.Destinations {
		pass, err := w.a.gate.Enter(ctx, d.Name, 0, w.a.workers[d.Name].Limit)
		if err != nil {
			return nil, err
		}
		w.a.metrics.Down(d.Name, pass.Open)
		out = append(out, downAlarm(d.Name, pass.Open))
	}
	return out, nil
}

// webhook is the internal destination ToAlarm.
type webhook struct {
	url  config.Secret
	http *http.Client
}

// Deliver tells the webhook one alarm.
func (h webhook) Deliver(ctx context.Context, del flow.Delivery, _ func(flow.Step) error) (flow.Outcome, error) {
	trouble := func(text string, err error) *issue.Issue {
		return issue.New(issue.Unavailable, "alarms.webhook", text).Because(err)
	}
	url, err := h.url.Read()
	if err != nil {
		return flow.Outcome{Result: flow.Retry, Cause: trouble("its address cannot be read", err)}, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(del.Note)))
	if err != nil {
		return flow.Outcome{Result: flow.Refused, Cause: trouble("no request can be made to it", err)}, nil
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", del.Key)
	resp, err := h.http.Do(req)
	if err != nil {
		return flow.Outcome{Result: flow.Retry, Cause: trouble("no answer", err)}, nil
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	o := flow.Outcome{Result: flow.ByStatus(resp.StatusCode, true), After: flow.RetryAfter(resp.Header, time.Now())}
	if o.Result != flow.Delivered {
		o.Cause = trouble("answered "+strconv.Itoa(resp.StatusCode), nil)
	}
	return o, nil
}
