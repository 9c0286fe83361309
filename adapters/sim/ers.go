package sim

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// ERS stands in for the NHS e-Referral Service: of the referrer's side A011, A012, A016 (triage deferral), A020
// and A044; of the provider's side A004, A007, A008, A023, A026, A028, A029 and A043; of both A005, A024, A025, A036 and A042,
// under /referrals/FHIR, in the words of the published OpenAPI document. It checks bearer
// tokens, the organisation and business function headers, content types, STU3 profiles, parameters,
// versions (If-Match, incomingReferral), attachment sizes and types, and that a file attached to a request
// was uploaded for it. A call without those headers is that of an application in the context of a provider: it gets
// what such a one may have, and of worklists those of the service that it names.
//
// It leaves out: worklists of referrers, service search, slots and booking (use Book), conversion by A027 (use Convert),
// which user or application stands behind a token, rate limits (use Fail), relationship
// checks, clinic types, and the patient index: any NHS number with a right check
// digit is a patient. Scanning is instant unless Scan says otherwise, or Scanned does later.
type ERS struct {
	server
	Tokens *Token // who issues tokens; nil: any bearer token passes
	Scan   string // availability of what is uploaded next: AVAILABLE, PENDING, THREATS_FOUND; set before use

	requests map[string]*ersRequest
	binaries map[string]*Upload
}

// Upload is a file that was uploaded (A020).
type Upload struct {
	ID       string // "Binary/<uuid>" without the "Binary/"
	Name     string
	Type     string
	Referral string // NHSD-eRS-Referral-ID, empty when there was none
	Status   string // eRS-AvailabilityStatus-1
	Body     []byte
}

// ersRequest is an A&G request or a referral.
type ersRequest struct {
	ubrn, id     string // id: ers-request-id, "a.<uuid>" or "r.<uuid>"
	advice       bool
	version      int
	patient      string // NHS number
	services     []string
	criteria     []any // parameters of the service search
	priority     string
	specialty    string
	conversion   string
	state        string // eRS-AdviceAndGuidanceStatus-1 or eRS-ReferralState-1
	reason       string
	comments     string
	cancelled    cancellation // why it was, where that was said
	asked        author // who sent it
	files        []attachment
	talk         []communication
	service      string // the one it was sent to
	sent         string // when it was sent to that service
	written      string // when its referrer last wrote, after the first time
	related      []string
}

type attachment struct {
	binary      *Upload
	description string
	indexed     string
	kind        string // eRS-AttachmentType-1
	by          author // who attached it
}

type communication struct {
	id, text, sent string
	byProvider     bool
	by             author // of the provider
	files          []attachment
}

const (
	stu3      = "https://fhir.nhs.uk/STU3/StructureDefinition/"
	stu3Codes = "https://fhir.nhs.uk/STU3/CodeSystem/"
	nhsNumber = "http://fhir.nhs.net/Id/nhs-number"
	sdsUser   = "http://fhir.nhs.net/Id/sds-user-id"
	odsCode   = "https://fhir.nhs.uk/Id/ods-organization-code"
	service   = "http://fhir.nhs.net/Id/ers-service"
	fhirJSON  = "application/fhir+json"
)

// StartERS starts an e-RS on addr ("": any free loopback port).
func StartERS(addr string) (*ERS, error) {
	s := &ERS{Scan: "AVAILABLE", requests: map[string]*ersRequest{}, binaries: map[string]*Upload{}}
	s.problem = ersProblem
	s.forms = map[string]func(int, string) answer{"A042": s.r4Problem}
	if err := s.listen(addr); err != nil {
		return nil, err
	}
	const base = "/referrals/FHIR"
	for _, c := range []struct {
		name, pattern string
		who           access
		do            func(request) answer
	}{
		{"A011", "POST " + base + "/STU3/ReferralRequest/$ers.createReferral", access{roles: referrers}, s.createReferral},
		{"A012", "POST " + base + "/STU3/ReferralRequest/{ubrn}/$ers.maintainReferralLetter", access{roles: referrers}, s.maintainLetter},
		{"A016", "POST " + base + "/STU3/Appointment", access{roles: referrers}, s.deferToTriage},
		{"A020", "POST " + base + "/STU3/Binary", access{roles: referrers}, s.upload},
		{"A044", "POST " + base + "/STU3/CommunicationRequest/$ers.createAdviceAndGuidance", access{roles: referrers}, s.createAdvice},
		{"A004", "GET " + base + "/STU3/CodeSystem/{system}", access{application: true}, s.referenceData},
		{"A005", "GET " + base + "/STU3/ReferralRequest/{ubrn}", access{application: true}, s.readReferral},
		{"A005", "GET " + base + "/STU3/ReferralRequest/{ubrn}/_history/{version}", access{application: true}, s.readReferral},
		{"A007", "POST " + base + "/STU3/ReferralRequest/{ubrn}/$ers.generateCRI", access{application: true}, s.clinicalInformation},
		{"A008", "POST " + base + "/STU3/ReferralRequest/$ers.fetchworklist", access{application: true, roles: providers}, s.worklist},
		{"A023", "POST " + base + "/STU3/CommunicationRequest/$ers.fetchworklist", access{roles: providers}, s.adviceWorklist},
		{"A024", "GET " + base + "/STU3/CommunicationRequest/{ubrn}", access{application: true}, s.readAdvice},
		{"A024", "GET " + base + "/STU3/CommunicationRequest/{ubrn}/_history/{version}", access{application: true}, s.readAdvice},
		{"A025", "GET " + base + "/STU3/Communication", access{application: true}, s.readConversation},
		{"A026", "POST " + base + "/STU3/CommunicationRequest/{ubrn}/$ers.sendCommunicationToRequester", access{roles: mayDecide}, s.sendAdvice},
		{"A028", "POST " + base + "/STU3/ReferralRequest/{ubrn}/$ers.recordReviewOutcome", access{application: true, roles: mayDecide}, s.recordOutcome},
		{"A029", "GET " + base + "/STU3/Task", access{application: true}, s.actions},
		{"A036", "POST " + base + "/STU3/ReferralRequest/{ubrn}/$ers.cancelReferral", access{application: true, roles: slices.Concat(referrers[:2], mayDecide)}, s.cancelReferral},
		{"A042", "GET " + base + "/R4/Binary/{id}", access{application: true}, s.download},
		{"A043", "POST " + base + "/STU3/CommunicationRequest/{ubrn}/$ers.generateCRI", access{application: true}, s.adviceOverview},
	} {
		s.handle(c.name, c.pattern, func(r request) answer { return s.guarded(r, c.who, c.do) })
	}
	s.handle("object", "GET /objects/{id}", s.object)
	s.playing()
	return s, nil
}

// Base is what a client is configured with: the address down to "/referrals/FHIR".
func (s *ERS) Base() string { return s.URL + "/referrals/FHIR" }

// Business functions: those that may create and attach (A011, A044: clinicians and their admins), and those that have
// worklists of what was sent to them.
var (
	referrers = []string{"REFERRING_CLINICIAN", "REFERRING_CLINICIAN_ADMIN", "REFERRING_ADMIN"}
	providers = []string{"SERVICE_PROVIDER_CLINICIAN", "SERVICE_PROVIDER_ADMIN", actsFor}
)

// actsFor is the business function that acts for a clinician, and says for which.
const actsFor = "SERVICE_PROVIDER_CLINICIAN_ADMIN"

// access is who may make a call.
type access struct {
	application bool     // without a signed-in user
	roles       []string // business functions of users; nil: any
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
	application := s.Tokens != nil && !s.Tokens.OfUser(token) || s.Tokens == nil && none && who.application
	switch {
	case !ok || token == "" || s.Tokens != nil && !s.Tokens.Valid(token):
		return problem(http.StatusUnauthorized, "")
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

// sentence makes "Unexpected field" of UNEXPECTED_FIELD.
func sentence(code string) string {
	words := strings.ToLower(strings.ReplaceAll(code, "_", " "))
	if words == "" {
		return ""
	}
	return strings.ToUpper(words[:1]) + words[1:]
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

// nextUBRN gives twelve digits.
func (s *ERS) nextUBRN() string { return fmt.Sprintf("%012d", 70000+s.next()) }

// Uploads gives what was uploaded, by id.
func (s *ERS) Uploads() map[string]Upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]Upload{}
	for id, u := range s.binaries {
		out[id] = *u
	}
	return out
}

// Requests gives the UBRNs of the A&G requests ("a") or referrals ("r"), in order.
func (s *ERS) Requests(kind string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for key := range maps.Keys(s.requests) {
		if rest, ok := strings.CutPrefix(key, kind+":"); ok {
			out = append(out, rest)
		}
	}
	slices.Sort(out)
	return out
}

// Request is what is known of a request, for checking.
type Request struct {
	UBRN, ID, Patient, Priority, Service, Conversion, State, Text string
	Version                                                       int
	Files                                                         []Upload // attached, in order
}

// Request gives an A&G request ("a") or referral ("r"); false when there is none.
func (s *ERS) Request(kind, ubrn string) (Request, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.requests[kind+":"+ubrn]
	if q == nil {
		return Request{}, false
	}
	out := Request{UBRN: q.ubrn, ID: q.id, Patient: q.patient, Priority: q.priority, Service: q.service,
		Conversion: q.conversion, State: q.state, Version: q.version}
	files := q.files
	if q.advice {
		out.Text, files = q.talk[0].text, q.talk[0].files
	}
	for _, f := range files {
		out.Files = append(out.Files, *f.binary)
	}
	return out, true
}
