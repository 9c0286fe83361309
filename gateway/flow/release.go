package flow

import (
	"context"
	"errors"
	"fmt"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Release lets a held request go, or the photos of one that went without them: the named requester says
// that consent is recorded, or that the request may go as it is. Pressed twice, it acts once.
func (p *Pipeline) Release(ctx context.Context, id ID, person, reason string) error {
	return p.releasing(ctx, id, person, reason, func(d *decision) (bool, error) {
		released, err := d.release(ctx, person)
		if err == nil && !released && d.c.Task(signInTask) != nil {
			err = errNoSignIn()
		}
		return released, err
	})
}

// release gives false when nothing of the case waits for a release.
func (d *decision) release(ctx context.Context, person string) (bool, error) {
	if d.c.State != pathway.Held && !d.c.Releasable(unusable) {
		return false, nil
	}
	if err := mayRelease(d.c); err != nil {
		return false, err
	}
	d.tell("act", "released by "+person, "")
	d.c.Did(pathway.ActRelease)
	for i := range d.c.Photos {
		if d.c.Photos[i].Waiting != unusable {
			d.c.Photos[i].Waiting = ""
		}
	}
	for _, code := range []string{"photo-consent", "photos", "profile", "nhs-number"} {
		d.c.FinishTasks(code, person, d.at)
	}
	return true, d.letGo(ctx)
}

// releasing changes a case by a person's word, once: decide gives false when there is nothing to release.
func (p *Pipeline) releasing(ctx context.Context, id ID, person, reason string, decide func(*decision) (bool, error)) error {
	if person == "" || reason == "" {
		return issue.New(issue.Required, "reason", "a release needs a person and a reason")
	}
	for {
		err := p.release(ctx, id, decide)
		if !errors.Is(err, ErrStale) {
			return err
		}
	}
}

func (p *Pipeline) release(ctx context.Context, id ID, decide func(*decision) (bool, error)) error {
	record, err := p.Store.Case(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return issue.New(issue.NotFound, "case", "no such case").Because(err)
	}
	if err != nil {
		return fmt.Errorf("release: %w", err)
	}
	d, err := p.read(record)
	if err != nil {
		return err
	}
	moved := d.c.Moves
	d.why, _ = ParseID(d.c.Request.Message)
	if acted, err := decide(d); err != nil || !acted {
		return err
	}
	change, err := d.change(ctx, moved)
	if err != nil {
		return err
	}
	if _, err := p.Store.Put(ctx, change); err != nil {
		return err
	}
	p.wake(change)
	return nil
}

// letGo sends what waited: the whole request of a held case, else the photos to wherever the request went
// or is going.
func (d *decision) letGo(ctx context.Context) error {
	if d.c.State == pathway.Held {
		if _, err := d.fire(ctx, pathway.Corrected); err != nil {
			return err
		}
		t, err := d.p.reload(ctx, d.set, d.why)
		if err != nil {
			return err
		}
		d.request, d.received = t.Bundle, t.HL7
		return d.submit(ctx, t.Facts)
	}
	return d.photosFollow(ctx)
}

// photosFollow sends photos to every place that has the request; where none has it yet, once one has.
func (d *decision) photosFollow(ctx context.Context) error {
	if len(d.c.Sent) == 0 {
		d.c.PhotosDue = true
		return nil
	}
	for _, name := range d.c.Sent {
		if e, ok := d.p.endpoint(name); ok {
			if err := d.sendPhotos(ctx, e); err != nil {
				return err
			}
		}
	}
	return nil
}
