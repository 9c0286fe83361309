package sim

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// checkMessage gives the issue code of a Bundle that is no message; "" when it is one. A message begins
// with its header, and its references lead to its own entries.
func checkMessage(bundle object) string {
	if text(bundle, "resourceType") != "Bundle" || text(bundle, "type") != "message" ||
		text(bundle, "entry", 0, "resource", "resourceType") != "MessageHeader" || text(bundle, "identifier", "value") == "" {
		return "structure"
	}
	urls := map[string]bool{}
	for _, e := range list(bundle, "entry") {
		if urls[text(e, "fullUrl")] {
			return "duplicate"
		}
		urls[text(e, "fullUrl")] = true
	}
	if !resolves(bundle, urls) {
		return "not-found"
	}
	return ""
}

// resolves tells whether every urn:uuid: reference leads to an entry.
func resolves(v any, urls map[string]bool) bool {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["reference"].(string); ok && strings.HasPrefix(ref, "urn:uuid:") && !urls[ref] {
			return false
		}
		for _, child := range v {
			if !resolves(child, urls) {
				return false
			}
		}
	case []any:
		for _, child := range v {
			if !resolves(child, urls) {
				return false
			}
		}
	}
	return true
}

// understand reads a request and its photos.
func understand(bundle object) (*AGRequest, error) {
	q := &AGRequest{Control: text(bundle, "identifier", "value")}
	data := map[string]any{} // Binary resources by fullUrl
	for _, e := range list(bundle, "entry") {
		if text(e, "resource", "resourceType") == "Binary" {
			data[text(e, "fullUrl")] = at(e, "resource", "data")
		}
	}
	for _, e := range list(bundle, "entry") {
		r := at(e, "resource")
		switch text(r, "resourceType") {
		case "Patient":
			q.Patient = identifier(list(r, "identifier"), "https://fhir.nhs.uk/Id/nhs-number")
		case "ServiceRequest":
			q.Priority, q.identifiers = text(r, "priority"), list(r, "identifier")
			q.Kind = coding(list(r, "category", 0, "coding"), "https://fhir.nhs.uk/CodeSystem/message-category-servicerequest")
			for _, n := range list(r, "note") {
				q.Notes = append(q.Notes, text(n, "text"))
			}
		case "Media", "DocumentReference":
			photo, err := decode(r, data)
			if err != nil {
				return nil, err
			}
			q.Photos = append(q.Photos, photo)
		}
	}
	switch {
	case !validNHSNumber(q.Patient):
		return nil, errors.New("sim: Patient.identifier: no NHS number with a right check digit")
	case q.Kind == "":
		return nil, errors.New("sim: ServiceRequest.category: neither request nor referral")
	}
	return q, nil
}

// decode takes a file out of its resource, or out of the Binary that it names, and checks it.
func decode(r any, data map[string]any) (Photo, error) {
	att := at(r, "content")
	if text(r, "resourceType") == "DocumentReference" {
		att = at(r, "content", 0, "attachment")
	}
	p := Photo{Name: text(att, "title"), Type: text(att, "contentType")}
	for _, e := range list(r, "extension") {
		switch name := text(e, "url"); name[strings.LastIndexByte(name, '/')+1:] {
		case "photo-view":
			p.View = text(e, "valueCode")
		case "lesion":
			p.Lesion = text(e, "valueString")
		}
	}
	encoded := text(att, "data")
	if encoded == "" {
		encoded, _ = data[text(att, "url")].(string)
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(raw) == 0 {
		return p, errors.New("sim: Media.content: the photo's data is not here or not base64")
	}
	sum, old := sha256.Sum256(raw), sha1.Sum(raw)
	p.Bytes, p.SHA256 = raw, hex.EncodeToString(sum[:])
	size, stated := at(att, "size").(float64)
	hash := text(att, "hash") // SHA-1, base64 (FHIR R4 Attachment.hash)
	switch {
	case stated && int(size) != len(raw):
		return p, errors.New("sim: Media.content.size: not the size of the data")
	case hash != "" && hash != base64.StdEncoding.EncodeToString(old[:]):
		return p, errors.New("sim: Media.content.hash: not the hash of the data")
	case strings.HasPrefix(text(att, "url"), "urn:sha-256:") && text(att, "url") != "urn:sha-256:"+p.SHA256:
		return p, errors.New("sim: Media.content.url: not the hash of the data")
	}
	return p, nil
}
