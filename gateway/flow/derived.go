package flow

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/image"
)

// derivative makes the resource of a photo or document describe what travels: type, size, name, hash of its bytes
// and of its original, and, where the request does not say it, what the photo says of itself. Of a photo that is not
// as it came, a Provenance tells what was done.
func (d *decision) derivative(b *fhir.Bundle, ph pathway.Photo) error {
	m := b.Resolve(ph.Media)
	if !m.OK() {
		return nil
	}
	att := attachment(m, ph)
	w := writer{}
	w.set(att, "url", shaURL+ph.SHA256)
	w.set(att, "size", fmt.Sprint(ph.Size))
	w.set(att, "title", ph.Name)
	if !ph.Document {
		w.set(att, "contentType", ph.Type)
		w.described(m, ph)
	}
	if ph.SHA256 == ph.Original {
		return w.err
	}
	if h := att.Child("hash"); h.OK() {
		h.Remove() // SHA-1 of the original
	}
	w.extension(att, "original-sha256", "valueString", ph.Original)
	w.extension(att, "derivation", "valueString", stepOf(ph))
	return cmp.Or(w.err, d.provenance(b, ph))
}

// attachment gives the place of a file in its resource: of a document with several, the one that names it.
func attachment(m fhir.Element, ph pathway.Photo) fhir.Element {
	if !ph.Document {
		return m.Child("content")
	}
	for c := range m.Children("content") {
		if a := c.Child("attachment"); a.Child("url").Text() == shaURL+ph.Original {
			return a
		}
	}
	return m.At("content.attachment")
}

// What a photo shows and what took it, in the words of the extension photo-view and of DICOM.
const (
	viewOverview    = "overview"
	viewCloseUp     = "close-up"
	viewDermoscopic = "dermoscopic"
	dermoscopy      = "DMS"
)

// described writes what the photo itself says, and its size in pixels.
func (w *writer) described(m fhir.Element, ph pathway.Photo) {
	if ph.Width > 0 && ph.Height > 0 {
		w.set(m, "width", strconv.Itoa(ph.Width))
		w.set(m, "height", strconv.Itoa(ph.Height))
	}
	if !m.Child("createdDateTime").OK() && !m.Child("createdPeriod").OK() {
		w.set(m, "createdDateTime", ph.Says.Taken)
	}
	if ph.Says.Modality == dermoscopy && fhir.OwnExtension(m, "photo-view") == "" {
		w.extension(m, "photo-view", "valueCode", viewDermoscopic)
	}
	if modality := m.Child("modality"); ph.Says.Modality != "" && coded(modality, fhir.SystemDCM) != ph.Says.Modality {
		if modality.OK() {
			modality.Remove()
		}
		w.concept(m, "modality", fhir.SystemDCM, ph.Says.Modality)
	}
	if ph.Says.Region != "" && !m.Child("bodySite").OK() {
		w.concept(m, "bodySite", fhir.SystemSNOMED, ph.Says.Region)
	}
	for word, side := range sides {
		if side == ph.Says.Laterality && fhir.OwnExtension(m, "laterality") == "" {
			w.extension(m, "laterality", "valueCode", word)
		}
	}
}

// provenance tells of a derived photo from which original it was made, by which step, with what result
// (FHIR R4 §6.3.4: the target is what was made, the entity what it was made of).
func (d *decision) provenance(b *fhir.Bundle, ph pathway.Photo) error {
	p, err := b.Add("urn:uuid:"+d.provenanceID(ph), "Provenance")
	if err != nil {
		return err
	}
	at, step := d.c.Opened, string(image.WasStripped)
	if !ph.At.IsZero() {
		at = ph.At
	}
	if ph.Fitted != nil {
		at, step = ph.Fitted.At, ph.Fitted.Step
	}
	w := writer{}
	if f := ph.Fitted; f != nil && f.Quality > 0 {
		w.extension(p, "photo-quality", "valueInteger", strconv.Itoa(f.Quality))
		if f.SSIM > 0 {
			w.extension(p, "photo-likeness", "valueDecimal", strconv.FormatFloat(f.SSIM, 'f', 4, 64))
		}
	}
	for _, name := range removed(ph) {
		w.extension(p, "photo-removed", "valueCode", name)
	}
	target := w.add(p, "target")
	w.set(target, "reference", ph.Media)
	w.identifier(target, "identifier", fhir.SystemSHA256, ph.SHA256)
	w.set(p, "recorded", at.UTC().Format(time.RFC3339))
	activity := w.add(p, "activity")
	w.coding(activity, "coding", fhir.SystemPhotoStep, step)
	w.set(activity, "text", stepOf(ph))
	agent := w.add(p, "agent")
	w.concept(agent, "type", "http://terminology.hl7.org/CodeSystem/provenance-participant-type", "assembler")
	w.set(w.add(agent, "who"), "display", "Dermgate")
	what := w.entity(p, "derivation", fhir.SystemSHA256, ph.Original)
	w.set(what, "display", "Photo as received, kept at "+cmp.Or(d.p.Site.Name, d.p.Site.ODS, "the gateway"))
	if w.err == nil {
		p.Declare()
	}
	return w.err
}

func (d *decision) provenanceID(ph pathway.Photo) string {
	return d.derive("photo-provenance", ph.Media, ph.SHA256).String()
}

// provenanceRef lets the facade find the Provenance of a derived photo.
func (d *decision) provenanceRef(ph pathway.Photo) Ref {
	return Ref{systemResource, "Provenance/" + d.provenanceID(ph)}
}

// removed names the metadata that is no longer in what travels.
func removed(ph pathway.Photo) []string {
	out := ph.Removed
	if ph.Fitted != nil {
		out = append(out[:len(out):len(out)], ph.Fitted.Removed...)
	}
	out = slices.Clone(out)
	slices.Sort(out)
	return slices.Compact(out)
}

// stepOf says for a person what was done to a photo.
func stepOf(ph pathway.Photo) string {
	f, text := ph.Fitted, string(image.WasStripped)
	if f != nil {
		text = f.Step
		if f.Quality > 0 {
			text += fmt.Sprintf(" to %d×%d pixels at quality %d", f.Width, f.Height, f.Quality)
		}
		if f.SSIM > 0 {
			text += fmt.Sprintf(", SSIM %.3f", f.SSIM)
		}
		if f.Type == image.DICOM.MediaType() {
			text += ", wrapped as DICOM"
		}
		if len(f.Lost) > 0 {
			text += ", without its " + strings.Join(f.Lost, " and ")
		}
	}
	if names := removed(ph); len(names) > 0 {
		text += ", taken out: " + strings.Join(names, " ")
	}
	return text
}
