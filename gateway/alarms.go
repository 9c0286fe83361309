package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// alarms tell people what cannot wait for somebody to look: in the log always, by webhook where one is
// configured. What lasts (an old delivery, a silent sender) opens once and closes once.
type alarms struct {
	a    *app
	http *http.Client

	mu    sync.Mutex
	open  map[string]bool
	heard map[string]time.Time // last message by source
}

// alarm is what the webhook gets: no patient data, ids and configured names only.
type alarm struct {
	Name  string    `json:"name"`
	State string    `json:"state"` // "open", "closed", or "event" for what has no end
	Text  string    `json:"text"`
	At    time.Time `json:"at"`
}

func newAlarms(a *app) *alarms {
	return &alarms{a: a, http: &http.Client{Timeout: 10 * time.Second}, open: map[string]bool{}, heard: map[string]time.Time{}}
}

// event tells something that happened.
func (w *alarms) event(name, text string) {
	w.send(alarm{Name: name, State: "event", Text: text, At: w.a.now()})
}

// state opens or closes an alarm; saying the same again says nothing.
func (w *alarms) state(name string, on bool, text string) {
	w.mu.Lock()
	changed := w.open[name] != on
	w.open[name] = on
	w.mu.Unlock()
	if !changed {
		return
	}
	state := "closed"
	if on {
		state = "open"
	}
	w.send(alarm{Name: name, State: state, Text: text, At: w.a.now()})
}

func (w *alarms) send(al alarm) {
	w.a.log.Warn("alarm", "name", al.Name, "state", al.State, "text", al.Text)
	url, err := w.a.cfg.Alarms.Webhook.Read()
	if err != nil || url == "" {
		return
	}
	go w.post(url, al)
}

// post tries three times; an alarm that cannot be told is at least in the log.
func (w *alarms) post(url string, al alarm) {
	body, err := json.Marshal(al)
	for try := 1; err == nil && try <= 3; try++ {
		var resp *http.Response
		if resp, err = w.http.Post(url, "application/json", bytes.NewReader(body)); err == nil {
			io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
			resp.Body.Close()
			if resp.StatusCode < 300 {
				return
			}
			err = fmt.Errorf("alarm webhook answered %d", resp.StatusCode)
		}
		time.Sleep(time.Duration(try) * time.Second)
	}
	w.a.log.Error("alarm webhook failed", "name", al.Name, "error", err)
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

// watch looks every so often for deliveries that wait too long and senders that are silent too long.
func (w *alarms) watch(ctx context.Context, every time.Duration) {
	started := w.a.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
		for _, d := range w.a.cfg.Destinations {
			w.waiting(ctx, d.Name)
		}
		for source, limit := range w.a.cfg.Alarms.SenderSilent {
			w.mu.Lock()
			last := w.heard[source]
			w.mu.Unlock()
			if last.IsZero() {
				last = started
			}
			w.state("sender-silent:"+source, w.a.now().Sub(last) > limit, "source "+source+": nothing for longer than "+limit.String())
		}
	}
}

// down tells that a destination has stopped or begun again to answer. One replica of all is told so by the Gate.
func (w *alarms) down(to string, open bool) {
	w.a.metrics.Down(to, open)
	w.state("destination-down:"+to, open, "destination "+to+" does not answer: one delivery at a time tries")
}

// waiting looks at the oldest delivery of a destination, waiting or parked.
func (w *alarms) waiting(ctx context.Context, to string) {
	limit := w.a.cfg.Alarms.OldestWaiting
	if limit == 0 {
		return
	}
	for _, state := range []flow.State{flow.Waiting, flow.Parked} {
		ds, err := w.a.store.Deliveries(ctx, flow.DeliveryQuery{To: to, State: state, Limit: 1})
		if err != nil {
			return
		}
		old := len(ds) > 0 && w.a.now().Sub(ds[0].Created) > limit
		w.state("oldest-"+string(state)+":"+to, old, "destination "+to+": a delivery has been "+string(state)+" longer than "+limit.String())
	}
}
