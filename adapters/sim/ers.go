package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ERS stands in for the NHS e-Referral Service: of the referrer's side A010, A011, A012, A016 (triage deferral), A020
// and A044; of the provider's side A004, A007, A008, A023, A026, A028, A029 and A043; of both A005, A024, A025, A036 and A042,
// under /referrals/FHIR, in the words of the published OpenAPI document. It checks bearer
// tokens, the organisation and business function headers, content types, STU3 profiles, parameters,
// versions (If-Match, incomingReferral), attachment sizes and types, and that a file attached to a request
// was uploaded for it. A call without those headers is that of an application in the context of a provider: it gets
// what such a one may have, and of worklists those of the service that it names.
//
// It leaves out: worklists of referrers, slots and booking (use Book), conversion by A027 (use Convert),
// which user or application stands behind a token, relationship
// checks, clinic types, and the patient index: any NHS number with a right check
// digit is a patient. Scanning is instant unless Scan says otherwise, or Scanned does later.
type ERS struct {
	server
	Tokens   Bearers   // who knows tokens; nil: any bearer token passes
	Services []Service // that A010 finds; set before use. Requests to others are taken too
	Scan     string    // availability of what is uploaded next: AVAILABLE, PENDING, THREATS_FOUND; set before use

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
	ubrn, id   string // id: ers-request-id, "a.<uuid>" or "r.<uuid>"
	advice     bool
	version    int
	patient    string // NHS number
	services   []string
	criteria   []any // parameters of the service search
	priority   string
	specialty  string
	conversion string
	state      string // eRS-AdviceAndGuidanceStatus-1 or eRS-ReferralState-1
	reason     string
	comments   string
	cancelled  cancellation // why it was, where that was said
	asked      author       // who sent it
	files      []attachment
	talk       []communication
	service    string // the one it was sent to
	sent       string // when it was sent to that service
	written    string // when its referrer last wrote, after the first time
	related    []string
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
	s := &ERS{Services: []Service{{ID: "7654321", Wait: 10}, {ID: "7654322", Name: "Dermatology advice", Flow: "ADVICE_AND_GUIDANCE_REQUEST"}}, Scan: "AVAILABLE", requests: map[string]*ersRequest{}, binaries: map[string]*Upload{}}
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
		{"A010", "POST " + base + "/STU3/HealthcareService/$ers.searchHealthcareServicesForPatient", access{roles: referrers}, s.searchServices},
		{"A011", "POST " + base + "/STU3/ReferralRequest/$ers.createReferral", access{roles: referrers}, s.createReferral},
		{"A012", "POST " + base + "/STU3/ReferralRequest/{ubrn}/$ers.maintainReferralLetter", access{roles: referrers}, s.maintainLetter},
		{"A016", "POST " + base + "/STU3/Appointment", access{roles: referrers}, s.deferToTriage},
		{"A020", "POST " + base + "/STU3/Binary", access{roles: uploaders, media: anyMedia}, s.upload},
		{"A044", "POST " + base + "/STU3/CommunicationRequest/$ers.createAdviceAndGuidance", access{roles: referrers}, s.createAdvice},
		{"A004", "GET " + base + "/STU3/CodeSystem/{system}", access{application: true}, s.referenceData},
		{"A005", "GET " + base + "/STU3/ReferralRequest/{ubrn}", access{application: true}, s.readReferral},
		{"A005", "GET " + base + "/STU3/ReferralRequest/{ubrn}/_history/{version}", access{application: true}, s.readReferral},
		{"A007", "POST " + base + "/STU3/ReferralRequest/{ubrn}/$ers.generateCRI", access{application: true, media: "application/pdf"}, s.clinicalInformation},
		{"A008", "POST " + base + "/STU3/ReferralRequest/$ers.fetchworklist", access{application: true, roles: providers}, s.worklist},
		{"A023", "POST " + base + "/STU3/CommunicationRequest/$ers.fetchworklist", access{roles: providers}, s.adviceWorklist},
		{"A024", "GET " + base + "/STU3/CommunicationRequest/{ubrn}", access{application: true}, s.readAdvice},
		{"A024", "GET " + base + "/STU3/CommunicationRequest/{ubrn}/_history/{version}", access{application: true}, s.readAdvice},
		{"A025", "GET " + base + "/STU3/Communication", access{application: true}, s.readConversation},
		{"A026", "POST " + base + "/STU3/CommunicationRequest/{ubrn}/$ers.sendCommunicationToRequester", access{roles: mayDecide}, s.sendAdvice},
		{"A028", "POST " + base + "/STU3/ReferralRequest/{ubrn}/$ers.recordReviewOutcome", access{application: true, roles: mayDecide}, s.recordOutcome},
		{"A029", "GET " + base + "/STU3/Task", access{application: true}, s.actions},
		{"A036", "POST " + base + "/STU3/ReferralRequest/{ubrn}/$ers.cancelReferral", access{application: true, roles: slices.Concat(referrers[:2], mayDecide)}, s.cancelReferral},
		{"A042", "GET " + base + "/R4/Binary/{id}", access{application: true, media: anyMedia}, s.download},
		{"A043", "POST " + base + "/STU3/CommunicationRequest/{ubrn}/$ers.generateCRI", access{application: true, media: "application/pdf"}, s.adviceOverview},
	} {
		s.handle(c.name, c.pattern, func(r request) answer { return s.guarded(r, c.who, c.do) })
	}
	s.handle("object", "GET /objects/{id}", s.object)
	s.playing()
	return s, nil
}

// Base is what a client is configured with: the address down to "/referrals/FHIR".
func (s *ERS) Base() string { return s.URL + "/referrals/FHIR" }

// sentence makes "Unexpected field" of UNEXPECTED_FIELD.
func sentence(code string) string {
	words := strings.ToLower(strings.ReplaceAll(code, "_", " "))
	if words == "" {
		return ""
	}
	return strings.ToUpper(words[:1]) + words[1:]
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
