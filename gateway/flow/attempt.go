package flow

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/dermgate/dermgate/mapping/issue"
)

// attempt is one try of one claimed delivery, from the claim to its settlement.
func (d *Dispatcher) attempt(ctx context.Context, del Delivery, l leave) {
	start := time.Now()
	ctx, release := d.hold(ctx, del, l)
	defer release()
	o, err := d.unlessBarred(ctx, &del)
	if o, err = judged(del, o, err); err == nil && o.Result == Retry && o.Untried {
		d.log().Error("a fault of the gateway's own", d.about(del, "error", o.Cause)...)
	}
	verdict := l.after(ctx, del, o, err)
	if err == nil {
		err = d.takeIn(ctx, del, &o)
	}
	if err == nil {
		d.schedule(&o, del, verdict)
		err = d.settle(ctx, &del, &o)
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
func (d *Dispatcher) hold(ctx context.Context, del Delivery, l leave) (context.Context, func()) {
	ctx, lose := context.WithCancelCause(ctx)
	go func() {
		held := time.Now()
		for pause(ctx, d.lease()/3) {
			asked := time.Now()
			err := d.Store.Renew(ctx, del, d.lease())
			l.keep(ctx)
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

// unlessBarred delivers what its case lets go.
func (d *Dispatcher) unlessBarred(ctx context.Context, del *Delivery) (Outcome, error) {
	if d.Before != nil {
		if o, err := d.Before(ctx, del); err != nil || o.Result != "" {
			o.Untried = true
			return o, err
		}
	}
	return d.deliver(ctx, *del)
}

// deliver asks the destination. A panic of it is an internal fault: the delivery is parked, since the same
// bytes would most likely bring it about again.
func (d *Dispatcher) deliver(ctx context.Context, del Delivery) (o Outcome, err error) {
	if u := del.Unfit; u != nil && u.To == del.To {
		return Outcome{Result: Refused, Cause: u.Cause, Untried: true}, nil
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

var (
	errPanic    = errors.New("flow: panic")
	errStopping = errors.New("flow: stopping")
)

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

// schedule says when a delivery comes again, or that it has failed often enough for a person to see it. While the
// breaker is open it comes again with the next probe, so that the most urgent one is what tries.
func (d *Dispatcher) schedule(o *Outcome, del Delivery, v Verdict) {
	now := d.now()
	switch o.Result {
	case Retry:
		if d.Backoff.Spent(del, now) {
			o.Result = Refused
			return
		}
		asked := o.After
		o.After = d.Backoff.Delay(del.Attempt, asked)
		if v.Open && asked == 0 {
			o.After = min(o.After, v.Wait)
		}
	case Again, Delivered, Refused, Unknown, Held:
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
func (d *Dispatcher) settle(ctx context.Context, del *Delivery, o *Outcome) error {
	return d.persist(ctx, func() error {
		if d.Settled != nil {
			err := d.guard(*del, func() error { return d.Settled(ctx, del, o) })
			if transient(err) {
				return err
			}
			if err != nil {
				d.log().Error("outcome could not be worked into its case", d.about(*del, "error", err)...)
				o.Result, o.Change = Refused, nil
				o.Cause = issue.New(issue.Internal, "", "the outcome could not be worked into its case").Because(err)
			}
		}
		o.Hold = d.HoldParked && o.State() == Parked
		return d.Store.Settle(ctx, *del, *o)
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

// leave is how one attempt gives its permit back.
type leave struct {
	d     *Dispatcher
	token string // empty: the Gate was not asked
	n     int
}

func (l leave) keep(ctx context.Context) {
	if l.token != "" {
		l.d.leave(ctx, Leaving{Token: l.token, From: l.n, To: l.n, End: EndKept})
	}
}

// after tells what an attempt came to. Where nothing is limited and nothing amiss, that it went well is no news.
func (l leave) after(ctx context.Context, del Delivery, o Outcome, err error) Verdict {
	e := Leaving{Token: l.token, From: l.n, To: l.n, Lane: del.Lane, End: EndAnswered}
	switch {
	case l.d.Gate == nil:
		return Verdict{}
	case err != nil || o.Untried:
		e.End = EndUnused
	case o.Result == Retry:
		e.End, e.After = EndFailed, o.After
		l.d.amiss.Store(true)
	}
	if e.End != EndFailed && l.token == "" && !l.d.amiss.Load() {
		return Verdict{}
	}
	return l.d.leave(context.WithoutCancel(ctx), e)
}
