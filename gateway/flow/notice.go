package flow

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"unicode/utf8"
)

//go:embed notices/*.txt
var shippedNotices embed.FS

// Notices are the texts that tell the patient: one template a notice and language, in plain words, with no diagnosis but
// what a clinician writes.
type Notices struct{ byID map[string]*template.Template }

// LoadNotices reads the shipped texts and, over them, a site's own. A file is named for its notice, and in another language
// than English with that ("N1.txt", "N1.cy.txt"); "sms" is what every SMS says, "dear" and "practice" are parts that the
// others share. A text that does not parse, names something a notice does not have, or is too long whatever it is about, is
// an error that names the file.
func LoadNotices(site fs.FS) (*Notices, error) {
	shipped, err := fs.Sub(shippedNotices, "notices")
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	for _, layer := range []fs.FS{shipped, site} {
		if layer == nil {
			continue
		}
		if err := gather(layer, texts); err != nil {
			return nil, err
		}
	}
	n := &Notices{map[string]*template.Template{}}
	for _, id := range slices.Sorted(maps.Keys(texts)) {
		if err := n.add(id, texts); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// gather reads the texts of a layer, by their file's name without its end.
func gather(layer fs.FS, texts map[string]string) error {
	names, err := fs.Glob(layer, "*.txt")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := fs.ReadFile(layer, name)
		if err != nil {
			return err
		}
		id := strings.TrimSuffix(name, ".txt")
		if _, language, _ := strings.Cut(id, "."); id == "" || language != "" && !languageTag.MatchString(language) {
			return fmt.Errorf("notice %s: want a name such as N1.txt or, in another language, N1.cy.txt", name)
		}
		texts[id] = string(text)
	}
	return nil
}

// languageTag is a BCP 47 code as file names have it: cy, pt-BR.
var languageTag = regexp.MustCompile(`^[a-z]{2,3}(-[A-Z]{2})?$`)

// partsOfTexts are what texts have in common.
var partsOfTexts = []string{"dear", "practice"}

// add makes the template of one text, with the parts of its language.
func (n *Notices) add(id string, texts map[string]string) error {
	name, language, _ := strings.Cut(id, ".")
	if slices.Contains(partsOfTexts, name) {
		return nil
	}
	t, err := template.New(id + ".txt").Option("missingkey=error").Parse(texts[id])
	for _, part := range partsOfTexts {
		if text, there := texts[in(part, language)]; there && err == nil {
			t, err = t.New(part).Parse(strings.TrimSuffix(text, "\n"))
		}
	}
	if err != nil {
		return fmt.Errorf("notice %w", err)
	}
	t = t.Lookup(id + ".txt")
	var shortest bytes.Buffer
	if err := t.Execute(&shortest, NoticeWords{}); err != nil {
		return fmt.Errorf("notice %w", err)
	}
	field := "body"
	if name == smsNotice {
		field = "sms_body"
	}
	if utf8.RuneCount(bytes.TrimSpace(shortest.Bytes())) > fieldLimits[field] {
		return fmt.Errorf("notice %s.txt: %w", id, &TooLong{field, fieldLimits[field]})
	}
	n.byID[id] = t
	return nil
}

// in gives the id of a text in a language; "" is English.
func in(notice, language string) string {
	if language == "" {
		return notice
	}
	return notice + "." + language
}

// Speaks tells whether a notice can be told in a language: with its text and what every SMS says.
func (n *Notices) Speaks(notice, language string) bool {
	return n.byID[in(notice, language)] != nil && n.byID[in(smsNotice, language)] != nil
}

// NoticeWords is what a notice may say. No clinical text but what a clinician has written for the patient, or released.
type NoticeWords struct {
	Language  string // BCP 47; empty: English
	Event     string // "N1-request-sent"
	Name      string // first and last name of the patient, who is greeted
	Advice    bool   // advice was asked for, not an appointment
	Urgency   string // e-RS code; empty: the request does not say
	Suspected bool   // the clinician asked for cancer to be ruled out; said in the consultation already
	Photos    int    // how many went with the request
	Practice  string // who to call
	Phone     string // of the practice
	Hospital  string
	Decision  string // of the clinician who asked: manage-in-primary-care, i-will-refer
	When      string // of an appointment: "Tuesday 10 November 2026 at 9:30am"
	Words     string // what a clinician writes to the patient
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
	t, ok := n.byID[in(notice, w.Language)]
	if !ok {
		return "", false, nil
	}
	var b bytes.Buffer
	if err := t.Execute(&b, w); err != nil {
		return "", false, fmt.Errorf("notice %w", err)
	}
	return strings.TrimSpace(blankLines.ReplaceAllLiteralString(b.String(), "\n\n")), true, nil
}

// blankLines are what parts of a text that say nothing leave behind.
var blankLines = regexp.MustCompile(`\n{3,}`)

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
