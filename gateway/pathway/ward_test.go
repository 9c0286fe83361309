package pathway_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/bolt"
	"github.com/dermgate/dermgate/fixtures"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/maps"
)

// ward is a pipeline over a store in a file, where the hazards' controls are: what a message does to a case, and what leaves.
type ward struct {
	*testing.T
	*flow.Pipeline
	alarms []string
	clock  time.Time
	n      int
}

// shelf keeps bodies in memory, by their hash.
type shelf map[string][]byte

func (s shelf) Put(_ context.Context, _ string, r io.Reader, mediaType string) (flow.BodyRef, error) {
	b, err := io.ReadAll(r)
	sum := fmt.Sprintf("%x", sha256.Sum256(b))
	s[sum] = b
	return flow.BodyRef{Blob: sum, SHA256: sum, Size: int64(len(b)), Type: mediaType}, err
}

func (s shelf) Open(_ context.Context, r flow.BodyRef) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(s[r.Blob])), nil
}

func (s shelf) At(_ context.Context, r flow.BodyRef) image.File { return bytes.NewReader(s[r.Blob]) }

func (s shelf) Begin(_ context.Context, _, mediaType string) (flow.Body, error) {
	return &page{of: s, mediaType: mediaType}, nil
}

type page struct {
	bytes.Buffer
	of        shelf
	mediaType string
}

func (p *page) Include(of flow.Span) error {
	b := p.of[of.Blob][of.From : of.From+of.Size]
	if of.Base64 {
		b = []byte(base64.StdEncoding.EncodeToString(b))
	}
	p.Write(b)
	return nil
}

func (p *page) Keep() (flow.BodyRef, error) {
	return p.of.Put(context.Background(), "", &p.Buffer, p.mediaType)
}
func (p *page) Discard() {}

var (
	shipped = sync.OnceValues(func() (*mapping.Set, error) { return mapping.Load(maps.FS) })
	london  = func() *time.Location { l, _ := time.LoadLocation("Europe/London"); return l }()
	tuesday = time.Date(2026, 11, 3, 10, 15, 0, 0, london)
)

// newWard has one source of requests and answers, and four destinations: an A&G platform, an EPR, a GP system, and patients.
// rules and plans change what is usual.
func newWard(t *testing.T, edit ...func(*flow.SourceRules, *flow.Pipeline)) *ward {
	t.Helper()
	store, err := bolt.Open(filepath.Join(t.TempDir(), "ward.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	set, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	machines, err := pathway.Load()
	if err != nil {
		t.Fatal(err)
	}
	texts, err := flow.LoadNotices(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &ward{T: t, clock: tuesday}
	rules := flow.SourceRules{Name: "gp", Requests: true, Answers: true, Processing: "P",
		Kind:    mapping.KindRule{From: hl7.MustPath("RF1-3.1"), Advice: []string{"AG"}, Referral: []string{"DERM"}},
		Urgency: mapping.UrgencyRule{From: hl7.MustPath("RF1-2.1"), TwoWeekWait: []string{"2WW"}, Urgent: []string{"U"}, Routine: []string{"R"}},
		Checks:  flow.Checks{Consent: flow.Hold, Images: flow.Off, NHSNumber: flow.Require, Photo: flow.Require}}
	w.Pipeline = &flow.Pipeline{
		Store: store, Bodies: shelf{}, Maps: func() *mapping.Set { return set }, Machines: machines, Timers: pathway.DefaultTimers(),
		Site: flow.Site{Name: "St Elsewhere", ODS: "RXX01", Zone: london}, Secret: []byte("secret"), Now: func() time.Time { return w.clock },
		Owners: flow.Owners{Provider: "Dermatology admin", Deputy: "Dermatology lead", Operations: "Interface team"},
		Endpoints: []flow.Endpoint{{Name: "ag", Kind: flow.ToFHIR}, {Name: "epr", Kind: flow.ToMLLP, Message: "REF_I12", Version: "2.4"},
			{Name: "gp-system", Kind: flow.ToMLLP, Message: "RRI_I12", Answer: "ORU_R01", Version: "2.4"}, {Name: "patient", Kind: flow.ToNotify, Templates: texts, RoutingPlan: "00000000-0000-0000-0000-000000000001"}},
		Routes: []flow.Route{{When: flow.When{Case: "advice", Event: flow.Requested}, To: []string{"ag"}}, {When: flow.When{Case: "referral", Event: flow.Requested}, To: []string{"epr"}},
			{When: flow.When{Event: flow.Answered}, To: []string{"gp-system"}}, {When: flow.When{Event: flow.Triaged}, To: []string{"gp-system"}}},
		Alarm: func(name, _ string) { w.alarms = append(w.alarms, name) },
	}
	for _, e := range edit {
		e(&rules, w.Pipeline)
	}
	w.Sources = map[string]flow.SourceRules{"gp": rules}
	return w
}

// accept hands a message over; the receipt may be a refusal.
func (w *ward) accept(raw string) flow.Receipt {
	w.Helper()
	r, err := w.Accept(w.Context(), flow.Received{Source: "gp", At: w.clock, Format: flow.HL7v2, Raw: []byte(strings.ReplaceAll(raw, "\n", "\r"))})
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// takes accepts a message that must be taken, and works it into its case.
func (w *ward) takes(raw string) flow.ID {
	w.Helper()
	r := w.accept(raw)
	if r.Refused {
		w.Fatalf("refused: %q", r.Answer)
	}
	w.work()
	return r.Case
}

// work applies what waits for its case.
func (w *ward) work() {
	w.Helper()
	for seen := map[flow.ID]bool{}; ; {
		claimed, err := w.Store.Claim(w.Context(), flow.ToCase, 10, time.Minute)
		if err != nil {
			w.Fatal(err)
		}
		claimed = slices.DeleteFunc(claimed, func(d flow.Delivery) bool { return seen[d.ID] }) // one that waits for what leads to its case
		if len(claimed) == 0 {
			return
		}
		for _, del := range claimed {
			seen[del.ID] = true
			o, err := flow.Applier{P: w.Pipeline}.Deliver(w.Context(), del, nil)
			if err != nil {
				w.Fatal(err)
			}
			if err := w.Store.Settle(w.Context(), del, o); err != nil {
				w.Fatal(err)
			}
		}
	}
}

// settles claims what is next for a destination, asks the case whether it may go, and settles it as the destination would.
// It gives what went, and how that ended.
func (w *ward) settles(to string, result flow.Result) (flow.Delivery, flow.Result) {
	w.Helper()
	claimed, err := w.Store.Claim(w.Context(), to, 1, time.Minute)
	if err != nil || len(claimed) != 1 {
		w.Fatalf("%d deliveries for %s, %v", len(claimed), to, err)
	}
	del := claimed[0]
	o, err := w.Before(w.Context(), &del)
	if err != nil {
		w.Fatal(err)
	}
	if o.Result == "" {
		o = flow.Outcome{Result: result}
	}
	if err := w.Settled(w.Context(), &del, &o); err != nil {
		w.Fatal(err)
	}
	if err := w.Store.Settle(w.Context(), del, o); err != nil {
		w.Fatal(err)
	}
	return del, o.Result
}

// rings lets the clocks of a case ring that are due by a time.
func (w *ward) rings(id flow.ID, at time.Time) {
	w.Helper()
	w.clock = at
	for _, del := range w.deliveries(flow.DeliveryQuery{Case: id, To: flow.ToClock, All: true}) {
		due := del.Created.Add(time.Until(del.Due)) // the store counts on its own clock
		if del.State == flow.Waiting && !due.After(at) {
			if _, err := (flow.Clock{P: w.Pipeline}).Deliver(w.Context(), del, nil); err != nil {
				w.Fatal(err)
			}
		}
	}
}

func (w *ward) deliveries(q flow.DeliveryQuery) []flow.Delivery {
	w.Helper()
	q.Limit = 1000
	ds, err := w.Store.Deliveries(w.Context(), q)
	if err != nil {
		w.Fatal(err)
	}
	return ds
}

// to gives what was made for a destination about a case.
func (w *ward) to(id flow.ID, name string) []flow.Delivery {
	return w.deliveries(flow.DeliveryQuery{Case: id, To: name})
}

// body reads what a delivery sends.
func (w *ward) body(del flow.Delivery) string {
	w.Helper()
	if del.Body.Blob == "" {
		return string(del.Body.Inline)
	}
	r, err := w.Bodies.Open(w.Context(), del.Body)
	if err != nil {
		w.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		w.Fatal(err)
	}
	return string(b)
}

func (w *ward) caseOf(id flow.ID) *pathway.Case {
	w.Helper()
	r, err := w.Store.Case(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	c := &pathway.Case{}
	if err := json.Unmarshal(r.State, c); err != nil {
		w.Fatal(err)
	}
	return c
}

// cases counts what the store has.
func (w *ward) cases() []flow.CaseRecord {
	w.Helper()
	all, err := w.Store.Cases(w.Context(), flow.CaseQuery{})
	if err != nil {
		w.Fatal(err)
	}
	return all
}

// asks tells whether somebody has an open task of a code.
func asks(c *pathway.Case, code string) bool { return c.Task(code) != nil }

// patientMary is PID of the requests here.
const patientMary = "PID|1||9990001014^^^NHS^NH||Testcase^Rosalind^^^Ms||19680412|2|||14 Sample Street^^London^^SE1 9ZZ^GBR"

// request asks for something of a kind (AG, DERM) and an urgency (R, U, 2WW) under a control id; more are further segments.
func request(id, kind, urgency string, more ...string) string {
	return "MSH|^~\\&|EMIS|Y06601|DERMGATE|RXX01|20261103101500||REF^I12^REF_I12|" + id + "|P|2.4|||AL|NE|GBR|UNICODE UTF-8\n" +
		"RF1|P|" + urgency + "|" + kind + "|||REF" + id + "^EMIS|20261103101500||20261103101500\n" +
		"PRD|RP|Okafor^Ngozi^^^Dr|||||G5612908^GMP|||LAMBETH ROAD SURGERY^^Y06601\nPRD|RT|^^^^||||||||ST ELSEWHERE DERMATOLOGY^^RXX01\n" +
		patientMary + "\nOBX|1|FT|QUESTION^Clinical question^L||Changing mole on the left forearm||||||F\n" + strings.Join(more, "")
}

// answer is advice on the request of a control id.
func answer(id, about, text string, more ...string) string {
	return "MSH|^~\\&|AGP|RXX01|DERMGATE|RXX01|20261103111500||ORU^R01^ORU_R01|" + id + "|P|2.4|||AL|NE|GBR|UNICODE UTF-8\n" +
		patientMary + "\nOBR|1|REF" + about + "^EMIS||ADVICE^Advice^L|||||||||||||||||||||F\nOBX|1|TX|ADVICE^Advice^L||" + text + "||||||F\n" + strings.Join(more, "")
}

// coded is an OBX of an answer in e-RS words.
func coded(name, value string) string {
	return "OBX||CE|" + name + "^" + name + "^L||" + value + "^^ERS||||||F\n"
}

// photo is an OBX with a photo of the fixtures; more is what stands after OBX-11.
func photo(t *testing.T, view, lesion, name, more string) string {
	b, err := fixtures.Fill([]byte("OBX||ED|" + view + "|" + lesion + "|^image^jpeg^Base64^${photo " + name + "}||||||F" + more + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const consented = "OBX||CE|PHOTOCONSENT^Consent for clinical photography^L||Y^Given^L||||||F\n"

// reviewed is the word of the GP who has read an answer.
func (w *ward) reviews(id flow.ID, decision, words string) {
	w.Helper()
	outputs := `{"type": {"coding": [{"code": "decision"}]}, "valueCode": "` + decision + `"}`
	if words != "" {
		outputs += `, {"type": {"coding": [{"code": "patient-words"}]}, "valueString": "` + words + `"}`
	}
	w.tasks(id, "review", outputs)
}

// tasks hands over a person's Task about a case.
func (w *ward) tasks(id flow.ID, act, outputs string) {
	w.Helper()
	w.n++
	raw := fmt.Sprintf(`{"resourceType": "Bundle", "type": "message", "identifier": {"system": "urn:gp", "value": "T%d"}, "entry": [
 {"fullUrl": "urn:uuid:5157d0d0-0000-4000-8001-000000000001", "resource": {"resourceType": "MessageHeader", "source": {"endpoint": "urn:gp"},
  "eventCoding": {"system": "https://fhir.nhs.uk/CodeSystem/message-events-bars", "code": "servicerequest-request"},
  "reason": {"coding": [{"system": "https://fhir.nhs.uk/CodeSystem/message-reason-bars", "code": "update"}]}, "focus": [{"reference": "urn:uuid:5157d0d0-0000-4000-8001-000000000002"}]}},
 {"fullUrl": "urn:uuid:5157d0d0-0000-4000-8001-000000000002", "resource": {"resourceType": "Task", "status": "completed", "intent": "order",
  "code": {"coding": [{"system": "https://dermgate.github.io/fhir/CodeSystem/act", "code": %q}]}, "focus": {"identifier": {"system": "urn:dermgate:case", "value": %q}},
  "owner": {"identifier": {"system": "https://fhir.hl7.org.uk/Id/gmp-number", "value": "G5612908"}}, "output": [%s]}}]}`, w.n, act, id.String(), outputs)
	r, err := w.Accept(w.Context(), flow.Received{Source: "gp", At: w.clock, Format: flow.FHIRR4, Raw: []byte(raw)})
	if err != nil || r.Refused {
		w.Fatalf("%v %s", err, r.Answer)
	}
	w.work()
}

// notify hands over what NHS Notify says of a message.
func (w *ward) notify(ref, channel, status string) {
	w.Helper()
	w.n++
	raw := fmt.Sprintf(`{"data": [{"type": "ChannelStatus", "attributes": {"messageReference": %q, "channel": %q, "channelStatus": %q}, "meta": {"idempotencyKey": "K%d"}}]}`, ref, channel, status, w.n)
	if channel == "" {
		raw = fmt.Sprintf(`{"data": [{"type": "MessageStatus", "attributes": {"messageReference": %q, "messageStatus": %q}, "meta": {"idempotencyKey": "K%d"}}]}`, ref, status, w.n)
	}
	if _, err := w.Accept(w.Context(), flow.Received{Source: "gp", At: w.clock, Format: flow.Notify, Raw: []byte(raw)}); err != nil {
		w.Fatal(err)
	}
	w.work()
}
