package ers

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/letter"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Largest attachment: 5,242,880 bytes (A006: "5MB (5242880 bytes)"), and longest A&G text in characters.
const (
	maxFile = 5 << 20
	maxText = 8000
)

// mediaTypes are the ones that A020 takes; the extension must fit or the file ends as VALIDATION_FAILED.
var mediaTypes = map[string]string{
	"text/plain": ".txt", "application/pdf": ".pdf", "text/xml": ".xml", "text/rtf": ".rtf", "audio/basic": ".au",
	"audio/mpeg": ".mp3", "image/png": ".png", "image/gif": ".gif", "image/jpeg": ".jpg", "image/tiff": ".tif",
	"video/mpeg": ".mpg", "application/msword": ".doc", "application/dicom": ".dcm",
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
}

// part is a photo or document to attach.
type part struct {
	ref         flow.BodyRef
	name        string // file name, unique within the case
	description string
}

// trouble says why e-RS would not take the part, nil when it would.
func (p part) trouble(n, of int) *issue.Issue {
	where := fmt.Sprintf("attachment %d of %d", n, of)
	switch {
	case mediaTypes[p.ref.Type] == "":
		return issue.New(issue.UnsupportedType, where, "e-RS does not take files of this type")
	case p.ref.Size > maxFile:
		return issue.New(issue.TooLong, where, "larger than the 5,242,880 bytes that e-RS takes")
	case p.ref.Size == 0:
		return issue.New(issue.Value, where, "empty files are not taken by e-RS")
	}
	return nil
}

// readOrder takes what e-RS needs out of a canonical Bundle; defaults fill what only configuration knows.
// What is missing is refused, never guessed: no priority, no patient, no service, no conversion
// authorisation for advice (A044 has no default for it).
func readOrder(b *fhir.Bundle, defaults order) (order, error) {
	request := b.First("ServiceRequest")
	o := defaults
	o.Patient = fhir.IdentifierIn(b.First("Patient"), fhir.SystemNHSNumber)
	o.Priority = priority(request)
	o.Conversion = fhir.OwnExtension(request, "conversion-authorisation")
	o.Clinician = clinician(b, request)
	for p := range request.Children("performer") {
		if id := fhir.IdentifierIn(b.Resolve(p.Child("reference").Text()), systemService); id != "" {
			o.Service = id
		}
	}
	switch {
	case !request.OK():
		return o, missing("Bundle", "no ServiceRequest")
	case o.Patient == "":
		return o, missing("Patient.identifier", "e-RS needs the NHS number")
	case o.Priority == "":
		return o, missing("ServiceRequest.priority", "no priority that e-RS knows, and none is guessed")
	case o.Service == "":
		return o, missing("ServiceRequest.performer", "no e-RS service, neither in the request nor in the configuration")
	}
	return o, nil
}

func missing(where, text string) *stop {
	return stopped(flow.Refused, issue.New(issue.Required, where, text))
}

// priority gives the e-RS priority as stated, or what the FHIR one means when it has an equal. asap and
// stat have none.
func priority(request fhir.Element) string {
	if p := fhir.OwnExtension(request, "ers-priority"); p != "" {
		return p
	}
	switch request.Child("priority").Text() {
	case "routine":
		return "ROUTINE"
	case "urgent":
		return "URGENT"
	}
	return ""
}

// clinician gives the SDS user id of the requester.
func clinician(b *fhir.Bundle, request fhir.Element) string {
	e := b.Resolve(request.At("requester.reference").Text())
	if e.OK() && e.Type().Name == "PractitionerRole" {
		e = b.Resolve(e.At("practitioner.reference").Text())
	}
	for _, system := range []string{systemSDSUser, fhir.SystemSDSUser} {
		if id := fhir.IdentifierIn(e, system); id != "" {
			return id
		}
	}
	return ""
}

// ubrn gives the UBRN that the request has been given already.
func ubrn(b *fhir.Bundle) string {
	return fhir.IdentifierIn(b.First("ServiceRequest"), fhir.SystemUBRN)
}

// parts pairs the files of a delivery with what the Bundle says of them: its name and what it shows. Files
// are found by their hash; each Media or DocumentReference is used once, in order.
func parts(b *fhir.Bundle, refs []flow.BodyRef) []part {
	used := map[string]bool{}
	out := make([]part, len(refs))
	for i, ref := range refs {
		out[i] = part{ref: ref, name: fallback(ref)}
		for owner, att := range letter.Attachments(b) {
			if used[owner.Path()] || att.Child("url").Text() != "urn:sha-256:"+ref.SHA256 {
				continue
			}
			used[owner.Path()] = true
			out[i].description = letter.Describe(owner)
			if name := att.Child("title").Text(); fits(name, ref.Type) {
				out[i].name = name
			}
			break
		}
	}
	unique(out)
	return out
}

// fallback names a file by its hash, which no other file of the case has.
func fallback(ref flow.BodyRef) string {
	return "attachment-" + ref.SHA256[:min(8, len(ref.SHA256))] + mediaTypes[ref.Type]
}

// fits tells a name that may be sent as a header: short printable ASCII with the extension of its type.
func fits(name, mediaType string) bool {
	ext := mediaTypes[mediaType]
	return ext != "" && len(name) > len(ext) && len(name) <= 200 && strings.HasSuffix(strings.ToLower(name), ext) &&
		!strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune(`\/:"`, r) })
}

// unique numbers names that come twice: e-RS refuses a set with DUPLICATE_FILENAME.
func unique(ps []part) {
	var seen []string
	for i := range ps {
		name := ps[i].name
		for n := 2; slices.Contains(seen, name); n++ {
			dot := strings.LastIndexByte(ps[i].name, '.')
			name = fmt.Sprintf("%s-%d%s", ps[i].name[:max(dot, 0)], n, ps[i].name[max(dot, 0):])
		}
		ps[i].name = name
		seen = append(seen, name)
	}
}
