package flow

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// What a letter and a photo that is a document of its own are called as deliveries.
const (
	LetterOf = "letter"         // the words of an outcome, beside the message that tells it
	PhotoOf  = "photo-document" // one photo, for a receiver that files one document a message
)

// Where the photos of a request go when a destination gets its letter.
const (
	PhotosEmbedded  = "embedded"  // into the letter's own message
	PhotosDocuments = "documents" // a message each
	PhotosNone      = "none"
)

// tells gives the messages by which a destination hears what happened: a referral that was not simply accepted, and
// advice that was converted, have a letter beside their own message (pathway.md §6: AG14, RA12, RA22, RA29, RA33, RA34).
func (e Endpoint) tells(f Facts) []string {
	said := f.Event == Ended || f.Event == ConvertedTo || f.Event == Triaged && f.Result != OutcomeAccepted
	if e.Letter == "" || !said {
		return []string{f.Event}
	}
	return []string{f.Event, LetterOf}
}

// form gives the HL7 v2 message that says what happened; an RRI by the event of what its requester last sent.
func (d *decision) form(e Endpoint, what string) string {
	form := e.Message
	if d.question != nil {
		form = "RRI_I12"
	}
	switch what {
	case PatientRecord:
		return d.record
	case LetterOf:
		form = e.Letter
	case PhotoOf:
		return "MDM_T02-Photo"
	case Answered, InfoRequested:
		form = e.Answer
	}
	switch {
	case form == "RRI_I12":
		return "RRI_" + d.answers(what).Trigger
	case form == "MDM_T02" && d.replaces(e, what) != "":
		return "MDM_T10"
	}
	return form
}

// replaces gives the number of the letter that an amended answer takes the place of at a destination.
func (d *decision) replaces(e Endpoint, what string) string {
	if what != Answered || !d.amends {
		return ""
	}
	return d.c.Letters[e.Name]
}

// lettered remembers the letter that answers, and sends the photos that are documents of their own.
func (d *decision) lettered(ctx context.Context, e Endpoint, m outgoing, n telling) error {
	if m.form != "MDM_T02" && m.form != "MDM_T10" {
		return nil
	}
	if m.what == Answered {
		if d.c.Letters == nil {
			d.c.Letters = map[string]string{}
		}
		d.c.Letters[e.Name] = m.key
	}
	if e.LetterPhotos != PhotosDocuments {
		return nil
	}
	for _, ph := range d.carried {
		filed := e.Name + " " + ph.Media
		if ph.Document || slices.Contains(d.c.Filed, filed) {
			continue
		}
		d.c.Filed = append(d.c.Filed, filed)
		one := telling{what: PhotoOf, photo: &ph}
		if ph.From != "" {
			one.answer = n.answer
		}
		if err := d.sendTold(ctx, e, one); err != nil {
			return err
		}
	}
	return nil
}

// telling is what a destination is to hear.
type telling struct {
	what   string
	answer *fhir.Bundle   // that brought news; nil for the request itself
	photo  *pathway.Photo // of PhotoOf

	elsewhere bool // it also goes by another route to who asked
}

// travelling gives those of the files that may be carried which go into a message.
func (d *decision) travelling(e Endpoint, n telling) []pathway.Photo {
	switch all := slices.Clone(d.carried); {
	case n.photo != nil:
		return slices.DeleteFunc(all, func(ph pathway.Photo) bool { return ph.Media != n.photo.Media })
	case (d.c.Suspected() || d.tells(e, n)) && d.crowd(e, n) != nil: // which ones go, nobody here decides
		return slices.DeleteFunc(all, func(ph pathway.Photo) bool { return !ph.Document && ph.From == "" })
	case d.letters(e, n) && e.LetterPhotos != PhotosEmbedded:
		return nil
	default:
		return all
	}
}

// letters tells whether a destination is told by a letter.
func (d *decision) letters(e Endpoint, n telling) bool {
	return e.Kind == ToMLLP && strings.HasPrefix(d.form(e, n.what), "MDM_")
}

// changed remembers what the requester last sent of a request, which an RRI answers by its event and control id.
func (d *decision) changed(f Facts) {
	trigger := "I13"
	if f.Event == Withdrawn {
		trigger = "I14"
	}
	d.c.Request.Change = &pathway.Change{Trigger: trigger, ControlID: f.ControlID}
}

// answers gives what of the requester's a message about the case answers: the last, but for a withdrawal that has come to
// nothing. RF1-1 A under I14 would read as if that had been accepted.
func (d *decision) answers(what string) pathway.Change {
	if d.question != nil {
		return pathway.Change{Trigger: "I15", ControlID: d.question.Facts.ControlID}
	}
	if c := d.c.Request.Change; c != nil && (c.Trigger != "I14" || what == Ended) {
		return *c
	}
	return pathway.Change{Trigger: "I12", ControlID: d.c.Request.ControlID}
}

// letterFiles lets the files of an answer stream into what is sent of it.
func letterFiles(t *Translated) map[string]fhir.Data {
	out := make(map[string]fhir.Data, len(t.Files))
	for _, f := range t.Files {
		out[f.SHA256] = fhir.Data{Size: f.Content.Size(), Open: func() (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(f.Content, 0, f.Content.Size())), nil
		}}
	}
	return out
}

// parties are the resources of an answer that say who gave it.
var parties = []string{"Practitioner", "PractitionerRole", "Organization"}

// enclose makes each document of an answer part of what it says, so that no letter stays behind because its sender did not
// link it.
func enclose(w *writer, b *fhir.Bundle, documents []string) {
	said := map[string]bool{}
	for c := range b.All("Communication") {
		for p := range c.Children("payload") {
			said[p.At("contentReference.reference").Text()] = true
		}
	}
	for _, url := range documents {
		if said[url] {
			continue
		}
		c := b.First("Communication")
		if !c.OK() {
			if c, w.err = b.Add(url+"-words", "Communication"); w.err != nil {
				return
			}
			w.set(c, "status", "completed")
		}
		w.set(w.add(w.add(c, "payload"), "contentReference"), "reference", url)
	}
}
