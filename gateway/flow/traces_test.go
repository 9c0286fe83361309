package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/maps"
)

// shelf is a store in memory, of what one trace needs of one.
type shelf struct {
	Store
	cases      map[ID]CaseRecord
	story      map[ID][]Event
	messages   map[ID]Message
	refs       map[Ref][]ID
	applied    map[string]bool
	deliveries []*Delivery
}

func newShelf() *shelf {
	return &shelf{cases: map[ID]CaseRecord{}, story: map[ID][]Event{}, messages: map[ID]Message{}, refs: map[Ref][]ID{}, applied: map[string]bool{}}
}

func (s *shelf) Put(_ context.Context, c Change) (Receipt, error) {
	if err := c.Check(); err != nil {
		return Receipt{}, err
	}
	if c.Applied != "" && s.applied[c.Applied] {
		return Receipt{}, nil
	}
	if c.Case != nil {
		if c.Case.Record.Version-1 != s.cases[c.Case.Record.ID].Version {
			return Receipt{}, ErrStale
		}
		s.cases[c.Case.Record.ID] = c.Case.Record
		s.story[c.Case.Record.ID] = append(s.story[c.Case.Record.ID], c.Case.Story...)
		for _, r := range c.Refs {
			s.refs[r] = append(s.refs[r], c.Case.Record.ID)
		}
	}
	if c.Message != nil {
		s.messages[c.Message.ID] = *c.Message
	}
	for _, d := range c.Deliveries {
		if !slices.ContainsFunc(s.deliveries, func(o *Delivery) bool { return o.ID == d.ID }) {
			s.deliveries = append(s.deliveries, &d)
		}
	}
	if c.Applied != "" {
		s.applied[c.Applied] = true
	}
	return Receipt{}, nil
}

func (s *shelf) Case(_ context.Context, id ID) (CaseRecord, error) {
	if r, ok := s.cases[id]; ok {
		return r, nil
	}
	return CaseRecord{}, ErrNotFound
}

func (s *shelf) Message(_ context.Context, id ID) (Message, error) {
	if m, ok := s.messages[id]; ok {
		return m, nil
	}
	return Message{}, ErrNotFound
}

func (s *shelf) Find(_ context.Context, r Ref) ([]ID, error) { return s.refs[r], nil }

func (s *shelf) Cases(_ context.Context, q CaseQuery) (out []CaseRecord, _ error) {
	for _, r := range s.cases {
		if q.Wanted(r.Index) {
			out = append(out, r)
		}
	}
	return out, nil
}

// theatre plays traces: what sources, destinations, clocks and people do to cases, in any order.
type theatre struct {
	*testing.T
	p        *Pipeline
	requests map[string]Translated // by kind and urgency
	store    *shelf
	read     map[ID]seen
	checked  map[ID]int64 // versions
	at       time.Time
	rnd      *rand.Rand
	n        int
	reached  map[string]int // transitions, by their id
	created  int            // messages that ask for something, over all traces
}

func newTheatre(t *testing.T, full bool) *theatre {
	t.Helper()
	set, err := mapping.Load(maps.FS)
	if err != nil {
		t.Fatal(err)
	}
	machines, err := pathway.Load()
	if err != nil {
		t.Fatal(err)
	}
	th := &theatre{T: t, requests: map[string]Translated{}, reached: map[string]int{}, rnd: rand.New(rand.NewSource(8))}
	rules := SourceRules{Name: "gp", Requests: true, Answers: true, Processing: "P", Checks: Checks{Consent: Off, Images: Hold, NHSNumber: Hold, Photo: Require},
		Kind:    mapping.KindRule{From: hl7.MustPath("RF1-3.1"), Advice: []string{"AG"}, Referral: []string{"DERM"}},
		Urgency: mapping.UrgencyRule{From: hl7.MustPath("RF1-2.1"), TwoWeekWait: []string{"2WW"}, Routine: []string{"R"}}}
	open := rules
	open.Name, open.Checks.Images = "easy", Off
	found := open
	found.Name, found.Found = "list", true
	th.p = &Pipeline{Maps: func() *mapping.Set { return set }, Machines: machines, Timers: pathway.DefaultTimers(), Site: Site{ODS: "RXX01", Zone: time.UTC},
		Owners: Owners{Provider: "Dermatology", Deputy: "Secretary", Operations: "Interfaces"}, Secret: []byte("secret"),
		Sources: map[string]SourceRules{"gp": rules, "easy": open, "list": found}, Now: func() time.Time { return th.at },
		Endpoints: []Endpoint{{Name: "ag", Kind: ToFHIR, Poll: "ag~poll", PollEvery: time.Hour}, {Name: "gp", Kind: ToMLLP, Message: "RRI_I12", Answer: "MDM_T02", Letter: "MDM_T02", Version: "2.4"},
			{Name: "epr", Kind: ToMLLP, Message: "REF_I12", Version: "2.4"}},
		Routes: []Route{{When: When{Event: Requested}, To: []string{"ag"}}}}
	if full {
		texts, err := LoadNotices(nil)
		if err != nil {
			t.Fatal(err)
		}
		th.p.Endpoints = append(th.p.Endpoints, Endpoint{Name: "patient", Kind: ToNotify, RoutingPlan: freeText + "1", Templates: texts})
		for _, e := range []string{Answered, InfoRequested, Triaged, ConvertedTo, Ended, BookedEvent, Unbooked} {
			th.p.Routes = append(th.p.Routes, Route{When: When{Event: e}, To: []string{"gp"}})
		}
		th.p.Routes = append(th.p.Routes, Route{When: When{Event: Triaged, Outcome: OutcomeAccepted}, To: []string{"epr"}})
	}
	th.p.Store = newShelf()
	for name, replace := range map[string][]string{"advice routine": nil, "advice suspected": {"|R^Routine|", "|2WW|"}, "referral routine": {"AG^", "DERM^"},
		"referral unnumbered": {"AG^", "DERM^", "9990001014^^^NHS^NH", "4711^^^EMIS^PI"}, "referral suspected": {"AG^", "DERM^", "|R^Routine|", "|2WW|"}} {
		raw := strings.NewReplacer(replace...).Replace(traceRequest)
		tr := th.p.Translate(t.Context(), Received{Source: "gp", Format: HL7v2, Raw: []byte(raw)}, rules)
		if tr.Issues.Worst() != nil {
			t.Fatal(tr.Issues)
		}
		th.requests[name] = tr
	}
	return th
}

const traceRequest = "MSH|^~\\&|EMIS|Y06601|DERMGATE|RXX01|20261103101500||REF^I12^REF_I12|1|P|2.4|||AL|NE|GBR|UNICODE UTF-8\r" +
	"RF1|P|R^Routine|AG^Advice and Guidance|||REF1^EMIS|20261103101500||20261103101500|D22.6^Melanocytic naevi of upper limb^I10\r" +
	"PRD|RP|Okafor^Ngozi^^^Dr|1 Lambeth Road^^London^^SE1 7AA^GBR||||G5612908^GMP|||LAMBETH ROAD SURGERY^^Y06601\r" +
	"PRD|RT|^^^^||||||||ST ELSEWHERE DERMATOLOGY^^RXX01\r" +
	"PID|1||9990001014^^^NHS^NH||Testcase^Rosalind^^^Ms||19680412|2|||14 Sample Street^^London^^SE1 9ZZ^GBR\r" +
	"OBX|1|FT|QUESTION^Clinical question^L|L1|Changing mole on the left forearm||||||F|||20261103101000\r"

// begin opens a case of a kind in an empty store.
func (th *theatre) begin(request, source string) ID {
	th.store = newShelf()
	th.read, th.checked = map[ID]seen{}, map[ID]int64{}
	th.p.Store, th.at = th.store, time.Date(2026, 11, 3, 10, 15, 0, 0, time.UTC)
	return th.open(request, source)
}

func (th *theatre) open(request, source string) ID {
	th.n++
	t := th.requests[request]
	t.Source, t.At, t.Issues = source, th.at, nil
	t.Idem = Idem{Key: fmt.Sprintf("trace %d", th.n)}
	if source == "list" {
		t.Facts.Business = map[pathway.Kind]string{pathway.Advice: "PROVIDER_RESPONSE_REQUIRED", pathway.Referral: "AWAITING_TRIAGE"}[t.Facts.Kind]
	}
	change, err := th.p.open(th.Context(), &t, th.p.Sources[source])
	if err != nil {
		th.Fatal(err)
	}
	if _, err := th.store.Put(th.Context(), change); err != nil {
		th.Fatal(err)
	}
	return change.Case.Record.ID
}

func (th *theatre) theCase(id ID) *pathway.Case {
	r := th.store.cases[id]
	if known := th.read[id]; known.version == r.Version {
		return known.c
	}
	c := &pathway.Case{}
	if err := json.Unmarshal(r.State, c); err != nil {
		th.Fatal(err)
	}
	th.read[id] = seen{r.Version, c}
	return c
}

// seen is a case as it was read at a version.
type seen struct {
	version int64
	c       *pathway.Case
}

// fact makes what a message says; each has another text unless it is the same again.
func (th *theatre) fact(kind pathway.Kind, word string, again bool) Facts {
	f := Facts{Kind: kind}
	text := "first"
	if !again {
		text = fmt.Sprint(th.rnd.Intn(1000))
	}
	switch word {
	case "answer":
		f.Event, f.Business, f.Advice = Answered, "REFERRER_TO_REVIEW_RESPONSE", text
		f.Outcome = pathway.Outcome{Code: "RETURN_TO_REFERRER_WITH_ADVICE", Recommendation: pathway.ReferralRecommended, Priority: pathway.TwoWeekWait}
	case "more":
		f.Event, f.Business = InfoRequested, "REFERRER_TO_SUBMIT_FURTHER_INFORMATION"
	case "given":
		f.Event, f.Business = StatusOnly, "PROVIDER_RESPONSE_REQUIRED"
	case "converted":
		f.Event, f.Business, f.Outcome.Code = ConvertedTo, "ADVICE_CONVERTED", "PROVIDER_CONVERTED"
	case "closed":
		f.Event, f.Business, f.Result = Ended, "CONVERSATION_ENDED_CLOSED", OutcomeEnded
	case "cancelled":
		f.Event, f.Business, f.Result = Ended, "CONVERSATION_ENDED_CANCELLED", OutcomeEnded
	case "accept":
		f.Event, f.Business, f.Result, f.Advice, f.Outcome.Code = Triaged, "TRIAGED_PROVIDER_TO_ACTION", OutcomeAccepted, text, "ACCEPT_REFER_BOOK_LATER"
	case "lowered":
		f.Event, f.Business, f.Result, f.Advice = Triaged, "TRIAGED_PROVIDER_TO_ACTION", OutcomeAccepted, text
		f.Outcome = pathway.Outcome{Code: "ACCEPT_REFER_BOOK_LATER", Priority: pathway.Routine}
	case "return":
		f.Event, f.Business, f.Result, f.Advice, f.Outcome.Code = Triaged, "TRIAGE_RESPONSE", OutcomeReturned, text, "RETURN_TO_REFERRER_WITH_ADVICE"
	case "test":
		f.Event, f.Business, f.Result, f.Advice, f.Outcome.Code = Triaged, "CANCELLED_REFERRAL", OutcomeTest, text, straightToTest
	case "redirected":
		f.Event, f.Business, f.Result, f.Outcome.Code = Ended, "CANCELLED_REFERRAL", OutcomeEnded, "COMMUNITY_SERVICE_NA"
	case "ended":
		f.Event, f.Business, f.Result = Ended, "CANCELLED_REFERRAL", OutcomeEnded
	case "opened":
		f.Event, f.Business, f.Working = StatusOnly, "AWAITING_TRIAGE", "in-progress"
	case "put back":
		f.Event, f.Business, f.Working = StatusOnly, "AWAITING_TRIAGE", "requested"
	case "raised":
		f.Event, f.Business, f.Outcome.Priority = StatusOnly, "AWAITING_TRIAGE", pathway.TwoWeekWait
	case "booked":
		f.Event, f.Business = BookedEvent, "BOOKED"
	case "unbooked":
		f.Event, f.Business = Unbooked, "APPT_CANCELLED_BY_PROVIDER"
	case "patient cancels":
		f.Event, f.Business = Unbooked, "APPT_CANCELLED_BY_PATIENT"
	case "missed":
		f.Event, f.Business = NotAttended, "DID_NOT_ATTEND"
	case "read: manage":
		f.Event, f.Outcome = Reviewed, pathway.Outcome{Person: "G1", Decision: pathway.ManageInPrimaryCare}
	case "read: refer":
		f.Event, f.Outcome = Reviewed, pathway.Outcome{Person: "G1", Decision: pathway.IWillRefer}
	case "read: ask":
		f.Event, f.Outcome = Reviewed, pathway.Outcome{Person: "G1", Decision: pathway.AskedAgain}
	case "referred":
		f.Event, f.Outcome.Person = ReferralMade, "G1"
	case "withdraw":
		f.Event = Withdrawn
	case "amend":
		f.Event = Amended
	case "tracked":
		f.Event, f.Outcome.Person = Tracked, "T1"
	case "told":
		f.Event, f.Act, f.Outcome.Person = Attested, actTold, "G1"
	case "home":
		f.Event, f.Act, f.Outcome.Person = Attested, actReceived, "G1"
	default:
		panic(word)
	}
	return f
}

var adviceWords = []string{"answer", "answer", "more", "given", "converted", "closed", "cancelled", "read: manage", "read: refer", "read: ask", "referred", "withdraw", "amend", "told", "told", "home",
	"accept", "booked"} // the last two contradict the kind: observed, and nothing more
var referralWords = []string{"accept", "accept", "lowered", "return", "test", "redirected", "ended", "opened", "opened", "put back", "raised", "booked", "booked", "unbooked", "patient cancels", "missed",
	"read: manage", "withdraw", "amend", "tracked", "told", "told", "home", "answer"}

// say works a message into a case.
func (th *theatre) say(id ID, word string, again bool) {
	th.n++
	c := th.theCase(id)
	answer := emptyAnswer()
	t := Translated{Received: Received{Source: c.Request.Source, At: th.at, Format: FHIRR4}, Facts: th.fact(c.Kind, word, again), Bundle: answer, set: th.p.Maps()}
	msg := NewID(id.Partition(), "trace message", fmt.Sprint(th.n))
	raw, err := fhir.AppendJSON(nil, answer.Root)
	if err != nil {
		th.Fatal(err)
	}
	th.store.messages[msg] = Message{ID: msg, Source: t.Source, Format: FHIRR4, RequestID: fmt.Sprint(th.n), Raw: BodyRef{Inline: raw, Size: int64(len(raw))}}
	work := Delivery{ID: NewID(id.Partition(), "trace work", fmt.Sprint(th.n)), Case: id, Message: msg, To: ToCase, Key: msg.String(), What: t.Facts.Event}
	for err = th.p.apply(th.Context(), work, &t); errors.Is(err, errNotYet); err = th.p.apply(th.Context(), work, &t) {
		th.links(&t)
	}
	if err != nil {
		th.Fatalf("%s in %s: %v", word, c.State, err)
	}
	th.links(&t)
}

// links does the work that cases leave for others.
func (th *theatre) links(t *Translated) {
	for _, d := range th.store.deliveries {
		if d.To == ToCase && d.State == Waiting {
			d.State = Done
			if err := (Applier{P: th.p}).apply(th.Context(), *d, t); err != nil {
				th.Fatal(err)
			}
		}
	}
}

func emptyAnswer() *fhir.Bundle {
	b, err := fhir.NewBundle(fhir.NewTree(), "message")
	if err == nil {
		_, err = b.Add("urn:uuid:0f0c7a30-0000-4000-8000-000000000003", "Patient")
	}
	if err == nil {
		_, err = b.Add("urn:uuid:0f0c7a30-0000-4000-8000-000000000002", "ServiceRequest")
	}
	if err != nil {
		panic(err)
	}
	return b
}

// settle ends one delivery that is on its way, in some way.
func (th *theatre) settle(result Result) bool {
	for _, d := range th.store.deliveries {
		if d.Internal() || d.State != Waiting || d.What == "poll" || strings.HasPrefix(d.What, "notice:") {
			continue
		}
		if o, err := th.p.Before(th.Context(), d); err != nil || o.Result == Refused {
			d.State = Discarded
			return true
		}
		o := Outcome{Result: result, Facts: map[string]string{"ubrn": "000000070001"}}
		if err := th.p.Settled(th.Context(), d, &o); err != nil {
			th.Fatal(err)
		}
		if o.Change != nil {
			if _, err := th.store.Put(th.Context(), *o.Change); err != nil {
				th.Fatal(err)
			}
		}
		d.State = o.State()
		th.links(&Translated{set: th.p.Maps(), Bundle: emptyAnswer()})
		return true
	}
	return false
}

// ring lets the next clock ring.
func (th *theatre) ring() {
	var first *Delivery
	for _, d := range th.store.deliveries {
		if d.To == ToClock && d.State == Waiting && (first == nil || d.Due.Before(first.Due)) {
			first = d
		}
	}
	if first == nil {
		return
	}
	if first.Due.After(th.at) {
		th.at = first.Due
	}
	first.State = Done
	before := th.store.cases[first.Case].Index.State
	if _, err := (Clock{th.p}).Deliver(th.Context(), *first, nil); err != nil {
		th.Fatal(err)
	}
	if after := th.store.cases[first.Case].Index.State; after != before {
		th.Fatalf("a clock moved a case from %s to %s", before, after)
	}
}

// act does something at random.
func (th *theatre) act() {
	ids := make([]ID, 0, len(th.store.cases))
	for id := range th.store.cases {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b ID) int { return strings.Compare(a.String(), b.String()) })
	id := ids[th.rnd.Intn(len(ids))]
	c := th.theCase(id)
	th.at = th.at.Add(time.Duration(th.rnd.Intn(7200)) * time.Second)
	switch n := th.rnd.Intn(20); {
	case n < 5:
		th.settle([]Result{Delivered, Delivered, Refused, Unknown}[th.rnd.Intn(4)])
	case n < 8:
		th.ring()
	case n == 8:
		if err := th.p.Release(th.Context(), id, "G1", "consent is recorded"); err != nil {
			th.Fatal(err)
		}
	default:
		words := adviceWords
		if c.Kind == pathway.Referral {
			words = referralWords
		}
		th.say(id, words[th.rnd.Intn(len(words))], th.rnd.Intn(3) == 0)
	}
}

// check holds the store against both invariants, and counts the moves that were made.
func (th *theatre) check() {
	requests := map[ID]int{}
	for _, d := range th.store.deliveries {
		c, ok := th.store.cases[d.Case]
		if !ok || d.Internal() {
			continue
		}
		switch d.What {
		case "referral", "advice-request":
			requests[d.Case]++
			if want := map[string]string{"referral": "referral", "advice-request": "advice"}[d.What]; c.Index.Kind != want {
				th.Fatalf("INV1: a %s leaves a case of kind %s", d.What, c.Index.Kind)
			}
		}
	}
	for id, n := range requests {
		if n > 1 {
			th.Fatalf("INV1: %d requests left for one", n)
		}
		th.created += n
		if th.theCase(id).From != "" {
			th.Fatal("INV1: a linked case asks for something anew")
		}
	}
	for id, r := range th.store.cases {
		if th.checked[id] == r.Version {
			continue
		}
		th.checked[id] = r.Version
		c := th.theCase(id)
		if ended := th.p.Machines[c.Kind].Ended(c.State); ended != r.Index.Ended || ended && (!c.Told() || !c.Home()) {
			th.Fatalf("INV2: %s in %s with %+v", c.Kind, c.State, c.Obligations)
		}
		if c.Outcome.Decision == pathway.IWillRefer && c.State == pathway.Closed && c.Referral == "" && c.Outcome.Code != "" && reviewedAndClosed(th.store.story[id]) {
			th.Fatal("AG13: closed without the referral")
		}
		waits := slices.ContainsFunc(th.store.deliveries, func(d *Delivery) bool { return d.To == ToClock && d.Case == id && d.State == Waiting })
		if !r.Index.Ended && !waits {
			th.Fatalf("no clock runs in %s", c.State)
		}
	}
}

func reviewedAndClosed(story []Event) bool {
	return slices.ContainsFunc(story, func(e Event) bool { return strings.Contains(e.Text, "(AG13,") })
}

func (th *theatre) count() {
	for _, story := range th.store.story {
		for _, e := range story {
			if _, rest, ok := strings.Cut(e.Text, " ("); ok && e.What == "state" {
				id, _, _ := strings.Cut(rest, ",")
				th.reached[id]++
			}
		}
	}
}

// finish does what people and channels have to do until every case has ended.
func (th *theatre) finish() {
	next := map[pathway.State]string{pathway.AwaitingProvider: "answer", pathway.InfoRequested: "answer", pathway.Responded: "read: manage", pathway.EndedNoticeDue: "told",
		pathway.AwaitingTriage: "accept", pathway.InTriage: "accept", pathway.ProviderToAction: "booked", pathway.Booked: "tracked", pathway.Returned: "read: manage"}
	for range 60 {
		open := false
		for id, r := range th.store.cases {
			c := th.theCase(id)
			if r.Index.Ended {
				continue
			}
			open = true
			switch {
			case c.State == pathway.Held:
				if err := th.p.Release(th.Context(), id, "G1", "send it"); err != nil {
					th.Fatal(err)
				}
			case c.State == pathway.Submitted && th.settle(Delivered):
			case c.State == pathway.Submitted || c.State == pathway.SendFailed: // a person has found out that it is there
				th.say(id, map[pathway.Kind]string{pathway.Advice: "answer", pathway.Referral: "accept"}[c.Kind], false)
			case c.State == pathway.Reviewed && c.Outcome.Decision == pathway.IWillRefer && c.Referral == "":
				th.say(id, "referred", false)
			case c.State == pathway.Reviewed && c.Outcome.Decision != pathway.ManageInPrimaryCare:
				th.say(id, "read: manage", false)
			case next[c.State] != "":
				th.say(id, next[c.State], false)
			}
			if c := th.theCase(id); !c.Told() {
				th.say(id, "told", false)
			}
			if c := th.theCase(id); !c.Home() {
				th.say(id, "home", false)
			}
		}
		if !open {
			return
		}
	}
	for id, r := range th.store.cases {
		if !r.Index.Ended {
			th.Fatalf("a %s does not end: %s, %+v\n%+v", r.Index.Kind, r.Index.State, th.theCase(id).Outcome, th.store.story[id])
		}
	}
}

// Random traces of repeated, late, reordered and contradicting events, as messages, settlements, clocks and people: INV1 and
// INV2 hold after each, every open case has a clock that runs, and every case can be brought to its end. Between them they
// make every move of both machines. Under the race detector there are fewer: make test plays all of them without it.
func TestRandomTracesThroughTheFlowKeepTheInvariantsAndEnd(t *testing.T) {
	const companies = 4
	reached, sent := map[string]int{}, 0
	var mu sync.Mutex
	t.Run("traces", func(t *testing.T) {
		for n := range companies {
			t.Run(strconv.Itoa(n), func(t *testing.T) {
				t.Parallel()
				th := newTheatre(t, false)
				th.rnd = rand.New(rand.NewSource(int64(n)))
				th.play(traces / companies)
				mu.Lock()
				defer mu.Unlock()
				for id, n := range th.reached {
					reached[id] += n
				}
				sent += th.created
			})
		}
	})
	if sent == 0 {
		t.Error("nothing was ever sent")
	}
	machines, err := pathway.Load()
	if err != nil {
		t.Fatal(err)
	}
	for kind, m := range machines {
		for _, tr := range m.Transitions {
			if reached[tr.ID] == 0 && traces >= 10_000 {
				t.Errorf("%s: no event makes the move %s (%s → %s, %s)", kind, tr.ID, tr.From, tr.To, tr.Event)
			}
		}
	}
}

// The same with all that is sent rendered, and notices by machine.
func TestRandomTracesWithAllThatIsSent(t *testing.T) {
	newTheatre(t, true).play(60)
}

func (th *theatre) play(traces int) {
	kinds := []string{"advice routine", "referral routine", "advice suspected", "referral suspected", "advice routine", "referral unnumbered"}
	sources := []string{"easy", "easy", "gp", "list"}
	for n := range traces {
		th.begin(kinds[n%len(kinds)], sources[th.rnd.Intn(4)])
		for range 8 + th.rnd.Intn(12) {
			th.act()
			th.check()
		}
		th.finish()
		th.check()
		th.count()
	}
}
