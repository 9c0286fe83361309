package ers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Taker takes requests that were found on a worklist: it reads each (A005; A024 and A025), brings its files over, and
// hands it in as a canonical R4 message. A delivery is one request, once. What was brought before a crash is not asked for
// again, and what was handed in before one is known by its case. Then the request is watched (Poller).
type Taker struct {
	Files
	Name         string // of the source
	Organisation string // ODS code of the provider
	To           string // its own destination
	Poll         string // destination that watches
	Every        time.Duration
	Reference    *Reference
	Zone         *time.Location // of working days; nil: UTC
	Cases        interface {
		Find(ctx context.Context, r flow.Ref) ([]flow.ID, error)
		Case(ctx context.Context, id flow.ID) (flow.CaseRecord, error)
	}
	Queue  flow.Queue // its Put
	Accept flow.Accept
	Lift   flow.Lift        // nil: messages are read into memory
	Now    func() time.Time // nil: time.Now
}

// toTake is the note of a delivery.
type toTake struct {
	Kind    string `json:"kind"` // "advice" or "referral"
	UBRN    string `json:"ubrn"`
	Service string `json:"service"`
	Name    string `json:"name,omitempty"` // of the service
	// Converted: it was advice, and may have gone to another provider.
	Converted bool `json:"converted,omitempty"`
}

// delivery makes the one of a request: its id is derived from the request's number, so that it is put once.
func (t toTake) delivery(source, to, priority string, now time.Time) (flow.Delivery, error) {
	note, err := json.Marshal(t)
	id := flow.NewID(flow.PartitionOf("ers-found", source, t.UBRN), "ers-found", source, t.Kind, t.UBRN)
	return flow.Delivery{ID: id, To: to, Lane: id.String(), Class: classOf(priority), Key: id.String(), What: "found", Note: string(note),
		State: flow.Waiting, Due: now, Created: now}, err
}

// classOf gives the class of a lane: what nobody gave a priority is not made to wait.
func classOf(priority string) int {
	if priority == "TWO_WEEK_WAIT" || priority == "" {
		return flow.ClassUrgent
	}
	return flow.ClassRoutine
}

// mostRelated is how many further referrals of a pathway are read for their files.
const mostRelated = 10

// Deliver takes one request. Its error is that of a step or a delivery that could not be kept.
func (k *Taker) Deliver(ctx context.Context, d flow.Delivery, save func(flow.Step) error) (flow.Outcome, error) {
	var what toTake
	if err := json.Unmarshal([]byte(d.Note), &what); err != nil || !isUBRN(what.UBRN) || what.Kind != kindAdvice && what.Kind != kindReferral {
		return flow.Outcome{Result: flow.Refused, Cause: issue.New(issue.Internal, "found", "the note is unreadable").Because(err)}, nil
	}
	f := &fetch{Files: &k.Files, journal: &journal{steps: d.Steps, save: save, now: k.now}, ctx: ctx, owner: d.ID.String(), tries: d.Attempt}
	return settled(k.take(f, what))
}

// settled makes an outcome of how taking or watching ended.
func settled(err error) (flow.Outcome, error) {
	switch s := new(stop); {
	case err == nil:
		return flow.Outcome{Result: flow.Delivered}, nil
	case errors.As(err, &s):
		if s.Result == flow.Held { // nobody releases what nobody here has asked for: a token comes again or does not
			s.Result = flow.Retry
		}
		return s.Outcome, nil
	case errors.Is(err, errStale): // no read answers 409 by its documentation
		return flow.Outcome{Result: flow.Retry, Cause: issue.New(issue.Conflict, "found", "e-RS answered 409 to a read").Because(err)}, nil
	}
	return flow.Outcome{}, err
}

func (k *Taker) take(f *fetch, what toTake) error {
	if c, ok, err := k.known(f.ctx, what); err != nil || ok {
		if err != nil || c.Request.Source != k.Name {
			return err // one that the gateway sent itself is watched already
		}
		return k.watch(f.ctx, c, Cursor{Kind: what.Kind, UBRN: what.UBRN, Files: f.came()}, 0)
	}
	t, err := k.readRequest(f, what)
	if s := new(stop); what.Converted && errors.As(err, &s) && s.Result == flow.Refused {
		return nil // another provider's
	}
	if err != nil {
		return err
	}
	f.urgent = t.request.priority() == "TWO_WEEK_WAIT"
	if t.files, err = k.bring(f, t); err != nil {
		return err
	}
	receipt, err := k.handIn(f, t)
	if err != nil {
		return err
	}
	record, err := k.Cases.Case(f.ctx, receipt.Case)
	if err != nil {
		return fmt.Errorf("found: %w", err)
	}
	c, err := caseOf(record)
	if err != nil {
		return err
	}
	after := time.Duration(0)
	if waiting(t.files) {
		after = k.pause()
	}
	n, err := newsOf(t)
	if err != nil {
		return err
	}
	at := Cursor{Kind: what.Kind, UBRN: what.UBRN, Version: n.version, Status: n.status, Seen: k.seen(n), Files: known(t.files), Info: t.written()}
	if waiting(t.files) {
		at.Version = ""
	}
	return k.watch(f.ctx, c, at, after)
}

// seen gives the digest of what the case knows: nothing, where the request is past what a case begins with.
func (k *Taker) seen(n news) string {
	switch n.status {
	case "AWAITING_TRIAGE", "DEFERRED_TO_PROVIDER", "PROVIDER_RESPONSE_REQUIRED":
		return n.digest()
	}
	if n.outcome == converted {
		return n.digest()
	}
	return ""
}

// converted is why a referral waits for its provider that was advice before (eRS-ReviewOutcome-1).
const converted = "PROVIDER_CONVERTED_ADVICE_AND_GUIDANCE_ADMIN_TO_REFER"

// known gives the case of a request that is here already.
func (k *Taker) known(ctx context.Context, what toTake) (foundCase, bool, error) {
	ids, err := k.Cases.Find(ctx, flow.Ref{System: fhir.SystemUBRN, Value: what.UBRN})
	if err != nil {
		return foundCase{}, false, fmt.Errorf("found: %w", err)
	}
	for _, id := range ids {
		record, err := k.Cases.Case(ctx, id)
		if errors.Is(err, flow.ErrNotFound) {
			continue
		}
		if err != nil {
			return foundCase{}, false, fmt.Errorf("found: %w", err)
		}
		if record.Index.Kind == what.Kind {
			c, err := caseOf(record)
			return c, true, err
		}
	}
	return foundCase{}, false, nil
}

// foundCase is what the watch needs of a case.
type foundCase struct {
	ID      flow.ID `json:"-"`
	Urgency string  `json:"urgency"`
	Request struct {
		Source string `json:"source"`
	} `json:"request"`
}

func caseOf(r flow.CaseRecord) (foundCase, error) {
	c := foundCase{ID: r.ID}
	return c, json.Unmarshal(r.State, &c)
}

// readRequest reads the request; of advice the conversation with it.
func (k *Taker) readRequest(f *fetch, what toTake) (taken, error) {
	t := taken{kind: what.Kind, service: what.Service, serviceName: what.Name, organisation: k.Organisation}
	name, path := "A005", "/STU3/ReferralRequest/"
	if what.Kind == kindAdvice {
		name, path = "A024", "/STU3/CommunicationRequest/"
	}
	if err := k.read(f.ctx, name, path+what.UBRN, &t.request); err != nil {
		return t, err
	}
	r := t.request
	if r.ID != what.UBRN || r.Meta.VersionID == "" || r.state() == "" || r.priority() == "" {
		return t, foreign(name)
	}
	if what.Kind == kindAdvice {
		var err error
		t.talk, err = k.conversation(f.ctx, r.ID, r.Meta.VersionID)
		if err != nil {
			return t, err
		}
		if _, _, err = t.talk.sort(); err != nil {
			return t, garbled("A025", err)
		}
	}
	k.described(f.ctx, &t)
	return t, nil
}

// described adds what reference data says: the specialty's name, and by when the request is to be reviewed.
func (k *Taker) described(ctx context.Context, t *taken) {
	t.specialty = t.request.specialty()
	if t.specialty.Display == "" && t.specialty.Code != "" && k.Reference != nil {
		codes, _ := k.Reference.system(ctx, specialties) // a name is a convenience
		t.specialty.Display = codes[t.specialty.Code].display
	}
	var a appointment
	if t.kind == kindReferral && k.Reference != nil && t.request.contained("Appointment", &a) {
		sent, _ := time.Parse(time.RFC3339, a.Created)
		t.due = k.Reference.reviewBy(ctx, t.request.priority(), t.request.state(), sent, cmp.Or(k.Zone, time.UTC))
	}
}

// specialty gives the code that the service was searched by, or that of the appointment.
func (r ersRequest) specialty() coding {
	if x := r.extension("Extension-eRS-Specialty-1").Coding; x != nil {
		return *x
	}
	if r.Specialty != nil && len(r.Specialty.Coding) > 0 {
		return r.Specialty.Coding[0]
	}
	for _, raw := range r.Contained {
		var p parameters
		if json.Unmarshal(raw, &p) != nil || p.ResourceType != "Parameters" {
			continue
		}
		for _, x := range p.Parameter {
			if x.Name == "specialty" && x.Coding != nil {
				return *x.Coding
			}
		}
	}
	return coding{}
}

// conversation reads what was written about an advice request (A025), its files included.
func (c *Client) conversation(ctx context.Context, ubrn, version string) (conversation, error) {
	q := url.Values{"based-on": {"CommunicationRequest/" + ubrn + "/_history/" + version},
		"_include": {"Communication:content-reference:DocumentReference"}}
	var set conversation
	err := c.read(ctx, "A025", "/STU3/Communication?"+q.Encode(), &set)
	if s := new(stop); errors.As(err, &s) && s.Cause.Kind == issue.NotFound {
		// Only the latest version can be read: it has changed since A024.
		err = stopped(flow.Retry, issue.New(issue.Conflict, "A025", "the request changed while it was read"))
	}
	return set, err
}

// shown gives the attachments that a request and its conversation show.
func (t taken) shown() ([]listed, error) {
	all, err := attachmentsOf(t.request.Contained)
	if err != nil {
		return nil, err
	}
	var resources []json.RawMessage
	for _, e := range t.talk.Entry {
		resources = append(resources, e.Resource)
	}
	more, err := attachmentsOf(resources)
	if err != nil {
		return nil, err
	}
	for _, m := range more {
		if !slices.ContainsFunc(all, func(have listed) bool { return have.ID == m.ID }) {
			all = append(all, m)
		}
	}
	return all, nil
}

// bring brings all files of a request: the PDF first, then its attachments, then those of further referrals of the same
// pathway ("it is important that all clinical information is obtained from across all the related UBRNs").
func (k *Taker) bring(f *fetch, t taken) ([]brought, error) {
	first, err := f.summary(t.kind, t.request.ID, t.request.Meta.VersionID)
	if err != nil {
		return nil, err
	}
	out := []brought{first}
	if out, err = f.all(out, t, nil); err != nil {
		return nil, err
	}
	for i, ubrn := range t.request.related() {
		if i == mostRelated {
			return append(out, brought{id: "related", why: fmt.Sprintf("only %d of %d related referrals were read", mostRelated, len(t.request.related()))}), nil
		}
		if out, err = k.bringRelated(f, out, ubrn, i+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// all brings the attachments that are not known yet.
func (f *fetch) all(out []brought, t taken, but []string) ([]brought, error) {
	shown, err := t.shown()
	if err != nil {
		return nil, garbled("A005", err)
	}
	for i, a := range shown {
		if slices.Contains(but, a.ID) || slices.ContainsFunc(out, func(b brought) bool { return b.id == a.ID }) {
			continue
		}
		b, err := f.file(a, i+1, len(shown))
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// bringRelated brings what another referral of the pathway holds, as far as e-RS lets this provider see it.
func (k *Taker) bringRelated(f *fetch, out []brought, ubrn string, n int) ([]brought, error) {
	r, err := k.referral(f.ctx, ubrn)
	if s := new(stop); errors.As(err, &s) && s.Result == flow.Refused {
		return append(out, brought{id: "related:" + ubrn, why: fmt.Sprintf("related referral %d is not shown to this provider: %s", n, s.Cause.Text)}), nil
	}
	if err != nil {
		return nil, err
	}
	b, err := f.summary(kindReferral, ubrn, r.Meta.VersionID)
	if err != nil {
		return nil, err
	}
	b.description += ", of an earlier referral of the pathway"
	return f.all(append(out, b), taken{kind: kindReferral, request: r}, nil)
}

// came gives the attachments that the delivery has brought.
func (f *fetch) came() (out []string) {
	for _, s := range f.steps {
		if strings.HasPrefix(s.Name, "Binary/") {
			out = append(out, s.Name)
		}
	}
	return out
}

// handIn writes the message and has it accepted. One that is refused was not taken: a person looks at it.
func (k *Taker) handIn(f *fetch, t taken) (flow.Receipt, error) {
	received := flow.Received{Source: k.Name, At: k.now(), Format: flow.FHIRR4, RequestID: t.id()}
	defer received.Discard()
	b, err := t.bundle(k.Name, func(ref flow.BodyRef) (io.ReadCloser, error) { return k.Open(f.ctx, ref) })
	if err != nil {
		return flow.Receipt{}, stopped(flow.Refused, issue.New(issue.Internal, "found", "the request cannot be written as FHIR R4").Because(err))
	}
	r, w := io.Pipe()
	defer r.Close()
	go func() { w.CloseWithError(fhir.WriteJSON(w, b.Root)) }()
	if err := received.Read(f.ctx, k.Lift, r); err != nil {
		return flow.Receipt{}, ourTrouble("the request cannot be kept", err)
	}
	receipt, err := k.Accept(f.ctx, received)
	switch {
	case err != nil:
		return receipt, ourTrouble("the request cannot be taken in", err)
	case receipt.Refused:
		return receipt, stopped(flow.Refused, issue.New(receipt.Kind, "found", "the gateway refuses what was found: message "+receipt.Message.String()+" tells why"))
	}
	return receipt, nil
}

// watch puts the delivery that looks for news of a case into the store, unless it is there.
func (k *Taker) watch(ctx context.Context, c foundCase, at Cursor, after time.Duration) error {
	note, err := json.Marshal(at)
	if err != nil {
		return err
	}
	id, now := flow.NewID(c.ID.Partition(), c.ID.String(), "poll", k.Name), k.now()
	if at.Seen == "" {
		after = time.Second // what it is past is to be told
	}
	_, err = k.Queue.Put(ctx, flow.Change{Deliveries: []flow.Delivery{{ID: id, Case: c.ID, To: k.Poll, Lane: c.ID.String(), Class: classOf(c.Urgency),
		Key: id.String(), What: "poll", Note: string(note), State: flow.Waiting, Due: now.Add(cmp.Or(after, k.Every, time.Hour)), Created: now}}})
	if err != nil {
		return fmt.Errorf("found: %w", err)
	}
	return nil
}

func (k *Taker) now() time.Time {
	if k.Now != nil {
		return k.Now()
	}
	return time.Now()
}

// follow has the referral taken that advice was converted to: it has the same UBRN, and is on no worklist.
func (k *Taker) follow(ctx context.Context, t taken) error {
	what := toTake{Kind: kindReferral, UBRN: t.request.ID, Converted: true}
	if len(t.request.Recipient) > 0 {
		what.Service = find(t.request.Recipient[0].Extension, definition+"Extension-HealthcareService-Reference-1").Reference.value()
	}
	d, err := what.delivery(k.Name, k.To, t.request.priority(), k.now())
	if err == nil {
		_, err = k.Queue.Put(ctx, flow.Change{Deliveries: []flow.Delivery{d}})
	}
	return err
}

// added hands in what the referrer of a found request has added since: files, and what e-RS makes a new PDF of. It tells
// whether a file may come yet.
func (k *Taker) added(f *fetch, t taken, c *Cursor) (waits bool, err error) {
	t.addition = true
	f.urgent = t.request.priority() == "TWO_WEEK_WAIT"
	if info := t.written(); info != c.Info {
		b, err := f.summary(t.kind, t.request.ID, t.request.Meta.VersionID)
		if err != nil {
			return false, err
		}
		t.files = append(t.files, b)
		c.Info = info
	}
	if t.files, err = f.all(t.files, t, c.Files); err != nil {
		return false, err
	}
	waits = waiting(t.files)
	t.files = slices.DeleteFunc(t.files, func(b brought) bool { return b.waits })
	if len(t.files) > 0 {
		_, err = k.handIn(f, t)
		c.Files = append(c.Files, known(t.files)...)
	}
	return waits, err
}

// written gives when the referrer last wrote.
func (t taken) written() string {
	if t.kind == kindReferral {
		return t.request.extension("Extension-eRS-ClinicalInfoLastUpdated-1").DateTime
	}
	last := ""
	talk, _, _ := t.talk.sort()
	for _, c := range talk {
		if c.by() != "RESPONDER" {
			last = c.Sent
		}
	}
	return last
}
