package flow

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
)

func shipped(t *testing.T) *Notices {
	t.Helper()
	n, err := LoadNotices(nil)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A routing plan gets the fields of its channels; an SMS never says what a message says.
func TestPersonalisationByPlan(t *testing.T) {
	n := shipped(t)
	for plan, want := range map[string]string{"1": "body", "2": "email_body email_subject", "3": "sms_body", "4": "body email_body email_subject",
		"5": "body email_body email_subject", "6": "body sms_body", "7": "body sms_body", "own": "body email_body email_subject sms_body"} {
		id := freeText + plan
		if plan == "own" {
			id = "b838b13c-f98c-4def-93f0-515d4e4f4ee1"
		}
		for _, notice := range []string{"N1", "N2", "N3", "N4", "N5", "N6", "N7", "N8"} {
			fields, ok, err := n.Personalisation(id, notice, NoticeWords{Event: notice, Suspected: true, Practice: "Lambeth Road Surgery"})
			if err != nil || !ok || keysOf(fields) != want {
				t.Fatalf("plan %s, %s: %v %v %v", plan, notice, fields, ok, err)
			}
			if sms := fields["sms_body"]; sms != "" && (!strings.HasPrefix(sms, "You have a new message about your skin care from Lambeth Road Surgery") || strings.Contains(sms, "cancer")) {
				t.Errorf("the SMS says %q", sms)
			}
			if s := fields["email_subject"]; strings.Contains(s, "\n") || s == "" && strings.Contains(want, "subject") {
				t.Errorf("subject %q", s)
			}
		}
	}
}

func keysOf(m map[string]string) string {
	var keys []string
	for _, k := range []string{"body", "email_body", "email_subject", "sms_body"} {
		if _, ok := m[k]; ok {
			keys = append(keys, k)
		}
	}
	return strings.Join(keys, " ")
}

// No limit is met by cutting: a text that fits goes whole, one that does not goes nowhere.
func TestAnOverlongTextIsNeverCut(t *testing.T) {
	site := fstest.MapFS{
		"N1.txt":  {Data: []byte("{{.Practice}}")},
		"sms.txt": {Data: []byte("{{.Practice}}")},
	}
	n, err := LoadNotices(site)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		plan, field string
		limit       int
	}{{"1", "body", 5000}, {"3", "sms_body", 918}, {"2", "email_body", 100_000}, {"6", "sms_body", 918}} {
		whole := strings.Repeat("é", c.limit)
		fields, ok, err := n.Personalisation(freeText+c.plan, "N1", NoticeWords{Practice: whole})
		if err != nil || !ok || fields[c.field] != whole {
			t.Errorf("plan %s at its limit: %v %v", c.plan, ok, err)
		}
		_, _, err = n.Personalisation(freeText+c.plan, "N1", NoticeWords{Practice: whole + "é"})
		if tooLong := new(TooLong); !errors.As(err, &tooLong) || tooLong.Field != c.field || tooLong.Limit != c.limit {
			t.Errorf("plan %s one over: %v", c.plan, err)
		}
	}
	for name, text := range map[string]string{"N1.txt": strings.Repeat("x", 5001), "sms.txt": strings.Repeat("x", 919), "N2.txt": "{{.Diagnosis}}"} {
		if _, err := LoadNotices(fstest.MapFS{name: {Data: []byte(text)}}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s was loaded: %v", name, err)
		}
	}
}

// told makes a decision over a case that owes one notice, which is under way.
func toldCase(t *testing.T) (*decision, *pathway.Obligation) {
	t.Helper()
	at := time.Date(2026, 11, 3, 10, 0, 0, 0, time.UTC)
	c := &pathway.Case{ID: NewID(1, "case").String(), Kind: pathway.Advice, Request: pathway.Request{Organisation: "Y06601"},
		Obligations: []pathway.Obligation{{Notice: "N1", Event: "N1-request-sent", Status: pathway.NoticeOpen, Ref: "ref-1", Due: at.Add(24 * time.Hour)}}}
	return &decision{p: &Pipeline{}, c: c, at: at}, &c.Obligations[0]
}

// What NHS Notify says, in whatever order and however often: only a reading in the NHS App discharges a notice, and what
// cannot be told any more is one person's task.
func TestWhatNotifySaysOfANotice(t *testing.T) {
	read, failed := NoticeFact{Channel: "nhsapp", Status: "delivered"}, NoticeFact{Status: "failed"}
	appFailed, skipped := NoticeFact{Channel: "nhsapp", Status: "failed"}, NoticeFact{Channel: "nhsapp", Status: "skipped"}
	text, mail, whole := NoticeFact{Channel: "sms", Status: "delivered"}, NoticeFact{Channel: "email", Status: "delivered"}, NoticeFact{Status: "delivered"}
	for name, c := range map[string]struct {
		said   []NoticeFact
		status string
		open   int // tasks
		all    int
	}{
		"read":                          {[]NoticeFact{read}, pathway.NoticeTold, 0, 0},
		"read, said twice":              {[]NoticeFact{read, read}, pathway.NoticeTold, 0, 0},
		"failed":                        {[]NoticeFact{failed}, pathway.NoticePerson, 1, 1},
		"failed, said twice":            {[]NoticeFact{failed, failed}, pathway.NoticePerson, 1, 1},
		"the App failed, and so all":    {[]NoticeFact{appFailed, failed}, pathway.NoticePerson, 1, 1},
		"skipped":                       {[]NoticeFact{skipped}, pathway.NoticePerson, 1, 1},
		"skipped, and so failed":        {[]NoticeFact{skipped, failed}, pathway.NoticePerson, 1, 1},
		"failed after it was read":      {[]NoticeFact{read, failed}, pathway.NoticeTold, 0, 0},
		"read after it had failed":      {[]NoticeFact{failed, read}, pathway.NoticeTold, 0, 1},
		"a text or an e-mail arrived":   {[]NoticeFact{text, mail, whole}, pathway.NoticeOpen, 0, 0},
		"a text went, the App skipped":  {[]NoticeFact{text, skipped}, pathway.NoticePerson, 1, 1},
		"of no notice of this case":     {[]NoticeFact{{Reference: "another", Status: "failed"}}, pathway.NoticeOpen, 0, 0},
		"statuses on the way, in a mix": {[]NoticeFact{{Status: "sending"}, {Channel: "nhsapp", Status: "created"}, {Status: "created"}}, pathway.NoticeOpen, 0, 0},
	} {
		d, o := toldCase(t)
		for _, fact := range c.said {
			if fact.Reference == "" {
				fact.Reference = "ref-1"
			}
			if err := d.noticed(&fact); err != nil {
				t.Fatal(err)
			}
		}
		if o.Status != c.status || d.c.Pending() != c.open || len(d.c.Tasks) != c.all {
			t.Errorf("%s: %s, %d of %d tasks open", name, o.Status, d.c.Pending(), len(d.c.Tasks))
		}
	}
}

// A notice of which nothing is heard until it is due is a person's task; one that was read is left alone.
func TestSilenceReopensANotice(t *testing.T) {
	d, o := toldCase(t)
	if !d.rings(clockNote{Notice: "ref-1"}) || o.Status != pathway.NoticePerson || d.c.Pending() != 1 {
		t.Errorf("%s, %d tasks", o.Status, d.c.Pending())
	}
	if d.rings(clockNote{Notice: "ref-1"}) || d.c.Pending() != 1 {
		t.Error("it rang twice")
	}
	if err := d.noticed(&NoticeFact{Reference: "ref-1", Channel: "nhsapp", Status: "delivered"}); err != nil || o.Status != pathway.NoticeTold || d.c.Pending() != 0 {
		t.Errorf("read late: %v, %s, %d tasks", err, o.Status, d.c.Pending())
	}
	d, o = toldCase(t)
	o.Discharge(pathway.NoticeTold, "nhsapp:read", d.at)
	if d.rings(clockNote{Notice: "ref-1"}) || d.c.Pending() != 0 {
		t.Error("what was read was asked for")
	}
}

// A person's word discharges what waits for one.
func TestAnAttestation(t *testing.T) {
	d, o := toldCase(t)
	d.person(o, "NHS Notify could not deliver it")
	f := Facts{Event: Attested, Act: actTold}
	if err := d.attested(f); err == nil {
		t.Error("an attestation without a person")
	}
	f.Outcome.Person = "G5612908"
	if err := d.attested(f); err != nil || o.Status != pathway.NoticeTold || o.By != "attested: G5612908" || d.c.Pending() != 0 {
		t.Errorf("%v, %+v, %d tasks", err, o, d.c.Pending())
	}
}

// The request to NHS Notify has what its schema takes and nothing else.
func TestTheRequestToNotify(t *testing.T) {
	b, err := notifyBody("plan", "ref", "9990001014", map[string]string{"body": "text"})
	var got map[string]map[string]any
	if err != nil || json.Unmarshal(b, &got) != nil {
		t.Fatal(err)
	}
	want := `{"attributes":{"messageReference":"ref","personalisation":{"body":"text"},"recipient":{"nhsNumber":"9990001014"},"routingPlanId":"plan"},"type":"Message"}`
	if b, _ := json.Marshal(got["data"]); string(b) != want {
		t.Errorf("%s", b)
	}
}
