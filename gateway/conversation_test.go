package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/fixtures"
	"github.com/dermgate/dermgate/fixtures/photos"
	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/observe"
	"github.com/dermgate/dermgate/gateway/pathway"
)

// A conversation is a txtar file: its comment says what happens, `script` is what everybody does, and
// every other file is an input or an expected output (`got/…`). UPDATE=1 writes the outputs anew. The
// gateway runs as in the demo, or by the file `gateway.yaml` where there is one; ${MAPS} in it is a folder with the files
// under `maps/`.
//
// The script, a line a step:
//
//	mllp FILE [SOURCE]        a GP system sends it; the ACK is the next output got/NN-ack.hl7
//	fhir FILE                 posted to $process-message; the response is got/NN-response.json
//	transaction FILE          posted to the base of the FHIR listener
//	await STATE               the case that the script is about is in STATE
//	answer OUTCOME RECOMMENDATION PRIORITY FILE      the A&G platform's specialist answers
//	triage OUTCOME COMMENT…   the e-RS dermatologist decides;  book  books
//	review DECISION PERSON WORDS…     the GP has read the answer, and writes this to the patient
//	told NOTICE REASON…       a person says that the patient was told;  waive NOTICE CODE REASON…  a clinician waives it
//	tracking PERSON           cancer tracking takes over
//	release REASON…           the requester lets what is held go
//	release-merge REASON…     a person has made sure whose the case is
//	epr CODE                  the EPR answers the next message with this MSA-1
//	registered                the EPR takes nothing about a patient whose record it has not been sent
//	polled                    the A&G platform sends no answers: it is asked
//	parked N                  so many deliveries wait for a person
//	replay REASON…            an operator sends them again, as they are
//	refer PATIENT PRIORITY FILE…      a GP sends a referral in e-RS itself; its files are photos of the fixtures, and letters in the archive
//	practice WORD…            how the practice behind MESH behaves from now on: business=30002, infrastructure=none, ods=K81001, twice, reversed
//	home STATUS               all that went home by MESH is reached, failed or attested
//	received REASON PERSON    attest-received: a person says that who asked has the news
//	settle                    nothing is under way any more
//	trace                     an operator asks for the story of the newest case: got/NN-trace.txt
func TestConversations(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	files, err := filepath.Glob("../fixtures/conversations/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			converse(t, file)
		})
	}
}

// talk is one conversation under way.
type talk struct {
	t       *testing.T
	ctx     context.Context
	w       *world
	archive *txtar.Archive
	got     map[string][]byte
	step    int
	begun   time.Time
	log     *lockedBuffer
	name    string
}

func converse(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	k := &talk{t: t, ctx: ctx, archive: archive, got: map[string][]byte{}, begun: time.Now(), log: &lockedBuffer{}, name: strings.TrimSuffix(filepath.Base(file), ".txtar")}
	text := part(archive, "gateway.yaml")
	if text == nil {
		text = demoConfig
	}
	k.w, err = startWorld(ctx, k.siteMaps(text), [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}, observe.NewLogger(k.log, slog.LevelDebug))
	if err != nil {
		t.Fatal(err)
	}
	defer k.w.close()
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- k.w.app.run(running) }()
	for _, line := range strings.Split(strings.TrimSpace(string(part(archive, "script"))), "\n") {
		k.do(strings.Fields(line))
		if t.Failed() {
			t.Logf("log:\n%s", k.log.Bytes())
			break
		}
	}
	k.collect()
	metrics := k.get("http://" + k.w.app.admin.Addr().String() + "/metrics")
	stop()
	if err := <-done; err != nil {
		t.Errorf("the gateway ended with: %v", err)
	}
	k.compare(file)
	noPatients(k.t, "the log", k.log.Bytes())
	noPatients(k.t, "the metrics", metrics)
	for name, b := range k.got {
		if strings.HasSuffix(name, "-response.json") && bytes.Contains(b, []byte("OperationOutcome")) || strings.HasSuffix(name, "-ack.hl7") || strings.HasSuffix(name, "-trace.txt") {
			noPatients(k.t, name, b)
		}
	}
}

func (k *talk) do(words []string) {
	if len(words) == 0 || k.t.Failed() {
		return
	}
	verb, args := words[0], words[1:]
	var err error
	switch verb {
	case "mllp":
		err = k.mllp(args[0], strings.Join(args[1:], ""))
	case "fhir":
		err = k.fhir(args[0], "/$process-message")
	case "transaction":
		err = k.fhir(args[0], "")
	case "await":
		err = until(k.ctx, "the case is "+args[0], func() bool { c, ok := k.current(); return ok && string(c.State) == args[0] })
	case "answer":
		err = k.answer(args)
	case "triage":
		err = k.w.ers.Triage(k.ubrn(), sim.Outcome{Outcome: args[0], Comment: strings.Join(args[1:], " ")})
	case "book":
		err = k.w.ers.Book(k.ubrn())
	case "review":
		c, _ := k.current()
		err = k.w.emis.Review(k.ctx, sim.Review{ID: "review-1", Person: args[1], Decision: args[0], Words: strings.Join(args[2:], " "), Identifiers: []sim.Identifier{{System: "urn:dermgate:case", Value: c.ID}}})
	case "tracking":
		c, _ := k.current()
		err = k.w.emis.Review(k.ctx, sim.Review{ID: "tracking-1", Act: "cancer-tracking", Person: args[0], Identifiers: []sim.Identifier{{System: "urn:dermgate:case", Value: c.ID}}})
	case "epr":
		k.w.epr.Next(sim.Ack{Code: args[0]})
	case "polled":
		k.w.ag.Polled = true
	case "registered":
		k.w.epr.Registered = true
	case "parked":
		err = until(k.ctx, args[0]+" deliveries are parked", func() bool { return fmt.Sprint(len(k.parked().Deliveries)) == args[0] })
	case "replay":
		for _, d := range k.parked().Deliveries {
			if err == nil {
				err = k.act("replay", d.ID, "--reason", strings.Join(args, " "))
			}
		}
	case "refer":
		err = k.refer(args[0], args[1], args[2:])
	case "practice":
		err = k.practice(args)
	case "received":
		c, _ := k.current()
		err = k.w.emis.Review(k.ctx, sim.Review{ID: args[0], Act: "attest-received", Person: args[1], Identifiers: []sim.Identifier{{System: "urn:dermgate:case", Value: c.ID}}})
	case "home":
		err = until(k.ctx, "what went home is "+args[0], func() bool {
			c, ok := k.current()
			return ok && len(c.Homewards) > 0 && !slices.ContainsFunc(c.Homewards, func(h pathway.Homeward) bool { return h.Status != args[0] })
		})
	case "told":
		err = k.operate("told", "--notice", args[0], "--reason", strings.Join(args[1:], " "))
	case "waive":
		err = k.operate("waive", "--notice", args[0], "--because", args[1], "--reason", strings.Join(args[2:], " "))
	case "release":
		err = k.release(strings.Join(args, " "))
	case "release-merge":
		err = k.release(strings.Join(args, " "), "--merge")
	case "trace":
		err = k.trace()
	case "settle":
		err = until(k.ctx, "nothing is under way", k.settled)
	default:
		err = fmt.Errorf("no such step")
	}
	if err != nil {
		k.t.Errorf("%s: %v", strings.Join(words, " "), err)
	}
}

func (k *talk) output(kind string, b []byte) {
	k.step++
	k.got[fmt.Sprintf("got/%02d-%s", k.step, kind)] = b
}

func (k *talk) input(name string) ([]byte, error) {
	b := part(k.archive, name)
	if b == nil {
		return fixtures.Message(name)
	}
	return fixtures.Fill(b)
}

func (k *talk) mllp(name, source string) error {
	message, err := k.input(name)
	if err != nil {
		return err
	}
	conn, err := mllp.Dial(k.ctx, k.listens(source), nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	ack, err := conn.Exchange(k.ctx, message)
	k.output("ack.hl7", lines(ack))
	return err
}

// listens gives the address of an MLLP source, of the first for "".
func (k *talk) listens(source string) string {
	n := 0
	for _, s := range k.w.app.cfg.Sources {
		if s.Kind != config.MLLP {
			continue
		}
		if s.Name == source || source == "" {
			break
		}
		n++
	}
	return k.w.app.servers[n].Address()
}

// siteMaps writes the files under maps/ where a gateway.yaml finds them.
func (k *talk) siteMaps(text []byte) []byte {
	dir := k.t.TempDir()
	for _, f := range k.archive.Files {
		if name, ok := strings.CutPrefix(f.Name, "maps/"); ok {
			file := filepath.Join(dir, filepath.FromSlash(name))
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, f.Data, 0o644)); err != nil {
				k.t.Fatal(err)
			}
		}
	}
	return bytes.ReplaceAll(text, []byte("${MAPS}"), []byte(filepath.ToSlash(dir)))
}

func (k *talk) fhir(name, path string) error {
	message, err := k.input(name)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(k.ctx, http.MethodPost, k.w.systmone.FHIR+path, bytes.NewReader(message))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/fhir+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	var pretty bytes.Buffer
	if json.Indent(&pretty, body, "", "  ") != nil {
		pretty.Write(body)
	}
	k.output("response.json", fmt.Appendf(nil, "%s\n%s\n", resp.Status, pretty.Bytes()))
	return err
}

func (k *talk) get(url string) []byte {
	resp, err := http.Get(url)
	if err != nil {
		k.t.Error(err)
		return nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		k.t.Errorf("%s: %s %v", url, resp.Status, err)
	}
	return b
}

// current gives the newest case.
func (k *talk) current() (pathway.Case, bool) {
	records, err := k.w.app.store.Cases(k.ctx, flow.CaseQuery{})
	if err != nil || len(records) == 0 {
		return pathway.Case{}, false
	}
	var c pathway.Case
	err = json.Unmarshal(records[0].State, &c)
	return c, err == nil
}

func (k *talk) ubrn() string {
	c, _ := k.current()
	return c.Channel["ubrn"]
}

func (k *talk) answer(args []string) error {
	if err := until(k.ctx, "the platform has the request", func() bool { return len(k.w.ag.Requests()) > 0 }); err != nil {
		return err
	}
	text, err := k.input(args[3])
	if err != nil {
		return err
	}
	return k.w.ag.Answer(k.ctx, k.w.ag.Requests()[0].ID, sim.Advice{Outcome: args[0], Recommendation: args[1], Priority: args[2], Guidance: strings.TrimSpace(string(text))})
}

// act runs a verb against the gateway.
func (k *talk) act(args ...string) error {
	var out bytes.Buffer
	if run(k.ctx, append(args, "--server", "http://"+k.w.app.admin.Addr().String()), stdio{nil, &out, &out}) != 0 {
		return errors.New(out.String())
	}
	return nil
}

// parked gives what waits for a person.
func (k *talk) parked() (list parkedList) {
	var out bytes.Buffer
	run(k.ctx, []string{"parked", "--json", "--server", "http://" + k.w.app.admin.Addr().String()}, stdio{nil, &out, io.Discard})
	_ = json.Unmarshal(out.Bytes(), &list)
	return list
}

func (k *talk) refer(patient, priority string, names []string) error {
	x := sim.Sent{Patient: patient, Priority: priority, Service: "50001", Organisation: "Y06601"}
	for _, name := range names {
		f := sim.File{Name: name, Type: "application/pdf", Description: "Referral letter", Body: part(k.archive, name)}
		if f.Body == nil {
			body, err := photos.File(name)
			if err != nil {
				return err
			}
			f.Type, f.Description, f.Body = "image/jpeg", "Left forearm", body
		}
		x.Files = append(x.Files, f)
	}
	_, err := k.w.ers.Refer(x)
	return err
}

// practice changes how the practice behind MESH behaves. The patients of the fixtures are registered there.
func (k *talk) practice(words []string) error {
	for _, patient := range [][3]string{{"9990001014", "19680412", "Testcase"}, {"9990001022", "19551101", "Madeup"}} {
		k.w.mesh.Register(patient[0], patient[1], patient[2], practiceMailbox)
	}
	var err error
	k.w.mesh.Set(k.w.outside.practice, func(p *sim.Practice) {
		for _, word := range words {
			name, value, _ := strings.Cut(word, "=")
			switch name {
			case "business":
				p.Business = value
			case "infrastructure":
				p.Infrastructure = value
			case "ods":
				p.ODS = value
			case "twice":
				p.Twice = true
			case "reversed":
				p.Reversed = true
			default:
				err = fmt.Errorf("no such word: %s", word)
			}
		}
	})
	return err
}

func (k *talk) trace() error {
	c, ok := k.current()
	if !ok {
		return fmt.Errorf("no case")
	}
	var out, trouble bytes.Buffer
	code := run(k.ctx, []string{"trace", c.ID, "--server", "http://" + k.w.app.admin.Addr().String()}, stdio{nil, &out, &trouble})
	if code != 0 {
		return fmt.Errorf("%s", trouble.String())
	}
	k.output("trace.txt", out.Bytes())
	return nil
}

func (k *talk) release(reason string, flags ...string) error {
	return k.operate("release", append(flags, "--reason", reason)...)
}

// operate runs a verb about the newest case.
func (k *talk) operate(verb string, flags ...string) error {
	c, ok := k.current()
	if !ok {
		return fmt.Errorf("no case")
	}
	for range 2 { // pressed twice, it acts once
		var out bytes.Buffer
		code := run(k.ctx, append([]string{verb, c.ID, "--server", "http://" + k.w.app.admin.Addr().String()}, flags...), stdio{nil, &out, &out})
		if code != 0 {
			return fmt.Errorf("%s", out.String())
		}
	}
	return nil
}

// settled tells whether no delivery waits but polls and clocks.
func (k *talk) settled() bool {
	for _, to := range k.destinations() {
		for _, state := range []flow.State{flow.Waiting, flow.Claimed} {
			ds, err := k.w.app.store.Deliveries(k.ctx, flow.DeliveryQuery{To: to, State: state})
			if err != nil || len(ds) > 0 {
				return false
			}
		}
	}
	if k.w.mesh.Waiting(ourMailbox) > 0 {
		return false
	}
	c, ok := k.current()
	return !ok || !slices.ContainsFunc(c.Obligations, func(o pathway.Obligation) bool { return o.Status == pathway.NoticeOpen })
}

func (k *talk) destinations() []string {
	out := []string{flow.ToCase}
	for _, d := range k.w.app.cfg.Destinations {
		out = append(out, d.Name)
	}
	return out
}

// lines shows an HL7 v2 message with a segment a line, and a photo by its size.
func lines(b []byte) []byte {
	text := strings.ReplaceAll(strings.TrimSuffix(string(b), "\r"), "\r", "\n") + "\n"
	return []byte(payload.ReplaceAllStringFunc(text, func(s string) string { return fmt.Sprintf("(%d characters of base64)", len(s)) }))
}

var (
	payload = regexp.MustCompile(`[A-Za-z0-9+/=]{200,}`)
	stamps  = regexp.MustCompile(`\|20\d{12}(\.\d+)?([+-]\d{4})?(\||\n)`)
	times   = regexp.MustCompile(`20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}`)
	mapSet  = regexp.MustCompile(`maps [0-9a-f]{12}`)
	instant = regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`)
)

// fixtureDay is the day on which everything in the fixtures happened.
var fixtureDay = [...]string{"20261103", "2026-11-03"}

// normal takes out of an output what differs from run to run: the times of now. Those of the fixtures stay.
func (k *talk) normal(b []byte) []byte {
	replace := func(mark string) func(string) string {
		return func(s string) string {
			if strings.Contains(s, fixtureDay[0]) || strings.Contains(s, fixtureDay[1]) {
				return s
			}
			if strings.HasSuffix(s, "\n") {
				return strings.TrimSuffix(mark, "|") + "\n"
			}
			return mark
		}
	}
	text := string(b)
	for _, day := range []time.Time{k.begun, time.Now()} {
		text = strings.ReplaceAll(text, day.UTC().Format("|20060102|"), "|<today>|")
	}
	text = stamps.ReplaceAllStringFunc(text, replace("|<time>|"))
	text = times.ReplaceAllStringFunc(text, replace("<time>"))
	text = mapSet.ReplaceAllLiteralString(text, "maps <digest>") // another with every edit of a shipped map
	return []byte(instant.ReplaceAllStringFunc(text, replace("<time>")))
}

// collect gathers what everybody received.
func (k *talk) collect() {
	put := func(name, text string) {
		if text != "" {
			k.got["got/"+name] = []byte(text)
		}
	}
	var ag, ers, patient, story strings.Builder
	for _, q := range k.w.ag.Requests() {
		fmt.Fprintf(&ag, "%s %s priority=%s patient=%s\n", q.ID, q.Kind, q.Priority, q.Patient)
		for _, n := range q.Notes {
			fmt.Fprintf(&ag, "note %q\n", n)
		}
		photoLines(&ag, q.Photos)
	}
	for _, kind := range []string{"a", "r"} {
		for _, ubrn := range k.w.ers.Requests(kind) {
			q, _ := k.w.ers.Request(kind, ubrn)
			fmt.Fprintf(&ers, "%s %s %s priority=%s patient=%s service=%s\n", kind, ubrn, q.State, q.Priority, q.Patient, q.Service)
			for _, f := range q.Files {
				fmt.Fprintf(&ers, "file %s %s\n", f.Name, f.Type)
			}
		}
	}
	for _, n := range k.w.notify.Messages() {
		fmt.Fprintf(&patient, "to %s\n%s\n\n", n.NHSNumber, n.Text)
	}
	put("ag.txt", ag.String())
	put("ers.txt", ers.String())
	put("epr.hl7", messages(k.w.epr.Messages()))
	put("records.txt", strings.Join(append(k.w.records.Kept(), ""), "\n"))
	put("gp-emis.hl7", messages(k.w.emis.Messages()))
	put("gp-systmone.hl7", messages(k.w.systmone.Messages()))
	put("patient.txt", patient.String())
	put("record.txt", k.record())
	k.stories(&story)
	put("cases.txt", story.String())
}

// record tells what the practice behind MESH has filed.
func (k *talk) record() string {
	var b strings.Builder
	for _, f := range k.w.mesh.Filed(k.w.outside.practice) {
		fmt.Fprintf(&b, "%s, %s, SNOMED %s, version %s, for action %v, replaces one %v, patient %s\n", f.Title, f.Status, f.Type,
			f.Summary[strings.LastIndex(f.Summary, "Version: ")+len("Version: "):][:1], f.ForAction, f.Replaces != "", f.Patient)
		for _, p := range f.Parts {
			fmt.Fprintf(&b, "  %s [%s] %s %d bytes\n", p.Title, p.Code, p.Media, len(p.Bytes))
		}
	}
	return b.String()
}

func photoLines(b *strings.Builder, photos []sim.Photo) {
	for _, p := range photos {
		fmt.Fprintf(b, "photo %s %s view=%s lesion=%s sha256=%s\n", p.Name, p.Type, p.View, p.Lesion, p.SHA256)
	}
}

func messages(ms []sim.Message) string {
	var b strings.Builder
	for _, m := range ms {
		b.Write(lines(m.Raw))
		photoLines(&b, m.Photos)
		b.WriteString("\n")
	}
	return b.String()
}

// stories tells each case's moves in order, and what is left to do.
func (k *talk) stories(b *strings.Builder) {
	records, err := k.w.app.store.Cases(k.ctx, flow.CaseQuery{})
	if err != nil {
		k.t.Error(err)
		return
	}
	slices.SortFunc(records, func(x, y flow.CaseRecord) int { return x.Index.Opened.Compare(y.Index.Opened) })
	for _, r := range records {
		fmt.Fprintf(b, "%s %s %s asked=%s\n", r.Index.Kind, r.Index.State, r.Index.Urgency, r.Index.Organisation)
		story, err := k.w.app.store.Story(k.ctx, r.ID)
		if err != nil {
			k.t.Error(err)
		}
		for _, e := range story {
			if e.What == "state" || e.What == "act" || e.What == "observed" || e.What == "acknowledged" || e.What == "stopped" || e.What == "refused" {
				fmt.Fprintf(b, "  %s %s\n", e.What, e.Text)
			}
		}
		var c pathway.Case
		if err := json.Unmarshal(r.State, &c); err != nil {
			k.t.Error(err)
		}
		fmt.Fprintf(b, "  extra work %s\n", extra(c.Work()))
		k.needsNobody(c)
		for _, task := range c.Tasks {
			fmt.Fprintf(b, "  task %s for %s done=%v: %s\n", task.Code, task.Owner, !task.Done.IsZero(), task.Why)
		}
		for _, o := range c.Obligations {
			fmt.Fprintf(b, "  notice %s %s by=%s\n", o.Event, o.Status, o.By)
		}
		for _, h := range c.Homewards {
			fmt.Fprintf(b, "  home %s to %s: %s by=%s owed=%v copy=%s\n", h.What, h.To, h.Status, h.By, h.Owed, h.Copy)
		}
	}
}

// needsNobody holds a conversation with an A&G platform to that nobody has to do anything but ask and answer. Where the file
// itself is about something going wrong, its script or its configuration says so.
func (k *talk) needsNobody(c pathway.Case) {
	wrong := part(k.archive, "gateway.yaml") != nil || slices.Contains(troubled, k.name)
	if c.Kind == pathway.Advice && slices.Contains(c.Sent, "ag") && !wrong && c.Work().Total > 0 {
		k.t.Errorf("a conversation with an A&G platform took extra work: %s", extra(c.Work()))
	}
}

// troubled are the conversations about advice in which something goes wrong that a person has to see to.
var troubled = []string{"consent-missing", "merged-records", "photos-missing", "withdrawn-after-sending", "withdrawal-confirmed"}

// compare holds what came against what must come.
func (k *talk) compare(file string) {
	if os.Getenv("UPDATE") != "" {
		k.archive.Files = slices.DeleteFunc(k.archive.Files, func(f txtar.File) bool { return strings.HasPrefix(f.Name, "got/") })
		names := make([]string, 0, len(k.got))
		for name := range k.got {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			k.archive.Files = append(k.archive.Files, txtar.File{Name: name, Data: k.normal(k.got[name])})
		}
		if err := os.WriteFile(file, txtar.Format(k.archive), 0o644); err != nil {
			k.t.Fatal(err)
		}
		return
	}
	for _, f := range k.archive.Files {
		if !strings.HasPrefix(f.Name, "got/") {
			continue
		}
		if diff := cmp.Diff(string(f.Data), string(k.normal(k.got[f.Name]))); diff != "" {
			k.t.Errorf("%s (-want +got):\n%s", f.Name, diff)
		}
		delete(k.got, f.Name)
	}
	for name, b := range k.got {
		k.t.Errorf("%s was not expected:\n%s", name, b)
	}
}

// patients are the names, numbers and birth dates of everybody in the fixtures.
var patients = []string{"Testcase", "Rosalind", "Tobias", "Madeup", "Ferdinand", "Sample Street", "Demo Close", "Pretend Row",
	"9990001014", "9990001022", "9990001030", "19680412", "19551101", "1968-04-12", "1955-11-01", "1979-02-28", "Changing mole", "Growing dark"}

// noPatients proves that an output of the gateway that operators and strangers see names no patient.
func noPatients(t testing.TB, what string, b []byte) {
	t.Helper()
	for _, p := range patients {
		if bytes.Contains(b, []byte(p)) {
			t.Errorf("%s shows %q of a patient:\n%s", what, p, b)
		}
	}
}

func part(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}
