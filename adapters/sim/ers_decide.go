package sim

import (
	"net/http"
	"slices"
	"unicode/utf8"
)

// mayDecide are the business functions of A026 and A028.
var mayDecide = []string{"SERVICE_PROVIDER_CLINICIAN", actsFor}

// longestText is the most characters of a question and of guidance.
const longestText = 8000

// coded gives the code of a parameter, and whether it is one of those of its system; an absent one is.
func coded(ps map[string][]any, name, system string, codes []string) (string, bool) {
	c := one(ps, name, "valueCoding", "code")
	return c, len(ps[name]) == 0 || slices.Contains(codes, c) && one(ps, name, "valueCoding", "system") == stu3Codes+system
}

// caller is who makes a call: no token says which user, so it is the usual one, of the organisation that the call names.
func caller(r request, usual author) author {
	return author{or(r.Header.Get("NHSD-eRS-On-Behalf-Of-User-ID"), usual.person), or(r.Header.Get("NHSD-End-User-Organisation-ODS"), usual.organisation)}
}

// sendAdvice is A026.
func (s *ERS) sendAdvice(r request) answer {
	q, refused := s.versioned(r, "a")
	if refused.status != 0 {
		return refused
	}
	ps, refused := parameters(r, "eRS-SendCommunicationToRequester-Request-Parameters-1", "guidanceOutcome", "guidanceIntendedRecommendation", "guidance",
		"updatedPriority", "guidanceAttachmentFile")
	if refused.status != 0 {
		return refused
	}
	a := Advice{Guidance: one(ps, "guidance", "valueString")}
	var known [3]bool
	a.Outcome, known[0] = coded(ps, "guidanceOutcome", "eRS-GuidanceResponseOutcome-1", keysOf(adviceStates))
	a.Recommendation, known[1] = coded(ps, "guidanceIntendedRecommendation", "eRS-GuidanceIntendedRecommendation-1", recommendations)
	a.Priority, known[2] = coded(ps, "updatedPriority", "eRS-Priority-1", priorities)
	by := caller(r, specialist)
	files, refused := s.attach(ps["guidanceAttachmentFile"], "GUIDANCE_RESPONSE", q.ubrn, by)
	switch {
	case a.Outcome == "" || a.Guidance == "" || a.Priority == "":
		return ersProblem(422, "MISSING_VALUE")
	case slices.Contains(known[:], false) || utf8.RuneCountInString(a.Guidance) > longestText:
		return ersProblem(422, "INVALID_VALUE")
	case a.Outcome == "RETURN_TO_REFERRER_WITH_ADVICE" && a.Recommendation == "":
		return ersProblem(422, "VALUE_IS_REQUIRED")
	case a.Outcome != "RETURN_TO_REFERRER_WITH_ADVICE" && a.Recommendation != "",
		a.Outcome == "PROVIDER_CONVERTED" && q.conversion != "AUTHORISED_TO_CONVERT":
		return ersProblem(422, "INAPPROPRIATE_VALUE")
	case q.state != "PROVIDER_RESPONSE_REQUIRED":
		return ersProblem(422, "INVALID_REQUEST_STATE")
	case refused.status != 0:
		return refused
	}
	s.advise(q, a, files, by)
	q.version++
	return fhirAnswer(http.StatusOK, object{"resourceType": "Parameters", "meta": profile("eRS-SendCommunicationToRequester-Response-Parameters-1"), "parameter": []any{
		object{"name": "updatedCommunicationRequest", "resource": s.advice(q)},
		object{"name": "createdCommunication", "resource": s.communication(q, q.talk[len(q.talk)-1])},
	}}, 0)
}

// recordOutcome is A028.
func (s *ERS) recordOutcome(r request) answer {
	q, refused := s.versioned(r, "r")
	if refused.status != 0 {
		return refused
	}
	ps, refused := parameters(r, "eRS-RecordReviewOutcome-Parameters-1", "reviewOutcome", "reviewComments", "reviewPriority", "reviewAttachmentFile")
	if refused.status != 0 {
		return refused
	}
	o := Outcome{Comment: one(ps, "reviewComments", "valueString")}
	var known [2]bool
	o.Outcome, known[0] = coded(ps, "reviewOutcome", "eRS-ReviewOutcome-1", triageOutcomes)
	o.Priority, known[1] = coded(ps, "reviewPriority", "eRS-Priority-1", priorities)
	files, refused := s.attach(ps["reviewAttachmentFile"], "PROVIDER", q.ubrn, caller(r, specialist), q.files...)
	switch {
	case o.Outcome == "" || o.Comment == "":
		return ersProblem(422, "MISSING_VALUE")
	case slices.Contains(known[:], false):
		return ersProblem(422, "INVALID_CODE")
	case o.Outcome == "RETURN_TO_REFERRER_WITH_ADVICE" && o.Priority != "":
		return ersProblem(422, "PRIORITY_NOT_CURRENT")
	case q.state != "AWAITING_TRIAGE" && q.state != "DEFERRED_TO_PROVIDER":
		return ersProblem(422, "INVALID_REQUEST_STATE")
	case refused.status != 0:
		return refused
	}
	s.decide(q, o, files)
	q.version++
	return fhirAnswer(http.StatusOK, s.referral(q), q.version)
}

// longestComment is the most characters of why a referral is cancelled.
const longestComment = 2000

// cancelReferral is A036.
func (s *ERS) cancelReferral(r request) answer {
	q, refused := s.versioned(r, "r")
	if refused.status != 0 {
		return refused
	}
	ps, refused := parameters(r, "eRS-CancelReferral-Request-Parameters-1", "cancellationReason", "cancellationComments")
	if refused.status != 0 {
		return refused
	}
	id, comments := one(ps, "cancellationReason", "valueCoding", "code"), one(ps, "cancellationComments", "valueString")
	i := slices.IndexFunc(cancellations, func(c cancellation) bool { return c.code == id })
	switch {
	case id == "":
		return ersProblem(422, "MISSING_VALUE")
	case i < 0, one(ps, "cancellationReason", "valueCoding", "system") != s.system(cancellationReasons),
		!slices.Contains(cancellations[i].who(), or(r.Header.Get("NHSD-eRS-Business-Function"), authorised)), utf8.RuneCountInString(comments) > longestComment:
		return ersProblem(422, "INAPPROPRIATE_VALUE")
	case cancellations[i].comment && comments == "":
		return ersProblem(422, "MISSING_VALUE")
	case q.ended():
		return ersProblem(422, "INVALID_REQUEST_STATE")
	case !cancellations[i].fits(q.state, r.Header.Get("NHSD-eRS-Business-Function")):
		return ersProblem(422, "INAPPROPRIATE_VALUE")
	}
	booked := q.state == "BOOKED"
	q.cancel(cancellations[i], comments)
	q.version++
	said := []any{object{"name": "updatedReferralRequest", "resource": s.referral(q)}}
	if booked {
		a := s.appointment(q)
		a["id"] = "70001"
		said = append(said, object{"name": "updatedAppointment", "resource": a})
	}
	return fhirAnswer(http.StatusOK, object{"resourceType": "Parameters", "meta": profile("eRS-CancelReferral-Response-Parameters-1"), "parameter": said}, 0)
}
