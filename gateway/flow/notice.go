package flow

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"text/template"
	"unicode/utf8"

	"github.com/dermgate/dermgate/gateway/pathway"
)

//go:embed notices/*.txt
var shippedNotices embed.FS

// Notices are the texts that tell the patient: one template a notice, plain English, no diagnosis.
type Notices struct{ byID map[string]*template.Template }

// LoadNotices reads the shipped texts and, over them, a site's own (files named as the notice, "N1.txt"; "sms.txt" is what
// every SMS says). A text that does not parse, names something a notice does not have, or is too long whatever it is about,
// is an error that names the file.
func LoadNotices(site fs.FS) (*Notices, error) {
	shipped, err := fs.Sub(shippedNotices, "notices")
	if err != nil {
		return nil, err
	}
	n := &Notices{map[string]*template.Template{}}
	for _, layer := range []fs.FS{shipped, site} {
		if layer == nil {
			continue
		}
		if err := n.load(layer); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (n *Notices) load(layer fs.FS) error {
	names, err := fs.Glob(layer, "*.txt")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := fs.ReadFile(layer, name)
		if err != nil {
			return err
		}
		t, err := template.New(name).Option("missingkey=error").Parse(string(text))
		if err != nil {
			return fmt.Errorf("notice %w", err)
		}
		var shortest bytes.Buffer
		if err := t.Execute(&shortest, NoticeWords{}); err != nil {
			return fmt.Errorf("notice %w", err)
		}
		id := strings.TrimSuffix(name, ".txt")
		field := "body"
		if id == smsNotice {
			field = "sms_body"
		}
		if utf8.RuneCount(bytes.TrimSpace(shortest.Bytes())) > fieldLimits[field] {
			return fmt.Errorf("notice %s: %w", name, &TooLong{field, fieldLimits[field]})
		}
		n.byID[id] = t
	}
	return nil
}

// NoticeWords is what a notice may say. No diagnosis, no clinical text.
type NoticeWords struct {
	Event     string // "N1-request-sent"
	Advice    bool   // advice was asked for, not an appointment
	Suspected bool   // the clinician asked for cancer to be ruled out; said in the consultation already
	Practice  string // who to call
	Hospital  string
}

// TooLong says that a notice does not fit its channel: it is never cut, a person tells the patient.
type TooLong struct {
	Field string // of the personalisation
	Limit int    // characters
}

// Error names the field.
func (e *TooLong) Error() string {
	return fmt.Sprintf("%s is longer than the %d characters its channel takes, and never cut", e.Field, e.Limit)
}

// Text renders a notice; ok is false when there is no text for it (a person tells the patient then).
func (n *Notices) Text(notice string, w NoticeWords) (text string, ok bool, err error) {
	t, ok := n.byID[notice]
	if !ok {
		return "", false, nil
	}
	var b bytes.Buffer
	if err := t.Execute(&b, w); err != nil {
		return "", false, fmt.Errorf("notice %w", err)
	}
	return strings.TrimSpace(b.String()), true, nil
}

// smsNotice is the text of every SMS: that there is a message, and nothing of what it says.
const smsNotice = "sms"

// Personalisation gives what a routing plan of NHS Notify puts into its templates for a notice: the free-text fields of the
// channels it uses. ok is false when there is no text. The error is a *TooLong, or of a text that cannot be made.
func (n *Notices) Personalisation(plan, notice string, w NoticeWords) (fields map[string]string, ok bool, err error) {
	text, ok, err := n.Text(notice, w)
	if err != nil || !ok {
		return nil, false, err
	}
	sms, _, err := n.Text(smsNotice, w)
	if err != nil {
		return nil, false, err
	}
	subject, _, _ := strings.Cut(text, "\n")
	all := map[string]string{"body": text, "sms_body": sms, "email_subject": strings.TrimSpace(subject), "email_body": text}
	fields = map[string]string{}
	for _, field := range planFields(plan) {
		if limit := fieldLimits[field]; limit > 0 && utf8.RuneCountInString(all[field]) > limit {
			return nil, false, &TooLong{field, limit}
		}
		fields[field] = all[field]
	}
	return fields, true, nil
}

// fieldLimits are the longest texts of each channel, in characters (NHS Notify).
var fieldLimits = map[string]int{"body": 5000, "sms_body": 918, "email_body": 100_000}

// freeText begins the global free-text plans, which a digit ends.
const freeText = "00000000-0000-0000-0000-00000000000"

// planFields gives the fields that a plan takes: a global one those of its channels, a site's own all of them.
func planFields(plan string) []string {
	number, global := strings.CutPrefix(plan, freeText)
	if !global {
		return []string{"body", "email_subject", "email_body", "sms_body"}
	}
	switch number {
	case "2":
		return []string{"email_subject", "email_body"}
	case "3":
		return []string{"sms_body"}
	case "4", "5":
		return []string{"body", "email_subject", "email_body"}
	case "6", "7":
		return []string{"body", "sms_body"}
	}
	return []string{"body"}
}

// notifyBody is the request of NHS Notify's POST /v1/messages for one notice.
func notifyBody(plan, reference, nhsNumber string, personalisation map[string]string) ([]byte, error) {
	return json.Marshal(map[string]any{"data": map[string]any{
		"type": "Message",
		"attributes": map[string]any{
			"routingPlanId":    plan,
			"messageReference": reference,
			"recipient":        map[string]any{"nhsNumber": nhsNumber},
			"personalisation":  personalisation,
		},
	}})
}

// ownedByMachine tells whether a notice may be sent by machine at all: a cancer diagnosis (N9) never is.
func ownedByMachine(o *pathway.Obligation) bool { return o.Notice != "N9" }

// untold is what the clock of a notice finds when no channel has shown in time that the patient knows: a person tells them.
func (d *decision) untold(ref string) bool {
	o := d.c.Obligation(ref)
	if o == nil || o.Status != pathway.NoticeOpen {
		return false
	}
	d.person(o, "nothing shows in time that it was read")
	return true
}
