package flow_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/bolt"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// cue is a destination that does as it is told: one function for each call, the last again and again.
type cue struct {
	mu    sync.Mutex
	plays []play
	calls []flow.Delivery
}

type play func(ctx context.Context, d flow.Delivery, save func(flow.Step) error) (flow.Outcome, error)

func (c *cue) Deliver(ctx context.Context, d flow.Delivery, save func(flow.Step) error) (flow.Outcome, error) {
	c.mu.Lock()
	c.calls = append(c.calls, d)
	play := c.plays[min(len(c.calls), len(c.plays))-1]
	c.mu.Unlock()
	return play(ctx, d, save)
}

// play changes what it does from now on.
func (c *cue) play(p play) { c.mu.Lock(); c.plays = []play{p}; c.mu.Unlock() }

func (c *cue) keys() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, d := range c.calls {
		out = append(out, d.Key)
	}
	return out
}

func gives(o flow.Outcome) play {
	return func(context.Context, flow.Delivery, func(flow.Step) error) (flow.Outcome, error) { return o, nil }
}

// The private cause of failure quotes a patient, as foreign errors do: no log may show it.
var (
	takes = gives(flow.Outcome{Result: flow.Delivered})
	fails = gives(flow.Outcome{Result: flow.Retry, Cause: issue.New(issue.Unavailable, "epr", "no answer").Because(errors.New("HALLIDAY, Iris"))})
)

// rig is a dispatcher for "epr" over an empty store in a file.
type rig struct {
	*testing.T
	*flow.Dispatcher
	store *bolt.Store
	dest  *cue
	logs  *logs
	stop  func() // ends Run and waits for it
}

func newRig(t *testing.T, plays ...play) *rig {
	s, err := bolt.Open(filepath.Join(t.TempDir(), "gateway.db"))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, store: s, dest: &cue{plays: plays}, logs: &logs{}}
	r.Dispatcher = &flow.Dispatcher{Store: s, To: "epr", Dest: r.dest, Every: 2 * time.Millisecond, Grace: 5 * time.Second,
		Backoff: flow.Backoff{First: time.Millisecond, Max: 5 * time.Millisecond},
		Log:     slog.New(slog.NewJSONHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelInfo}))}
	t.Cleanup(func() {
		if r.stop != nil {
			r.stop()
		}
		s.Close()
		if strings.Contains(r.logs.String(), "HALLIDAY") {
			t.Errorf("the logs quote a patient:\n%s", r.logs)
		}
	})
	return r
}

// logs is a buffer that several goroutines may use.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *logs) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// put keeps a case with n deliveries in its lane, keyed "<name> 0" and so on, whose bodies name a patient.
func (r *rig) put(name string, n int) flow.Change {
	r.Helper()
	c := adaptertest.Request(name, make([]string, n)...)
	for i := range c.Deliveries {
		d := &c.Deliveries[i]
		d.To, d.Key = "epr", fmt.Sprint(name, " ", i)
		d.ID = flow.NewID(c.Partition(), d.Key)
		d.Body.Inline = []byte("PID|||9990548609||HALLIDAY^Iris")
	}
	if _, err := r.store.Put(r.Context(), c); err != nil {
		r.Fatal(err)
	}
	return c
}

// urgent keeps a case with one urgent delivery.
func (r *rig) urgent(name string) flow.Delivery {
	r.Helper()
	c := adaptertest.Request(name, "epr")
	c.Deliveries[0].Class = flow.ClassUrgent
	if _, err := r.store.Put(r.Context(), c); err != nil {
		r.Fatal(err)
	}
	return c.Deliveries[0]
}

// verdict tells the Gate of a permit that nobody has.
func (r *rig) verdict(e flow.End) flow.Verdict {
	v, err := r.Gate.Leave(r.Context(), "epr", r.Limit, flow.Leaving{From: 1, End: e})
	if err != nil {
		r.Fatal(err)
	}
	return v
}

func (r *rig) start() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- r.Dispatcher.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			r.Errorf("Run: %v", err)
		}
		r.stop = nil
	}
}

// waits until the delivery is in a state.
func (r *rig) waits(id flow.ID, want flow.State) flow.Delivery {
	r.Helper()
	var last flow.Delivery
	r.until(fmt.Sprintf("delivery %s", want), func() bool {
		ds, err := r.store.Deliveries(r.Context(), flow.DeliveryQuery{ID: id})
		if err != nil || len(ds) != 1 {
			r.Fatal(ds, err)
		}
		last = ds[0]
		return last.State == want
	})
	return last
}

func (r *rig) until(what string, done func() bool) {
	r.Helper()
	for limit := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			r.Fatalf("not within 10 s: %s\n%s", what, r.logs)
		}
	}
}

func TestRetryKeepsOrderAndBytes(t *testing.T) {
	r := newRig(t, fails, fails, takes)
	c := r.put("a", 2)
	r.start()
	last := r.waits(c.Deliveries[1].ID, flow.Done)
	if got := r.dest.keys(); !slices.Equal(got, []string{"a 0", "a 0", "a 0", "a 1"}) {
		t.Errorf("delivered %q", got)
	}
	if last.Attempt != 1 || r.dest.calls[2].Attempt != 3 || string(r.dest.calls[2].Body.Inline) != string(c.Deliveries[0].Body.Inline) {
		t.Errorf("attempts %d and %d, body %q", r.dest.calls[2].Attempt, last.Attempt, r.dest.calls[2].Body.Inline)
	}
}

func TestLongOutageLeavesTwoLines(t *testing.T) {
	r := newRig(t, append(slices.Repeat([]play{fails}, 50), takes)...)
	c := r.put("a", 1)
	r.start()
	r.waits(c.Deliveries[0].ID, flow.Done)
	r.stop()
	if lines := strings.Count(r.logs.String(), "\n"); lines != 2 {
		t.Errorf("%d lines for 50 failures, want the first and the recovery:\n%s", lines, r.logs)
	}
}

func TestParked(t *testing.T) {
	refusal := issue.New(issue.Value, "ServiceRequest.subject", "unknown patient")
	for name, test := range map[string]struct {
		play    play
		backoff flow.Backoff
		calls   int
		kind    issue.Kind
	}{
		"refused":        {gives(flow.Outcome{Result: flow.Refused, Cause: refusal}), flow.Backoff{}, 1, issue.Value},
		"unknown":        {gives(flow.Outcome{Result: flow.Unknown, Cause: refusal}), flow.Backoff{}, 1, issue.Value},
		"attempts spent": {fails, flow.Backoff{First: time.Millisecond, Attempts: 3}, 3, issue.Unavailable},
		"panic": {func(context.Context, flow.Delivery, func(flow.Step) error) (flow.Outcome, error) {
			panic("HALLIDAY, Iris")
		},
			flow.Backoff{}, 1, issue.Internal},
		"no result": {gives(flow.Outcome{}), flow.Backoff{}, 1, issue.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, slices.Concat(slices.Repeat([]play{test.play}, test.calls), []play{takes})...)
			r.Backoff = test.backoff
			var settled []flow.Result
			r.Settled = func(_ context.Context, d *flow.Delivery, o *flow.Outcome) error {
				settled = append(settled, o.Result)
				return nil
			}
			c := r.put("a", 2)
			r.start()
			parked := r.waits(c.Deliveries[0].ID, flow.Parked)
			r.waits(c.Deliveries[1].ID, flow.Done) // the lane goes on
			r.stop()
			if parked.Attempt != test.calls || parked.Cause == nil || parked.Cause.Kind != test.kind {
				t.Errorf("parked after %d attempts because %v", parked.Attempt, parked.Cause)
			}
			if !strings.Contains(r.logs.String(), "delivery parked") || !strings.Contains(r.logs.String(), string(test.kind)) {
				t.Errorf("logged:\n%s", r.logs)
			}
			if given := settled[test.calls-1]; given == flow.Retry {
				t.Errorf("the hook saw %q of a delivery that was parked", given)
			}
		})
	}
}

// A poison delivery stops its own lane only.
func TestPoisonStopsItsOwnLane(t *testing.T) {
	r := newRig(t, func(ctx context.Context, d flow.Delivery, save func(flow.Step) error) (flow.Outcome, error) {
		if d.Key == "poison 0" {
			return fails(ctx, d, save)
		}
		return takes(ctx, d, save)
	})
	poison := r.put("poison", 2)
	healthy := r.put("healthy", 3)
	r.start()
	r.waits(healthy.Deliveries[2].ID, flow.Done)
	if slices.Contains(r.dest.keys(), "poison 1") {
		t.Error("a delivery overtook the one before it in its lane")
	}
	r.stop()
	if d := r.waits(poison.Deliveries[1].ID, flow.Waiting); d.Attempt != 0 {
		t.Errorf("attempt %d of the second", d.Attempt)
	}
}

func TestStepsResume(t *testing.T) {
	r := newRig(t,
		func(_ context.Context, d flow.Delivery, save func(flow.Step) error) (flow.Outcome, error) {
			if err := save(flow.Step{Name: "A020", Data: map[string]string{"location": "Binary/1"}}); err != nil {
				return flow.Outcome{}, err
			}
			return flow.Outcome{Result: flow.Retry}, nil
		}, takes)
	c := r.put("a", 1)
	r.start()
	r.waits(c.Deliveries[0].ID, flow.Done)
	if steps := r.dest.calls[1].Steps; len(steps) != 1 || steps[0].Data["location"] != "Binary/1" {
		t.Errorf("steps of the second attempt: %+v", steps)
	}
}

func TestAgainIsNoAttempt(t *testing.T) {
	r := newRig(t, gives(flow.Outcome{Result: flow.Again, After: time.Millisecond, Note: "cursor"}), fails,
		gives(flow.Outcome{Result: flow.Again}), takes)
	r.Backoff.Attempts = 2
	c := r.put("a", 1)
	r.start()
	r.waits(c.Deliveries[0].ID, flow.Done)
	for i, want := range []int{1, 1, 2, 1} {
		if got := r.dest.calls[i].Attempt; got != want {
			t.Errorf("call %d was attempt %d, want %d", i, got, want)
		}
	}
	if note := r.dest.calls[3].Note; note != "cursor" {
		t.Errorf("note %q", note)
	}
}

// What came back is taken in before the delivery counts as done, and tried until it is.
func TestRepliesAreTakenInFirst(t *testing.T) {
	r := newRig(t, gives(flow.Outcome{Result: flow.Delivered, Replies: []flow.Received{{Source: "epr", Raw: []byte("MSH|RRI")}}}))
	c := r.put("a", 1)
	var tries atomic.Int32
	r.Accept = func(ctx context.Context, got flow.Received) (flow.Receipt, error) {
		if ds, err := r.store.Deliveries(ctx, flow.DeliveryQuery{ID: c.Deliveries[0].ID}); err != nil || ds[0].State != flow.Claimed {
			t.Errorf("settled before its reply was taken in: %v %v", ds, err)
		}
		if tries.Add(1) < 3 {
			return flow.Receipt{}, fmt.Errorf("accept: %w", flow.ErrUnavailable)
		}
		if string(got.Raw) != "MSH|RRI" {
			t.Errorf("taken in: %q", got.Raw)
		}
		return flow.Receipt{}, nil
	}
	r.start()
	r.waits(c.Deliveries[0].ID, flow.Done)
	if tries.Load() != 3 || len(r.dest.keys()) != 1 {
		t.Errorf("%d tries to take in, %d calls", tries.Load(), len(r.dest.keys()))
	}
}

// A reply that is refused is recorded by Accept: the delivery it answers was delivered all the same.
func TestReplyThatIsRefusedIsLogged(t *testing.T) {
	r := newRig(t, gives(flow.Outcome{Result: flow.Delivered, Replies: []flow.Received{{Raw: []byte("HALLIDAY")}}}))
	r.Accept = func(context.Context, flow.Received) (flow.Receipt, error) {
		return flow.Receipt{Refused: true, Kind: issue.UnsupportedType, Answer: []byte("HALLIDAY")}, nil
	}
	c := r.put("a", 1)
	r.start()
	r.waits(c.Deliveries[0].ID, flow.Done)
	r.stop()
	if logged := r.logs.String(); !strings.Contains(logged, "what came back was refused") || !strings.Contains(logged, string(issue.UnsupportedType)) {
		t.Errorf("logged:\n%s", logged)
	}
}

func TestReplyThatCannotBeTakenInParks(t *testing.T) {
	for name, accept := range map[string]flow.Accept{
		"error": func(context.Context, flow.Received) (flow.Receipt, error) {
			return flow.Receipt{}, errors.New("unknown source")
		},
		"panic": func(context.Context, flow.Received) (flow.Receipt, error) { panic("HALLIDAY, Iris") },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, gives(flow.Outcome{Result: flow.Delivered, Replies: []flow.Received{{}}}))
			r.Accept = accept
			c := r.put("a", 1)
			r.start()
			if d := r.waits(c.Deliveries[0].ID, flow.Parked); d.Cause.Kind != issue.Internal {
				t.Errorf("cause %v", d.Cause)
			}
		})
	}
}

// The hook's change is committed with the settlement, decided again when the case had moved meanwhile.
func TestSettledHookDecidesAgain(t *testing.T) {
	r := newRig(t, takes)
	c := r.put("a", 1)
	id := c.Case.Record.ID
	var calls atomic.Int32
	r.Settled = func(ctx context.Context, d *flow.Delivery, o *flow.Outcome) error {
		record, err := r.store.Case(ctx, id)
		if err != nil {
			return err
		}
		if calls.Add(1) == 1 { // somebody else moves the case between reading and settling
			moved := record
			moved.Version++
			if _, err := r.store.Put(ctx, flow.Change{Case: &flow.CaseChange{Record: moved}}); err != nil {
				return err
			}
		}
		record.Version++
		record.State = []byte(`"delivered"`)
		o.Change = &flow.Change{Case: &flow.CaseChange{Record: record}}
		return nil
	}
	r.start()
	r.waits(c.Deliveries[0].ID, flow.Done)
	record, err := r.store.Case(t.Context(), id)
	if err != nil || record.Version != 3 || string(record.State) != `"delivered"` || calls.Load() != 2 {
		t.Errorf("version %d, state %s, %v after %d decisions", record.Version, record.State, err, calls.Load())
	}
}

func TestSettledHookThatFailsParks(t *testing.T) {
	r := newRig(t, takes)
	c := r.put("a", 1)
	r.Settled = func(context.Context, *flow.Delivery, *flow.Outcome) error {
		return errors.New("no text for this notice")
	}
	r.start()
	if d := r.waits(c.Deliveries[0].ID, flow.Parked); d.Cause.Kind != issue.Internal {
		t.Errorf("cause %v", d.Cause)
	}
}

// flaky is a store whose calls fail while its error is set.
type flaky struct {
	*bolt.Store
	claim, renew, settle atomic.Pointer[error]
	claims               atomic.Int32
}

func failing(p *atomic.Pointer[error]) error {
	if err := p.Load(); err != nil {
		return *err
	}
	return nil
}

func (f *flaky) Claim(ctx context.Context, to string, n int, lease time.Duration) ([]flow.Delivery, error) {
	f.claims.Add(1)
	if err := failing(&f.claim); err != nil {
		return nil, err
	}
	return f.Store.Claim(ctx, to, n, lease)
}

func (f *flaky) Renew(ctx context.Context, d flow.Delivery, lease time.Duration) error {
	return errors.Join(failing(&f.renew), f.Store.Renew(ctx, d, lease))
}

func (f *flaky) Settle(ctx context.Context, d flow.Delivery, o flow.Outcome) error {
	if err := failing(&f.settle); err != nil {
		return err
	}
	return f.Store.Settle(ctx, d, o)
}

func TestStoreOutage(t *testing.T) {
	r := newRig(t, takes)
	f := &flaky{Store: r.store}
	r.Store = f
	down := fmt.Errorf("redis: %w: connection refused", flow.ErrUnavailable)
	f.claim.Store(&down)
	c := r.put("a", 1)
	r.start()
	r.until("many claims", func() bool { return f.claims.Load() > 50 })
	f.claim.Store(nil)
	r.waits(c.Deliveries[0].ID, flow.Done)
	r.stop()
	if lines := strings.Count(r.logs.String(), "\n"); lines != 2 {
		t.Errorf("%d lines for one outage:\n%s", lines, r.logs)
	}
}

// A settlement is tried until the store takes it: the far side is not asked twice.
func TestSettleOutage(t *testing.T) {
	r := newRig(t, takes)
	f := &flaky{Store: r.store}
	r.Store = f
	down := fmt.Errorf("redis: %w", flow.ErrUnavailable)
	f.settle.Store(&down)
	c := r.put("a", 1)
	r.start()
	r.until("a call", func() bool { return len(r.dest.keys()) == 1 })
	time.Sleep(60 * time.Millisecond)
	f.settle.Store(nil)
	r.waits(c.Deliveries[0].ID, flow.Done)
	if calls := len(r.dest.keys()); calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

// A worker that lost its lease is told to stop, and writes nothing more.
func TestLostLease(t *testing.T) {
	stopped := make(chan error, 1)
	r := newRig(t, func(ctx context.Context, d flow.Delivery, save func(flow.Step) error) (flow.Outcome, error) {
		<-ctx.Done()
		stopped <- save(flow.Step{Name: "A044"})
		return flow.Outcome{Result: flow.Delivered}, nil
	}, takes)
	r.Lease = 60 * time.Millisecond
	f := &flaky{Store: r.store}
	r.Store = f
	lost := error(flow.ErrLease)
	f.renew.Store(&lost)
	var outcomes []flow.Result
	r.Observe = func(_ flow.Delivery, o flow.Outcome, _ time.Duration) { outcomes = append(outcomes, o.Result) }
	c := r.put("a", 1)
	r.start()
	if err := <-stopped; !errors.Is(err, flow.ErrLease) {
		t.Errorf("a step was saved without a lease: %v", err)
	}
	r.waits(c.Deliveries[0].ID, flow.Done)
	r.stop()
	if len(outcomes) != 2 || outcomes[0] != "" || outcomes[1] != flow.Delivered {
		t.Errorf("outcomes %q", outcomes)
	}
	if strings.Contains(r.logs.String(), "parked") {
		t.Errorf("logged:\n%s", r.logs)
	}
}

// A slow delivery keeps its lease for as long as it takes.
func TestSlowDeliveryKeepsItsLease(t *testing.T) {
	r := newRig(t, func(context.Context, flow.Delivery, func(flow.Step) error) (flow.Outcome, error) {
		time.Sleep(250 * time.Millisecond)
		return flow.Outcome{Result: flow.Delivered}, nil
	})
	r.Lease, r.Concurrency = 60*time.Millisecond, 2
	c := r.put("a", 1)
	r.start()
	r.waits(c.Deliveries[0].ID, flow.Done)
	if calls := len(r.dest.keys()); calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

func TestStopFinishesWhatIsUnderWay(t *testing.T) {
	begun, finish := make(chan bool), make(chan bool)
	r := newRig(t, func(context.Context, flow.Delivery, func(flow.Step) error) (flow.Outcome, error) {
		begun <- true
		<-finish
		return flow.Outcome{Result: flow.Delivered}, nil
	})
	c := r.put("a", 2)
	r.start()
	<-begun
	time.AfterFunc(30*time.Millisecond, func() { close(finish) })
	r.stop()
	r.waits(c.Deliveries[0].ID, flow.Done)
	if d := r.waits(c.Deliveries[1].ID, flow.Waiting); d.Attempt != 0 {
		t.Errorf("claimed after the stop: %+v", d)
	}
}

func TestStopAbandonsAfterGrace(t *testing.T) {
	begun := make(chan bool)
	r := newRig(t, func(ctx context.Context, _ flow.Delivery, _ func(flow.Step) error) (flow.Outcome, error) {
		begun <- true
		<-ctx.Done()
		return flow.Outcome{}, ctx.Err()
	})
	r.Grace = 20 * time.Millisecond
	c := r.put("a", 1)
	r.start()
	<-begun
	r.stop()
	if d := r.waits(c.Deliveries[0].ID, flow.Claimed); d.Cause != nil {
		t.Errorf("settled with %v: it should be tried again when its lease is over", d.Cause)
	}
}

// Routine deliveries leave one place free; an urgent one takes it while they are slow.
func TestConcurrencyAndUrgency(t *testing.T) {
	var now, most atomic.Int32
	slow := make(chan struct{})
	r := newRig(t, func(_ context.Context, d flow.Delivery, _ func(flow.Step) error) (flow.Outcome, error) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		if d.Class == flow.ClassRoutine {
			<-slow
		}
		return flow.Outcome{Result: flow.Delivered}, nil
	})
	r.Concurrency = 4
	var last flow.Change
	for i := range 12 {
		last = r.put(fmt.Sprint("routine ", i), 1)
	}
	r.start()
	r.until("three are slow", func() bool { return now.Load() == 3 })
	r.waits(r.urgent("urgent").ID, flow.Done)
	if most.Load() != 4 || now.Load() != 3 {
		t.Errorf("%d at a time, %d now; want 4 with the urgent one, 3 without", most.Load(), now.Load())
	}
	close(slow)
	r.waits(last.Deliveries[0].ID, flow.Done)
}

func TestRate(t *testing.T) {
	r := newRig(t, takes)
	r.Concurrency, r.Gate, r.Limit = 10, &flow.LocalGate{}, flow.Limit{Rate: 50}
	var last flow.Change
	for i := range 10 {
		last = r.put(fmt.Sprint(i), 1)
	}
	began := time.Now()
	r.start()
	r.waits(last.Deliveries[0].ID, flow.Done)
	// Two at once, then eight at 50 a second.
	if took := time.Since(began); took < 150*time.Millisecond {
		t.Errorf("ten in %v", took)
	}
}

func TestPoke(t *testing.T) {
	r := newRig(t, takes)
	r.Every = time.Hour
	r.start()
	time.Sleep(10 * time.Millisecond) // it sleeps, with nothing to do
	c := r.put("a", 3)
	r.Poke()
	r.waits(c.Deliveries[2].ID, flow.Done)
}

// TestAStoppedDeliveryIsNotAttempted: it waits without an attempt, its neighbour goes, and it goes once it may.
func TestAStoppedDeliveryIsNotAttempted(t *testing.T) {
	r := newRig(t, takes)
	stopped, free := r.put("stopped", 1), r.put("free", 1)
	var asked atomic.Int64
	r.Before = func(_ context.Context, d *flow.Delivery) (flow.Outcome, error) {
		if asked.Add(1); d.ID != stopped.Deliveries[0].ID {
			return flow.Outcome{}, nil
		}
		return flow.Outcome{Result: flow.Again, After: 10 * time.Millisecond}, nil
	}
	r.start()
	r.waits(free.Deliveries[0].ID, flow.Done)
	last := r.waits(stopped.Deliveries[0].ID, flow.Waiting)
	r.stop()
	if keys := r.dest.keys(); len(keys) != 1 || keys[0] != "free 0" || asked.Load() < 2 || last.Attempt != 0 || last.Cause != nil {
		t.Errorf("sent %v, asked %d times, %+v", keys, asked.Load(), last)
	}
}

// What its destination would not take is parked without a call; at another destination it is sent.
func TestUnfitIsForOneDestination(t *testing.T) {
	for to, want := range map[string]flow.State{"epr": flow.Parked, "other": flow.Done} {
		r := newRig(t, takes)
		c := adaptertest.Request("a", "")
		d := &c.Deliveries[0]
		d.To, d.Key, d.ID = "epr", "a", flow.NewID(c.Partition(), "a")
		d.Unfit = &flow.Unfit{To: to, Cause: issue.New(issue.TooLong, "photo 1", "too large")}
		if _, err := r.store.Put(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		r.start()
		got := r.waits(d.ID, want)
		r.stop()
		if called := len(r.dest.keys()) > 0; called != (want == flow.Done) || called != (got.Cause == nil) {
			t.Errorf("unfit for %s: called: %t, %+v", to, called, got.Cause)
		}
	}
}
