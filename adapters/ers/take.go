package ers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
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
	Calendar     pathway.Calendar // of working days
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
	n, err := newsOf(t)
	if err != nil {
		return err
	}
	at := Cursor{Kind: what.Kind, UBRN: what.UBRN, Version: n.version, Status: n.status, Seen: k.seen(n), Files: known(t.files), Info: t.written()}
	if waiting(t.files) {
		at.Version = ""
	}
	return k.watch(f.ctx, c, at, k.again(t.files))
}

// seen gives the digest of what the case knows: nothing, where the request is past what a case begins with.
func (k *Taker) seen(n news) string {
	switch n.status {
	case "AWAITING_TRIAGE", "DEFERRED_TO_PROVIDER", "PROVIDER_RESPONSE_REQUIRED":
		return n.digest()
	}
	if n.outcome == flow.ConvertedByProvider {
		return n.digest()
	}
	return ""
}

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

func (k *Taker) now() time.Time {
	if k.Now != nil {
		return k.Now()
	}
	return time.Now()
}
