package flow

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/dermgate/dermgate/mapping/issue"
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
	}
	To     string
	Dest   Destination
	Accept Accept // takes in Outcome.Replies, before the delivery is settled
	// Settled, when set, is called before every settlement and may set o.Change; called again when the
	// store answers ErrStale.
	Settled func(ctx context.Context, d Delivery, o *Outcome) error
	// Stopped, when set, is asked before a delivery is attempted: one of a case that waits for a person's word comes
	// again later, and that is no attempt.
	Stopped func(ctx context.Context, d Delivery) (bool, error)
	// Observe, when set, is told each attempt's outcome: the Result is empty when it was abandoned unsettled.
	Observe func(d Delivery, o Outcome, took time.Duration)

	Concurrency int           // deliveries at a time, each of another lane; 0: 1
	Lease       time.Duration // renewed at a third of it; 0: 30 s
	Every       time.Duration // how often to look for due work unasked; 0: 1 s
	Grace       time.Duration // for attempts under way when Run's context ends; 0: 10 s
	Backoff     Backoff
	Rate        *rate.Limiter // deliveries begun; nil: no limit. Its burst is at least 1
	Log         *slog.Logger  // nil: slog.Default

	once sync.Once
	wake chan struct{}
	down atomic.Bool // the destination's last attempt failed for a passing reason
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
		claimed, err := d.Store.Claim(ctx, d.To, d.room(ctx, cap(slots)-len(slots)), d.lease())
		if err != nil && ctx.Err() == nil {
			outage.begin(d.log(), err)
			pause(ctx, jitter(d.every()))
			continue
		}
		outage.end(d.log())
		if len(claimed) == 0 {
			d.idle(ctx)
		}
		d.begun(len(claimed))
		for _, del := range claimed {
			slots <- struct{}{}
			under.Go(func() {
				defer func() { <-slots; d.Poke() }()
				d.attempt(work, del)
			})
		}
	}
	timer := time.AfterFunc(or(d.Grace, 10*time.Second), func() { cut(errors.New("flow: stopping")) })
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

// room gives how many deliveries may be claimed: no more than the rate allows to begin at once, since a
// claimed delivery that waits would hold up a more urgent one.
func (d *Dispatcher) room(ctx context.Context, free int) int {
	if d.Rate == nil || d.Rate.Limit() == rate.Inf {
		return free
	}
	for ctx.Err() == nil {
		tokens := d.Rate.Tokens()
		if tokens >= 1 {
			return min(free, int(tokens))
		}
		pause(ctx, time.Duration((1-tokens)/float64(d.Rate.Limit())*float64(time.Second)))
	}
	return 1
}

func (d *Dispatcher) begun(n int) {
	if d.Rate != nil && n > 0 {
		d.Rate.AllowN(time.Now(), n)
	}
}

func (d *Dispatcher) idle(ctx context.Context) {
	timer := time.NewTimer(d.every())
	defer timer.Stop()
	select {
	case <-d.waker():
	case <-timer.C:
	case <-ctx.Done():
	}
}

// attempt is one try of one claimed delivery, from the claim to its settlement.
func (d *Dispatcher) attempt(ctx context.Context, del Delivery) {
	start := time.Now()
	ctx, release := d.hold(ctx, del)
	defer release()
	o, err := d.unlessStopped(ctx, del)
	if err == nil {
		err = d.takeIn(ctx, del, &o)
	}
	if err == nil {
		d.schedule(&o, del)
		err = d.settle(ctx, del, &o)
	}
	if err != nil {
		d.log().Warn("delivery abandoned, to be tried again", d.about(del, "error", err)...)
		o = Outcome{}
	}
	d.tell(del, o)
	if d.Observe != nil {
		d.Observe(del, o, time.Since(start))
	}
}

// hold renews the lease until released. The context it gives ends when the lease is lost, or could not be
// renewed for its whole length.
func (d *Dispatcher) hold(ctx context.Context, del Delivery) (context.Context, func()) {
	ctx, lose := context.WithCancelCause(ctx)
	go func() {
		held := time.Now()
		for pause(ctx, d.lease()/3) {
			asked := time.Now()
			err := d.Store.Renew(ctx, del, d.lease())
			switch {
			case err == nil:
				held = asked
			case errors.Is(err, ErrLease), time.Since(held) >= d.lease():
				lose(ErrLease)
				return
			}
		}
	}()
	return ctx, func() { lose(context.Canceled) }
}

// unlessStopped delivers what its case lets go.
func (d *Dispatcher) unlessStopped(ctx context.Context, del Delivery) (Outcome, error) {
	if d.Stopped != nil {
		stopped, err := d.Stopped(ctx, del)
		if err != nil {
			return Outcome{}, err
		}
		if stopped {
			return Outcome{Result: Again, After: stoppedEvery}, nil
		}
	}
	return d.deliver(ctx, del)
}

// deliver asks the destination. A panic of it is an internal fault: the delivery is parked, since the same
// bytes would most likely bring it about again.
func (d *Dispatcher) deliver(ctx context.Context, del Delivery) (o Outcome, err error) {
	if u := del.Unfit; u != nil && u.To == del.To {
		return Outcome{Result: Refused, Cause: u.Cause}, nil
	}
	err = d.guard(del, func() error {
		o, err = d.Dest.Deliver(ctx, del, func(s Step) error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return d.Store.SaveStep(ctx, del, s)
		})
		return err
	})
	if errors.Is(err, errPanic) {
		return Outcome{Result: Refused, Cause: issue.New(issue.Internal, "", "the adapter of this destination failed").Because(err)}, nil
	}
	return o, err
}

var errPanic = errors.New("flow: panic")

// guard turns a panic into an error. Its value may quote the message, so only where it happened is logged.
func (d *Dispatcher) guard(del Delivery, f func() error) (err error) {
	defer func() {
		if recover() != nil {
			d.log().Error("panic in an attempt", d.about(del, "stack", string(debug.Stack()))...)
			err = errPanic
		}
	}()
	return f()
}

// takeIn accepts what came back, as any other message, before the delivery counts as done: a crash between
// the two brings the answer again, and a repeat has no second effect. One that is refused is recorded as
// any refused message, and logged, since nobody waits for its answer.
func (d *Dispatcher) takeIn(ctx context.Context, del Delivery, o *Outcome) error {
	for _, r := range o.Replies {
		var receipt Receipt
		err := d.persist(ctx, func() error {
			return d.guard(del, func() (err error) { receipt, err = d.Accept(ctx, r); return err })
		})
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			o.Result = Refused
			o.Cause = issue.New(issue.Internal, "", "what came back could not be taken in").Because(err)
		}
		if receipt.Refused {
			d.log().Warn("what came back was refused", d.about(del, "kind", receipt.Kind, "message", receipt.Message)...)
		}
	}
	return nil
}

// schedule says when a delivery comes again, or that it has failed often enough for a person to see it.
func (d *Dispatcher) schedule(o *Outcome, del Delivery) {
	now := time.Now()
	switch o.Result {
	case Retry:
		if d.Backoff.Spent(del, now) {
			o.Result = Refused
			return
		}
		o.After = d.Backoff.Delay(del.Attempt, o.After)
	case Again, Delivered, Refused, Unknown:
	default:
		o.Result = Refused
		o.Cause = issue.New(issue.Internal, "", "the adapter of this destination gave no result")
	}
	if o.Result == Again && o.After <= 0 {
		o.After = d.Backoff.Delay(1, 0)
	}
	o.Due = now.Add(o.After)
}

// settle ends the attempt together with what it changes about the case.
func (d *Dispatcher) settle(ctx context.Context, del Delivery, o *Outcome) error {
	return d.persist(ctx, func() error {
		if d.Settled != nil {
			err := d.guard(del, func() error { return d.Settled(ctx, del, o) })
			if transient(err) {
				return err
			}
			if err != nil {
				d.log().Error("outcome could not be worked into its case", d.about(del, "error", err)...)
				o.Result, o.Change = Refused, nil
				o.Cause = issue.New(issue.Internal, "", "the outcome could not be worked into its case").Because(err)
			}
		}
		return d.Store.Settle(ctx, del, *o)
	})
}

func transient(err error) bool {
	return errors.Is(err, ErrUnavailable) || errors.Is(err, ErrStale) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// persist repeats f while the store is unavailable or a decision was stale, and the lease is held.
func (d *Dispatcher) persist(ctx context.Context, f func() error) error {
	for n := 1; ; n++ {
		err := f()
		switch {
		case errors.Is(err, ErrStale) && ctx.Err() == nil:
			continue
		case !errors.Is(err, ErrUnavailable):
			return err
		}
		if !pause(ctx, Backoff{First: 50 * time.Millisecond, Max: time.Second}.Delay(n, 0)) {
			return errors.Join(context.Cause(ctx), err)
		}
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
	case Refused, Unknown:
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
