package sim

import (
	"net/http"
	"slices"
)

// Code systems of A004 that are answered.
const (
	prioritySystem      = "PRIORITY"
	specialtySystem     = "SPECIALTY"
	cancellationReasons = "REFERRAL-CANCELLATION-REASON"
)

// system is the URL of a code system that A004 gives: it begins as the environment does.
func (s *ERS) system(id string) string { return s.Base() + "/STU3/CodeSystem/" + id }

// authorised is the business function of an application that acts for a provider.
const authorised = "PROVIDER_AUTHORISED_APPLICATION"

// cancellation is a reason why a referral is cancelled, of those in force in the published example of A004.
type cancellation struct {
	code, display string
	kind          string // PATIENT, PROVIDER, PROVIDER_TRIAGE or UNKNOWN
	comment       bool   // a comment must be there
	referrer      bool   // a referrer may give it
	provider      bool
}

var cancellations = []cancellation{
	{"BOOKED_CLINICAL_NEED", "Booked more urgently due to clinical need", "PROVIDER_TRIAGE", true, false, true},
	{"BOOKED_OUTSIDE_CAB", "Patient booked outside NHS e-Referral Service", "PROVIDER", false, false, true},
	{"COMMUNITY_SERVICE_NA", "Sent to community service not available in this system", "PROVIDER_TRIAGE", true, false, true},
	{"COMPLEX_PATHWAY", "Complex pathway, multiple appointments needed", "PROVIDER_TRIAGE", true, false, true},
	{"INTEND_PRIVATE", "Patient will go to a private clinic", "PATIENT", false, true, true},
	{"NO_LONGER_REQUIRED", "Referral is no longer required", "PROVIDER_TRIAGE", true, false, true},
	{"OTHER_OTHER", "Other reason", "PROVIDER_TRIAGE", true, false, true},
	{"OUTPATIENT_CLINICIAN_NA", "Sent to outpatient service as named clinician is not available in this system", "PROVIDER_TRIAGE", true, false, true},
	{"OUTPATIENT_SERVICE_NA", "Sent to outpatient service not available in this system", "PROVIDER_TRIAGE", true, false, true},
	{"PATIENT_DIED", "Patient died", "PATIENT", false, true, true},
	{"PATIENT_REQUEST_CANCELLATION_OTHER", "Other", "PATIENT", true, true, true},
	{"RAISED_IN_ERROR", "Referral created by mistake", "UNKNOWN", false, true, false},
	{"REFERRER_CANCELLATION", "Other - Referrer request cancellation", "UNKNOWN", false, true, false},
	{"STRAIGHT_TO_TEST", "Sent straight to test / procedure", "PROVIDER_TRIAGE", true, false, true},
	{"TREATMENT_NO_LONGER_REQUIRED", "Referral no longer needed", "PATIENT", false, true, true},
	{"TRIAGE_ENDED", "Triage Ended", "PROVIDER_TRIAGE", false, false, true},
}

// who are the business functions that may give a reason.
func (c cancellation) who() (out []string) {
	if c.referrer {
		out = append(out, "REFERRING_CLINICIAN_ADMIN", "REFERRING_CLINICIAN")
	}
	if c.provider {
		out = append(out, "SERVICE_PROVIDER_CLINICIAN", actsFor, authorised)
	}
	return out
}

// fits tells whether a reason can be given in a state: a provider ends what it has triaged with a reason of triage, and
// anything else with another; an appointment is cancelled by none of triage.
func (c cancellation) fits(state, function string) bool {
	if slices.Contains(referrers, function) {
		return true
	}
	return (c.kind == "PROVIDER_TRIAGE") == (state == "TRIAGED_PROVIDER_TO_ACTION")
}

// concept of A004.
func (c cancellation) concept(since object) object {
	typed := func(property, system, code string) object {
		return object{"code": property, "valueCoding": object{"system": stu3Codes + system, "code": code}}
	}
	property := []any{since, typed("appointmentRequestCancellationReasonType", "eRS-AppointmentRequestCancellationReasonType-1", c.kind),
		object{"code": "commentIsMandatory", "valueBoolean": c.comment}, object{"code": "canCancelAppointment", "valueBoolean": c.kind != "PROVIDER_TRIAGE"}}
	for _, w := range c.who() {
		property = append(property, typed("businessFunction", "eRS-BusinessFunction-1", w))
	}
	return object{"code": c.code, "display": c.display, "property": append(property, typed("referrerUsage", "eRS-ReferralRequestCancellationReasonUsage-1", "CANCEL_REFERRAL"))}
}

// referenceData is A004, of three of its code systems; the days are those of the published example.
func (s *ERS) referenceData(r request) answer {
	property := func(code, kind string) object {
		return object{"code": code, "uri": stu3Codes + "eRS-Concept-Properties-1#" + code, "type": kind}
	}
	since := object{"code": "effectiveFrom", "valueDateTime": "2004-06-01T00:00:00.000Z"}
	of := func(code, display string, more ...any) object {
		return object{"code": code, "display": display, "property": append([]any{since}, more...)}
	}
	days := func(deferred, triage int) []any {
		return []any{object{"code": "deferToProviderContactDays", "valueInteger": deferred}, object{"code": "triageContactDays", "valueInteger": triage}}
	}
	id := r.PathValue("system")
	name, properties, concepts := "", []any{property("effectiveFrom", "dateTime")}, []any(nil)
	switch id {
	case prioritySystem:
		name, concepts = "e-RS Priority", []any{of("ROUTINE", "Routine", days(40, 40)...), of("URGENT", "Urgent", days(10, 5)...), of("TWO_WEEK_WAIT", "Two Week Wait", days(5, 2)...)}
		properties = append(properties, property("deferToProviderContactDays", "integer"), property("triageContactDays", "integer"))
	case specialtySystem:
		name, concepts = "e-RS Specialty", []any{of("DERMATOLOGY", "Dermatology"), of("CARDIOLOGY", "Cardiology")}
	case cancellationReasons:
		name = "e-RS ReferralRequest Cancellation Reason"
		for _, c := range cancellations {
			concepts = append(concepts, c.concept(since))
		}
		for _, p := range []string{"appointmentRequestCancellationReasonType", "businessFunction", "referrerUsage"} {
			properties = append(properties, property(p, "Coding"))
		}
		properties = append(properties, property("commentIsMandatory", "boolean"), property("canCancelAppointment", "boolean"))
	default:
		return ersProblem(http.StatusNotFound, "")
	}
	return fhirAnswer(http.StatusOK, object{"id": id, "resourceType": "CodeSystem", "meta": object{"profile": []any{"http://hl7.org/fhir/StructureDefinition/shareablecodesystem"}},
		"url": s.system(id), "version": "1", "name": name, "status": "active", "experimental": false, "date": s.instant(),
		"publisher": "e-Referral Service", "description": name, "caseSensitive": true, "content": "complete", "property": properties, "concept": concepts}, 0)
}
