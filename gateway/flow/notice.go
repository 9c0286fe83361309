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

// appLimit is the longest message the NHS App takes, in characters (NHS Notify).
const appLimit = 5000

// Notices are the texts that tell the patient: one template a notice, plain English, no diagnosis.
type Notices struct{ byID map[string]*template.Template }

// LoadNotices reads the shipped texts and, over them, a site's own (files named as the notice, "N1.txt").
// A text that does not parse, or names something a notice does not have, is an error that names the file.
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
		if err := t.Execute(&bytes.Buffer{}, NoticeWords{}); err != nil {
			return fmt.Errorf("notice %w", err)
		}
		n.byID[strings.TrimSuffix(name, ".txt")] = t
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

// Text renders a notice; ok is false when there is no text for it (a person tells the patient then).
func (n *Notices) Text(notice string, w NoticeWords) (string, bool, error) {
	t, ok := n.byID[notice]
	if !ok {
		return "", false, nil
	}
	var b bytes.Buffer
	if err := t.Execute(&b, w); err != nil {
		return "", false, fmt.Errorf("notice %w", err)
	}
	text := strings.TrimSpace(b.String())
	if utf8.RuneCountInString(text) > appLimit {
		return "", false, fmt.Errorf("notice %s: longer than the %d characters the NHS App takes; it is never cut", notice, appLimit)
	}
	return text, true, nil
}

// notifyBody is the request of NHS Notify's POST /v1/messages for one notice, by the free-text plan.
func notifyBody(plan, reference, nhsNumber, text string) ([]byte, error) {
	return json.Marshal(map[string]any{"data": map[string]any{
		"type": "Message",
		"attributes": map[string]any{
			"routingPlanId":    plan,
			"messageReference": reference,
			"recipient":        map[string]any{"nhsNumber": nhsNumber},
			"personalisation":  map[string]any{"body": text},
		},
	}})
}

// ownedByMachine tells whether a notice may be sent by machine at all: a cancer diagnosis (N9) never is.
func ownedByMachine(o *pathway.Obligation) bool { return o.Notice != "N9" }
