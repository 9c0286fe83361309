package main

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/image"
)

// broken are bodies that fail as no disk fails, while they are told to.
type broken struct {
	flow.Bodies
	now atomic.Bool
}

func (b *broken) Put(ctx context.Context, owner string, r io.Reader, mediaType string) (flow.BodyRef, error) {
	if b.now.Load() {
		panic("a fault of the gateway's own")
	}
	return b.Bodies.Put(ctx, owner, r, mediaType)
}

// Photos whose fitting came to grief are parked work: listed, with a task that names them, sent nowhere else, and done by a
// replay, which ends the task.
func TestParkedFittingIsSeenAndReplayed(t *testing.T) {
	t.Parallel()
	gate, bodies := make(chan struct{}), &broken{}
	ctx, w := taking(t, "advice", "photo_types: [jpeg]", "photo_types: [jpeg]", func(w *world) {
		decode := w.app.pipeline.Decode
		w.app.pipeline.Decode = func(ctx context.Context) image.Decode { <-gate; return decode(ctx) }
		bodies.Bodies, w.app.pipeline.Bodies = w.app.pipeline.Bodies, bodies
	})
	if ack := sendMLLP(t, ctx, w, numbered(t, 1, sample(t, "hopper.webp"))); ack.Code != "AA" {
		t.Fatal(ack.Code, troubles(ack))
	}
	bodies.now.Store(true)
	close(gate)
	list := w.parkedList(t, ctx, 2) // one a destination
	bodies.now.Store(false)
	if len(list.Groups) != 1 || list.Groups[0].To != flow.ToPhotos || list.Groups[0].What[0] != flow.FitPhotos || list.Groups[0].Cause == nil {
		t.Fatalf("%+v", list.Groups)
	}
	if out, code := w.operate(ctx, "parked"); code != 0 || !strings.Contains(out, "2      ~photos  fit-photos") {
		t.Errorf("exit %d: %s", code, out)
	}
	open := func() (n int, why string) {
		c, _ := w.onlyCase(t)
		for _, task := range c.Tasks {
			if task.Code == "photos-unfitted" && task.Done.IsZero() {
				n, why = n+1, why+task.Why
			}
		}
		return n, why
	}
	if n, why := open(); n == 0 || !strings.Contains(why, list.Deliveries[0].ID) && !strings.Contains(why, list.Deliveries[1].ID) {
		t.Errorf("%d tasks: %s", n, why)
	}
	id, group := list.Deliveries[0].ID, list.Groups[0].ID
	for _, args := range [][]string{{"redirect", id, "--to", "epr"}, {"replay", id, "--translate"}, {"replay", id, "--to", "epr", "--preview"}} {
		if out, code := w.operate(ctx, append(args, "--reason", "try")...); code != 1 || !strings.Contains(out, "work of the gateway itself") {
			t.Errorf("%v: exit %d: %s", args, code, out)
		}
	}
	if out, code := w.operate(ctx, "replay", id, "--preview", "--reason", "look"); code != 0 || !strings.Contains(out, "not done again") {
		t.Errorf("exit %d: %s", code, out)
	}
	if out, code := w.operate(ctx, "replay", group, "--yes", "--reason", "mended"); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	if err := until(ctx, "both have the request", func() bool { return len(w.ag.Requests()) == 1 && len(w.epr.Messages()) == 1 }); err != nil {
		t.Fatal(err)
	}
	if n, why := open(); n != 0 {
		t.Errorf("%d tasks are open still: %s", n, why)
	}
	w.parkedList(t, ctx, 0)
}

// What removes old things is never given up: it would not begin again.
func TestRetentionIsNotDiscarded(t *testing.T) {
	ctx, w := running(t)
	var prune []flow.Delivery
	err := until(ctx, "retention has begun", func() bool {
		var err error
		prune, err = w.app.store.Deliveries(ctx, flow.DeliveryQuery{To: flow.ToPrune})
		return err == nil && len(prune) == 1
	})
	if err != nil {
		t.Fatal(err)
	}
	if out, code := w.operate(ctx, "discard", prune[0].ID.String(), "--reason", "what is this"); code != 1 || !strings.Contains(out, "nothing old is removed any more") {
		t.Errorf("exit %d: %s", code, out)
	}
}
