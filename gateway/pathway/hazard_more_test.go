package pathway_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/fixtures/photos"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/image"
)

// What NHS Notify says may come twice and in any order: the end is the same. An answer that comes again changes nothing.
func TestHazard_H13_StaleOrOutOfOrderStatus(t *testing.T) {
	said := [][2]string{{"nhsapp", "sending"}, {"nhsapp", "delivered"}, {"", "failed"}, {"nhsapp", "skipped"}}
	w := newWard(t)
	for n, order := range permutations(len(said)) {
		if n%6 != 0 { // some of them will do
			continue
		}
		id := w.takes(request(fmt.Sprintf("R%d", n), "AG", "R"))
		w.settles("ag", flow.Delivered)
		w.settles("patient", flow.Delivered)
		for _, i := range append(order, order[0]) {
			w.notify(w.caseOf(id).Obligations[0].Ref, said[i][0], said[i][1])
		}
		if c := w.caseOf(id); c.Obligations[0].Status != pathway.NoticeTold || asks(c, "tell-patient") {
			t.Errorf("in the order %v: %+v", order, c.Obligations[0])
		}
	}
	id := w.takes(request("S1", "AG", "R"))
	w.settles("ag", flow.Delivered)
	w.takes(answer("A1", "S1", "Benign."))
	w.reviews(id, pathway.IWillRefer, "")
	before := w.caseOf(id)
	w.takes(answer("A2", "S1", "Benign."))
	if c := w.caseOf(id); c.State != before.State || len(w.to(id, "gp-system")) != 1 {
		t.Errorf("the same answer again made it %s, with %d messages home", c.State, len(w.to(id, "gp-system")))
	}
}

func permutations(n int) (out [][]int) {
	if n == 0 {
		return [][]int{nil}
	}
	for _, p := range permutations(n - 1) {
		for at := 0; at < n; at++ {
			out = append(out, slices.Insert(slices.Clone(p), at, n-1))
		}
	}
	return out
}

// What claims to be a photo and is a program, a page, a bomb or two things at once is refused by what it holds, and nothing
// of it is kept as work.
func TestHazard_H14_HostileFile(t *testing.T) {
	jpeg := photos.Lesion{Seed: 1, Width: 64, Height: 48, Quality: 50}.JPEG()
	bomb := bytes.Clone(jpeg)
	if at := bytes.Index(bomb, []byte{0xff, 0xc0}); at > 0 {
		copy(bomb[at+5:], []byte{0xff, 0xff, 0xff, 0xff}) // 65,535 by 65,535 pixels
	}
	w := newWard(t)
	for name, b := range map[string][]byte{"program": []byte("MZ\x90\x00" + strings.Repeat("x", 200)), "page": []byte("<html><script>alert(1)</script></html>"),
		"drawing": []byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="x()"/>`), "bomb": bomb, "half": jpeg[:len(jpeg)/2], "archive": []byte("PK\x03\x04" + strings.Repeat("x", 200))} {
		obx := "OBX||ED|OVERVIEW|L1|^image^jpeg^Base64^" + base64.StdEncoding.EncodeToString(b) + "||||||F\n"
		if r := w.accept(request("R-"+name, "AG", "R", consented, obx)); !r.Refused {
			t.Errorf("a %s was taken for a photo", name)
		}
	}
	if len(w.cases()) != 0 {
		t.Errorf("%d cases of refused messages", len(w.cases()))
	}
	clean, err := image.Strip(bytes.NewReader(append(bytes.Clone(jpeg), "PK\x03\x04 a second face <script>"...)))
	if err != nil {
		return // refused, which is as good
	}
	out := new(bytes.Buffer)
	if _, err := out.ReadFrom(readerAt(clean)); err != nil || bytes.Contains(out.Bytes(), []byte("<script>")) {
		t.Errorf("the second face is sent on (%v)", err)
	}
}

func readerAt(f image.File) *bytes.Reader {
	b := make([]byte, f.Size())
	_, _ = f.ReadAt(b, 0)
	return bytes.NewReader(b)
}

// Photos without a recorded consent, or with a refused one, stay; the request waits for its requester, and a release by name
// lets them go.
func TestHazard_H15_ConsentMissingOrWithdrawn(t *testing.T) {
	w := newWard(t)
	for name, consent := range map[string]string{"missing": "", "refused": "OBX||CE|PHOTOCONSENT||N^Refused^L||||||F\n", "withdrawn": "OBX||CE|PHOTOCONSENT||Y^Given^L||||||D\n"} {
		id := w.takes(request("R-"+name, "AG", "R", consent, photo(t, "OVERVIEW", "L1", "L1-overview.jpg", "")))
		c := w.caseOf(id)
		if c.State != pathway.Held || len(c.Withheld()) != 1 || !asks(c, "photo-consent") || c.Task("photo-consent").Owner != "G5612908" || len(w.to(id, "ag")) != 0 {
			t.Errorf("%s: %s, %d withheld, %d sent", name, c.State, len(c.Withheld()), len(w.to(id, "ag")))
		}
	}
	id := w.takes(request("R-given", "AG", "R", consented, photo(t, "OVERVIEW", "L1", "L1-overview.jpg", "")))
	if c := w.caseOf(id); c.State != pathway.Submitted || len(c.Sendable()) != 1 {
		t.Errorf("with consent: %s", c.State)
	}
}

// While nothing can be kept nothing is acknowledged: the sender is told to try again, and what it then sends is taken.
func TestHazard_H16_SilentDowntime(t *testing.T) {
	w := newWard(t)
	whole := w.Store
	w.Store = &failing{whole, 1}
	message := flow.Received{Source: "gp", At: tuesday, Format: flow.HL7v2, Raw: []byte(strings.ReplaceAll(request("R1", "AG", "R"), "\n", "\r"))}
	r, err := w.Accept(t.Context(), message)
	if !errors.Is(err, flow.ErrUnavailable) || len(r.Answer) > 0 || len(w.cases()) != 0 {
		t.Fatalf("acknowledged without being kept: %q %v", r.Answer, err)
	}
	if r, err = w.Accept(t.Context(), message); err != nil || r.Refused || !bytes.Contains(r.Answer, []byte("MSA|AA")) || len(w.cases()) != 1 {
		t.Errorf("afterwards: %q %v", r.Answer, err)
	}
	w.settles("ag", flow.Refused) // a destination that is down for good is somebody's
	if c := w.caseOf(r.Case); c.Task("send-failed") == nil || len(w.alarms) == 0 {
		t.Error("nobody is told that it did not arrive")
	}
}

// An instant keeps its offset through the gateway; working days are those of London, over both changes of the clocks and
// over bank holidays.
func TestHazard_H17_ClockAndTimezone(t *testing.T) {
	w := newWard(t)
	id := w.takes(strings.ReplaceAll(request("R1", "AG", "R"), "20261103101500\n", "20261103171500+0700\n"))
	del, _ := w.settles("ag", flow.Delivered)
	root, issues := fhir.Read([]byte(w.body(del)), fhir.ReadOptions{NoJudge: true})
	if issues.Worst() != nil {
		t.Fatal(issues)
	}
	authored := (&fhir.Bundle{Root: root}).First("ServiceRequest").Child("authoredOn").Text()
	at, err := time.Parse(time.RFC3339, authored)
	if err != nil || !at.Equal(tuesday) {
		t.Errorf("made at %s, %v (%s)", authored, err, id)
	}
	cal := pathway.Calendar{Zone: london}
	for _, c := range [][3]string{
		{"2026-03-27T16:00:00Z", "1wd", "2026-03-30T16:00:00+01:00"},      // over the change to summer time
		{"2026-10-23T16:00:00+01:00", "1wd", "2026-10-26T16:00:00Z"},      // and back
		{"2026-12-24T09:00:00Z", "2wd", "2026-12-30T09:00:00Z"},           // Christmas, and the Monday kept for Boxing Day
		{"2027-03-25T09:00:00Z", "1wd", "2027-03-30T09:00:00+01:00"},      // Easter, with the change of the clocks in it
		{"2026-11-03T23:30:00+07:00", "1wd", "2026-11-04T16:30:00+00:00"}, // told from elsewhere
	} {
		from, _ := time.Parse(time.RFC3339, c[0])
		want, _ := time.Parse(time.RFC3339, c[2])
		span, err := pathway.ParseSpan(c[1])
		if got := cal.After(from, span); err != nil || !got.Equal(want) {
			t.Errorf("%s + %s = %s, want %s", c[0], c[1], got.Format(time.RFC3339), c[2])
		}
	}
}

// Two lesions, one left and one right: each photo leaves with its own lesion and side, for every end.
func TestHazard_H18_WrongLesionOrSide(t *testing.T) {
	left, right := "|||||||||70559009^Skin of anterior surface of left forearm^SCT", "|||||||||36141000^Skin of right cheek^SCT"
	of := map[string]string{}
	for name, site := range map[string]string{"L1-overview.jpg": "L1 70559009", "L2-overview.jpg": "L2 36141000"} {
		b, err := photos.File(name)
		if err != nil {
			t.Fatal(err)
		}
		of[fmt.Sprintf("%x", sha256.Sum256(b))] = site
	}
	segments := []string{consented, photo(t, "OVERVIEW", "L1", "L1-overview.jpg", left), photo(t, "OVERVIEW", "L2", "L2-overview.jpg", right)}
	w := newWard(t)
	id := w.takes(request("R1", "DERM", "R", segments...))
	del, _ := w.settles("epr", flow.Delivered)
	n := 0
	// which gives the site that the original of what left was sent with.
	which := func(data string) string {
		b, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, ph := range w.caseOf(id).Photos {
			if ph.SHA256 == fmt.Sprintf("%x", sha256.Sum256(b)) {
				return of[ph.Original]
			}
		}
		return ""
	}
	for _, line := range strings.Split(w.body(del), "\r") {
		f := strings.Split(line, "|")
		if f[0] != "OBX" || len(f) < 21 || !strings.Contains(f[5], "Base64") {
			continue
		}
		data := f[5][strings.LastIndex(f[5], "^")+1:]
		if got := f[4] + " " + strings.Split(f[20], "^")[0]; which(data) != got {
			t.Errorf("a photo of %q left for the EPR as %q", which(data), got)
		}
		n++
	}
	id = w.takes(request("R2", "AG", "R", segments...))
	del, _ = w.settles("ag", flow.Delivered)
	root, issues := fhir.Read([]byte(w.body(del)), fhir.ReadOptions{NoJudge: true})
	if issues.Worst() != nil {
		t.Fatal(issues)
	}
	b := &fhir.Bundle{Root: root}
	for m := range b.All("Media") {
		data := b.Resolve(m.At("content.url").Text()).Child("data").Text()
		if got := fhir.OwnExtension(m, "lesion") + " " + m.At("bodySite.coding.code").Text(); which(data) != got {
			t.Errorf("a photo of %q left for the platform as %q", which(data), got)
		}
		n++
	}
	if n != 4 {
		t.Errorf("%d photos left", n)
	}
}

// Suspected cancer that is asked as advice has the clock of its urgency, goes first, and its sender is warned in the ACK.
func TestHazard_H19_SuspectedCancerAskedAsAdvice(t *testing.T) {
	w := newWard(t)
	w.takes(request("R1", "AG", "R"))
	r := w.accept(request("U1", "AG", "2WW"))
	if !bytes.Contains(r.Answer, []byte("MSA|AA")) || !bytes.Contains(r.Answer, []byte("ERR")) {
		t.Errorf("the sender is not warned: %q", r.Answer)
	}
	if del, _ := w.settles("ag", flow.Delivered); del.Case != r.Case {
		t.Error("a routine question went first")
	}
	c := w.caseOf(r.Case)
	cal := pathway.Calendar{Zone: london}
	due, _ := pathway.DefaultTimers().Due(c, cal)
	if c.State != pathway.AwaitingProvider || due.After(cal.After(tuesday, pathway.Span{Days: 2})) {
		t.Errorf("%s, due %s", c.State, due)
	}
}

// A map that is edited while the gateway runs is read whole and held against the grammar before it is in force, and what was
// accepted before is sent on by the maps of its own decision. A second approver is not asked for yet: the hazard log says so.
func TestHazard_H20_LiveMapEdit(t *testing.T) {
	w := newWard(t)
	set, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	id := w.takes(request("R1", "AG", "2WW"))
	del, _ := w.settles("ag", flow.Delivered)
	if del.Maps != set.Digest() || w.caseOf(id).Urgency != pathway.TwoWeekWait {
		t.Errorf("the message does not say which maps read it: %q", del.Maps)
	}
	m, err := w.Store.Message(t.Context(), del.Message)
	if err != nil || m.Maps != set.Digest() {
		t.Errorf("nor does what came: %q %v", m.Maps, err)
	}
}

// An answer that is amended after the case has ended is not lost: it reaches the GP system, or opens a linked case that brings
// it, and a person must read it.
func TestHazard_H21_AmendmentAfterTheEnd(t *testing.T) {
	w := newWard(t)
	id := w.takes(request("R1", "AG", "R"))
	w.settles("ag", flow.Delivered)
	w.settles("patient", flow.Delivered)
	w.notify(w.caseOf(id).Obligations[0].Ref, "nhsapp", "read")
	w.takes(answer("A1", "R1", "Benign."))
	w.reviews(id, pathway.ManageInPrimaryCare, "It is harmless.")
	w.settles("patient", flow.Delivered)
	w.notify(w.caseOf(id).Obligations[1].Ref, "nhsapp", "read")
	w.settles("gp-system", flow.Delivered)
	if c := w.caseOf(id); c.State != pathway.Closed {
		t.Fatalf("%s", c.State)
	}
	w.takes(answer("A2", "R1", "Not benign after all."))
	home, read := 0, false
	for _, r := range w.cases() {
		home += len(w.to(r.ID, "gp-system"))
		c := w.caseOf(r.ID)
		read = read || c.State == pathway.Responded || asks(c, "late-answer") || asks(c, "told-before-amendment")
	}
	if home != 2 || !read {
		t.Errorf("%d messages home, somebody must read it: %v", home, read)
	}
}

// Flagged patients: each flag, from FHIR or HL7 v2, leads to a way that suits it or to a person, never to the standard message; a
// restricted record's address leaves in no message.
func TestHazard_H22_UnsafeNotice(t *testing.T) {
	const app, letter, large = "00000000-0000-0000-0000-000000000001", "b838b13c-0000-0000-0000-00000000000a", "b838b13c-0000-0000-0000-00000000000b"
	yes := func(code string) string { return "OBX||CE|" + code + "||Y||||||F\n" }
	born := func(date string) func(string) string {
		return func(s string) string { return strings.Replace(s, "19680412", date, 1) }
	}
	language := func(code string) func(string) string {
		return func(s string) string { return strings.Replace(s, "SE1 9ZZ^GBR", "SE1 9ZZ^GBR||||"+code, 1) }
	}
	for name, c := range map[string]struct {
		obx  string
		edit func(string) string
		plan string // "": a person
		text string
	}{
		"nobody in particular": {"", nil, "b838b13c-0000-0000-0000-00000000000c", "Dear Rosalind Testcase"},
		"restricted":           {yes("SENSITIVE"), nil, "", ""},
		"restricted by PD1-12": {"", func(s string) string { return strings.Replace(s, "OBX|1|", "PD1||||||||||||Y\nOBX|1|", 1) }, "", ""},
		"unsafe phone":         {yes("UNSAFEPHONE"), nil, letter, ""},
		"no phone":             {"OBX||CE|CONTACTMETHOD||8||||||F\n", nil, app, ""},
		"large print":          {"OBX||CE|CONTACTFORMAT||11||||||F\n", nil, large, ""},
		"Braille":              {yes("BRAILLE"), nil, "", ""},
		"interpreter":          {yes("INTERPRETER"), nil, "", ""},
		"interpreter, Welsh":   {yes("INTERPRETER"), language("cym"), "b838b13c-0000-0000-0000-00000000000c", "Annwyl Rosalind Testcase"},
		"Polish":               {"", language("pol"), "", ""},
		"English":              {"", language("eng"), "b838b13c-0000-0000-0000-00000000000c", ""},
		"sign language":        {yes("BSL"), nil, "", ""},
		"a proxy":              {yes("PROXY"), nil, "", ""},
		"a child":              {"", born("20150412"), "", ""},
		"sixteen":              {"", born("20100412"), app, ""},
		"no birth date":        {"", born(""), "", ""},
	} {
		w := newWard(t, func(_ *flow.SourceRules, p *flow.Pipeline) {
			e := &p.Endpoints[3]
			e.RoutingPlan, e.Plans = "b838b13c-0000-0000-0000-00000000000c", flow.Plans{App: app, Letter: letter, LargePrint: large}
		})
		raw := request("R1", "AG", "R", c.obx)
		if c.edit != nil {
			raw = c.edit(raw)
		}
		id := w.takes(raw)
		out, _ := w.settles("ag", flow.Delivered)
		got := w.caseOf(id)
		if c.plan == "" {
			if got.Obligations[0].Status != pathway.NoticePerson || !asks(got, "tell-patient") || len(w.to(id, "patient")) != 0 {
				t.Errorf("%s: %+v", name, got.Obligations[0])
			}
		} else {
			del, _ := w.settles("patient", flow.Delivered)
			if body := w.body(del); !strings.Contains(body, c.plan) || !strings.Contains(body, c.text) || c.plan == app && strings.Contains(body, "sms_body") {
				t.Errorf("%s: %s", name, body)
			}
		}
		if restricted := strings.HasPrefix(name, "restricted"); restricted == strings.Contains(w.body(out), "14 Sample Street") {
			t.Errorf("%s: the address in what leaves: %v", name, !restricted)
		}
	}
	w := newWard(t) // what becomes known later stops what was queued before
	id := w.takes(request("R1", "AG", "R"))
	w.settles("ag", flow.Delivered)
	w.takes("MSH|^~\\&|PAS|RXX01|DERMGATE|RXX01|20261103101500||ADT^A31^ADT_A05|U1|P|2.4|||AL|NE|GBR|UNICODE UTF-8\nEVN||20261103101500\n" + patientMary + "\nPD1||||||||||||Y\nPV1||N\n")
	if _, result := w.settles("patient", flow.Delivered); result != flow.Refused || w.caseOf(id).Obligations[0].Status != pathway.NoticePerson {
		t.Errorf("it went all the same: %s %+v", result, w.caseOf(id).Obligations[0])
	}
}

// hazardTest is the name of a hazard's test.
var hazardTest = regexp.MustCompile(`TestHazard_H(\d\d)_\w+`)

// TestTheHazardLogNamesTheTests: each row of the hazard log names a test that is here, each test has its row, and there are
// as many as pathway.md §5.1 has.
func TestTheHazardLogNamesTheTests(t *testing.T) {
	log, err := os.ReadFile("../../docs/safety/hazard-log.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, line := range strings.Split(string(log), "\n") {
		if m := regexp.MustCompile(`^\| H(\d+) \|`).FindStringSubmatch(line); m != nil {
			rows[fmt.Sprintf("%02s", m[1])] = line
		}
	}
	tests := map[string]string{}
	for _, file := range []string{"hazard_test.go", "hazard_more_test.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (TestHazard_H(\d\d)_\w+)\(`).FindAllStringSubmatch(string(source), -1) {
			tests[m[2]] = m[1]
		}
	}
	if len(tests) != 22 || len(rows) != 22 {
		t.Errorf("%d tests, %d rows", len(tests), len(rows))
	}
	for number, name := range tests {
		if named := hazardTest.FindAllString(rows[number], -1); !slices.Equal(named, []string{name}) {
			t.Errorf("the row of H%s names %v, the test is %s", number, named, name)
		}
		for _, file := range regexp.MustCompile("`([a-z/]+/[\\w.-]+\\.(?:go|yaml|json|md))`").FindAllStringSubmatch(rows[number], -1) {
			if _, err := os.Stat("../../" + file[1]); err != nil {
				t.Errorf("H%s: %v", number, err)
			}
		}
	}
}
