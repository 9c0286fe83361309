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
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Fitter is the internal destination ToPhotos: it makes the photos of a case fit a destination, and sends what
// waited for that. As many cases as its dispatcher has workers are worked on at a time, each photo within the
// Pipeline's Budget; no other work waits for it but that of the same case.
type Fitter struct{ P *Pipeline }

// Deliver carries out such work, once however often it runs. A photo that breaks its decoder is refused for that
// destination, and the others go on.
func (f Fitter) Deliver(ctx context.Context, work Delivery, _ func(Step) error) (Outcome, error) {
	made := &fitter{p: f.P, last: work.Attempt >= mostFits, fits: map[string]pathway.Fit{}}
	for {
		err := f.P.fitAndSend(ctx, work, made)
		var trouble *issue.Issue
		switch {
		case errors.Is(err, ErrStale):
			continue
		case errors.Is(err, errNoDecoder):
			return Outcome{Result: Retry, Cause: issue.New(issue.Unavailable, "photo", "no decoder could be started").Because(err)}, nil
		case errors.As(err, &trouble) && trouble.Kind != issue.Unavailable:
			return Outcome{Result: Refused, Cause: trouble}, nil
		case err != nil:
			return Outcome{}, err
		}
		f.P.poke(ToCase)
		return Outcome{Result: Delivered}, nil
	}
}

// unfittedTask asks for a person's word on such work that is parked.
const unfittedTask = "photos-unfitted"

// mostFits is how often a decoder that does not start is tried before its photo is refused.
const mostFits = 8

var errNoDecoder = errors.New("flow: no decoder")

// fitAndSend carries out one piece of work. What was made is kept in made over a case that changed meanwhile.
func (p *Pipeline) fitAndSend(ctx context.Context, work Delivery, made *fitter) error {
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
	d.why, d.kept, d.fitter = work.Message, true, made
	d.c.Fitting = slices.DeleteFunc(d.c.Fitting, func(id string) bool { return id == work.ID.String() })
	if len(d.c.Fitting) == 0 {
		d.c.FinishTasks(unfittedTask, "gateway", d.at)
	}
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

// errUnfitted says that photos have to be made to fit a destination before a message about them can be applied.
type errUnfitted struct {
	to    string
	media []string
}

func (e *errUnfitted) Error() string { return "photos are not made to fit " + e.to + " yet" }

// fittingEvery is how often work on a case looks whether its photos fit by now.
const fittingEvery = 500 * time.Millisecond

// fitFirst has photos made to fit for a message that cannot be applied before.
func (p *Pipeline) fitFirst(ctx context.Context, work Delivery, t *Translated, wait *errUnfitted) error {
	record, err := p.Store.Case(ctx, work.Case)
	if err != nil {
		return err
	}
	d, err := p.read(record)
	if err != nil {
		return err
	}
	e, ok := p.endpoint(wait.to)
	if !ok {
		return issue.New(issue.NotFound, "destination", "photos wait for a destination that is not configured any more")
	}
	d.why = work.Message
	if err := d.bring(ctx, t); err != nil {
		return err
	}
	if err := d.fitting(e, fitNote{To: wait.to, Media: wait.media}, work.ID.String(), fmt.Sprint(d.version)); err != nil {
		return err
	}
	change, err := d.change(ctx, d.c.Moves)
	if err != nil {
		return err
	}
	if _, err := p.Store.Put(ctx, change); err != nil {
		return err
	}
	p.wake(change)
	return nil
}

// fittingNow tells whether photos of a case are being made to fit, or wait for it. Work that a person has ended, or that
// waits for one, holds nothing up.
func (p *Pipeline) fittingNow(ctx context.Context, id ID) (bool, error) {
	record, err := p.Store.Case(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return false, nil // of a store that has lost it, which its follow-up will tell
	}
	if err != nil {
		return false, err
	}
	d, err := p.read(record)
	if err != nil {
		return false, err
	}
	for _, text := range d.c.Fitting {
		work, err := ParseID(text)
		if err != nil {
			return false, err
		}
		found, err := p.Store.Deliveries(ctx, DeliveryQuery{ID: work})
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(found, func(del Delivery) bool { return del.State == Waiting || del.State == Claimed }) {
			return true, nil
		}
	}
	return false, nil
}

// Budget bounds the pixels of photos that are worked on at once, and with them memory: a photo holds up to some eight
// bytes a pixel while it is made to fit.
type Budget struct {
	pixels *semaphore.Weighted
	most   int64
}

// NewBudget makes one of so many pixels. A photo of more takes all of it.
func NewBudget(pixels int64) *Budget { return &Budget{semaphore.NewWeighted(pixels), pixels} }

// take waits for room for a photo; what it gives ends that.
func (b *Budget) take(ctx context.Context, pixels int64) (func(), error) {
	if b == nil {
		return func() {}, nil
	}
	n := min(max(pixels, 1), b.most)
	if err := b.pixels.Acquire(ctx, n); err != nil {
		return nil, err
	}
	return func() { b.pixels.Release(n) }, nil
}

// fitter makes photos fit one destination.
type fitter struct {
	p    *Pipeline
	last bool                   // what goes wrong now is not tried again
	fits map[string]pathway.Fit // made before, by Media
}

// fit makes one photo fit and keeps the derivative. Errors are those of the blob store, and errNoDecoder; what is
// wrong with the photo is in the result.
func (f *fitter) fit(ctx context.Context, d *decision, ph pathway.Photo, takes Takes) (pathway.Fit, error) {
	if done, ok := f.fits[ph.Media]; ok {
		return done, nil
	}
	out := pathway.Fit{For: takes.String(), At: d.at}
	pixels := int64(ph.Width) * int64(ph.Height)
	if ph.Type != image.JPEG.MediaType() { // made a JPEG, whose colour is held in full
		pixels *= 2
	}
	free, err := f.p.Budget.take(ctx, pixels)
	if err != nil {
		return out, err
	}
	defer free()
	made, err := f.make(ctx, d, ph, takes)
	unread, trouble := (*image.ReadError)(nil), (*issue.Issue)(nil)
	switch {
	case errors.As(err, &unread), ctx.Err() != nil:
		return out, fmt.Errorf("fit a photo: %w", errors.Join(ctx.Err(), err))
	case errors.As(err, &trouble):
		out.Refused = trouble.Text
	case err != nil && !f.last:
		return out, fmt.Errorf("%w: %w", errNoDecoder, err)
	case err != nil:
		out.Refused = "a photo that no decoder could be started for"
	default:
		ref, err := f.p.Bodies.Put(ctx, d.c.ID, io.NewSectionReader(made, 0, made.Size()), made.mediaType)
		if err != nil {
			return out, fmt.Errorf("keep derivative: %w", err)
		}
		out.Blob, out.SHA256, out.Size, out.Type = ref.Blob, ref.SHA256, ref.Size, made.mediaType
		out.Width, out.Height = made.Result.Width, made.Result.Height
		out.Step, out.Quality, out.Removed, out.Lost = string(made.Step), made.Quality, made.Removed, made.Lost
		if made.Quality > 0 && !math.IsInf(made.Likeness.PSNR, 1) {
			out.SSIM = made.Likeness.SSIM
		}
	}
	f.fits[ph.Media] = out
	return out, nil
}

// fitted is a photo as a destination may have it; where that wraps photos, File is the wrapping.
type fitted struct {
	*image.Fitted
	image.File
	mediaType string
}

// make goes down the ladder. A panic is a refusal: the request goes its way, whatever is wrong with a photo.
func (f *fitter) make(ctx context.Context, d *decision, ph pathway.Photo, takes Takes) (out fitted, err error) {
	defer func() {
		if recover() != nil {
			err = issue.New(issue.Internal, "", "the photo could not be made to fit").Because(errors.New(string(debug.Stack())))
		}
	}()
	to := takes.target()
	if f.p.Decode != nil {
		to.Decode = f.p.Decode(ctx)
	}
	file := f.p.Bodies.At(ctx, partOf(ph))
	made, err := image.Fit(file, letIn, to, takes.Floor)
	if err != nil {
		return out, err
	}
	if takes.wraps() {
		return f.wrap(ctx, d, ph, takes, made)
	}
	return fitted{made, made.File, made.Result.Type.MediaType()}, nil
}

// letIn are the limits of a photo that was let in.
var letIn = image.Limits{Bytes: math.MaxInt64, Pixels: 1 << 40}
