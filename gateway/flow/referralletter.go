package flow

import (
	"bytes"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/dermgate/dermgate/gateway/letter"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// The referral letter (gateway/letter) is the first file of whatever is expected to hold one: an MDM^T02 of a request or
// of what came of it, and what is left with a FHIR server. e-RS gets it from its adapter, made of the same Bundle.

// wantsLetter tells a message that the referral letter goes with. Who asked has it: it is their own.
func (d *decision) wantsLetter(e Endpoint, n telling) bool {
	if n.photo != nil || !slices.Contains([]string{"referral", "advice-request", Triaged}, n.what) {
		return false
	}
	switch e.Kind {
	case ToMLLP:
		return d.question == nil && e.Message == "MDM_T02" && e.Facility != d.c.Request.Organisation
	case ToFHIR:
		return e.Transaction
	}
	return false
}

// encloseReferral puts the letter of a request into the Bundle that is made of it.
func (d *decision) encloseReferral(e Endpoint, b *fhir.Bundle) error {
	pdf, err := letter.PDF(b)
	if err != nil {
		return err
	}
	sha := digest(pdf)
	doc, err := d.letterResource(e, b, sha, len(pdf))
	if err != nil {
		return err
	}
	data := fhir.Data{Size: int64(len(pdf)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(pdf)), nil }}
	if e.Kind == ToFHIR {
		url := "urn:uuid:" + d.derive("letter binary").String()
		bin, err := b.Add(url, "Binary")
		if err != nil {
			return err
		}
		w := writer{}
		w.set(bin, "contentType", letter.MediaType)
		w.set(doc.At("content.attachment"), "url", url)
		if w.err != nil {
			return w.err
		}
		return bin.SetData("data", data)
	}
	d.files = maps.Clone(d.files)
	if d.files == nil {
		d.files = map[string]fhir.Data{}
	}
	d.files[sha] = data
	return nil
}

// letterResource adds the DocumentReference of the letter, and for HL7 v2 what says that it is part of the message.
func (d *decision) letterResource(e Endpoint, b *fhir.Bundle, sha string, size int) (fhir.Element, error) {
	url := "urn:uuid:" + d.derive("letter").String()
	request, patient := b.First("ServiceRequest"), b.First("Patient")
	doc, err := b.Add(url, "DocumentReference")
	if err != nil {
		return doc, err
	}
	w := writer{}
	w.set(doc, "status", "current")
	typ := w.add(doc, "type")
	coding := w.add(typ, "coding") // LOINC 57133-1, Referral note
	w.set(coding, "system", "http://loinc.org")
	w.set(coding, "code", "57133-1")
	w.set(coding, "display", "Referral note")
	w.set(typ, "text", "Referral letter")
	w.set(w.add(doc, "subject"), "reference", fullURL(patient))
	att := w.add(w.add(doc, "content"), "attachment")
	w.set(att, "contentType", letter.MediaType)
	w.set(att, "url", shaURL+sha)
	w.set(att, "size", strconv.Itoa(size))
	w.set(att, "title", letter.Name)
	w.set(w.add(w.add(doc, "context"), "related"), "reference", fullURL(request))
	if e.Kind == ToMLLP && w.err == nil {
		var c fhir.Element
		if c, w.err = b.Add(url+"-sent", "Communication"); w.err == nil {
			w.set(c, "status", "completed")
			w.set(w.add(w.add(c, "payload"), "contentReference"), "reference", url)
		}
	}
	return doc, w.err
}
