package sim

import (
	"errors"
	"fmt"
	"slices"
)

// Sent is a request that somebody sent to a provider in e-RS itself, from a GP system that speaks to it.
type Sent struct {
	Patient      string   `json:"patient"`      // NHS number
	Priority     string   `json:"priority"`     // ROUTINE, URGENT, TWO_WEEK_WAIT
	Service      string   `json:"service"`      // ers-service id
	Specialty    string   `json:"specialty"`    // empty: DERMATOLOGY
	Organisation string   `json:"organisation"` // ODS code of the referrer; empty: Y06601
	Person       string   `json:"person"`       // SDS user id of the referrer; empty: 021600556514
	State        string   `json:"state"`        // of a referral; empty: AWAITING_TRIAGE
	Reason       string   `json:"reason"`       // of that state
	Text         string   `json:"text"`         // of advice: the question
	Conversion   string   `json:"conversion"`   // of advice; empty: NOT_AUTHORISED_TO_CONVERT
	Related      []string `json:"related"`      // UBRNs of further referrals of the pathway
	UBRN         string   `json:"ubrn"`         // empty: the next one; an A&G request and the referral it became share one
	Files        []File   `json:"files"`
}

// File is a file that a referrer attached.
type File struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Description string `json:"description"`
	Status      string `json:"status"` // eRS-AvailabilityStatus-1; empty: AVAILABLE
	Body        []byte `json:"body"`   // base64 in JSON
}

// Refer puts a referral into e-RS and gives its UBRN.
func (s *ERS) Refer(x Sent) (string, error) { return s.put("r", x) }

// Ask puts an A&G request into e-RS and gives its UBRN.
func (s *ERS) Ask(x Sent) (string, error) { return s.put("a", x) }

func (s *ERS) put(kind string, x Sent) (string, error) {
	if !validNHSNumber(x.Patient) || !slices.Contains(priorities, x.Priority) || x.Service == "" || kind == "a" && x.Text == "" {
		return "", errors.New("sim: a request needs a patient's NHS number, a priority, a service and, for advice, a text")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &ersRequest{ubrn: x.UBRN, id: kind + "." + s.uuid(), advice: kind == "a", version: 5, patient: x.Patient, services: []string{x.Service}, service: x.Service,
		priority: x.Priority, specialty: or(x.Specialty, "DERMATOLOGY"), asked: author{or(x.Person, referrer.person), or(x.Organisation, referrer.organisation)},
		state: or(x.State, "AWAITING_TRIAGE"), reason: x.Reason, sent: s.instant(), related: x.Related}
	if q.ubrn == "" {
		q.ubrn = s.nextUBRN()
	}
	q.criteria = []any{object{"name": "priority", "valueCoding": code("eRS-Priority-1", q.priority)},
		object{"name": "specialty", "valueCoding": object{"system": s.system(specialtySystem), "code": q.specialty}},
		object{"name": "ageAndGenderAppropriate", "valueBoolean": true}}
	files := s.attached(q, x.Files, q.referrersKind(), q.asked)
	if q.advice {
		q.state, q.conversion = or(x.State, "PROVIDER_RESPONSE_REQUIRED"), or(x.Conversion, "NOT_AUTHORISED_TO_CONVERT")
		q.talk = []communication{{id: fmt.Sprint(s.next()), text: x.Text, sent: s.instant(), files: files}}
	} else {
		q.files = files
	}
	s.requests[kind+":"+q.ubrn] = q
	return q.ubrn, nil
}

// attached keeps the files that somebody put to a request, as attachments of a kind.
func (s *ERS) attached(q *ersRequest, fs []File, kind string, by author) (out []attachment) {
	for _, f := range fs {
		u := &Upload{ID: s.uuid(), Name: f.Name, Type: f.Type, Referral: q.ubrn, Status: or(f.Status, "AVAILABLE"), Body: f.Body}
		s.binaries[u.ID] = u
		out = append(out, attachment{binary: u, description: f.Description, indexed: s.instant(), kind: kind, by: by})
	}
	return out
}

// referrersKind is the kind of a referrer's files.
func (q *ersRequest) referrersKind() string {
	if q.advice {
		return "ADVICE_REQUEST"
	}
	return "REFERRER"
}

// Attach lets the referrer add files to a referral ("r") or an A&G request ("a"), there with a text.
func (s *ERS) Attach(kind, ubrn, words string, fs ...File) error {
	return s.change(kind+":"+ubrn, func(q *ersRequest) error {
		files := s.attached(q, fs, q.referrersKind(), q.asked)
		q.written = s.instant()
		if !q.advice {
			q.files = append(q.files, files...)
			return nil
		}
		q.state = "PROVIDER_RESPONSE_REQUIRED"
		q.talk = append(q.talk, communication{id: fmt.Sprint(s.next()), text: words, sent: q.written, files: files})
		return nil
	})
}

// Scanned sets what scanning found of the files of a name.
func (s *ERS) Scanned(name, status string) error {
	if !slices.Contains(scanResults, status) {
		return errScan
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := errNothing
	for _, u := range s.binaries {
		if u.Name == name {
			u.Status, err = status, nil
		}
	}
	return err
}

var (
	scanResults = []string{"AVAILABLE", "PENDING", "THREATS_FOUND", "VALIDATION_FAILED"} // eRS-AvailabilityStatus-1
	errScan     = errors.New("sim: a scan finds AVAILABLE, PENDING, THREATS_FOUND or VALIDATION_FAILED")
)

// Scans sets what scanning finds in what is uploaded from now on.
func (s *ERS) Scans(status string) error {
	if !slices.Contains(scanResults, status) {
		return errScan
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Scan = status
	return nil
}

// Prioritise gives a request another priority.
func (s *ERS) Prioritise(kind, ubrn, priority string) error {
	return s.change(kind+":"+ubrn, func(q *ersRequest) error { q.priority = priority; return nil })
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
