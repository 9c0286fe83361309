package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/observe"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// running starts a gateway with its simulated outside for a test.
func running(t *testing.T) (context.Context, *world) {
	t.Helper()
	return runningBy(t, demoConfig, time.Minute)
}

// runningBy starts one by another configuration, and gives the test so much time; before may change it before it runs.
func runningBy(t *testing.T, config []byte, within time.Duration, before ...func(*world)) (context.Context, *world) {
	t.Helper()
	gin.SetMode(gin.ReleaseMode)
	ctx, stop := context.WithTimeout(context.Background(), within)
	w, err := startWorld(ctx, config, [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}, observe.NewLogger(io.Discard, slog.LevelInfo))
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range before {
		change(w)
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

// answerer is a receiver of HL7 v2 that answers as it is told.
func answerer(t *testing.T, code *atomic.Value) (address string, got func() []string) {
	t.Helper()
	var mu sync.Mutex
	var came []string
	server := &mllp.Server{Name: "epr", Addr: "127.0.0.1:0"}
	if err := server.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- server.Serve(ctx, func(_ context.Context, r flow.Received) (flow.Receipt, error) {
			m, err := hl7.Parse(r.Raw)
			if err != nil {
				return flow.Receipt{}, err
			}
			mu.Lock()
			came = append(came, string(r.Raw))
			mu.Unlock()
			return flow.Receipt{Answer: m.Acknowledge(hl7.Ack{Code: code.Load().(string), ControlID: "A1", At: time.Now()})}, nil
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return server.Address(), func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(came) }
}

// eprGateway is a gateway that brings referrals to a receiver which answers with a code.
func eprGateway(t *testing.T) (ctx context.Context, w *world, code *atomic.Value, got func() []string, send func(n int)) {
	t.Helper()
	code = &atomic.Value{}
	code.Store("AE")
	sink, got := answerer(t, code)
	dir, address := t.TempDir(), freePort(t)
	if err := os.WriteFile(filepath.Join(dir, "photo.key"), bytes.Repeat([]byte("ab"), 32), 0o600); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(crashConfig, fmt.Sprintf("{embedded: {path: %s/gateway.db}}", dir), dir, dir, "127.0.0.1:0", "127.0.0.1:0", address, sink)
	cfg, err := config.Parse("gateway.yaml", []byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	a, err := build(ctx, cfg, observe.NewLogger(io.Discard, slog.LevelInfo))
	if err != nil {
		t.Fatal(err)
	}
	running, end := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- a.run(running) }()
	t.Cleanup(func() {
		end()
		if err := <-done; err != nil {
			t.Error(err)
		}
		stop()
	})
	var conn *mllp.Conn
	return ctx, &world{app: a}, code, got, func(n int) {
		t.Helper()
		if code, err := exchange(&conn, address, referral(n)); code != "AA" {
			t.Fatalf("%s %v", code, err)
		}
	}
}

// parkedList gives what `gateway parked` tells, once so many are parked.
func (w *world) parkedList(t *testing.T, ctx context.Context, n int) (list parkedList) {
	t.Helper()
	err := until(ctx, fmt.Sprintf("%d are parked", n), func() bool {
		list = parkedList{}
		out, code := w.operate(ctx, "parked", "--json")
		return code == 0 && json.Unmarshal([]byte(out), &list) == nil && len(list.Deliveries) == n
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// sentUnder gives MSH-10 of a message.
func sentUnder(message string) string { return strings.Split(message, "|")[9] }

// Many of one cause are one group, looked at first and replayed together; a person sees what a child would be, sends it in
// the place of its parent, and an edited message is the parent's child too.
func TestAGroupIsPreviewedAndReplayedAndAChildTakesItsParentsPlace(t *testing.T) {
	ctx, w, code, got, send := eprGateway(t)
	for n := range 4 {
		send(n)
	}
	list := w.parkedList(t, ctx, 4)
	if len(list.Groups) != 1 || list.Groups[0].Count != 4 || list.Groups[0].To != "sink" {
		t.Fatalf("groups %+v", list.Groups)
	}
	group, first := list.Groups[0].ID, list.Deliveries[0].ID
	if out, code := w.operate(ctx, "parked"); code != 0 || !strings.Contains(out, group) || !strings.Contains(out, "answered AE") {
		t.Errorf("exit %d: %s", code, out)
	}
	before := len(got())
	if out, code := w.operate(ctx, "replay", group, "--reason", "mended"); code != 0 || !strings.Contains(out, "replay 4 deliveries to sink") || !strings.Contains(out, "--yes") {
		t.Errorf("a group without --yes: exit %d: %s", code, out)
	}

	// The first is translated again: a child under its own key.
	out, exit := w.operate(ctx, "replay", first, "--preview", "--translate", "--reason", "look")
	if exit != 0 || !strings.Contains(out, "same as parked         false") && !strings.Contains(out, "false") || !strings.Contains(out, "a new key") {
		t.Errorf("exit %d: %s", exit, out)
	}
	if len(got()) != before {
		t.Error("a preview sent something")
	}
	code.Store("AA")
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { w.operate(ctx, "replay", first, "--translate", "--reason", "the map is mended") })
	}
	both.Wait()
	w.parkedList(t, ctx, 3)
	if err := until(ctx, "the child is there", func() bool { return len(got()) == before+1 }); err != nil {
		t.Fatal(err)
	}
	child := got()[before]
	if old := got()[0]; sentUnder(child) == sentUnder(old) || strings.SplitN(child, "\r", 2)[1] != strings.SplitN(old, "\r", 2)[1] {
		t.Errorf("the child:\n%s\nits parent:\n%s", child, old)
	}

	// The second is edited by hand.
	second := list.Deliveries[1].ID
	edited, exit := w.operate(ctx, "content", second)
	if exit != 0 || !strings.HasPrefix(edited, "MSH|") {
		t.Fatalf("exit %d: %s", exit, edited)
	}
	file := filepath.Join(t.TempDir(), "edited.hl7")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(edited, "Itchy plaque", "Itchy plaques")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, exit := w.operate(ctx, "replay", second, "--content", file, "--reason", "a word was missing"); exit != 0 {
		t.Fatalf("exit %d: %s", exit, out)
	}
	if err := until(ctx, "the edited one is there", func() bool { return len(got()) == before+2 }); err != nil {
		t.Fatal(err)
	}
	if last := got()[before+1]; !strings.Contains(last, "Itchy plaques") || sentUnder(last) == sentUnder(edited) {
		t.Errorf("sent:\n%s", last)
	}
	var parent flow.ID
	if err := parent.UnmarshalText([]byte(second)); err != nil {
		t.Fatal(err)
	}
	if err := until(ctx, "a delivery that is done names its parent", func() bool {
		ds, err := w.app.store.Deliveries(ctx, flow.DeliveryQuery{To: "sink", State: flow.Done})
		return err == nil && slices.ContainsFunc(ds, func(d flow.Delivery) bool { return d.Parent == parent })
	}); err != nil {
		t.Error(err)
	}

	// The rest go together, each once, however often it is pressed.
	w.parkedList(t, ctx, 2)
	for range 2 {
		both.Go(func() { w.operate(ctx, "replay", group, "--yes", "--rate", "20", "--reason", "mended") })
	}
	both.Wait()
	w.parkedList(t, ctx, 0)
	if err := until(ctx, "all are there", func() bool { return len(got()) >= before+4 }); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if n := len(got()); n != before+4 {
		t.Errorf("%d arrived after all were parked, want 4", n-before)
	}
	if out, exit := w.operate(ctx, "replay", first, "--content", file, "--reason", "again"); exit != 1 || !strings.Contains(out, "discarded") {
		t.Errorf("a replaced delivery is replayed: exit %d: %s", exit, out)
	}
}

// Bytes for one kind of system do not go to another as they are.
func TestARedirectFitsItsDestination(t *testing.T) {
	ctx, w := running(t)
	w.ers.Fail(sim.Fault{Call: "A011", Status: http.StatusForbidden})
	if err := w.sendHL7(ctx, &teller{out: io.Discard}, "suspected-cancer.hl7"); err != nil {
		t.Fatal(err)
	}
	id := w.parkedID(t, ctx)
	for to, says := range map[string]string{"epr": "has to be translated again", "nobody": "no such destination"} {
		if out, code := w.operate(ctx, "redirect", id, "--to", to, "--reason", "e-RS is closed"); code != 1 || !strings.Contains(out, says) {
			t.Errorf("to %s: exit %d: %s", to, code, out)
		}
	}
	if out, code := w.operate(ctx, "redirect", id, "--to", "epr", "--translate", "--reason", "e-RS is closed"); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	if err := until(ctx, "the hospital has it", func() bool {
		ds, err := w.app.store.Deliveries(ctx, flow.DeliveryQuery{To: "epr", State: flow.Done})
		return err == nil && len(ds) > 0
	}); err != nil {
		t.Fatal(err)
	}
}
