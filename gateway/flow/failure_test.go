package flow_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// TestFailurePolicy: every kind, status and acknowledgement has its consequence, and none is left to a default.
func TestFailurePolicy(t *testing.T) {
	kinds := map[issue.Kind]flow.Result{
		issue.Structure: flow.Refused, issue.Required: flow.Refused, issue.Value: flow.Refused, issue.Code: flow.Refused,
		issue.TooLong: flow.Refused, issue.UnsupportedType: flow.Refused, issue.UnsupportedEvent: flow.Refused,
		issue.UnsupportedProcessing: flow.Refused, issue.UnsupportedVersion: flow.Refused, issue.NotFound: flow.Refused,
		issue.Denied: flow.Refused, issue.Unmapped: flow.Refused,
		issue.Duplicate: flow.Delivered, issue.Conflict: flow.Retry, issue.Unavailable: flow.Retry, issue.Internal: flow.Retry,
	}
	for _, k := range issue.Kinds() {
		if want, ok := kinds[k]; !ok || flow.ByKind(k) != want {
			t.Errorf("kind %s: %s, want %q", k, flow.ByKind(k), want)
		}
	}
	retry := map[int]bool{401: true, 409: true, 423: true, 425: true, 429: true, 503: true}
	unknown := map[int]bool{408: true} // and 5xx: the request had come to something
	for status := 100; status < 600; status++ {
		want := [2]flow.Result{flow.Refused, flow.Refused} // by whether it may be made again
		switch {
		case status >= 200 && status < 300:
			want = [2]flow.Result{flow.Delivered, flow.Delivered}
		case retry[status]:
			want = [2]flow.Result{flow.Retry, flow.Retry}
		case unknown[status] || status >= 500 && status != 501 && status != 505:
			want = [2]flow.Result{flow.Unknown, flow.Retry}
		}
		for i, again := range []bool{false, true} {
			if got := flow.ByStatus(status, again); got != want[i] {
				t.Errorf("%d, may be made again %t: %s, want %s", status, again, got, want[i])
			}
		}
	}
	for _, k := range append(issue.Kinds(), "") {
		rejected := flow.Refused
		if k == issue.Unavailable || k == "" {
			rejected = flow.Retry
		}
		for code, want := range map[string]flow.Result{"AA": flow.Delivered, "CA": flow.Delivered, "AE": flow.Refused, "CE": flow.Refused,
			"AR": rejected, "CR": rejected, "": flow.Retry, "OK": flow.Retry} {
			var errs []issue.Kind
			if k != "" {
				errs = []issue.Kind{k}
			}
			if got := flow.ByAck(code, errs...); got != want {
				t.Errorf("%s with %q: %s, want %s", code, k, got, want)
			}
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, "-7": 0, "soon": 0, "0": 0,
		"Sun, 01 Mar 2026 12:01:00 GMT": time.Minute, "Sun, 01 Mar 2026 11:00:00 GMT": 0} {
		if got := flow.RetryAfter(http.Header{"Retry-After": {v}}, now); got != want {
			t.Errorf("%q: %v, want %v", v, got, want)
		}
	}
}

// TestWhatAnOutcomeComesTo: each result of a destination, and each kind of its error, in the store.
func TestWhatAnOutcomeComesTo(t *testing.T) {
	cause := issue.New(issue.Value, "PID-3", "refused")
	for name, c := range map[string]struct {
		play    play
		then    play // of the second attempt; nil: there is none
		state   flow.State
		attempt int
		kind    issue.Kind
	}{
		"delivered":         {takes, nil, flow.Done, 1, ""},
		"refused":           {gives(flow.Outcome{Result: flow.Refused, Cause: cause}), nil, flow.Parked, 1, issue.Value},
		"unknown":           {gives(flow.Outcome{Result: flow.Unknown, Cause: cause}), nil, flow.Parked, 1, issue.Value},
		"transient":         {fails, takes, flow.Done, 2, ""},
		"again":             {gives(flow.Outcome{Result: flow.Again, After: time.Millisecond}), takes, flow.Done, 1, ""},
		"no result":         {gives(flow.Outcome{}), nil, flow.Parked, 1, issue.Internal},
		"a panic":           {func(context.Context, flow.Delivery, func(flow.Step) error) (flow.Outcome, error) { panic("HALLIDAY") }, nil, flow.Parked, 1, issue.Internal},
		"a permanent error": {errs(issue.New(issue.Required, "Patient", "absent")), nil, flow.Parked, 1, issue.Required},
		"a passing error":   {errs(issue.New(issue.Unavailable, "", "away")), takes, flow.Done, 2, ""},
		"a fault of ours":   {errs(errors.New("HALLIDAY")), takes, flow.Done, 2, ""},
		"a lasting fault":   {errs(errors.New("HALLIDAY")), errs(errors.New("HALLIDAY")), flow.Parked, 5, issue.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			plays := []play{c.play}
			if c.then != nil {
				plays = append(plays, c.then)
			}
			r := newRig(t, plays...)
			r.Gate = &flow.LocalGate{}
			d := r.put("a", 1).Deliveries[0]
			r.start()
			got := r.waits(d.ID, c.state)
			if got.Attempt != c.attempt || (got.Cause == nil) != (c.kind == "") || got.Cause != nil && got.Cause.Kind != c.kind {
				t.Errorf("attempt %d, cause %+v; want %d, %q", got.Attempt, got.Cause, c.attempt, c.kind)
			}
		})
	}
}

func errs(err error) play {
	return func(context.Context, flow.Delivery, func(flow.Step) error) (flow.Outcome, error) {
		return flow.Outcome{}, err
	}
}

// TestBreaker: a destination that is down is tried by one delivery at a time, the most urgent; one alarm opens and
// closes; then all go, urgent first.
func TestBreaker(t *testing.T) {
	r := newRig(t, fails)
	r.Concurrency = 4
	r.Gate, r.Limit = &flow.LocalGate{}, flow.Limit{First: 20 * time.Millisecond, Longest: 40 * time.Millisecond}
	var told []bool
	r.Down = func(open bool) { told = append(told, open) }
	for i := range 30 {
		r.put(fmt.Sprint("routine ", i), 1)
	}
	r.start()
	r.until("the breaker opens", func() bool { return r.verdict(flow.EndUnused).Open })
	time.Sleep(10 * time.Millisecond) // what was under way ends
	before := len(r.dest.keys())
	urgent := r.urgent("urgent")
	time.Sleep(200 * time.Millisecond)
	probes := r.dest.keys()[before:]
	if len(probes) < 2 || len(probes) > 11 {
		t.Errorf("%d probes in 200 ms, the first after 20, then every 20 to 40", len(probes))
	}
	for _, key := range probes[1:] {
		if key != urgent.Key {
			t.Errorf("probed with %s while %s waits", key, urgent.Key)
		}
	}
	down := len(r.dest.keys())
	r.dest.play(takes)
	r.until("all are there", func() bool { return len(r.dest.keys()) >= down+31 })
	r.stop()
	if first := r.dest.keys()[down]; first != urgent.Key && r.dest.keys()[down+1] != urgent.Key {
		t.Errorf("%s went before the urgent one", first)
	}
	if fmt.Sprint(told) != "[true false]" {
		t.Errorf("told %v", told)
	}
}

// TestOnePoisonDoesNotOpenTheBreaker: a delivery that fails again and again slows nobody else.
func TestOnePoisonDoesNotOpenTheBreaker(t *testing.T) {
	r := newRig(t, func(_ context.Context, d flow.Delivery, _ func(flow.Step) error) (flow.Outcome, error) {
		if d.Key == "poison 0" {
			return flow.Outcome{Result: flow.Retry, Cause: issue.New(issue.Unavailable, "", "locked")}, nil
		}
		return flow.Outcome{Result: flow.Delivered}, nil
	})
	r.Gate, r.Limit, r.Concurrency = &flow.LocalGate{}, flow.Limit{First: time.Hour, Longest: time.Hour}, 2
	r.Down = func(open bool) { t.Errorf("the breaker is open: %t", open) }
	r.put("poison", 2)
	r.start()
	for i := range 20 {
		r.waits(r.put(fmt.Sprint("other ", i), 1).Deliveries[0].ID, flow.Done)
	}
}

// TestParkedHoldsItsLane: what is behind a parked delivery waits, or goes on where the destination allows.
func TestParkedHoldsItsLane(t *testing.T) {
	for _, hold := range []bool{true, false} {
		r := newRig(t, func(_ context.Context, d flow.Delivery, _ func(flow.Step) error) (flow.Outcome, error) {
			if d.Key == "a 0" {
				return flow.Outcome{Result: flow.Refused, Cause: issue.New(issue.Value, "PID-3", "refused")}, nil
			}
			return flow.Outcome{Result: flow.Delivered}, nil
		})
		r.HoldParked = hold
		c, other := r.put("a", 2), r.put("b", 2)
		r.start()
		r.waits(c.Deliveries[0].ID, flow.Parked)
		r.waits(other.Deliveries[1].ID, flow.Done)
		if !hold {
			r.waits(c.Deliveries[1].ID, flow.Done)
			continue
		}
		time.Sleep(20 * time.Millisecond)
		r.waits(c.Deliveries[1].ID, flow.Waiting)
		if err := r.store.Act(t.Context(), flow.Act{Verb: "discard", ID: c.Deliveries[0].ID, Person: "nurse@example", Reason: "sent by hand"}); err != nil {
			t.Fatal(err)
		}
		r.waits(c.Deliveries[1].ID, flow.Done)
	}
}
