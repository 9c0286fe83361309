package flow

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
)

// Next is the next step of a case: who owns it, what it is, and by when. Zero when the case has ended.
type Next struct {
	Who  string    `json:"who"`
	What string    `json:"what"`
	By   time.Time `json:"by,omitzero"`
}

// steps are the next steps by the states that wait for somebody.
var steps = map[pathway.State]string{
	pathway.Held:             "put the request right, or release it",
	pathway.Submitted:        "the request is on its way",
	pathway.SendFailed:       "replay the request, or take it back",
	pathway.AwaitingProvider: "answer the request",
	pathway.InfoRequested:    "give what the specialist asks for",
	pathway.Responded:        "read the answer and decide",
	pathway.Reviewed:         "tell the patient",
	pathway.AwaitingTriage:   "triage the referral",
	pathway.InTriage:         "triage the referral",
	pathway.ProviderToAction: "book the appointment",
	pathway.Booked:           "see the patient, and tell them the appointment",
	pathway.Returned:         "read why it was returned, and say what is done",
	pathway.EndedNoticeDue:   "tell the patient",
}

// Next tells the next step of a case as it was kept.
func (p *Pipeline) Next(r CaseRecord) (Next, error) {
	c := &pathway.Case{}
	if err := json.Unmarshal(r.State, c); err != nil {
		return Next{}, fmt.Errorf("case %s: %w", r.ID, err)
	}
	if p.Machines[c.Kind].Ended(c.State) {
		return Next{}, nil
	}
	who := p.steps(c)
	n := Next{Who: strings.Join(who[min(c.Asked, len(who)-1)], " and "), What: steps[c.State]}
	n.By, _ = p.Timers.Due(c, p.calendar())
	switch {
	case c.Stopped != "":
		n.What = "find out whose case it is (" + c.Stopped + ")"
	case c.State == pathway.Reviewed && c.Outcome.Decision == pathway.IWillRefer:
		n.What = "make the referral"
	case c.State == pathway.Booked && c.Suspected() && c.Tracked == "":
		n.What = "take the 28-day clock over into cancer tracking"
	}
	return n, nil
}
