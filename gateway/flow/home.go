package flow

import (
	"cmp"
	"slices"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/issue"
)

// What goes home by GP Connect Send Document is there when its receiver has said both that it could be read (20013) and
// that the patient is known (30001). A refusal, MESH's report that it was not delivered, or no word in time gives one task
// to the provider; what was owed stays owed, and the case does not end, until a person says that who asked knows it.
//
// MESH brings it to where the patient is registered. Where that is not who asked, it is a copy: the news must go another way.

// unanswered is how long a receiver has to answer, unless its destination says otherwise.
const unanswered = 24 * time.Hour

// homeward opens the account of a message that goes home.
func (d *decision) homeward(e Endpoint, m outgoing, n telling) {
	h := pathway.Homeward{Ref: m.key, To: e.Name, What: n.what, Practice: m.practice, Copy: d.copyOf(m), Status: pathway.HomeOpen, Opened: d.at}
	h.Owed = owed(n.what) && !(h.Copy != "" && n.elsewhere)
	if h.Copy != "" {
		d.tell("copy", n.what+" for "+e.Name+" is a copy: "+h.Copy, "")
	}
	if h.Copy != "" && h.Owed {
		d.byHand(n.what + " goes to " + e.Name + " as a copy only: " + h.Copy + ". Bring it to who asked, " + d.c.Request.Organisation)
	}
	d.c.Homewards = append(d.c.Homewards, h)
	if h.What == Answered { // what an amended answer takes the place of
		if d.c.Letters == nil {
			d.c.Letters = map[string]string{}
		}
		d.c.Letters[e.Name] = h.Ref
	}
}

// owed tells the news that who asked must have: an appointment they may hear of as they do.
func owed(what string) bool {
	return slices.Contains([]string{Answered, InfoRequested, Triaged, ConvertedTo, Ended}, what)
}

// copyOf says why a message does not go to who asked; empty where it does.
func (d *decision) copyOf(m outgoing) string {
	asked := d.c.Request.Organisation
	switch {
	case m.practice == "":
		return "the request does not say where the patient is registered"
	case m.practice != asked:
		return "the patient is registered at " + m.practice + ", and " + cmp.Or(asked, "nobody known") + " asked"
	}
	return ""
}

// byHand gives somebody of the provider the task to bring news to who asked.
func (d *decision) byHand(why string) {
	d.c.AddTask(pathway.Task{Code: taskBring, Owner: d.p.Owners.Provider, Why: why, Opened: d.at, Due: d.at.Add(urgentTask)})
	d.p.alarm(taskBring, "case "+d.c.ID+": "+why)
}

const taskBring = "bring-answer"

// onItsWay notes that the channel took a message that goes home, and winds the clock of its answers.
func (d *decision) onItsWay(del Delivery, o *Outcome) error {
	e, _ := d.p.endpoint(del.To)
	if e.Kind != ToMESH {
		return nil
	}
	h := d.c.Homeward(del.Key)
	if h == nil && !del.Parent.IsZero() { // sent in the place of a parked one, under its own key
		h = d.c.Unsent(del.To, del.What)
	}
	if h == nil {
		return nil
	}
	h.Ref, h.Sent, h.Channel = del.Key, d.at, o.Facts[FactMESH]
	return d.wind(clockNote{Ref: h.Ref}, d.at.Add(or(e.Within, unanswered)), "clock", "receipt", h.Ref)
}

// receipted takes the word of a receiver or of MESH on a message that went home.
func (d *decision) receipted(f Facts) {
	h := d.homewardOf(f)
	r := f.Receipt
	if h == nil {
		d.tell("observed", "a "+r.Level+" response to no message of this case that is waited for", "")
		return
	}
	said := h.What + " to " + h.To + ": " + r.Level + " response " + cmp.Or(r.Code, "without a code")
	switch {
	case r.Repeat, r.Positive && r.Level == transport:
		d.tell("observed", said, "")
		return
	case !r.Positive:
		d.tell("refused", said, "")
		d.notHome(h, said)
		return
	case r.Code == h.Received || r.Code == h.Known: // said before
		return
	}
	d.tell("acknowledged", said, "")
	h.From = cmp.Or(r.From, h.From)
	if r.Level == "business" {
		h.Known = r.Code
	} else {
		h.Received = r.Code
	}
	if h.Received == "" || h.Known == "" {
		return
	}
	d.reached(h)
}

// reached ends a message that its receiver has read and accepted: where that is who asked, they have the news.
func (d *decision) reached(h *pathway.Homeward) {
	if h.Copy == "" && h.From != "" && h.From != d.c.Request.Organisation {
		h.Copy = "it was taken by " + h.From + ", and " + cmp.Or(d.c.Request.Organisation, "nobody known") + " asked"
		d.tell("copy", h.What+" to "+h.To+" came to another practice: "+h.Copy, "")
		d.byHand(h.What + " came to another practice: " + h.Copy)
	}
	h.End(pathway.HomeReached, h.Received+" "+h.Known, d.at)
	if h.Copy != "" {
		d.tell("delivered", h.What+" to "+h.To+" is filed at "+cmp.Or(h.From, h.Practice, "the patient's practice")+", as a copy", "")
		return
	}
	d.tell("delivered", h.What+" to "+h.To+" is home: received and accepted", "")
	d.c.FinishTasks(taskBring, cmp.Or(h.From, h.To), d.at)
	for i := range d.c.Homewards { // what it takes the place of need not arrive any more
		if earlier := &d.c.Homewards[i]; earlier.Opened.Before(h.Opened) && earlier.What == h.What {
			earlier.End(pathway.HomeAttested, "a later one is home", d.at)
		}
	}
}

// notHome gives somebody the task, once a message, to bring it another way.
func (d *decision) notHome(h *pathway.Homeward, why string) {
	before := h.Status
	if before == pathway.HomeReached { // what was said to be there is not: the receiver's last word counts
		h.Known, h.Received, h.Status = "", "", pathway.HomeOpen
	}
	h.End(pathway.HomeFailed, why, d.at)
	if before != pathway.HomeFailed && h.Status == pathway.HomeFailed {
		d.byHand("not delivered, bring it another way: " + why)
	}
}

// homewardOf finds the message that a response is about.
func (d *decision) homewardOf(f Facts) *pathway.Homeward {
	for _, ref := range f.Refs {
		if h := d.c.Homeward(ref.Value); h != nil {
			return h
		}
	}
	return nil
}

// FactMESH is MESH's id of a message, as an Outcome tells it.
const FactMESH = "mesh-message"

// silent is what the clock of a message that goes home finds when no word has come.
func (d *decision) silent(ref string) bool {
	h := d.c.Homeward(ref)
	if h == nil || h.Status != pathway.HomeOpen {
		return false
	}
	missing := "the infrastructure and the business response"
	switch {
	case h.Received != "":
		missing = "the business response"
	case h.Known != "":
		missing = "the infrastructure response"
	}
	d.notHome(h, h.What+" to "+h.To+": "+missing+" did not come in time")
	d.tell("overdue", h.By, "")
	return true
}

// elsewhere tells whether news also goes by another route to a destination that is who asked: its receiving facility, or a
// route for that organisation alone.
func (p *Pipeline) elsewhere(f Facts) bool {
	if f.Organisation == "" {
		return false
	}
	for _, r := range p.Routes {
		if !r.When.matches(f) {
			continue
		}
		for _, name := range r.To {
			e, ok := p.endpoint(name)
			if ok && e.Kind != ToMESH && e.takes(f) && (e.Facility == f.Organisation || r.When.Organisation == f.Organisation && (e.Kind == ToMLLP || e.Kind == ToFHIR)) {
				return true
			}
		}
	}
	return false
}

// attested takes a person's word that who asked has the news, or that the patient was told.
func (d *decision) attested(f Facts) error {
	if f.Outcome.Person == "" {
		return issue.New(issue.Required, "Task.owner", "an attestation names the person")
	}
	if f.Act == actReceived {
		if d.c.Attest("attested: "+f.Outcome.Person, d.at) {
			d.c.Did(pathway.ActReceived)
			d.tell("act", "who asked has it, says "+f.Outcome.Person, "")
		}
		d.c.FinishTasks(taskBring, f.Outcome.Person, d.at)
		return nil
	}
	if d.settledBefore(f.Notices) || len(d.c.Owed("")) == 0 && len(f.Notices) == 0 {
		return nil
	}
	d.c.Did(pathway.ActTold)
	return d.attest(f.Outcome.Person, f.Notices, f.Clinician)
}

// Acts by which a person says what no machine saw (Task.code).
const (
	actReceived = "attest-received" // who asked has the news
	actTold     = "attest-told"     // the patient was told what is owed to them
)
