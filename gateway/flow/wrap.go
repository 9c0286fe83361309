package flow

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/image/dicom"
	"github.com/dermgate/dermgate/mapping/image/jpeg"
	"github.com/dermgate/dermgate/mapping/issue"
)

// wrap makes a DICOM file of a JPEG that fits: what it is filed under comes from the request.
func (f *fitter) wrap(ctx context.Context, d *decision, ph pathway.Photo, takes Takes, made *image.Fitted) (fitted, error) {
	pixels, samples, err := baseline(made)
	if err != nil {
		return fitted{}, err
	}
	request, err := d.loadRequest(ctx)
	if err != nil {
		return fitted{}, err
	}
	filing := d.filing(request, ph)
	filing.Width, filing.Height, filing.Samples = made.Result.Width, made.Result.Height, samples
	filing.Reduced = made.Quality > 0
	whole, err := dicom.Wrap(pixels, filing)
	if err != nil {
		return fitted{}, err
	}
	if takes.Bytes > 0 && int64(len(whole)) > takes.Bytes {
		return fitted{}, issue.New(issue.TooLong, "", fmt.Sprintf("a DICOM file of %d bytes is over the %d that are taken", len(whole), takes.Bytes))
	}
	return fitted{made, bytes.NewReader(whole), image.DICOM.MediaType()}, nil
}

// baseline gives the bytes of a JPEG as DICOM's JPEG Baseline has them: one scan, with the same coefficients.
func baseline(f image.File) ([]byte, int, error) {
	b := make([]byte, f.Size())
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return nil, 0, &image.ReadError{Cause: cmp.Or(err, io.ErrUnexpectedEOF)}
	}
	all := jpeg.Limits{Pixels: 1 << 40, Memory: math.MaxInt64}
	head, err := jpeg.Inspect(b, all)
	if err != nil {
		return nil, 0, err
	}
	if head.RGB() {
		return nil, 0, issue.New(issue.UnsupportedType, "", "a JPEG in red, green and blue is not wrapped as DICOM")
	}
	if !head.Progressive {
		return b, len(head.Components), nil
	}
	p, err := jpeg.Decode(b, all)
	if err != nil {
		return nil, 0, err
	}
	b, err = p.EncodeSequential()
	return b, len(head.Components), err
}

// filing gives what a photo is filed under: the patient, the request, when and of what it was taken. The same photo of
// the same case has the same identifiers, however often it is wrapped.
func (d *decision) filing(b *fhir.Bundle, ph pathway.Photo) dicom.Wrapping {
	patient, media := b.First("Patient"), b.Resolve(ph.Media)
	name := patient.Child("name")
	out := dicom.Wrapping{
		PatientID: nhsNumber(patient), Issuer: "NHS",
		Family: name.Child("family").Text(), Given: name.Child("given").Text(),
		BirthDate: strings.ReplaceAll(patient.Child("birthDate").Text(), "-", ""),
		Sex:       map[string]string{"male": "M", "female": "F", "other": "O"}[patient.Child("gender").Text()],
		Referrer:  referrer(b),
		Study:     dicom.UID(d.derive("study")), Series: dicom.UID(d.derive("series")), Instance: dicom.UID(d.derive("instance", ph.Media)),
		Dermoscopic: cmp.Or(ph.Says.Modality, coded(media.Child("modality"), fhir.SystemDCM)) == dermoscopy || fhir.OwnExtension(media, "photo-view") == viewDermoscopic,
		Laterality:  cmp.Or(sides[fhir.OwnExtension(media, "laterality")], ph.Says.Laterality),
	}
	if number := d.c.Request.Placer; len([]rune(number)) <= 16 { // of a longer one no part would find the request again
		out.Accession = number
	}
	for i, other := range d.c.Photos {
		if other.Media == ph.Media {
			out.Number = i + 1
		}
	}
	for c := range media.Child("bodySite").Children("coding") {
		if code := c.Child("code").Text(); c.Child("system").Text() == fhir.SystemSNOMED && len(code) <= 16 && out.Region.Value == "" {
			out.Region = dicom.Code{Value: code, Scheme: "SCT", Meaning: cmp.Or(c.Child("display").Text(), code)}
		}
	}
	if out.Region.Value == "" && ph.Says.Region != "" {
		out.Region = dicom.Code{Value: ph.Says.Region, Scheme: "SCT", Meaning: ph.Says.Region}
	}
	out.Captured = moment(cmp.Or(media.Child("createdDateTime").Text(), ph.Says.Taken), d.p.Site.Zone)
	return out
}

// moment reads a FHIR dateTime that tells the time of day; zero for a day alone, which would pass for midnight.
func moment(text string, zone *time.Location) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t.In(cmp.Or(zone, time.UTC))
}

// sides are as DICOM writes them (PS3.3 §C.7.6.16.2.5).
var sides = map[string]string{"left": "L", "right": "R", "bilateral": "B"}

// referrer gives the family name of who asks.
func referrer(b *fhir.Bundle) string {
	e := b.Resolve(b.First("ServiceRequest").At("requester.reference").Text())
	if e.OK() && e.Type().Name == "PractitionerRole" {
		e = b.Resolve(e.At("practitioner.reference").Text())
	}
	if e.OK() && e.Type().Name == "Practitioner" {
		return e.At("name.family").Text()
	}
	return ""
}
