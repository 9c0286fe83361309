package flow

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/issue"
)

// What a signed-in person decides about a request that its channel has, and the gateway relays (e-RS A026, A028, A036). It
// is theirs alone: nothing here makes one up, adds to it or takes from it.

// What a delivery relays, by its What.
const (
	RelayAnswer = "relay:answer" // a specialist answers advice (A026)
	RelayTriage = "relay:triage" // the outcome of a triage (A028)
	RelayCancel = "relay:cancel" // a referral ends for good (A036)
)

// Relays tells a delivery that relays a person's act.
func (d Delivery) Relays() bool { return strings.HasPrefix(d.What, "relay:") }

// Relayed is the act, in the words of the channel. It is the body of its delivery, as JSON.
type Relayed struct {
	Outcome        string `json:"outcome,omitempty"`        // answer: eRS-GuidanceResponseOutcome-1; triage: eRS-ReviewOutcome-1
	Recommendation string `json:"recommendation,omitempty"` // answer with advice: eRS-GuidanceIntendedRecommendation-1
	Text           string `json:"text,omitempty"`           // guidance, triage comment, cancellation comment
	Priority       string `json:"priority,omitempty"`       // eRS-Priority-1; empty: it stays as it is
	Reason         string `json:"code,omitempty"`           // cancel: a code of REFERRAL-CANCELLATION-REASON
	OnBehalfOf     string `json:"on_behalf_of,omitempty"`   // SDS user id of the clinician whom an admin acts for
	Files          []File `json:"files,omitempty"`          // of an answer or outcome: names of the delivery's Parts, in order
}

// File is what a person says of a file that goes with their act.
type File struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

// mostGuidance is the longest guidance in characters (A026). Nothing is cut: what is longer goes as a file.
const mostGuidance = 8000

// mostComment is the longest comment of a cancellation in characters (A036).
const mostComment = 2000

// Check refuses what the channel would, and what the gateway never relays: that a specialist converts advice into a referral,
// which is another's decision (INV1). A doctor's words are never shortened. what is the delivery's.
func (r Relayed) Check(what string) error {
	if r.Priority != "" && rank(r.Priority) < 0 {
		return issue.New(issue.Code, "priority", "one of ROUTINE, URGENT, TWO_WEEK_WAIT")
	}
	switch what {
	case RelayAnswer:
		return r.answer()
	case RelayTriage:
		return r.triage()
	case RelayCancel:
		return r.cancel()
	}
	return issue.New(issue.UnsupportedEvent, "", "no such act")
}

func (r Relayed) answer() error {
	advice := r.Outcome == "RETURN_TO_REFERRER_WITH_ADVICE"
	switch {
	case r.Outcome == "PROVIDER_CONVERTED":
		return issue.New(issue.Denied, "outcome", "the gateway relays no conversion of advice into a referral: it is made in e-RS by the person who decides it")
	case !advice && r.Outcome != "REQUIRE_FURTHER_INFORMATION":
		return issue.New(issue.Code, "outcome", "one of RETURN_TO_REFERRER_WITH_ADVICE, REQUIRE_FURTHER_INFORMATION")
	case advice && !slices.Contains([]string{"ADVICE_ONLY_NO_REFERRAL_RECOMMENDED", "ADVICE_FOLLOWED_BY_REFERRAL_IF_REQUIRED", "REFERRAL_RECOMMENDED", "OTHER"}, r.Recommendation):
		return issue.New(issue.Required, "recommendation", "advice says what is recommended: ADVICE_ONLY_NO_REFERRAL_RECOMMENDED, ADVICE_FOLLOWED_BY_REFERRAL_IF_REQUIRED, REFERRAL_RECOMMENDED or OTHER")
	case !advice && r.Recommendation != "":
		return issue.New(issue.Conflict, "recommendation", "a question recommends nothing")
	case r.Reason != "":
		return issue.New(issue.Conflict, "code", "is that of a cancellation")
	}
	return words(r.Text, "text", "the guidance", mostGuidance)
}

func (r Relayed) triage() error {
	switch {
	case r.Outcome != "RETURN_TO_REFERRER_WITH_ADVICE" && r.Outcome != "ACCEPT_REFER_BOOK_LATER":
		return issue.New(issue.Code, "outcome", "one of RETURN_TO_REFERRER_WITH_ADVICE, ACCEPT_REFER_BOOK_LATER: anything else is done in e-RS")
	case r.Outcome == "RETURN_TO_REFERRER_WITH_ADVICE" && r.Priority != "":
		return issue.New(issue.Conflict, "priority", "a return changes no priority (PRIORITY_NOT_CURRENT)")
	case r.Recommendation != "" || r.Reason != "":
		return issue.New(issue.Conflict, "recommendation", "a triage outcome has neither a recommendation nor a cancellation's code")
	}
	return words(r.Text, "text", "the comment of a triage", 0)
}

func (r Relayed) cancel() error {
	switch {
	case r.Reason == "":
		return issue.New(issue.Required, "code", "a cancellation has a code of e-RS's REFERRAL-CANCELLATION-REASON")
	case r.Outcome != "" || r.Recommendation != "" || r.Priority != "" || len(r.Files) > 0:
		return issue.New(issue.Conflict, "code", "a cancellation has a code and a comment, and nothing else")
	case r.Text == "":
		return nil // some reasons need none
	}
	return words(r.Text, "text", "the comment of a cancellation", mostComment)
}

// words refuses a text that says nothing, or more than fits; most 0: any length.
func words(text, where, what string, most int) error {
	switch {
	case strings.TrimSpace(text) == "":
		return issue.New(issue.Required, where, what+" is missing")
	case most > 0 && utf8.RuneCountInString(text) > most:
		return issue.New(issue.TooLong, where, what+" is longer than e-RS takes, and is not cut: attach it as a file")
	}
	return nil
}

// Lowers tells whether an act would take a suspected cancer's priority from it.
func (r Relayed) Lowers(priority string) bool {
	return priority == pathway.TwoWeekWait && r.Priority != "" && r.Priority != priority
}

// ForReferrer is the Where of the cause for which an act waits: the referrer has not agreed yet.
const ForReferrer = "referrer"

// AgreedBy is the Step that records that the referrer agrees: by whom, and why.
const AgreedBy = "agreed"
