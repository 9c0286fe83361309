package observe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/issue"
)

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	b, err := io.ReadAll(w.Body)
	if err != nil || w.Code != 200 {
		t.Fatal(w.Code, err)
	}
	return string(b)
}

func want(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !strings.Contains(text, "\n"+l+"\n") {
			t.Errorf("no line %q in\n%s", l, text)
		}
	}
}

func TestAcceptIsCountedByItsEnd(t *testing.T) {
	m := NewMetrics()
	for _, end := range []struct {
		receipt flow.Receipt
		err     error
	}{
		{flow.Receipt{}, nil},
		{flow.Receipt{Repeat: true}, nil},
		{flow.Receipt{Refused: true, Kind: issue.Value}, nil},
		{flow.Receipt{Refused: true, Kind: "Eleanor Rigby"}, nil},
		{flow.Receipt{}, fmt.Errorf("put: %w", flow.ErrUnavailable)},
		{flow.Receipt{}, flow.ErrConflict},
		{flow.Receipt{}, errors.New("x")},
	} {
		accept := m.Accept(func(context.Context, flow.Received) (flow.Receipt, error) { return end.receipt, end.err })
		receipt, err := accept(context.Background(), flow.Received{Source: "gp", Raw: []byte("Eleanor Rigby"), RequestID: "Eleanor Rigby"})
		if err != end.err || receipt.Kind != end.receipt.Kind || receipt.Repeat != end.receipt.Repeat {
			t.Error("the wrapper changed what it wraps")
		}
	}
	text := scrape(t, m)
	want(t, text,
		`dermgate_messages_total{result="accepted",source="gp"} 1`,
		`dermgate_messages_total{result="repeat",source="gp"} 1`,
		`dermgate_messages_total{result="refused",source="gp"} 2`,
		`dermgate_messages_total{result="unavailable",source="gp"} 1`,
		`dermgate_messages_total{result="conflict",source="gp"} 1`,
		`dermgate_messages_total{result="failed",source="gp"} 1`,
		`dermgate_refusals_total{kind="value",source="gp"} 1`,
		`dermgate_refusals_total{kind="other",source="gp"} 1`,
		`dermgate_accept_seconds_count{source="gp"} 7`)
	if strings.Contains(text, "Eleanor") {
		t.Error("a patient in the metrics")
	}
}

type deliverer func() (flow.Outcome, error)

func (d deliverer) Deliver(context.Context, flow.Delivery, func(flow.Step) error) (flow.Outcome, error) {
	return d()
}

func TestDeliveriesAreCountedByResult(t *testing.T) {
	m := NewMetrics()
	deliver := func(o flow.Outcome, err error) {
		d := m.Destination("epr", deliverer(func() (flow.Outcome, error) { return o, err }))
		if got, e := d.Deliver(context.Background(), flow.Delivery{Attempt: 2}, nil); got.Result != o.Result || e != err {
			t.Error("the wrapper changed what it wraps")
		}
	}
	for _, r := range []flow.Result{flow.Delivered, flow.Retry, flow.Again, flow.Refused, flow.Unknown} {
		deliver(flow.Outcome{Result: r}, nil)
	}
	deliver(flow.Outcome{}, flow.ErrLease)
	text := scrape(t, m)
	for _, r := range []string{"delivered", "retry", "again", "refused", "unknown", "abandoned"} {
		want(t, text, `dermgate_deliveries_total{destination="epr",result="`+r+`"} 1`)
	}
	want(t, text, `dermgate_delivery_attempts_sum{destination="epr"} 2`, `dermgate_delivery_attempts_count{destination="epr"} 1`)
}

// fakeStore answers what a test tells it; what it has no answer for panics, being nil.
type fakeStore struct {
	flow.Store
	err     error
	backlog flow.Backlog
}

func (f *fakeStore) Health(context.Context) error { return f.err }
func (f *fakeStore) Put(context.Context, flow.Change) (flow.Receipt, error) {
	return flow.Receipt{Answer: []byte("a")}, f.err
}
func (f *fakeStore) Claim(context.Context, string, int, time.Duration) ([]flow.Delivery, error) {
	return make([]flow.Delivery, 2), f.err
}
func (f *fakeStore) Settle(context.Context, flow.Delivery, flow.Outcome) error { return f.err }
func (f *fakeStore) SaveStep(context.Context, flow.Delivery, flow.Step) error  { return f.err }
func (f *fakeStore) Backlog(context.Context, string) (flow.Backlog, error)     { return f.backlog, f.err }

func TestStoreIsTimedByResult(t *testing.T) {
	m := NewMetrics()
	ctx := context.Background()
	for result, err := range map[string]error{"ok": nil, "stale": flow.ErrStale, "conflict": flow.ErrConflict, "lease": flow.ErrLease,
		"unavailable": fmt.Errorf("bolt: %w", flow.ErrUnavailable), "failed": errors.New("x")} {
		s := m.Store(&fakeStore{err: err})
		if r, e := s.Put(ctx, flow.Change{}); e != err || string(r.Answer) != "a" {
			t.Error("Put is changed by its wrapper")
		}
		if ds, e := s.Claim(ctx, "epr", 2, time.Second); e != err || len(ds) != 2 {
			t.Error("Claim is changed by its wrapper")
		}
		if s.Settle(ctx, flow.Delivery{}, flow.Outcome{}) != err || s.SaveStep(ctx, flow.Delivery{}, flow.Step{}) != err {
			t.Error("Settle or SaveStep is changed by its wrapper")
		}
		text := scrape(t, m)
		for _, operation := range []string{"put", "claim", "settle", "save_step"} {
			want(t, text, fmt.Sprintf(`dermgate_store_seconds_count{operation=%q,result=%q} 1`, operation, result))
		}
	}
}

func TestWatchCountsQueues(t *testing.T) {
	m := NewMetrics()
	old := time.Now().Add(-time.Hour)
	s := &fakeStore{backlog: flow.Backlog{Open: 2, Oldest: old, Parked: 3, OldestParked: old}}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // one look
	m.Watch(ctx, s, []string{"epr"}, time.Minute)
	text := scrape(t, m)
	want(t, text, `dermgate_deliveries_waiting{destination="epr"} 2`, `dermgate_deliveries_parked{destination="epr"} 3`, "dermgate_store_up 1")
	if !strings.Contains(text, `dermgate_oldest_waiting_seconds{destination="epr"} 3600.`) {
		t.Error("the oldest is an hour old, and the metric does not say so")
	}
	s.err = errors.New("gone")
	m.Watch(ctx, s, []string{"epr"}, time.Minute)
	want(t, scrape(t, m), `dermgate_deliveries_waiting{destination="epr"} 2`, "dermgate_store_up 0")
}

func TestChangedMapsAreCountedAndStaleOnesShow(t *testing.T) {
	m := NewMetrics()
	want(t, scrape(t, m), `dermgate_maps_reloads_total{result="taken"} 0`, `dermgate_maps_reloads_total{result="refused"} 0`, `dermgate_maps_stale 0`)
	m.Maps(true)
	m.Maps(true)
	want(t, scrape(t, m), `dermgate_maps_reloads_total{result="refused"} 2`, `dermgate_maps_stale 1`)
	m.Maps(false)
	want(t, scrape(t, m), `dermgate_maps_reloads_total{result="taken"} 1`, `dermgate_maps_reloads_total{result="refused"} 2`, `dermgate_maps_stale 0`)
}

type keeper struct {
	flow.Store
	receipt flow.Receipt
	err     error
}

func (k keeper) Put(context.Context, flow.Change) (flow.Receipt, error) { return k.receipt, k.err }

// What the maps leave is counted by source, once for each message however often it comes.
func TestLeavesAreCountedWhenAMessageIsFirstKept(t *testing.T) {
	m := NewMetrics()
	hl7 := &flow.Message{Source: "gp", Loss: flow.Loss{Leaves: &mapping.Count{Valued: 9, Mapped: 5, Ignored: 1, Unmapped: 3}, Unmapped: []string{"ZPI-1"}}}
	fhir := &flow.Message{Source: "platform", Loss: flow.Loss{Unmapped: []string{"Bundle.entry[1].resource"}}}
	for _, k := range []struct {
		keeper
		message *flow.Message
	}{{keeper{}, hl7}, {keeper{receipt: flow.Receipt{Repeat: true}}, hl7}, {keeper{err: flow.ErrUnavailable}, hl7}, {keeper{}, nil}, {keeper{}, hl7}, {keeper{}, fhir}} {
		if _, err := m.Store(k.keeper).Put(t.Context(), flow.Change{Message: k.message}); err != k.err {
			t.Error(err)
		}
	}
	text := scrape(t, m)
	want(t, text, `dermgate_leaves_total{result="mapped",source="gp"} 10`, `dermgate_leaves_total{result="ignored",source="gp"} 2`,
		`dermgate_leaves_total{result="unmapped",source="gp"} 6`, `dermgate_leaves_total{result="unmapped",source="platform"} 1`)
	if strings.Contains(text, "ZPI") {
		t.Error("a field of a message is a label")
	}
}
