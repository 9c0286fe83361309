package itk3

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Out says what a message is, beside what it is about.
type Out struct {
	ID       string    // UUID: of the message, and what its responses name
	At       time.Time // when it was made, in the zone of its sender
	Mailbox  string    // MESH mailbox of the sender, where responses go
	Workflow string    // MESH workflow id
	Sender   Party     // organisation
	Copy     bool      // the receiver is told for information, not for action
	Title    string    // of the document
	Version  int       // 1 for the first, one more for each that takes its place (GPCM-SD-098)
	Replaces string    // ID of the message whose document it takes the place of; empty: none
	Letter   fhir.Data // PDF; without Open: the answer brings its own
	// Files gives the bytes of a file that travels, by its SHA-256.
	Files func(sha256 string) (fhir.Data, error)
}

// Party is an organisation.
type Party struct{ ODS, Name, Phone string }

// Message is a Send Document message ready to be written.
type Message struct {
	o       Out
	patient patient
	doctor  fhir.Element // who answered; may be none
	files   []attachment
	// Registered is the ODS code of the practice where the patient is registered, as the request says; may be empty.
	Registered string
}

// patient is what MESH and the receiver know them by.
type patient struct {
	number, status string // NHS number and its verification status
	name           fhir.Element
	family         string
	birthDate      string
	gender         string
	address        fhir.Element
}

// attachment is one Binary and the section of the document that tells what it is.
type attachment struct {
	id, title, media string
	code             [3]string // system, code, display
	data             fhir.Data
}

// Send makes a message of a canonical Bundle: the letter, the documents of the answer, and the photos, each a
// section of the document. The error is an *issue.Issue that names what the receiver or MESH must have and the Bundle
// lacks.
func Send(b *fhir.Bundle, o Out) (*Message, error) {
	p, err := patientOf(b.First("Patient"))
	if err != nil {
		return nil, err
	}
	m := &Message{o: o, patient: p, doctor: doctorOf(b), Registered: Registered(b)}
	if o.Letter.Open != nil {
		m.files = append(m.files, attachment{id: m.id("letter"), title: o.Title, media: pdf, code: reportCode, data: o.Letter})
	}
	for _, add := range []func(*fhir.Bundle) error{m.documents, m.photos} {
		if err := add(b); err != nil {
			return nil, err
		}
	}
	if !slices.ContainsFunc(m.files, func(f attachment) bool { return f.media == pdf }) {
		return nil, issue.New(issue.Required, "DocumentReference.content", "Send Document takes a letter as PDF: the answer brings none")
	}
	return m, nil
}

const pdf = "application/pdf"

// reportCode is the type of the document (GPCM-SD-115).
var reportCode = [3]string{fhir.SystemSNOMED, "371531000", "Report of clinical encounter"}

// id makes a UUID of a part of the message: the same part of the same message always has the same.
func (m *Message) id(part string) string {
	sum := sha256.Sum256([]byte(m.o.ID + "\x1f" + part))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // version 8, RFC 9562
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func patientOf(e fhir.Element) (patient, error) {
	p := patient{birthDate: e.Child("birthDate").Text(), gender: e.Child("gender").Text(), address: e.Child("address")}
	for id := range e.Children("identifier") {
		if id.Child("system").Text() == fhir.SystemNHSNumber && fhir.ValidNHSNumber(id.Child("value").Text()) {
			p.number, p.status = id.Child("value").Text(), verification(id)
		}
	}
	for n := range e.Children("name") {
		if !p.name.OK() || n.Child("use").Text() == "official" {
			p.name = n
		}
	}
	p.family = p.name.Child("family").Text()
	switch {
	case p.number == "":
		return p, issue.New(issue.Required, "Patient.identifier", "Send Document goes to where the NHS number is registered: there is no valid one")
	case len(p.birthDate) != len("2006-01-02"):
		return p, issue.New(issue.Required, "Patient.birthDate", "Send Document needs the whole date of birth")
	case p.family == "":
		return p, issue.New(issue.Required, "Patient.name.family", "Send Document needs the surname")
	}
	return p, nil
}

// verification gives the code of an NHS number's verification status, 01 to 08.
func verification(identifier fhir.Element) string {
	for x := range identifier.Children("extension") {
		if strings.HasSuffix(x.Child("url").Text(), "NHSNumberVerificationStatus") {
			return x.At("valueCodeableConcept.coding.code").Text()
		}
	}
	return ""
}

// Registered gives the ODS code of the practice that a patient is registered with, "" where the Bundle does not say.
func Registered(b *fhir.Bundle) string {
	for gp := range b.First("Patient").Children("generalPractitioner") {
		if code := ods(b, gp.Child("reference").Text()); code != "" {
			return code
		}
		if id := gp.Child("identifier"); id.Child("system").Text() == fhir.SystemODSOrganisation {
			return id.Child("value").Text()
		}
	}
	return ""
}

func ods(b *fhir.Bundle, ref string) string {
	e := b.Resolve(ref)
	if e.OK() && e.Type().Name == "PractitionerRole" {
		e = b.Resolve(e.At("organization.reference").Text())
	}
	if !e.OK() || e.Type().Name != "Organization" {
		return ""
	}
	for id := range e.Children("identifier") {
		if id.Child("system").Text() == fhir.SystemODSOrganisation {
			return id.Child("value").Text()
		}
	}
	return ""
}

// doctorOf finds who answered: the sender of the words, or who signed the letter.
func doctorOf(b *fhir.Bundle) fhir.Element {
	for _, at := range [][2]string{{"Communication", "sender.reference"}, {"DocumentReference", "authenticator.reference"}, {"Task", "owner.reference"}} {
		for r := range b.All(at[0]) {
			e := b.Resolve(r.At(at[1]).Text())
			if e.OK() && e.Type().Name == "PractitionerRole" {
				e = b.Resolve(e.At("practitioner.reference").Text())
			}
			if e.OK() && e.Type().Name == "Practitioner" {
				return e
			}
		}
	}
	return fhir.Element{}
}

// documents adds the files of the answer's DocumentReferences.
func (m *Message) documents(b *fhir.Bundle) error {
	for doc := range b.All("DocumentReference") {
		if fhir.IsOriginal(doc) || doc.Child("status").Text() == "entered-in-error" {
			continue
		}
		for c := range doc.Children("content") {
			att := c.Child("attachment")
			title := att.Child("title").Text()
			if t := doc.At("type.coding.display").Text(); t != "" && title != "" {
				title = t + " (" + title + ")"
			} else {
				title += t
			}
			if err := m.attach(att, cmp.Or(title, "Document")+dated(doc.Child("date").Text()), coded(doc.Child("type"))); err != nil {
				return err
			}
		}
	}
	return nil
}

// photos adds the photos that travel.
func (m *Message) photos(b *fhir.Bundle) error {
	for media := range b.All("Media") {
		if media.Child("status").Text() == "entered-in-error" {
			continue
		}
		if err := m.attach(media.Child("content"), photoTitle(media), coded(media.Child("modality"))); err != nil {
			return err
		}
	}
	return nil
}

// attach adds what an Attachment with a urn:sha-256 url stands for; one without is no file that travels.
func (m *Message) attach(att fhir.Element, title string, code [3]string) error {
	sha, ok := strings.CutPrefix(att.Child("url").Text(), "urn:sha-256:")
	if !ok {
		return nil
	}
	data, err := m.o.Files(sha)
	if err != nil {
		return err
	}
	m.files = append(m.files, attachment{id: m.id(fmt.Sprint("file", len(m.files), sha)), title: title, media: att.Child("contentType").Text(), code: code, data: data})
	return nil
}

// photoTitle says what a photo shows, as the receiver files it: the lesion, the view, the place, the day.
func photoTitle(m fhir.Element) string {
	title := "Photo"
	if lesion := fhir.OwnExtension(m, "lesion"); lesion != "" {
		title += " of lesion " + lesion
	}
	var words []string
	place := m.At("bodySite.text").Text()
	if place == "" {
		place = m.At("bodySite.coding.display").Text()
	}
	side := fhir.OwnExtension(m, "laterality")
	if strings.Contains(strings.ToLower(place), side) {
		side = ""
	}
	for _, w := range []string{fhir.OwnExtension(m, "photo-view"), strings.TrimSpace(side + " " + place)} {
		if w != "" {
			words = append(words, w)
		}
	}
	if len(words) > 0 {
		title += ": " + strings.Join(words, ", ")
	}
	taken := m.Child("createdDateTime").Text()
	if taken == "" {
		taken = m.At("createdPeriod.start").Text()
	}
	return title + dated(taken)
}

// dated gives the day of a FHIR date or time, as text to follow a title.
func dated(at string) string {
	if len(at) < len("2006-01-02") {
		return ""
	}
	day, err := time.Parse("2006-01-02", at[:10])
	if err != nil {
		return ""
	}
	return ", " + day.Format("2 January 2006")
}

// coded gives the first coding of a CodeableConcept.
func coded(e fhir.Element) [3]string {
	c := e.Child("coding")
	return [3]string{c.Child("system").Text(), c.Child("code").Text(), c.Child("display").Text()}
}

// WriteTo writes the message; files stream into it.
func (m *Message) WriteTo(out io.Writer) (int64, error) {
	counted := &fhir.Counter{W: out}
	w := &writer{Writer: bufio.NewWriterSize(counted, 32<<10), out: counted}
	m.write(w)
	if w.err == nil {
		w.err = w.Flush()
	}
	return counted.N, w.err
}
