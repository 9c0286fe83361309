package flow

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Translated is a message understood: its facts, its canonical Bundle, its files, and what was wrong.
type Translated struct {
	Received
	Facts  Facts
	Bundle *fhir.Bundle // nil for an acknowledgement, a Notify callback and for what could not be read
	Files  []mapping.File
	Issues issue.List
	Maps   string // digest of the map set in force, which read it; empty for a callback
	Loss   Loss
	HL7    *hl7.Message // for the acknowledgement; nil for FHIR and for what is no HL7
	Idem   Idem

	set      *mapping.Set
	profile  issue.List // what keeps resources from their UK Core profile
	entries  []string   // of a Bundle that came: where each resource can be read
	payloads map[string]mapping.Payload
	unread   error           // a payload in the blob store could not be read: nothing is known of the message
	envelope *hl7.Batch      // of a batch refused without any message in it
	unusable map[string]bool // places of files that may not travel, of a suspected cancer that must
	enhanced bool            // answered as MSH-15 and 16 ask
}

// Translate reads a message by the rules of its source. It is pure but for the payloads that were lifted out
// of it: no clock, no store. What could not be
// read at all has an error issue and no Bundle.
func (p *Pipeline) Translate(ctx context.Context, r Received, rules SourceRules) Translated {
	return p.translate(ctx, p.Maps(), r, rules)
}

// translate is Translate with the maps of a decision under way, which today's may have overtaken.
func (p *Pipeline) translate(ctx context.Context, set *mapping.Set, r Received, rules SourceRules) Translated {
	t := Translated{Received: r, set: set, payloads: p.payloads(ctx, r.Lifted)}
	if r.Format != Notify && r.Format != MESH {
		t.Maps = set.Digest()
	}
	switch r.Format {
	case HL7v2:
		p.translateHL7(&t, rules)
	case FHIRR4:
		p.translateFHIR(&t, rules)
	case Notify:
		translateNotify(&t)
	case MESH:
		translateMESH(&t)
	default:
		t.Issues = append(t.Issues, issue.New(issue.UnsupportedType, "", "unknown message format"))
	}
	if i := stray(t.Bundle, t.Lifted); i != nil {
		t.Issues = append(t.Issues, i)
	}
	t.Facts.Source = r.Source
	if t.Facts.Organisation == "" {
		t.Facts.Organisation = rules.Organisation
	}
	return t
}

func (p *Pipeline) translateHL7(t *Translated, rules SourceRules) {
	if !t.identify(rules) {
		return
	}
	m := t.HL7
	t.Issues = append(t.Issues, m.Check()...)
	t.Issues = append(t.Issues, mayCome(m, rules)...)
	if t.enhanced {
		t.Issues = append(t.Issues, m.Asked().Check()...)
	}
	if t.Issues.Worst() != nil {
		return
	}
	if isAck(m) {
		translateAck(t, m)
		return
	}
	res, err := t.set.ToFHIR(m, mapping.Options{Source: t.Source, Sender: rules.Overlay, Charset: rules.Charset, Zone: p.Site.Zone,
		Kind: rules.Kind, Urgency: rules.Urgency, Limits: rules.Limits, Payloads: t.payloads, SHA256: t.digest(), Profile: true, Enforce: true})
	if unread := (*image.ReadError)(nil); errors.As(err, &unread) {
		t.unread = err
		return
	}
	if err != nil {
		t.Issues = append(t.Issues, issue.From(err))
		return
	}
	merges, updates := mergesRecords(res.Bundle), updatesRecord(res.Bundle)
	if !merges && !updates && !aboutCase(res.Bundle) {
		if lacksOrder(res.Issues) {
			t.Issues = append(t.Issues, res.Issues...)
			return
		}
		t.Issues = issue.List{issue.New(issue.UnsupportedType, "MSH-9.1", "neither a request nor an answer: no case here takes it")}
		return
	}
	t.Bundle, t.Files, t.Loss, t.profile = res.Bundle, res.Files, lossOf(res), res.Profile
	t.Issues = append(t.Issues, res.Issues...)
	t.Facts = FactsOf(t.Source, res.Bundle)
	t.Facts.ControlID = text(m, "MSH-10")
	switch {
	case merges:
		t.Facts.Event, t.Facts.NHSNumber = Merged, "" // there are two patients in it
	case updates:
		t.Facts.Event = Updated
	}
}

// lacksOrder tells what would be about a case if the order in it were there.
func lacksOrder(found issue.List) bool {
	return slices.ContainsFunc(found, func(i *issue.Issue) bool {
		return i.Severity == issue.Error && i.Kind == issue.Required && (i.Where == "ORC" || i.Where == "OBR")
	})
}

// aboutCase tells a Bundle that asks for something, answers it or books it, as its header's focus says. A patient record,
// or a document with the orders it came of, belongs to no case, and must not be taken for a request because it is
// no answer.
func aboutCase(b *fhir.Bundle) bool {
	for focus := range b.First("MessageHeader").Children("focus") {
		if e := b.Resolve(focus.Child("reference").Text()); e.OK() && slices.Contains([]string{"ServiceRequest", "Task", "Appointment"}, e.Type().Name) {
			return true
		}
	}
	return false
}

// identify reads the message in its source's character set and says which it is; false when it is none.
func (t *Translated) identify(rules SourceRules) bool {
	t.enhanced = rules.Enhanced
	m, err := hl7.ParseIn(t.Raw, rules.Charset)
	if err != nil {
		t.Issues = append(t.Issues, issue.From(err))
		return false
	}
	t.HL7 = m
	t.Idem = Idem{
		Key:    strings.Join([]string{t.Source, text(m, "MSH-3"), text(m, "MSH-4"), text(m, "MSH-10")}, "\x1f"),
		Digest: t.digest(),
	}
	if len(rules.Ignore) > 0 {
		t.Idem.Digest = digestWithout(m, rules.Ignore)
	}
	t.Facts.ControlID = text(m, "MSH-10")
	return true
}

// mayCome checks the header against what the source may send (HL7 v2.8 §2.13.9).
func mayCome(m *hl7.Message, rules SourceRules) issue.List {
	if rules.App != "" && text(m, "MSH-3.1") != rules.App || rules.Facility != "" && text(m, "MSH-4.1") != rules.Facility {
		return issue.List{issue.New(issue.Denied, "MSH-3", "this connection may not send as this application and facility")}
	}
	if id := text(m, "MSH-11.1"); rules.Processing != "" && id != "" && id != rules.Processing {
		return issue.List{issue.New(issue.UnsupportedProcessing, "MSH-11", "processing id is not the one this source takes")}
	}
	return nil
}

func text(m *hl7.Message, path string) string { return m.Get(hl7.MustPath(path)).Text() }

// digestWithout hashes a message with the fields left out that may differ in a repeat (a sender that puts
// a new MSH-7 on every try). Of a message that was transcoded they are left out of the text; a token stands
// for all bytes of its payload.
func digestWithout(m *hl7.Message, ignore []hl7.Path) string {
	raw := m.Bytes()
	out := make([]byte, 0, len(raw))
	from := 0
	for _, path := range ignore { // by configuration in message order
		v := m.Get(path)
		if at := v.Offset(); at >= from && len(v.Raw()) > 0 {
			out = append(append(out, raw[from:at]...), 0)
			from = at + len(v.Raw())
		}
	}
	return digest(append(out, raw[from:]...))
}

func (p *Pipeline) translateFHIR(t *Translated, rules SourceRules) {
	root, issues := fhir.Read(t.Raw, fhir.ReadOptions{NoJudge: true})
	t.Issues = append(t.Issues, issues...)
	t.Idem = Idem{Key: strings.Join([]string{t.Source, t.Subject.Name, t.RequestID}, "\x1f"), Digest: t.digest()}
	t.Facts.ControlID = t.RequestID
	if issues.Worst() != nil {
		return
	}
	if root.Type().Name != "Bundle" {
		t.Issues = append(t.Issues, issue.New(issue.UnsupportedType, root.Type().Name, "want a Bundle"))
		return
	}
	b := &fhir.Bundle{Root: root}
	if t.RequestID == "" {
		t.RequestID = root.At("identifier.value").Text()
		t.Idem.Key += t.RequestID
	}
	if t.RequestID == "" {
		t.Issues = append(t.Issues, issue.New(issue.Required, "Bundle.identifier", "X-Request-ID or Bundle.identifier is required: a repeat could not be told"))
		return
	}
	t.entries = locations(b) // before the Binaries are taken out
	in, err := canonical(b, rules, t.payloads)
	if t.unread = err; err != nil {
		return
	}
	t.Files, t.Loss = in.files, in.loss
	t.Issues = append(t.Issues, in.issues...)
	t.Issues = append(t.Issues, fhir.Validate(root)...)
	if t.Issues.Worst() == nil { // our own places say more: the second reader is asked about what they passed
		t.Issues = append(t.Issues, fhir.Judge(root)...)
	}
	if t.Issues.Worst() == nil {
		t.profile = declare(b)
	}
	dropBinaries(b)
	t.Bundle = b
	t.Facts = FactsOf(t.Source, b)
	if (t.Facts.Event == Requested || t.Facts.Event == Amended) && t.Issues.Worst() == nil {
		if err := photosAsMedia(b, t); err != nil {
			t.Issues = append(t.Issues, issue.From(err))
		}
		t.Facts = FactsOf(t.Source, b) // which counts Media
	}
	t.Facts.ControlID = t.RequestID
	if err := t.original(); err != nil {
		t.Issues = append(t.Issues, issue.From(err))
	}
	t.Issues = append(t.Issues, unsafe(b)...)
	if t.Facts.Event == Requested && t.Facts.Kind == "" && t.Issues.Worst() == nil {
		t.Issues = append(t.Issues, issue.New(issue.Code, "ServiceRequest.category",
			"neither advice nor referral: want a coding of "+fhir.SystemRequestCategory))
	}
}

// unsafe reports what changes the meaning of a resource and what this gateway does not act on: it must
// never be passed over (FHIR R4 §2.1.0.1 isModifier).
func unsafe(b *fhir.Bundle) issue.List {
	var out issue.List
	for r := range b.Resources() {
		for _, name := range []string{"implicitRules", "modifierExtension"} {
			if e := r.Child(name); e.OK() {
				out = append(out, issue.New(issue.UnsupportedType, e.Path(), "a modifier that is not understood here"))
			}
		}
		if r.Type().Name == "ServiceRequest" && r.Child("doNotPerform").Text() == "true" {
			out = append(out, issue.New(issue.UnsupportedType, r.Child("doNotPerform").Path(), "a request not to do something is no referral"))
		}
	}
	return out
}

// translateNotify reads a status callback of NHS Notify (message or channel status).
func translateNotify(t *Translated) {
	var body struct {
		Data []struct {
			Type       string `json:"type"`
			Attributes struct {
				MessageReference string `json:"messageReference"`
				MessageStatus    string `json:"messageStatus"`
				Channel          string `json:"channel"`
				ChannelStatus    string `json:"channelStatus"`
			} `json:"attributes"`
			Meta struct {
				IdempotencyKey string `json:"idempotencyKey"`
			} `json:"meta"`
		} `json:"data"`
	}
	if err := json.Unmarshal(t.Raw, &body); err != nil || len(body.Data) == 0 {
		t.Issues = append(t.Issues, issue.New(issue.Structure, "data", "not a status callback").Because(errors.Join(err)))
		return
	}
	d := body.Data[0]
	if t.RequestID == "" {
		t.RequestID = d.Meta.IdempotencyKey
	}
	t.Idem = Idem{Key: t.Source + "\x1f" + t.RequestID, Digest: t.digest()}
	fact := &NoticeFact{Reference: d.Attributes.MessageReference, Channel: d.Attributes.Channel, Status: d.Attributes.ChannelStatus}
	if d.Type == "MessageStatus" {
		fact.Channel, fact.Status = "", d.Attributes.MessageStatus
	}
	t.Facts = Facts{Event: NoticeStatus, ControlID: t.RequestID, Notice: fact,
		Refs: []Ref{{SystemNotice, fact.Reference}}}
}

// SystemNotice is the cross-reference system of NHS Notify message references.
const SystemNotice = "notify"
