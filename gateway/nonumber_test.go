package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/observe"
)

// watched is a store that notes everything about a change but the bytes of messages and of what is sent: keys, cross-references, the
// places where a case is found, its state and story, facts, notes, lanes.
type watched struct {
	flow.Store
	mu    sync.Mutex
	kinds map[string]int
	seen  []byte
}

func (w *watched) note(c flow.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.Message != nil {
		m := *c.Message
		m.Raw.Inline, m.Receipt.Answer = nil, nil
		w.kinds["message"]++
		w.add(string(m.Facts), m.Idem.Key)
		c.Message = &m
	}
	if c.Case != nil {
		w.kinds["case"]++
		w.add(string(c.Case.Record.State))
	}
	w.kinds["ref"] += len(c.Refs)
	ds := append([]flow.Delivery(nil), c.Deliveries...)
	for i := range ds {
		w.kinds["delivery"]++
		ds[i].Body.Inline = nil
	}
	c.Deliveries = ds
	w.add(c)
}

func (w *watched) add(things ...any) {
	for _, x := range things {
		b, err := json.Marshal(x)
		if err != nil {
			panic(err)
		}
		w.seen = append(append(w.seen, b...), '\n')
	}
}

func (w *watched) Put(ctx context.Context, c flow.Change) (flow.Receipt, error) {
	w.note(c)
	return w.Store.Put(ctx, c)
}

func (w *watched) Settle(ctx context.Context, d flow.Delivery, o flow.Outcome) error {
	if o.Change != nil {
		w.note(*o.Change)
	}
	return w.Store.Settle(ctx, d, o)
}

// No patient stands in anything that a store keeps of a case but the messages themselves: it is found by a keyed hash.
func TestNoPatientInWhatAStoreFindsThingsBy(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	w, err := startWorld(ctx, demoConfig, [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}, observe.NewLogger(io.Discard, slog.LevelInfo))
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	store := &watched{Store: w.app.store, kinds: map[string]int{}}
	w.app.pipeline.Store = store
	for _, worker := range w.app.workers {
		worker.Store = store
	}
	running, end := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- w.app.run(running) }()
	played := w.play(ctx, stdio{nil, io.Discard, io.Discard})
	end()
	if err := <-done; err != nil || !played {
		t.Fatalf("played: %v, %v", played, err)
	}
	for _, kind := range []string{"message", "case", "ref", "delivery"} {
		if store.kinds[kind] < 3 {
			t.Errorf("%d of kind %s were looked at", store.kinds[kind], kind)
		}
	}
	noPatients(t, "what the store was given", store.seen)
	key := w.app.pipeline.PatientKey("9990001022")
	if key == "" || len(key) != 32 {
		t.Errorf("found by %q", key)
	}
}
