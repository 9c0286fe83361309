package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/fixtures"
	"github.com/dermgate/dermgate/fixtures/photos"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/issue"
)

// channels is a gateway in a process of its own between all the services of the NHS that it speaks to, while calls of it
// go wrong and it is killed between them. Each journey is a case from its request to its end; what came of it everywhere
// outside must be what comes of it when nothing goes wrong: nothing twice, nothing lost.
type channels struct {
	*testing.T
	*outside
	ctx     context.Context
	gateway *kept
	mllp    map[string]string // address of a source
	dir     string
	plan    *plan

	mu       sync.Mutex
	patients []*journey
	manual   map[string]int // acts of persons, by why
}

// channelsConfig has every channel: e-RS by worklist, as a referrer for referrals and A&G; an A&G platform; an EPR and a
// GP system by MLLP; home to the GP's record by MESH; NHS Notify.
const channelsConfig = `site: {name: St Elsewhere, ods: RXX01, timezone: Europe/London}
store: {embedded: {path: "${DIR}/gateway.db"}}
photos: {url: "file://${DIR}/photos"}
http: {listen: "${HTTP}"}
admin: {listen: "${ADMIN}"}
owners: {requester: practice, provider: {name: Dermatology admin}, operations: {name: Interface team}}
sources:
  - {name: gp-ers, kind: mllp, listen: "${MLLP}", organisation: Y06601, carries: [requests], kind_of_case: {from: "RF1-3.1", advice: [AG], referral: [DERM]}, urgency: {from: "RF1-2.1", two_week_wait: [2WW], urgent: [U], routine: [R]}}
  - {name: gp-ag, kind: mllp, listen: "${MLLP_AG}", organisation: Y06601, carries: [requests], kind_of_case: {from: "RF1-3.1", advice: [AG], referral: [DERM]}, urgency: {from: "RF1-2.1", two_week_wait: [2WW], urgent: [U], routine: [R]}}
  - {name: fhir, kind: fhir}
  - {name: ers-list, kind: ers-worklist, base_url: "${ERS}", auth: {token: "${ERS_TOKEN}"}, services: ["50001"], lists: [review], business_function: SERVICE_PROVIDER_CLINICIAN, poll: 1s, watch: 1s, rate: 200/s}
  - {name: mesh-in, kind: mesh, base_url: "${MESH}", mailbox: "${MESH_MAILBOX}", password: "${MESH_PASSWORD}", shared_key: "${MESH_KEY}", poll: 1s}
destinations:
  - {name: ers, kind: ers, base_url: "${ERS}", auth: {token: "${ERS_TOKEN}"}, ods: Y06601, business_function: REFERRING_CLINICIAN, service: "7654321", poll: 1s, rate: 200/s, RETRY}
  - {name: ag, kind: fhir, base_url: "${AG}", mode: message, timeout: 2s, RETRY}
  - {name: epr, kind: mllp, address: "${EPR}", message: REF_I12, version: "2.4", timeout: 2s, receiver: {app: EPR, facility: RXX01}, RETRY}
  - {name: gp, kind: mllp, address: "${GP_EMIS}", message: RRI_I12, answer: ORU_R01, timeout: 2s, receiver: {app: EMIS, facility: Y06601}, RETRY}
  - {name: record, kind: mesh, base_url: "${MESH}", mailbox: "${MESH_MAILBOX}", password: "${MESH_PASSWORD}", shared_key: "${MESH_KEY}", phone: "02079460100", chunk_bytes: 60000, answer_within: 1m, timeout: 2s, RETRY}
  - {name: patient, kind: notify, base_url: "${NOTIFY}", routing_plan: 00000000-0000-0000-0000-000000000001, auth: {token: "${ERS_TOKEN}"}, callback: {api_key: "${NOTIFY_KEY}", secret: "${NOTIFY_SECRET}"}, timeout: 2s, RETRY}
routes:
  - {when: {source: ers-list}, to: [epr]}
  - {when: {source: gp-ag, case: advice}, to: [ag]}
  - {when: {source: gp-ers}, to: [ers]}
  - {when: {event: triaged}, to: [epr, gp]}
  - {when: {event: info-requested}, to: [gp]}
  - {when: {event: answered}, to: [gp, record]}
`

// A trouble is one way in which a call, or a message by MLLP, goes wrong.
type trouble struct {
	name  string
	fault sim.Fault
	ack   sim.Ack
	kill  bool
}

var allTroubles = []trouble{
	{name: "5xx", fault: sim.Fault{Status: 503, RetryAfter: "1"}, ack: sim.Ack{Code: "AR", Error: "207"}},
	{name: "killed before", fault: sim.Fault{Drop: true}, ack: sim.Ack{Close: true, Lose: true}, kill: true},
	{name: "409", fault: sim.Fault{Status: 409}, ack: sim.Ack{Code: "AE", Error: "205"}},
	{name: "answer lost", fault: sim.Fault{DropAfter: true}, ack: sim.Ack{Close: true}},
	{name: "killed after", fault: sim.Fault{DropAfter: true}, ack: sim.Ack{Close: true}, kill: true},
	{name: "429", fault: sim.Fault{Status: 429, RetryAfter: "1"}, ack: sim.Ack{Code: "AR", Error: "206"}},
	{name: "reset", fault: sim.Fault{Drop: true}, ack: sim.Ack{Close: true, Lose: true}},
	{name: "423", fault: sim.Fault{Status: 423}, ack: sim.Ack{Code: "AR"}},
	{name: "500", fault: sim.Fault{Status: 500}, ack: sim.Ack{Code: "AR", Error: "207"}},
	{name: "too late", fault: sim.Fault{Delay: 3 * time.Second}, ack: sim.Ack{Silent: true}},
}

// plan says what goes wrong. The same call again, a retry or a poll, is the same step: each step goes wrong once a round, or
// one of some.
type plan struct {
	mu    sync.Mutex
	round int
	of    int // one step of so many
	kill  func()
	steps map[string]bool           // that have been met in this round
	count map[string]int            // steps of a call
	done  map[string]map[string]int // call, trouble: how often
}

// at gives the trouble of a call, if this is its turn.
func (p *plan) at(call, step string) (trouble, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == 0 || p.steps[call+" "+step] {
		return trouble{}, false
	}
	p.steps[call+" "+step] = true
	named := fnv.New32a()
	named.Write([]byte(call))
	n := int(named.Sum32()%97) + p.count[call] + p.round
	p.count[call]++
	if n%p.of != 0 {
		return trouble{}, false
	}
	x := allTroubles[n/p.of%len(allTroubles)]
	if p.done[call] == nil {
		p.done[call] = map[string]int{}
	}
	p.done[call][x.name]++
	if x.kill {
		x.fault.Do, x.ack.Do = p.kill, p.kill
	}
	return x, true
}

func (p *plan) http(service string) func(sim.Call) (sim.Fault, bool) {
	return func(c sim.Call) (sim.Fault, bool) {
		step := sha256.Sum256([]byte(c.Method + c.Path + c.Header.Get("NHSD-eRS-File-Name") + c.Header.Get("Mex-Chunk-Range") + string(c.Body)))
		x, ok := p.at(strings.TrimSpace(service+" "+c.Name), string(step[:]))
		if x.fault.Delay > 0 && service == "e-RS" { // whose answers are waited for over three minutes
			x.fault = sim.Fault{DropAfter: true}
		}
		return x.fault, ok
	}
}

func (p *plan) byMLLP(name string) func(sim.Message) (sim.Ack, bool) {
	return func(m sim.Message) (sim.Ack, bool) {
		x, ok := p.at(name+" "+m.Type, m.Control)
		return x.ack, ok
	}
}

// begin begins a round, with trouble at one step of so many; 0: without.
func (p *plan) begin(round, of int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.round, p.of, p.steps, p.count = round, of, map[string]bool{}, map[string]int{}
}

func startChannels(t *testing.T, within time.Duration) *channels {
	t.Helper()
	o, err := startOutside()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.close)
	if _, err := binary(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), within)
	t.Cleanup(cancel)
	c := &channels{T: t, outside: o, ctx: ctx, dir: t.TempDir(), manual: map[string]int{}, plan: &plan{done: map[string]map[string]int{}}}
	c.gateway = &kept{admin: freePort(t), ended: make(chan struct{}), process: process{t: t, config: filepath.Join(c.dir, "gateway.yaml"), log: filepath.Join(c.dir, "log")}}
	public := freePort(t)
	c.mllp = map[string]string{"gp-ers": freePort(t), "gp-ag": freePort(t)}
	env := o.env(c.dir, [3]string{c.mllp["gp-ers"], public, c.gateway.admin})
	env["MLLP_AG"] = c.mllp["gp-ag"]
	text := strings.ReplaceAll(channelsConfig, "RETRY", "retry: {first: 50ms, longest: 1s}, probe: 1s")
	if err := os.WriteFile(c.gateway.config, []byte(os.Expand(text, func(name string) string { return env[name] })), 0o600); err != nil {
		t.Fatal(err)
	}
	o.connect(public)
	o.ers.Tokens = nil // a long ordeal outlives a token
	c.plan.kill = c.gateway.kill
	o.ers.Watch, o.ag.Watch, o.notify.Watch, o.mesh.Watch = c.plan.http("e-RS"), c.plan.http("A&G"), c.plan.http("Notify"), c.plan.http("MESH")
	o.epr.Watch, o.emis.Watch = c.plan.byMLLP("EPR"), c.plan.byMLLP("GP")
	go c.gateway.run()
	t.Cleanup(func() {
		c.gateway.signal(syscall.SIGKILL, true)
		<-c.gateway.ended
		log, _ := os.ReadFile(c.gateway.log)
		noPatients(t, "the log", log)
		for _, j := range c.patients {
			if bytes.Contains(log, []byte(j.patient)) {
				t.Error("the log names a patient")
			}
		}
		if t.Failed() {
			t.Logf("%s", log[max(0, len(log)-4000):])
		}
	})
	go c.operate()
	return c
}

// kill is kill -9, and returns when the process is gone.
func (k *kept) kill() {
	k.mu.Lock()
	cmd := k.now
	k.mu.Unlock()
	if cmd == nil || cmd.Process.Signal(syscall.SIGKILL) != nil {
		return
	}
	for syscall.Kill(cmd.Process.Pid, 0) == nil {
		time.Sleep(time.Millisecond)
	}
}

// A journey is one case and what the people around it do. Each has a patient of its own.
type journey struct {
	*channels
	kind    string
	patient string // NHS number
	ref     string // placer and control id of what is sent by HL7 v2
}

// number makes an NHS number of the range for tests.
func number(n int) string {
	for ; ; n++ {
		digits, sum := fmt.Sprintf("999%06d", n), 0
		for i, d := range digits {
			sum += int(d-'0') * (10 - i)
		}
		if check := (11 - sum%11) % 11; check != 10 {
			return digits + strconv.Itoa(check)
		}
	}
}

func (c *channels) journey(kind string) *journey {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.patients) + 1
	j := &journey{channels: c, kind: kind, patient: number(500000 + 20*n), ref: fmt.Sprintf("J%05d", n)}
	c.patients = append(c.patients, j)
	c.mesh.Register(j.patient, "19680412", "Testcase", practiceMailbox)
	return j
}

// wait waits for something to have happened.
func (j *journey) wait(what string, happened func() bool) error {
	limit := time.After(2 * time.Minute)
	for !happened() {
		select {
		case <-limit:
			return fmt.Errorf("%s %s: waited in vain until %s; %s", j.kind, j.ref, what, j.look().tell())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// insist does something of the outside's until it succeeds: the gateway may be down.
func (j *journey) insist(what string, do func() error) error {
	var last error
	if err := j.wait(what, func() bool { last = do(); return last == nil }); err != nil {
		return errors.Join(err, last)
	}
	return nil
}

// send sends a request by MLLP, the same until it is acknowledged, as GP systems do.
func (j *journey) send(source, name, old, patient string, edit ...string) error {
	raw, err := fixtures.Message(name)
	if err != nil {
		return err
	}
	raw = []byte(strings.NewReplacer(append(edit, old, j.ref, patient, j.patient)...).Replace(string(raw)))
	code := ""
	err = j.wait("the request is acknowledged", func() bool {
		var conn *mllp.Conn
		var err error
		code, err = exchange(&conn, j.mllp[source], raw)
		if conn != nil {
			conn.Close()
		}
		return err == nil && code != "AR"
	})
	if err == nil && code != "AA" {
		err = fmt.Errorf("%s was answered %s", name, code)
	}
	return err
}

// unconverted is the choice that a request for advice in e-RS needs.
var unconverted = []string{"OBX|3|ED", "OBX|7|CE|CONVERSION^May be converted into a referral^L||N^No^L||||||F\rOBX|3|ED"}

// request gives the request of the patient in e-RS.
func (j *journey) request(kind string) (string, sim.Request) {
	for _, ubrn := range j.ers.Requests(kind) {
		if q, ok := j.ers.Request(kind, ubrn); ok && q.Patient == j.patient {
			return ubrn, q
		}
	}
	return "", sim.Request{}
}

func (j *journey) at(ms []sim.Message, typ string) []sim.Message {
	return slices.DeleteFunc(ms, func(m sim.Message) bool { return m.Patient != j.patient || m.Type != typ })
}

// seen is a case, as operations see it.
type seen struct {
	ID, State  string
	Ended      bool
	Case       pathway.Case
	Story      []flow.Event
	Deliveries []struct {
		To, What, State string
		Attempt         int
		Cause           *issue.Issue
	}
}

func (v seen) tell() string {
	text := v.State
	for _, e := range v.Story {
		text += "\n  " + e.What + " " + e.Text
	}
	for _, d := range v.Deliveries {
		text += fmt.Sprintf("\n  %s %s %s, attempt %d: %v", d.To, d.What, d.State, d.Attempt, d.Cause)
	}
	return text
}

func (j *journey) look() (view seen) {
	var found struct {
		Cases []struct{ ID, State string }
	}
	if j.call("POST", "/api/v1/cases/search", map[string]any{"patient": j.patient}, &found) == nil && len(found.Cases) == 1 {
		_ = j.call("GET", "/api/v1/cases/"+found.Cases[0].ID, nil, &view)
	}
	return view
}

// call calls the operations of the gateway.
func (c *channels) call(method, path string, body, out any) error {
	var payload bytes.Buffer
	if body != nil {
		_ = json.NewEncoder(&payload).Encode(body)
	}
	req, err := http.NewRequestWithContext(c.ctx, method, "http://"+c.gateway.admin+path, &payload)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", strconv.FormatUint(rand.Uint64(), 36))
	resp, err := (&http.Client{Timeout: 20 * time.Second}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// ended waits for the end of the case. Of what is found in e-RS no more than the NHS number is known of the patient, so that
// persons tell them.
func (j *journey) ended() error {
	return j.wait("the case has ended", func() bool {
		v := j.look()
		for _, o := range v.Case.Obligations {
			if o.Status == pathway.NoticePerson && j.kind == "provider pull" {
				var out any
				_ = j.call("POST", "/api/v1/cases/"+v.ID+"/told", map[string]any{"notices": []string{o.Notice}, "reason": "by telephone"}, &out)
			}
		}
		return v.Ended
	})
}

// reviewed has the GP read the answer and decide.
func (j *journey) reviewed(ids ...sim.Identifier) error {
	if err := j.wait("the GP has the advice", func() bool { return len(j.at(j.emis.Messages(), "ORU^R01")) > 0 }); err != nil {
		return err
	}
	return j.insist("the GP's decision is taken", func() error {
		return j.emis.Review(j.ctx, sim.Review{ID: "review-" + j.ref, Patient: j.patient, Identifiers: ids, Person: "G5612908", Decision: "manage-in-primary-care"})
	})
}

// home waits for the practice to have said that the answer is in its record.
func (j *journey) home() error {
	return j.wait("the answer is in the record", func() bool {
		v := j.look()
		return len(v.Case.Homewards) == 1 && v.Case.Homewards[0].Status == pathway.HomeReached
	})
}

// journeys are those of Show 2, and home by MESH and Notify with them.
var journeys = map[string]func(*journey) error{
	"provider pull": func(j *journey) error {
		photo, err := photos.File("L1-overview.jpg")
		if err != nil {
			return err
		}
		ubrn, err := j.ers.Refer(sim.Sent{Patient: j.patient, Priority: "URGENT", Service: "50001", Organisation: "Y06601", Files: []sim.File{
			{Name: "letter.pdf", Type: "application/pdf", Description: "Referral letter", Body: []byte("%PDF-1.4 the letter of the GP")},
			{Name: "mole.jpg", Type: "image/jpeg", Description: "Left forearm", Body: photo}}})
		if err == nil {
			err = j.wait("the EPR has it", func() bool { return len(j.at(j.epr.Messages(), "REF^I12")) > 0 })
		}
		if err == nil {
			err = j.ers.Triage(ubrn, sim.Outcome{Outcome: "ACCEPT_REFER_BOOK_LATER", Comment: "Clinic in a week"})
		}
		if err == nil {
			err = j.wait("the EPR and the GP have the outcome", func() bool {
				return len(j.at(j.epr.Messages(), "REF^I12")) > 1 && len(j.at(j.emis.Messages(), "RRI^I12")) > 0
			})
		}
		if err == nil {
			err = j.ers.Book(ubrn)
		}
		return err
	},
	"referral": func(j *journey) error {
		err := j.send("gp-ers", "suspected-cancer.hl7", "USC0001", "9990001022")
		if err == nil {
			err = j.wait("e-RS has the referral with its letter and photos", func() bool {
				_, q := j.request("r")
				return q.State == "AWAITING_TRIAGE" && len(q.Files) == 3
			})
		}
		ubrn, _ := j.request("r")
		if err == nil {
			err = j.ers.Triage(ubrn, sim.Outcome{Outcome: "ACCEPT_REFER_BOOK_LATER", Comment: "Straight to skin surgery clinic."})
		}
		if err == nil {
			err = j.wait("the EPR and the GP have the outcome", func() bool {
				return len(j.at(j.epr.Messages(), "REF^I12")) > 0 && len(j.at(j.emis.Messages(), "RRI^I12")) > 0
			})
		}
		if err == nil {
			err = j.ers.Book(ubrn)
		}
		if err == nil {
			err = j.insist("cancer tracking takes over", func() error {
				return j.emis.Review(j.ctx, sim.Review{ID: "tracking-" + j.ref, Act: "cancer-tracking", Patient: j.patient, Person: "cancer-tracking@RXX01",
					Identifiers: []sim.Identifier{{System: "https://fhir.nhs.uk/Id/UBRN", Value: ubrn}}})
			})
		}
		return err
	},
	"A&G in e-RS": func(j *journey) error {
		err := j.send("gp-ers", "advice.hl7", "AG0001", "9990001014", unconverted...)
		if err == nil {
			err = j.wait("e-RS has the question", func() bool { ubrn, _ := j.request("a"); return ubrn != "" })
		}
		ubrn, _ := j.request("a")
		if err == nil {
			err = j.ers.Answer(ubrn, sim.Advice{Outcome: "REQUIRE_FURTHER_INFORMATION", Guidance: "How large is it?"})
		}
		if err == nil {
			err = j.wait("the GP is asked for more", func() bool { return len(j.at(j.emis.Messages(), "ORU^R01")) > 0 })
		}
		if err == nil {
			err = j.ers.Attach("a", ubrn, "Six millimetres", sim.File{Name: "ruler.pdf", Type: "application/pdf", Body: []byte("%PDF-1.4 ruler")})
		}
		if err == nil {
			err = j.wait("the provider is to answer", func() bool { return j.look().State == string(pathway.AwaitingProvider) })
		}
		if err == nil {
			err = j.ers.Answer(ubrn, sim.Advice{Outcome: "RETURN_TO_REFERRER_WITH_ADVICE", Recommendation: "ADVICE_ONLY_NO_REFERRAL_RECOMMENDED", Guidance: "A benign naevus."})
		}
		if err == nil {
			err = j.wait("the answer is told", func() bool { return len(j.at(j.emis.Messages(), "ORU^R01")) > 1 })
		}
		if err == nil {
			err = j.home()
		}
		if err == nil {
			err = j.reviewed(sim.Identifier{System: "https://fhir.nhs.uk/Id/UBRN", Value: ubrn})
		}
		return err
	},
	"A&G on a platform": func(j *journey) error {
		err := j.send("gp-ag", "advice.hl7", "AG0001", "9990001014")
		var q sim.AGRequest
		if err == nil {
			err = j.wait("the platform has the question", func() bool {
				for _, r := range j.ag.Requests() {
					if r.Patient == j.patient {
						q = r
					}
				}
				return q.ID != ""
			})
		}
		if err == nil {
			err = j.insist("the answer is taken", func() error {
				return j.ag.Answer(j.ctx, q.ID, sim.Advice{Outcome: "RETURN_TO_REFERRER_WITH_ADVICE", Recommendation: "ADVICE_ONLY_NO_REFERRAL_RECOMMENDED", Priority: "ROUTINE", Guidance: "A benign naevus."})
			})
		}
		if err == nil {
			err = j.home()
		}
		if err == nil {
			err = j.reviewed(sim.Identifier{System: "urn:dermgate:case", Value: q.Correlation})
		}
		return err
	},
}

// came is what came of a journey everywhere outside, a line each, in no order; the patient is left out.
func (j *journey) came() []string {
	var out []string
	tell := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	pictures := func(all []sim.Photo) (s string) {
		for _, p := range all {
			if !strings.HasPrefix(p.Type, "image/") { // PDFs name their request
				s += " " + p.Type
				continue
			}
			s += fmt.Sprintf(" %s:%.8s", p.Type, p.SHA256)
		}
		return s
	}
	for _, kind := range []string{"a", "r"} {
		for _, ubrn := range j.ers.Requests(kind) {
			q, _ := j.ers.Request(kind, ubrn)
			if q.Patient != j.patient {
				continue
			}
			line := fmt.Sprintf("e-RS has %s %s %s", kind, q.Priority, q.State)
			for _, f := range q.Files {
				line += " " + f.Name
			}
			tell("%s", line)
		}
	}
	for _, q := range j.ag.Requests() {
		if q.Patient == j.patient {
			tell("the platform has %s %s%s", q.Kind, q.Priority, pictures(q.Photos))
		}
	}
	brought := map[string]bool{}
	for who, ms := range map[string][]sim.Message{"EPR": j.epr.Messages(), "GP": j.emis.Messages()} {
		for _, m := range ms {
			switch {
			case m.Patient != j.patient:
			case who == "EPR" && j.kind == "provider pull": // a photo that was not to be had follows in a message of its own
				for p := range strings.FieldsSeq(pictures(m.Photos)) {
					brought[p] = true
				}
			default:
				tell("%s has %s%s %q", who, m.Type, pictures(m.Photos), numbers.ReplaceAllString(strings.Join(m.Texts, "|"), "#"))
			}
		}
	}
	for _, f := range j.mesh.Filed(j.practice) {
		if f.Patient == j.patient {
			line := fmt.Sprintf("the record has %s %s", f.Title, f.Status)
			for _, p := range f.Parts {
				line += " " + p.Media
			}
			tell("%s", line)
		}
	}
	for _, n := range j.notify.Messages() {
		if n.NHSNumber == j.patient {
			tell("the patient has %q", n.Text)
		}
	}
	for p := range brought {
		tell("EPR has %s", p)
	}
	if n := len(j.at(j.epr.Messages(), "REF^I12")); j.kind == "provider pull" && n > 3 {
		tell("EPR has %d messages", n)
	}
	slices.Sort(out)
	return out
}

// numbers in texts that differ from case to case: UBRNs, times.
var numbers = regexp.MustCompile(`[0-9]{4,}`)

// travel lets one case of each journey travel at the same time, and gives what came of each.
func (c *channels) travel(names []string) map[string]*journey {
	out := map[string]*journey{}
	var all sync.WaitGroup
	for _, name := range names {
		j := c.journey(name)
		out[name] = j
		all.Go(func() {
			err := journeys[name](j)
			if err == nil {
				err = j.ended()
			}
			if err != nil {
				c.Error(err)
			}
		})
	}
	all.Wait()
	return out
}

// operate is the person who looks after what is parked: an unknown create is looked up in e-RS; what was refused is sent
// again.
func (c *channels) operate() {
	for c.ctx.Err() == nil {
		time.Sleep(200 * time.Millisecond)
		var list parkedList
		if c.call("GET", "/api/v1/parked", nil, &list) != nil {
			continue
		}
		for _, d := range list.Deliveries {
			why := d.To + " " + d.What
			if d.Cause != nil {
				why += ": " + d.Cause.Error()
			}
			if c.decide(d.ID, d.To) {
				c.mu.Lock()
				c.manual[why]++
				c.mu.Unlock()
			}
		}
	}
}

func (c *channels) decide(id, to string) bool {
	act := func(verb string, body map[string]any) bool {
		body["reason"] = "ordeal"
		var out any
		return c.call("POST", "/api/v1/deliveries/"+id+"/"+verb, body, &out) == nil
	}
	if to == "ers" {
		var request any
		if c.call("GET", "/api/v1/deliveries/"+id+"/content", nil, &request) != nil {
			return false
		}
		text, _ := json.Marshal(request)
		for _, j := range c.all() {
			if !bytes.Contains(text, []byte(j.patient)) {
				continue
			}
			for _, kind := range []string{"a", "r"} {
				if ubrn, _ := j.request(kind); ubrn != "" && act("resolve", map[string]any{"ubrn": ubrn}) {
					return true
				}
			}
		}
		if act("resolve", map[string]any{"not_created": true}) {
			return true
		}
	}
	return act("replay", map[string]any{})
}

func (c *channels) all() []*journey {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.patients)
}

// table tells what went wrong where.
func (c *channels) table() {
	c.plan.mu.Lock()
	defer c.plan.mu.Unlock()
	head := "| call |"
	for _, x := range allTroubles {
		head += " " + x.name + " |"
	}
	c.Log(head)
	calls := make([]string, 0, len(c.plan.done))
	for call := range c.plan.done {
		calls = append(calls, call)
	}
	slices.Sort(calls)
	for _, call := range calls {
		line := "| " + call + " |"
		for _, x := range allTroubles {
			line += fmt.Sprintf(" %d |", c.plan.done[call][x.name])
		}
		c.Log(line)
	}
}

// Provider pull to the EPR, A&G in e-RS and on a platform, and a referral with letter and photos, home by MESH and told by
// Notify: every call goes wrong in turn, and the gateway is killed at calls, before they are made and after. All end as
// when nothing goes wrong. CI does it briefly, with trouble at every third step; make ordeal with CHANNELS rounds, ten of
// which have every trouble at every step.
func TestChannelsOrdeal(t *testing.T) {
	t.Parallel()
	rounds, of, within := 1, 3, 5*time.Minute
	if text := os.Getenv("CHANNELS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal("CHANNELS is a number of rounds")
		}
		rounds, of, within = n, 1, time.Duration(n+1)*5*time.Minute
	}
	first := rand.IntN(3 * len(allTroubles))
	t.Logf("first trouble %d", first)
	c := startChannels(t, within)
	names := []string{"provider pull", "referral", "A&G in e-RS", "A&G on a platform"}
	c.plan.begin(0, 0)
	want := map[string][]string{}
	for name, j := range c.travel(names) {
		want[name] = j.came()
		if len(want[name]) < 3 {
			t.Errorf("%s: %q", name, want[name])
		}
	}
	for round := range rounds {
		if t.Failed() {
			break
		}
		c.plan.begin(first+round, of)
		for name, j := range c.travel(names) {
			_ = j.wait("all of it has come", func() bool { return len(j.came()) >= len(want[name]) })
			if diff := cmp.Diff(want[name], j.came()); diff != "" {
				t.Errorf("%s (-without trouble +with):\n%s", name, diff)
			}
		}
	}
	c.table()
	c.mu.Lock()
	defer c.mu.Unlock()
	for why, n := range c.manual {
		t.Logf("%d × a person: %s", n, why)
	}
}
