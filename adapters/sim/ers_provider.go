package sim

import (
	"errors"
	"fmt"
	"slices"
)

// Advice is a specialist's answer to an A&G request, in the words of A026. e-RS shows a referrer the
// status, the priority, the text and the files; the recommendation stays on the provider's side.
type Advice struct {
	Outcome        string `json:"outcome"`        // RETURN_TO_REFERRER_WITH_ADVICE, REQUIRE_FURTHER_INFORMATION, PROVIDER_CONVERTED
	Recommendation string `json:"recommendation"` // ADVICE_ONLY_NO_REFERRAL_RECOMMENDED, ADVICE_FOLLOWED_BY_REFERRAL_IF_REQUIRED, REFERRAL_RECOMMENDED, OTHER
	Guidance       string `json:"guidance"`
	Priority       string `json:"priority"` // empty: unchanged
	Files          []File `json:"files"`    // of e-RS alone
}

// Outcome is a triage decision, in the words of A028.
type Outcome struct {
	Outcome  string `json:"outcome"` // ACCEPT_REFER_BOOK_LATER, RETURN_TO_REFERRER_WITH_ADVICE
	Comment  string `json:"comment"`
	Priority string `json:"priority"` // empty: unchanged
	Files    []File `json:"files"`
}

// adviceStates are where the outcomes of A026 lead to.
var adviceStates = map[string]string{"RETURN_TO_REFERRER_WITH_ADVICE": "REFERRER_TO_REVIEW_RESPONSE",
	"REQUIRE_FURTHER_INFORMATION": "REFERRER_TO_SUBMIT_FURTHER_INFORMATION", "PROVIDER_CONVERTED": converted}

const converted = "ADVICE_CONVERTED"

var (
	priorities      = []string{"ROUTINE", "URGENT", "TWO_WEEK_WAIT"}
	recommendations = []string{"ADVICE_ONLY_NO_REFERRAL_RECOMMENDED", "ADVICE_FOLLOWED_BY_REFERRAL_IF_REQUIRED", "REFERRAL_RECOMMENDED", "OTHER"}
	triageOutcomes  = []string{"ACCEPT_REFER_BOOK_LATER", "RETURN_TO_REFERRER_WITH_ADVICE"}
)

// ended tells whether nothing more can become of a request.
func (q *ersRequest) ended() bool {
	return slices.Contains([]string{"CONVERSATION_ENDED_CANCELLED", "CONVERSATION_ENDED_CLOSED", converted, "CANCELLED_REFERRAL"}, q.state)
}

// referrer and specialist are who writes when nobody says who.
var (
	referrer   = author{person: "021600556514", organisation: "Y06601"}
	specialist = author{person: "103264994981", organisation: "RXX01"}
)

// author is who wrote or attached something: an SDS user id and an ODS code.
type author struct{ person, organisation string }

// Answer lets the specialist answer an A&G request.
func (s *ERS) Answer(ubrn string, a Advice) error {
	if adviceStates[a.Outcome] == "" || a.Guidance == "" || a.Outcome == "RETURN_TO_REFERRER_WITH_ADVICE" && !slices.Contains(recommendations, a.Recommendation) ||
		a.Priority != "" && !slices.Contains(priorities, a.Priority) {
		return errors.New("sim: an answer needs an outcome, guidance and, with advice, a recommendation (A026)")
	}
	return s.change("a:"+ubrn, func(q *ersRequest) error {
		s.advise(q, a, s.attached(q, a.Files, "GUIDANCE_RESPONSE", specialist), specialist)
		return nil
	})
}

// advise does what A026 asks; the caller gives the request its version.
func (s *ERS) advise(q *ersRequest, a Advice, files []attachment, by author) {
	q.state, q.priority = adviceStates[a.Outcome], or(a.Priority, q.priority)
	q.talk = append(q.talk, communication{id: fmt.Sprint(s.next()), text: a.Guidance, sent: s.instant(), byProvider: true, by: by, files: files})
}

// Triage lets the specialist decide about a referral.
func (s *ERS) Triage(ubrn string, o Outcome) error {
	if o.Comment == "" || !slices.Contains(triageOutcomes, o.Outcome) || o.Priority != "" && !slices.Contains(priorities, o.Priority) {
		return errors.New("sim: a triage outcome needs one of the two outcomes and a comment (A028)")
	}
	return s.change("r:"+ubrn, func(q *ersRequest) error {
		s.decide(q, o, s.attached(q, o.Files, "PROVIDER", specialist))
		return nil
	})
}

// decide does what A028 asks. Both outcomes show this state in its published examples; the reason tells them apart.
func (s *ERS) decide(q *ersRequest, o Outcome, files []attachment) {
	q.state, q.reason, q.comments, q.priority = "TRIAGED_PROVIDER_TO_ACTION", o.Outcome, o.Comment, or(o.Priority, q.priority)
	q.files = append(q.files, files...)
}

// Convert makes a referral of an A&G request, as the provider does by A027, and gives its UBRN: the same.
func (s *ERS) Convert(ubrn string) (string, error) {
	return ubrn, s.change("a:"+ubrn, func(q *ersRequest) error {
		if q.conversion != "AUTHORISED_TO_CONVERT" || q.ended() && q.state != converted || s.requests["r:"+ubrn] != nil {
			return errors.New("sim: its referrer did not authorise conversion, or it has ended, or is a referral already")
		}
		r := *q
		r.advice, r.id, r.talk, r.version, r.sent = false, "r."+s.uuid(), nil, 4, s.instant()
		r.state, r.reason, r.comments = "TRIAGED_PROVIDER_TO_ACTION", "PROVIDER_CONVERTED_ADVICE_AND_GUIDANCE_ADMIN_TO_REFER", "Converted by the provider"
		for _, c := range q.talk {
			for _, f := range c.files {
				f.kind = "REFERRER"
				r.files = append(r.files, f)
			}
		}
		s.requests["r:"+ubrn], q.state = &r, converted
		return nil
	})
}

// CloseAdvice lets the referrer close a conversation.
func (s *ERS) CloseAdvice(ubrn string) error {
	return s.change("a:"+ubrn, func(q *ersRequest) error {
		if q.ended() {
			return errors.New("sim: the conversation has ended")
		}
		q.state = "CONVERSATION_ENDED_CLOSED"
		return nil
	})
}

// Book books an appointment for a referral.
func (s *ERS) Book(ubrn string) error {
	return s.change("r:"+ubrn, func(q *ersRequest) error {
		if q.ended() {
			return errors.New("sim: the referral is cancelled")
		}
		q.state, q.reason, q.comments = "BOOKED", "", ""
		return nil
	})
}

// Cancel ends a referral (A036) or an A&G conversation for good.
func (s *ERS) Cancel(ubrn string) error {
	err := s.change("r:"+ubrn, func(q *ersRequest) error { q.cancel(cancellation{}, ""); return nil })
	if !errors.Is(err, errNothing) {
		return err
	}
	return s.change("a:"+ubrn, func(q *ersRequest) error { q.state = "CONVERSATION_ENDED_CANCELLED"; return nil })
}

// End lets the provider end a referral for a reason of REFERRAL-CANCELLATION-REASON, such as STRAIGHT_TO_TEST, with a comment.
func (s *ERS) End(ubrn, reason, comment string) error {
	i := slices.IndexFunc(cancellations, func(c cancellation) bool { return c.code == reason })
	if i < 0 || !cancellations[i].provider || cancellations[i].comment && comment == "" {
		return errors.New("sim: no such reason of a provider, or one that needs a comment (A036)")
	}
	return s.change("r:"+ubrn, func(q *ersRequest) error { q.cancel(cancellations[i], comment); return nil })
}

// cancel does what A036 asks.
func (q *ersRequest) cancel(why cancellation, comments string) {
	q.state, q.reason, q.cancelled, q.comments = "CANCELLED_REFERRAL", "", why, comments
}

// Touch gives a request a new version without any other change, as internal processes of e-RS do.
func (s *ERS) Touch(kind, ubrn string) error {
	return s.change(kind+":"+ubrn, func(*ersRequest) error { return nil })
}

func (s *ERS) change(key string, do func(*ersRequest) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.requests[key]
	if q == nil {
		return errNothing
	}
	if err := do(q); err != nil {
		return err
	}
	q.version++
	return nil
}
