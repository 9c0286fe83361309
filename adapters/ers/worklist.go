package ers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// The worklists of a provider, by their names in the configuration.
const (
	ListReview = "review" // A008 REFERRALS_FOR_REVIEW: booked and triage referrals
	ListSlots  = "slots"  // A008 APPOINTMENT_SLOT_ISSUES: deferred to the provider
	ListAdvice = "advice" // A023 ADVICE_AND_GUIDANCE_REQUESTS: only for a signed-in user
)

// MostLooks is how often a day an application may read the worklist of a service (A008: "up to two times per day").
const MostLooks = 2

// Worklist looks for requests that were sent to a provider in e-RS. Each list of a service is a delivery that comes
// again for ever, so that of many replicas one is at it, and a restart looks no sooner. What is on it becomes a delivery
// of its own, to Taker, once: its id is derived from the request's number.
type Worklist struct {
	Client
	Name     string                               // of the source
	To       string                               // destination of the looks
	Take     string                               // destination of what they find
	Services []string                             // ers-service ids
	Lists    []string                             // ListReview, ListSlots, ListAdvice
	Next     func(after time.Time) time.Time      // when the next look is
	Queue    flow.Queue                           // its Put
	Alarm    func(name, text string)              // nil: nobody is told
	Zone     *time.Location                       // of days; nil: UTC
	Now      func() time.Time                     // nil: time.Now
	Log      *slog.Logger                         // nil: slog.Default
	Replay   func(context.Context, flow.ID) error // lets one that was parked go on; may be nil
}

// look is the note of a delivery: which list of which service, and how often it was read today.
type look struct {
	List    string `json:"list"`
	Service string `json:"service,omitempty"`
	Day     string `json:"day,omitempty"`
	Count   int    `json:"count,omitempty"`
}

// entry is a request on a worklist.
type entry struct {
	ubrn, service, name, priority string
}

// Begin puts the looks into the store, unless they are there.
func (w *Worklist) Begin(ctx context.Context) error {
	for _, l := range w.looks() {
		note, err := json.Marshal(l)
		if err != nil {
			return err
		}
		at := w.now()
		id := w.lookID(l)
		_, err = w.Queue.Put(ctx, flow.Change{Deliveries: []flow.Delivery{{ID: id, To: w.To, Lane: id.String(), Class: flow.ClassRoutine,
			Key: id.String(), What: "worklist", Note: string(note), State: flow.Waiting, Due: at, Created: at}}})
		if err == nil && w.Replay != nil {
			err = w.Replay(ctx, id)
		}
		if err != nil {
			return fmt.Errorf("worklist: %w", err)
		}
	}
	return nil
}

// looks are a list of a service each; the A&G worklist is that of the organisation, of which its services are taken.
func (w *Worklist) looks() (out []look) {
	for _, list := range w.Lists {
		if list == ListAdvice {
			out = append(out, look{List: list})
			continue
		}
		for _, s := range w.Services {
			out = append(out, look{List: list, Service: s})
		}
	}
	return out
}

func (w *Worklist) lookID(l look) flow.ID {
	return flow.NewID(flow.PartitionOf("ers-worklist", w.Name), "ers-worklist", w.Name, l.List, l.Service)
}

// Deliver looks once.
func (w *Worklist) Deliver(ctx context.Context, d flow.Delivery, _ func(flow.Step) error) (flow.Outcome, error) {
	var l look
	if err := json.Unmarshal([]byte(d.Note), &l); err != nil {
		return flow.Outcome{Result: flow.Refused, Cause: issue.New(issue.Internal, "worklist", "the note is unreadable").Because(err)}, nil
	}
	if !w.wanted(l) {
		return flow.Outcome{Result: flow.Delivered}, nil // of a list or service that is configured no more
	}
	now := w.now()
	again := flow.Outcome{Result: flow.Again, After: max(w.Next(now).Sub(now), time.Second), Note: d.Note}
	if day := now.In(cmp.Or(w.Zone, time.UTC)).Format(time.DateOnly); l.Day != day {
		l.Day, l.Count = day, 0
	}
	if w.Application && l.Count >= MostLooks {
		return again, nil
	}
	found, err := w.read(ctx, l)
	if s := new(stop); errors.As(err, &s) {
		if s.Result == flow.Retry {
			return s.Outcome, nil
		}
		w.alarm("worklist-refused", fmt.Sprintf("source %s: e-RS refuses the list %s of service %s: %s", w.Name, l.List, l.Service, s.Cause))
		return again, nil
	}
	if errors.Is(err, errStale) {
		return flow.Outcome{Result: flow.Retry, Cause: issue.New(issue.Conflict, "worklist", "e-RS answered 409 to a read").Because(err)}, nil
	}
	if err != nil {
		return flow.Outcome{}, err
	}
	for _, e := range found {
		if err := w.put(ctx, l, e); err != nil {
			return flow.Outcome{}, err
		}
	}
	l.Count++
	note, err := json.Marshal(l)
	again.Note = string(note)
	w.log().Info("worklist read", "source", w.Name, "what", l.List, "count", len(found))
	return again, err
}

func (w *Worklist) wanted(l look) bool {
	for _, have := range w.looks() {
		if have.List == l.List && have.Service == l.Service {
			return true
		}
	}
	return false
}

// put makes a delivery of a request, unless there was one.
func (w *Worklist) put(ctx context.Context, l look, e entry) error {
	kind := kindReferral
	if l.List == ListAdvice {
		kind = kindAdvice
	}
	d, err := toTake{Kind: kind, UBRN: e.ubrn, Service: e.service, Name: e.name}.delivery(w.Name, w.Take, e.priority, w.now())
	if err == nil {
		_, err = w.Queue.Put(ctx, flow.Change{Deliveries: []flow.Delivery{d}})
	}
	return err
}

// read reads one worklist.
func (w *Worklist) read(ctx context.Context, l look) ([]entry, error) {
	name, path, selector, code := "A008", "/STU3/ReferralRequest/$ers.fetchworklist", "eRS-ReferralListSelector-1", "REFERRALS_FOR_REVIEW"
	switch l.List {
	case ListSlots:
		code = "APPOINTMENT_SLOT_ISSUES"
	case ListAdvice:
		name, path, selector, code = "A023", "/STU3/CommunicationRequest/$ers.fetchworklist", "eRS-CommunicationListSelector-1", "ADVICE_AND_GUIDANCE_REQUESTS"
	}
	if l.List == ListAdvice && w.Application {
		return nil, stopped(flow.Refused, issue.New(issue.Denied, name, "e-RS shows the advice and guidance worklist only to a signed-in user: it is not asked"))
	}
	p := parameters{ResourceType: "Parameters", Meta: profile("eRS-FetchWorklist-Parameters-1"),
		Parameter: []parameter{{Name: "listType", Concept: &concept{Coding: []coding{{System: codeSystem + selector, Code: code}}}}}}
	if l.Service != "" {
		p.Parameter = append(p.Parameter, parameter{Name: "service", Identifier: &identifier{System: systemService, Value: l.Service}})
	}
	body, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	r, err := w.do(ctx, call{name: name, method: http.MethodPost, path: path, body: body})
	if err != nil {
		return nil, err
	}
	all, err := entries(r.body)
	if err != nil {
		return nil, garbled(name, err)
	}
	return w.ours(l, all), nil
}

// ours leaves out what was sent to services that are not configured.
func (w *Worklist) ours(l look, all []entry) (out []entry) {
	for _, e := range all {
		e.service = cmp.Or(e.service, l.Service)
		for _, s := range w.Services {
			if e.service == s {
				out = append(out, e)
			}
		}
	}
	return out
}

// entries reads a worklist. An entry that cannot be read is an error: nobody else would see it.
func entries(body []byte) ([]entry, error) {
	var list struct {
		ResourceType string `json:"resourceType"`
		Entry        []struct {
			Extension []extension `json:"extension"`
			Item      reference   `json:"item"`
		} `json:"entry"`
	}
	if err := json.Unmarshal(body, &list); err != nil || list.ResourceType != "List" {
		return nil, errors.Join(errors.New("no List"), err)
	}
	var out []entry
	for i, x := range list.Entry {
		_, ubrn, _ := strings.Cut(x.Item.Reference, "/")
		if !isUBRN(ubrn) {
			return nil, fmt.Errorf("entry %d of %d names no request", i+1, len(list.Entry))
		}
		e := entry{ubrn: ubrn}
		for _, item := range x.Extension { // Extension-eRS-…-WorkListItem-1
			e.priority = find(item.Extension, "priority").Concept.code("")
			if s := find(item.Extension, "service").Reference; s != nil {
				e.service, e.name = s.value(), s.Display
			}
		}
		out = append(out, e)
	}
	return out, nil
}

func (w *Worklist) alarm(name, text string) {
	if w.Alarm != nil {
		w.Alarm(name, text)
	}
	w.log().Warn("worklist refused", "source", w.Name)
}

func (w *Worklist) log() *slog.Logger {
	if w.Log != nil {
		return w.Log
	}
	return slog.Default()
}

func (w *Worklist) now() time.Time {
	if w.Now != nil {
		return w.Now()
	}
	return time.Now()
}
