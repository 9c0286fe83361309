package flow

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
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
// or in a Binary beside it, becomes a File and the attachment names it by hash.
func canonical(b *fhir.Bundle, rules SourceRules) ([]mapping.File, issue.List) {
	var files []mapping.File
	var issues issue.List
	take := func(owner, att fhir.Element) {
		f, trouble := file(b, owner, att, rules.Limits)
		issues = append(issues, trouble...)
		if f != nil {
			files = append(files, *f)
		}
	}
	for m := range b.All("Media") {
		take(m, m.Child("content"))
	}
	for d := range b.All("DocumentReference") {
		for c := range d.Children("content") {
			take(d, c.Child("attachment"))
		}
	}
	for entry := range b.Root.Children("entry") {
		if r := entry.Child("resource"); r.OK() && r.Type().Name == "Binary" {
			entry.Remove()
		}
	}
	return files, issues
}

func file(b *fhir.Bundle, owner, att fhir.Element, lim image.Limits) (*mapping.File, issue.List) {
	data, place := att.Child("data"), att.Path()
	if bin := b.Resolve(att.Child("url").Text()); !data.OK() && bin.OK() {
		data = bin.Child("data")
	}
	if !data.OK() {
		if strings.HasPrefix(att.Child("url").Text(), shaURL) {
			return nil, nil // named, not sent: the other side knows it by hash
		}
		return nil, issue.List{issue.New(issue.Required, place, "a file without data: urls are never fetched")}
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(data.Text())
	if err != nil {
		return nil, issue.List{issue.New(issue.Value, place+".data", "not base64").Because(err)}
	}
	sum := sha256.Sum256(raw)
	f := &mapping.File{Where: place, SHA256: hex.EncodeToString(sum[:]), Bytes: raw, Element: owner}
	facts, trouble := image.Check(raw, att.Child("contentType").Text(), lim)
	for _, i := range trouble {
		i.Where = place
	}
	f.Facts = facts
	if claimed := att.At("size").Text(); claimed != "" && claimed != strconv.Itoa(len(raw)) {
		trouble = append(trouble, issue.New(issue.Value, place+".size", "is not the size of the data"))
	}
	att.Child("data").Remove()
	for name, value := range map[string]string{"url": shaURL + f.SHA256, "size": strconv.Itoa(len(raw)), "contentType": facts.Type.MediaType()} {
		if err := att.Set(name, value); err != nil {
			trouble = append(trouble, issue.From(err))
		}
	}
	return f, trouble
}
