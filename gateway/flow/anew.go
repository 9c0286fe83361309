package flow

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Anew says how what is sent in the place of a parked delivery is made.
type Anew struct {
	To      string // the destination; empty: the same
	Key     string // of the act: the same act makes the same child
	Content []byte // what a person made of the bytes; nil: translated again by today's maps
}

// Anew makes what is sent in the place of a parked delivery: its child, under an outbound key of its own, since its bytes
// are others, and the references that lead back to its case. Steps that are done at the same destination are not done
// again. Nothing counts until the Act that carries the child is committed.
func (p *Pipeline) Anew(ctx context.Context, del Delivery, a Anew) (Delivery, []Ref, error) {
	to := cmp.Or(a.To, del.To)
	e, ok := p.endpoint(to)
	switch {
	case !ok:
		return Delivery{}, nil, issue.New(issue.NotFound, "to", "no such destination")
	case del.Maps == "":
		return Delivery{}, nil, issue.New(issue.UnsupportedType, "delivery", "a "+del.What+" is not translated from a message: replay it as it is, or discard it")
	}
	record, err := p.Store.Case(ctx, del.Case)
	if err != nil {
		return Delivery{}, nil, fmt.Errorf("anew: %w", err)
	}
	d, err := p.read(record)
	if err != nil {
		return Delivery{}, nil, err
	}
	d.why, d.kept, d.again = del.Message, true, a.Key
	var m outgoing
	if a.Content != nil {
		m, err = d.edited(e, del, a)
	} else {
		m, err = d.anew(ctx, e, del)
	}
	if err != nil {
		return Delivery{}, nil, err
	}
	if err := d.deliver(ctx, e, m); err != nil {
		return Delivery{}, nil, err
	}
	child := d.out[0]
	child.Parent, child.Lane = del.ID, del.Lane
	if to == del.To {
		child.Steps = del.Steps
	}
	return child, []Ref{{"control-id", m.key}}, nil
}

// anew renders what a delivery said once more.
func (d *decision) anew(ctx context.Context, e Endpoint, del Delivery) (outgoing, error) {
	n := telling{what: del.What}
	switch del.What {
	case "referral", "advice-request", "photos":
	case PatientRecord:
		var err error
		if d.record, err = d.recordFor(ctx, e); err != nil {
			return outgoing{}, err
		}
	case PhotoOf:
		return outgoing{}, issue.New(issue.UnsupportedType, "delivery", "a photo on its own is not translated from a message: replay it as it is, or discard it")
	default:
		t, err := d.p.reload(ctx, d.set, del.Message)
		if err != nil {
			return outgoing{}, err
		}
		n.answer, d.files = t.Bundle, letterFiles(&t)
		if del.What == StatusAsked {
			n.answer, d.question = nil, &t
		}
		earlier := d.c.Letters[e.Name]
		d.amends = d.c.State == pathway.Responded && len(d.c.Answers) > 1 && earlier != "" && earlier != del.Key
	}
	m, _, err := d.rendered(ctx, e, n)
	m.note = del.Note
	return m, err
}

// edited takes what a person made of the bytes, under a key of its own: that is the only thing that is changed about it.
func (d *decision) edited(e Endpoint, del Delivery, a Anew) (outgoing, error) {
	id := d.derive("outbound", e.Name, del.What, a.Key)
	m := outgoing{what: del.What, key: id.String(), mediaType: del.Body.Type, parts: del.Parts, note: del.Note, maps: del.Maps}
	var content []byte
	var err error
	switch del.Body.Type {
	case "application/hl7-v2":
		m.key = controlID(id)
		content, err = withControlID(a.Content, m.key)
	case "application/fhir+json":
		content, err = withIdentifier(a.Content, m.key)
	default:
		err = issue.New(issue.UnsupportedType, "content", "what is no HL7 v2 or FHIR is not edited")
	}
	m.body = whole(content)
	return m, err
}

// withControlID gives an HL7 v2 message another MSH-10.
func withControlID(b []byte, key string) ([]byte, error) {
	b = bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\r")), []byte("\n"), []byte("\r")) // an editor's lines
	if _, err := hl7.Parse(b); err != nil {
		return nil, issue.New(issue.Structure, "content", "it is no HL7 v2 message any more").Because(err)
	}
	header, rest, _ := strings.Cut(string(b), "\r")
	fields := strings.Split(header, header[3:4])
	if len(fields) < 10 {
		return nil, issue.New(issue.Required, "MSH-10", "the message has no control id any more")
	}
	fields[9] = key
	return []byte(strings.Join(fields, header[3:4]) + "\r" + rest), nil
}

// withIdentifier gives a FHIR Bundle another identifier.
func withIdentifier(b []byte, key string) ([]byte, error) {
	root, issues := fhir.Read(b, fhir.ReadOptions{})
	if worst := issues.Worst(); worst != nil {
		return nil, issue.New(worst.Kind, "content: "+worst.Where, worst.Text)
	}
	if root.Type().Name != "Bundle" {
		return nil, issue.New(issue.Value, "content", "it is no Bundle any more")
	}
	w := writer{}
	id := root.Child("identifier")
	if !id.OK() {
		id = w.add(root, "identifier")
	}
	w.set(id, "system", "urn:dermgate:outbound")
	w.set(id, "value", key)
	if w.err != nil {
		return nil, w.err
	}
	return fhir.AppendJSON(nil, root)
}

// Content gives the bytes of a delivery as they are sent.
func (p *Pipeline) Content(ctx context.Context, del Delivery) ([]byte, error) {
	if del.Body.Size == 0 && len(del.Body.Inline) == 0 && del.Body.Blob == "" {
		return nil, issue.New(issue.NotFound, "delivery", "it has no content of its own")
	}
	return p.readAll(ctx, del.Body)
}

// Same tells whether bytes for one destination can go to another as they are.
func (p *Pipeline) Same(from, to string) error {
	a, okA := p.endpoint(from)
	b, okB := p.endpoint(to)
	switch {
	case from == to:
	case !okB:
		return issue.New(issue.NotFound, "to", "no such destination")
	case okA && a.Kind != b.Kind:
		return issue.New(issue.UnsupportedType, "to", fmt.Sprintf("%s is of kind %s, %s of kind %s: it has to be translated again (translate)", from, a.Kind, to, b.Kind))
	}
	return nil
}
