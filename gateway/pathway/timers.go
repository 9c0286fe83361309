package pathway

import (
	"slices"
	"strings"
	"time"
)

// Timers are the limits of the open states, by configuration key. Sources: pathway.md §1.2 and §6.
type Timers map[string]Span

// DefaultTimers gives the limits of the clinical pathway.
func DefaultTimers() Timers {
	return Timers{
		"held": {Days: 1}, "held_suspected": {Hours: time.Hour},
		"submitted": {Hours: 15 * time.Minute}, "send_failed": {Hours: time.Hour}, "send_failed_suspected": {Hours: 15 * time.Minute},
		"advice": {Days: 5}, "advice_urgent": {Days: 2}, "info": {Days: 5}, "unread": {Days: 2}, "unread_urgent": {SameDay: true},
		"reviewed": {Days: 2}, "refer": {Days: 5}, "refer_suspected": {Days: 1},
		"triage_two_week_wait": {Days: 2}, "triage_urgent": {Days: 5}, "triage_routine": {Days: 40},
		"action_two_week_wait": {Days: 2}, "action_urgent": {Days: 5}, "action_routine": {Days: 10},
		"booked": {Calendar: 28}, "returned": {Days: 2}, "returned_suspected": {SameDay: true}, "notice": {Days: 2},
		"escalate": {Days: 1}, "escalate_suspected": {Hours: 4 * time.Hour}, "diagnosis": {Calendar: 28}, "diagnosis_warning": {Calendar: 21},
	}
}

// Limit gives the span after which somebody must act on a case that stays in its state; ok is false in
// states without a clock. A request of unknown urgency is timed as an urgent one: nothing is guessed, and
// nothing waits longer for it.
func (ts Timers) Limit(c *Case) (Span, bool) {
	key := ""
	switch c.State {
	case Held:
		key = suspected(c, "held")
	case Submitted:
		key = "submitted"
	case SendFailed:
		key = suspected(c, "send_failed")
	case AwaitingProvider:
		key = "advice"
		if c.Urgency != Routine {
			key = "advice_urgent"
		}
	case InfoRequested:
		key = "info"
	case Responded:
		key = "unread"
		if c.ReadSoon() {
			key = "unread_urgent"
		}
	case Reviewed:
		key = "reviewed"
		if c.Outcome.Decision == IWillRefer {
			key = "refer"
			if c.Suspected() || c.Outcome.Priority == TwoWeekWait {
				key = "refer_suspected"
			}
		}
	case AwaitingTriage, InTriage:
		key = "triage_" + byUrgency(c)
	case ProviderToAction:
		key = "action_" + byUrgency(c)
	case Booked:
		key = "booked"
	case Returned:
		key = suspected(c, "returned")
	case EndedNoticeDue:
		key = "notice"
	}
	s, ok := ts[key]
	return s, ok
}

// ReadSoon tells an answer that must be read the same day: "please refer", or a suspected cancer.
func (c *Case) ReadSoon() bool {
	return c.Suspected() || c.Outcome.Recommendation == ReferralRecommended || c.Outcome.Priority == TwoWeekWait
}

// Due gives when the limit of a case's state is over, in the calendar's zone; ok is false in states without one. What the
// channel itself says of a triage goes before any limit of ours.
func (ts Timers) Due(c *Case, cal Calendar) (due time.Time, ok bool) {
	span, ok := ts.Limit(c)
	triage := c.State == AwaitingTriage || c.State == InTriage
	switch {
	case !ok:
		return time.Time{}, false
	case triage && !c.Due.IsZero():
		return c.Due, true
	case c.State == Booked && !c.Watched.IsZero():
		return cal.After(c.Watched, ts["diagnosis"]), true
	}
	return cal.After(c.Clock(), span), true
}

func suspected(c *Case, key string) string {
	if c.Suspected() {
		return key + "_suspected"
	}
	return key
}

func byUrgency(c *Case) string {
	if c.Urgency == "" {
		return "urgent"
	}
	return strings.ToLower(c.Urgency)
}

// Roles that the state machine gives a state's clock to.
const (
	RoleRequester  = "requester"
	RolePractice   = "practice"
	RoleProvider   = "provider"
	RoleOperations = "operations"
)

// Escalation gives the roles that are asked, step by step, when a case stays too long in a state: "provider lead and
// requester" are asked together, "requester, then practice" one after the other.
func (m *Machine) Escalation(s State) (steps [][]string) {
	for step := range strings.SplitSeq(m.Owner(s), ", then ") {
		var roles []string
		for who := range strings.SplitSeq(step, " and ") {
			first, _, _ := strings.Cut(who, " ") // "provider lead", "provider admin"
			switch first {
			case "":
				continue
			case "referrer":
				first = RoleRequester
			}
			roles = append(roles, first)
		}
		if len(roles) > 0 {
			steps = append(steps, roles)
		}
	}
	return steps
}

// Together tells states that one clock runs through.
func (m *Machine) Together(a, b State) bool { return m.clocked(a) == m.clocked(b) }

// clocked tells the states that one clock runs through, by the name that the machine gives them together.
func (m *Machine) clocked(s State) string {
	for _, t := range m.Timers {
		if slices.Contains(strings.Split(t.State, " + "), string(s)) {
			return t.State
		}
	}
	return string(s)
}
