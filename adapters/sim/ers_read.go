package sim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// instant is the present as e-RS writes it.
func (s *ERS) instant() string { return s.Now().UTC().Format("2006-01-02T15:04:05.000Z") }

// fhirAnswer gives a resource, with an ETag when version is not 0 (A044 has none).
func fhirAnswer(status int, resource object, version int) answer {
	a := answer{status: status, body: resource, header: map[string]string{"Content-Type": fhirJSON}}
	if version != 0 {
		a.header["ETag"] = fmt.Sprintf(`W/"%d"`, version)
	}
	return a
}

// readReferral is A005.
func (s *ERS) readReferral(r request) answer {
	q, refused := s.wanted(r, "r", "a")
	if refused.status != 0 {
		return refused
	}
	return fhirAnswer(http.StatusOK, s.referral(q), q.version)
}

// readAdvice is A024.
func (s *ERS) readAdvice(r request) answer {
	q, refused := s.wanted(r, "a", "r")
	if refused.status != 0 {
		return refused
	}
	return fhirAnswer(http.StatusOK, s.advice(q), q.version)
}

// wanted finds the request that a call is about, of a kind and not of the other; where it names a version, that has to be
// the latest: there are no others to be read.
func (s *ERS) wanted(r request, kind, other string) (*ersRequest, answer) {
	ubrn, version := r.PathValue("ubrn"), r.PathValue("version")
	q := s.requests[kind+":"+ubrn]
	switch {
	case q == nil && s.requests[other+":"+ubrn] != nil:
		return nil, ersProblem(422, "INVALID_REQUEST_TYPE")
	case q == nil || version != "" && version != fmt.Sprint(q.version):
		return nil, ersProblem(http.StatusNotFound, "")
	}
	return q, answer{}
}

// readConversation is A025: of the latest version only; includes must be asked for.
func (s *ERS) readConversation(r request) answer {
	ref := strings.Split(r.URL.Query().Get("based-on"), "/")
	if len(ref) != 4 || ref[0] != "CommunicationRequest" || ref[2] != "_history" {
		return ersProblem(http.StatusBadRequest, "INVALID_VALUE")
	}
	q := s.requests["a:"+ref[1]]
	if q == nil || ref[3] != fmt.Sprint(q.version) {
		return ersProblem(http.StatusNotFound, "")
	}
	var entries []any
	add := func(kind, id, mode string, resource object) {
		entries = append(entries, object{"fullUrl": s.Base() + "/STU3/" + kind + "/" + id, "resource": resource, "search": object{"mode": mode}})
	}
	for _, c := range q.talk {
		add("Communication", c.id, "match", s.communication(q, c))
	}
	if slices.Contains(r.URL.Query()["_include"], "Communication:content-reference:DocumentReference") {
		for _, c := range q.talk {
			for _, f := range c.files {
				add("DocumentReference", f.binary.ID, "include", s.document(f, f.binary.ID))
			}
		}
	}
	return fhirAnswer(http.StatusOK, object{"id": s.uuid(), "resourceType": "Bundle", "type": "searchset", "total": len(q.talk),
		"meta": object{"lastUpdated": s.instant(), "profile": []any{"http://hl7.org/fhir/STU3/StructureDefinition/Bundle"}},
		"link": []any{object{"relation": "self", "url": s.Base() + "/STU3/Communication?" + r.URL.RawQuery}}, "entry": entries}, 0)
}

// download is A042: a redirect to an object store, once the file was scanned.
func (s *ERS) download(r request) answer {
	u := s.binaries[r.PathValue("id")]
	switch {
	case u == nil:
		return s.r4Problem(http.StatusNotFound, "")
	case u.Status != "AVAILABLE":
		return s.r4Problem(422, u.Status)
	}
	return answer{status: http.StatusTemporaryRedirect, header: map[string]string{"Location": s.URL + "/objects/" + u.ID}}
}

// object is the store behind A042. It refuses a bearer token: e-RS's own must not travel to another host.
func (s *ERS) object(r request) answer {
	u := s.binaries[r.PathValue("id")]
	switch {
	case r.Header.Get("Authorization") != "":
		return answer{status: http.StatusBadRequest, body: []byte("no Authorization header is wanted here")}
	case u == nil:
		return answer{status: http.StatusNotFound}
	}
	return answer{status: http.StatusOK, body: u.Body, header: map[string]string{"Content-Type": u.Type,
		"Content-Disposition": fmt.Sprintf("attachment; filename=%q", u.Name)}}
}

func ext(name, value string, v any) object { return object{"url": stu3 + name, value: v} }

func code(system, value string) object {
	words := strings.Fields(strings.ReplaceAll(value, "_", " "))
	for i, w := range words {
		words[i] = sentence(w)
	}
	display := strings.NewReplacer("Appt Cancelled", "Appointment Cancelled", "Triaged Provider", "Triaged - Provider").Replace(strings.Join(words, " "))
	return object{"system": stu3Codes + system, "code": value, "display": display}
}

func concept(system, value string) object { return object{"coding": []any{code(system, value)}} }

// searched gives the contained resources of the shortlist.
func (s *ERS) searched(q *ersRequest) []any {
	var entries []any
	for _, id := range q.services {
		entries = append(entries, object{"item": object{"identifier": object{"system": service, "value": id}, "display": "Dermatology service " + id}})
	}
	return []any{
		object{"id": "serviceSearchCriteria", "resourceType": "Parameters", "meta": profile("eRS-ServiceSearchCriteria-Parameters-1"), "parameter": q.criteria},
		object{"id": "shortlist", "resourceType": "List", "meta": profile("eRS-Shortlist-List-1"), "status": "current", "mode": "snapshot",
			"extension": []any{ext("Extension-eRS-Shortlist-SearchCriteria-1", "valueReference", object{"reference": "#serviceSearchCriteria"})}, "entry": entries},
	}
}

// referral renders a ReferralRequest.
func (s *ERS) referral(q *ersRequest) object {
	state := []any{object{"url": "state", "valueCoding": code("eRS-ReferralState-1", q.state)}}
	if q.reason != "" {
		state = append(state, object{"url": "reason", "valueCoding": code("eRS-ReviewOutcome-1", q.reason)})
	}
	if q.cancelled.code != "" {
		state = append(state, object{"url": "reason", "valueCoding": object{"system": s.system(cancellationReasons), "code": q.cancelled.code, "display": q.cancelled.display}})
	}
	if q.comments != "" {
		state = append(state, object{"url": "comments", "valueString": q.comments})
	}
	contained, supporting := s.searched(q), []any{}
	for _, f := range q.files {
		contained = append(contained, s.document(f, "DocumentReference-"+f.binary.ID))
		supporting = append(supporting, object{"reference": "#DocumentReference-" + f.binary.ID})
	}
	extra := []any{}
	if q.sent != "" {
		contained = append(contained, s.appointment(q))
		extra = append(extra, ext("Extension-eRS-Appointment-1", "valueReference", object{"reference": "#appointment"}),
			ext("Extension-eRS-ClinicalInfoFirstSubmitted-1", "valueDateTime", q.sent))
	}
	if q.written != "" {
		extra = append(extra, ext("Extension-eRS-ClinicalInfoLastUpdated-1", "valueDateTime", q.written))
	}
	for _, ubrn := range q.related {
		supporting = append(supporting, object{"reference": "ReferralRequest/" + ubrn})
	}
	status := "active"
	if q.ended() {
		status = "cancelled"
	}
	return object{
		"id": q.ubrn, "resourceType": "ReferralRequest", "meta": with2(profile("eRS-ReferralRequest-1"), "versionId", fmt.Sprint(q.version)),
		"extension": append(extra,
			ext("Extension-eRS-ReferralPriority-1", "valueCodeableConcept", concept("eRS-Priority-1", q.priority)),
			ext("Extension-eRS-ReferralShortlist-1", "valueReference", object{"reference": "#shortlist"}),
			ext("Extension-eRS-Commissioning-Rule-Org-1", "valueIdentifier", object{"system": odsCode, "value": q.asked.organisation}),
			ext("Extension-eRS-ReferralState-1", "extension", state)),
		"contained": contained, "status": status, "intent": "plan", "supportingInfo": supporting,
		"subject":    object{"identifier": object{"system": nhsNumber, "value": q.patient}},
		"identifier": []any{object{"system": "https://fhir.nhs.uk/Id/ers-request-id", "value": q.id}},
	}
}

// advice renders a CommunicationRequest.
func (s *ERS) advice(q *ersRequest) object {
	role, by := practitionerRole(q.asked, "REFERRING_CLINICIAN")
	status := "active"
	switch q.state {
	case "CONVERSATION_ENDED_CANCELLED":
		status = "cancelled"
	case "CONVERSATION_ENDED_CLOSED", converted:
		status = "completed"
	}
	return object{
		"id": q.ubrn, "resourceType": "CommunicationRequest", "meta": with2(profile("eRS-CommunicationRequest-1"), "versionId", fmt.Sprint(q.version)),
		"extension": []any{
			ext("Extension-eRS-ReferralPriority-1", "valueCodeableConcept", concept("eRS-Priority-1", q.priority)),
			ext("Extension-eRS-ProviderConversionAuthorisation-1", "valueCoding", code("eRS-ProviderConversionAuthorisation-1", q.conversion)),
			ext("Extension-eRS-ReferralShortlist-1", "valueReference", object{"reference": "#shortlist"}),
			ext("Extension-eRS-Specialty-1", "valueCoding", object{"system": s.system(specialtySystem), "code": q.specialty, "display": sentence(q.specialty)}),
		},
		"contained": append(s.searched(q), role), "status": status,
		"category":   []any{concept("eRS-AdviceAndGuidanceStatus-1", q.state)},
		"subject":    object{"identifier": object{"system": nhsNumber, "value": q.patient}},
		"recipient":  []any{object{"extension": []any{ext("Extension-HealthcareService-Reference-1", "valueReference", object{"identifier": object{"system": service, "value": q.service}})}}},
		"sender":     by,
		"requester":  object{"agent": by},
		"identifier": []any{object{"system": "https://fhir.nhs.uk/Id/ers-request-id", "value": q.id}},
	}
}

// practitionerRole gives the contained resource of somebody, and what refers to it.
func practitionerRole(who author, function string) (role, by object) {
	id := "PractitionerRole." + who.person + "." + who.organisation + "." + strings.ReplaceAll(function, "_", "-")
	role = object{"id": id, "resourceType": "PractitionerRole", "meta": profile("https://fhir.hl7.org.uk/STU3/StructureDefinition/CareConnect-PractitionerRole-1"),
		"practitioner": object{"identifier": object{"system": sdsUser, "value": who.person}},
		"organization": object{"identifier": object{"system": odsCode, "value": who.organisation}},
		"code":         []any{concept("eRS-BusinessFunction-1", function)}}
	return role, object{"extension": []any{ext("Extension-PractitionerRole-Reference-1", "valueReference", object{"reference": "#" + id})}}
}

// communication renders one message of a conversation.
func (s *ERS) communication(q *ersRequest, c communication) object {
	by, function := q.asked, "REFERRING_CLINICIAN"
	sender, recipient := "REQUESTER", object{"extension": []any{ext("Extension-HealthcareService-Reference-1", "valueReference",
		object{"identifier": object{"system": service, "value": q.service}})}}
	if c.byProvider {
		sender, recipient = "RESPONDER", object{"identifier": object{"system": odsCode, "value": q.asked.organisation}}
		by, function = c.by, "SERVICE_PROVIDER_CLINICIAN"
	}
	role, who := practitionerRole(by, function)
	var payload []any
	for _, f := range c.files {
		payload = append(payload, object{"contentReference": object{"reference": "DocumentReference/" + f.binary.ID}})
	}
	out := object{"id": c.id, "resourceType": "Communication", "meta": with2(profile("eRS-Communication-1"), "versionId", "0"),
		"basedOn":  []any{object{"reference": fmt.Sprintf("CommunicationRequest/%s/_history/%d", q.ubrn, q.version)}},
		"status":   "completed",
		"category": []any{concept("eRS-CommunicationSentBy-1", sender)}, "recipient": []any{recipient}, "sent": c.sent,
		"contained": []any{role}, "sender": who,
		"note": []any{object{"text": c.text}}}
	if payload != nil {
		out["payload"] = payload
	}
	return out
}

// document renders the DocumentReference of an attachment.
func (s *ERS) document(f attachment, id string) object {
	day, _, _ := strings.Cut(f.indexed, "T")
	indexed := f.indexed
	if t, err := time.Parse(time.RFC3339Nano, indexed); err == nil {
		indexed = t.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return object{"id": id, "resourceType": "DocumentReference", "meta": profile("eRS-DocumentReference-1"),
		"type": concept("eRS-AttachmentType-1", f.kind), "status": "current", "indexed": indexed, "description": f.description,
		"content": []any{object{"attachment": object{"id": f.binary.ID, "contentType": f.binary.Type, "url": "Binary/" + f.binary.ID,
			"size": len(f.binary.Body), "title": f.binary.Name, "creation": day,
			"extension": f.says()}}}}
}

// says gives the availability of a file, and who attached it.
func (f attachment) says() []any {
	out := []any{ext("Extension-eRS-AvailabilityStatus-1", "valueCoding", code("eRS-AvailabilityStatus-1", f.binary.Status))}
	return append(out, ext("Extension-eRS-AttachedBy-1", "valueReference", object{"identifier": object{"system": sdsUser, "value": f.by.person}}),
		ext("Extension-eRS-AttachedByOrganisation-1", "valueReference", object{"identifier": object{"system": odsCode, "value": f.by.organisation}}))
}

func with2(o object, k string, v any) object { o[k] = v; return o }
