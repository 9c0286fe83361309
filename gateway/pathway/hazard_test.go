package pathway_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/ers"
	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/fixtures/photos"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/image"
)

// The hazards of docs/safety/hazard-log.md: each has one test here, which exercises the control itself.

// One identifier of an answer swapped at a time: none reaches the case, none is lost. A number with a wrong check digit is
// refused, and a merge of records stops the case.
func TestHazard_H01_WrongPatient(t *testing.T) {
	w := newWard(t)
	id := w.takes(request("R1", "AG", "R"))
	w.settles("ag", flow.Delivered)
	for name, swap := range map[string][2]string{
		"another NHS number": {"9990001014", "9990001022"}, "another request": {"REFR1", "REFR9"},
	} {
		r := w.accept(strings.Replace(answer("A-"+name, "R1", "Benign."), swap[0], swap[1], 1))
		w.work()
		if c := w.caseOf(id); c.State != pathway.AwaitingProvider || len(w.to(id, "gp-system")) != 0 {
			t.Errorf("%s: the answer went into the case: %s", name, c.State)
		}
		held := w.deliveries(flow.DeliveryQuery{To: flow.ToCase})
		if !r.Refused && !slices.ContainsFunc(held, func(d flow.Delivery) bool { return d.Message == r.Message && d.State != flow.Done }) {
			t.Errorf("%s: the answer is neither refused nor held", name)
		}
	}
	if r := w.accept(strings.Replace(request("R2", "AG", "R"), "9990001014", "9990001015", 1)); !r.Refused || len(w.cases()) != 1 {
		t.Error("an NHS number with a wrong check digit was taken")
	}
	w.takes("MSH|^~\\&|PAS|RXX01|DERMGATE|RXX01|20261103101500||ADT^A40^ADT_A39|M1|P|2.4|||AL|NE|GBR|UNICODE UTF-8\n" +
		"EVN||20261103101500\nPID|1||9990001030^^^NHS^NH||Testcase^Rosalind||19680412|2\nMRG|9990001014^^^NHS^NH\n")
	if c := w.caseOf(id); c.Stopped == "" || !asks(c, "merge") {
		t.Error("a merge of the patient's record did not stop the case")
	}
}

// e-RS replaces the whole set of a referral's attachments (A012): what was attached before stays, and a file whose scan
// finds something is told by name.
func TestHazard_H02_LostImage(t *testing.T) {
	outside, err := sim.StartERS("")
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	files := map[string][]byte{}
	dest := &ers.Destination{Client: ers.Client{Base: outside.Base(), ODS: "Y06601", BusinessFunction: "REFERRING_CLINICIAN",
		Token: func(context.Context, string) (string, error) { return "t", nil }}, Specialty: "DERMATOLOGY", Now: func() time.Time { return tuesday },
		OpenBody: func(_ context.Context, r flow.BodyRef) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(r.Inline)), nil
		},
		OpenPart: func(_ context.Context, r flow.BodyRef) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(files[r.SHA256])), nil
		}}
	part := func(content string) flow.BodyRef {
		sha := fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
		files[sha] = []byte(content)
		return flow.BodyRef{Blob: sha, SHA256: sha, Size: int64(len(content)), Type: "image/jpeg"}
	}
	one, two := part("overview"), part("dermoscopic")
	raw, err := os.ReadFile("../../adapters/ers/testdata/request.json")
	if err != nil {
		t.Fatal(err)
	}
	body := strings.NewReplacer("PHOTO1", one.SHA256, "PHOTO2", two.SHA256).Replace(string(raw))
	deliver := func(what, note string, parts ...flow.BodyRef) flow.Outcome {
		del := flow.Delivery{ID: flow.NewID(1, what, note, fmt.Sprint(len(files), parts)), Case: flow.NewID(1, "c"), What: what, Note: note, Key: "key-" + what, Created: tuesday, Attempt: 1,
			Body: flow.BodyRef{Inline: []byte(body), Size: int64(len(body))}, Parts: parts}
		o, err := dest.Deliver(t.Context(), del, func(s flow.Step) error { del.Steps = append(del.Steps, s); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	ubrn := deliver(ers.Referral, "").Facts[ers.FactUBRN]
	deliver(ers.Photos, ubrn, one)
	before, _ := outside.Request("r", ubrn)
	o := deliver(ers.Photos, ubrn, two)
	after, _ := outside.Request("r", ubrn)
	if o.Result != flow.Delivered || len(after.Files) != len(before.Files)+1 {
		t.Fatalf("%s: %d files before, %d after", o.Result, len(before.Files), len(after.Files))
	}
	for _, f := range before.Files {
		if !slices.ContainsFunc(after.Files, func(g sim.Upload) bool { return bytes.Equal(f.Body, g.Body) }) {
			t.Errorf("%s is gone", f.Name)
		}
	}
}

// A suspected cancer that came behind many routine requests is claimed first, waits neither for photos nor for consent, and
// has its clock over a bank holiday.
func TestHazard_H03_LateSuspectedCancer(t *testing.T) {
	w := newWard(t)
	for i := range 20 {
		w.takes(request(fmt.Sprintf("R%d", i), "DERM", "R"))
	}
	id := w.takes(request("U1", "DERM", "2WW", photo(t, "OVERVIEW", "L1", "L1-overview.jpg", ""))) // no consent
	if c := w.caseOf(id); c.State != pathway.Submitted || len(c.Withheld()) != 1 || !asks(c, "photo-consent") {
		t.Fatalf("it waits: %s, %d photos withheld", c.State, len(c.Withheld()))
	}
	if del, _ := w.settles("epr", flow.Delivered); del.Case != id {
		t.Error("a routine request went before it")
	}
	due, ok := pathway.DefaultTimers().Due(&pathway.Case{Kind: pathway.Referral, State: pathway.AwaitingTriage, Urgency: pathway.TwoWeekWait,
		Entered: time.Date(2026, 12, 24, 9, 0, 0, 0, london)}, pathway.Calendar{Zone: london})
	if !ok || due.Format(time.DateOnly) != "2026-12-30" {
		t.Errorf("two working days from Christmas Eve end on %s", due.Format(time.DateOnly))
	}
	w.rings(id, tuesday.AddDate(0, 0, 20))
	if c := w.caseOf(id); c.Task(pathway.TaskOverdue) == nil || !slices.Contains(w.alarms, "overdue") {
		t.Error("nobody is asked when it is late")
	}
}

// The e-RS code comes out of every channel as it went in; a lowering of a suspected cancer raises an alarm and a task, and
// leaves the case as urgent as it was.
func TestHazard_H04_PriorityLostOrLowered(t *testing.T) {
	w := newWard(t)
	n := 0
	for code, want := range map[string]string{"2WW": pathway.TwoWeekWait, "U": pathway.Urgent, "R": pathway.Routine} {
		for kind, to := range map[string]string{"AG": "ag", "DERM": "epr"} {
			n++
			id := w.takes(request(fmt.Sprintf("P%d", n), kind, code))
			del, _ := w.settles(to, flow.Delivered)
			out := w.body(del)
			got := ""
			if to == "ag" {
				root, issues := fhir.Read([]byte(out), fhir.ReadOptions{NoJudge: true})
				if issues.Worst() != nil {
					t.Fatal(issues)
				}
				got = fhir.OwnExtension((&fhir.Bundle{Root: root}).First("ServiceRequest"), "ers-priority")
			} else if m, err := hl7.Parse([]byte(out)); err == nil {
				got = w.priorityOf(m)
			}
			if got != want || w.caseOf(id).Urgency != want {
				t.Errorf("%s of %s left for %s as %q", code, kind, to, got)
			}
		}
	}
	id := w.takes(request("D1", "AG", "2WW"))
	w.settles("ag", flow.Delivered)
	w.takes(answer("A1", "D1", "Seborrhoeic keratosis.", coded("OUTCOME", "RETURN_TO_REFERRER_WITH_ADVICE"), coded("PRIORITY", "ROUTINE")))
	if c := w.caseOf(id); c.Urgency != pathway.TwoWeekWait || !asks(c, "urgency-lowered") || !slices.Contains(w.alarms, "urgency-lowered") {
		t.Errorf("lowered in silence: %s, %v", c.Urgency, w.alarms)
	}
}

// priorityOf reads a request in HL7 v2 back, as its receiver would with the same rules.
func (w *ward) priorityOf(m *hl7.Message) string {
	rules := w.Sources["gp"]
	got := w.Translate(w.Context(), flow.Received{Source: "gp", At: w.clock, Format: flow.HL7v2, Raw: m.Bytes()}, rules)
	if got.Facts.Urgency != "" {
		return got.Facts.Urgency
	}
	return fhir.OwnExtension(got.Bundle.First("ServiceRequest"), "ers-priority")
}

// A request for which no destination is configured is refused, not kept in silence; one that its destination refuses has
// not been sent: the case says so, and somebody owns it.
func TestHazard_H05_Misrouted(t *testing.T) {
	nowhere := newWard(t, func(_ *flow.SourceRules, p *flow.Pipeline) { p.Routes = p.Routes[:1] })
	if r := nowhere.accept(request("R1", "DERM", "R")); !r.Refused || len(nowhere.cases()) != 0 {
		t.Error("a request that goes nowhere was taken")
	}
	if r := nowhere.accept(request("R2", "NEITHER", "R")); !r.Refused {
		t.Error("a request of no known kind was taken")
	}
	w := newWard(t)
	id := w.takes(request("R1", "AG", "R"))
	w.settles("ag", flow.Refused)
	c := w.caseOf(id)
	if c.State != pathway.SendFailed || len(c.Obligations) != 0 || c.Task("send-failed") == nil || c.Task("send-failed").Owner != "Interface team" {
		t.Errorf("a refusal counts as sent: %s, %+v", c.State, c.Tasks)
	}
	if del := w.to(id, "ag")[0]; del.State != flow.Parked {
		t.Errorf("the refused request is %s", del.State)
	}
}

// The same message any number of times, at once and one after another, is one case and one message out, with one answer; the
// store breaking off in between changes nothing of that. Other bytes under the same control id are refused.
func TestHazard_H06_Duplicate(t *testing.T) {
	w := newWard(t)
	raw := request("R1", "AG", "R")
	answers := make([]string, 8)
	var at sync.WaitGroup
	for i := range answers {
		at.Go(func() {
			r, err := w.Accept(w.Context(), flow.Received{Source: "gp", At: w.clock, Format: flow.HL7v2, Raw: []byte(strings.ReplaceAll(raw, "\n", "\r"))})
			if err != nil {
				t.Error(err)
			}
			answers[i] = string(r.Answer)
		})
	}
	at.Wait()
	slices.Sort(answers)
	if len(slices.Compact(answers)) != 1 || len(w.cases()) != 1 {
		t.Fatalf("%d cases", len(w.cases()))
	}
	id := w.cases()[0].ID
	if n := len(w.to(id, "ag")); n != 1 {
		t.Errorf("%d requests leave", n)
	}
	if _, err := w.Accept(w.Context(), flow.Received{Source: "gp", At: w.clock, Format: flow.HL7v2,
		Raw: []byte(strings.ReplaceAll(strings.Replace(raw, "left", "right", 1), "\n", "\r"))}); err == nil && len(w.cases()) != 1 {
		t.Error("other bytes under the same control id are a second case")
	}
	frail := newWard(t)
	whole := frail.Store
	frail.Store = &failing{whole, 2}
	var r flow.Receipt
	var err error
	for range 5 {
		if r, err = frail.Accept(t.Context(), flow.Received{Source: "gp", At: tuesday, Format: flow.HL7v2, Raw: []byte(strings.ReplaceAll(raw, "\n", "\r"))}); err == nil {
			break
		}
	}
	if err != nil || r.Refused || len(frail.cases()) != 1 || len(frail.to(r.Case, "ag")) != 1 {
		t.Errorf("after a store that broke off: %v, %d cases", err, len(frail.cases()))
	}
}

// failing is a store that cannot keep the next so many changes.
type failing struct {
	flow.Store
	left int
}

func (f *failing) Put(ctx context.Context, c flow.Change) (flow.Receipt, error) {
	if f.left > 0 {
		f.left--
		return flow.Receipt{}, fmt.Errorf("put: %w", flow.ErrUnavailable)
	}
	return f.Store.Put(ctx, c)
}

// Advice of 8,000 characters with every awkward one in it comes home whole; a notice one character over its channel is
// nobody's to cut: a person tells the patient.
func TestHazard_H07_TruncatedAdvice(t *testing.T) {
	w := newWard(t)
	w.takes(request("R1", "AG", "R"))
	w.settles("ag", flow.Delivered)
	said := strings.Repeat("Naïve mole 🩺 | ^ ~ \\ & watch. ", 300)
	said = string([]rune(said)[:7999]) + "."
	w.takes(answer("A1", "R1", strings.NewReplacer(`\`, `\E\`, "|", `\F\`, "^", `\S\`, "~", `\R\`, "&", `\T\`).Replace(said)))
	del, _ := w.settles("gp-system", flow.Delivered)
	m, err := hl7.Parse([]byte(w.body(del)))
	if err != nil {
		t.Fatal(err)
	}
	home := ""
	for i := 1; i < 100; i++ {
		if v := m.Get(hl7.MustPath(fmt.Sprintf("OBX[%d]-3.1", i))).Text(); v == "ADVICE" {
			home += m.Get(hl7.MustPath(fmt.Sprintf("OBX[%d]-5", i))).Text()
		}
	}
	if home != said {
		t.Errorf("%d of %d characters came home", len([]rune(home)), len([]rune(said)))
	}
	read := func(name, words string) (flow.ID, pathway.Obligation) {
		id := w.takes(request(name, "AG", "R"))
		w.settles("ag", flow.Delivered)
		w.settles("patient", flow.Delivered)
		w.takes(answer("A"+name, name, "Benign."))
		w.reviews(id, pathway.ManageInPrimaryCare, words)
		return id, w.caseOf(id).Obligations[1]
	}
	w.settles("patient", flow.Delivered)
	read("R2", "x")
	del, _ = w.settles("patient", flow.Delivered)
	frame := len([]rune(notifyText(t, w.body(del)))) - 1 // what stands around the words
	if _, o := read("R3", strings.Repeat("x", 5000-frame)); o.Status != pathway.NoticeOpen {
		t.Errorf("a notice of 5,000 characters: %s %s", o.Status, o.By)
	}
	del, _ = w.settles("patient", flow.Delivered)
	if text := notifyText(t, w.body(del)); len([]rune(text)) != 5000 {
		t.Errorf("it goes with %d characters", len([]rune(text)))
	}
	if id, o := read("R4", strings.Repeat("x", 5001-frame)); o.Status != pathway.NoticePerson || !asks(w.caseOf(id), "tell-patient") {
		t.Errorf("a notice of 5,001 characters: %s", o.Status)
	}
}

// A photo is made smaller only where its destination takes less, never under the floor; it is upright whatever its EXIF
// says; the original is kept as it came, and what is derived says so.
func TestHazard_H08_ImageQualityLoss(t *testing.T) {
	whole := photos.Lesion{Seed: 1, Width: 512, Height: 384, Quality: 92}.JPEG()
	same, err := image.Fit(bytes.NewReader(whole), image.Limits{}, image.Target{Bytes: int64(len(whole))}, image.Floor{})
	if err != nil || same.Step != image.Untouched {
		t.Errorf("a photo that fits is touched: %v %v", same, err)
	}
	if _, err := image.Fit(bytes.NewReader(whole), image.Limits{}, image.Target{Bytes: 1500}, image.Floor{}); err == nil {
		t.Error("a photo was made smaller than the floor allows")
	}
	small, err := image.Fit(bytes.NewReader(whole), image.Limits{}, image.Target{Bytes: int64(len(whole)) * 9 / 10}, image.Floor{})
	if err != nil || small.Size() > int64(len(whole))*9/10 || small.Step == image.Untouched || small.Original.Bytes != int64(len(whole)) {
		t.Fatalf("%+v %v", small, err)
	}
	for orientation := uint16(1); orientation <= 8; orientation++ {
		turned, err := image.Strip(bytes.NewReader(photos.WithEverything(whole, orientation)))
		if err != nil {
			t.Fatal(err)
		}
		facts, err := image.Inspect(turned, image.Limits{})
		if err != nil || facts.Orientation != int(orientation) || len(facts.Private) > 0 {
			t.Errorf("orientation %d became %d, private %v, %v", orientation, facts.Orientation, facts.Private, err)
		}
	}
	w := newWard(t)
	id := w.takes(request("R1", "AG", "R", consented, photo(t, "OVERVIEW", "L1", "L1-overview.jpg", "")))
	ph := w.caseOf(id).Photos[0]
	original := w.Bodies.(shelf)[ph.Keep]
	if came, _ := photos.File("L1-overview.jpg"); !bytes.Equal(original, came) || ph.Original != fmt.Sprintf("%x", sha256.Sum256(came)) {
		t.Error("the original is not kept as it came")
	}
}

// INV1: whatever happens to a case of advice, in whatever order, nothing that makes a referral leaves.
func TestHazard_H09_AdviceTakenAsReferral(t *testing.T) {
	everything := func(_ *flow.SourceRules, p *flow.Pipeline) {
		p.Endpoints = append(p.Endpoints, flow.Endpoint{Name: "ers", Kind: flow.ToERS})
		p.Routes = append(p.Routes, flow.Route{When: flow.When{Case: "referral"}, To: []string{"ers", "epr"}}, flow.Route{When: flow.When{Event: flow.Answered}, To: []string{"ers", "gp-system"}})
	}
	rnd := rand.New(rand.NewSource(1))
	w := newWard(t, everything)
	for trace := range 4 {
		name := fmt.Sprintf("R%d", trace)
		id := w.takes(request(name, "AG", "2WW"))
		w.settles("ag", flow.Delivered)
		for step := range 6 {
			if rnd.Intn(3) == 0 {
				w.reviews(id, []string{pathway.IWillRefer, pathway.AskedAgain, pathway.ManageInPrimaryCare}[rnd.Intn(3)], "")
				continue
			}
			w.takes(answer(fmt.Sprintf("A%d-%d", trace, step), name, fmt.Sprintf("Please refer, %d.", rnd.Intn(3)), coded("OUTCOME", "RETURN_TO_REFERRER_WITH_ADVICE"),
				coded("RECOMMENDATION", pathway.ReferralRecommended), coded("PRIORITY", pathway.TwoWeekWait)))
		}
		for _, del := range w.deliveries(flow.DeliveryQuery{Case: id}) {
			if del.What == "referral" || del.To == "ers" || del.To == "epr" {
				t.Fatalf("%s for %s left a case of advice", del.What, del.To)
			}
		}
		if c := w.caseOf(id); c.Kind != pathway.Advice {
			t.Errorf("it became a %s", c.Kind)
		}
	}
}

// INV2: of everything that NHS Notify may say, only that the message was read ends what is owed; the case ends with it, and
// not before. What failed, was skipped, refused or not heard of is a person's task.
func TestHazard_H10_PatientNotTold(t *testing.T) {
	for name, c := range map[string]struct{ channel, says, status string }{
		"read": {"nhsapp", "delivered", pathway.NoticeTold}, "failed": {"", "failed", pathway.NoticePerson}, "the App failed": {"nhsapp", "failed", pathway.NoticePerson},
		"skipped": {"nhsapp", "skipped", pathway.NoticePerson}, "text arrived": {"sms", "delivered", pathway.NoticeOpen}, "mail arrived": {"email", "delivered", pathway.NoticeOpen},
		"letter posted": {"letter", "delivered", pathway.NoticeOpen}, "some channel": {"", "delivered", pathway.NoticeOpen}, "on its way": {"nhsapp", "sending", pathway.NoticeOpen},
		"silence": {"", "", pathway.NoticePerson}, "refused": {"", "refused", pathway.NoticePerson},
	} {
		w := newWard(t)
		id := w.takes(request("R1", "AG", "R"))
		w.settles("ag", flow.Delivered)
		switch name {
		case "silence":
			w.settles("patient", flow.Delivered)
			w.rings(id, tuesday.AddDate(0, 0, 2))
		case "refused":
			w.settles("patient", flow.Refused)
		default:
			w.settles("patient", flow.Delivered)
			w.notify(w.caseOf(id).Obligations[0].Ref, c.channel, c.says)
		}
		got := w.caseOf(id)
		if o := got.Obligations[0]; o.Status != c.status || (o.Status == pathway.NoticePerson) != asks(got, "tell-patient") {
			t.Errorf("%s: %s, by %s, tasks %+v", name, o.Status, o.By, got.Tasks)
		}
	}
	w := newWard(t)
	id := w.takes(request("R1", "AG", "R"))
	w.settles("ag", flow.Delivered)
	w.takes(answer("A1", "R1", "Benign."))
	w.reviews(id, pathway.ManageInPrimaryCare, "It is harmless.")
	if c := w.caseOf(id); c.State != pathway.Reviewed {
		t.Fatalf("it ended with two notices owed: %s", c.State)
	}
	for i := range 2 {
		w.settles("patient", flow.Delivered)
		w.notify(w.caseOf(id).Obligations[i].Ref, "nhsapp", "read")
	}
	if c := w.caseOf(id); c.State != pathway.Closed {
		t.Errorf("the patient was told, and the case is %s", c.State)
	}
}

// No answer is told before its reader has released it; an amendment stops what was queued; an SMS says nothing; a cancer has
// no text, and only a clinician's word records that it was told.
func TestHazard_H11_WrongThingTold(t *testing.T) {
	w := newWard(t)
	id := w.takes(request("R1", "AG", "R"))
	w.settles("ag", flow.Delivered)
	w.settles("patient", flow.Delivered)
	w.takes(answer("A1", "R1", "Benign."))
	if n := len(w.to(id, "patient")); n != 1 {
		t.Fatalf("%d notices before the GP has read the answer", n)
	}
	w.reviews(id, pathway.ManageInPrimaryCare, "It is harmless.")
	w.takes(answer("A2", "R1", "Not benign after all."))
	c := w.caseOf(id)
	if o := c.Obligations[1]; o.Status != pathway.NoticeCancelled || c.State != pathway.Responded {
		t.Fatalf("after the amendment %+v, %s", o, c.State)
	}
	if del, result := w.settles("patient", flow.Refused); result != flow.Delivered || !strings.HasSuffix(del.What, "N4") {
		t.Errorf("what the amendment had cancelled went all the same: %s %s", del.What, result)
	}
	w.reviews(id, pathway.ManageInPrimaryCare, "It must be looked at again.")
	del, _ := w.settles("patient", flow.Delivered)
	if text := notifyText(t, w.body(del)); !strings.Contains(text, "looked at again") || strings.Contains(text, "harmless") {
		t.Errorf("the patient reads %q", text)
	}
	if err := w.Say(w.Context(), id, flow.Word{Verb: pathway.ActTold, Person: "op", Reason: "r", Notices: []string{"N9"}}); err == nil {
		t.Error("somebody who is no clinician attests that a cancer was told")
	}
	for range 2 { // pressed twice, it acts once
		if err := w.Say(w.Context(), id, flow.Word{Verb: pathway.ActTold, Person: "Dr Okafor", Clinician: true, Reason: "face to face", Notices: []string{"N9"}}); err != nil {
			t.Fatal(err)
		}
	}
	nine := 0
	for _, o := range w.caseOf(id).Obligations {
		if o.Notice == "N9" && o.Status == pathway.NoticeTold {
			nine++
		}
	}
	for _, del := range w.to(id, "patient") {
		if strings.Contains(del.What, "N9") {
			t.Error("a cancer diagnosis was sent")
		}
	}
	texts, err := flow.LoadNotices(nil)
	if err != nil {
		t.Fatal(err)
	}
	sms, _, _ := texts.Text("sms", flow.NoticeWords{Words: "melanoma", Suspected: true})
	if _, ok, _ := texts.Text("N9", flow.NoticeWords{}); ok || nine != 1 || strings.Contains(sms, "melanoma") || strings.Contains(sms, "cancer") {
		t.Errorf("%d attestations, SMS %q", nine, sms)
	}
}

// notifyText gives what the App shows of a request to NHS Notify.
func notifyText(t *testing.T, body string) string {
	t.Helper()
	_, text, ok := strings.Cut(body, `"body":"`)
	text, _, _ = strings.Cut(text, `"}`)
	if !ok {
		t.Fatalf("no text in %s", body)
	}
	return strings.NewReplacer(`\n`, "\n", `\"`, `"`).Replace(text)
}

// An answer that nobody reads asks its requester, and then who stands in for them, by the day; "please refer" the same day.
func TestHazard_H12_AnswerUnread(t *testing.T) {
	w := newWard(t)
	id := w.takes(request("R1", "AG", "R"))
	w.settles("ag", flow.Delivered)
	w.takes(answer("A1", "R1", "Please refer.", coded("OUTCOME", "RETURN_TO_REFERRER_WITH_ADVICE"), coded("RECOMMENDATION", pathway.ReferralRecommended)))
	w.rings(id, tuesday.Add(2*time.Hour))
	if asks(w.caseOf(id), pathway.TaskOverdue) {
		t.Error("it rang too early")
	}
	w.rings(id, tuesday.Add(13*time.Hour))
	c := w.caseOf(id)
	if c.State != pathway.Responded || !asks(c, pathway.TaskOverdue) || c.Task(pathway.TaskOverdue).Owner != "G5612908" {
		t.Fatalf("the requester is not asked the same day: %s %+v", c.State, c.Tasks)
	}
	w.rings(id, tuesday.AddDate(0, 0, 5))
	owners := map[string]bool{}
	for _, task := range w.caseOf(id).Tasks {
		owners[task.Owner] = true
	}
	if len(owners) < 2 {
		t.Errorf("nobody stands in for who does not read: %v", owners)
	}
}
