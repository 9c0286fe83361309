package observe

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Metrics counts what happens at the edges of the flow. Labels are configured names and our own codes,
// never anything out of a message: their number is bounded and none can name a patient.
type Metrics struct {
	registry *prometheus.Registry

	messages   *prometheus.CounterVec   // source, result
	refusals   *prometheus.CounterVec   // source, kind
	accept     *prometheus.HistogramVec // source
	received   *prometheus.GaugeVec     // source: time of the last message
	deliveries *prometheus.CounterVec   // destination, result
	deliver    *prometheus.HistogramVec // destination
	attempts   *prometheus.HistogramVec // destination
	waiting    *prometheus.GaugeVec     // destination
	parked     *prometheus.GaugeVec     // destination
	oldest     *prometheus.GaugeVec     // destination
	parkedAge  *prometheus.GaugeVec     // destination
	down       *prometheus.GaugeVec     // destination
	silence    *prometheus.GaugeVec     // source: seconds that its silence may last
	store      *prometheus.HistogramVec // operation, result
	healthy    prometheus.Gauge
	reloads    *prometheus.CounterVec // result
	stale      prometheus.Gauge
	leaves     *prometheus.CounterVec // source, result
}

// NewMetrics makes the metrics on a registry of their own, with those of the Go runtime and the process.
func NewMetrics() *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dermgate_" + name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dermgate_" + name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "dermgate_" + name, Help: help, Buckets: buckets}, labels)
	}
	seconds := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	m := &Metrics{
		registry:   prometheus.NewRegistry(),
		messages:   counter("messages_total", "Messages taken in, by result: accepted, repeat, refused, conflict, unavailable, failed.", "source", "result"),
		refusals:   counter("refusals_total", "Refused messages by the kind of their worst issue.", "source", "kind"),
		accept:     histogram("accept_seconds", "From the whole message read to its receipt.", seconds, "source"),
		received:   gauge("last_message_timestamp_seconds", "When a source's last message came.", "source"),
		deliveries: counter("deliveries_total", "Attempts to deliver, by result: delivered, retry, again, refused, unknown, abandoned.", "destination", "result"),
		deliver:    histogram("delivery_seconds", "Duration of an attempt.", seconds, "destination"),
		attempts:   histogram("delivery_attempts", "Attempts that a delivery took until done.", []float64{1, 2, 3, 5, 8, 13, 21}, "destination"),
		waiting:    gauge("deliveries_waiting", "Deliveries waiting or under way, counted up to 1000.", "destination"),
		parked:     gauge("deliveries_parked", "Deliveries waiting for a person, counted up to 1000.", "destination"),
		oldest:     gauge("oldest_waiting_seconds", "Age of the oldest waiting delivery.", "destination"),
		parkedAge:  gauge("oldest_parked_seconds", "Age of the oldest parked delivery.", "destination"),
		down:       gauge("destination_down", "1 while a destination does not answer and is only probed.", "destination"),
		silence:    gauge("sender_silence_limit_seconds", "How long a source may be silent, where alarms.sender_silent says so.", "source"),
		store:      histogram("store_seconds", "Duration of a store operation, by result: ok, stale, conflict, lease, unavailable, failed.", seconds, "operation", "result"),
		healthy:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "dermgate_store_up", Help: "1 while the store can keep messages."}),
		reloads:    counter("maps_reloads_total", "Looks at changed maps, by result: taken, refused.", "result"),
		leaves:     counter("leaves_total", "Valued leaves (fields down to the sub-component) of kept HL7 v2 messages by what the maps make of them: mapped, ignored, unmapped; of FHIR the resources that are not carried, as unmapped.", "source", "result"),
		stale:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "dermgate_maps_stale", Help: "1 while changed maps cannot be used and those before are in force."}),
	}
	for _, result := range []string{taken, refused} {
		m.reloads.WithLabelValues(result) // there from the start, so that its first increase shows
	}
	m.registry.MustRegister(m.messages, m.refusals, m.accept, m.received, m.deliveries, m.deliver, m.attempts, m.waiting, m.parked,
		m.oldest, m.parkedAge, m.down, m.silence, m.store, m.healthy, m.reloads, m.stale, m.leaves, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// What came of changed maps.
const (
	taken   = "taken"
	refused = "refused"
)

// Maps counts a look at changed maps; stale says that they were refused and those before stay in force.
func (m *Metrics) Maps(stale bool) {
	result, gauge := taken, 0.0
	if stale {
		result, gauge = refused, 1
	}
	m.reloads.WithLabelValues(result).Inc()
	m.stale.Set(gauge)
}

// Down remembers whether a destination answers, as this replica knows.
func (m *Metrics) Down(to string, down bool) {
	v := 0.0
	if down {
		v = 1
	}
	m.down.WithLabelValues(to).Set(v)
}

// Silence says when a source was last heard, by any replica, and how long it may be silent.
func (m *Metrics) Silence(source string, heard time.Time, limit time.Duration) {
	m.received.WithLabelValues(source).Set(float64(heard.UnixMilli()) / 1000)
	m.silence.WithLabelValues(source).Set(limit.Seconds())
}

// Handler serves the metrics in the Prometheus format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Accept counts what a source hands over.
func (m *Metrics) Accept(next flow.Accept) flow.Accept {
	return func(ctx context.Context, r flow.Received) (flow.Receipt, error) {
		start := time.Now()
		receipt, err := next(ctx, r)
		m.accept.WithLabelValues(r.Source).Observe(since(start))
		m.received.WithLabelValues(r.Source).SetToCurrentTime()
		m.messages.WithLabelValues(r.Source, accepted(receipt, err)).Inc()
		if receipt.Refused && err == nil {
			m.refusals.WithLabelValues(r.Source, known(receipt.Kind)).Inc()
		}
		return receipt, err
	}
}

func accepted(r flow.Receipt, err error) string {
	switch {
	case errors.Is(err, flow.ErrUnavailable):
		return "unavailable"
	case errors.Is(err, flow.ErrConflict):
		return "conflict"
	case err != nil:
		return "failed"
	case r.Repeat:
		return "repeat"
	case r.Refused:
		return "refused"
	}
	return "accepted"
}

// known keeps the label within the vocabulary of issues.
func known(k issue.Kind) string {
	for _, each := range issue.Kinds() {
		if each == k {
			return string(k)
		}
	}
	return "other"
}

// Destination counts a destination's attempts under its configured name.
func (m *Metrics) Destination(name string, next flow.Destination) flow.Destination {
	return &destination{metrics: m, name: name, next: next}
}

type destination struct {
	metrics *Metrics
	name    string
	next    flow.Destination
}

func (d *destination) Deliver(ctx context.Context, v flow.Delivery, save func(flow.Step) error) (flow.Outcome, error) {
	start := time.Now()
	o, err := d.next.Deliver(ctx, v, save)
	result := string(o.Result)
	if err != nil {
		result = "abandoned"
	}
	d.metrics.deliver.WithLabelValues(d.name).Observe(since(start))
	d.metrics.deliveries.WithLabelValues(d.name, result).Inc()
	if err == nil && o.Result == flow.Delivered {
		d.metrics.attempts.WithLabelValues(d.name).Observe(float64(v.Attempt))
	}
	return o, err
}

// Store times the store's writing operations and tells whether it is up; reading passes through.
func (m *Metrics) Store(next flow.Store) flow.Store { return &store{Store: next, metrics: m} }

type store struct {
	flow.Store
	metrics *Metrics
}

func (s *store) observe(operation string, start time.Time, err error) {
	s.metrics.store.WithLabelValues(operation, ended(err)).Observe(since(start))
}

func ended(err error) string {
	if err == nil {
		return "ok"
	}
	for name, sentinel := range map[string]error{"stale": flow.ErrStale, "conflict": flow.ErrConflict,
		"lease": flow.ErrLease, "unavailable": flow.ErrUnavailable} {
		if errors.Is(err, sentinel) {
			return name
		}
	}
	return "failed"
}

// Put is flow.Queue's, timed; what the maps left of a message is counted when it is first kept.
func (s *store) Put(ctx context.Context, c flow.Change) (r flow.Receipt, err error) {
	defer func(start time.Time) { s.observe("put", start, err) }(time.Now())
	if r, err = s.Store.Put(ctx, c); err == nil && !r.Repeat && c.Message != nil {
		s.metrics.kept(c.Message)
	}
	return r, err
}

// kept counts what the maps left of a message. Of FHIR, which is carried as it came, only what is not.
func (m *Metrics) kept(msg *flow.Message) {
	left := msg.Leaves
	if left == nil {
		left = &mapping.Count{Unmapped: len(msg.Unmapped)}
	}
	for result, n := range map[string]int{"mapped": left.Mapped, "ignored": left.Ignored, "unmapped": left.Unmapped} {
		if n > 0 {
			m.leaves.WithLabelValues(msg.Source, result).Add(float64(n))
		}
	}
}

// Claim is flow.Queue's, timed.
func (s *store) Claim(ctx context.Context, to string, n int, lease time.Duration) (ds []flow.Delivery, err error) {
	defer func(start time.Time) { s.observe("claim", start, err) }(time.Now())
	return s.Store.Claim(ctx, to, n, lease)
}

// ClaimUrgent is flow.Express's, timed as a claim.
func (s *store) ClaimUrgent(ctx context.Context, to string, n int, lease time.Duration) (ds []flow.Delivery, err error) {
	defer func(start time.Time) { s.observe("claim", start, err) }(time.Now())
	return s.Store.ClaimUrgent(ctx, to, n, lease)
}

// Settle is flow.Queue's, timed.
func (s *store) Settle(ctx context.Context, d flow.Delivery, o flow.Outcome) (err error) {
	defer func(start time.Time) { s.observe("settle", start, err) }(time.Now())
	return s.Store.Settle(ctx, d, o)
}

// SaveStep is flow.Leases's, timed.
func (s *store) SaveStep(ctx context.Context, d flow.Delivery, step flow.Step) (err error) {
	defer func(start time.Time) { s.observe("save_step", start, err) }(time.Now())
	return s.Store.SaveStep(ctx, d, step)
}

// Health is the store's own, remembered in a gauge.
func (s *store) Health(ctx context.Context) error {
	err := s.Store.Health(ctx)
	up := 1.0
	if err != nil {
		up = 0
	}
	s.metrics.healthy.Set(up)
	return err
}

// Watch looks at the queues of the named destinations, and at the store's health, every so often until ctx
// ends. A look that fails leaves the gauges as they were and the store marked down.
func (m *Metrics) Watch(ctx context.Context, s flow.Store, names []string, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		_ = m.Store(s).Health(ctx) // its result is the gauge
		for _, name := range names {
			m.look(ctx, s, name)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look counts one destination's queue. Waiting and claimed ones are the same to whoever waits for them.
func (m *Metrics) look(ctx context.Context, c flow.Counter, name string) {
	b, err := c.Backlog(ctx, name)
	if err != nil {
		return
	}
	m.waiting.WithLabelValues(name).Set(float64(b.Open))
	m.parked.WithLabelValues(name).Set(float64(b.Parked))
	m.oldest.WithLabelValues(name).Set(age(b.Oldest))
	m.parkedAge.WithLabelValues(name).Set(age(b.OldestParked))
}

func age(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return since(t)
}
