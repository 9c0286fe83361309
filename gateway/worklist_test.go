package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/fixtures/photos"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
)

// pullConfig is a hospital that takes what is sent to it in e-RS, with an application's own token or as a user.
const pullConfig = `site: {name: St Elsewhere, ods: RXX01, timezone: Europe/London}
store: {embedded: {path: "${DIR}/gateway.db"}}
photos: {url: "file://${DIR}/photos"}
http: {listen: "${HTTP}"}
admin: {listen: "${ADMIN}"}
owners: {requester: practice, provider: {name: Dermatology admin}, operations: {name: Interface team}}
sources:
  - {name: mllp, kind: mllp, listen: "${MLLP}", carries: [answers]}
  - {name: ers-list, kind: ers-worklist, base_url: "${ERS}", auth: {token_url: "${TOKEN_URL}", client_id: hospital, key_file: KEY}, services: ["50001"], watch: 1s, rate: 100/s}
destinations:
  - {name: epr, kind: mllp, address: "${EPR}", message: REF_I12, version: "2.4", receiver: {app: EPR, facility: RXX01}}
  - {name: gp, kind: mllp, address: "${GP_EMIS}", message: RRI_I12, answer: ORU_R01, receiver: {app: EMIS, facility: Y06601}}
routes:
  - {when: {source: ers-list}, to: [epr]}
  - {when: {event: triaged}, to: [epr]}
  - {when: {event: ended}, to: [epr]}
`

// signedIn signs somebody in, and asks for all lists every second.
var signedIn = strings.NewReplacer(`auth: {token_url: "${TOKEN_URL}", client_id: hospital, key_file: KEY}`, `auth: {token: "${ERS_TOKEN}"}`, "watch: 1s", "watch: 1s, poll: 1s, lists: [review, slots, advice], business_function: SERVICE_PROVIDER_CLINICIAN")

// pulling runs the gateway with requests in e-RS before it starts.
func pulling(t *testing.T, config string, before func(*sim.ERS)) (context.Context, *world) {
	t.Helper()
	return runningBy(t, []byte(strings.ReplaceAll(config, "KEY", applicationKey(t))), 90*time.Second, func(w *world) {
		published(w)
		w.app.takers[0].Scan = time.Second
		before(w.ers)
	})
}

// sentPhoto is a photo that a GP attached, and one that is a letter.
func sentFiles(t *testing.T) []sim.File {
	t.Helper()
	photo, err := photos.File("L1-overview.jpg")
	if err != nil {
		t.Fatal(err)
	}
	return []sim.File{{Name: "letter.pdf", Type: "application/pdf", Description: "Referral letter", Body: []byte("%PDF-1.4 the letter of the GP")},
		{Name: "mole.jpg", Type: "image/jpeg", Description: "Left forearm", Body: photo}}
}

func referred(t *testing.T, ers *sim.ERS, priority string, files ...sim.File) string {
	t.Helper()
	ubrn, err := ers.Refer(sim.Sent{Patient: "9990548609", Priority: priority, Service: "50001", Organisation: "Y06601", Files: files})
	if err != nil {
		t.Fatal(err)
	}
	return ubrn
}

func (w *world) eventually(t *testing.T, ctx context.Context, what string, done func() bool) {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) || ctx.Err() != nil {
			cases, _ := w.app.store.Cases(context.Background(), flow.CaseQuery{})
			for _, c := range cases {
				story, _ := w.app.store.Story(context.Background(), c.ID)
				for _, e := range story {
					t.Logf("%s: %s %s", c.Index.State, e.What, e.Text)
				}
			}
			for _, to := range []string{listOf("ers-list"), foundOf("ers-list"), pollOf("ers-list"), flow.ToCase} {
				ds, _ := w.app.store.Deliveries(context.Background(), flow.DeliveryQuery{To: to})
				for _, d := range ds {
					t.Logf("%s %s %s attempt %d: %v", d.To, d.What, d.State, d.Attempt, d.Cause)
				}
			}
			var calls []string
			for _, c := range w.ers.Received() {
				calls = append(calls, fmt.Sprintf("%s %d", c.Name, c.Status))
			}
			t.Fatalf("not within the time: %s; calls %v", what, calls)
		}
	}
}

// theCase gives the only case of a kind.
func (w *world) theCase(t *testing.T, kind pathway.Kind) *pathway.Case {
	t.Helper()
	records, err := w.app.store.Cases(context.Background(), flow.CaseQuery{Kind: string(kind)})
	if err != nil || len(records) != 1 {
		t.Fatalf("%d cases, %v", len(records), err)
	}
	var c pathway.Case
	if err := json.Unmarshal(records[0].State, &c); err != nil {
		t.Fatal(err)
	}
	return &c
}

func (w *world) told(kind string) (out [][]byte) {
	for _, m := range w.epr.Messages() {
		if bytes.Contains(m.Raw, []byte(kind)) {
			out = append(out, m.Raw)
		}
	}
	return out
}

func TestAReferralOfTheWorklistReachesTheEPRWithLetterPhotoAndPriority(t *testing.T) {
	files := sentFiles(t)
	ubrn := ""
	ctx, w := pulling(t, pullConfig, func(ers *sim.ERS) { ubrn = referred(t, ers, "TWO_WEEK_WAIT", files...) })
	w.eventually(t, ctx, "the EPR has it", func() bool { return len(w.told("REF^I12")) == 1 })
	m := w.told("REF^I12")[0]
	for what, part := range map[string]string{"UBRN": ubrn, "urgency": "TWO_WEEK_WAIT", "NHS number": "9990548609", "practice": "Y06601", "letter's description": "Referral letter"} {
		if !bytes.Contains(m, []byte(part)) {
			t.Errorf("no %s in\n%.3000s", what, m)
		}
	}
	if !bytes.Contains(m, []byte(base64.StdEncoding.EncodeToString(files[0].Body))) || bytes.Count(m, []byte("JVBERi")) != 2 {
		t.Error("the letter and the clinical information are not both in it")
	}
	c := w.theCase(t, pathway.Referral)
	if c.State != pathway.AwaitingTriage || c.Urgency != pathway.TwoWeekWait || len(c.Photos) != 3 || len(c.Obligations) != 0 || c.Channel["ubrn"] != ubrn || c.Business != "AWAITING_TRIAGE" {
		t.Errorf("%+v", c)
	}
	photo := 0
	for _, p := range c.Photos {
		if !p.Document {
			photo++
		}
	}
	if photo != 1 {
		t.Errorf("%d photos", photo)
	}
	if want := time.Now().AddDate(0, 0, 1); c.Due.Before(want) {
		t.Errorf("due %v: two working days by A004", c.Due)
	}
	for _, call := range w.ers.Received("A008", "A005", "A007") {
		if call.Header.Get("NHSD-End-User-Organisation-ODS") != "" || call.Header.Get("NHSD-eRS-Business-Function") != "" {
			t.Errorf("%s with a user's headers", call.Name)
		}
	}
	if n := len(w.ers.Received("object")); n != 2 {
		t.Errorf("%d downloads", n)
	}

	// What changes in e-RS afterwards reaches the case, and the EPR.
	if err := w.ers.Triage(ubrn, sim.Outcome{Outcome: "ACCEPT_REFER_BOOK_LATER", Comment: "Clinic in a week"}); err != nil {
		t.Fatal(err)
	}
	w.eventually(t, ctx, "the case is triaged", func() bool { return w.theCase(t, pathway.Referral).State == pathway.ProviderToAction })
	w.eventually(t, ctx, "the EPR hears", func() bool { return len(w.told("REF^I12")) == 2 })
	if err := w.ers.Cancel(ubrn); err != nil {
		t.Fatal(err)
	}
	w.eventually(t, ctx, "the case has ended", func() bool { return w.theCase(t, pathway.Referral).State == pathway.EndedNoticeDue })
	if n := len(w.ers.Received("A008")); n != 1 {
		t.Errorf("%d looks at the worklist: it is read twice a day", n)
	}
}

func TestWhatTheReferrerAddsFollows(t *testing.T) {
	files := sentFiles(t)
	late := files[1]
	late.Status = "PENDING"
	bad := sim.File{Name: "bad.doc", Type: "application/msword", Status: "THREATS_FOUND", Body: []byte("x")}
	ubrn := ""
	ctx, w := pulling(t, pullConfig, func(ers *sim.ERS) { ubrn = referred(t, ers, "ROUTINE", files[0], late, bad) })
	w.eventually(t, ctx, "the EPR has it", func() bool { return len(w.told("REF^I12")) == 1 })
	if m := w.told("REF^I12")[0]; bytes.Contains(m, []byte("image^jpeg")) || !bytes.Contains(m, []byte("THREATS_FOUND")) {
		t.Error("a photo that is being scanned came along, or nobody is told of the bad file")
	}
	c := w.theCase(t, pathway.Referral)
	if len(c.Tasks) != 1 || c.Tasks[0].Code != "unavailable-file" || c.Tasks[0].Owner != "Dermatology admin" || !strings.Contains(c.Tasks[0].Why, "ask Y06601") {
		t.Errorf("tasks %+v", c.Tasks)
	}
	// The letter changes, five minutes are over, and the scan.
	if err := w.ers.Scanned("mole.jpg", "AVAILABLE"); err != nil {
		t.Fatal(err)
	}
	if err := w.ers.Attach("r", ubrn, "", sim.File{Name: "more.pdf", Type: "application/pdf", Body: []byte("%PDF-1.4 more of the GP")}); err != nil {
		t.Fatal(err)
	}
	more := []byte(base64.StdEncoding.EncodeToString([]byte("%PDF-1.4 more of the GP")))
	w.eventually(t, ctx, "the EPR has the photo and the letter", func() bool {
		told := w.told("REF^I12") // in one message or two
		last := told[len(told)-1]
		return bytes.Contains(last, []byte("image^jpeg")) && bytes.Contains(last, more)
	})
	if n := len(w.theCase(t, pathway.Referral).Photos); n != 5 { // two PDFs of e-RS, two letters, a photo
		t.Errorf("%d files", n)
	}
	if n := len(w.ers.Received("object")); n != 3 {
		t.Errorf("%d downloads of three files", n)
	}
}

func TestAdviceOfTheWorklistOfASignedInUser(t *testing.T) {
	files := sentFiles(t)
	ubrn := ""
	ctx, w := pulling(t, signedIn.Replace(pullConfig), func(ers *sim.ERS) {
		var err error
		if ubrn, err = ers.Ask(sim.Sent{Patient: "9990548609", Priority: "URGENT", Service: "50001", Text: "Is this a naevus?", Files: files[1:]}); err != nil {
			t.Fatal(err)
		}
	})
	w.eventually(t, ctx, "the EPR has it", func() bool { return len(w.told("REF^I12")) == 1 })
	if m := w.told("REF^I12")[0]; !bytes.Contains(m, []byte("Is this a naevus?")) || !bytes.Contains(m, []byte("May be converted into a referral^L||N|")) {
		t.Errorf("%.3000s", m)
	}
	c := w.theCase(t, pathway.Advice)
	if c.State != pathway.AwaitingProvider || c.Request.Requester != "021600556514" || c.Request.Organisation != "Y06601" {
		t.Errorf("%+v", c)
	}
	if err := w.ers.Answer(ubrn, sim.Advice{Outcome: "REQUIRE_FURTHER_INFORMATION", Guidance: "How large?"}); err != nil {
		t.Fatal(err)
	}
	w.eventually(t, ctx, "more is asked for", func() bool { return w.theCase(t, pathway.Advice).State == pathway.InfoRequested })
	if err := w.ers.Attach("a", ubrn, "Six millimetres", sim.File{Name: "ruler.pdf", Type: "application/pdf", Body: []byte("%PDF-1.4 ruler")}); err != nil {
		t.Fatal(err)
	}
	w.eventually(t, ctx, "it was given", func() bool { return w.theCase(t, pathway.Advice).State == pathway.AwaitingProvider })
	w.eventually(t, ctx, "the EPR has it", func() bool { return len(w.told("REF^I12")) == 2 })
	if n := len(w.ers.Received("A023")); n < 2 {
		t.Errorf("%d looks", n)
	}
}

// A priority that is raised makes the case urgent, and somebody tells the EPR; one that is lowered changes nothing here.
func TestAPriorityThatIsRaisedInERS(t *testing.T) {
	ubrn := ""
	ctx, w := pulling(t, pullConfig, func(ers *sim.ERS) { ubrn = referred(t, ers, "ROUTINE") })
	w.eventually(t, ctx, "the EPR has it", func() bool { return len(w.told("REF^I12")) == 1 })
	if err := w.ers.Prioritise("r", ubrn, "TWO_WEEK_WAIT"); err != nil {
		t.Fatal(err)
	}
	w.eventually(t, ctx, "the case is urgent", func() bool { return w.theCase(t, pathway.Referral).Suspected() })
	c := w.theCase(t, pathway.Referral)
	if c.State != pathway.AwaitingTriage || c.Task("priority-raised") == nil || len(c.Obligations) != 1 || c.Obligations[0].Event != "N3-now-urgent" {
		t.Errorf("%s, tasks %+v, notices %+v", c.State, c.Tasks, c.Obligations)
	}
	if err := w.ers.Prioritise("r", ubrn, "ROUTINE"); err != nil {
		t.Fatal(err)
	}
	w.eventually(t, ctx, "the lowering is told", func() bool {
		c := w.theCase(t, pathway.Referral)
		return c.Task("urgency-lowered") != nil
	})
	if c := w.theCase(t, pathway.Referral); !c.Suspected() {
		t.Error("the case was lowered")
	}
}

// Advice that its provider converts in e-RS ends, and the referral that it became is a case of its own, under the same UBRN.
func TestAdviceThatIsConverted(t *testing.T) {
	ubrn := ""
	ctx, w := pulling(t, signedIn.Replace(pullConfig), func(ers *sim.ERS) {
		var err error
		if ubrn, err = ers.Ask(sim.Sent{Patient: "9990548609", Priority: "URGENT", Service: "50001", Text: "Is this a naevus?", Conversion: "AUTHORISED_TO_CONVERT"}); err != nil {
			t.Fatal(err)
		}
	})
	w.eventually(t, ctx, "the EPR has it", func() bool { return len(w.told("REF^I12")) == 1 })
	if _, err := w.ers.Refer(sim.Sent{Patient: "9990548609", Priority: "URGENT", Service: "50001", UBRN: ubrn, State: "TRIAGED_PROVIDER_TO_ACTION",
		Reason: "PROVIDER_CONVERTED_ADVICE_AND_GUIDANCE_ADMIN_TO_REFER"}); err != nil {
		t.Fatal(err)
	}
	if err := w.ers.Answer(ubrn, sim.Advice{Outcome: "PROVIDER_CONVERTED", Guidance: "We will see them"}); err != nil {
		t.Fatal(err)
	}
	w.eventually(t, ctx, "the EPR has the referral", func() bool { return len(w.told("REFERRAL^Referral to dermatology")) == 1 })
	if c := w.theCase(t, pathway.Referral); c.State != pathway.ProviderToAction || c.Channel["ubrn"] != ubrn {
		t.Errorf("%+v", c)
	}
	w.eventually(t, ctx, "the advice has ended", func() bool { return w.theCase(t, pathway.Advice).State == pathway.EndedNoticeDue })
}

// Two gateways on one Redis, with thirty referrals in e-RS: the worklist is read once, each of them is, and together the
// gateways keep the pace.
func TestTwoReplicasTakeAWorklistOnce(t *testing.T) {
	e, err := sim.StartERS("")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	const n, pace = 30, 40
	for range n {
		referred(t, e, "ROUTINE", sim.File{Name: "letter.pdf", Type: "application/pdf", Body: []byte("%PDF-1.4 letter")})
	}
	sink := startOrdered(t)
	var began, ended atomic.Int64
	e.Now = func() time.Time { // asked at every call
		now := time.Now()
		began.CompareAndSwap(0, now.UnixNano())
		ended.Store(now.UnixNano())
		return now
	}
	startFleet(t, 2, adaptertest.Redis(t).Addr(), sink.addr, func(text string) string {
		text = strings.Replace(text, "destinations:\n", fmt.Sprintf("  - {name: ers-list, kind: ers-worklist, base_url: %q, auth: {token: t}, services: ['50001'], rate: %d/s}\ndestinations:\n", e.Base(), pace), 1)
		return strings.Replace(text, "{case: referral}", "{source: ers-list}", 1)
	}).until("all have come", func() bool { return len(sink.all()) >= n })
	time.Sleep(500 * time.Millisecond) // for one too many
	seen := map[string]bool{}
	for _, a := range sink.all() {
		seen[a.placer] = true
	}
	read := map[string]int{}
	for _, c := range e.Received("A005") {
		read[c.Path]++
	}
	if len(seen) != n || len(sink.all()) != n || len(e.Received("A008")) != 1 || len(read) != n || len(e.Received("A005")) != n {
		t.Errorf("%d of %d referrals came in %d messages; %d looks, %d reads of %d", len(seen), n, len(sink.all()), len(e.Received("A008")), len(e.Received("A005")), len(read))
	}
	calls := len(e.Received("A004", "A005", "A007", "A008", "A042"))
	if took := time.Duration(ended.Load() - began.Load()); took < time.Duration(calls-1)*time.Second/pace*9/10 {
		t.Errorf("%d calls in %v: more than %d a second", calls, took, pace)
	}
}
