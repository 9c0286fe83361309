package ers

import (
	"strings"

	"github.com/dermgate/dermgate/gateway/flow"
)

// order is a request in the terms of e-RS, taken out of the canonical Bundle (read.go).
type order struct {
	Patient    string // NHS number
	Priority   string // ROUTINE, URGENT, TWO_WEEK_WAIT
	Conversion string // AUTHORISED_TO_CONVERT, NOT_AUTHORISED_TO_CONVERT; A&G only
	Service    string // ers-service id
	Specialty  string // e-RS SPECIALTY code
	ClinicType string // eRS-ClinicType-1
	Clinician  string // SDS user id of the referring clinician; only for a REFERRING_CLINICIAN_ADMIN
	Text       string // the question; A&G only
}

// file is one attachment in the set of a request.
type file struct {
	URL         string // "Binary/<uuid>"
	Description string
	Indexed     string // FHIR instant
}

// adviceBody is the body of A044. base is the address down to "/referrals/FHIR", which the SPECIALTY code
// system is relative to.
func adviceBody(base string, o order, files []file) parameters {
	p := []parameter{
		{Name: "patient", Identifier: &identifier{systemNHSNumber, o.Patient}},
		{Name: "providerConversionAuthorisation", Coding: code("eRS-ProviderConversionAuthorisation-1", o.Conversion)},
		{Name: "shortlist", Resource: shortlist(base, o)},
		{Name: "request", String: o.Text},
	}
	for _, f := range files {
		p = append(p, parameter{Name: "requestAttachmentFile", Resource: document(f, "ADVICE_REQUEST")})
	}
	if o.Clinician != "" {
		p = append(p, parameter{Name: "referringClinician", Identifier: &identifier{systemSDSUser, o.Clinician}})
	}
	return parameters{ResourceType: "Parameters", Meta: profile("eRS-CreateAdviceAndGuidance-Request-Parameters-1"), Parameter: p}
}

// referralBody is the body of A011: a shortlist of one service. The letter follows; no pathway start date
// is given, so that e-RS derives the start of the RTT clock by its own rule.
func referralBody(base string, o order) parameters {
	noReminder := uint(0)
	p := []parameter{{Name: "patient", Identifier: &identifier{systemNHSNumber, o.Patient}}}
	if o.Clinician != "" {
		p = append(p, parameter{Name: "referringClinician", Identifier: &identifier{systemSDSUser, o.Clinician}})
	}
	p = append(p,
		parameter{Name: "intentionToAddReferralLetter", Coding: code("eRS-ReferralLetterIntention-1", "NEED_TO_ADD_LATER")},
		parameter{Name: "firstReminderLetterFollowUpDays", Unsigned: &noReminder},
		parameter{Name: "shortlist", Resource: shortlist(base, o)},
	)
	return parameters{ResourceType: "Parameters", Meta: profile("eRS-CreateReferral-Parameters-1"), Parameter: p}
}

func shortlist(base string, o order) listOf {
	appropriate := false // nobody searched by age and gender: the requester chose the service
	criteria := []parameter{{Name: "priority", Coding: code("eRS-Priority-1", o.Priority)}}
	if o.Specialty != "" {
		criteria = append(criteria, parameter{Name: "specialty", Coding: &coding{System: strings.TrimRight(base, "/") + "/STU3/CodeSystem/SPECIALTY", Code: o.Specialty}})
	}
	if o.ClinicType != "" {
		criteria = append(criteria, parameter{Name: "clinicType", Coding: code("eRS-ClinicType-1", o.ClinicType)})
	}
	criteria = append(criteria, parameter{Name: "ageAndGenderAppropriate", Boolean: &appropriate})
	return listOf{
		Meta: profile("eRS-Shortlist-List-1"), ResourceType: "List", Status: "current", Mode: "snapshot",
		Contained: []parameters{{ResourceType: "Parameters", Meta: profile("eRS-ServiceSearchCriteria-Parameters-1"),
			ID: "ServiceSearchCriteria-1", Parameter: criteria}},
		Entry: []listEntry{{reference{Identifier: &identifier{systemService, o.Service}}}},
		Extension: []extension{{URL: definition + "Extension-eRS-Shortlist-SearchCriteria-1",
			Reference: &reference{Reference: "#ServiceSearchCriteria-1"}}},
	}
}

// letterBody is the body of A012: the whole set.
func letterBody(files []file) parameters {
	var p []parameter
	for _, f := range files {
		p = append(p, parameter{Name: "referralLetterFile", Resource: document(f, "REFERRER")})
	}
	return parameters{ResourceType: "Parameters", Meta: profile("eRS-MaintainReferralLetter-Parameters-1"), Parameter: p}
}

func document(f file, kind string) documentReference {
	return documentReference{
		Meta: profile("eRS-DocumentReference-1"), ResourceType: "DocumentReference",
		Type:   concept{[]coding{*code("eRS-AttachmentType-1", kind)}},
		Status: "current", Indexed: f.Indexed, Description: f.Description,
		Content: []contentEntry{{attachment{URL: f.URL}}},
	}
}

// triageBody is the body of A016 that sends a referral to its triage service.
func triageBody(ubrn, version string, o order) appointment {
	m := profile("eRS-Appointment-1")
	m.Profile = append(m.Profile, "https://fhir.hl7.org.uk/STU3/StructureDefinition/CareConnect-Appointment-1")
	return appointment{
		ID: "appointment", Meta: m, Language: "en", ResourceType: "Appointment", Status: "proposed",
		Reason:           []concept{{[]coding{*code("eRS-ReviewReason-1", "TRIAGE")}}},
		Description:      "e-Referral Appointment",
		IncomingReferral: []reference{{Reference: "ReferralRequest/" + ubrn + "/_history/" + version}},
		Participant: []participant{
			{reference{Identifier: &identifier{systemService, o.Service}}, "accepted"},
			{reference{Identifier: &identifier{systemNHSNumber, o.Patient}}, "accepted"},
		},
	}
}

// guidanceBody is the body of A026: what flow.Relayed.Check lets through, which is never a conversion.
func guidanceBody(r flow.Relayed, priority string, files []file) parameters {
	p := []parameter{{Name: "guidanceOutcome", Coding: code("eRS-GuidanceResponseOutcome-1", r.Outcome)}}
	if r.Recommendation != "" {
		p = append(p, parameter{Name: "guidanceIntendedRecommendation", Coding: code("eRS-GuidanceIntendedRecommendation-1", r.Recommendation)})
	}
	p = append(p, parameter{Name: "guidance", String: r.Text}, parameter{Name: "updatedPriority", Coding: code("eRS-Priority-1", priority)})
	for _, f := range files {
		p = append(p, parameter{Name: "guidanceAttachmentFile", Resource: document(f, "GUIDANCE_RESPONSE")})
	}
	return parameters{ResourceType: "Parameters", Meta: profile("eRS-SendCommunicationToRequester-Request-Parameters-1"), Parameter: p}
}

// outcomeBody is the body of A028.
func outcomeBody(r flow.Relayed, files []file) parameters {
	var p []parameter
	if r.Priority != "" {
		p = append(p, parameter{Name: "reviewPriority", Coding: code("eRS-Priority-1", r.Priority)})
	}
	p = append(p, parameter{Name: "reviewOutcome", Coding: code("eRS-ReviewOutcome-1", r.Outcome)}, parameter{Name: "reviewComments", String: r.Text})
	for _, f := range files {
		p = append(p, parameter{Name: "reviewAttachmentFile", Resource: document(f, "PROVIDER")})
	}
	return parameters{ResourceType: "Parameters", Meta: profile("eRS-RecordReviewOutcome-Parameters-1"), Parameter: p}
}

// cancelBody is the body of A036. base is the address that the code system of the reasons is relative to.
func cancelBody(base string, r flow.Relayed) parameters {
	p := []parameter{{Name: "cancellationReason", Coding: &coding{System: strings.TrimRight(base, "/") + "/STU3/CodeSystem/REFERRAL-CANCELLATION-REASON", Code: r.Reason}}}
	if r.Text != "" {
		p = append(p, parameter{Name: "cancellationComments", String: r.Text})
	}
	return parameters{ResourceType: "Parameters", Meta: profile("eRS-CancelReferral-Request-Parameters-1"), Parameter: p}
}
