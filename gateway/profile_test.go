package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/fixtures"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
)

// TestProfileChecks sends a request whose patient speaks a language that has only a name, and so is no UKCore-Patient,
// over MLLP and HTTP to a source of each check: refused, held with a task for its requester, told, or passed.
func TestProfileChecks(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	count := map[bool]int{true: 1}
	for _, c := range []struct {
		check, ack, status string
		told, kept, held   bool
	}{
		{check: "off", ack: "AA", status: "200 OK", kept: true},
		{check: "warn", ack: "AA", status: "200 OK", told: true, kept: true},
		{check: "require", ack: "AE", status: "422 Unprocessable Entity", told: true},
		{check: "hold", ack: "AA", status: "200 OK", told: true, kept: true, held: true},
	} {
		t.Run(c.check, func(t *testing.T) {
			t.Parallel()
			k := profileTalk(t, c.check)
			if ack := k.sent("advice.hl7", "02079460123", "02079460123||ZZX^Sylheti^L"); !strings.Contains(ack, "MSA|"+c.ack+"|AG0001") ||
				strings.Count(ack, "PID^1^^103&Patient.communication[0].language") != count[c.told] || strings.Contains(ack, "Sylheti") {
				t.Errorf("over MLLP: %s", ack)
			}
			k.stands("AG0001", c.kept, c.held, "PID: Patient.communication[0].language: ")
			status, body := k.posted("referral-routine.json", `"gender": "male",`, `"gender": "male", "communication": [{"language": {"text": "Sylheti"}}],`)
			if status != c.status || strings.Count(body, "Bundle.entry[2].resource.communication[0].language") != count[c.told] || strings.Contains(body, "Sylheti") {
				t.Errorf("over HTTP: %s %s", status, body)
			}
			k.stands("RT-0001", c.kept, c.held, "Bundle.entry[2].resource.communication[0].language: ")
			if ack := k.sent("suspected-cancer.hl7", "02079460124", "02079460124||ZZX^Sylheti^L"); !strings.Contains(ack, "MSA|AA|USC0001") ||
				strings.Contains(ack, "PID^1^^103&Patient.communication") != c.told {
				t.Errorf("a suspected cancer: %s", ack)
			}
			if got, ok := k.about("USC0001"); !ok || got.Urgency != pathway.TwoWeekWait || got.State == pathway.Held || len(got.Tasks) > 0 {
				t.Errorf("a suspected cancer: %v, %v", got.State, got.Tasks)
			}
		})
	}
}

// TestReleasedWithoutItsProfile: the requester lets a held request go as it is; it goes once, and its task is done.
func TestReleasedWithoutItsProfile(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	k := profileTalk(t, "hold")
	k.sent("advice.hl7", "02079460123", "02079460123||ZZX^Sylheti^L")
	k.stands("AG0001", true, true, "PID: Patient.communication")
	if len(k.w.ag.Requests()) > 0 {
		t.Fatal("a held request went")
	}
	if err := k.release("the interpreter is booked by name"); err != nil {
		t.Fatal(err)
	}
	if err := until(k.ctx, "the platform has the request", func() bool { return len(k.w.ag.Requests()) == 1 }); err != nil {
		t.Fatal(err)
	}
	c, _ := k.current()
	if i := slices.IndexFunc(c.Tasks, func(x pathway.Task) bool { return x.Code == "profile" }); i < 0 || c.Tasks[i].Done.IsZero() {
		t.Errorf("the task is open: %+v", c.Tasks)
	}
}

// TestHeldForItsNHSNumber: a request without an NHS number is as good as one without its profile.
func TestHeldForItsNHSNumber(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	k := talkWith(t, "nhs_number: require", "nhs_number: hold")
	if ack := k.sent("advice.hl7", "9990001014^^^NHS^NH", "X1^^^RXX^MR"); !strings.Contains(ack, "MSA|AA|AG0001|PID-3: no NHS number") {
		t.Error(ack)
	}
	c, ok := k.about("AG0001")
	if !ok || c.State != pathway.Held || len(c.Tasks) != 1 || c.Tasks[0].Code != "nhs-number" || c.Tasks[0].Owner == "" {
		t.Fatalf("%v %+v", c.State, c.Tasks)
	}
	if err := k.release("newly registered, the number will follow"); err != nil {
		t.Fatal(err)
	}
	if c, _ = k.about("AG0001"); c.State == pathway.Held || c.Tasks[0].Done.IsZero() {
		t.Errorf("%v %+v", c.State, c.Tasks)
	}
}

// profileTalk runs the demo's gateway with a check of profiles at each source.
func profileTalk(t *testing.T, check string) *talk {
	t.Helper()
	return talkWith(t, "profile: warn", "profile: "+check, "{name: fhir, kind: fhir}", "{name: fhir, kind: fhir, checks: {profile: "+check+"}}")
}

// talkWith runs the demo's gateway with its configuration changed, pair by pair.
func talkWith(t *testing.T, pairs ...string) *talk {
	t.Helper()
	text := demoConfig
	for i := 0; i < len(pairs); i += 2 {
		if bytes.Count(text, []byte(pairs[i])) != 1 {
			t.Fatalf("the demo's configuration has not one %s", pairs[i])
		}
		text = bytes.Replace(text, []byte(pairs[i]), []byte(pairs[i+1]), 1)
	}
	ctx, w := runningBy(t, text, 2*time.Minute)
	return &talk{t: t, ctx: ctx, w: w}
}

// sent sends a message of the fixtures, changed, over MLLP, and gives its acknowledgement.
func (k *talk) sent(name, old, changed string) string {
	k.t.Helper()
	conn, err := mllp.Dial(k.ctx, k.w.mllp(), nil)
	if err != nil {
		k.t.Fatal(err)
	}
	defer conn.Close()
	ack, err := conn.Exchange(k.ctx, k.changed(name, old, changed))
	if err != nil {
		k.t.Fatal(err)
	}
	return string(lines(ack))
}

func (k *talk) changed(name, old, changed string) []byte {
	k.t.Helper()
	raw, err := fixtures.Message(name)
	if err != nil || bytes.Count(raw, []byte(old)) != 1 {
		k.t.Fatalf("%s: %v, %d of %s", name, err, bytes.Count(raw, []byte(old)), old)
	}
	return bytes.Replace(raw, []byte(old), []byte(changed), 1)
}

// posted posts a message of the fixtures, changed.
func (k *talk) posted(name, old, changed string) (status, body string) {
	k.t.Helper()
	resp, err := http.Post(k.w.systmone.FHIR+"/$process-message", "application/fhir+json", bytes.NewReader(k.changed(name, old, changed)))
	if err != nil {
		k.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		k.t.Fatal(err)
	}
	return resp.Status, string(b)
}

// about gives the case that a message opened.
func (k *talk) about(controlID string) (pathway.Case, bool) {
	k.t.Helper()
	records, err := k.w.app.store.Cases(k.ctx, flow.CaseQuery{})
	if err != nil {
		k.t.Fatal(err)
	}
	for _, r := range records {
		var c pathway.Case
		if err := json.Unmarshal(r.State, &c); err != nil {
			k.t.Fatal(err)
		}
		if c.Request.ControlID == controlID {
			return c, true
		}
	}
	return pathway.Case{}, false
}

// stands holds the case of a message against what a check makes of it.
func (k *talk) stands(controlID string, kept, held bool, why string) {
	k.t.Helper()
	c, ok := k.about(controlID)
	if ok != kept {
		k.t.Fatalf("a case: %v, want %v", ok, kept)
	}
	if kept && (c.State == pathway.Held) != held {
		k.t.Errorf("%s", c.State)
	}
	asked := slices.ContainsFunc(c.Tasks, func(x pathway.Task) bool {
		return x.Code == "profile" && x.Owner != "" && !x.Due.IsZero() && strings.HasPrefix(x.Why, why)
	})
	if asked != held {
		k.t.Errorf("the requester is asked: %v, want %v: %+v", asked, held, c.Tasks)
	}
}
