package sim

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// Business functions: those that may create and attach (A011, A044: clinicians and their admins), those that may upload, and
// those that have worklists of what was sent to them.
var (
	referrers = []string{"REFERRING_CLINICIAN", "REFERRING_CLINICIAN_ADMIN", "REFERRING_ADMIN"}
	uploaders = slices.Concat(referrers, mayDecide)
	providers = []string{"SERVICE_PROVIDER_CLINICIAN", "SERVICE_PROVIDER_ADMIN", actsFor}
)

// actsFor is the business function that acts for a clinician, and says for which.
const actsFor = "SERVICE_PROVIDER_CLINICIAN_ADMIN"

// access is who may make a call.
type access struct {
	application bool     // without a signed-in user
	roles       []string // business functions of users; nil: any
	media       string   // of the answer, where it is not FHIR
}

// guarded checks what every call needs before doing it, and puts the ids of the transaction on the answer.
func (s *ERS) guarded(r request, who access, do func(request) answer) answer {
	a := s.admit(r, who)
	if a.status == 0 {
		a = do(r)
	}
	a.header = with(a.header, "X-Request-ID", s.uuid(), "X-Correlation-ID", r.Header.Get("X-Correlation-ID"))
	return a
}

// admit gives the refusal of a call by its headers; status 0 lets it in.
func (s *ERS) admit(r request, who access) answer {
	problem, noAccess := ersProblem, "NO_ACCESS"
	if strings.Contains(r.URL.Path, "/R4/") {
		problem, noAccess = s.r4Problem, "ACCESS_DENIED"
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	function, organisation := r.Header.Get("NHSD-eRS-Business-Function"), r.Header.Get("NHSD-End-User-Organisation-ODS")
	onBehalf := r.Header.Get("NHSD-eRS-On-Behalf-Of-User-ID")
	none := organisation+function+onBehalf == ""
	application, valid := none && who.application, true
	if s.Tokens != nil {
		user, good := s.Tokens.Bearer(token)
		application, valid = !user, good
	}
	switch {
	case s.limited():
		return problem(http.StatusTooManyRequests, "")
	case !ok || token == "" || !valid:
		return problem(http.StatusUnauthorized, "")
	case !accepts(r, fhirJSON, or(who.media, fhirJSON)):
		return ersProblem(http.StatusNotAcceptable, "")
	case application && (!who.application || !none):
		return problem(http.StatusForbidden, "") // e-RS knows for whom, and takes little from one
	case application:
		return answer{}
	case organisation == "" || function == "":
		return problem(http.StatusBadRequest, "MISSING_HEADER")
	case who.roles != nil && !slices.Contains(who.roles, function):
		return problem(http.StatusForbidden, "")
	case (onBehalf != "") != (function == actsFor):
		return problem(http.StatusForbidden, noAccess)
	}
	return answer{}
}

// r4Problem is the OperationOutcome of R4 calls.
func (s *ERS) r4Problem(status int, code string) answer {
	known, ok := map[int][3]string{
		400: {"http-error-codes", "REC_BAD_REQUEST", "invalid"}, 401: {"NHSD-API-ErrorOrWarningCode", "ACCESS_DENIED", "login"},
		403: {"http-error-codes", "REC_FORBIDDEN", "forbidden"}, 404: {"http-error-codes", "REC_NOT_FOUND", "not-found"},
		422: {"ers-error-codes", "", "invalid"}, 429: {"NHSD-API-ErrorOrWarningCode", "TOO_MANY_REQUESTS", "throttled"},
		500: {"http-error-codes", "REC_SERVER_ERROR", "exception"}, 503: {"http-error-codes", "REC_UNAVAILABLE", "transient"},
	}[status]
	if !ok {
		return answer{status: status}
	}
	if code != "" {
		known[1] = code
	}
	return answer{status: status, header: map[string]string{"Content-Type": fhirJSON},
		body: object{"resourceType": "OperationOutcome", "meta": object{"lastUpdated": s.instant()}, "issue": []any{object{
			"severity": "error", "code": known[2], "diagnostics": "Example diagnostics message.",
			"details": object{"coding": []any{object{"system": "https://fhir.nhs.uk/CodeSystem/" + known[0], "code": known[1]}}}}}}}
}

// ersProblem is the OperationOutcome of STU3 calls. 404, 409, 412, 423, 429 and 500 have no body; 502 and 504 are those of
// calls that reach a hospital's booking system.
func ersProblem(status int, code string) answer {
	a := answer{status: status}
	issue := map[int]string{400: "value", 401: "login", 403: "forbidden", 422: "value", 502: "exception", 503: "transient", 504: "timeout"}[status]
	switch status {
	case http.StatusUnsupportedMediaType, http.StatusNotAcceptable:
		a.body, a.header = []byte(http.StatusText(status)), map[string]string{"Content-Type": "text/plain;charset=utf-8"}
	case 400, 401, 403, 422, 502, 503, 504:
		if code == "" {
			code = map[int]string{401: "NO_ACCESS", 403: "FORBIDDEN", 502: "PAS_RESPONDED_WITH_ERROR", 503: "SYSTEM_UNAVAILABLE", 504: "PAS_NOT_RESPONDING"}[status]
		}
		a.header = map[string]string{"Content-Type": fhirJSON}
		a.body = object{"meta": profile("eRS-OperationOutcome-1"), "resourceType": "OperationOutcome", "issue": []any{object{
			"severity": "error", "code": issue, "diagnostics": "Example diagnostics message.",
			"details": object{"coding": []any{object{"system": stu3Codes + "eRS-APIErrorCode-1", "code": code, "display": sentence(code)}}}}}}
	}
	return a
}

func profile(names ...string) object {
	var full []any
	for _, n := range names {
		if !strings.HasPrefix(n, "https:") {
			n = stu3 + n
		}
		full = append(full, n)
	}
	return object{"profile": full}
}

// parameters reads a Parameters body of a profile. Every parameter must be known; one that may come once
// comes once.
func parameters(r request, name string, known ...string) (map[string][]any, answer) {
	if ct := r.Header.Get("Content-Type"); !strings.HasPrefix(ct, fhirJSON) {
		return nil, ersProblem(http.StatusUnsupportedMediaType, "")
	}
	body := parse(r.body)
	if text(body, "resourceType") != "Parameters" || text(body, "meta", "profile", 0) != stu3+name {
		return nil, ersProblem(422, "INVALID_FHIR_STRUCTURE")
	}
	out := map[string][]any{}
	for _, p := range list(body, "parameter") {
		n := text(p, "name")
		if !slices.Contains(known, n) {
			return nil, ersProblem(422, "UNEXPECTED_FIELD")
		}
		if len(out[n]) > 0 && !strings.HasSuffix(n, "File") {
			return nil, ersProblem(422, "TOO_MANY_ITEMS")
		}
		out[n] = append(out[n], p)
	}
	return out, answer{}
}

// one gives the value of a parameter that comes at most once; "" when it is absent.
func one(ps map[string][]any, name string, path ...any) string {
	if len(ps[name]) == 0 {
		return ""
	}
	return text(ps[name][0], path...)
}

var weakVersion = regexp.MustCompile(`^W/"([0-9]+)"$`)

// versioned finds the referral ("r") or A&G request ("a") that a write is about and checks If-Match.
func (s *ERS) versioned(r request, kind string) (*ersRequest, answer) {
	q := s.requests[kind+":"+r.PathValue("ubrn")]
	match := weakVersion.FindStringSubmatch(r.Header.Get("If-Match"))
	switch {
	case q == nil:
		return nil, ersProblem(http.StatusNotFound, "")
	case r.Header.Get("If-Match") == "":
		return nil, ersProblem(http.StatusPreconditionFailed, "")
	case match == nil:
		return nil, ersProblem(http.StatusBadRequest, "INVALID_VALUE")
	case match[1] != fmt.Sprint(q.version):
		return nil, ersProblem(http.StatusConflict, "")
	}
	return q, answer{}
}
