package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Advice is a specialist's answer to an A&G request, in the words of A026. e-RS shows a referrer the
// status, the priority and the text; the recommendation stays on the provider's side.
type Advice struct {
	Outcome        string `json:"outcome"` // RETURN_TO_REFERRER_WITH_ADVICE, REQUIRE_FURTHER_INFORMATION, PROVIDER_CONVERTED
	Recommendation string `json:"recommendation"`
	Guidance       string `json:"guidance"`
	Priority       string `json:"priority"` // empty: unchanged
}

// Outcome is a triage decision, in the words of A028.
type Outcome struct {
	Outcome  string `json:"outcome"` // ACCEPT_REFER_BOOK_LATER, RETURN_TO_REFERRER_WITH_ADVICE
	Comment  string `json:"comment"`
	Priority string `json:"priority"` // empty: unchanged
}

var errNoRequest = errors.New("sim: e-RS has no such request")

// Answer lets the specialist answer an A&G request.
func (s *ERS) Answer(ubrn string, a Advice) error {
	state := map[string]string{"RETURN_TO_REFERRER_WITH_ADVICE": "REFERRER_TO_REVIEW_RESPONSE",
		"REQUIRE_FURTHER_INFORMATION": "REFERRER_TO_SUBMIT_FURTHER_INFORMATION", "PROVIDER_CONVERTED": "ADVICE_CONVERTED"}[a.Outcome]
	if state == "" || a.Guidance == "" || a.Outcome == "RETURN_TO_REFERRER_WITH_ADVICE" && a.Recommendation == "" {
		return errors.New("sim: an answer needs an outcome, guidance and, with advice, a recommendation (A026)")
	}
	return s.change("a:"+ubrn, func(q *ersRequest) {
		q.state = state
		if a.Priority != "" {
			q.priority = a.Priority
		}
		q.talk = append(q.talk, communication{id: fmt.Sprint(s.next()), text: a.Guidance, sent: s.instant(), byProvider: true})
	})
}

// Triage lets the specialist decide about a referral.
func (s *ERS) Triage(ubrn string, o Outcome) error {
	if o.Comment == "" || o.Outcome != "ACCEPT_REFER_BOOK_LATER" && o.Outcome != "RETURN_TO_REFERRER_WITH_ADVICE" {
		return errors.New("sim: a triage outcome needs one of the two outcomes and a comment (A028)")
	}
	return s.change("r:"+ubrn, func(q *ersRequest) {
		// Both outcomes show this state in the published examples of A028; the reason tells them apart.
		q.state, q.reason, q.comments = "TRIAGED_PROVIDER_TO_ACTION", o.Outcome, o.Comment
		if o.Priority != "" {
			q.priority = o.Priority
		}
	})
}

// Book books an appointment for a referral.
func (s *ERS) Book(ubrn string) error {
	return s.change("r:"+ubrn, func(q *ersRequest) { q.state, q.reason, q.comments = "BOOKED", "", "" })
}

// Cancel ends a referral (A036) or an A&G conversation for good.
func (s *ERS) Cancel(ubrn string) error {
	if s.change("r:"+ubrn, func(q *ersRequest) { q.state, q.reason = "CANCELLED_REFERRAL", "" }) == nil {
		return nil
	}
	return s.change("a:"+ubrn, func(q *ersRequest) { q.state = "CONVERSATION_ENDED_CANCELLED" })
}

// Touch gives a request a new version without any other change, as internal processes of e-RS do.
func (s *ERS) Touch(kind, ubrn string) error { return s.change(kind+":"+ubrn, func(*ersRequest) {}) }

func (s *ERS) change(key string, do func(*ersRequest)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.requests[key]
	if q == nil {
		return errNoRequest
	}
	do(q)
	q.version++
	return nil
}

// control serves the provider's side and the scan state by HTTP, for `gateway sim ers` and curl:
//
//	POST /_sim/advice/{ubrn}/answer    {"outcome":"RETURN_TO_REFERRER_WITH_ADVICE","recommendation":"…","guidance":"…"}
//	POST /_sim/referral/{ubrn}/triage  {"outcome":"ACCEPT_REFER_BOOK_LATER","comment":"…"}
//	POST /_sim/referral/{ubrn}/book
//	POST /_sim/request/{ubrn}/cancel
//	POST /_sim/referral                {"patient":"9990548609","priority":"URGENT","service":"50001","files":[{"name":"letter.pdf","type":"application/pdf","body":"<base64>"}]}
//	POST /_sim/advice                  as for a referral, with "text"; both answer {"ubrn":"…"}
//	POST /_sim/referral/{ubrn}/attach  {"files":[…]}; advice/{ubrn}/attach also with "text"
//	POST /_sim/scanned                 {"name":"letter.pdf","status":"AVAILABLE"}
//	POST /_sim/faults                  {"call":"A044","status":503,"retryAfter":"2"}
//	GET  /_sim/received?name=A044
func (s *ERS) control() {
	act := func(pattern string, do func(ubrn string, body *json.Decoder) error) {
		s.mux.HandleFunc("POST /_sim/"+pattern, func(w http.ResponseWriter, r *http.Request) {
			d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 256<<20))
			d.DisallowUnknownFields()
			if err := do(r.PathValue("ubrn"), d); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		})
	}
	act("advice/{ubrn}/answer", func(ubrn string, d *json.Decoder) error {
		var a Advice
		if err := d.Decode(&a); err != nil {
			return err
		}
		return s.Answer(ubrn, a)
	})
	act("referral/{ubrn}/triage", func(ubrn string, d *json.Decoder) error {
		var o Outcome
		if err := d.Decode(&o); err != nil {
			return err
		}
		return s.Triage(ubrn, o)
	})
	act("referral/{ubrn}/book", func(ubrn string, _ *json.Decoder) error { return s.Book(ubrn) })
	act("request/{ubrn}/cancel", func(ubrn string, _ *json.Decoder) error { return s.Cancel(ubrn) })
	act("referral/{ubrn}/attach", s.attachBy("r"))
	act("advice/{ubrn}/attach", s.attachBy("a"))
	act("scanned", func(_ string, d *json.Decoder) error {
		var x struct{ Name, Status string }
		if err := d.Decode(&x); err != nil {
			return err
		}
		return s.Scanned(x.Name, x.Status)
	})
	s.mux.HandleFunc("POST /_sim/referral", s.sendBy(s.Refer))
	s.mux.HandleFunc("POST /_sim/advice", s.sendBy(s.Ask))
}

func (s *ERS) attachBy(kind string) func(string, *json.Decoder) error {
	return func(ubrn string, d *json.Decoder) error {
		var x struct {
			Text  string
			Files []File
		}
		if err := d.Decode(&x); err != nil {
			return err
		}
		return s.Attach(kind, ubrn, x.Text, x.Files...)
	}
}

// sendBy takes a request that somebody sends in e-RS itself, and answers with its UBRN.
func (s *ERS) sendBy(put func(Sent) (string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 256<<20))
		d.DisallowUnknownFields()
		var x Sent
		err := d.Decode(&x)
		ubrn := ""
		if err == nil {
			ubrn, err = put(x)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		write(w, answer{status: http.StatusCreated, body: object{"ubrn": ubrn}})
	}
}
