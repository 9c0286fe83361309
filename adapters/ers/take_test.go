package ers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// hospital is a provider's side before a simulated e-RS, with the store's part of the work.
type hospital struct {
	t        *testing.T
	ers      *sim.ERS
	list     *Worklist
	taker    *Taker
	queue    map[flow.ID]flow.Delivery
	order    []flow.ID
	files    map[string][]byte
	accepted map[string]string // id of a message → digest
	messages []*fhir.Bundle
	cases    []flow.CaseRecord
	moments  int
	dies     int // at which moment the process dies; 0: never
	alarms   []string
}

func newHospital(t *testing.T) *hospital {
	t.Helper()
	e, err := sim.StartERS("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	h := &hospital{t: t, ers: e, queue: map[flow.ID]flow.Delivery{}, files: map[string][]byte{}, accepted: map[string]string{}}
	c := Client{Base: e.Base(), Application: true, Token: func(context.Context, string) (string, error) { return "t", nil },
		HTTP: &http.Client{Timeout: 30 * time.Second}}
	now := func() time.Time { return at }
	h.list = &Worklist{Client: c, Name: "list", To: "list~list", Take: "list~found", Services: []string{"50001"}, Lists: []string{ListReview},
		Next: func(t time.Time) time.Time { return t.Add(6 * time.Hour) }, Queue: h, Now: now, Alarm: func(name, _ string) { h.alarms = append(h.alarms, name) }}
	h.taker = &Taker{Files: Files{Client: c, Put: h.keep, Open: h.open}, Name: "list", Organisation: "RXX01", Poll: "list~poll",
		Reference: &Reference{Client: c, Now: now}, Cases: h, Queue: h, Accept: h.accept, Now: now}
	return h
}

// moment is one at which the process may die.
func (h *hospital) moment() error {
	h.moments++
	if h.moments == h.dies {
		return errCrash
	}
	return nil
}

// Put keeps deliveries, each once.
func (h *hospital) Put(_ context.Context, c flow.Change) (flow.Receipt, error) {
	if err := h.moment(); err != nil {
		return flow.Receipt{}, err
	}
	for _, d := range c.Deliveries {
		if _, ok := h.queue[d.ID]; !ok {
			h.queue[d.ID] = d
			h.order = append(h.order, d.ID)
		}
	}
	return flow.Receipt{}, h.moment()
}

func (h *hospital) Claim(context.Context, string, int, time.Duration) ([]flow.Delivery, error) {
	return nil, errors.ErrUnsupported
}

func (h *hospital) Settle(context.Context, flow.Delivery, flow.Outcome) error {
	return errors.ErrUnsupported
}

func (h *hospital) keep(_ context.Context, owner string, r io.Reader, mediaType string) (flow.BodyRef, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return flow.BodyRef{}, err
	}
	sum := sha256.Sum256(b)
	ref := flow.BodyRef{Blob: owner + "/" + hex.EncodeToString(sum[:]), SHA256: hex.EncodeToString(sum[:]), Size: int64(len(b)), Type: mediaType}
	h.files[ref.Blob] = b
	return ref, nil
}

func (h *hospital) open(_ context.Context, ref flow.BodyRef) (io.ReadCloser, error) {
	b, ok := h.files[ref.Blob]
	if !ok {
		return nil, errors.New("no such file")
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// accept takes a message as the pipeline does: the same again is the same, other bytes under the same id are refused.
func (h *hospital) accept(_ context.Context, r flow.Received) (flow.Receipt, error) {
	if err := h.moment(); err != nil {
		return flow.Receipt{}, err
	}
	sum := sha256.Sum256(r.Raw)
	digest := hex.EncodeToString(sum[:])
	if first, ok := h.accepted[r.RequestID]; ok && first != digest {
		h.t.Errorf("%s came with other bytes", r.RequestID)
		return flow.Receipt{Refused: true, Kind: issue.Conflict}, nil
	} else if !ok {
		h.accepted[r.RequestID] = digest
		root, issues := fhir.Read(r.Raw, fhir.ReadOptions{})
		if issues.Worst() != nil {
			h.t.Errorf("%v\n%s", issues, r.Raw)
		}
		if bad := fhir.Validate(root); bad.Worst() != nil {
			h.t.Errorf("%v", bad)
		}
		b := &fhir.Bundle{Root: root}
		h.messages = append(h.messages, b)
		if len(h.cases) == 0 {
			kind := map[string]string{"referral": kindReferral, "request": kindAdvice}[b.First("ServiceRequest").At("category.coding.code").Text()]
			h.cases = append(h.cases, flow.CaseRecord{ID: flow.NewID(3, "case"), Index: flow.CaseIndex{Kind: kind},
				State: []byte(`{"urgency":"ROUTINE","request":{"source":"list"}}`)})
		}
	}
	return flow.Receipt{Case: h.cases[0].ID}, h.moment()
}

// Find gives the cases of a UBRN: of these tests there is one.
func (h *hospital) Find(context.Context, flow.Ref) (out []flow.ID, err error) {
	for _, c := range h.cases {
		out = append(out, c.ID)
	}
	return out, nil
}

// Case gives a case.
func (h *hospital) Case(_ context.Context, id flow.ID) (flow.CaseRecord, error) {
	for _, c := range h.cases {
		if c.ID == id {
			return c, nil
		}
	}
	return flow.CaseRecord{}, flow.ErrNotFound
}

// of gives the deliveries to a destination.
func (h *hospital) of(to string) (out []flow.Delivery) {
	for _, id := range h.order {
		if d := h.queue[id]; d.To == to {
			out = append(out, d)
		}
	}
	return out
}

// look looks at the worklists once.
func (h *hospital) look() flow.Outcome {
	h.t.Helper()
	if err := h.list.Begin(context.Background()); err != nil {
		h.t.Fatal(err)
	}
	var o flow.Outcome
	for _, d := range h.of("list~list") {
		var err error
		if o, err = h.list.Deliver(context.Background(), d, nil); err != nil {
			h.t.Fatal(err)
		}
		if o.Note != "" {
			d.Note = o.Note
			h.queue[d.ID] = d
		}
	}
	return o
}

// attempt makes one attempt of a delivery.
func (h *hospital) attempt(to flow.Destination, d flow.Delivery) (flow.Outcome, error) {
	d = h.queue[d.ID]
	d.Attempt++
	h.queue[d.ID] = d
	o, err := to.Deliver(context.Background(), d, func(s flow.Step) error {
		if err := h.moment(); err != nil {
			return err
		}
		kept := h.queue[d.ID]
		kept.Steps = append(slices.Clone(kept.Steps), s)
		h.queue[d.ID] = kept
		return h.moment()
	})
	if err == nil && o.Result == flow.Again {
		d = h.queue[d.ID]
		d.Note, d.Attempt = o.Note, 0
		h.queue[d.ID] = d
	}
	return o, err
}

// take takes what was found, to the end.
func (h *hospital) take() flow.Outcome {
	h.t.Helper()
	d := h.of("list~found")[0]
	for range 20 {
		o, err := h.attempt(h.taker, d)
		if err != nil && !errors.Is(err, errCrash) && !strings.Contains(err.Error(), errCrash.Error()) {
			h.t.Fatal(err)
		}
		if err == nil && o.Result != flow.Retry {
			return o
		}
	}
	h.t.Fatal("no end")
	return flow.Outcome{}
}

func (h *hospital) refer(priority string, files ...sim.File) string {
	h.t.Helper()
	ubrn, err := h.ers.Refer(sim.Sent{Patient: "9990548609", Priority: priority, Service: "50001", Files: files})
	if err != nil {
		h.t.Fatal(err)
	}
	return ubrn
}

func (h *hospital) calls(names ...string) int { return len(h.ers.Received(names...)) }

var twoFiles = []sim.File{{Name: "letter.pdf", Type: "application/pdf", Description: "letter", Body: []byte("%PDF-letter")},
	{Name: "mole.jpg", Type: "image/jpeg", Body: []byte("jpeg")}}

// once proves that the request came once, whole, and is watched once.
func (h *hospital) once(t *testing.T, files int) {
	t.Helper()
	if len(h.messages) != 1 || len(h.of("list~poll")) != 1 {
		t.Fatalf("%d messages, %d watches", len(h.messages), len(h.of("list~poll")))
	}
	n := 0
	for range h.messages[0].All("DocumentReference") {
		n++
	}
	if n != files {
		t.Errorf("%d files, want %d", n, files)
	}
}

func TestAFoundReferralIsWrittenWithAllThatERSShows(t *testing.T) {
	h := newHospital(t)
	ubrn := h.refer("TWO_WEEK_WAIT", twoFiles...)
	if o := h.look(); o.Result != flow.Again || o.After != 6*time.Hour {
		t.Fatalf("%+v", o)
	}
	if d := h.of("list~found")[0]; d.Class != flow.ClassUrgent {
		t.Error("suspected cancer does not go first")
	}
	if o := h.take(); o.Result != flow.Delivered {
		t.Fatalf("%+v", o)
	}
	h.once(t, 3)
	b := h.messages[0]
	r := b.First("ServiceRequest")
	for what, got := range map[string][2]string{
		"UBRN":       {fhir.IdentifierIn(r, fhir.SystemUBRN), ubrn},
		"urgency":    {fhir.OwnExtension(r, "ers-priority"), "TWO_WEEK_WAIT"},
		"priority":   {r.Child("priority").Text(), "asap"},
		"NHS number": {fhir.IdentifierIn(b.First("Patient"), fhir.SystemNHSNumber), "9990548609"},
		"service":    {fhir.IdentifierIn(b.First("HealthcareService"), fhir.SystemERSService), "50001"},
		"person":     {fhir.IdentifierIn(b.First("Practitioner"), fhir.SystemSDSUser), "021600556514"},
		"state":      {b.First("Task").At("businessStatus.coding.code").Text(), "AWAITING_TRIAGE"},
		"specialty":  {r.At("performerType.coding.display").Text(), "Dermatology"},
		"letter":     {b.First("DocumentReference").At("content.attachment.contentType").Text(), "application/pdf"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %q, want %q", what, got[0], got[1])
		}
	}
	if b.First("Task").At("restriction.period.end").Text() == "" {
		t.Error("not said by when it is to be reviewed")
	}
	// Found again, by the next look or after a restart, it is known.
	h.look()
	if len(h.of("list~found")) != 1 {
		t.Error("it was found twice")
	}
	if n := h.calls("A008"); n != 2 {
		t.Errorf("%d looks", n)
	}
	if h.look(); h.calls("A008") != 2 {
		t.Error("a third look within a day")
	}
}

func TestACrashBetweenAnyTwoMomentsTakesARequestOnce(t *testing.T) {
	clean := newHospital(t)
	clean.refer("ROUTINE", twoFiles...)
	clean.look()
	from := clean.moments
	clean.take()
	clean.once(t, 3)
	if clean.moments-from < 10 {
		t.Fatalf("%d moments", clean.moments-from)
	}
	for n := from + 1; n <= clean.moments; n++ {
		h := newHospital(t)
		h.refer("ROUTINE", twoFiles...)
		h.look()
		h.dies = n
		if o := h.take(); o.Result != flow.Delivered {
			t.Errorf("moment %d: %+v", n, o)
		}
		h.once(t, 3)
		if n := h.calls("A042"); n > 3 {
			t.Errorf("moment %d: two files were asked for %d times", n, h.calls("A042"))
		}
	}
}

func TestAFaultAtAnyCallTakesARequestOnce(t *testing.T) {
	clean := newHospital(t)
	clean.refer("ROUTINE", twoFiles...)
	clean.look()
	skip := clean.calls()
	clean.take()
	calls := clean.ers.Received()[skip:]
	for i, call := range calls {
		for name, f := range faults {
			if f.Status == 423 || f.Status == 409 || call.Name == "object" && f.Body != "" {
				continue // no answers to reads; the object store's 200 is a file
			}
			t.Run(fmt.Sprintf("%d %s/%s", i, call.Name, name), func(t *testing.T) {
				t.Parallel()
				h := newHospital(t)
				h.refer("ROUTINE", twoFiles...)
				h.look()
				f.Call, f.Skip = call.Name, 0
				if f.Delay > 0 {
					f.Delay, h.taker.HTTP = 2500*time.Millisecond, &http.Client{Timeout: 2 * time.Second}
					h.taker.Store = h.taker.HTTP
				}
				for _, before := range calls[:i] {
					if before.Name == call.Name {
						f.Skip++
					}
				}
				if f.Drop || f.DropAfter {
					f.Times = min(f.Times, 2) // a third would let it go without that file
				}
				h.ers.Fail(f)
				if o := h.take(); o.Result != flow.Delivered {
					t.Fatalf("%+v", o)
				}
				h.once(t, 3)
			})
		}
	}
}

func TestARequestThatERSRefusesToShowIsForAPerson(t *testing.T) {
	for status, code := range map[int]string{403: "NO_RELATIONSHIP", 404: "", 422: "PATIENT_ERROR"} {
		h := newHospital(t)
		h.refer("ROUTINE")
		h.look()
		h.ers.Fail(sim.Fault{Call: "A005", Status: status, Code: code})
		if o := h.take(); o.Result != flow.Refused || !strings.Contains(o.Cause.Text, code) {
			t.Errorf("%d: %+v", status, o)
		}
	}
	h := newHospital(t)
	h.refer("ROUTINE")
	h.look()
	h.ers.Fail(sim.Fault{Call: "A005", Status: 429, RetryAfter: "7"})
	if o, err := h.attempt(h.taker, h.of("list~found")[0]); err != nil || o.Result != flow.Retry || o.After != 7*time.Second {
		t.Errorf("%+v %v", o, err)
	}
}

func TestAFileThatIsNotToBeHadIsNamedAndTheRestTravels(t *testing.T) {
	for _, status := range []string{"THREATS_FOUND", "VALIDATION_FAILED"} {
		h := newHospital(t)
		bad := twoFiles[1]
		bad.Status = status
		h.refer("ROUTINE", twoFiles[0], bad)
		h.look()
		h.take()
		h.once(t, 2)
		if in := h.messages[0].First("Task").Child("input").Child("valueString").Text(); in != "attachment 2 of 2 is not available: "+status+"; ask Y06601, who attached it" {
			t.Errorf("%q", in)
		}
		if h.calls("A042") != 1 {
			t.Error("it was asked for")
		}
	}
	// A state that has changed since A005, and refusals of the calls themselves.
	for _, f := range []sim.Fault{{Call: "A042", Status: 422, Code: "FILE_SIZE_ERROR"}, {Call: "A042", Status: 422, Code: "THREATS_FOUND"},
		{Call: "A042", Status: 404}, {Call: "A042", Status: 403, Code: "NO_RELATIONSHIP"}, {Call: "A007", Status: 422, Code: "INVALID_REQUEST_TYPE"}} {
		h := newHospital(t)
		h.refer("ROUTINE", twoFiles...)
		h.look()
		h.ers.Fail(f)
		h.take()
		h.once(t, 2)
		if note := h.messages[0].First("ServiceRequest").Child("note").Child("text").Text(); !strings.Contains(note, f.Code) {
			t.Errorf("%+v: %q", f, note)
		}
	}
	h := newHospital(t)
	h.taker.Most = 4
	h.refer("ROUTINE", twoFiles[1], twoFiles[0])
	h.look()
	h.ers.Fail(sim.Fault{Call: "A007", Status: 200, Body: "%PDF"}) // no "%PDF-": tried again
	h.take()
	h.once(t, 1)
}

func TestSuspectedCancerDoesNotWaitForAFile(t *testing.T) {
	for priority, tries := range map[string]int{"TWO_WEEK_WAIT": 2, "ROUTINE": 4} {
		h := newHospital(t)
		h.refer(priority, twoFiles...)
		h.look()
		h.ers.Fail(sim.Fault{Call: "A042", Status: 503, Times: 1000})
		h.take()
		h.once(t, 1)
		if d := h.of("list~found")[0]; d.Attempt != tries {
			t.Errorf("%s: %d attempts", priority, d.Attempt)
		}
		if d := h.of("list~poll")[0]; d.Due.Sub(at) != 5*time.Minute {
			t.Errorf("looked at again after %v", d.Due.Sub(at))
		}
	}
}

func TestTheObjectStoreNeverGetsTheToken(t *testing.T) {
	h := newHospital(t)
	h.refer("ROUTINE", twoFiles...)
	h.look()
	h.take()
	for _, c := range h.ers.Received("object") {
		if c.Header.Get("Authorization") != "" || c.Status != 200 {
			t.Errorf("%v %d", c.Header, c.Status)
		}
	}
	for _, location := range []string{"http://object.example/f", "//object.example/f", "file:///etc/passwd", "::"} {
		f := &fetch{Files: &Files{Client: Client{Base: "https://api.service.nhs.uk/referrals/FHIR"}}, ctx: context.Background()}
		if _, err := f.download(location); err == nil {
			t.Errorf("%s was followed", location)
		}
	}
}

func TestWhatIsAddedIsBroughtOnce(t *testing.T) {
	h := newHospital(t)
	late := twoFiles[1]
	late.Status = "PENDING"
	ubrn := h.refer("ROUTINE", twoFiles[0], late)
	h.look()
	h.take()
	h.once(t, 2)
	watch := &Poller{Client: h.taker.Client, Name: "list", Every: time.Hour, Taker: h.taker, Now: h.taker.Now}
	look := func() flow.Outcome {
		t.Helper()
		o, err := h.attempt(watch, h.of("list~poll")[0])
		if err != nil || o.Result != flow.Again {
			t.Fatalf("%+v %v", o, err)
		}
		return o
	}
	if o := look(); o.After != 5*time.Minute || len(h.messages) != 1 {
		t.Errorf("%v, %d messages", o.After, len(h.messages))
	}
	if err := h.ers.Scanned("mole.jpg", "AVAILABLE"); err != nil {
		t.Fatal(err)
	}
	if o := look(); o.After != time.Hour || len(h.messages) != 2 || len(o.Replies) != 0 {
		t.Fatalf("%v, %d messages", o.After, len(h.messages))
	}
	added := h.messages[1]
	if added.First("MessageHeader").At("reason.coding.code").Text() != "update" || added.First("DocumentReference").At("content.attachment.title").Text() != "mole.jpg" {
		t.Error("it is not what was added")
	}
	for range 2 {
		look()
	}
	if err := h.ers.Touch("r", ubrn); err != nil {
		t.Fatal(err)
	}
	if look(); len(h.messages) != 2 {
		t.Error("another version without anything new is told")
	}
	if err := h.ers.Attach("r", ubrn, "", sim.File{Name: "more.txt", Type: "text/plain", Body: []byte("more")}); err != nil {
		t.Fatal(err)
	}
	h.dies = h.moments + 4 // between accepting and the next note
	if _, err := h.attempt(watch, h.of("list~poll")[0]); err == nil {
		t.Fatal("nothing died")
	}
	look()
	look()
	n := 0
	for _, m := range h.messages[2:] {
		for range m.All("DocumentReference") {
			n++
		}
	}
	if n != 2 { // the file, and the PDF with what was written
		t.Errorf("%d files were added", n)
	}
	if n := h.calls("A042"); n != 3 {
		t.Errorf("%d downloads", n)
	}
}

func TestAWorklistThatIsRefusedIsAnAlarmAndReadAtItsNextTime(t *testing.T) {
	h := newHospital(t)
	h.refer("ROUTINE")
	for _, f := range []sim.Fault{{Status: 403}, {Status: 422, Code: "NO_RELATIONSHIP"}} {
		h.alarms, f.Call = nil, "A008"
		h.ers.Fail(f)
		if o := h.look(); o.Result != flow.Again || o.After != 6*time.Hour || !slices.Equal(h.alarms, []string{"worklist-refused"}) {
			t.Errorf("%+v %v", o, h.alarms)
		}
	}
	for _, f := range []sim.Fault{{Status: 503, RetryAfter: "30"}, {Status: 429}, {Status: 500}, {Drop: true}, {Status: 200, Body: `{"resourceType":"List","entry":[{"item":{"reference":"x"}}]}`}} {
		f.Call = "A008"
		h.ers.Fail(f)
		if o := h.look(); o.Result != flow.Retry || f.RetryAfter != "" && o.After != 30*time.Second {
			t.Errorf("%+v: %+v", f, o)
		}
	}
	if len(h.of("list~found")) != 0 {
		t.Error("something was found")
	}
	if h.look(); len(h.of("list~found")) != 1 {
		t.Error("it is not found once e-RS answers")
	}
}

func TestAdviceIsNotAskedForWithoutAUser(t *testing.T) {
	h := newHospital(t)
	h.list.Lists = []string{ListAdvice}
	if o := h.look(); o.Result != flow.Again || h.calls("A023") != 0 || len(h.alarms) != 1 {
		t.Errorf("%+v, %d calls, %v", o, h.calls("A023"), h.alarms)
	}
}

func TestQuestionsOfWorklistsHoldTheContract(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromFile("../../fixtures/ers/e-rs.openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	h := newHospital(t)
	h.list.Application, h.list.ODS, h.list.BusinessFunction = false, "RXX01", "SERVICE_PROVIDER_CLINICIAN"
	h.list.Lists = []string{ListReview, ListSlots, ListAdvice}
	h.look()
	for name, path := range map[string]string{"A008": "/STU3/ReferralRequest/$ers.fetchworklist", "A023": "/STU3/CommunicationRequest/$ers.fetchworklist"} {
		schema := doc.Paths.Value(path).Post.RequestBody.Value.Content.Get("application/fhir+json").Schema.Value
		for _, c := range h.ers.Received(name) {
			var v any
			if err := json.Unmarshal(c.Body, &v); err != nil || c.Status != 200 {
				t.Fatalf("%s %d %v", name, c.Status, err)
			}
			if err := schema.VisitJSON(v, openapi3.VisitAsRequest()); err != nil {
				t.Errorf("%s: %.800v", name, err)
			}
		}
	}
	if h.calls("A008") != 2 || h.calls("A023") != 1 {
		t.Errorf("%d and %d looks", h.calls("A008"), h.calls("A023"))
	}
}

// After the message was accepted the process dies, and the request has another version when it comes back; and one that
// the gateway sent itself is on the worklist.
func TestARequestThatIsHereIsNotTakenAgain(t *testing.T) {
	h := newHospital(t)
	ubrn := h.refer("ROUTINE", twoFiles...)
	h.look()
	h.dies = h.moments + 8 // behind accepting: three steps, then two moments
	if o, err := h.attempt(h.taker, h.of("list~found")[0]); err != nil || o.Result != flow.Retry || len(h.messages) != 1 || len(h.of("list~poll")) != 0 {
		t.Fatalf("%d messages, %+v %v", len(h.messages), o, err)
	}
	if err := h.ers.Touch("r", ubrn); err != nil {
		t.Fatal(err)
	}
	h.take()
	h.once(t, 3)
	if d := h.of("list~poll")[0]; strings.Count(d.Note, "Binary/") != 2 {
		t.Errorf("the watch would bring the files again: %s", d.Note)
	}

	h = newHospital(t)
	h.refer("ROUTINE", twoFiles...)
	h.cases = []flow.CaseRecord{{ID: flow.NewID(1, "own"), Index: flow.CaseIndex{Kind: kindReferral}, State: []byte(`{"request":{"source":"gp"}}`)}}
	h.look()
	if o := h.take(); o.Result != flow.Delivered || len(h.messages) != 0 || len(h.of("list~poll")) != 0 || h.calls("A005") != 0 {
		t.Errorf("%+v, %d messages", o, len(h.messages))
	}
}
