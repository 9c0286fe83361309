package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Retention is the internal destination ToPrune: it removes what was kept long enough. It is one delivery that
// comes again for ever, so that of many replicas one is at it, after a crash another goes on where it was, and
// each step is bounded.
//
// A case goes when it has ended, nothing has changed about it for Keep, no merge has stopped it, and everything
// that was to be sent for it is done or was discarded: what is waiting, claimed or parked keeps it, whatever its age.
// Only what would go on for ever ends with it: the polls of a channel for news that have not come, and clocks, which are void.
// With it go its story, cross-references, deliveries and photos; then the messages whose case is gone, and those
// that never had one (refusals), with their bytes and idempotency slots, what is remembered of old acts, and old alarms.
//
// The store lets go first and the photos follow: what a crash leaves in between belongs to nobody, and Collect
// finds it. So nothing that is still there points at what is not.
type Retention struct {
	Store   Store
	Objects Objects
	Keep    time.Duration // since the last change of a case, or since a message came
	Every   time.Duration // between two passes; 0: an hour
	Batch   int           // cases or messages of one step; 0: 50
	Others  []string      // destinations whose deliveries are of no case, beside alarms
	// Record audits a removal: when it returns nil, that is on disk. It comes before the removal.
	Record func(ctx context.Context, what, why string) error
	Now    func() time.Time
}

// Objects are the photos and large bodies beside the store.
type Objects interface {
	// Of gives the names of all objects of an owner: a case or a message.
	Of(ctx context.Context, owner string) ([]string, error)
	Delete(ctx context.Context, name string) error
	// Collect removes the objects whose owner is not in the store a day after they were written.
	Collect(ctx context.Context) error
}

// retentionPlace is where a pass has come to: the note of the delivery.
type retentionPlace struct {
	In        string    `json:"in"` // "cases", "messages" or "acts"
	After     string    `json:"after,omitempty"`
	Collected time.Time `json:"collected,omitzero"`
}

// stepPause is how long a pass rests between two steps.
const stepPause = 20 * time.Millisecond

// Begin puts the delivery into the store, unless it is there. One that was parked goes on.
func (r Retention) Begin(ctx context.Context) error {
	at := r.Now()
	return beginForEver(ctx, r.Store, Delivery{ID: NewID(0, "retention"), To: ToPrune, Lane: "retention", What: "retention", Due: at, Created: at})
}

// beginForEver puts a delivery that comes again for ever into the store, unless it is there. One that was parked goes on.
func beginForEver(ctx context.Context, s Store, d Delivery) error {
	d.Class, d.Key, d.State = ClassRoutine, d.ID.String(), Waiting
	_, err := s.Put(ctx, Change{Deliveries: []Delivery{d}})
	if err != nil {
		return fmt.Errorf("%s: %w", d.What, err)
	}
	ds, err := s.Deliveries(ctx, DeliveryQuery{ID: d.ID})
	if err == nil && len(ds) == 1 && ds[0].State == Parked {
		err = s.Act(ctx, Act{Verb: "replay", ID: d.ID, Person: "gateway", Reason: "started again", At: d.Created})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", d.What, err)
	}
	return nil
}

// Deliver takes one step. An error leaves the place as it was: the step is tried again.
func (r Retention) Deliver(ctx context.Context, d Delivery, _ func(Step) error) (Outcome, error) {
	at := retentionPlace{In: "cases"}
	if d.Note != "" {
		if err := json.Unmarshal([]byte(d.Note), &at); err != nil {
			at = retentionPlace{In: "cases"} // it begins anew
		}
	}
	rest, err := r.step(ctx, &at)
	if err != nil {
		return Outcome{}, err
	}
	note, err := json.Marshal(at)
	return Outcome{Result: Again, After: rest, Note: string(note)}, err
}

// step removes what is to go of one page, moves the place on, and gives how long to rest.
func (r Retention) step(ctx context.Context, at *retentionPlace) (time.Duration, error) {
	page := Old{Age: r.Keep, After: at.After, Limit: r.Batch}
	if page.Limit <= 0 {
		page.Limit = 50
	}
	var err error
	switch at.In {
	case "cases":
		if at.After, err = r.cases(ctx, page); err == nil && at.After == "" {
			at.In = "messages"
		}
		return stepPause, err
	case "messages":
		if at.After, err = r.messages(ctx, page); err == nil && at.After == "" {
			at.In = "acts"
		}
		return stepPause, err
	}
	if at.After, err = r.Store.PruneActs(ctx, page); err != nil || at.After != "" {
		return stepPause, err
	}
	if more, err := r.others(ctx, page.Limit); err != nil || more {
		return stepPause, err
	}
	at.In = "cases"
	if now := r.Now(); now.Sub(at.Collected) >= 24*time.Hour {
		if err := r.Objects.Collect(ctx); err != nil {
			return 0, err
		}
		at.Collected = now
	}
	return or(r.Every, time.Hour), nil
}

func (r Retention) cases(ctx context.Context, page Old) (string, error) {
	records, next, err := r.Store.OldCases(ctx, page)
	if err != nil {
		return "", err
	}
	for _, c := range records {
		if !c.Index.Ended {
			continue
		}
		if err := r.endedCase(ctx, c); err != nil {
			return "", fmt.Errorf("retention: case %s: %w", c.ID, err)
		}
	}
	return next, nil
}

// endedCase removes a case, unless something about it is not finished.
func (r Retention) endedCase(ctx context.Context, record CaseRecord) error {
	var c pathway.Case
	if err := json.Unmarshal(record.State, &c); err != nil {
		return err
	}
	if c.Stopped != "" {
		return nil
	}
	for _, next := range []string{c.Next, c.Became} { // which is read from the same request
		if id, err := ParseID(next); err == nil {
			if _, err := r.Store.Case(ctx, id); !errors.Is(err, ErrNotFound) {
				return err
			}
		}
	}
	has, err := r.holdings(ctx, record.ID)
	if err != nil || has.open {
		return err
	}
	objects, err := r.Objects.Of(ctx, record.ID.String())
	if err != nil {
		return err
	}
	why := fmt.Sprintf("ended, unchanged since %s: %d deliveries, %d objects", record.Index.Changed.UTC().Format(time.DateOnly), len(has.all), len(objects))
	if n := c.Pending(); n > 0 {
		why += fmt.Sprintf(", %d tasks that nobody has closed", n)
	}
	what := "case/" + record.ID.String()
	if err := r.Record(ctx, what, why); err != nil {
		return err
	}
	if err = r.end(ctx, has.endless); err == nil {
		err = r.forget(ctx, record, has.all)
	}
	if errors.Is(err, ErrStale) {
		return r.Record(ctx, what, "kept: it has changed meanwhile")
	}
	if err != nil {
		return err
	}
	return r.delete(ctx, objects)
}

// holdings are what a case has to do with deliveries when its time has come.
type holdings struct {
	all     []Delivery
	endless []Delivery // of them, those that end with the case
	open    bool       // something is to be sent yet, or a person has to decide
}

func (r Retention) holdings(ctx context.Context, id ID) (h holdings, err error) {
	if h.all, err = r.Store.Deliveries(ctx, DeliveryQuery{Case: id, All: true, Limit: 1 << 20}); err != nil {
		return h, err
	}
	for _, d := range h.all {
		switch {
		case d.State == Done, d.State == Discarded:
		case d.State == Waiting && (d.What == "poll" || d.To == ToClock):
			h.endless = append(h.endless, d)
		default:
			h.open = true
		}
	}
	return h, nil
}

// end discards what would go on for ever. One that is at work just now keeps the case until the next pass.
func (r Retention) end(ctx context.Context, ds []Delivery) error {
	for _, d := range ds {
		err := r.Store.Act(ctx, Act{Verb: "discard", ID: d.ID, Person: "gateway", Reason: "the time of its case is over", At: r.Now()})
		var conflict *issue.Issue
		if errors.As(err, &conflict) {
			return ErrStale
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forget removes the deliveries in other partitions, then the case with what is in its own.
func (r Retention) forget(ctx context.Context, record CaseRecord, ds []Delivery) error {
	elsewhere := map[int][]ID{}
	last := Remains{Case: &record}
	for _, d := range ds {
		if p := d.ID.Partition(); p != record.ID.Partition() {
			elsewhere[p] = append(elsewhere[p], d.ID)
		} else {
			last.Deliveries = append(last.Deliveries, d.ID)
		}
		last.Applied = append(last.Applied, d.ID.String(), d.Key)
	}
	for _, ids := range elsewhere {
		if err := r.Store.Prune(ctx, Remains{Deliveries: ids}); err != nil {
			return err
		}
	}
	return r.Store.Prune(ctx, last)
}

func (r Retention) messages(ctx context.Context, page Old) (string, error) {
	found, next, err := r.Store.OldMessages(ctx, page)
	if err != nil {
		return "", err
	}
	for _, m := range found {
		if err := r.message(ctx, m); err != nil {
			return "", fmt.Errorf("retention: message %s: %w", m.ID, err)
		}
	}
	return next, nil
}

// message removes a message whose cases are gone, or that never had one.
func (r Retention) message(ctx context.Context, m Message) error {
	for _, id := range append([]ID{m.Case}, m.Also...) {
		if id.IsZero() {
			continue
		}
		if _, err := r.Store.Case(ctx, id); !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	remains := Remains{Messages: []Message{m}}
	acks, err := r.Store.Deliveries(ctx, DeliveryQuery{ID: NewID(m.ID.Partition(), Acknowledgement, m.Idem.Key)})
	if err != nil {
		return err
	}
	for _, d := range acks {
		switch {
		case d.Message != m.ID: // of another message under this control id: this one was refused
		case d.State != Done && d.State != Discarded:
			return nil
		default:
			remains.Deliveries = append(remains.Deliveries, d.ID)
		}
	}
	objects, err := r.Objects.Of(ctx, m.ID.String())
	if err != nil {
		return err
	}
	why := fmt.Sprintf("came %s: %d objects", m.At.UTC().Format(time.DateOnly), len(objects))
	if err := r.Record(ctx, "message/"+m.ID.String(), why); err != nil {
		return err
	}
	if err := r.Store.Prune(ctx, remains); err != nil {
		return err
	}
	return r.delete(ctx, objects)
}

// others removes deliveries of no case that were done long ago: what the webhook was told, what was found on a worklist.
func (r Retention) others(ctx context.Context, n int) (more bool, err error) {
	for _, to := range append([]string{ToAlarm}, r.Others...) {
		for _, state := range []State{Done, Discarded} {
			ds, err := r.Store.Deliveries(ctx, DeliveryQuery{To: to, State: state, Limit: n})
			if err != nil {
				return false, err
			}
			for _, d := range ds {
				if r.Now().Sub(d.Created) < r.Keep {
					break
				}
				if err := r.Store.Prune(ctx, Remains{Deliveries: []ID{d.ID}}); err != nil {
					return false, err
				}
				more = more || len(ds) == n
			}
		}
	}
	return more, nil
}

func (r Retention) delete(ctx context.Context, objects []string) error {
	for _, name := range objects {
		if err := r.Objects.Delete(ctx, name); err != nil {
			return err
		}
	}
	return nil
}
