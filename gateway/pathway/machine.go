// Package pathway is the clinical case as data and pure functions: the state machines of Advice & Guidance
// and of referral for triage, what each transition means for the outside, which notices the patient is
// owed, and by when somebody must act. It knows no message format, no store and no clock.
//
// The machines are statemachine.json (0.2), written with the clinical pathway; this package loads and
// proves them and never adds a transition of its own.
package pathway

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

//go:embed statemachine.json
var machinesJSON []byte

// Kind of a case.
type Kind string

const (
	Advice   Kind = "advice"   // Advice & Guidance: the responsibility stays with the requester
	Referral Kind = "referral" // referral for triage (Referral Assessment Service)
)

// State of a case, by the names of statemachine.json.
type State string

// The states both machines or one of them know.
const (
	Draft            State = "DRAFT"
	Held             State = "HELD"
	Submitted        State = "SUBMITTED"
	SendFailed       State = "SEND_FAILED"
	AwaitingProvider State = "AWAITING_PROVIDER"
	InfoRequested    State = "INFO_REQUESTED"
	Responded        State = "RESPONDED"
	Reviewed         State = "REVIEWED"
	AwaitingTriage   State = "AWAITING_TRIAGE"
	InTriage         State = "IN_TRIAGE"
	ProviderToAction State = "PROVIDER_TO_ACTION"
	Booked           State = "BOOKED"
	Returned         State = "RETURNED"
	EndedNoticeDue   State = "ENDED_NOTICE_DUE"
	Closed           State = "CLOSED"
	Cancelled        State = "CANCELLED"
	HandedToBooking  State = "HANDED_TO_BOOKING"
)

// Event is what happens to a case: the words that an event of statemachine.json begins with.
type Event string

// The events. A test proves that each belongs to at least one transition.
const (
	ValidationFailed  Event = "validation-failed"
	Corrected         Event = "corrected"
	SignAndSend       Event = "sign-and-send"
	ChannelAccepted   Event = "channel-accepted"
	AcceptedByChannel Event = "accepted by the channel"
	ChannelRejected   Event = "channel-rejected-or-no-ack-in-time"
	RetrySameKey      Event = "retry-same-idempotency-key"
	TakenBack         Event = "human-takes-back"
	MoreInformation   Event = "REQUIRE_FURTHER_INFORMATION"
	InformationGiven  Event = "information-supplied"
	ReturnWithAdvice  Event = "RETURN_TO_REFERRER_WITH_ADVICE"
	AnswerAmended     Event = "answer amended"
	ReadAndDecide     Event = "read-and-decide"
	AskAgain          Event = "ask-again"
	CloseCase         Event = "close"
	Converted         Event = "PROVIDER_CONVERTED"
	Discard           Event = "discard"
	Withdraw          Event = "withdraw"
	CancelReferral    Event = "cancel referral"
	EndClosed         Event = "end observed in e-RS: CONVERSATION_ENDED_CLOSED"
	EndCancelled      Event = "end observed in e-RS: CONVERSATION_ENDED_CANCELLED"
	EndBeforeDecision Event = "end observed in e-RS before"
	EndObserved       Event = "end observed in e-RS"
	AcceptBookLater   Event = "ACCEPT_REFER_BOOK_LATER"
	AcceptBookNow     Event = "accept-and-book-now"
	BookedEvent       Event = "booked"
	CancelledProvider Event = "appointment-cancelled-by-provider"
	CancelledPatient  Event = "appointment-cancelled-by-patient"
	OwnedByPAS        Event = "appointment owned by PAS"
	StraightToTest    Event = "PROVIDER_TRIAGE reason STRAIGHT_TO_TEST"
	EndedByTriage     Event = "ended with another PROVIDER_TRIAGE reason"
	OpenedForReview   Event = "opened-for-review"
	PutBack           Event = "put-back"
	RaisePriority     Event = "raise priority"
	ReviewedAndClosed Event = "reviewed-and-closed"
	Resent            Event = "re-sent with more information or images"
	OutcomeAmended    Event = "outcome amended"
	NoticesDischarged Event = "all-notices-discharged"
	TimerBreach       Event = "timer-breach"
	UnreadBreach      Event = "unread-timer-breach"

	FoundOnWorklist Event = "found on the provider worklist" // an entry
	ConvertedAdvice Event = "A&G converted"                  // an entry
	AmendedAfterEnd Event = "amended after the end"          // an entry
)

// Transition is one row of a machine, with what it means outside.
type Transition struct {
	ID             string `json:"id"`
	From           State  `json:"from"`
	To             State  `json:"to"`
	Actor          string `json:"actor"`
	Event          string `json:"event"`
	Guard          string `json:"guard"`
	ServiceRequest string `json:"SR"` // ServiceRequest.status afterwards
	Task           string `json:"T"`  // Task.status afterwards
	Business       string `json:"BS"` // Task.businessStatus: the e-RS code
	V2             string `json:"V2"`
	Notice         string `json:"N"` // "N1-request-sent": an obligation to tell the patient
	Effect         string `json:"effect"`
}

// NoticeEvent gives the notice's full name without the remark behind it ("N1-referral-sent").
func (t Transition) NoticeEvent() string {
	name, _, _ := strings.Cut(t.Notice, " (")
	return name
}

// NoticeID gives the notice's short name ("N1"), empty when the transition owes none.
func (t Transition) NoticeID() string {
	id, _, _ := strings.Cut(t.Notice, "-")
	return id
}

// Machine is one state machine.
type Machine struct {
	Kind        Kind         `json:"-"`
	Calendar    Calendar     `json:"-"` // by which notices are due
	Initial     State        `json:"initial"`
	Terminal    []State      `json:"terminal"`
	States      []State      `json:"states"`
	Transitions []Transition `json:"transitions"`
	Timers      []struct {
		State string `json:"state"`
		Due   string `json:"due"`
		Owner string `json:"owner"`
	} `json:"timers"`
	// Entries are the states in which a case begins that its channel had before the gateway knew of it.
	Entries []struct {
		State State `json:"state"`
		Event Event `json:"event"`
	} `json:"entries"`
}

// Machines holds the machine of each kind.
type Machines map[Kind]*Machine

// Load reads and proves the embedded machines; an error says which property does not hold.
func Load() (Machines, error) { return load(machinesJSON) }

func load(data []byte) (Machines, error) {
	var file struct {
		Version  string `json:"version"`
		Machines struct {
			AG  *Machine `json:"AG"`
			RAS *Machine `json:"RAS"`
		} `json:"machines"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("statemachine.json: %w", err)
	}
	ms := Machines{Advice: file.Machines.AG, Referral: file.Machines.RAS}
	for kind, m := range ms {
		if m == nil {
			return nil, fmt.Errorf("statemachine.json: no machine for %s", kind)
		}
		m.Kind = kind
		if err := m.prove(); err != nil {
			return nil, fmt.Errorf("statemachine.json: %s: %w", kind, err)
		}
	}
	return ms, nil
}

// By lets the machines count by a calendar.
func (ms Machines) By(cal Calendar) Machines {
	for _, m := range ms {
		m.Calendar = cal
	}
	return ms
}

// prove checks that every state is known and reachable, every open one is timed and can end, and no end
// has an exit. DRAFT is left at once by the message that opened it, so it needs no timer.
func (m *Machine) prove() error {
	for _, t := range m.Transitions {
		switch {
		case !slices.Contains(m.States, t.From) || !slices.Contains(m.States, t.To):
			return fmt.Errorf("%s names an unknown state", t.ID)
		case m.Ended(t.From):
			return fmt.Errorf("%s leaves the end %s", t.ID, t.From)
		}
	}
	for _, e := range m.Entries {
		if !slices.Contains(m.States, e.State) || m.Ended(e.State) {
			return fmt.Errorf("the entry %q is in no open state", e.Event)
		}
	}
	reached := m.closure(m.Initial, func(t Transition) (State, State) { return t.From, t.To })
	for _, s := range m.States {
		if !reached[s] {
			return fmt.Errorf("%s cannot be reached", s)
		}
		if m.Ended(s) {
			continue
		}
		ends := m.closure(s, func(t Transition) (State, State) { return t.From, t.To })
		if !slices.ContainsFunc(m.Terminal, func(e State) bool { return ends[e] }) {
			return fmt.Errorf("%s cannot end", s)
		}
		if s != m.Initial && m.Owner(s) == "" {
			return fmt.Errorf("%s has no timer", s)
		}
	}
	return nil
}

func (m *Machine) closure(from State, edge func(Transition) (State, State)) map[State]bool {
	seen := map[State]bool{from: true}
	for grew := true; grew; {
		grew = false
		for _, t := range m.Transitions {
			if a, b := edge(t); seen[a] && !seen[b] {
				seen[b], grew = true, true
			}
		}
	}
	return seen
}

// Ended tells a terminal state.
func (m *Machine) Ended(s State) bool { return slices.Contains(m.Terminal, s) }

// Owner tells who must act when a case stays too long in a state, empty when the state is not timed.
func (m *Machine) Owner(s State) string {
	for _, t := range m.Timers {
		if slices.Contains(strings.Split(t.State, " + "), string(s)) {
			return t.Owner
		}
	}
	return ""
}

// Find gives the transition that an event makes from a state. The longest-named event wins where one
// name begins another.
func (m *Machine) Find(from State, e Event) (Transition, bool) {
	var found Transition
	for _, t := range m.Transitions {
		if t.From != from || !begins(t.Event, string(e)) {
			continue
		}
		if found.ID == "" || len(t.Event) < len(found.Event) {
			found = t
		}
	}
	return found, found.ID != ""
}

// Enter begins a case that its channel has already, in the state of the entry that an event names; false when the
// machine has none.
func (ms Machines) Enter(c *Case, e Event, at time.Time) bool {
	for _, entry := range ms[c.Kind].Entries {
		if begins(string(entry.Event), string(e)) {
			c.State, c.Entered, c.Since, c.Moves = entry.State, at, at, c.Moves+1
			c.ServiceRequest, c.TaskStatus = "active", "received"
			for _, t := range ms[c.Kind].Transitions { // what it would be, had it come there by a move
				if t.To == entry.State && t.Actor == "PROV" && t.Task != "" && t.From != t.To {
					c.TaskStatus, c.Business = t.Task, keep(t.Business, c.Business)
					break
				}
			}
			return true
		}
	}
	return false
}

// begins tells whether text starts with the whole words of e.
func begins(text, e string) bool {
	rest, ok := strings.CutPrefix(text, e)
	return ok && (rest == "" || strings.ContainsRune(" (:-", rune(rest[0])))
}
