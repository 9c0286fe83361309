package sim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxFile is the largest attachment: 5 MB in the words of A006, "5242880 bytes".
const maxFile = 5 << 20

// mediaTypes are the ones A020 takes, with their extensions.
var mediaTypes = map[string][]string{
	"text/plain": {".txt"}, "application/pdf": {".pdf"}, "text/xml": {".xml"}, "text/rtf": {".rtf", ".rtx"},
	"audio/basic": {".au"}, "audio/mpeg": {".mp3"}, "image/png": {".png"}, "image/gif": {".gif"},
	"image/jpeg": {".jpg", ".jpe", ".jpeg"}, "image/tiff": {".tif", ".tiff"}, "video/mpeg": {".mpg", ".mpeg", ".mpe"},
	"application/msword": {".doc"}, "application/dicom": {".dcm"},
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document": {".docx"},
}

// upload is A020.
func (s *ERS) upload(r request) answer {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	name, referral := r.Header.Get("NHSD-eRS-File-Name"), r.Header.Get("NHSD-eRS-Referral-ID")
	extensions, ok := mediaTypes[media]
	switch {
	case !ok:
		return ersProblem(http.StatusUnsupportedMediaType, "")
	case name == "":
		return ersProblem(422, "MISSING_VALUE")
	case len(r.body) == 0 || len(r.body) > maxFile:
		return ersProblem(422, "FILE_SIZE_ERROR")
	case referral != "" && s.requests["r:"+referral] == nil && s.requests["a:"+referral] == nil:
		return ersProblem(422, "INAPPROPRIATE_VALUE")
	}
	u := &Upload{ID: s.uuid(), Name: name, Type: media, Referral: referral, Status: s.Scan, Body: r.body}
	if !slices.ContainsFunc(extensions, func(e string) bool { return strings.HasSuffix(strings.ToLower(name), e) }) {
		u.Status = "VALIDATION_FAILED"
	}
	s.binaries[u.ID] = u
	return answer{status: http.StatusCreated, header: map[string]string{"Location": "Binary/" + u.ID}}
}

// createReferral is A011: a shortlist, nothing sent yet.
func (s *ERS) createReferral(r request) answer {
	ps, refused := parameters(r, "eRS-CreateReferral-Parameters-1", "patient", "referringClinician",
		"intentionToAddReferralLetter", "firstReminderLetterFollowUpDays", "eReferralPathwayStart", "shortlist")
	if refused.status != 0 {
		return refused
	}
	if one(ps, "intentionToAddReferralLetter", "valueCoding", "code") == "" {
		return ersProblem(422, "MISSING_VALUE")
	}
	q, refused := s.begin(r, ps, 20)
	if refused.status != 0 {
		return refused
	}
	q.ubrn, q.id, q.version, q.state = s.nextUBRN(), "r."+s.uuid(), 3, "NOT_BOOKED"
	s.requests["r:"+q.ubrn] = q
	return fhirAnswer(http.StatusCreated, s.referral(q), q.version)
}

// createAdvice is A044.
func (s *ERS) createAdvice(r request) answer {
	ps, refused := parameters(r, "eRS-CreateAdviceAndGuidance-Request-Parameters-1", "patient",
		"providerConversionAuthorisation", "shortlist", "request", "requestAttachmentFile", "referringClinician")
	if refused.status != 0 {
		return refused
	}
	words := one(ps, "request", "valueString")
	conversion := one(ps, "providerConversionAuthorisation", "valueCoding", "code")
	switch {
	case words == "" || conversion == "":
		return ersProblem(422, "MISSING_VALUE")
	case utf8.RuneCountInString(words) > longestText:
		return ersProblem(422, "INVALID_VALUE")
	case conversion != "AUTHORISED_TO_CONVERT" && conversion != "NOT_AUTHORISED_TO_CONVERT":
		return ersProblem(422, "INVALID_CODE")
	}
	files, refused := s.attach(ps["requestAttachmentFile"], "ADVICE_REQUEST", "", caller(r, referrer))
	if refused.status != 0 {
		return refused
	}
	q, refused := s.begin(r, ps, 1)
	if refused.status != 0 {
		return refused
	}
	q.advice, q.conversion = true, conversion
	q.ubrn, q.id, q.version, q.state, q.service = s.nextUBRN(), "a."+s.uuid(), 1, "PROVIDER_RESPONSE_REQUIRED", q.services[0]
	q.talk = []communication{{id: fmt.Sprint(s.next()), text: words, sent: s.instant(), files: files}}
	s.requests["a:"+q.ubrn] = q
	created := object{"resourceType": "Parameters", "meta": profile("eRS-CreateAdviceAndGuidance-Response-Parameters-1"), "parameter": []any{
		object{"name": "createdCommunicationRequest", "resource": s.advice(q)},
		object{"name": "createdCommunication", "resource": s.communication(q, q.talk[0])},
	}}
	return fhirAnswer(http.StatusOK, created, 0)
}

// begin checks what A011 and A044 have in common: the patient, the clinician and the shortlist.
func (s *ERS) begin(r request, ps map[string][]any, most int) (*ersRequest, answer) {
	q := &ersRequest{patient: one(ps, "patient", "valueIdentifier", "value"), asked: caller(r, referrer)}
	clinician := one(ps, "referringClinician", "valueIdentifier", "value")
	q.asked.person = or(clinician, q.asked.person)
	admin := r.Header.Get("NHSD-eRS-Business-Function") == "REFERRING_CLINICIAN_ADMIN"
	switch {
	case one(ps, "patient", "valueIdentifier", "system") != nhsNumber || len(ps["shortlist"]) != 1:
		return nil, ersProblem(422, "MISSING_VALUE")
	case !validNHSNumber(q.patient):
		return nil, ersProblem(422, "PATIENT_ERROR")
	case r.Header.Get("NHSD-eRS-Business-Function") == "REFERRING_ADMIN":
		return nil, ersProblem(http.StatusForbidden, "FORBIDDEN")
	case admin && clinician == "":
		return nil, ersProblem(422, "VALUE_IS_REQUIRED")
	case !admin && clinician != "":
		return nil, ersProblem(422, "FIELD_NOT_PERMITTED")
	}
	return q, s.shortlist(q, at(ps["shortlist"][0], "resource"), most)
}

// shortlist reads the services and the search that found them.
func (s *ERS) shortlist(q *ersRequest, l any, most int) answer {
	search := at(l, "contained", 0)
	for _, e := range list(l, "entry") {
		id := text(e, "item", "identifier", "value")
		if text(e, "item", "identifier", "system") != service || id == "" {
			return ersProblem(422, "INVALID_VALUE")
		}
		if slices.Contains(q.services, id) {
			return ersProblem(422, "DUPLICATE_SERVICE")
		}
		q.services = append(q.services, id)
	}
	q.criteria = list(search, "parameter")
	for _, p := range q.criteria {
		switch text(p, "name") {
		case "priority":
			q.priority = coding([]any{at(p, "valueCoding")}, stu3Codes+"eRS-Priority-1")
		case "specialty":
			q.specialty = text(p, "valueCoding", "code")
			if text(p, "valueCoding", "system") != s.system(specialtySystem) {
				return ersProblem(422, "INVALID_CODE")
			}
		}
	}
	switch {
	case text(l, "meta", "profile", 0) != stu3+"eRS-Shortlist-List-1" || text(l, "resourceType") != "List" ||
		text(search, "meta", "profile", 0) != stu3+"eRS-ServiceSearchCriteria-Parameters-1" ||
		text(l, "extension", 0, "valueReference", "reference") != "#"+text(search, "id"):
		return ersProblem(422, "INVALID_FHIR_STRUCTURE")
	case len(q.services) == 0:
		return ersProblem(422, "MISSING_VALUE")
	case len(q.services) > most:
		return ersProblem(422, "TOO_MANY_ITEMS")
	case !slices.Contains(priorities, q.priority):
		return ersProblem(422, "INVALID_CODE")
	}
	return answer{}
}

// attach reads DocumentReferences of uploaded files. A file for an existing request must have been
// uploaded for it (NHSD-eRS-Referral-ID), one for a new request for none; its name is not that of one which is there.
func (s *ERS) attach(parameters []any, kind, ubrn string, by author, there ...attachment) ([]attachment, answer) {
	var out []attachment
	names := map[string]bool{}
	for _, f := range there {
		names[f.binary.Name] = true
	}
	for _, p := range parameters {
		doc := at(p, "resource")
		id, _ := strings.CutPrefix(text(doc, "content", 0, "attachment", "url"), "Binary/")
		u := s.binaries[id]
		switch {
		case text(doc, "meta", "profile", 0) != stu3+"eRS-DocumentReference-1" || text(doc, "status") != "current" || text(doc, "indexed") == "":
			return nil, ersProblem(422, "INVALID_FHIR_STRUCTURE")
		case coding(list(doc, "type", "coding"), stu3Codes+"eRS-AttachmentType-1") != kind:
			return nil, ersProblem(422, "INVALID_VALUE")
		case u == nil:
			return nil, ersProblem(422, "REFERENCE_NOT_FOUND")
		case u.Referral != ubrn:
			return nil, ersProblem(422, "INAPPROPRIATE_VALUE")
		case names[u.Name]:
			return nil, ersProblem(422, "DUPLICATE_FILENAME")
		}
		names[u.Name] = true
		out = append(out, attachment{binary: u, description: text(doc, "description"), indexed: text(doc, "indexed"), kind: kind, by: by})
	}
	return out, answer{}
}

// maintainLetter is A012: the given files become the whole set.
func (s *ERS) maintainLetter(r request) answer {
	q, refused := s.versioned(r, "r")
	if refused.status != 0 {
		return refused
	}
	ps, refused := parameters(r, "eRS-MaintainReferralLetter-Parameters-1", "referralLetterFile")
	if refused.status != 0 {
		return refused
	}
	files, refused := s.attach(ps["referralLetterFile"], "REFERRER", q.ubrn, caller(r, referrer))
	same := func(a, b attachment) bool { return a.binary == b.binary && a.description == b.description }
	switch {
	case refused.status != 0:
		return refused
	case len(files) == 0:
		return ersProblem(422, "MISSING_VALUE")
	}
	for _, f := range q.files { // what a provider attached is not the referrer's to replace
		if f.kind != "REFERRER" {
			files = append(files, f)
		}
	}
	if slices.EqualFunc(files, q.files, same) {
		return ersProblem(422, "NO_CHANGES_DETECTED")
	}
	q.files = files
	q.version++
	return fhirAnswer(http.StatusOK, s.referral(q), q.version)
}

// deferToTriage is A016 with the reason TRIAGE, after which a referral to a triage service is sent.
func (s *ERS) deferToTriage(r request) answer {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), fhirJSON) {
		return ersProblem(http.StatusUnsupportedMediaType, "")
	}
	body := parse(r.body)
	ref := strings.Split(text(body, "incomingReferral", 0, "reference"), "/")
	profiles := list(body, "meta", "profile")
	if text(body, "resourceType") != "Appointment" || !slices.Contains(profiles, any(stu3+"eRS-Appointment-1")) || text(body, "status") != "proposed" ||
		coding(list(body, "reason", 0, "coding"), stu3Codes+"eRS-ReviewReason-1") != "TRIAGE" {
		return ersProblem(422, "INVALID_VALUE")
	}
	if len(ref) != 4 || ref[0] != "ReferralRequest" || ref[2] != "_history" || s.requests["r:"+ref[1]] == nil {
		return ersProblem(422, "REFERENCE_NOT_FOUND")
	}
	q := s.requests["r:"+ref[1]]
	var to, patient string
	for _, p := range list(body, "participant") {
		switch text(p, "actor", "identifier", "system") {
		case service:
			to = text(p, "actor", "identifier", "value")
		case nhsNumber:
			patient = text(p, "actor", "identifier", "value")
		}
	}
	switch {
	case text(body, "description") == "" || text(body, "id") == "":
		return ersProblem(422, "MISSING_VALUE")
	case ref[3] != fmt.Sprint(q.version):
		return ersProblem(http.StatusConflict, "")
	case q.state != "NOT_BOOKED":
		return ersProblem(422, "INVALID_REQUEST_STATE")
	case !slices.Contains(q.services, to) || patient != q.patient:
		return ersProblem(422, "INAPPROPRIATE_VALUE")
	}
	q.state, q.service, q.sent = "AWAITING_TRIAGE", to, s.instant()
	q.version += 2 // as in the published example: e-RS writes once itself
	sent := object{"id": fmt.Sprint(s.next()), "created": s.instant(), "language": "en", "description": "e-Referral Appointment"}
	for _, k := range []string{"resourceType", "status", "reason", "participant"} {
		sent[k] = body[k]
	}
	sent["meta"] = with2(profile("eRS-Appointment-1", "https://fhir.hl7.org.uk/STU3/StructureDefinition/CareConnect-Appointment-1"), "versionId", "1")
	sent["incomingReferral"] = []any{object{"reference": fmt.Sprintf("ReferralRequest/%s/_history/%d", q.ubrn, q.version)}}
	return fhirAnswer(http.StatusCreated, sent, 1)
}
