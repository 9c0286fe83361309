package flow

import (
	"encoding/json"
	"strings"

	"github.com/dermgate/dermgate/mapping/issue"
	"github.com/dermgate/dermgate/mapping/itk3"
)

// Mail is a message of MESH as its source hands it over, in JSON: what its headers say, and its content. Only what a
// receiver says of our messages comes so; requests and answers that come by MESH are messages of their own language.
type Mail struct {
	ID       string `json:"id"`   // mex-MessageID
	Type     string `json:"type"` // mex-MessageType: DATA or REPORT
	From     string `json:"from,omitempty"`
	Workflow string `json:"workflow,omitempty"`
	LocalID  string `json:"localId,omitempty"`  // of a report: mex-LocalID of the message it is about
	LinkedID string `json:"linkedId,omitempty"` // of a report: MESH's id of that message
	Status   string `json:"status,omitempty"`   // mex-StatusCode
	Event    string `json:"event,omitempty"`    // mex-StatusEvent
	Success  string `json:"success,omitempty"`  // mex-StatusSuccess: SUCCESS or ERROR
	Body     []byte `json:"body,omitempty"`
}

// MailReport is the type of what MESH itself says of a message: mostly that it could not be delivered.
const MailReport = "REPORT"

// SystemMESH is the cross-reference system of MESH's message ids.
const SystemMESH = "mesh"

// ReceiptFact is what a receiver, or the channel, says of a message that went out.
type ReceiptFact struct {
	Level    string `json:"level"` // "infrastructure", "business", or "transport": MESH's own word
	Code     string `json:"code"`
	Positive bool   `json:"positive,omitempty"`
	Repeat   bool   `json:"repeat,omitempty"` // the receiver has had it before: no news
	From     string `json:"from,omitempty"`   // ODS code
}

// transport is the level of what MESH says itself.
const transport = "transport"

// translateMESH reads what comes back about a Send Document message.
func translateMESH(t *Translated) {
	var mail Mail
	if err := json.Unmarshal(t.Raw, &mail); err != nil || mail.ID == "" {
		t.Issues = append(t.Issues, issue.New(issue.Structure, "mesh", "no message of MESH").Because(err))
		return
	}
	t.RequestID = mail.ID
	t.Idem = Idem{Key: t.Source + "\x1f" + mail.ID, Digest: t.digest()}
	t.Facts = Facts{Event: Receipted, Message: mail.Type, ControlID: mail.ID}
	if mail.Type == MailReport {
		t.Facts.Receipt = &ReceiptFact{Level: transport, Code: code(mail.Status), Positive: mail.Success == "SUCCESS"}
		t.Facts.receiptOf(strings.ToLower(mail.LocalID), mail.LinkedID)
		return
	}
	r, err := itk3.ReadResponse(mail.Body)
	if err != nil {
		t.Issues = append(t.Issues, issue.From(err))
		return
	}
	t.Facts.Receipt = &ReceiptFact{Level: string(r.Level()), Code: code(r.Code), Positive: r.Positive(), Repeat: r.Repeat(), From: r.Sender}
	t.Facts.ResponseTo = r.To
	t.Facts.receiptOf(r.To, "")
	t.Facts.receiptOf(r.Reference, "")
}

// receiptOf adds what leads to the case of a message: our key, MESH's id.
func (f *Facts) receiptOf(key, meshID string) {
	if key != "" {
		f.Refs = append(f.Refs, Ref{"control-id", key})
	}
	if meshID != "" {
		f.Refs = append(f.Refs, Ref{SystemMESH, meshID})
	}
}

// code takes a code that can be one; anything else of the other side's words is told to nobody.
func code(s string) string {
	if len(s) > 24 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return ""
	}
	return s
}
