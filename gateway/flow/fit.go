package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/issue"
)

// A photo that a destination does not take as it is, is made to fit with the least harm (image.Fit). That takes a
// second or more, so it is done after the message was acknowledged, beside everything else (Fitter). What is to be
// sent waits for it, and so do the news about the case, so that nothing overtakes it.

// FitPhotos is the What of that work.
const FitPhotos = "fit-photos"

// fitNote says what is to be sent when the photos fit.
type fitNote struct {
	To    string `json:"to"`
	What  string `json:"what,omitempty"`  // empty: nothing, somebody waits for the photos
	Photo string `json:"photo,omitempty"` // Media of PhotoOf
	// Media are the photos that somebody waits for; none: all.
	Media []string `json:"media,omitempty"`
}

// unfitted tells whether a photo that the message carries has still to be made to fit its destination.
func (d *decision) unfitted(e Endpoint) bool {
	return slices.ContainsFunc(d.c.Photos, func(ph pathway.Photo) bool {
		return slices.Contains(d.asked, ph.Media) && !e.Takes.fits(ph) && ph.Fit(e.Takes.String()) == nil
	})
}

// sendable gives the photos and documents of the request that may travel, as a destination may have them. One that cannot
// be made to fit stays behind when cancer is suspected, as photos that wait do, and in any case when it is not clean;
// the photos of a referral are left to e-RS to judge, which has the referral before them. No answer waits for one: its sender
// has it.
func (d *decision) sendable(e Endpoint, n telling) (out []pathway.Photo) {
	for _, ph := range d.c.Sendable() {
		ph, refused := e.Takes.as(ph)
		if !refused || !ph.Unclean && !(d.c.Suspected() && !d.follows(e)) && !d.tells(e, n) {
			out = append(out, ph)
		}
	}
	return out
}

// as gives a photo in the form that was made for what is taken of it, else as it is; refused tells that it cannot be made to
// fit.
func (t Takes) as(ph pathway.Photo) (out pathway.Photo, refused bool) {
	f := ph.Fit(t.String())
	if t.fits(ph) || f == nil {
		return ph, false
	}
	if f.Refused != "" {
		return ph, true
	}
	ph = ph.As(f)
	ph.Name = strings.TrimSuffix(ph.Name, path.Ext(ph.Name)) + "." + image.TypeNamed(ph.Type).Ext()
	return ph, false
}

// follows tells a channel that gets the photos after the request, and tells of each that it does not take.
func (d *decision) follows(e Endpoint) bool { return e.Kind == ToERS && d.c.Kind == pathway.Referral }

// unfit gives why the message must not be sent as it is: more files than its destination takes, or a photo that
// cannot be made to fit. A suspected cancer goes without them.
func (d *decision) unfit(e Endpoint, n telling) *Unfit {
	if d.tells(e, n) || !n.carries() && len(d.asked) == 0 {
		return nil
	}
	if i := d.crowd(e, n); i != nil {
		d.ask("too-many-photos", i.Text)
		if !d.c.Suspected() {
			return &Unfit{e.Name, i}
		}
	}
	if d.c.Suspected() || d.follows(e) {
		return nil
	}
	for i, ph := range d.c.Photos {
		if n.photo != nil && n.photo.Media != ph.Media || ph.Waiting != "" || ph.From != "" || e.Takes.fits(ph) {
			continue
		}
		if f := ph.Fit(e.Takes.String()); f != nil && f.Refused != "" {
			return &Unfit{e.Name, issue.New(issue.TooLong, fmt.Sprintf("photo %d", i+1), f.Refused)}
		}
	}
	return nil
}

// crowd tells of more files than a destination takes in one message.
func (d *decision) crowd(e Endpoint, n telling) *issue.Issue {
	files := len(d.c.Sendable())
	if e.Takes.Files <= 0 || n.photo != nil || files <= e.Takes.Files || !d.repeats(e, n) {
		return nil
	}
	return issue.New(issue.TooLong, "files", fmt.Sprintf("%d files, and %s takes %d in one message", files, e.Name, e.Takes.Files))
}

// tells tells an RRI, ORU or MDM, by which who asked hears what became of it, from the request itself: that goes as REF, and
// in FHIR both look alike.
func (d *decision) tells(e Endpoint, n telling) bool {
	return e.Kind == ToMLLP && n.photo == nil && !strings.HasPrefix(d.form(e, n.what), "REF_")
}

// repeats tells a message that has the photos of the request in it: of those that tell, a letter.
func (d *decision) repeats(e Endpoint, n telling) bool {
	return !d.tells(e, n) || d.letters(e, n) && e.LetterPhotos == PhotosEmbedded
}

// carries tells a message that brings the files of a request.
func (n telling) carries() bool {
	return slices.Contains([]string{"referral", "advice-request", "photos", PhotoOf}, n.what)
}

// fitLater leaves what is to be sent to the Fitter.
func (d *decision) fitLater(e Endpoint, n telling) error {
	wait := fitNote{To: e.Name, What: n.what}
	if n.photo != nil {
		wait.Photo = n.photo.Media
	}
	return d.fitting(e, wait, n.what, wait.Photo, fmt.Sprint(d.c.Moves))
}

// fitting adds the work of making photos fit a destination; apart tells it from other work on them.
func (d *decision) fitting(e Endpoint, wait fitNote, apart ...string) error {
	note, err := json.Marshal(wait)
	if err != nil {
		return err
	}
	id := d.derive(append([]string{FitPhotos, e.Name}, apart...)...)
	d.out = append(d.out, Delivery{ID: id, Case: d.id(), Message: d.why, To: ToPhotos, Lane: d.c.ID, Class: class(d.c.Urgency),
		Key: id.String(), What: FitPhotos, Note: string(note), State: Waiting, Due: d.at, Created: d.at})
	d.c.Fitting = append(d.c.Fitting, id.String())
	d.tell("photo", "photos for "+e.Name+" are made to fit: "+e.Takes.words(), "")
	return nil
}

// sendFitted sends what waited for its photos, unless the case has ended meanwhile.
func (d *decision) sendFitted(ctx context.Context, e Endpoint, note fitNote) error {
	if d.p.Machines[d.c.Kind].Ended(d.c.State) || d.c.State == pathway.EndedNoticeDue {
		d.tell("photo", note.What+" for "+e.Name+" is not sent: the case has ended", "")
		return nil
	}
	switch note.What {
	case "":
		return d.fitAll(ctx, e, note.Media)
	case "photos":
		return d.sendPhotos(ctx, e)
	case PhotoOf:
		for _, ph := range d.c.Sendable() {
			if ph.Media == note.Photo {
				return d.sendTold(ctx, e, telling{what: PhotoOf, photo: &ph})
			}
		}
		return nil
	}
	return d.sendRequest(ctx, e)
}

// fitAll makes photos of the case fit a destination, all of them where media names none, and remembers what came of each.
func (d *decision) fitAll(ctx context.Context, e Endpoint, media []string) error {
	for i := range d.c.Photos {
		ph := &d.c.Photos[i]
		if len(media) > 0 && !slices.Contains(media, ph.Media) || ph.Waiting != "" || e.Takes.fits(*ph) || ph.Fit(e.Takes.String()) != nil {
			continue
		}
		f, err := d.fitter.fit(ctx, d, *ph, e.Takes)
		if err != nil {
			return err
		}
		ph.Fits = append(ph.Fits, f)
		where := fmt.Sprintf("photo %d for %s: ", i+1, e.Name)
		if f.Refused == "" {
			d.refs = append(d.refs, Ref{systemFile, f.SHA256}, d.provenanceRef(ph.As(&f)))
			d.tell("photo", where+stepOf(ph.As(&f))+fmt.Sprintf(", %d bytes of %d", f.Size, ph.Size), f.SHA256)
			continue
		}
		d.tell("photo", where+f.Refused, "")
		if ph.From != "" { // nobody here can send another one: bring it over (leave)
			continue
		}
		d.ask("photo-too-large", where+f.Refused)
		d.p.alarm("photo-too-large", "case "+d.c.ID+": "+where+f.Refused)
	}
	return nil
}
