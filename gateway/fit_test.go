package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/fixtures"
	"github.com/dermgate/dermgate/fixtures/photos"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// limited is the demo with a request that goes to the A&G platform and to the EPR, each of which takes photos
// of so many bytes.
func limited(t *testing.T, kind string, ag, epr int) (context.Context, *world) {
	t.Helper()
	return taking(t, kind, fmt.Sprintf("photo_bytes: %dB", ag), fmt.Sprintf("photo_bytes: %dB", epr))
}

// taking is the demo with a request that goes to the A&G platform and to the EPR, each with its own keys about photos.
func taking(t *testing.T, kind, ag, epr string, before ...func(*world)) (context.Context, *world) {
	t.Helper()
	gin.SetMode(gin.ReleaseMode)
	text := string(demoConfig)
	for old, with := range map[string]string{
		`base_url: "${AG}", mode: message`:                        `base_url: "${AG}", mode: message, ` + ag,
		`message: REF_I12, version: "2.4"`:                        `message: REF_I12, version: "2.4", ` + epr,
		"{when: {case: " + kind + "}, to: [" + first(kind) + "]}": "{when: {case: " + kind + "}, to: [ag, epr]}",
		`photos: {url: "file://${DIR}/photos"}`:                   `photos: {url: "file://${DIR}/photos", floor: {side: 600}}`,
	} {
		if !strings.Contains(text, old) {
			t.Fatalf("the demo has no %s", old)
		}
		text = strings.Replace(text, old, with, 1)
	}
	return runningBy(t, []byte(text), 4*time.Minute, before...)
}

func first(kind string) string {
	if kind == "advice" {
		return "ag"
	}
	return "ers"
}

// sendWith sends a request some of whose photos are others, and wants AA.
func sendWith(t *testing.T, ctx context.Context, w *world, name string, sent map[string][]byte) {
	t.Helper()
	if ack := exchangeWith(t, ctx, w, name, sent); ack.Code != "AA" {
		t.Fatalf("%s%s", ack.Code, troubles(ack))
	}
}

// exchangeWith sends such a request, and gives the acknowledgement.
func exchangeWith(t *testing.T, ctx context.Context, w *world, name string, sent map[string][]byte) hl7.Answer {
	t.Helper()
	message, err := fixtures.Raw(name)
	if err != nil {
		t.Fatal(err)
	}
	for mark, photo := range sent {
		was := len(message)
		if message = bytes.Replace(message, []byte("${photo "+mark+".jpg}"), []byte(base64.StdEncoding.EncodeToString(photo)), 1); len(message) == was {
			t.Fatalf("no %s in %s", mark, name)
		}
	}
	if message, err = fixtures.Fill(message); err != nil {
		t.Fatal(err)
	}
	return sendMLLP(t, ctx, w, message)
}

// sendMLLP sends a message over MLLP and gives the acknowledgement.
func sendMLLP(t *testing.T, ctx context.Context, w *world, message []byte) hl7.Answer {
	t.Helper()
	conn, err := mllp.Dial(ctx, w.mllp(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.Exchange(ctx, message)
	if err != nil {
		t.Fatal(err)
	}
	ack, err := hl7.ParseAck(raw)
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

// onlyCase gives the one case there is.
func (w *world) onlyCase(t *testing.T) (c pathway.Case, story []flow.Event) {
	t.Helper()
	records, err := w.app.store.Cases(t.Context(), flow.CaseQuery{})
	if err != nil || len(records) != 1 {
		t.Fatalf("%d cases, %v", len(records), err)
	}
	if err := json.Unmarshal(records[0].State, &c); err != nil {
		t.Fatal(err)
	}
	if story, err = w.app.store.Story(t.Context(), records[0].ID); err != nil {
		t.Fatal(err)
	}
	return c, story
}

// A request with a large and a small photo goes to two destinations of different limits: each gets what it
// takes, the originals stay, and the story and the message tell what was done.
func TestEachDestinationGetsThePhotosItTakes(t *testing.T) {
	t.Parallel()
	clean := photos.Lesion{Seed: 3, View: photos.CloseUp, Width: 1200, Height: 900, Quality: 97}.JPEG()
	large := photos.WithPrivate(clean, 6)
	small, err := photos.File("L1-overview.jpg")
	if err != nil {
		t.Fatal(err)
	}
	ag, epr := len(clean)*96/100, len(clean)/3
	ctx, w := limited(t, "advice", ag, epr)
	sendWith(t, ctx, w, "advice.hl7", map[string][]byte{"L1-closeup": large, "L1-overview": small})
	if err := until(ctx, "both have the request", func() bool { return len(w.ag.Requests()) > 0 && len(w.epr.Messages()) > 0 }); err != nil {
		_, story := w.onlyCase(t)
		t.Fatal(err, len(w.ag.Requests()), len(w.epr.Messages()), story)
	}
	atAG, atEPR := w.ag.Requests()[0].Photos, w.epr.Messages()[0].Photos
	if len(atAG) != 3 || len(atEPR) != 3 {
		t.Fatalf("%d and %d photos arrived", len(atAG), len(atEPR))
	}
	c, story := w.onlyCase(t)
	for i, ph := range c.Photos {
		sameBytes := ph.Size <= int64(epr)
		for name, got := range map[string]sim.Photo{"ag": atAG[i], "epr": atEPR[i]} {
			most := map[string]int{"ag": ag, "epr": epr}[name]
			conf, err := jpeg.DecodeConfig(bytes.NewReader(got.Bytes))
			if err != nil || len(got.Bytes) > most || bytes.Contains(got.Bytes, []byte("Testcase")) {
				t.Errorf("photo %d at %s: %d bytes of %d, %v", i+1, name, len(got.Bytes), most, err)
			}
			if sum := fmt.Sprintf("%x", sha256.Sum256(got.Bytes)); (sum == ph.SHA256) != sameBytes {
				t.Errorf("photo %d at %s: fits: %t, but the bytes: %s, %s", i+1, name, sameBytes, sum, ph.SHA256)
			}
			if !sameBytes && (conf.Width == 1200) != (name == "ag") {
				t.Errorf("photo %d at %s is %d pixels wide", i+1, name, conf.Width)
			}
		}
		if !sameBytes {
			if len(ph.Fits) != 2 || ph.Original != fmt.Sprintf("%x", sha256.Sum256(large)) {
				t.Errorf("photo %d: %+v", i+1, ph)
			}
			original, err := w.app.pipeline.Bodies.Open(ctx, flow.BodyRef{Blob: ph.Keep})
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(original); err != nil || !bytes.Equal(b, large) {
				t.Errorf("the original is not kept: %d bytes, %v", len(b), err)
			}
			original.Close()
		}
	}
	for _, e := range story {
		if e.What == "photo" {
			t.Logf("story: %s", e.Text)
		}
	}
	for _, want := range []string{"photo 2 for ag: optimised, ", "photo 2 for epr: resized to "} {
		if !slices.ContainsFunc(story, func(e flow.Event) bool { return e.What == "photo" && strings.HasPrefix(e.Text, want) }) {
			t.Errorf("the story has no %q: %+v", want, story)
		}
	}
}

// A photo that cannot be made to fit stops an advice request: it is parked where a person sees it, with its
// photos, and its requester has a task.
func TestAPhotoThatCannotFitIsParkedAndTold(t *testing.T) {
	t.Parallel()
	photo := photos.Lesion{Seed: 3, View: photos.CloseUp, Width: 900, Height: 675, Quality: 95}.JPEG()
	ctx, w := limited(t, "advice", 36_000, 1<<20)
	sendWith(t, ctx, w, "advice.hl7", map[string][]byte{"L1-closeup": photo})
	id := w.parkedID(t, ctx)
	if err := until(ctx, "the EPR has it", func() bool { return len(w.epr.Messages()) > 0 }); err != nil {
		t.Fatal(err)
	}
	if n := len(w.ag.Requests()); n > 0 {
		t.Errorf("%d requests reached the platform", n)
	}
	c, _ := w.onlyCase(t)
	if !slices.ContainsFunc(c.Tasks, func(k pathway.Task) bool { return k.Code == "send-failed" }) {
		t.Errorf("operations have no task: %+v", c.Tasks)
	}
	task := slices.IndexFunc(c.Tasks, func(k pathway.Task) bool { return k.Code == "photo-too-large" })
	if task < 0 || !strings.Contains(c.Tasks[task].Why, "photo 2 for ag: a photo that cannot be brought to 36000 bytes") || c.Tasks[task].Owner == "" {
		t.Errorf("tasks: %+v", c.Tasks)
	}
	if out, code := w.operate(ctx, "replay", id, "--reason", "try again"); code != 0 {
		t.Error(out)
	}
	if again := w.parkedID(t, ctx); again != id {
		t.Errorf("a replay is refused as before: %s, not %s", again, id)
	}
	if n := len(w.ag.Requests()); n > 0 {
		t.Errorf("%d requests reached the platform", n)
	}
}

// A suspected cancer does not wait for a photo that cannot be made to fit: the request goes without it.
func TestSuspectedCancerGoesWithoutAPhotoThatCannotFit(t *testing.T) {
	t.Parallel()
	photo := photos.Lesion{Seed: 3, View: photos.CloseUp, Width: 900, Height: 675, Quality: 95}.JPEG()
	ctx, w := limited(t, "referral", 1<<20, 36_000)
	sendWith(t, ctx, w, "suspected-cancer.hl7", map[string][]byte{"L1-overview": photo})
	if err := until(ctx, "both have it", func() bool { return len(w.epr.Messages()) > 0 && len(w.ag.Requests()) > 0 }); err != nil {
		t.Fatal(err)
	}
	c, _ := w.onlyCase(t)
	if at, all := len(w.epr.Messages()[0].Photos), len(c.Photos); at != all-1 || len(w.ag.Requests()[0].Photos) != all {
		t.Errorf("of %d photos %d reached the EPR, %d the platform", all, at, len(w.ag.Requests()[0].Photos))
	}
	if !slices.ContainsFunc(c.Tasks, func(k pathway.Task) bool { return k.Code == "photo-too-large" }) {
		t.Errorf("nobody is told: %+v", c.Tasks)
	}
}

// The photos of a referral are made to fit e-RS before they are uploaded.
func TestTheReferralSystemGetsPhotosThatFit(t *testing.T) {
	t.Parallel()
	photo := photos.Lesion{Seed: 5, View: photos.Overview, Width: 1300, Height: 975, Quality: 96}.JPEG()
	limit := len(photo) * 85 / 100
	ctx, w := runningBy(t, []byte(strings.Replace(string(demoConfig), `service: "7654321"`, fmt.Sprintf("service: \"7654321\"\n    photo_bytes: %dB", limit), 1)), 90*time.Second)
	sendWith(t, ctx, w, "suspected-cancer.hl7", map[string][]byte{"L1-overview": photo})
	var uploads map[string]sim.Upload
	if err := until(ctx, "three files are uploaded", func() bool { uploads = w.ers.Uploads(); return len(uploads) == 3 }); err != nil {
		t.Fatal(err, len(uploads))
	}
	c, _ := w.onlyCase(t)
	for _, u := range uploads {
		if u.Name == c.Photos[0].Name && (len(u.Body) > limit || len(u.Body) < limit/2 || c.Photos[0].Fits[0].Size != int64(len(u.Body))) {
			t.Errorf("%d bytes of %d: %+v", len(u.Body), limit, c.Photos[0])
		}
	}
}
