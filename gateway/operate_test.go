package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/gateway/observe"
	"github.com/dermgate/dermgate/gateway/pathway"
)

// running starts a gateway with its simulated outside for a test.
func running(t *testing.T) (context.Context, *world) {
	t.Helper()
	return runningBy(t, demoConfig, time.Minute)
}

// runningBy starts one by another configuration, and gives the test so much time.
func runningBy(t *testing.T, config []byte, within time.Duration) (context.Context, *world) {
	t.Helper()
	gin.SetMode(gin.ReleaseMode)
	ctx, stop := context.WithTimeout(context.Background(), within)
	w, err := startWorld(ctx, config, [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}, observe.NewLogger(io.Discard, slog.LevelInfo))
	if err != nil {
		t.Fatal(err)
	}
	running, end := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- w.app.run(running) }()
	t.Cleanup(func() {
		end()
		if err := <-done; err != nil {
			t.Error(err)
		}
		w.close()
		stop()
	})
	return ctx, w
}

// operate runs a verb against the gateway and gives what it printed.
func (w *world) operate(ctx context.Context, args ...string) (string, int) {
	var out bytes.Buffer
	code := run(ctx, append(args, "--server", "http://"+w.app.admin.Addr().String()), stdio{nil, &out, &out})
	return out.String(), code
}

// parkedID gives the only parked delivery, as `gateway parked` shows it.
func (w *world) parkedID(t *testing.T, ctx context.Context) string {
	t.Helper()
	var list struct{ Deliveries []struct{ ID string } }
	err := until(ctx, "a delivery is parked", func() bool {
		out, code := w.operate(ctx, "parked", "--json")
		return code == 0 && json.Unmarshal([]byte(out), &list) == nil && len(list.Deliveries) == 1
	})
	if err != nil {
		t.Fatal(err)
	}
	return list.Deliveries[0].ID
}

func (w *world) await(t *testing.T, ctx context.Context, s pathway.State) pathway.Case {
	t.Helper()
	if err := until(ctx, "the case is "+string(s), func() bool { return onlyCase(t, ctx, w).State == s }); err != nil {
		t.Fatalf("%v: it is %s", err, onlyCase(t, ctx, w).State)
	}
	return onlyCase(t, ctx, w)
}

// What e-RS refuses is parked, somebody is asked, and a person who replays it (two at once) sends it once.
func TestARefusedReferralIsParkedAndReplayedOnce(t *testing.T) {
	ctx, w := running(t)
	w.ers.Fail(sim.Fault{Call: "A011", Status: http.StatusForbidden})
	if err := w.sendHL7(ctx, &teller{out: io.Discard}, "suspected-cancer.hl7"); err != nil {
		t.Fatal(err)
	}
	c := w.await(t, ctx, pathway.SendFailed)
	if len(c.Tasks) != 1 || c.Tasks[0].Code != "send-failed" || c.Tasks[0].Owner == "" {
		t.Errorf("nobody is asked to act: %+v", c.Tasks)
	}
	id := w.parkedID(t, ctx)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { w.operate(ctx, "replay", id, "--reason", "access is granted now") })
	}
	wg.Wait()
	c = w.await(t, ctx, pathway.AwaitingTriage)
	if n := len(w.ers.Requests("r")); n != 1 {
		t.Errorf("%d referrals in e-RS", n)
	}
	if c.Tasks[0].Done.IsZero() {
		t.Error("the task is still open")
	}
	if out, code := w.operate(ctx, "trace", c.ID); code != 0 || !strings.Contains(out, "access is granted now") {
		t.Errorf("the story does not tell who replayed and why:\n%s", out)
	}
}

// A create whose answer was lost is never made again by machine: a person says what e-RS shows, and it goes
// on from there.
func TestALostCreateIsResolvedByAPerson(t *testing.T) {
	ctx, w := running(t)
	w.ers.Fail(sim.Fault{Call: "A011", DropAfter: true})
	if err := w.sendHL7(ctx, &teller{out: io.Discard}, "suspected-cancer.hl7"); err != nil {
		t.Fatal(err)
	}
	w.await(t, ctx, pathway.SendFailed)
	id := w.parkedID(t, ctx)
	created := w.ers.Requests("r")
	if len(created) != 1 {
		t.Fatalf("%d referrals in e-RS: the fault was to come after the create", len(created))
	}
	if out, code := w.operate(ctx, "resolve", id, "--ubrn", "12", "--reason", "seen"); code != 1 {
		t.Errorf("a UBRN of two digits: exit %d, %s", code, out)
	}
	if out, code := w.operate(ctx, "resolve", id, "--ubrn", created[0], "--reason", "seen in e-RS"); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	c := w.await(t, ctx, pathway.AwaitingTriage)
	if c.Channel["ubrn"] != created[0] || len(w.ers.Requests("r")) != 1 {
		t.Errorf("the case has %s, e-RS %v", c.Channel["ubrn"], w.ers.Requests("r"))
	}
}
