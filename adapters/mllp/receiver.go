package mllp

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Receiver answers every message, and each one of a batch, as told: the other side for `gateway listen`, the simulators and tests.
// It keeps nothing, so its AA promises nothing.
type Receiver struct {
	Code   string                                // MSA-1: AA, AE or AR; "none": no acknowledgement; empty: AA
	Issues []*issue.Issue                        // what ERR says beside it
	Delay  time.Duration                         // before the answer
	Handle func(ctx context.Context, msg []byte) // called for each message before it is answered; may be nil
	Now    func() time.Time                      // nil: time.Now

	count atomic.Int64
}

// Accept is a flow.Accept for a Server: give it to Server.Serve.
func (r *Receiver) Accept(ctx context.Context, in flow.Received) (flow.Receipt, error) {
	n := r.count.Add(1)
	if r.Handle != nil {
		r.Handle(ctx, in.Raw)
	}
	select {
	case <-time.After(r.Delay):
	case <-ctx.Done():
		return flow.Receipt{}, ctx.Err()
	}
	if r.Code == "none" {
		return flow.Receipt{}, nil
	}
	if !hl7.Several(in.Raw, "") {
		return r.answer(in.Raw, n), nil
	}
	var all flow.Receipt
	for _, raw := range hl7.Split(in.Raw, "").Messages {
		one := r.answer(raw, n)
		all.Answers, all.Refused = append(all.Answers, one.Answer), all.Refused || one.Refused
	}
	return all, nil
}

func (r *Receiver) answer(raw []byte, n int64) flow.Receipt {
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	a := hl7.Ack{Code: r.Code, ControlID: "L" + strconv.FormatInt(n, 10), At: now(), Issues: r.Issues}
	m, err := hl7.Parse(raw)
	if err != nil {
		a.Code, a.Issues = "", []*issue.Issue{issue.From(err)}
		return flow.Receipt{Answer: hl7.Refuse(raw, a), Refused: true}
	}
	return flow.Receipt{Answer: m.Acknowledge(a)}
}

// Received counts the frames so far.
func (r *Receiver) Received() int64 { return r.count.Load() }
