package flow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/image/dicom"
	"github.com/dermgate/dermgate/mapping/issue"
)

// unusable is why a file waits that cannot be sent at all: its requester is asked for another.
const unusable = "unusable"

// keepFiles puts every file's original into the blob store, and beside it what may travel: the same
// pixels without the metadata that says where and by whom the photo was taken.
func (d *decision) keepFiles(ctx context.Context, t *Translated, rules SourceRules) error {
	used := map[string]bool{}
	for _, ph := range d.c.Photos {
		used[strings.ToLower(strings.TrimSuffix(ph.Name, path.Ext(ph.Name)))+"."] = true
	}
	for i, f := range t.Files {
		photo, err := d.keepFile(ctx, f, rules)
		if err == nil && photo.patient != "" && t.Facts.NHSNumber != "" && photo.patient != t.Facts.NHSNumber {
			err = issue.New(issue.Conflict, f.Where, "a photo that says it is of another patient")
			d.p.alarm("wrong-patient", "source "+t.Source+": a photo names another patient than its request")
		}
		var trouble *issue.Issue
		if errors.As(err, &trouble) && (d.c.Suspected() || rules.Found) {
			t.spare(trouble)
			t.Issues = append(t.Issues, trouble)
			err = nil
		}
		if err != nil {
			return err
		}
		if t.unusable[f.Where] {
			photo.Waiting = unusable
		}
		if withdrawn(f.Element) {
			photo.Waiting = unusable
			d.tell("photo", fmt.Sprintf("photo %d: its sender says that it is wrong: it is kept, and sent nowhere", i+1), f.SHA256)
		}
		lesion, view := fhir.OwnExtension(f.Element, "lesion"), fhir.OwnExtension(f.Element, "photo-view")
		if view == "" && photo.Says.Modality == dermoscopy {
			view = viewDermoscopic
		}
		photo.Name = fileName(used, lesion, view, f.Facts.Type)
		d.c.Photos = append(d.c.Photos, photo.Photo)
		d.came(i, photo.Photo)
		d.remark(t, i, f, append(photo.remarks, image.Remarks(f.Content, f.Facts)...))
	}
	return nil
}

// withdrawn tells a photo or document that was taken back (OBX-11 D or W): of the wrong patient, perhaps, and no channel of files
// would say so of it.
func withdrawn(e fhir.Element) bool { return e.Child("status").Text() == "entered-in-error" }

// withdrawals counts the photos and documents that a message takes back.
func withdrawals(b *fhir.Bundle) (n int) {
	for _, name := range []string{"Media", "DocumentReference"} {
		for e := range b.All(name) {
			if withdrawn(e) {
				n++
			}
		}
	}
	return n
}

// takenBack asks for what was sent already and is wrong to be taken out where it is, at once: it may be another patient's.
func (d *decision) takenBack(b *fhir.Bundle) {
	n := withdrawals(b)
	for _, name := range d.c.Sent {
		if n > 0 {
			d.task("photo-withdrawn", fmt.Sprintf("%d photos or documents were taken back as wrong after they were sent: have them taken out at %s", n, name))
		}
	}
}

// remark tells the sender, and the story, what was measured of a photo, or what it says of itself.
func (d *decision) remark(t *Translated, i int, f mapping.File, found issue.List) {
	for _, r := range found {
		if r.Severity != issue.Warning { // of most photos, and nobody can change it
			continue
		}
		r.Where = f.Where
		if !slices.ContainsFunc(t.Issues, func(i *issue.Issue) bool { return i.Where == r.Where && i.Text == r.Text }) { // decided again
			t.Issues = append(t.Issues, r)
		}
		d.tell("photo", fmt.Sprintf("photo %d: %s", i+1, r.Text), f.SHA256)
	}
}

// came notes what was done to a photo on the way in, and lets it be found.
func (d *decision) came(i int, ph pathway.Photo) {
	d.refs = append(d.refs, Ref{systemFile, ph.SHA256})
	if ph.Document || ph.Waiting == unusable {
		return
	}
	switch {
	case ph.Unclean:
		d.tell("photo", fmt.Sprintf("photo %d: %s, made anew for each destination", i+1, image.TypeNamed(ph.Type)), ph.Original)
	case ph.SHA256 != ph.Original:
		d.refs = append(d.refs, Ref{systemFile, ph.Original}, d.provenanceRef(ph))
		d.tell("photo", fmt.Sprintf("photo %d: %s", i+1, stepOf(ph)), ph.SHA256)
	}
}

// fileName names a file as none before it in its request is named, whatever type it becomes and however a channel
// spells names.
func fileName(used map[string]bool, lesion, view string, t image.Type) string {
	for n := 1; ; n++ {
		name := image.FileName(lesion, view, n, t)
		stem := strings.ToLower(strings.TrimSuffix(name, t.Ext()))
		if !used[stem] {
			used[stem] = true
			return name
		}
	}
}

// kept is a photo with what it says of its patient, which goes no further, and what is to be told of it.
type kept struct {
	pathway.Photo
	patient string // NHS number
	remarks issue.List
}

func (d *decision) keepFile(ctx context.Context, f mapping.File, rules SourceRules) (kept, error) {
	original, err := d.p.keepOriginal(ctx, d.c.ID, f)
	if err != nil {
		return kept{}, fmt.Errorf("keep original: %w", err)
	}
	typ := f.Facts.Type
	photo := kept{Photo: pathway.Photo{Media: fullURL(f.Element), Original: f.SHA256, Keep: original.Blob, Came: typ.MediaType(), Blob: original.Blob,
		SHA256: original.SHA256, Type: typ.MediaType(), Size: original.Size, Width: f.Facts.Width, Height: f.Facts.Height, Profile: f.Facts.ICC, Document: !typ.Photo()}}
	if photo.Document {
		return photo, nil
	}
	photo.Says.Taken = d.taken(f.Facts.Captured, f.Facts.Zone)
	stripped, err := image.Strip(f.Content)
	if unread := (*image.ReadError)(nil); errors.As(err, &unread) {
		return photo, err
	}
	if i := issue.From(err); i != nil && i.Kind == issue.UnsupportedType && d.p.Decodes != nil && d.p.Decodes(typ) {
		photo.Unclean = true
		return d.look(ctx, f, photo, rules)
	}
	if err != nil {
		i := issue.From(err)
		return photo, issue.New(i.Kind, f.Where, i.Text).Because(err)
	}
	if !stripped.Changed() {
		return photo, nil
	}
	original.Type = photo.Type
	derived, err := d.p.derive(ctx, d.c.ID, stripped, original)
	if err != nil {
		return photo, fmt.Errorf("keep derivative: %w", err)
	}
	photo.Blob, photo.SHA256, photo.Size, photo.Removed = derived.Blob, derived.SHA256, derived.Size, stripped.Removed
	return photo, nil
}

// look reads what a DICOM file says of its photo, in a process of its own.
func (d *decision) look(ctx context.Context, f mapping.File, photo kept, rules SourceRules) (kept, error) {
	if f.Facts.Type != image.DICOM {
		return photo, nil
	}
	most := cmp.Or(rules.Limits.Pixels, mostPixels)
	free, err := d.p.Budget.take(ctx, f.Content.Size()) // a pixel is a byte or more
	if err != nil {
		return photo, err
	}
	defer free()
	rows, err := d.p.Decode(ctx)(f.Content, image.DICOM, most)
	if trouble := (*issue.Issue)(nil); errors.As(err, &trouble) {
		return photo, issue.New(trouble.Kind, f.Where, trouble.Text).Because(err)
	}
	if unread := (*image.ReadError)(nil); errors.As(err, &unread) {
		return photo, err
	}
	if err != nil {
		return photo, fmt.Errorf("look at a photo: %w: %w", ErrUnavailable, err)
	}
	defer rows.Close()
	photo.Width, photo.Height = rows.Width, rows.Height
	photo.Says.Taken = d.taken(rows.Captured, rows.Zone)
	if of := rows.DICOM; of != nil {
		photo.said(of)
	}
	return photo, nil
}

// mostPixels are those that image.Limits takes unless told otherwise.
const mostPixels = 64_000_000

// said takes over the codes of a DICOM file, and whose photo it says it is where that is an NHS number.
func (k *kept) said(of *dicom.Photo) {
	k.remarks = of.Remarks()
	k.Says.Modality = "XC"
	if of.Class == dicom.Dermoscopic || of.Modality == dermoscopy {
		k.Says.Modality = dermoscopy
	}
	if of.Region.Scheme == "SCT" {
		k.Says.Region = of.Region.Value
	}
	k.Says.Laterality = of.Laterality
	if number := strings.ReplaceAll(of.PatientID, " ", ""); fhir.ValidNHSNumber(number) {
		k.patient = number
	}
}

// taken gives a time of EXIF, "2026:11:24 10:05:00" and "+01:00", as a FHIR dateTime; empty where it is none. A camera
// that does not say where it was is at home.
func (d *decision) taken(at, offset string) string {
	t, err := time.Parse("2006:01:02 15:04:05Z07:00", at+offset)
	if offset == "" {
		t, err = time.ParseInLocation("2006:01:02 15:04:05", at, cmp.Or(d.p.Site.Zone, time.UTC))
	}
	if err != nil || t.Year() < 1990 {
		return ""
	}
	return t.Format(time.RFC3339)
}

// keepOriginal keeps a file as it came; one that lies in the blob store already gets its owner.
func (p *Pipeline) keepOriginal(ctx context.Context, owner string, f mapping.File) (BodyRef, error) {
	if t, ok := f.Content.(Taken); ok {
		return t.Keep(ctx, owner)
	}
	return p.Bodies.Put(ctx, owner, io.NewSectionReader(f.Content, 0, f.Content.Size()), f.Facts.Type.MediaType())
}
