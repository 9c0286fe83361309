package flow

import (
	"slices"
	"strings"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// Facts are what routing, correlation and the case need to know of a message: identifiers and codes. The
// NHS number is used and never stored.
type Facts struct {
	Source       string          `json:"source"`
	Message      string          `json:"message"` // "REF_I12", or the FHIR message event
	Event        string          `json:"event"`
	ControlID    string          `json:"controlId"`
	ResponseTo   string          `json:"responseTo,omitempty"` // control id of the message this answers
	Kind         pathway.Kind    `json:"kind,omitempty"`
	Urgency      string          `json:"urgency,omitempty"`
	Conversion   string          `json:"conversion,omitempty"`
	Business     string          `json:"business,omitempty"` // e-RS status code
	Working      string          `json:"working,omitempty"`  // Task.status
	Result       string          `json:"result,omitempty"`   // outcome in the words of the routing rules
	Outcome      pathway.Outcome `json:"outcome,omitzero"`
	Advice       string          `json:"advice,omitempty"` // digest of the answer's text and files
	Act          string          `json:"act,omitempty"`    // of a person's Task: review, cancer-tracking, attest-told, attest-received
	Organisation string          `json:"organisation,omitempty"`
	Performer    string          `json:"performer,omitempty"`
	Requester    string          `json:"requester,omitempty"`
	Specialty    string          `json:"specialty,omitempty"`
	Placer       string          `json:"placer,omitempty"`
	Consent      string          `json:"consent,omitempty"` // permit | deny | ""
	Refs         []Ref           `json:"refs,omitempty"`
	NHSNumber    string          `json:"-"`
	Photos       int             `json:"photos"`
	Notice       *NoticeFact     `json:"notice,omitempty"`
	Notices      []string        `json:"notices,omitempty"`     // that a person's Task is about: "N9"; empty: all that are owed
	PatientTold  string          `json:"patientTold,omitempty"` // who says that the patient knows of this: the ODS code of a hospital, or its source
	Clinician    bool            `json:"clinician,omitempty"`   // a person's Task names its owner by a clinicians' register
	Words        string          `json:"-"`                     // of a clinician, for the patient: used and never stored
	Ack          *AckFact        `json:"ack,omitempty"`
	Receipt      *ReceiptFact    `json:"receipt,omitempty"`

	Appointment *AppointmentFact `json:"appointment,omitempty"`
}

// NoticeFact is what NHS Notify said of a message.
type NoticeFact struct {
	Reference string `json:"reference"` // messageReference
	Channel   string `json:"channel,omitempty"`
	Status    string `json:"status"`
}

// coded gives the code a CodeableConcept has in a system; an empty system takes the first code.
func coded(e fhir.Element, system string) string {
	for c := range e.Children("coding") {
		if system == "" || c.Child("system").Text() == system {
			return c.Child("code").Text()
		}
	}
	return ""
}

// identifier gives the value a resource has in an identifier system.
func identifier(e fhir.Element, system string) string {
	for id := range e.Children("identifier") {
		if id.Child("system").Text() == system {
			return id.Child("value").Text()
		}
	}
	return ""
}

// FactsOf reads the facts of a canonical Bundle.
func FactsOf(source string, b *fhir.Bundle) Facts {
	header, request := b.First("MessageHeader"), b.First("ServiceRequest")
	f := Facts{Source: source, ControlID: b.Root.At("identifier.value").Text()}
	f.header(header)
	f.request(b, request)
	f.task(b.First("Task"))
	f.appointment(b, header)
	f.NHSNumber = nhsNumber(b.First("Patient"))
	f.Consent = consent(b)
	f.PatientTold = patientTold(b, source)
	for m := range b.All("Media") {
		if m.Child("status").Text() != "entered-in-error" && showsSomething(m.At("content.contentType").Text()) {
			f.Photos++
		}
	}
	f.Advice = adviceDigest(b)
	f.Event = f.event(header, request)
	f.Result = f.result()
	return f
}

// showsSomething tells a Media that may be a picture from one whose bytes have turned out to be text or a document,
// where its source lets that pass.
func showsSomething(mediaType string) bool {
	main, _, _ := strings.Cut(mediaType, "/")
	return mediaType == "application/dicom" || main != "text" && main != "application"
}

func (f *Facts) header(h fhir.Element) {
	f.Message = h.At("eventCoding.code").Text()
	if h.At("eventCoding.system").Text() == fhir.SystemTriggerEvent {
		family := "REF_"
		switch {
		case h.Child("response").OK():
			family = "RRI_"
		case strings.HasPrefix(h.At("eventCoding.display").Text(), "SIU^"):
			family = "SIU_"
		}
		f.Message = family + f.Message
	}
	f.ResponseTo = h.At("response.identifier").Text()
	if f.ResponseTo != "" {
		f.Refs = append(f.Refs, Ref{"control-id", f.ResponseTo})
	}
}

func (f *Facts) request(b *fhir.Bundle, r fhir.Element) {
	if !r.OK() {
		return
	}
	for c := range r.Children("category") {
		switch coded(c, fhir.SystemRequestCategory) {
		case "request":
			f.Kind = pathway.Advice
		case "referral":
			f.Kind = pathway.Referral
		}
	}
	f.Urgency, f.Conversion = fhir.OwnExtension(r, "ers-priority"), fhir.OwnExtension(r, "conversion-authorisation")
	for id := range r.Children("identifier") {
		ref := refOf(id)
		if ref.Value != "" {
			f.Refs = append(f.Refs, ref)
		}
		if coded(id.Child("type"), "") == "PLAC" {
			f.Placer = ref.Value
		}
	}
	f.Organisation, f.Requester = party(b, r.At("requester.reference").Text())
	for p := range r.Children("performer") {
		if org, _ := party(b, p.Child("reference").Text()); org != "" {
			f.Performer = org
		}
	}
	f.Specialty = coded(r.Child("performerType"), "")
}

// refOf makes a cross-reference of an Identifier; one without a system goes by its type.
func refOf(id fhir.Element) Ref {
	system := id.Child("system").Text()
	if system == "" {
		system = "type:" + coded(id.Child("type"), "")
	}
	return Ref{system, id.Child("value").Text()}
}

// party gives the ODS code of the organisation and the professional identifier behind a reference to a
// PractitionerRole, Practitioner, Organization or HealthcareService.
func party(b *fhir.Bundle, ref string) (ods, person string) {
	e := b.Resolve(ref)
	if !e.OK() {
		return "", ""
	}
	switch e.Type().Name {
	case "Organization":
		return identifier(e, fhir.SystemODSOrganisation), ""
	case "Practitioner":
		return "", e.At("identifier.value").Text()
	case "HealthcareService":
		ods, _ = party(b, e.At("providedBy.reference").Text())
		return ods, ""
	case "PractitionerRole":
		ods, _ = party(b, e.At("organization.reference").Text())
		_, person = party(b, e.At("practitioner.reference").Text())
	}
	return ods, person
}

// registers are the identifier systems of clinicians.
var registers = []string{fhir.SystemGMC, fhir.SystemGMP, fhir.SystemNMC, fhir.SystemHCPC}

func (f *Facts) task(t fhir.Element) {
	if !t.OK() {
		return
	}
	f.Business = coded(t.Child("businessStatus"), "")
	f.Working = t.Child("status").Text()
	f.Act = coded(t.Child("code"), fhir.SystemAct)
	for o := range t.Children("output") {
		value := o.Child("valueCode").Text()
		if value == "" {
			value = o.Child("valueString").Text()
		}
		switch coded(o.Child("type"), "") {
		case "outcome":
			f.Outcome.Code = value
		case "recommendation":
			f.Outcome.Recommendation = value
		case "priority":
			f.Outcome.Priority = value
		case "decision":
			f.Outcome.Decision = value
		case "notice":
			f.Notices = append(f.Notices, value)
		case "patient-words":
			f.Words = value
		}
	}
	f.Outcome.Person = t.At("owner.identifier.value").Text()
	f.Clinician = slices.Contains(registers, t.At("owner.identifier.system").Text())
	if id := t.At("focus.identifier"); id.OK() {
		f.Refs = append(f.Refs, refOf(id))
	}
}

// event says what happened, by the message's own words: the header, the Task's status, the request's.
func (f *Facts) event(header, request fhir.Element) string {
	switch f.Act {
	case "review":
		return Reviewed
	case "cancer-tracking":
		return Tracked
	case ReferralMade:
		return ReferralMade
	case actTold, actReceived:
		return Attested
	}
	if f.Appointment != nil {
		return f.Appointment.event()
	}
	answer := header.Child("response").OK() || f.Message == "servicerequest-response"
	if !answer {
		switch {
		case request.Child("status").Text() == "revoked":
			return Withdrawn
		case strings.HasSuffix(f.Message, "I13"), coded(header.Child("reason"), fhir.SystemMessageReason) == "update":
			return Amended
		case strings.HasSuffix(f.Message, "I15"):
			return StatusAsked
		}
		return Requested
	}
	switch f.Business {
	case "REFERRER_TO_REVIEW_RESPONSE":
		return Answered
	case "REFERRER_TO_SUBMIT_FURTHER_INFORMATION":
		return InfoRequested
	case "ADVICE_CONVERTED":
		return ConvertedTo
	case "TRIAGED_PROVIDER_TO_ACTION", "TRIAGE_RESPONSE":
		return Triaged
	case "BOOKED":
		return BookedEvent
	case "APPT_CANCELLED_BY_PROVIDER", "APPT_CANCELLED_BY_PATIENT":
		return Unbooked
	case "DID_NOT_ATTEND":
		return NotAttended
	case "CONVERSATION_ENDED_CANCELLED", "CONVERSATION_ENDED_CLOSED", "REJECTED":
		return Ended
	case "CANCELLED_REFERRAL":
		if f.Outcome.Code == straightToTest {
			return Triaged
		}
		return Ended
	}
	switch f.Outcome.Code {
	case "RETURN_TO_REFERRER_WITH_ADVICE":
		if f.Kind == pathway.Referral {
			return Triaged
		}
		return Answered
	case "REQUIRE_FURTHER_INFORMATION":
		return InfoRequested
	case "ACCEPT_REFER_BOOK_LATER":
		return Triaged
	}
	return StatusOnly
}

func (f *Facts) result() string {
	switch {
	case f.Event == Ended:
		return OutcomeEnded
	case f.Event != Triaged:
		return ""
	case f.Outcome.Code == straightToTest:
		return OutcomeTest
	case f.Outcome.Code == "RETURN_TO_REFERRER_WITH_ADVICE":
		return OutcomeReturned // e-RS may show the same state for both outcomes (A028)
	case f.Business == "TRIAGED_PROVIDER_TO_ACTION" || f.Outcome.Code == "ACCEPT_REFER_BOOK_LATER":
		return OutcomeAccepted
	}
	return OutcomeReturned
}

// nhsNumber gives the patient's NHS number when it is one by its check digit.
func nhsNumber(patient fhir.Element) string {
	if !patient.OK() {
		return ""
	}
	if n := identifier(patient, fhir.SystemNHSNumber); fhir.ValidNHSNumber(n) {
		return n
	}
	return ""
}

// consent gives what is recorded about photographing: permit, deny or nothing.
func consent(b *fhir.Bundle) string {
	for c := range b.All("Consent") {
		photography := false
		for cat := range c.Children("category") {
			photography = photography || coded(cat, fhir.SystemConsent) == "clinical-photography"
		}
		if photography && slices.Contains([]string{"active", "rejected"}, c.Child("status").Text()) {
			return c.At("provision.type").Text()
		}
	}
	return ""
}

// adviceDigest hashes the text of an answer, so that the same answer seen again is no amendment.
func adviceDigest(b *fhir.Bundle) string {
	var text strings.Builder
	for c := range b.All("Communication") {
		for p := range c.Children("payload") {
			text.WriteString(p.Child("contentString").Text())
			text.WriteByte(0)
		}
	}
	for r := range b.Resources() { // a letter that is amended may be a file alone
		switch r.Type().Name {
		case "Media":
			text.WriteString(r.At("content.url").Text())
		case "DocumentReference":
			for c := range r.Children("content") {
				if !fhir.IsOriginal(r) {
					text.WriteString(c.At("attachment.url").Text())
				}
			}
		}
	}
	if text.Len() == 0 {
		return ""
	}
	return digest([]byte(text.String()))
}
