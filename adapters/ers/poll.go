package ers

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Cursor is where a poll stands; it is the Note of poll deliveries, as JSON. Kind and UBRN start one.
type Cursor struct {
	Kind    string `json:"kind"` // "advice" or "referral"
	UBRN    string `json:"ubrn"`
	Request string `json:"request,omitempty"` // identifier of the request Bundle, when the answer should name it
	Version string `json:"version,omitempty"` // last one read
	Status  string `json:"status,omitempty"`  // last one read
	Seen    string `json:"seen,omitempty"`    // digest of what was last told

	Files []string `json:"files,omitempty"` // of a found request: those that were brought, or never will be
	Info  string   `json:"info,omitempty"`  // when its referrer last wrote
}

// Kinds of a poll.
const (
	kindAdvice   = "advice"
	kindReferral = "referral"
)

// quietly is how long a booked referral is left alone between polls: only a cancelled appointment is news.
const quietly = 24 * time.Hour

// Poller reads what has become of a request: A024 and, when that changed, A025 for advice; A005 for a
// referral. What is new for the requester becomes a canonical answer Bundle. Versions that change without
// anything new (a scan, internal processes of e-RS) tell nothing. It ends when e-RS has ended the request.
type Poller struct {
	Client
	Name  string           // source name that answers are accepted under
	Every time.Duration    // pace; 0: five minutes
	Taker *Taker           // of requests that were found: brings what their referrers add; nil: they are our own
	Now   func() time.Time // nil: time.Now
}

// Deliver polls once. Its outcome is Again with the new cursor, or Delivered at the end. There is no error.
func (p *Poller) Deliver(ctx context.Context, d flow.Delivery, save func(flow.Step) error) (flow.Outcome, error) {
	var c Cursor
	if err := json.Unmarshal([]byte(d.Note), &c); err != nil || !isUBRN(c.UBRN) || c.Kind != kindAdvice && c.Kind != kindReferral {
		return flow.Outcome{Result: flow.Refused, Cause: issue.New(issue.Internal, "poll", "the cursor is unreadable").Because(err)}, nil
	}
	o, err := p.poll(ctx, d, save, c)
	if p.Taker != nil && err != nil {
		return settled(err)
	}
	if s := new(stop); errors.As(err, &s) {
		return s.Outcome, nil
	}
	if errors.Is(err, errStale) { // no read answers 409 by its documentation
		return flow.Outcome{Result: flow.Retry, Cause: issue.New(issue.Conflict, "poll", "e-RS answered 409 to a read").Because(err)}, nil
	}
	return o, err
}

func (p *Poller) poll(ctx context.Context, d flow.Delivery, save func(flow.Step) error, c Cursor) (flow.Outcome, error) {
	n, err := p.news(ctx, c)
	if err != nil {
		return flow.Outcome{}, err
	}
	o := flow.Outcome{Result: flow.Again, After: cmp.Or(p.Every, 5*time.Minute)}
	if n.status == "BOOKED" {
		o.After = max(o.After, quietly)
	}
	if n.digest() != c.Seen && !n.idle(c) {
		raw, err := n.bundle(p.Name)
		if err != nil {
			return flow.Outcome{}, stopped(flow.Refused, issue.New(issue.Internal, "poll", "the answer cannot be written as FHIR R4").Because(err))
		}
		o.Replies = []flow.Received{{Source: p.Name, At: p.now(), Format: flow.FHIRR4, Raw: raw, RequestID: n.id()}}
		o.Facts = map[string]string{FactUBRN: n.ubrn, FactID: n.requestID, FactVersion: n.version, FactStatus: n.status}
	}
	soon := time.Duration(0)
	if p.Taker != nil && !n.unchanged {
		f := &fetch{Files: &p.Taker.Files, journal: &journal{steps: d.Steps, save: save, now: p.now}, ctx: ctx, owner: d.ID.String(), tries: d.Attempt}
		if soon, err = p.Taker.added(f, n.taken, &c); err != nil {
			return flow.Outcome{}, err
		}
	}
	if final(n.status) {
		o.Result, o.After = flow.Delivered, 0
		if p.Taker != nil && n.status == "ADVICE_CONVERTED" {
			err = p.Taker.follow(ctx, n.taken)
		}
		return o, err
	}
	if !n.unchanged {
		c.Version, c.Status, c.Seen = n.version, n.status, n.digest()
	}
	if soon > 0 { // it is looked at again as if it were another version
		c.Version, o.After = "", soon
	}
	note, err := json.Marshal(c)
	o.Note = string(note)
	return o, err
}

// final tells the states that e-RS leaves no more.
func final(status string) bool {
	switch status {
	case "CONVERSATION_ENDED_CANCELLED", "CONVERSATION_ENDED_CLOSED", "ADVICE_CONVERTED", "CANCELLED_REFERRAL":
		return true
	}
	return false
}

// news is what e-RS shows of a request, as far as the requester should know.
type news struct {
	kind, ubrn, requestID, request string
	version, status                string
	patient, priority              string
	outcome                        string // eRS-GuidanceResponseOutcome-1 or eRS-ReviewOutcome-1
	texts                          []text
	unchanged                      bool // same version and status as last time: the texts were not read again
	taken                          taken
}

// text is something the provider wrote.
type text struct {
	words, sent string
	files       []attachment
}

// news reads the request; the conversation only when its version is another one than last time.
func (p *Poller) news(ctx context.Context, c Cursor) (news, error) {
	var r ersRequest
	path, name := "/STU3/ReferralRequest/", "A005"
	if c.Kind == kindAdvice {
		path, name = "/STU3/CommunicationRequest/", "A024"
	}
	if err := p.read(ctx, name, path+c.UBRN, &r); err != nil {
		return news{}, err
	}
	t := taken{kind: c.Kind, request: r}
	if r.state() == "" || r.Meta.VersionID == "" {
		return news{}, stopped(flow.Retry, issue.New(issue.Structure, name, "the answer has no state or version"))
	}
	unchanged := c.Kind == kindAdvice && r.Meta.VersionID == c.Version && r.state() == c.Status
	if c.Kind == kindAdvice && !unchanged {
		var err error
		if t.talk, err = p.conversation(ctx, c.UBRN, r.Meta.VersionID); err != nil {
			return news{}, err
		}
	}
	n, err := newsOf(t)
	n.ubrn, n.request, n.unchanged = c.UBRN, c.Request, unchanged
	return n, err
}

// newsOf gives what a request that was read shows.
func newsOf(t taken) (news, error) {
	r := t.request
	n := news{kind: t.kind, ubrn: r.ID, requestID: r.requestID(), version: r.Meta.VersionID, status: r.state(),
		patient: r.patient(), priority: r.priority(), outcome: r.reason(), taken: t}
	if t.kind == kindReferral {
		if r.comments() != "" {
			n.texts = []text{{words: r.comments()}}
		}
		return n, nil
	}
	n.outcome = guidanceOutcome(n.status)
	var err error
	if n.texts, err = t.talk.answers(); err != nil {
		return news{}, stopped(flow.Retry, issue.New(issue.Structure, "A025", "the conversation cannot be read").Because(err))
	}
	return n, nil
}

// guidanceOutcome gives the A026 outcome that put an A&G request into its status. The recommendation that
// goes with it is not shown to referrers by any call.
func guidanceOutcome(status string) string {
	switch status {
	case "REFERRER_TO_REVIEW_RESPONSE":
		return "RETURN_TO_REFERRER_WITH_ADVICE"
	case "REFERRER_TO_SUBMIT_FURTHER_INFORMATION":
		return "REQUIRE_FURTHER_INFORMATION"
	case "ADVICE_CONVERTED":
		return "PROVIDER_CONVERTED"
	}
	return ""
}

// answers gives what the provider wrote since the requester last did, oldest first.
func (set conversation) answers() ([]text, error) {
	talk, files, err := set.sort()
	if err != nil {
		return nil, err
	}
	var out []text
	for _, c := range talk {
		if c.by() != "RESPONDER" {
			out = nil
			continue
		}
		t := text{sent: c.Sent}
		for _, note := range c.Note {
			t.words = strings.TrimPrefix(t.words+"\n\n"+note.Text, "\n\n")
		}
		for _, pl := range c.Payload {
			if f, ok := files[pl.ContentReference.Reference]; ok {
				t.files = append(t.files, f)
			}
		}
		out = append(out, t)
	}
	return out, nil
}

// sort gives the messages by time and the files by reference. A message that cannot be read is an error:
// left out, the answer would be shortened.
func (set conversation) sort() ([]communication, map[string]attachment, error) {
	var talk []communication
	files := map[string]attachment{}
	for _, e := range set.Entry {
		kind, err := typeOf(e.Resource)
		switch kind {
		case "Communication":
			var c communication
			err = json.Unmarshal(e.Resource, &c)
			talk = append(talk, c)
		case "DocumentReference":
			var d documentReference
			if err = json.Unmarshal(e.Resource, &d); len(d.Content) > 0 {
				files["DocumentReference/"+d.ID] = d.Content[0].Attachment
			}
		}
		if err != nil {
			return nil, nil, err
		}
	}
	slices.SortStableFunc(talk, func(a, b communication) int {
		return cmp.Or(a.time().Compare(b.time()), cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID)) // ids are numbers
	})
	return talk, files, nil
}

func (c communication) time() time.Time {
	t, err := time.Parse(time.RFC3339, c.Sent)
	if err != nil {
		return time.Time{}
	}
	return t
}

// by gives who wrote a message: REQUESTER or RESPONDER.
func (c communication) by() string {
	for _, x := range c.Category {
		if s := x.code("eRS-CommunicationSentBy-1"); s != "" {
			return s
		}
	}
	return ""
}

// patient gives the NHS number.
func (r ersRequest) patient() string {
	if r.Subject.Identifier == nil {
		return ""
	}
	return r.Subject.Identifier.Value
}

// idle tells that nothing has happened yet since the request was sent.
func (n news) idle(c Cursor) bool {
	if n.unchanged {
		return true
	}
	switch n.status {
	case "PROVIDER_RESPONSE_REQUIRED", "NOT_BOOKED", "AWAITING_TRIAGE":
		return c.Seen == "" && len(n.texts) == 0
	}
	return false
}

// digest tells what is news from what was told.
func (n news) digest() string {
	h := sha256.New()
	for _, s := range []string{n.status, n.outcome, n.priority} {
		h.Write([]byte(s + "\x00"))
	}
	for _, t := range n.texts {
		h.Write([]byte(t.words + "\x00"))
		for _, f := range t.files {
			h.Write([]byte(f.URL + "\x00"))
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// id names the answer: one a version. Advice and the referral made of it share a UBRN.
func (n news) id() string { return "ers:" + n.ubrn + ":" + n.kind + ":" + n.version }

func (p *Poller) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}
