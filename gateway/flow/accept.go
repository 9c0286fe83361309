package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Accept takes a message in: translate, check, decide, keep; only then is there an answer. It is the
// Accept of every source.
func (p *Pipeline) Accept(ctx context.Context, r Received) (Receipt, error) {
	rules, ok := p.Sources[r.Source]
	if !ok {
		return Receipt{}, fmt.Errorf("accept: unknown source %q", r.Source)
	}
	if r.At.IsZero() {
		r.At = p.Now()
	}
	if r.Format == HL7v2 && hl7.Several(r.Raw, rules.Charset) {
		return p.acceptBatch(ctx, r, rules)
	}
	return p.acceptOne(ctx, r, rules)
}

// acceptOne takes one message in.
func (p *Pipeline) acceptOne(ctx context.Context, r Received, rules SourceRules) (Receipt, error) {
	t := p.Translate(ctx, r, rules)
	if t.unread != nil {
		return Receipt{}, fmt.Errorf("accept: %w: %w", ErrUnavailable, t.unread)
	}
	if !t.plain() {
		if first, err := p.first(ctx, t); !errors.Is(err, ErrNotFound) {
			return p.again(ctx, t, first, err)
		}
	}
	change, err := p.judge(ctx, &t, rules)
	var trouble *issue.Issue
	switch {
	case errors.As(err, &trouble) && trouble.Kind != issue.Unavailable:
		if !slices.Contains(t.Issues, trouble) {
			t.Issues = append(t.Issues, trouble)
		}
		if first, err := p.first(ctx, t); !errors.Is(err, ErrNotFound) {
			return p.again(ctx, t, first, err)
		}
		return p.refuse(ctx, t)
	case err != nil:
		return Receipt{}, err
	}
	receipt, err := p.Store.Put(ctx, change)
	if errors.Is(err, ErrConflict) {
		return p.again(ctx, t, Receipt{}, err)
	}
	if err != nil {
		return Receipt{}, fmt.Errorf("accept: %w", err)
	}
	if !receipt.Repeat {
		p.wake(change)
	}
	return receipt, nil
}

// judge makes the change a message asks for; an issue is why it is refused.
func (p *Pipeline) judge(ctx context.Context, t *Translated, rules SourceRules) (Change, error) {
	p.check(t, rules)
	if worst := t.Issues.Worst(); worst != nil {
		return Change{}, worst
	}
	return p.decide(ctx, t, rules)
}

// plain tells a small request without files: to decide on it reads and writes nothing. Whether it is a repeat is then
// found when it is put, which saves most messages a round trip to the store; all others are looked up first.
func (t *Translated) plain() bool {
	return t.Facts.Event == Requested && len(t.Files) == 0 && len(t.Lifted) == 0 && len(t.Raw) <= inlineMax
}

// first looks a message up: an accepted one gives its first answer again whatever became of the maps or the rules
// since (Rule 2).
func (p *Pipeline) first(ctx context.Context, t Translated) (Receipt, error) {
	if t.Idem.Key == "" {
		return Receipt{}, ErrNotFound
	}
	return p.Store.Receipt(ctx, t.Idem)
}

// again answers a repeat with the first receipt, and the same control id with other bytes with a refusal.
func (p *Pipeline) again(ctx context.Context, t Translated, first Receipt, err error) (Receipt, error) {
	if err == nil {
		first.Repeat = true
		return first, nil
	}
	if !errors.Is(err, ErrConflict) {
		return Receipt{}, fmt.Errorf("accept: %w", err)
	}
	p.alarm("same-id-other-bytes", "source "+t.Source+": a control id came again with other bytes")
	where := "MSH-10"
	if t.Format != HL7v2 {
		where = "Bundle.identifier"
	}
	t.Issues = issue.List{issue.New(issue.Conflict, where, "this control id was accepted before with other content")}
	return p.refuse(ctx, t)
}

// refuse records a refusal, which takes no idempotency slot: the corrected message is judged afresh.
func (p *Pipeline) refuse(ctx context.Context, t Translated) (Receipt, error) {
	body, mediaType, err := answer(t, t.At)
	if err != nil {
		return Receipt{}, fmt.Errorf("refuse: %w", err)
	}
	id := NewID(t.Idem.Partition(), "refused", t.Idem.Key, t.digest(), t.At.UTC().Format(time.RFC3339Nano))
	m, err := p.message(ctx, t, id)
	if err != nil {
		return Receipt{}, err
	}
	m.Receipt = Receipt{Message: id, Answer: body, Type: mediaType, Refused: true, Kind: t.Issues.Worst().Kind}
	if err := p.Store.Refuse(ctx, m); err != nil {
		return Receipt{}, fmt.Errorf("refuse: %w", err)
	}
	return m.Receipt, nil
}

// message makes the record of a message; large bytes go to the blob store first.
func (p *Pipeline) message(ctx context.Context, t Translated, id ID) (Message, error) {
	facts, err := json.Marshal(t.Facts)
	if err != nil {
		return Message{}, err
	}
	mediaType := "application/fhir+json"
	if t.Format == HL7v2 {
		mediaType = "application/hl7-v2"
	}
	if err := p.keepParts(ctx, id, t.Lifted); err != nil {
		return Message{}, err
	}
	raw, err := p.body(ctx, id, t.Raw, mediaType)
	if err != nil {
		return Message{}, err
	}
	m := Message{ID: id, Source: t.Source, Subject: t.Subject, At: t.At, Format: t.Format, RequestID: t.RequestID, Raw: raw,
		Lifted: t.Lifted, Whole: t.Whole, Facts: facts, Issues: t.Issues, Maps: t.Maps, Loss: t.Loss, Idem: t.Idem}
	if len(m.Lifted) > 0 && m.Whole == nil { // of a batch, which was hashed as one
		m.Whole, err = p.whole(ctx, m)
	}
	return m, err
}

// check applies the rules of the source: each finding is an error, a warning or nothing by its check. An
// issue of the translation keeps its severity unless a check of the source says that it may pass.
func (p *Pipeline) check(t *Translated, rules SourceRules) {
	for _, i := range t.Issues {
		if wrongNumber(i) && t.Facts.NHSNumber == "" && !soft(rules.Checks.NHSNumber) {
			i.Severity = issue.Error // a request is about nobody known, an answer might be about another patient
		}
		if i.Severity != issue.Error {
			continue
		}
		switch {
		case (t.Facts.Urgency == pathway.TwoWeekWait && t.Facts.Event == Requested || rules.Found) && about(i, "OBX", "Media", "DocumentReference"):
			t.spare(i)
		case about(i, "PID-3", "Patient.identifier") && soft(rules.Checks.NHSNumber),
			about(i, "OBX", "Media", "DocumentReference") && soft(rules.Checks.Photo):
			i.Severity = issue.Warning
		}
	}
	if t.HL7 != nil { // as the site says: no check above may pass what it has refused
		t.Issues = append(t.Issues, t.HL7.Validate(&rules.Validate)...)
	}
	if rules.Checks.Unmapped == Warn && t.Issues.Worst() == nil {
		t.Issues = append(t.Issues, t.Loss.warnings()...)
	}
	if t.Bundle == nil || t.Issues.Worst() != nil || t.Facts.Event != Requested {
		return
	}
	if t.Facts.NHSNumber == "" {
		t.found(rules.Checks.NHSNumber, issue.Required, place(t.Format, "PID-3", "Patient.identifier"), noNumber)
	}
	if rules.Attachments > 0 && len(t.Files) > rules.Attachments {
		t.found(Require, issue.TooLong, place(t.Format, "OBX", "Bundle.entry"), "more attachments than this source may send")
	}
	if !rules.Requests {
		t.found(Require, issue.Denied, place(t.Format, "MSH-9", "MessageHeader.eventCoding"), "this source may not open requests")
	}
}

// spare lets a suspected cancer go although a file of it is no good: only the file stays.
func (t *Translated) spare(i *issue.Issue) {
	i.Severity = issue.Warning
	if t.unusable == nil {
		t.unusable = map[string]bool{}
	}
	t.unusable[i.Where] = true
}

const noNumber = "no NHS number with a valid check digit"

// wrongNumber tells the map's warning of a patient's number that says it is an NHS number and is none.
func wrongNumber(i *issue.Issue) bool {
	return i.Severity == issue.Warning && i.Kind == issue.Value && (strings.HasPrefix(i.Where, "PID-3[") || strings.HasPrefix(i.Where, "MRG-1["))
}

func soft(c Check) bool { return c == Warn || c == Off || c == Hold }

func about(i *issue.Issue, places ...string) bool {
	for _, p := range places {
		if strings.HasPrefix(i.Where, p) || strings.Contains(i.Where, "resource."+p) {
			return true
		}
	}
	return false
}

func place(f Format, v2, r4 string) string {
	if f == HL7v2 {
		return v2
	}
	return r4
}

// found adds a finding by its check. Hold is a warning here: who holds says so.
func (t *Translated) found(c Check, k issue.Kind, where, text string) {
	switch c {
	case Off:
	case Require, "":
		t.Issues = append(t.Issues, issue.New(k, where, text))
	default:
		t.Issues = append(t.Issues, issue.Warn(k, where, text))
	}
}

// decide makes the change a message asks for: a new case, or a follow-up to be worked into its own.
func (p *Pipeline) decide(ctx context.Context, t *Translated, rules SourceRules) (Change, error) {
	if t.Facts.Event == Requested {
		return p.open(ctx, t, rules)
	}
	if t.Facts.Event == Merged || t.Facts.Event == Updated {
		return p.ofRecord(ctx, t)
	}
	return p.followUp(ctx, t)
}

// wake pokes who has something to do now: a clock that is wound for weeks is nobody's work yet.
func (p *Pipeline) wake(c Change) {
	for _, d := range c.Deliveries {
		if d.Delay() == 0 {
			p.poke(d.To)
		}
	}
}

func (p *Pipeline) alarm(name, text string) {
	if p.Alarm != nil {
		p.Alarm(name, text)
	}
}
