package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/tools/txtar"

	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/fixtures"
	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/observe"
	"github.com/dermgate/dermgate/gateway/pathway"
)

// meshWorld is a gateway with MESH and a practice, by the configuration of the conversation answer-by-mesh.
type meshWorld struct {
	*world
	t       *testing.T
	ctx     context.Context
	log     *lockedBuffer
	archive *txtar.Archive
	stop    func()
	outside *outside
	dir     string
	edit    []string
}

func startMesh(t *testing.T, edit ...string) *meshWorld {
	t.Helper()
	gin.SetMode(gin.ReleaseMode)
	archive, err := txtar.ParseFile("../fixtures/conversations/answer-by-mesh.txtar")
	if err != nil {
		t.Fatal(err)
	}
	o, err := startOutside()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.close)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	o.mesh.Register("9990001014", "19680412", "Testcase", practiceMailbox)
	m := &meshWorld{t: t, ctx: ctx, log: &lockedBuffer{}, archive: archive, outside: o, dir: t.TempDir(), edit: edit}
	m.start()
	t.Cleanup(func() {
		m.stop()
		noPatients(t, "the log", m.log.Bytes())
	})
	return m
}

// start builds the gateway anew over the same store and outside, as after a stop.
func (m *meshWorld) start() {
	m.t.Helper()
	text := strings.NewReplacer(m.edit...).Replace(string(part(m.archive, "gateway.yaml")))
	env := m.outside.env(m.dir, [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"})
	cfg, err := config.Parse("gateway.yaml", []byte(text), func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		m.t.Fatal(err)
	}
	a, err := build(m.ctx, cfg, observe.NewLogger(m.log, slog.LevelDebug))
	if err != nil {
		m.t.Fatal(err)
	}
	a.every = 50 * time.Millisecond
	for _, w := range a.workers {
		w.Every = a.every
		w.Lease = 500 * time.Millisecond // what a killed one leaves is claimed again soon
		w.Backoff = flow.Backoff{First: 20 * time.Millisecond, Max: 50 * time.Millisecond}
		w.Limit.First, w.Limit.Longest = 10*time.Millisecond, 50*time.Millisecond
	}
	m.outside.connect(a.public.Addr().String())
	m.world = &world{m.outside, a, m.dir}
	ctx, stop := context.WithCancel(m.ctx)
	done := make(chan error, 1)
	go func() { done <- a.run(ctx) }()
	stopped := false
	m.stop = func() {
		if stopped {
			return
		}
		stopped = true
		stop()
		if err := <-done; err != nil {
			m.t.Error(err)
		}
	}
}

// ask sends the request, edited.
func (m *meshWorld) ask(edit ...string) {
	m.t.Helper()
	raw, err := fixtures.Message("advice.hl7")
	if err != nil {
		m.t.Fatal(err)
	}
	conn, err := mllp.Dial(m.ctx, m.app.servers[0].Address(), nil)
	if err != nil {
		m.t.Fatal(err)
	}
	defer conn.Close()
	ack, err := conn.Exchange(m.ctx, []byte(strings.NewReplacer(edit...).Replace(string(raw))))
	if err != nil || !bytes.Contains(ack, []byte("MSA|AA")) {
		m.t.Fatalf("%s %v", ack, err)
	}
	m.until("it is with the provider", func(c pathway.Case) bool { return c.State == pathway.AwaitingProvider })
}

// answer posts the specialist's answer, with its letter.
func (m *meshWorld) answer() {
	m.t.Helper()
	err := until(m.ctx, "the answer is taken", func() bool {
		resp, err := http.Post("http://"+m.app.public.Addr().String()+"/fhir/$process-message", "application/fhir+json", bytes.NewReader(part(m.archive, "answer.json")))
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *meshWorld) theCase() (c pathway.Case) {
	records, err := m.app.store.Cases(m.ctx, flow.CaseQuery{})
	if err == nil && len(records) == 1 {
		_ = json.Unmarshal(records[0].State, &c)
	}
	return c
}

func (m *meshWorld) until(what string, f func(pathway.Case) bool) pathway.Case {
	m.t.Helper()
	if err := until(m.ctx, what, func() bool { return f(m.theCase()) }); err != nil {
		m.t.Fatalf("%v: %+v\n%s", err, m.theCase(), m.log.Bytes())
	}
	return m.theCase()
}

// home waits for the one message that went home to be of a status.
func (m *meshWorld) home(status string) pathway.Case {
	m.t.Helper()
	return m.until("it is "+status, func(c pathway.Case) bool { return len(c.Homewards) == 1 && c.Homewards[0].Status == status })
}

// tasks gives the tasks to bring the answer, by what is done.
func tasks(c pathway.Case) (open, done []string) {
	for _, task := range c.Tasks {
		switch {
		case task.Code != "bring-answer":
		case task.Done.IsZero():
			open = append(open, task.Owner+": "+task.Why)
		default:
			done = append(done, task.Why)
		}
	}
	return open, done
}

// set changes how the practice behaves.
func (m *meshWorld) set(change func(*sim.Practice)) { m.outside.mesh.Set(m.outside.practice, change) }

// soon lets responses be overdue at once.
func (m *meshWorld) soon() {
	for i := range m.app.pipeline.Endpoints {
		m.app.pipeline.Endpoints[i].Within = 3 * time.Second // longer than a look at the mailbox is away
	}
}

// Either response that does not come leaves the answer owed, and one task; one that comes late ends both.
func TestAMissingResponseIsAPersonsTaskUntilItComes(t *testing.T) {
	for missing, set := range map[string]func(*sim.Practice){
		"the infrastructure and the business response did not come": func(p *sim.Practice) { p.Infrastructure, p.Business = "none", "none" },
		"the business response did not come":                        func(p *sim.Practice) { p.Business = "none" },
		"the infrastructure response did not come":                  func(p *sim.Practice) { p.Infrastructure = "none" },
	} {
		t.Run(missing, func(t *testing.T) {
			t.Parallel()
			m := startMesh(t)
			m.soon()
			m.set(set)
			m.ask()
			m.answer()
			c := m.home(pathway.HomeFailed)
			open, _ := tasks(c)
			if len(open) != 1 || !strings.Contains(open[0], "Dermatology admin: not delivered") || !strings.Contains(open[0], missing) || c.Home() {
				t.Errorf("home %v, tasks %q", c.Home(), open)
			}
			sent := m.outside.mesh.Messages(practiceMailbox)[0]
			for _, code := range []string{"20013", "30001"} { // the practice's system was down, and speaks now
				m.outside.mesh.Put(sim.Mail{From: practiceMailbox, To: ourMailbox, Workflow: "GPFED_CONSULT_REPORT_ACK", Chunks: [][]byte{ack(sent.LocalID, code)}})
			}
			c = m.home(pathway.HomeReached)
			if open, done := tasks(c); len(open) != 0 || len(done) != 1 || !c.Home() {
				t.Errorf("home %v, open %q, done %q", c.Home(), open, done)
			}
		})
	}
}

// ack is an ITK3 response in JSON.
func ack(to, code string) []byte {
	result := "ok"
	if code != "20013" && code != "30001" {
		result = "fatal-error"
	}
	return fmt.Appendf(nil, `{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"MessageHeader","event":{"system":"https://fhir.nhs.uk/STU3/CodeSystem/ITK-MessageEvent-2","code":"ITK008M"},"response":{"identifier":%q,"code":%q}}},
{"resource":{"resourceType":"OperationOutcome","issue":[{"details":{"coding":[{"code":%q}]}}]}}]}`, to, result, code)
}

// MESH's own report, that nobody could be found or nobody collected it, is a task too, once.
func TestWhatMESHCannotDeliverIsAPersonsTask(t *testing.T) {
	m := startMesh(t)
	m.outside.mesh.Forget("9990001014", "19680412", "Testcase")
	m.ask()
	m.answer()
	c := m.home(pathway.HomeFailed)
	if open, _ := tasks(c); len(open) != 1 || !strings.Contains(open[0], "transport response EPL-153") {
		t.Errorf("tasks %q", open)
	}
	m = startMesh(t)
	m.set(func(p *sim.Practice) { p.Away = true })
	m.ask()
	m.answer()
	m.until("MESH has it", func(c pathway.Case) bool { return len(c.Homewards) == 1 && c.Homewards[0].Channel != "" })
	m.outside.mesh.Expire(m.theCase().Homewards[0].Channel)
	c = m.home(pathway.HomeFailed)
	if open, _ := tasks(c); len(open) != 1 || !strings.Contains(open[0], "transport response 14") {
		t.Errorf("tasks %q", open)
	}
}

// What the practice says last counts: a positive business response that is taken back opens what was home.
func TestAResponseThatIsTakenBack(t *testing.T) {
	m := startMesh(t)
	m.ask()
	m.answer()
	m.home(pathway.HomeReached)
	sent := m.outside.mesh.Messages(practiceMailbox)[0]
	m.outside.mesh.Put(sim.Mail{From: practiceMailbox, To: ourMailbox, Workflow: "GPFED_CONSULT_REPORT_ACK", Chunks: [][]byte{ack(sent.LocalID, "20007")}}) // it came again: no news
	m.outside.mesh.Put(sim.Mail{From: practiceMailbox, To: ourMailbox, Workflow: "GPFED_CONSULT_REPORT_ACK", Chunks: [][]byte{ack(sent.LocalID, "30003")}})
	c := m.home(pathway.HomeFailed)
	if open, _ := tasks(c); len(open) != 1 || c.Home() {
		t.Errorf("home %v, tasks %q", c.Home(), open)
	}
}

// A patient of another practice: who asked gets nothing by Send Document but a copy at that practice.
func TestACopyIsNoAnswer(t *testing.T) {
	elsewhere := []string{"LAMBETH ROAD SURGERY^^Y06601|G5612908^Okafor", "RIVERSIDE^^K81001|G5612908^Okafor"}
	m := startMesh(t)
	m.set(func(p *sim.Practice) { p.ODS = "K81001" })
	m.ask(elsewhere...)
	m.answer()
	c := m.home(pathway.HomeReached)
	open, _ := tasks(c)
	if len(open) != 1 || !strings.Contains(open[0], "as a copy only: the patient is registered at K81001, and Y06601 asked") || c.Home() {
		t.Errorf("home %v, tasks %q", c.Home(), open)
	}
	if filed := m.outside.mesh.Filed(m.outside.practice); len(filed) != 1 || filed[0].ForAction {
		t.Errorf("filed %+v", filed)
	}
	story, _ := m.app.store.Story(m.ctx, must(flow.ParseID(c.ID)))
	if !slices.ContainsFunc(story, func(e flow.Event) bool { return e.What == "copy" }) {
		t.Errorf("the story does not say so: %+v", story)
	}
	if err := m.outside.emis.Review(m.ctx, sim.Review{ID: "r", Person: "G5612908", Decision: "manage-in-primary-care", Identifiers: []sim.Identifier{{System: "urn:dermgate:case", Value: c.ID}}}); err != nil {
		t.Fatal(err)
	}
	c = m.until("it has ended", func(c pathway.Case) bool { return c.State == "CLOSED" })
	if open, done := tasks(c); len(open) != 0 || len(done) != 1 || !c.Home() {
		t.Errorf("home %v, open %q, done %q", c.Home(), open, done)
	}

	m = startMesh(t, "routes:\n", "  - {name: gp-emis, kind: mllp, address: \"${GP_EMIS}\", message: RRI_I12, receiver: {app: EMIS, facility: Y06601}}\nroutes:\n  - {when: {event: answered}, to: [gp-emis]}\n")
	m.ask(elsewhere...)
	m.answer()
	c = m.home(pathway.HomeReached)
	if open, _ := tasks(c); len(open) != 0 || !c.Home() || len(m.outside.emis.Messages()) == 0 {
		t.Errorf("it goes to who asked besides: home %v, tasks %q", c.Home(), open)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// What Send Document cannot carry is told to somebody at once.
func TestWithoutABirthDateNothingIsSentByMESH(t *testing.T) {
	m := startMesh(t)
	m.ask("||19680412|", "|||")
	m.answer()
	c := m.home(pathway.HomeFailed)
	if open, _ := tasks(c); len(open) != 1 || !strings.Contains(open[0], "Patient.birthDate") || len(m.outside.mesh.Received("send")) != 0 || c.Home() {
		t.Errorf("home %v, tasks %q", c.Home(), open)
	}
}

// Every call of MESH fails in turn and in several ways, and between any two the gateway is stopped and started over its store:
// the answer comes home once, and its responses are taken once.
func TestMESHWithFaultsAtEveryCallAndStopsBetween(t *testing.T) {
	chunked := []string{`phone: "02079460100"`, `phone: "02079460100", chunk_bytes: 60000`}
	clean := startMesh(t, chunked...)
	clean.ask()
	before := len(clean.outside.mesh.Received())
	clean.answer()
	clean.home(pathway.HomeReached)
	calls := map[string]int{}
	for _, call := range clean.outside.mesh.Received()[before:] {
		if call.Name != "inbox" && call.Name != "handshake" {
			calls[call.Name]++
		}
	}
	if calls["send"] != 1 || calls["chunk"] < 2 || calls["get"] != 2 || calls["acknowledge"] != 2 {
		t.Fatalf("calls %v", calls)
	}
	for call, n := range calls {
		for _, skip := range slices.Compact([]int{0, n - 1}) {
			for name, f := range map[string]sim.Fault{"lost": {Drop: true}, "answer lost": {DropAfter: true}, "503": {Status: 503}} {
				t.Run(fmt.Sprint(call, " ", skip, " ", name), func(t *testing.T) {
					t.Parallel()
					m := startMesh(t, chunked...)
					m.ask()
					f.Call, f.Skip = call, skip
					m.outside.mesh.Fail(f)
					m.answer()
					if err := until(m.ctx, "it has failed", func() bool { return m.outside.mesh.Pending() == 0 }); err != nil {
						t.Fatal(err)
					}
					m.stop()
					m.start()
					c := m.home(pathway.HomeReached)
					if filed := m.outside.mesh.Filed(m.outside.practice); len(filed) != 1 {
						t.Errorf("filed %d times", len(filed))
					}
					if open, _ := tasks(c); len(open) != 0 {
						t.Errorf("tasks %q", open)
					}
					if err := until(m.ctx, "the mailbox is empty", func() bool { return m.outside.mesh.Waiting(ourMailbox) == 0 }); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}

// doctor shakes hands with MESH, and says what is wrong when that is refused.
func TestDoctorShakesHandsWithMESH(t *testing.T) {
	o, err := startOutside()
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	for password, want := range map[string]string{mailboxPassword: "is answered", "another": "answered 403"} {
		d := &doctor{app: &app{cfg: &config.Config{}, log: slog.New(slog.DiscardHandler), now: time.Now}}
		cfg, err := config.Parse("x", fmt.Appendf(nil, `site: {name: T, ods: RXX01}
sources: [{name: in, kind: mesh, base_url: %s, mailbox: %s, password: %s, shared_key: %s}]
`, o.mesh.URL, ourMailbox, password, o.mesh.SharedKey), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		e := &examination{}
		d.examineSource(t.Context(), e, cfg.Sources[0])
		text := fmt.Sprint(e.found)
		if !strings.Contains(text, want) || strings.Contains(text, "sim-") || strings.Contains(text, "another") {
			t.Errorf("%s: %s", password, text)
		}
	}
}
