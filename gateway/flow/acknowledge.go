package flow

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Acknowledgement is the Delivery.What of an application acknowledgement that travels on its own.
const Acknowledgement = "acknowledgement"

// acknowledge makes the ACK that goes back on the connection: in original mode AA, AE or AR; from a source in
// enhanced mode what MSH-15 and 16 ask for, which may be nothing (HL7 v2.8 §2.9.3). What could not be parsed
// gets one with empty MSH-10 echo: there is nothing to mirror.
func acknowledge(t Translated, at time.Time) []byte {
	ack := hl7.Ack{Code: hl7.AckCode(t.Issues), ControlID: "A" + t.digest()[:19], At: at, Issues: t.Issues, Enhanced: t.enhanced}
	switch {
	case t.envelope != nil:
		return t.envelope.Refuse(ack)
	case t.HL7 == nil:
		return hl7.Refuse(t.Raw, ack)
	case isAck(t.HL7) && t.HL7.Asked() == hl7.Asked{} && t.Issues.Worst() != nil:
		return nil // of a peer that acknowledges acknowledgements, this one would be the next
	}
	return t.HL7.Acknowledge(ack)
}

// acknowledgeLater adds the application acknowledgement that the sender asked for beside the accept one: kept
// in the same change as the message, so that neither is without the other. Its lane is its own: no answer
// waits behind it, and it waits behind nobody. An acknowledgement is never acknowledged.
func (p *Pipeline) acknowledgeLater(ctx context.Context, c *Change, t *Translated) error {
	if !t.enhanced || t.Facts.Ack != nil || !t.HL7.Asked().Later() {
		return nil
	}
	part := t.Idem.Partition()
	id, key := NewID(part, Acknowledgement, t.Idem.Key), controlID(NewID(part, "acknowledgement-key", t.Idem.Key))
	ack := t.HL7.Acknowledge(hl7.Ack{Code: "AA", ControlID: key, At: t.At, Issues: t.Issues, Asked: hl7.Asked{Accept: "AL", Application: "NE"}})
	body, err := p.body(ctx, c.Message.ID, ack, "application/hl7-v2")
	if err != nil {
		return err
	}
	c.Deliveries = append(c.Deliveries, Delivery{ID: id, Case: c.Message.Case, Message: c.Message.ID, To: p.Sources[t.Source].ApplicationTo,
		Lane: id.String(), Class: class(t.Facts.Urgency), Key: key, What: Acknowledgement, Body: body, State: Waiting, Due: t.At, Created: t.At})
	return nil
}

// acknowledged raises an alarm for an acknowledgement that was parked: its sender may wait for it. The case
// it is about has not changed.
func (p *Pipeline) acknowledged(del Delivery, o *Outcome) {
	if o.Result != Delivered {
		p.alarm("acknowledgement-undelivered", "case "+del.Case.String()+": the application acknowledgement did not reach "+del.To+causeOf(o))
	}
}

// AckFact is what an acknowledgement that came as a message says.
type AckFact struct {
	Code   string   `json:"code"`             // MSA-1
	Errors []string `json:"errors,omitempty"` // code of table 0357 and place, nothing of the other side's words
}

// refused tells a negative answer of either level.
func (a *AckFact) refused() bool { return !strings.HasSuffix(a.Code, "A") }

// ackCodes is HL7 table 0008.
var ackCodes = []string{"AA", "AE", "AR", "CA", "CE", "CR"}

// isAck tells an acknowledgement by its type; MCF is the delayed one of v2.1 and 2.2.
func isAck(m *hl7.Message) bool {
	code, _, _ := m.Type()
	return code == "ACK" || code == "MCF"
}

// translateAck reads an acknowledgement that came as a message: the late word on something that was sent. It
// has no Bundle; MSA-2 leads to the case.
func translateAck(t *Translated, m *hl7.Message) {
	a, err := m.Answer()
	switch {
	case err != nil:
		t.Issues = append(t.Issues, issue.New(issue.Required, "MSA-1", "an acknowledgement without its code"))
	case !slices.Contains(ackCodes, a.Code):
		t.Issues = append(t.Issues, issue.New(issue.Code, "MSA-1", "no acknowledgement code: want AA, AE, AR, CA, CE or CR"))
	case a.ControlID == "":
		t.Issues = append(t.Issues, issue.New(issue.Required, "MSA-2", "an acknowledgement of nothing: no control id"))
	}
	code, _, _ := m.Type()
	t.Facts = Facts{Message: code, Event: Acknowledged, ControlID: t.Facts.ControlID, ResponseTo: a.ControlID,
		Refs: []Ref{{"control-id", a.ControlID}}, Ack: &AckFact{Code: a.Code}}
	for _, e := range a.Errors {
		if e.Severity != "W" && e.Severity != "I" {
			t.Facts.Ack.Errors = append(t.Facts.Ack.Errors, e.String())
		}
	}
}

// answeredLate takes the application's word on a message that its receiver had accepted before. A refusal is
// for a person: the other side has said that it will not act on what it holds.
func (d *decision) answeredLate(ctx context.Context, f Facts) error {
	sent, err := d.sent(ctx, f.ResponseTo)
	if err != nil {
		return err
	}
	if !f.Ack.refused() {
		d.tell("acknowledged", sent+": "+f.Ack.Code, "")
		return nil
	}
	why := sent + " was refused after it had been accepted: " + f.Ack.Code
	if len(f.Ack.Errors) > 0 {
		why += ", error " + strings.Join(f.Ack.Errors, "; ")
	}
	d.tell("refused", why, "")
	d.task("refused-later", why)
	return nil
}

// sent names the delivery with that outbound control id.
func (d *decision) sent(ctx context.Context, key string) (string, error) {
	ds, err := d.p.Store.Deliveries(ctx, DeliveryQuery{Case: d.id(), Limit: 1000})
	if err != nil {
		return "", fmt.Errorf("acknowledgement: %w", err)
	}
	for _, del := range ds {
		if del.Key == key {
			return del.What + " to " + del.To, nil
		}
	}
	return "a message", nil
}
