package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/fixtures"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// play is a conversation under way.
type play struct {
	conversation
	ctx     context.Context
	w       *world
	clock   *hand
	archive *txtar.Archive // the fixture
	log     lockedBuffer
	took    time.Duration
	err     error

	moves    atomic.Int64 // attempts that were settled
	reading  bool         // patients read what NHS Notify sends them, at once
	signedIn bool         // the practice's clinician is signed in to e-RS

	out      bytes.Buffer // the story
	told     progress
	got      []received
	reviewed int
	names    []string // pairs: what a fixture calls a thing, and what it is called by now
	in       int
	alarms   lockedBuffer
}

// watch counts what the gateway does, and hears its alarms.
func (p *play) watch() {
	for _, w := range p.w.app.workers {
		w.Observe = func(flow.Delivery, flow.Outcome, time.Duration) { p.moves.Add(1) }
	}
	alarm := p.w.app.pipeline.Alarm
	p.w.app.pipeline.Alarm = func(name, text string) {
		fmt.Fprintf(&p.alarms, "%s: %s\n", name, text)
		alarm(name, text)
	}
	p.reading, p.signedIn = true, true
}

// renew gives the gateway the token of the practice's clinician, as long as they are signed in.
func (p *play) renew(until time.Time) error {
	token := ""
	if p.signedIn {
		token = p.w.token.IssueUntil(until)
	}
	return os.WriteFile(filepath.Join(p.w.dir, "ers-token"), []byte(token), 0o600)
}

// input is what the fixture has under in/, with its photos.
func (p *play) input(name string) ([]byte, error) {
	for _, f := range p.archive.Files {
		if f.Name == "in/"+name {
			b, err := fixtures.Fill(f.Data)
			return []byte(strings.NewReplacer(p.names...).Replace(string(b))), err
		}
	}
	return nil, fmt.Errorf("fixtures/story/%s.txtar has no in/%s", p.name, name)
}

// words is a text of the fixture.
func (p *play) words(name string) string {
	b, err := p.input(name)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b))
}

// try does a step, unless one before it has failed.
func (p *play) try(step func() error) {
	if p.err == nil {
		p.err = step()
	}
}

// sends lets the GP system EMIS send a message by MLLP, and wants it acknowledged with a code.
func (p *play) sends(name, code string) {
	p.try(func() error { return p.send(name, code) })
}

func (p *play) send(name, code string) error {
	message, err := p.input(name)
	if err != nil {
		return err
	}
	message = bytes.ReplaceAll(message, []byte("\n"), []byte("\r"))
	conn, err := mllp.Dial(p.ctx, p.w.mllp(), nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	raw, err := conn.Exchange(p.ctx, message)
	if err != nil {
		return err
	}
	ack, err := hl7.ParseAck(raw)
	if err != nil {
		return err
	}
	p.say("GP system EMIS", "sends "+p.describe(message)+" → "+ack.Code+troubles(ack))
	p.receive("gp", "ACK.hl7", raw)
	if ack.Code != code {
		return fmt.Errorf("%s was answered %s%s, want %s", name, ack.Code, troubles(ack), code)
	}
	return p.settle()
}

// posts lets somebody post a Bundle to the gateway's FHIR base, and wants a status.
func (p *play) posts(who, name, path string, status int) {
	p.try(func() error { return p.post(who, name, path, status) })
}

func (p *play) post(who, name, path string, status int) error {
	body, err := p.input(name)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(p.ctx, http.MethodPost, p.w.systmone.FHIR+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/fhir+json")
	req.Header.Set("X-Request-ID", p.name+"-"+name)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	p.say(who, fmt.Sprintf("sends %s (FHIR R4, %d KB) → %s", strings.TrimSuffix(name, ".json"), len(body)>>10, resp.Status))
	p.receive("gp", "response.json", answer)
	if resp.StatusCode != status {
		return fmt.Errorf("%s was answered %s, want %d: %s", name, resp.Status, status, diagnostics(answer))
	}
	return p.settle()
}

// does is something that somebody outside does.
func (p *play) does(who, what string, act func() error) {
	p.try(func() error {
		p.say(who, what)
		if err := act(); err != nil {
			return fmt.Errorf("%s %s: %w", who, what, err)
		}
		return p.settle()
	})
}

// operates runs a verb about a case against the gateway, as somebody on call does.
func (p *play) operates(who, verb, id string, flags ...string) {
	p.does(who, "gateway "+verb+" "+id[:8]+"… "+strings.Join(flags, " "), func() error {
		var out bytes.Buffer
		args := append([]string{verb, id, "--server", "http://" + p.w.app.admin.Addr().String()}, flags...)
		if code := run(p.ctx, args, stdio{nil, &out, &out}); code != 0 {
			return errors.New(out.String())
		}
		return nil
	})
}

// reviews lets somebody say, through the GP system, what they made of a case.
func (p *play) reviews(who, what string, r sim.Review) {
	p.reviewed++
	r.ID = fmt.Sprintf("%s-%d", p.name, p.reviewed)
	p.does(who, what, func() error { return p.w.emis.Review(p.ctx, r) })
}

// ofCase names the case to whoever speaks about it.
func ofCase(c pathway.Case) []sim.Identifier {
	return []sim.Identifier{{System: flow.SystemCase, Value: c.ID}}
}

// settle lets everything happen that is to happen now: deliveries, what they bring about, and patients reading. What waits a
// moment is waited for.
func (p *play) settle() error {
	for {
		if err := p.quiet(); err != nil {
			return err
		}
		read, err := p.read()
		if err != nil {
			return err
		}
		soon, err := p.soonest(func(d flow.Delivery) bool {
			return d.What != "poll" && d.To != flow.ToClock && d.Attempt == 0 && d.Due.Before(p.clock.stored().Add(2*time.Second))
		})
		if err != nil {
			return err
		}
		if !soon.IsZero() {
			p.clock.nudge(soon)
			p.poke()
		} else if read == 0 {
			return p.tell()
		}
	}
}

// read lets the patients read, in the NHS App, what has come for them.
func (p *play) read() (int, error) {
	if !p.reading {
		return 0, nil
	}
	all := p.w.notify.Messages()
	n := 0
	for _, m := range all[p.told.read:] {
		if err := p.w.notify.Report(p.ctx, m.Reference); err != nil {
			return n, err
		}
		n++
	}
	p.told.read = len(all)
	return n, nil
}

// listening waits until the gateway has begun to look at its worklists.
func (p *play) listening() error {
	var failed error
	err := until(p.ctx, "the worklists are looked at", func() bool {
		for _, l := range p.w.app.lists {
			ds, err := p.w.app.store.Deliveries(p.ctx, flow.DeliveryQuery{To: l.To})
			if failed = err; err != nil || len(ds) == 0 {
				return err != nil
			}
		}
		return true
	})
	return errors.Join(err, failed)
}

// quiet waits until nothing is due and nothing is under way.
func (p *play) quiet() error {
	for {
		before := p.moves.Load()
		idle, err := p.idle()
		if err != nil {
			return err
		}
		if idle {
			if idle, err = p.idle(); err != nil || idle && p.moves.Load() == before {
				return err
			}
		}
		select {
		case <-p.ctx.Done():
			return fmt.Errorf("it does not come to rest: %w", p.ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// idle tells whether no worker has anything to do now.
func (p *play) idle() (bool, error) {
	due, err := p.soonest(func(d flow.Delivery) bool { return d.State == flow.Claimed || !d.Due.After(p.clock.stored()) })
	return due.IsZero() && err == nil, err
}

// soonest gives when the first delivery is due that is as wanted, of those at the head of their lanes.
func (p *play) soonest(wanted func(flow.Delivery) bool) (at time.Time, err error) {
	for to := range p.w.app.workers {
		if to == flow.ToPrune {
			continue
		}
		claimed, err := p.w.app.store.Deliveries(p.ctx, flow.DeliveryQuery{To: to, State: flow.Claimed, Limit: 1000})
		if err != nil {
			return at, err
		}
		waiting, err := p.w.app.store.Deliveries(p.ctx, flow.DeliveryQuery{To: to, State: flow.Waiting, Limit: 1000})
		if err != nil {
			return at, err
		}
		lanes := map[string]bool{}
		for _, d := range append(claimed, waiting...) {
			if lanes[d.Lane] {
				continue
			}
			lanes[d.Lane] = true
			if wanted(d) && (at.IsZero() || d.Due.Before(at)) {
				at = d.Due
			}
		}
	}
	return at, nil
}

// until lets time pass up to a moment, and stops wherever a clock of a case rings.
func (p *play) until(end time.Time) {
	for p.err == nil && p.clock.Now().Before(end) {
		rings, err := p.soonest(func(d flow.Delivery) bool {
			return d.To == flow.ToClock && d.Due.Before(end) && d.Due.After(p.clock.Now())
		})
		if rings.IsZero() {
			rings = end
		}
		p.err = err
		p.try(func() error { return p.moveTo(rings) })
		p.try(p.settle)
	}
}

// moveTo moves the clock, and lets everybody look at it.
func (p *play) moveTo(at time.Time) error {
	if err := p.renew(at); err != nil {
		return err
	}
	p.clock.set(at)
	p.poke()
	return nil
}

func (p *play) poke() {
	for _, w := range p.w.app.workers {
		w.Poke()
	}
}

// pass lets time pass.
func (p *play) pass(d time.Duration) { p.until(p.clock.Now().Add(d)) }

// polled lets so much time pass that e-RS is asked.
func (p *play) polled() { p.pass(6 * time.Minute) }

// days goes on at an hour, days later.
func (p *play) days(n, hour int) {
	at := p.clock.Now().In(p.zone())
	p.until(time.Date(at.Year(), at.Month(), at.Day()+n, hour, 0, 0, 0, p.zone()))
}

func (p *play) zone() *time.Location { return p.w.app.cfg.Site.Timezone }

// cases gives all cases, in the order in which they were opened.
func (p *play) cases() ([]flow.CaseRecord, error) {
	records, err := p.w.app.store.Cases(p.ctx, flow.CaseQuery{})
	slices.SortStableFunc(records, func(a, b flow.CaseRecord) int {
		return a.Index.Opened.Compare(b.Index.Opened)
	})
	return records, err
}

// parked gives what waits for somebody to decide.
func (p *play) parked() (out []flow.Delivery) {
	p.try(func() (err error) {
		for to := range p.w.app.workers {
			ds, found := p.w.app.store.Deliveries(p.ctx, flow.DeliveryQuery{To: to, State: flow.Parked})
			out, err = append(out, ds...), errors.Join(err, found)
		}
		return errors.Join(err, want(len(out) > 0, "something is parked"))
	})
	return out
}

// stands gives the case that was opened as the nth, from 1, and wants it in a state.
func (p *play) stands(n int, state pathway.State) (c pathway.Case) {
	p.try(func() error {
		records, err := p.cases()
		if err == nil && len(records) < n {
			err = fmt.Errorf("%d cases are open, want %d", len(records), n)
		}
		if err == nil {
			err = json.Unmarshal(records[n-1].State, &c)
		}
		if err == nil && c.State != state {
			err = fmt.Errorf("case %d is %s, want %s", n, c.State, state)
		}
		return err
	})
	return c
}

// wants fails with what is not so.
func (p *play) wants(so bool, what string, args ...any) {
	p.try(func() error { return want(so, what, args...) })
}

// want fails with what is not so.
func want(so bool, what string, args ...any) error {
	if so {
		return nil
	}
	return fmt.Errorf("not so: "+what, args...)
}

// over tells how the conversation did not end as it should; nil when it did.
func (p *play) over() error {
	records, err := p.cases()
	if err != nil {
		return err
	}
	var ends []string
	for _, r := range records {
		ends = append(ends, r.Index.Kind+" "+r.Index.State)
	}
	p.told.last = ends
	err = want(slices.Equal(ends, p.ends), "it ends as %q, not as %q", p.ends, ends)
	for _, r := range records {
		var c pathway.Case
		err = errors.Join(err, json.Unmarshal(r.State, &c))
		for _, o := range c.Obligations {
			if o.Status == pathway.NoticeTold {
				p.told.notices++
			}
		}
		p.told.byHand += c.Manual
		err = errors.Join(err, want(c.Told(), "every notice of case %s is discharged: %+v", r.ID, c.Obligations))
	}
	return errors.Join(err, want(p.w.token.Pending()+p.w.ers.Pending()+p.w.notify.Pending() == 0, "every fault that was arranged has met something"))
}
