package sim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// selected reads the body of A008 and A023: which list, and by which service it is filtered.
func (s *ERS) selected(r request, system string) (name, of string, refused answer) {
	ps, refused := parameters(r, "eRS-FetchWorklist-Parameters-1", "listType", "service", "specialtyAssignedIndicator", "specialty",
		"clinicianAssignedIndicator", "clinician")
	if refused.status != 0 {
		return "", "", refused
	}
	if len(ps["listType"]) == 0 {
		return "", "", ersProblem(422, "MISSING_VALUE")
	}
	name = coding(list(ps["listType"][0], "valueCodeableConcept", "coding"), stu3Codes+system)
	of = one(ps, "service", "valueIdentifier", "value")
	if len(ps["service"]) > 0 && (of == "" || one(ps, "service", "valueIdentifier", "system") != service) {
		return "", "", ersProblem(422, "INVALID_VALUE")
	}
	return name, of, answer{}
}

// worklist is A008 of a provider.
func (s *ERS) worklist(r request) answer {
	name, of, refused := s.selected(r, "eRS-ReferralListSelector-1")
	application := r.Header.Get("NHSD-eRS-Business-Function") == ""
	switch {
	case refused.status != 0:
		return refused
	case name != "REFERRALS_FOR_REVIEW" && name != "APPOINTMENT_SLOT_ISSUES":
		return ersProblem(422, "INVALID_CODE")
	case application && of == "":
		return ersProblem(422, "MISSING_VALUE")
	}
	var contained, entries []any
	for _, q := range s.sorted("r") {
		slots := q.state == "DEFERRED_TO_PROVIDER"
		review := q.state == "AWAITING_TRIAGE" || q.state == "BOOKED"
		if of != "" && q.service != of || name == "REFERRALS_FOR_REVIEW" && !review || name == "APPOINTMENT_SLOT_ISSUES" && !slots {
			continue
		}
		if slots {
			entries = append(entries, s.slotIssue(q))
			continue
		}
		patient := object{"id": "Patient-" + q.patient, "meta": profile("eRS-Patient-1"), "resourceType": "Patient",
			"identifier": []any{object{"system": nhsNumber, "value": q.patient}}}
		if !slices.ContainsFunc(contained, func(c any) bool { return text(c, "id") == patient["id"] }) {
			contained = append(contained, patient)
		}
		entries = append(entries, s.forReview(q))
	}
	return fhirAnswer(http.StatusOK, worklistOf(contained, entries), 0)
}

// sorted gives the requests of a kind by their UBRN.
func (s *ERS) sorted(kind string) (out []*ersRequest) {
	for key, q := range s.requests {
		if strings.HasPrefix(key, kind+":") {
			out = append(out, q)
		}
	}
	slices.SortFunc(out, func(a, b *ersRequest) int { return strings.Compare(a.ubrn, b.ubrn) })
	return out
}

func worklistOf(contained, entries []any) object {
	l := object{"meta": profile("eRS-FetchWorklist-List-1"), "resourceType": "List", "status": "current", "mode": "snapshot"}
	if contained != nil {
		l["contained"] = contained
	}
	if entries != nil {
		l["entry"] = entries
	}
	return l
}

func item(kind, list string, q *ersRequest, parts ...any) object {
	return object{"item": object{"reference": kind + "/" + q.ubrn},
		"extension": []any{object{"url": stu3 + "Extension-eRS-" + list + "-WorkListItem-1", "extension": parts}}}
}

// about are the parts that entries of every list have.
func (s *ERS) about(q *ersRequest) []any {
	return []any{
		object{"url": "priority", "valueCodeableConcept": concept("eRS-Priority-1", q.priority)},
		object{"url": "specialty", "valueCodeableConcept": object{"coding": []any{object{"system": s.system(specialtySystem), "code": q.specialty}}}},
		object{"url": "service", "valueReference": object{"identifier": object{"system": service, "value": q.service}, "display": "Dermatology service " + q.service}},
	}
}

func (s *ERS) forReview(q *ersRequest) object {
	kind := "TRIAGE_DEFERRAL"
	if q.state == "BOOKED" {
		kind = "APPOINTMENT"
	}
	return item("ReferralRequest", "ReferralsforReview", q, append(s.about(q),
		object{"url": "patient", "valueReference": object{"reference": "#Patient-" + q.patient}},
		object{"url": "eReferralPathwayStart", "valueDateTime": or(q.sent, s.instant())},
		object{"url": "clinicalInfoPrinted", "valueBoolean": false},
		object{"url": "requestContextStatus", "valueCodeableConcept": object{"coding": []any{object{
			"system": stu3Codes + "eRS-RequestContextStatus-1", "code": "NEVER_REVIEWED", "display": "Never Reviewed"}}}},
		object{"url": "clinicalInfoFirstSubmitted", "valueDateTime": or(q.sent, s.instant())},
		object{"url": "referralType", "valueCodeableConcept": concept("eRS-ReferralType-1", kind)},
		object{"url": "referralRequestVersion", "valueInteger": q.version})...)
}

func (s *ERS) slotIssue(q *ersRequest) object {
	return item("ReferralRequest", "AppointmentSlotIssues", q, append(s.about(q),
		object{"url": "patient", "valueReference": object{"identifier": object{"system": nhsNumber, "value": q.patient}}},
		object{"url": "eReferralPathwayStart", "valueDateTime": or(q.sent, s.instant())},
		object{"url": "clinicalInfoPrinted", "valueBoolean": false},
		object{"url": "ubrnReceived", "valueDateTime": or(q.sent, s.instant())})...)
}

// adviceWorklist is A023.
func (s *ERS) adviceWorklist(r request) answer {
	name, of, refused := s.selected(r, "eRS-CommunicationListSelector-1")
	switch {
	case refused.status != 0:
		return refused
	case name != "ADVICE_AND_GUIDANCE_REQUESTS":
		return ersProblem(422, "INVALID_CODE")
	}
	var entries []any
	for _, q := range s.sorted("a") {
		if of != "" && q.service != of || q.state != "PROVIDER_RESPONSE_REQUIRED" && q.state != "REFERRER_TO_SUBMIT_FURTHER_INFORMATION" {
			continue
		}
		last := q.talk[len(q.talk)-1].sent
		entries = append(entries, item("CommunicationRequest", "AdviceAndGuidanceRequests", q, append(s.about(q),
			object{"url": "patient", "valueReference": object{"identifier": object{"system": nhsNumber, "value": q.patient}}},
			object{"url": "category", "valueCodeableConcept": concept("eRS-AdviceAndGuidanceStatus-1", q.state)},
			object{"url": "adviceFirstRequested", "valueDateTime": q.talk[0].sent},
			object{"url": "adviceLastUpdated", "valueDateTime": last},
			object{"url": "referrer", "valueReference": object{"identifier": object{"system": sdsUser, "value": q.asked.person}}},
			object{"url": "communicationRequestVersion", "valueInteger": q.version})...))
	}
	return fhirAnswer(http.StatusOK, worklistOf(nil, entries), 0)
}

// clinicalInformation is A007.
func (s *ERS) clinicalInformation(r request) answer {
	return s.pdf(r, "r", "a", "Clinical_Information_Summary")
}

// adviceOverview is A043.
func (s *ERS) adviceOverview(r request) answer {
	return s.pdf(r, "a", "r", "Advice_and_Guidance_Overview")
}

// pdf answers with a document that says when it was made, as e-RS does: no two are the same.
func (s *ERS) pdf(r request, kind, other, name string) answer {
	q, refused := s.wanted(r, kind, other)
	if refused.status != 0 {
		return refused
	}
	ubrn := q.ubrn
	s.count++
	body := page(fmt.Sprintf("%s of %s, version %d, copy %d", strings.ReplaceAll(name, "_", " "), ubrn, q.version, s.count))
	return answer{status: http.StatusOK, body: body, header: map[string]string{"Content-Type": "application/pdf", "Content-Length": fmt.Sprint(len(body)),
		"Content-Disposition": fmt.Sprintf(`attachment; filename="%s_%s_%s.pdf"`, ubrn, name, s.Now().UTC().Format("20060102150405"))}}
}

// page makes a PDF of one page with one line.
func page(line string) []byte {
	stream := "BT /F1 12 Tf 72 720 Td (" + line + ") Tj ET"
	var b strings.Builder
	var offsets []int
	b.WriteString("%PDF-1.4\n")
	for i, o := range []string{"<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(stream), stream), "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"} {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, o := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(offsets)+1, start)
	return []byte(b.String())
}

// actions is A029: what may be done with the latest version of a referral.
func (s *ERS) actions(r request) answer {
	query := r.URL.Query()
	ref := strings.Split(query.Get("focus"), "/")
	switch {
	case query.Get("focus") == "" || query.Get("intent") == "" || query.Get("status") == "":
		return ersProblem(http.StatusBadRequest, "MISSING_PARAMETER")
	case len(ref) != 4 || ref[0] != "ReferralRequest" || ref[2] != "_history" || query.Get("intent") != "proposal" || query.Get("status") != "ready":
		return ersProblem(http.StatusBadRequest, "INVALID_VALUE")
	}
	q := s.requests["r:"+ref[1]]
	switch {
	case q == nil:
		return ersProblem(http.StatusBadRequest, "REFERENCE_NOT_FOUND")
	case ref[3] != fmt.Sprint(q.version):
		return ersProblem(http.StatusBadRequest, "HISTORY_NOT_SUPPORTED")
	}
	entries := []any{}
	act := func(code, display string) {
		id := s.uuid()
		entries = append(entries, object{"fullUrl": s.Base() + "/STU3/Task/" + id, "search": object{"mode": "match"}, "resource": object{"id": id, "resourceType": "Task",
			"meta": profile("https://fhir.hl7.org.uk/STU3/StructureDefinition/CareConnect-Task-1"), "status": "ready", "intent": "proposal",
			"focus": object{"reference": query.Get("focus")},
			"code":  object{"coding": []any{object{"system": stu3Codes + "eRS-AvailableActionsForUser-1", "code": code, "display": display}}}}})
	}
	if q.state == "AWAITING_TRIAGE" || q.state == "DEFERRED_TO_PROVIDER" {
		act("RECORD_REVIEW_OUTCOME", "Record Review Outcome")
	}
	if q.state != "CANCELLED_REFERRAL" {
		act("CANCEL_REFERRAL", "Cancel Referral")
	}
	return fhirAnswer(http.StatusOK, object{"id": s.uuid(), "resourceType": "Bundle", "type": "searchset",
		"meta": object{"lastUpdated": s.instant(), "profile": []any{"http://hl7.org/fhir/STU3/StructureDefinition/Bundle"}},
		"link": []any{object{"relation": "self", "url": s.Base() + "/STU3/Task?" + r.URL.RawQuery}}, "entry": entries}, 0)
}

// appointment renders that of a referral which was sent to a service.
func (s *ERS) appointment(q *ersRequest) object {
	a := object{"id": "appointment", "resourceType": "Appointment", "language": "en", "description": "e-Referral Appointment", "created": q.sent,
		"meta":             with2(profile("eRS-Appointment-1", "https://fhir.hl7.org.uk/STU3/StructureDefinition/CareConnect-Appointment-1"), "versionId", "1"),
		"incomingReferral": []any{object{"reference": fmt.Sprintf("ReferralRequest/%s/_history/%d", q.ubrn, q.version)}},
		"participant": []any{
			object{"actor": object{"identifier": object{"system": service, "value": q.service}, "display": "Dermatology service " + q.service}, "status": "accepted"},
			object{"actor": object{"identifier": object{"system": nhsNumber, "value": q.patient}}, "status": "accepted"}}}
	if q.state == "BOOKED" {
		a["status"], a["slot"] = "booked", []any{object{"reference": "Slot/11002011"}}
		start := s.Now().UTC().Add(7 * 24 * time.Hour).Truncate(time.Hour)
		a["start"], a["end"] = start.Format(time.RFC3339), start.Add(time.Hour).Format(time.RFC3339)
		return a
	}
	reason := code("eRS-ReviewReason-1", "TRIAGE")
	switch {
	case q.state == "CANCELLED_REFERRAL":
		a["status"] = "cancelled"
		return a
	case q.state == "DEFERRED_TO_PROVIDER":
		reason = code("eRS-ReviewReason-1", "NO_SLOTS_AT_SERVICE")
	case q.reason != "":
		reason, a["comment"] = code("eRS-ReviewOutcome-1", q.reason), q.comments
	}
	a["status"], a["reason"] = "proposed", []any{object{"coding": []any{reason}}}
	return a
}
