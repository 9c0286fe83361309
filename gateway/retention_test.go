package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/observe"
)

// longRunning starts a gateway whose clock is a hundred days slow: what happens in it is old at once by the store's.
func longRunning(t *testing.T) (context.Context, *world) {
	t.Helper()
	return runningBy(t, demoConfig, time.Minute, func(w *world) {
		w.app.pipeline.Now = func() time.Time { return time.Now().Add(-100 * 24 * time.Hour) }
	})
}

// pass takes the steps of retention from the beginning to the end, after a time.
func (w *world) pass(t *testing.T, ctx context.Context, keep time.Duration) {
	t.Helper()
	r := w.app.retention()
	r.Keep = keep
	for d := (flow.Delivery{}); ; {
		o, err := r.Deliver(ctx, d, nil)
		if err != nil {
			t.Fatal(err)
		}
		if d.Note = o.Note; o.After >= time.Minute {
			return
		}
	}
}

// Three requests with their photos come, are answered and end. After their time nothing of them is left in the store, in the
// folder of photos and for who asks, but the audit log, which tells what went and names nobody.
func TestWhatHasEndedIsRemovedWhole(t *testing.T) {
	ctx, w := longRunning(t)
	if !w.play(ctx, stdio{nil, io.Discard, io.Discard}) {
		t.Fatal("the cases did not come to their end")
	}
	before, err := w.app.store.Cases(ctx, flow.CaseQuery{})
	if err != nil || len(before) != 3 {
		t.Fatalf("%d cases, %v", len(before), err)
	}
	w.pass(t, ctx, w.app.cfg.Store.Retain)
	w.pass(t, ctx, time.Millisecond) // messages bear the time of their source
	if left, err := w.app.store.Cases(ctx, flow.CaseQuery{}); err != nil || len(left) != 0 {
		t.Errorf("%d cases left, %v", len(left), err)
		for _, c := range left {
			ds, _ := w.app.store.Deliveries(ctx, flow.DeliveryQuery{Case: c.ID})
			for _, d := range ds {
				t.Logf("%s %s %s %s", c.Index.State, d.To, d.What, d.State)
			}
		}
	}
	messages, _, err := w.app.store.OldMessages(ctx, flow.Old{})
	if err != nil || len(messages) != 0 {
		t.Errorf("%d messages left, %v", len(messages), err)
	}
	for _, to := range []string{"", flow.ToCase, flow.ToClock} {
		if ds, err := w.app.store.Deliveries(ctx, flow.DeliveryQuery{To: to}); err != nil || len(ds) != 0 {
			t.Errorf("%d deliveries left for %q, %v", len(ds), to, err)
		}
	}
	if names := photoFiles(t, w.app.cfg.Photos.Folder); len(names) != 0 {
		t.Errorf("left of the photos: %v", names)
	}
	base := "http://" + w.app.public.Addr().String() + "/fhir"
	if n := search(t, base, "ServiceRequest", url.Values{"identifier": {"urn:id:EMIS|REFUSC0001"}}).Root.Child("total").Text(); n != "0" {
		t.Errorf("%s requests are found", n)
	}
	pruned(t, auditLog(w.app.cfg), before)
}

// photoFiles gives the sealed objects in a folder.
func photoFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && len(d.Name()) == 64 {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// pruned wants a whole audit log that tells of the removal of each case.
func pruned(t *testing.T, log string, cases []flow.CaseRecord) {
	t.Helper()
	if _, err := observe.Verify(log); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	noPatients(t, "the audit log", text)
	var what []string
	for line := range bytes.Lines(text) {
		var e observe.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		if e.Verb == "prune" {
			what = append(what, e.What)
		}
	}
	for _, c := range cases {
		if !slices.Contains(what, "case/"+c.ID.String()) {
			t.Errorf("the removal of case %s is not in the audit log", c.ID)
		}
	}
}

// What belongs to nobody goes a day after it was written, audited; what belongs to somebody stays.
func TestWhatBelongsToNobodyIsCollected(t *testing.T) {
	ctx, w := running(t)
	if err := w.sendHL7(ctx, &teller{out: io.Discard}, "suspected-cancer.hl7"); err != nil {
		t.Fatal(err)
	}
	owned := photoFiles(t, w.app.cfg.Photos.Folder)
	orphan, err := w.app.photos.Put(ctx, flow.NewID(1, "nobody").String(), strings.NewReader("photo"))
	if err != nil {
		t.Fatal(err)
	}
	young, err := w.app.photos.Put(ctx, flow.NewID(2, "nobody yet").String(), strings.NewReader("photo"))
	if err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-25 * time.Hour)
	for _, path := range append(owned, filepath.Join(w.app.cfg.Photos.Folder, orphan.Name)) {
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	w.pass(t, ctx, w.app.cfg.Store.Retain)
	left := photoFiles(t, w.app.cfg.Photos.Folder)
	if len(owned) == 0 || len(left) < len(owned)+1 || slices.ContainsFunc(left, func(p string) bool { return strings.HasSuffix(p, orphan.Name) }) ||
		!slices.ContainsFunc(left, func(p string) bool { return strings.HasSuffix(p, young.Name) }) {
		t.Errorf("%d were owned; left: %v", len(owned), left)
	}
	log, err := os.ReadFile(auditLog(w.app.cfg))
	if err != nil || !strings.Contains(string(log), "object/"+orphan.Name) {
		t.Errorf("not audited: %v", err)
	}
}
