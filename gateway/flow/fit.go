package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime/debug"
	"slices"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/issue"
)

// A photo larger than a destination takes is made to fit with the least harm (image.Fit). That takes a second or
// more, so it is done after the message was acknowledged: what is to be sent waits as a work item of the case,
// in the lane in which news about the case are applied, so that nothing overtakes it.

// FitPhotos is the What of that work item.
const FitPhotos = "fit-photos"

// fitNote says what is to be sent when the photos fit.
type fitNote struct {
	To    string `json:"to"`
	What  string `json:"what"`
	Photo string `json:"photo,omitempty"` // Media of PhotoOf
}

// over tells whether a photo is larger than a destination takes.
func (e Endpoint) over(ph pathway.Photo) bool {
	return !ph.Document && e.PhotoBytes > 0 && ph.Size > e.PhotoBytes
}

// unfitted tells whether a photo that the message carries has still to be made to fit its destination.
func (d *decision) unfitted(e Endpoint) bool {
	return slices.ContainsFunc(d.c.Photos, func(ph pathway.Photo) bool {
		return slices.Contains(d.asked, ph.Media) && e.over(ph) && ph.Fit(e.PhotoBytes) == nil
	})
}

// sendable gives the photos and documents that may travel, as a destination may have them. One that cannot be
// made to fit stays behind when cancer is suspected, as photos that wait do; e-RS judges by itself.
func (d *decision) sendable(e Endpoint) (out []pathway.Photo) {
	for _, ph := range d.c.Sendable() {
		if e.over(ph) {
			f := ph.Fit(e.PhotoBytes)
			switch {
			case f != nil && f.Refused == "":
				ph.Blob, ph.SHA256, ph.Size, ph.Step = f.Blob, f.SHA256, f.Size, f.Step
			case f != nil && d.c.Suspected() && e.Kind != ToERS:
				continue
			}
		}
		out = append(out, ph)
	}
	return out
}

// unfit gives why a photo that the message carries cannot be made to fit; nil when all do.
func (d *decision) unfit(e Endpoint) *Unfit {
	if e.Kind == ToERS {
		return nil
	}
	for i, ph := range d.sendable(e) {
		if f := ph.Fit(e.PhotoBytes); slices.Contains(d.asked, ph.Media) && e.over(ph) && f != nil {
			return &Unfit{e.Name, issue.New(issue.TooLong, fmt.Sprintf("photo %d", i+1), f.Refused)}
		}
	}
	return nil
}

// fitLater leaves what is to be sent to a work item.
func (d *decision) fitLater(e Endpoint, n telling) error {
	wait := fitNote{To: e.Name, What: n.what}
	if n.photo != nil {
		wait.Photo = n.photo.Media
	}
	note, err := json.Marshal(wait)
	if err != nil {
		return err
	}
	id := d.derive(FitPhotos, e.Name, n.what, wait.Photo, fmt.Sprint(d.c.Moves))
	d.out = append(d.out, Delivery{ID: id, Case: d.id(), Message: d.why, To: ToCase, Lane: d.c.ID, Class: class(d.c.Urgency),
		Key: id.String(), What: FitPhotos, Note: string(note), State: Waiting, Due: d.at, Created: d.at})
	d.tell("photo", "photos for "+e.Name+" are made to fit "+fmt.Sprint(e.PhotoBytes)+" bytes", "")
	return nil
}

// fitAndSend carries out such a work item, once however often it runs.
func (p *Pipeline) fitAndSend(ctx context.Context, work Delivery) error {
	var note fitNote
	if err := json.Unmarshal([]byte(work.Note), &note); err != nil {
		return issue.New(issue.Internal, "note", "an unreadable work item").Because(err)
	}
	e, ok := p.endpoint(note.To)
	if !ok {
		return issue.New(issue.NotFound, "destination", "photos wait for a destination that is not configured any more")
	}
	record, err := p.Store.Case(ctx, work.Case)
	if err != nil {
		return err
	}
	d, err := p.read(record)
	if err != nil {
		return err
	}
	d.why, d.kept = work.Message, true
	moved := d.c.Moves
	if err := d.sendFitted(ctx, e, note); err != nil {
		return err
	}
	change, err := d.change(ctx, moved)
	if err != nil {
		return err
	}
	change.Applied = work.ID.String()
	if _, err := p.Store.Put(ctx, change); err != nil {
		return err
	}
	p.wake(change)
	return nil
}

// sendFitted sends what waited for its photos, unless the case has ended meanwhile.
func (d *decision) sendFitted(ctx context.Context, e Endpoint, note fitNote) error {
	if d.p.Machines[d.c.Kind].Ended(d.c.State) || d.c.State == pathway.EndedNoticeDue {
		d.tell("photo", note.What+" for "+e.Name+" is not sent: the case has ended", "")
		return nil
	}
	switch note.What {
	case "photos":
		return d.sendPhotos(ctx, e)
	case PhotoOf:
		for _, ph := range d.c.Sendable() {
			if ph.Media == note.Photo {
				return d.sendOne(ctx, e, ph)
			}
		}
		return nil
	}
	return d.sendRequest(ctx, e)
}

// fitAll makes the photos of the case fit a destination, and remembers what came of each.
func (d *decision) fitAll(ctx context.Context, e Endpoint) error {
	for i := range d.c.Photos {
		ph := &d.c.Photos[i]
		if ph.Waiting != "" || !e.over(*ph) || ph.Fit(e.PhotoBytes) != nil {
			continue
		}
		f, err := d.p.fit(ctx, d.c.ID, *ph, e.PhotoBytes)
		if err != nil {
			return err
		}
		ph.Fits = append(ph.Fits, f)
		where := fmt.Sprintf("photo %d for %s: ", i+1, e.Name)
		if f.Refused == "" {
			d.tell("photo", where+fmt.Sprintf("%s, %d bytes of %d", f.Step, f.Size, ph.Size), f.SHA256)
			continue
		}
		d.tell("photo", where+f.Refused, "")
		d.ask("photo-too-large", where+f.Refused)
		d.p.alarm("photo-too-large", "case "+d.c.ID+": "+where+f.Refused)
	}
	return nil
}

// fit makes one photo fit and keeps the derivative. Errors are those of the blob store; what is wrong with the
// photo is in the result. One photo is worked on at a time, since each takes up to 200 MB.
func (p *Pipeline) fit(ctx context.Context, owner string, ph pathway.Photo, limit int64) (pathway.Fit, error) {
	p.fitting.Lock()
	defer p.fitting.Unlock()
	out := pathway.Fit{Limit: limit}
	fitted, err := fitSafely(p.Bodies.At(ctx, partOf(ph)), image.Target{Bytes: limit}, p.Floor)
	if unread := (*image.ReadError)(nil); errors.As(err, &unread) {
		return out, fmt.Errorf("fit a photo: %w", err)
	}
	if err != nil {
		out.Refused = issue.From(err).Text
		return out, nil
	}
	ref, err := p.Bodies.Put(ctx, owner, io.NewSectionReader(fitted, 0, fitted.Size()), ph.Type)
	if err != nil {
		return out, fmt.Errorf("keep derivative: %w", err)
	}
	out.Blob, out.SHA256, out.Size, out.Step = ref.Blob, ref.SHA256, ref.Size, stepOf(fitted)
	return out, nil
}

// fitSafely turns a panic into a refusal: the request goes its way, whatever is wrong with a photo.
func fitSafely(f image.File, to image.Target, floor image.Floor) (fitted *image.Fitted, err error) {
	defer func() {
		if recover() != nil {
			err = issue.New(issue.Internal, "", "the photo could not be made to fit").Because(errors.New(string(debug.Stack())))
		}
	}()
	return image.Fit(f, image.Limits{Bytes: math.MaxInt64, Pixels: math.MaxInt64}, to, floor) // it was let in
}

// stepOf says for a person what was done to a photo.
func stepOf(f *image.Fitted) string {
	if f.Quality == 0 {
		return string(f.Step)
	}
	return fmt.Sprintf("%s to %d×%d pixels at quality %d, SSIM %.3f", f.Step, f.Result.Width, f.Result.Height, f.Quality, f.Likeness.SSIM)
}
