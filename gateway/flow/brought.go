package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/issue"
)

// What an answer brings with it, a letter or a photo on which a specialist has ringed a mole, is kept as the files of a
// request are, and goes with the news of that answer, and with nothing else. Its photos are stripped, and made to fit who
// gets them, in the same way. What cannot go never holds up the words: somebody brings it over (task answer-photos).

// bring keeps the files of an answer, once. The photos of the request, which some send back, are at its sender's.
func (d *decision) bring(ctx context.Context, t *Translated) error {
	if t.Facts.ofRequester() {
		return nil
	}
	used := map[string]bool{}
	for _, ph := range d.c.Photos {
		used[strings.ToLower(strings.TrimSuffix(ph.Name, "."+image.TypeNamed(ph.Type).Ext()))] = true
	}
	left := 0
	for i, f := range t.Files {
		if d.has(f) {
			continue
		}
		ph, ok, err := d.bringOne(ctx, t, f)
		switch {
		case err != nil:
			return err
		case ok:
			ph.Name = fileName(used, fhir.OwnExtension(f.Element, "lesion"), fhir.OwnExtension(f.Element, "photo-view"), f.Facts.Type)
			d.c.Photos = append(d.c.Photos, ph)
			d.came(i, ph)
		case f.Facts.Type.Photo():
			left++
		}
	}
	if left > 0 {
		d.leftBehind(t.Facts.Event, left, "anybody")
	}
	return nil
}

// has tells a file that the case has: of the request, or of the same answer.
func (d *decision) has(f mapping.File) bool {
	return slices.ContainsFunc(d.c.Photos, func(ph pathway.Photo) bool {
		switch ph.From {
		case d.why.String():
			return ph.Original == f.SHA256 && ph.Media == fullURL(f.Element)
		case "":
			return f.Facts.Type.Photo() && (ph.Original == f.SHA256 || ph.SHA256 == f.SHA256)
		}
		return false
	})
}

// bringOne keeps one file; false of one that must not travel, or cannot.
func (d *decision) bringOne(ctx context.Context, t *Translated, f mapping.File) (pathway.Photo, bool, error) {
	known := slices.ContainsFunc(d.c.Photos, func(ph pathway.Photo) bool { return ph.From != d.why.String() && ph.Media == fullURL(f.Element) })
	if known || t.unusable[f.Where] || withdrawn(f.Element) || f.Facts.Type.Photo() && t.Facts.Consent == "deny" {
		return pathway.Photo{}, false, nil
	}
	ph, err := d.keepFile(ctx, f, d.p.Sources[t.Source])
	var trouble *issue.Issue
	switch {
	case errors.As(err, &trouble) && trouble.Kind != issue.Unavailable:
		return pathway.Photo{}, false, nil
	case err != nil:
		return pathway.Photo{}, false, err
	case ph.patient != "" && t.Facts.NHSNumber != "" && ph.patient != t.Facts.NHSNumber:
		d.p.alarm("wrong-patient", "source "+t.Source+": a photo names another patient than its answer")
		return pathway.Photo{}, false, nil
	}
	ph.From, ph.At = d.why.String(), d.at
	return ph.Photo, true, nil
}

// brought gives the files that go with the news of an answer, as a destination may have them. Where they are too many, the
// photos stay behind: which ones go, nobody here decides.
func (d *decision) brought(e Endpoint, n telling) (out []pathway.Photo) {
	if n.answer == nil {
		return nil
	}
	for _, ph := range d.c.Brought(d.why.String()) {
		if ph, refused := e.Takes.as(ph); !refused {
			out = append(out, ph)
		}
	}
	files := len(out)
	if d.repeats(e, n) {
		files += len(d.c.Sendable())
	}
	if n.photo == nil && e.Takes.Files > 0 && files > e.Takes.Files {
		out = slices.DeleteFunc(out, func(ph pathway.Photo) bool { return !ph.Document })
	}
	return out
}

// leave tells of photos that do not go to a destination with an answer: of those that it brought somebody, of those of the
// request, which are at its sender's, the story.
func (d *decision) leave(e Endpoint, n telling) {
	if !d.tells(e, n) && n.answer == nil || n.what == LetterOf || n.photo != nil { // news of which the first message has them
		return
	}
	filed := d.letters(e, n) && e.LetterPhotos == PhotosDocuments
	goes := func(ph pathway.Photo) bool {
		return ph.Document || slices.Contains(d.asked, ph.Media) || filed && carries(d.carried, ph.Media)
	}
	if left := slices.DeleteFunc(d.c.Brought(d.why.String()), goes); n.answer != nil && len(left) > 0 {
		d.leftBehind(n.what, len(left), e.Name)
	}
	if left := slices.DeleteFunc(d.c.Sendable(), goes); d.tells(e, n) && (filed || d.repeats(e, n)) && len(left) > 0 {
		d.tell("not-sent", fmt.Sprintf("%d photos of the request with %s for %s: it does not take them", len(left), n.what, e.Name), "")
	}
}

func (d *decision) leftBehind(what string, photos int, to string) {
	d.task("answer-photos", fmt.Sprintf("%s came with %d photos that are not sent on to %s: bring them over from message %s", what, photos, to, d.why))
}
