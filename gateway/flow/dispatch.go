package flow

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Dispatcher brings what waits for one destination there: claim, deliver, take in what came back, settle.
// It decides when to try again and when to give a delivery to a person; it never drops one.
//
// What a crash leaves behind is a lease that runs out: the delivery is then claimed again with the same
// bytes, key and finished steps. A worker that lost its lease writes nothing more (ErrLease).
type Dispatcher struct {
	Store interface {
		Queue
		Leases
		Express
	}
	To     string
	Dest   Destination
	Accept Accept // takes in Outcome.Replies, before the delivery is settled
	// Settled, when set, is called before every settlement and may set o.Change; called again when the
	// store answers ErrStale.
	Settled func(ctx context.Context, d *Delivery, o *Outcome) error
	// Before, when set, is asked before a delivery is attempted. An outcome with a Result stands in the place of the
	// attempt: its case may wait for a person's word, or what was right to send is so no more.
	Before func(ctx context.Context, d *Delivery) (Outcome, error)
	// Observe, when set, is told each attempt's outcome: the Result is empty when it was abandoned unsettled.
	Observe func(d Delivery, o Outcome, took time.Duration)

	Concurrency int           // deliveries at a time, each of another lane; 0: 1. Of several the last is kept for urgent ones
	Lease       time.Duration // renewed at a third of it; 0: 30 s
	Every       time.Duration // how often to look for due work unasked; 0: 1 s
	HoldParked  bool          // a parked delivery holds its lane: what is behind it waits for the person's decision
	Grace       time.Duration // for attempts under way when Run's context ends; 0: 10 s
	Backoff     Backoff
	Gate        Gate             // shared by all replicas; nil: no limits and no breaker
	Limit       Limit            // of the Gate
	Log         *slog.Logger     // nil: slog.Default
	Now         func() time.Time // nil: time.Now; what retries are counted from
	// Down, when set, is told that the breaker has opened or closed, by one replica of all.
	Down func(open bool)

	once  sync.Once
	wake  chan struct{}
	down  atomic.Bool // the destination's last attempt failed for a passing reason
	amiss atomic.Bool // it failed since it last answered, here or elsewhere
	asked time.Time   // when the Gate was
}

// Poke says that there may be work due now. It never blocks.
func (d *Dispatcher) Poke() {
	select {
	case d.waker() <- struct{}{}:
	default:
	}
}

func (d *Dispatcher) waker() chan struct{} {
	d.once.Do(func() { d.wake = make(chan struct{}, 1) })
	return d.wake
}

// Run delivers until ctx ends. It then claims no more, gives the attempts under way the grace time, and
// returns nil; what is not finished by then keeps its lease until it runs out, and is tried again.
func (d *Dispatcher) Run(ctx context.Context) error {
	work, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	slots := make(chan struct{}, max(1, d.Concurrency))
	var under sync.WaitGroup
	var outage outage
	for d.freeSlot(ctx, slots) {
		pass, claimed, err := d.claim(ctx, cap(slots)-len(slots))
		if err != nil && ctx.Err() == nil {
			outage.begin(d.log(), err)
			pause(ctx, jitter(d.every()))
			continue
		}
		outage.end(d.log())
		if len(claimed) == 0 {
			d.idle(ctx, pass.Wait)
		}
		for i, del := range claimed {
			slots <- struct{}{}
			under.Go(func() {
				defer func() { <-slots; d.Poke() }()
				d.attempt(work, del, leave{d, pass.Token, i + 1})
			})
		}
	}
	timer := time.AfterFunc(or(d.Grace, 10*time.Second), func() { cut(errStopping) })
	defer timer.Stop()
	under.Wait()
	return nil
}

// freeSlot waits until another delivery may begin; false when ctx ended.
func (d *Dispatcher) freeSlot(ctx context.Context, slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		<-slots
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// claim takes what is due, urgent lanes first, as far as there is room: what is claimed begins at once, since one that
// waited would hold up a more urgent one. The last free slot of several is for urgent ones alone, so that they do not
// wait behind the slow attempts of others.
func (d *Dispatcher) claim(ctx context.Context, free int) (Pass, []Delivery, error) {
	take := d.Store.Claim
	if d.Concurrency > 1 {
		if free--; free == 0 {
			take, free = d.Store.ClaimUrgent, 1
		}
	}
	pass, err := d.enter(ctx, free)
	if err != nil || pass.N == 0 {
		return pass, nil, err
	}
	claimed, err := take(ctx, d.To, pass.N, d.lease())
	if len(claimed) < pass.N && pass.Token != "" {
		d.leave(ctx, Leaving{Token: pass.Token, From: len(claimed) + 1, To: pass.N, End: EndUnused})
	}
	return pass, claimed, err
}

// enter asks the Gate; not at every turn where there is nothing to limit and nothing is amiss.
func (d *Dispatcher) enter(ctx context.Context, n int) (Pass, error) {
	if d.Gate == nil || !d.limited() && !d.amiss.Load() && time.Since(d.asked) < d.every() {
		return Pass{N: n}, nil
	}
	pass, err := d.Gate.Enter(ctx, d.To, n, d.Limit)
	if err != nil {
		return pass, err
	}
	d.asked = time.Now()
	d.amiss.Store(pass.Amiss || pass.Open)
	return pass, nil
}

func (d *Dispatcher) limited() bool { return d.Limit.Rate > 0 || d.Limit.Together > 0 }

// leave tells the Gate; when it cannot be told, permits run out by themselves.
func (d *Dispatcher) leave(ctx context.Context, e Leaving) Verdict {
	v, err := d.Gate.Leave(ctx, d.To, d.Limit, e)
	if err != nil {
		d.log().Debug("the gate was not told", "to", d.To, "error", err)
		return Verdict{}
	}
	if v.Changed && d.Down != nil {
		d.Down(v.Open)
	}
	return v
}

func (d *Dispatcher) idle(ctx context.Context, wait time.Duration) {
	if wait <= 0 || wait > d.every() {
		wait = d.every()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-d.waker():
	case <-timer.C:
	case <-ctx.Done():
	}
}

// tell logs what a person wants to know: what was parked, and that a destination stopped or began again to
// take deliveries. A long outage leaves two lines, however much waits.
func (d *Dispatcher) tell(del Delivery, o Outcome) {
	switch o.Result {
	case Retry:
		level := slog.LevelDebug
		if !d.down.Swap(true) {
			level = slog.LevelWarn
		}
		d.log().Log(context.Background(), level, "destination does not take deliveries", d.about(del, "cause", cause(o), "retry_in", o.After)...)
	case Refused, Unknown, Held:
		d.log().Warn("delivery parked", d.about(del, "result", o.Result, "cause", cause(o))...)
	case Delivered, Again:
		if d.down.Swap(false) {
			d.log().Info("destination takes deliveries again", "to", d.To)
		}
		d.log().Debug("settled", d.about(del, "result", o.Result)...)
	}
}

// cause names kind and place: an issue's text is safe too, but for people rather than for counting.
func cause(o Outcome) string {
	if o.Cause == nil {
		return ""
	}
	return string(o.Cause.Kind) + " " + o.Cause.Where
}

func (d *Dispatcher) about(del Delivery, more ...any) []any {
	return append([]any{"to", d.To, "delivery", del.ID, "what", del.What, "attempt", del.Attempt}, more...)
}

func (d *Dispatcher) log() *slog.Logger {
	if d.Log != nil {
		return d.Log
	}
	return slog.Default()
}

func (d *Dispatcher) now() time.Time {
	if d.Now != nil {
		return d.Now()
	}
	return time.Now()
}

func (d *Dispatcher) lease() time.Duration { return or(d.Lease, 30*time.Second) }
func (d *Dispatcher) every() time.Duration { return or(d.Every, time.Second) }

func or(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// pause waits, and tells whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// outage logs the store's going and coming, once each.
type outage struct{ since time.Time }

func (o *outage) begin(log *slog.Logger, err error) {
	if o.since.IsZero() {
		o.since = time.Now()
		log.Error("store unavailable, deliveries wait", "error", err)
	}
}

func (o *outage) end(log *slog.Logger) {
	if !o.since.IsZero() {
		log.Info("store available again", "after", time.Since(o.since).Round(time.Millisecond))
		o.since = time.Time{}
	}
}
