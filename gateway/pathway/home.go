package pathway

import (
	"slices"
	"time"
)

// Homeward is a message that brings news to who asked, by a channel that says only later whether it got there (GP Connect
// Send Document): its receiver answers that it could be read, and that the patient is known.
type Homeward struct {
	Ref      string    `json:"ref"`                // outbound key of the message: what its responses name
	To       string    `json:"to"`                 // destination
	What     string    `json:"what"`               // "answered", "triaged", …
	Practice string    `json:"practice,omitempty"` // ODS code of where it goes; empty: the request does not say
	Copy     string    `json:"copy,omitempty"`     // why it is no answer to who asked; empty: it is one
	Owed     bool      `json:"owed,omitempty"`     // what it tells must reach who asked before the case ends
	Opened   time.Time `json:"opened"`
	Sent     time.Time `json:"sent,omitzero"`      // the channel took it
	Channel  string    `json:"channel,omitempty"`  // the channel's own id of it
	Received string    `json:"received,omitempty"` // code by which the receiver could read it
	Known    string    `json:"known,omitempty"`    // code by which the receiver knows the patient
	From     string    `json:"from,omitempty"`     // ODS code of who answered
	Status   string    `json:"status"`
	By       string    `json:"by,omitempty"` // evidence, or why not
	Ended    time.Time `json:"ended,omitzero"`
}

// Statuses of what goes home. Only HomeReached and HomeAttested discharge what is owed.
const (
	HomeOpen     = "open"     // on its way, or no word yet
	HomeReached  = "reached"  // received and accepted
	HomeFailed   = "failed"   // refused, not delivered, or no word in time: somebody has a task
	HomeAttested = "attested" // a person says that who asked knows, or has read it
)

// discharged tells a message whose news has reached who asked. A copy that was taken has not.
func (h *Homeward) discharged() bool {
	return h.Status == HomeAttested || h.Status == HomeReached && h.Copy == ""
}

// Home tells whether all that is owed to who asked has reached them.
func (c *Case) Home() bool {
	return !slices.ContainsFunc(c.Homewards, func(h Homeward) bool { return h.Owed && !h.discharged() })
}

// Homeward finds the message with an outbound key, or with its channel's id; nil where there is none.
func (c *Case) Homeward(ref string) *Homeward {
	return c.homeward(func(h *Homeward) bool { return ref != "" && (h.Ref == ref || h.Channel == ref) })
}

// Unsent finds the message about something to a destination that its channel has not taken yet; nil where there is none.
func (c *Case) Unsent(to, what string) *Homeward {
	return c.homeward(func(h *Homeward) bool { return h.To == to && h.What == what && h.Sent.IsZero() })
}

func (c *Case) homeward(is func(*Homeward) bool) *Homeward {
	for i := range c.Homewards {
		if h := &c.Homewards[i]; is(h) {
			return h
		}
	}
	return nil
}

// End records what became of a message; what was reached or attested stays so.
func (h *Homeward) End(status, by string, at time.Time) {
	if h.discharged() {
		return
	}
	h.Status, h.By, h.Ended = status, by, at
}

// Attest discharges all that is owed to who asked, by a person's word. It tells whether anything was.
func (c *Case) Attest(by string, at time.Time) bool {
	any := false
	for i := range c.Homewards {
		if h := &c.Homewards[i]; h.Owed && !h.discharged() {
			h.End(HomeAttested, by, at)
			any = true
		}
	}
	return any
}
