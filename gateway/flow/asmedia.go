package flow

import (
	"cmp"
	"strings"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// photosAsMedia makes a Media of every photo that came as a DocumentReference, so that all photos of a request are alike,
// however they came. A document with one photo gives it its place and its id; of one that holds more, or something else
// beside, each photo is a Media of its own, beside it.
func photosAsMedia(b *fhir.Bundle, t *Translated) error {
	names := map[string]string{}
	for doc := range b.All("DocumentReference") {
		var photos []*mapping.File
		others := false
		for i := range t.Files {
			if f := &t.Files[i]; f.Element == doc && f.Facts.Type.Photo() {
				photos = append(photos, f)
			} else if f.Element == doc {
				others = true
			}
		}
		if len(photos) == 0 {
			continue
		}
		for i, f := range photos {
			url, id := fullURL(doc), doc.Child("id").Text()
			beside := i > 0 || others
			if beside {
				id = NewID(t.Idem.Partition(), "photo", t.Idem.Key, f.Where).String()
				url = "urn:uuid:" + id
			}
			m, err := asMedia(b, doc, f, url, id)
			if err != nil {
				return err
			}
			f.Element = m
			if beside {
				w := writer{}
				w.set(w.add(b.First("ServiceRequest"), "supportingInfo"), "reference", url)
				if w.err != nil {
					return w.err
				}
			}
		}
		if !others {
			was := "DocumentReference/" + resourceID(doc)
			names[was] = "Media/" + resourceID(doc)
			for i, location := range t.entries {
				if location == was {
					t.entries[i] = names[was]
				}
			}
			doc.Parent().Remove()
		}
	}
	if len(names) > 0 {
		for r := range b.Resources() {
			repointAll(r, names)
		}
	}
	return nil
}

// mediaStatus is that of a Media for that of a DocumentReference; a photo that was replaced is of no known use.
var mediaStatus = map[string]string{"current": "completed", "entered-in-error": "entered-in-error"}

// asMedia adds the Media of a photo of a document.
func asMedia(b *fhir.Bundle, doc fhir.Element, f *mapping.File, url, id string) (fhir.Element, error) {
	m, err := b.Add(url, "Media")
	if err != nil {
		return m, err
	}
	w := writer{}
	w.set(m, "id", id)
	for _, from := range []string{"extension", "masterIdentifier", "identifier", "subject"} {
		to := from
		if from == "masterIdentifier" {
			to = "identifier"
		}
		for x := range doc.Children(from) {
			w.copy(m, to, x)
		}
	}
	for about := range doc.Child("context").Children("related") {
		if r := b.Resolve(about.Child("reference").Text()); r.OK() && r.Type().Name == "ServiceRequest" {
			w.copy(m, "basedOn", about)
		}
	}
	w.set(m, "status", cmp.Or(mediaStatus[doc.Child("status").Text()], "unknown"))
	w.concept(m, "type", "http://terminology.hl7.org/CodeSystem/media-type", "image")
	if what := doc.Child("type"); what.OK() {
		w.copy(m, "reasonCode", what)
	}
	content := attachmentOf(doc, f)
	w.set(m, "createdDateTime", content.Child("creation").Text())
	if author := doc.Child("author"); author.OK() {
		w.copy(m, "operator", author)
	}
	w.copy(m, "content", content)
	if words := doc.Child("description").Text(); words != "" {
		w.set(w.add(m, "note"), "text", words)
	}
	if fhir.OwnExtension(m, "photo-view") == "" && hasCode(doc.Child("type"), dermoscopyCodes) {
		w.extension(m, "photo-view", "valueCode", viewDermoscopic)
	}
	return m, w.err
}

// attachmentOf gives the attachment that a file was taken out of.
func attachmentOf(doc fhir.Element, f *mapping.File) fhir.Element {
	for c := range doc.Children("content") {
		if att := c.Child("attachment"); strings.TrimPrefix(att.Child("url").Text(), shaURL) == f.SHA256 {
			return att
		}
	}
	return doc.At("content.attachment")
}

func (w *writer) copy(to fhir.Element, name string, from fhir.Element) {
	if w.err == nil {
		_, w.err = fhir.Copy(to, name, from)
	}
}
