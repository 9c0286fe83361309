package ers

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// watch puts the delivery that looks for news of a case into the store, unless it is there.
func (k *Taker) watch(ctx context.Context, c foundCase, at Cursor, after time.Duration) error {
	note, err := json.Marshal(at)
	if err != nil {
		return err
	}
	id, now := flow.NewID(c.ID.Partition(), c.ID.String(), "poll", k.Name), k.now()
	if at.Seen == "" {
		after = time.Second // what it is past is to be told
	}
	_, err = k.Queue.Put(ctx, flow.Change{Deliveries: []flow.Delivery{{ID: id, Case: c.ID, To: k.Poll, Lane: c.ID.String(), Class: classOf(c.Urgency),
		Key: id.String(), What: "poll", Note: string(note), State: flow.Waiting, Due: now.Add(cmp.Or(after, k.Every, time.Hour)), Created: now}}})
	if err != nil {
		return fmt.Errorf("found: %w", err)
	}
	return nil
}

// follow has the referral taken that advice was converted to: it has the same UBRN, and is on no worklist.
func (k *Taker) follow(ctx context.Context, t taken) error {
	what := toTake{Kind: kindReferral, UBRN: t.request.ID, Converted: true}
	if len(t.request.Recipient) > 0 {
		what.Service = find(t.request.Recipient[0].Extension, definition+"Extension-HealthcareService-Reference-1").Reference.value()
	}
	d, err := what.delivery(k.Name, k.To, t.request.priority(), k.now())
	if err == nil {
		_, err = k.Queue.Put(ctx, flow.Change{Deliveries: []flow.Delivery{d}})
	}
	return err
}

// added hands in what the referrer of a found request has added since: files, and what e-RS makes a new PDF of. It tells
// whether a file may come yet.
func (k *Taker) added(f *fetch, t taken, c *Cursor) (again time.Duration, err error) {
	t.addition = true
	f.urgent = t.request.priority() == "TWO_WEEK_WAIT"
	if info := t.written(); info != c.Info {
		b, err := f.summary(t.kind, t.request.ID, t.request.Meta.VersionID)
		if err != nil {
			return 0, err
		}
		t.files = append(t.files, b)
		c.Info = info
	}
	if t.files, err = f.all(t.files, t, c.Files); err != nil {
		return 0, err
	}
	again = k.again(t.files)
	t.files = slices.DeleteFunc(t.files, func(b brought) bool { return b.waits })
	if len(t.files) > 0 {
		_, err = k.handIn(f, t)
		c.Files = append(c.Files, known(t.files)...)
	}
	return again, err
}

// again gives when a request is looked at for files that may come yet, 0 where there is none: soon where they were only not
// to be had, after five minutes where e-RS scans them.
func (k *Taker) again(files []brought) time.Duration {
	switch {
	case !waiting(files):
		return 0
	case slices.ContainsFunc(files, func(b brought) bool { return b.scans }):
		return k.pause()
	}
	return min(k.pause(), cmp.Or(k.Every, k.pause()))
}

// written gives when the referrer last wrote.
func (t taken) written() string {
	if t.kind == kindReferral {
		return t.request.extension("Extension-eRS-ClinicalInfoLastUpdated-1").DateTime
	}
	last := ""
	talk, _, _ := t.talk.sort()
	for _, c := range talk {
		if c.by() != "RESPONDER" {
			last = c.Sent
		}
	}
	return last
}
