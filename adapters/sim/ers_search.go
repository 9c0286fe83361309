package sim

import (
	"errors"
	"net/http"
	"slices"
	"strings"
)

// Service is a service that A010 finds.
type Service struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Specialty string `json:"specialty"` // empty: DERMATOLOGY
	Flow      string `json:"flow"`      // eRS-RequestFlowType-1: TRIAGE_REQUEST, APPOINTMENT_REQUEST, ADVICE_AND_GUIDANCE_REQUEST; empty: TRIAGE_REQUEST
	Wait      int    `json:"wait"`      // indicative wait for an appointment, days
}

// flows are the kinds of requests that services take, by what a search asks for (eRS-RequestType-1).
var flows = map[string][]string{"APPOINTMENT_REQUEST": {"APPOINTMENT_REQUEST", "TRIAGE_REQUEST"}, "ADVICE_AND_GUIDANCE_REQUEST": {"ADVICE_AND_GUIDANCE_REQUEST"}}

// Offer adds a service to what A010 finds.
func (s *ERS) Offer(v Service) error {
	kinds := slices.Concat(flows["APPOINTMENT_REQUEST"], flows["ADVICE_AND_GUIDANCE_REQUEST"])
	if v.ID == "" || v.Wait < 0 || v.Flow != "" && !slices.Contains(kinds, v.Flow) {
		return errors.New("sim: a service has an id, a wait of days that is not negative, and a flow of " + strings.Join(kinds, ", "))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Services = append(s.Services, v)
	return nil
}

// searchServices is A010: the services of the specialty that is searched for, by the kind of request; every other criterion finds them all.
func (s *ERS) searchServices(r request) answer {
	ps, refused := parameters(r, "eRS-PatientServiceSearch-Parameters-1", "requestType", "sortBy", "patient", "referringClinician", "searchCriteria")
	if refused.status != 0 {
		return refused
	}
	kind := one(ps, "requestType", "valueCoding", "code")
	patient := one(ps, "patient", "valueIdentifier", "value")
	var specialty, priority, system string
	for _, c := range list(first(ps["searchCriteria"]), "resource", "parameter") {
		switch text(c, "name") {
		case "specialty":
			specialty, system = text(c, "valueCoding", "code"), text(c, "valueCoding", "system")
		case "priority":
			priority = text(c, "valueCoding", "code")
		}
	}
	switch {
	case kind == "" || patient == "" || len(ps["searchCriteria"]) == 0 || len(ps["sortBy"]) == 0:
		return ersProblem(422, "MISSING_VALUE")
	case flows[kind] == nil || !slices.Contains(priorities, priority) || system != "" && system != s.system(specialtySystem):
		return ersProblem(422, "INVALID_CODE")
	case !validNHSNumber(patient):
		return ersProblem(422, "PATIENT_ERROR")
	}
	entries := []any{}
	for _, v := range s.Services {
		if specialty != "" && specialty != or(v.Specialty, "DERMATOLOGY") || !slices.Contains(flows[kind], or(v.Flow, "TRIAGE_REQUEST")) {
			continue
		}
		entries = append(entries, s.foundService(v))
	}
	found := object{"meta": profile("eRS-FetchServices-List-1"), "resourceType": "List", "status": "current", "mode": "snapshot", "entry": entries}
	if len(entries) == 0 {
		found["emptyReason"] = object{"coding": []any{object{"system": "http://hl7.org/fhir/ValueSet/list-empty-reason", "code": "unavailable", "display": "Unavailable"}}}
	}
	return fhirAnswer(http.StatusOK, found, 0)
}

func first(all []any) any {
	if len(all) == 0 {
		return nil
	}
	return all[0]
}

func (s *ERS) foundService(v Service) object {
	coded := func(url, system, code string) object {
		return object{"url": url, "valueCodeableConcept": object{"coding": []any{object{"system": system, "code": code}}}}
	}
	return object{
		"extension": []any{object{"url": stu3 + "Extension-eRS-ServiceSearch-ListItem-1", "extension": []any{
			object{"url": "displayProminently", "valueBoolean": false}, object{"url": "indicativeAppointmentWaitTime", "valueUnsignedInt": v.Wait}}}},
		"item": object{"identifier": object{"system": service, "value": v.ID},
			"extension": []any{object{"url": stu3 + "Extension-eRS-ServiceSummaryView-1", "extension": []any{
				object{"url": "serviceName", "valueString": or(v.Name, "Dermatology service "+v.ID)},
				coded("specialty", s.system(specialtySystem), or(v.Specialty, "DERMATOLOGY")),
				coded("genderTreated", stu3Codes+"eRS-GenderTreated-1", "MALE_AND_FEMALE"),
				coded("bookableType", stu3Codes+"eRS-BookableType-1", "UNSPECIFIED"),
				coded("supportedAppointmentType", stu3Codes+"eRS-AppointmentType-1", "ASSESSMENT_SERVICE"),
				object{"url": "referralLetterRequired", "valueBoolean": true},
				object{"url": "location", "valueReference": object{"identifier": object{"system": "https://directory.spineservices.nhs.uk/STU3/Organization", "value": specialist.organisation}, "display": "St Elsewhere Hospital"}},
				object{"url": "linkToNHSWebsite", "valueString": "https://www.nhs.uk/service-search/other-services/chooseandbook?serviceId=" + v.ID},
				coded("supportedRequestFlowType", stu3Codes+"eRS-RequestFlowType-1", or(v.Flow, "TRIAGE_REQUEST")),
			}}}}}
}
