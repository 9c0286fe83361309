package flow

import "github.com/dermgate/dermgate/gateway/pathway"

// What happened to a case, in the words of the routing rules.
const (
	Requested     = "requested"
	Amended       = "amended"
	Withdrawn     = "cancelled"
	Answered      = "answered"       // advice came back
	InfoRequested = "info-requested" // the specialist asks for more
	Triaged       = "triaged"        // with an outcome: accepted, returned, straight-to-test, ended
	BookedEvent   = "booked"
	Unbooked      = "appointment-cancelled" // what was booked is not any more
	NotAttended   = "not-attended"
	ConvertedTo   = "converted"
	Ended         = "ended"
	Reviewed      = "reviewed"      // the requester read the answer and decided
	ReferralMade  = "referral-made" // the requester has made the referral that they said they would
	Tracked       = "tracked"       // the hospital's cancer tracking took over the 28-day clock
	NoticeStatus  = "notice"        // NHS Notify tells what became of a message
	Attested      = "attested"      // a person says that the patient was told, or that who asked has the news
	Receipted     = "receipted"     // what a receiver, or MESH, says of a message that went home
	Acknowledged  = "acknowledged"  // a receiver's late word on a message it had accepted
	StatusAsked   = "status-asked"  // the requester asks how far it is
	StatusOnly    = "status"        // nothing new: the channel repeats where it stands
)

// Outcomes of a triage, in the words of the routing rules.
const (
	OutcomeAccepted = "accepted"
	OutcomeReturned = "returned"
	OutcomeTest     = "straight-to-test"
	OutcomeEnded    = "ended"
)

// Route sends what matches When to the destinations in To.
type Route struct {
	When When
	To   []string
}

// When is the condition of a route: every key given must match. A condition without an event is about
// requests, so that no answer ever travels to where requests go; the empty one matches everything.
type When struct {
	Source, Message, Event, Case, Outcome, Priority, Organisation, Specialty string
}

func (w When) matches(f Facts) bool {
	if w == (When{}) {
		return true
	}
	if w.Event == "" && f.Event != Requested && f.Event != Amended && f.Event != Withdrawn {
		return false
	}
	for _, pair := range [...][2]string{
		{w.Source, f.Source}, {w.Message, f.Message}, {w.Event, f.Event}, {w.Case, string(f.Kind)}, {w.Outcome, f.Result},
		{w.Priority, f.Urgency}, {w.Organisation, f.Organisation}, {w.Specialty, f.Specialty},
	} {
		if pair[0] != "" && pair[0] != pair[1] {
			return false
		}
	}
	return true
}

// route gives the endpoints for what happened, each once, in the order of the rules. A case of kind
// advice never reaches e-RS as a referral: the e-RS adapter speaks A&G for it (INV1).
func (p *Pipeline) route(f Facts) []Endpoint {
	var out []Endpoint
	seen := map[string]bool{}
	for _, r := range p.Routes {
		if !r.When.matches(f) {
			continue
		}
		for _, name := range r.To {
			if e, ok := p.endpoint(name); ok && !seen[name] && e.takes(f) {
				seen[name] = true
				out = append(out, e)
			}
		}
	}
	return out
}

// takes tells whether an endpoint may be given this at all: e-RS is never told an outcome (it made it, and
// relaying one is a person's act), and only requests open anything there.
func (e Endpoint) takes(f Facts) bool {
	switch e.Kind {
	case ToERS:
		return f.Event == Requested && (f.Kind == pathway.Advice || f.Kind == pathway.Referral)
	case ToNotify:
		return false // notices follow obligations, not routes
	case ToMESH: // a record is told what came of a request, by who was asked
		return f.Event != Requested && f.Event != Amended && f.Event != Withdrawn && f.Event != StatusAsked
	case ToFHIR:
		return f.Event != StatusAsked // it is answered in the words it is asked in, an RRI^I15
	}
	return true
}

// class of a lane: suspected cancer first, and what nobody gave an urgency is not made to wait.
func class(urgency string) int {
	if urgency == pathway.TwoWeekWait || urgency == "" {
		return ClassUrgent
	}
	return ClassRoutine
}
