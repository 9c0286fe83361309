package flow

import (
	"bytes"
	"encoding/base64"
	"io"
	"strconv"
	"strings"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/issue"
)

// shaURL begins the url of a file that lies in the blob store: the canonical Bundle names photos, it does
// not hold them.
const shaURL = "urn:sha-256:"

// canonical takes the files out of an inbound Bundle: the data of each Media and DocumentReference, inline
// or in a Binary beside it, becomes a File and the attachment names it by hash. The error is an
// *image.ReadError: a payload that was lifted could not be read. The emptied Binaries keep their entries until
// dropBinaries, so that all that is found meanwhile names the sender's own places.
func canonical(b *fhir.Bundle, rules SourceRules, lifted map[string]mapping.Payload) (inbound, error) {
	in := inbound{b: b, limits: rules.Limits, lifted: lifted, taken: map[fhir.Element]bool{}}
	for m := range b.All("Media") {
		in.take(m, m.Child("content"))
	}
	for d := range b.All("DocumentReference") {
		for c := range d.Children("content") {
			in.take(d, c.Child("attachment"))
		}
	}
	for bin := range b.All("Binary") {
		if data := bin.Child("data"); data.OK() {
			data.Remove()
		}
		if !in.taken[bin] {
			in.loss.Unmapped = append(in.loss.Unmapped, bin.Path())
		}
	}
	if len(lifted) > 0 {
		in.restore(b.Root)
	}
	return in, in.err
}

// dropBinaries takes the entries out whose content has become files.
func dropBinaries(b *fhir.Bundle) {
	for bin := range b.All("Binary") {
		bin.Parent().Remove()
	}
}

// restore gives lifted data that belongs to no photo or document back to its element: a signature, a report's
// own form. It is streamed when the Bundle is written.
func (in *inbound) restore(e fhir.Element) {
	for c := range e.Children("") {
		l, ok := in.lifted[c.Text()]
		switch {
		case !ok:
			in.restore(c)
		case l.Broken:
			in.found(issue.Value, c.Path(), "not base64", nil)
		default:
			data := fhir.Data{Size: l.File.Size(), Open: func() (io.ReadCloser, error) {
				return io.NopCloser(io.NewSectionReader(l.File, 0, l.File.Size())), nil
			}}
			if err := e.SetData(c.Name(), data); err != nil {
				in.issues = append(in.issues, issue.From(err))
			}
		}
	}
}

// inbound is a Bundle whose files are being taken out.
type inbound struct {
	b      *fhir.Bundle
	limits image.Limits
	lifted map[string]mapping.Payload // by the token that is in their place
	files  []mapping.File
	taken  map[fhir.Element]bool // Binaries that a photo or document names
	loss   Loss
	issues issue.List
	err    error
}

func (in *inbound) found(k issue.Kind, where, text string, cause error) {
	in.issues = append(in.issues, issue.New(k, where, text).Because(cause))
}

// take makes a File of an attachment.
func (in *inbound) take(owner, att fhir.Element) {
	data, place := att.Child("data"), att.Path()
	if bin := in.b.Resolve(att.Child("url").Text()); !data.OK() && bin.OK() {
		data = bin.Child("data")
		in.taken[bin] = true
	}
	if !data.OK() {
		if !strings.HasPrefix(att.Child("url").Text(), shaURL) { // else named, not sent: the other side knows it by hash
			in.found(issue.Required, place, "a file without data: urls are never fetched", nil)
		}
		return
	}
	f, ok := in.file(data.Text(), place)
	if !ok {
		return
	}
	facts, trouble, err := image.Check(f.Content, att.Child("contentType").Text(), in.limits)
	if err != nil {
		in.err = err
		return
	}
	for _, i := range trouble {
		i.Where = place
	}
	in.issues = append(in.issues, trouble...)
	f.Facts, f.Element = facts, owner
	size := strconv.FormatInt(f.Content.Size(), 10)
	if claimed := att.At("size").Text(); claimed != "" && claimed != size {
		in.found(issue.Value, place+".size", "is not the size of the data", nil)
	}
	att.Child("data").Remove()
	for name, value := range map[string]string{"url": shaURL + f.SHA256, "size": size, "contentType": facts.Type.MediaType()} {
		if err := att.Set(name, value); err != nil {
			in.issues = append(in.issues, issue.From(err))
		}
	}
	in.files = append(in.files, f)
}

// file decodes base64, unless that was done while the message was read.
func (in *inbound) file(text, place string) (mapping.File, bool) {
	l, lifted := in.lifted[text]
	if lifted && !l.Broken {
		return mapping.File{Where: place, SHA256: l.SHA256, Content: l.File}, true
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || lifted {
		in.found(issue.Value, place+".data", "not base64", err)
		return mapping.File{}, false
	}
	return mapping.File{Where: place, SHA256: digest(raw), Content: bytes.NewReader(raw)}, true
}
