package ers

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// What a signed-in person decided is relayed: the answer to advice (A026), the outcome of a triage (A028), the end of a
// referral (A036). The delivery's Body is a flow.Relayed, its Note the UBRN, its Parts the files.
//
// Failure semantics. Each call changes a state under the version that was just read, so a call that was cut off is found
// out by reading: either the request shows what was decided, word for word, or it is as it was and the call is made again.
// In any other state somebody has acted meanwhile, and a person looks.

// act is one relay being worked on.
type act struct {
	*attempt
	flow.Relayed
	ubrn string
}

// relay makes the call of an act, unless it is done.
func (a *attempt) relay() (map[string]string, error) {
	body, err := slurp(a.ctx, a.OpenBody, a.del.Body)
	if err != nil {
		return nil, ourTrouble("the act cannot be read from the store", err)
	}
	x := act{attempt: a, ubrn: strings.TrimSpace(a.del.Note)}
	if err := json.Unmarshal(body, &x.Relayed); err != nil || !isUBRN(x.ubrn) || len(x.Files) != len(a.del.Parts) {
		return nil, stopped(flow.Refused, issue.New(issue.Internal, "act", "the act that was kept cannot be read").Because(err))
	}
	if trouble := new(issue.Issue); errors.As(x.Check(a.del.What), &trouble) {
		return nil, stopped(flow.Refused, trouble)
	}
	if x.OnBehalfOf != "" {
		client := a.Client
		client.OnBehalfOf = x.OnBehalfOf
		a.Destination = a.as(client)
	}
	if state, data := a.state(x.name()); state == done {
		return data, nil
	}
	return x.carry()
}

// name is that of the call.
func (x act) name() string {
	return map[string]string{flow.RelayAnswer: "A026", flow.RelayTriage: "A028", flow.RelayCancel: "A036"}[x.del.What]
}

// carry makes the call under the version that it reads first.
func (x act) carry() (map[string]string, error) {
	if _, err := x.token(x.ctx, call{name: "sign-in"}, ""); err != nil { // before anything is begun
		return nil, err
	}
	name := x.name()
	for range staleTries {
		r, err := x.read()
		if err != nil {
			return nil, err
		}
		if state, _ := x.state(name); state == begun {
			if there, err := x.shows(r); err != nil || there {
				return x.told(r, err)
			}
		}
		if err := x.allowed(r); err != nil {
			return nil, err
		}
		files, err := x.files()
		if err != nil {
			return nil, err
		}
		if len(files) > 0 {
			if r, err = x.read(); err != nil { // an upload for a request changes its version at times
				return nil, err
			}
		}
		if err := x.keep(name, begun, nil); err != nil {
			return nil, err
		}
		got, err := x.send(r, files)
		if errors.Is(err, errStale) {
			continue
		}
		if err != nil {
			return nil, x.undo(name, err)
		}
		return x.told(got, nil)
	}
	return nil, locked(name)
}

// undo records that an act was certainly not taken: e-RS has refused it.
func (x act) undo(name string, err error) error {
	if s := new(stop); errors.As(err, &s) && s.Result == flow.Refused {
		return errors.Join(err, x.keep(name, undone, nil))
	}
	return err
}

// told records the act as done.
func (x act) told(r ersRequest, err error) (map[string]string, error) {
	if err != nil {
		return nil, err
	}
	f := facts(r)
	return f, x.keep(x.name(), done, f)
}

// read reads the request as it is: its state, and the version that the call is based on.
func (x act) read() (ersRequest, error) {
	if x.del.What != flow.RelayAnswer {
		return x.referral(x.ctx, x.ubrn)
	}
	var r ersRequest
	err := x.Client.read(x.ctx, "A024", "/STU3/CommunicationRequest/"+x.ubrn, &r)
	if err == nil && (r.ID != x.ubrn || r.Meta.VersionID == "") {
		err = foreign("A024")
	}
	return r, err
}

// after is the state that an act leaves.
func (x act) after() string {
	switch {
	case x.del.What == flow.RelayCancel:
		return "CANCELLED_REFERRAL"
	case x.del.What == flow.RelayTriage:
		return "TRIAGED_PROVIDER_TO_ACTION"
	case x.Outcome == "REQUIRE_FURTHER_INFORMATION":
		return "REFERRER_TO_SUBMIT_FURTHER_INFORMATION"
	}
	return "REFERRER_TO_REVIEW_RESPONSE"
}

// shows tells whether the request is as this very act leaves it: an earlier attempt got through although its answer did
// not.
func (x act) shows(r ersRequest) (bool, error) {
	switch {
	case x.del.What == flow.RelayTriage:
		return r.reason() == x.Outcome && r.comments() == x.Text, nil
	case r.state() != x.after():
		return false, nil
	case x.del.What == flow.RelayCancel:
		return r.reason() == x.Reason, nil
	}
	talk, err := x.conversation(x.ctx, r.ID, r.Meta.VersionID)
	if err != nil {
		return false, err
	}
	answers, err := talk.answers()
	if err != nil {
		return false, garbled("A025", err)
	}
	return slices.ContainsFunc(answers, func(t text) bool { return t.words == x.Text }), nil
}

// allowed refuses an act on a request that is in no state for it, and lets one wait that the referrer must agree to first.
func (x act) allowed(r ersRequest) error {
	open := []string{"PROVIDER_RESPONSE_REQUIRED"}
	switch x.del.What {
	case flow.RelayTriage:
		open = []string{"AWAITING_TRIAGE", "DEFERRED_TO_PROVIDER"}
	case flow.RelayCancel:
		if r.state() != x.after() {
			return x.reason(r)
		}
		open = nil
	}
	if !slices.Contains(open, r.state()) {
		return stopped(flow.Refused, issue.New(issue.Conflict, x.name(), "the request is "+r.state()+" in e-RS by now: look at it there"))
	}
	agreed := slices.ContainsFunc(x.steps, func(s flow.Step) bool { return s.Name == flow.AgreedBy })
	if x.Lowers(r.priority()) && !agreed {
		return stopped(flow.Held, issue.New(issue.Denied, flow.ForReferrer, "it takes the priority of a suspected cancer from the request: the referrer must agree first"))
	}
	return nil
}

// reason refuses a cancellation's code that this user may not give, or not for this referral (A036: reference data).
func (x act) reason(r ersRequest) error {
	if x.Reference == nil {
		return nil
	}
	codes, err := x.Reference.systemBy(x.ctx, &x.Client, cancellations)
	if err != nil && len(codes) == 0 {
		return err
	}
	c, known := codes[x.Reason]
	refuse := func(where, text string) error {
		return stopped(flow.Refused, issue.New(issue.Code, where, text))
	}
	switch {
	case !known || !c.says("referrerUsage", "CANCEL_REFERRAL") || !c.inForce(x.Destination.now()):
		return refuse("code", "e-RS does not take this reason for a cancellation; it takes "+strings.Join(reasonsFor(codes, x.BusinessFunction, x.Destination.now()), ", "))
	case !c.says("businessFunction", x.BusinessFunction):
		return refuse("code", "not a reason that a "+x.BusinessFunction+" may give; those are "+strings.Join(reasonsFor(codes, x.BusinessFunction, x.Destination.now()), ", "))
	case r.state() == "BOOKED" && !c.says("canCancelAppointment", "true"):
		return refuse("code", "not a reason for which an appointment is cancelled too")
	case c.says("commentIsMandatory", "true") && strings.TrimSpace(x.Text) == "":
		return refuse("text", "this reason needs a comment")
	}
	return nil
}

// reasonsFor gives the codes that a user may cancel a referral for.
func reasonsFor(codes map[string]refCode, function string, now time.Time) (out []string) {
	for name, c := range codes {
		if c.says("referrerUsage", "CANCEL_REFERRAL") && c.says("businessFunction", function) && c.inForce(now) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// files uploads what goes with the act, once.
func (x act) files() ([]file, error) {
	var out []file
	for i, ref := range x.del.Parts {
		p := part{ref: ref, name: x.Files[i].Name, description: cmp.Or(x.Files[i].Description, x.Files[i].Name)}
		bad := p.trouble(i+1, len(x.del.Parts))
		if bad == nil && !fits(p.name, ref.Type) {
			bad = issue.New(issue.Value, "files", "a name that e-RS does not take: plain characters, with the ending of its type")
		}
		if bad != nil {
			return nil, stopped(flow.Refused, bad)
		}
		up, err := x.uploadAll(x.ubrn, []part{p})
		if err != nil {
			return nil, err
		}
		out = append(out, up...)
	}
	return out, nil
}

// send makes the call, and gives the request as it is then.
func (x act) send(r ersRequest, files []file) (ersRequest, error) {
	path, body, updated := "", any(nil), ""
	switch x.del.What {
	case flow.RelayAnswer:
		path, updated = "/STU3/CommunicationRequest/"+x.ubrn+"/$ers.sendCommunicationToRequester", "updatedCommunicationRequest"
		body = guidanceBody(x.Relayed, cmp.Or(x.Priority, r.priority()), files)
	case flow.RelayTriage:
		path, body = "/STU3/ReferralRequest/"+x.ubrn+"/$ers.recordReviewOutcome", outcomeBody(x.Relayed, files)
	default:
		path, updated = "/STU3/ReferralRequest/"+x.ubrn+"/$ers.cancelReferral", "updatedReferralRequest"
		body = cancelBody(x.Base, x.Relayed)
	}
	got, err := x.post(x.name(), path, body, r.Meta.VersionID)
	if err != nil {
		return ersRequest{}, err
	}
	then, err := changed(got.body, updated)
	if err != nil || then.ID != x.ubrn || x.del.What != flow.RelayTriage && then.state() != x.after() {
		return then, foreign(x.name()) // the next attempt reads what became of the act
	}
	return then, nil
}

// changed reads the request out of an answer: the answer itself, or the parameter of a name.
func changed(body []byte, parameter string) (r ersRequest, err error) {
	if parameter == "" {
		err = json.Unmarshal(body, &r)
		return r, err
	}
	var p struct {
		Parameter []struct {
			Name     string     `json:"name"`
			Resource ersRequest `json:"resource"`
		} `json:"parameter"`
	}
	err = json.Unmarshal(body, &p)
	for _, each := range p.Parameter {
		if each.Name == parameter {
			return each.Resource, err
		}
	}
	return r, err
}
