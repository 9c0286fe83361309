// Package adaptertest holds the suites that every adapter of a kind must pass, and a real redis-server to
// pass them with. What a suite asks is the contract; what an adapter adds it tests itself.
package adaptertest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Open gives an empty store, and a function that ends it and opens it again with what it kept.
type Open func(t *testing.T) (s flow.Store, reopen func() flow.Store)

// Store runs the suite of stores.
func Store(t *testing.T, open Open) {
	tests := []test{
		{"put keeps all of a change", (*suite).keepsAll},
		{"put again gives the first receipt and no second effect", (*suite).repeat},
		{"put with other bytes is a conflict", (*suite).conflict},
		{"put on a stale version keeps nothing", (*suite).stale},
		{"put of what was applied changes nothing", (*suite).applied},
		{"put of a divided change is refused", (*suite).divided},
		{"put together by many has one effect", (*suite).concurrentRepeat},
		{"refuse takes no slot", (*suite).refuse},
		{"what was kept is there after reopening", (*suite).reopened},
		{"find follows references, several to one and one to several", (*suite).references},
		{"find ignores references that were never committed", (*suite).dangling},

		{"claim takes the head of each lane only, in order", (*suite).laneOrder},
		{"claim takes urgent lanes first", (*suite).urgentFirst},
		{"claim of urgent lanes alone", (*suite).urgentAlone},
		{"lanes take turns", (*suite).turns},
		{"claim gives a delivery whole", (*suite).claimedWhole},
		{"retry keeps the head in its place", (*suite).retryKeepsOrder},
		{"again counts no attempt and carries a note", (*suite).again},
		{"a clock rings when it is due", (*suite).clock},
		{"a lease that is over goes to another, and the first writes nothing", (*suite).leaseOver},
		{"a renewed lease holds", (*suite).renew},
		{"settle twice is one settlement", (*suite).settleTwice},
		{"settle commits its change or nothing", (*suite).settleChange},
		{"settle with a change of another partition is refused", (*suite).settleDivided},
		{"settle adds the other side's references", (*suite).settleRefs},
		{"steps survive the worker", (*suite).steps},
		{"a parked delivery stays and its lane goes on", (*suite).parked},
		{"a parked delivery may hold its lane", (*suite).holds},
		{"ten thousand lanes, each delivery once", (*suite).manyLanes},
		{"workers together take each delivery once", (*suite).manyWorkers},

		{"replay sends the same again, once", (*suite).replay},
		{"replay takes its old place in the lane", (*suite).replayOrder},
		{"replay waits for the claimed one of its lane", (*suite).replayBehindClaimed},
		{"replay may wait", (*suite).replayLater},
		{"a child takes the place of a parked delivery, once", (*suite).child},
		{"discard and resolve end a delivery", (*suite).discardResolve},
		{"redirect re-aims a delivery", (*suite).redirect},
		{"pause and resume a destination", (*suite).pause},
		{"an act without reason, or on what is not parked, is refused", (*suite).badActs},

		{"marks are set once, from what they are", (*suite).marks},
		{"story is told in order", (*suite).story},
		{"cases by patient, organisation, kind, state, newest first", (*suite).cases},
		{"deliveries by destination, case, state, oldest first", (*suite).deliveries},
		{"what is not there is not found", (*suite).notFound},
		{"whatever workers and people do in whatever order, it does what a model says", (*suite).agrees},
		{"health", (*suite).health},
	}
	for _, test := range append(tests, pruning...) {
		t.Run(test.name, func(t *testing.T) {
			s, reopen := open(t)
			test.run(&suite{T: t, s: s, reopen: reopen, ctx: t.Context()})
		})
	}
}

type test struct {
	name string
	run  func(*suite)
}

// suite is one test over one empty store.
type suite struct {
	*testing.T
	s      flow.Store
	reopen func() flow.Store
	ctx    context.Context
}

// start is when everything in the suite was created; far from the store's clock, which must not matter.
var start = time.Date(2031, 3, 4, 5, 6, 7, 0, time.UTC)

// lease is long enough for no test to lose one by being slow.
const lease = time.Minute

// Request makes the change that opens a case: a message, a case with a story, references, and a delivery
// to each destination.
func Request(name string, to ...string) flow.Change {
	idem := flow.Idem{Key: "gp\x1fEMIS\x1fA81001\x1f" + name, Digest: sum("body " + name)}
	p := idem.Partition()
	id, message := flow.NewID(p, "case", name), flow.NewID(p, "message", name)
	c := flow.Change{
		Idem: &idem,
		Message: &flow.Message{ID: message, Case: id, Source: "gp", At: start, Format: flow.HL7v2, Maps: "digest", Idem: idem,
			Subject: flow.Subject{Organisation: "A81001", Name: "gp.example"}, Facts: []byte(`{"kind":"advice"}`),
			Raw:     flow.BodyRef{Inline: []byte("MSH|^~\\&|" + name), SHA256: sum("body " + name), Size: int64(9 + len(name)), Type: "application/hl7-v2"},
			Issues:  []*issue.Issue{issue.Warn(issue.Value, "PID-7", "a date in the future")},
			Receipt: flow.Receipt{Message: message, Case: id, Answer: []byte("MSA|AA|" + name), Type: "application/hl7-v2"}},
		Case: &flow.CaseChange{
			Record: flow.CaseRecord{ID: id, Version: 1, State: []byte(`{"name":"` + name + `"}`), Index: flow.CaseIndex{
				Kind: "advice", State: "submitted", Organisation: "A81001", Performer: "RR8", Patient: "patient-" + name,
				Opened: start, Changed: start}},
			Story: []flow.Event{{At: start, What: "received", Ref: message.String()}},
		},
		Refs: []flow.Ref{{System: "control-id", Value: name}},
	}
	for _, each := range to {
		c.Deliveries = append(c.Deliveries, delivery(id, each, each+" of "+name))
	}
	return c
}

// delivery makes one in the case's partition and lane, due at once.
func delivery(id flow.ID, to, key string) flow.Delivery {
	return flow.Delivery{ID: flow.NewID(id.Partition(), "delivery", to, key), Case: id, To: to, Lane: id.String(), Class: flow.ClassRoutine,
		Key: key, What: "advice-request", Body: flow.BodyRef{Inline: []byte("body of " + key), SHA256: sum(key), Size: int64(8 + len(key)), Type: "text/plain"},
		Parts: []flow.BodyRef{{Blob: "blob-1", SHA256: sum("photo"), Size: 3 << 20, Type: "image/jpeg"}},
		State: flow.Waiting, Due: start, Created: start}
}

// next makes the change that moves a case on by one version.
func next(c flow.Change, state string, more ...flow.Delivery) flow.Change {
	record := c.Case.Record
	record.Version++
	record.Index.State, record.Index.Changed = state, record.Index.Changed.Add(time.Second)
	return flow.Change{Case: &flow.CaseChange{Record: record, Story: []flow.Event{{At: record.Index.Changed, What: "state", Text: state}}}, Deliveries: more}
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func (s *suite) put(c flow.Change) flow.Receipt {
	s.Helper()
	r, err := s.s.Put(s.ctx, c)
	s.ok(err)
	return r
}

func (s *suite) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *suite) is(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Fatalf("error %v, want %v", err, want)
	}
}

// refused wants an issue of a kind.
func (s *suite) refused(err error, kind issue.Kind) {
	s.Helper()
	var i *issue.Issue
	if !errors.As(err, &i) || i.Kind != kind {
		s.Fatalf("error %v, want an issue of kind %s", err, kind)
	}
}

func (s *suite) equal(what string, got, want any) {
	s.Helper()
	if !reflect.DeepEqual(got, want) {
		s.Fatalf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func (s *suite) claim(to string, n int) []flow.Delivery {
	s.Helper()
	ds, err := s.s.Claim(s.ctx, to, n, lease)
	s.ok(err)
	return ds
}

// claimOne claims and wants exactly one.
func (s *suite) claimOne(to string) flow.Delivery {
	s.Helper()
	ds := s.claim(to, 10)
	if len(ds) != 1 {
		s.Fatalf("claimed %s, want one", keys(ds))
	}
	return ds[0]
}

func (s *suite) claimNone(to string) {
	s.Helper()
	if ds := s.claim(to, 10); len(ds) != 0 {
		s.Fatalf("claimed %s, want none", keys(ds))
	}
}

// eventually claims one that is not due yet.
func (s *suite) eventually(to string) flow.Delivery {
	s.Helper()
	for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		if ds := s.claim(to, 1); len(ds) == 1 {
			return ds[0]
		}
	}
	s.Fatalf("nothing came due for %s", to)
	return flow.Delivery{}
}

func (s *suite) settle(d flow.Delivery, o flow.Outcome) {
	s.Helper()
	s.ok(s.s.Settle(s.ctx, d, o))
}

func (s *suite) done(d flow.Delivery) {
	s.Helper()
	s.settle(d, flow.Outcome{Result: flow.Delivered})
}

// park claims the one due delivery of a destination and has it refused.
func (s *suite) park(to string) flow.Delivery {
	s.Helper()
	d := s.claimOne(to)
	s.settle(d, flow.Outcome{Result: flow.Refused, Cause: issue.New(issue.Value, "ServiceRequest.subject", "no such patient")})
	return d
}

func (s *suite) act(a flow.Act) error {
	if a.Person == "" {
		a.Person, a.Reason, a.At = "nurse@example", "the far side is mended", start
	}
	return s.s.Act(s.ctx, a)
}

// delivery reads one by its id.
func (s *suite) delivery(id flow.ID) flow.Delivery {
	s.Helper()
	ds, err := s.s.Deliveries(s.ctx, flow.DeliveryQuery{ID: id})
	s.ok(err)
	if len(ds) != 1 {
		s.Fatalf("%d deliveries of one id", len(ds))
	}
	return ds[0]
}

func keys(ds []flow.Delivery) string {
	out := make([]string, len(ds))
	for i, d := range ds {
		out[i] = fmt.Sprintf("%q", d.Key)
	}
	return "[" + strings.Join(out, " ") + "]"
}
