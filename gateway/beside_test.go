package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/fixtures"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/gateway/photoworker"
	"github.com/dermgate/dermgate/mapping/image"
)

// numbered is the fixture's request for advice under another number, its overview another photo.
func numbered(t *testing.T, n int, overview []byte) []byte {
	t.Helper()
	b, err := fixtures.Raw("advice.hl7")
	if err != nil {
		t.Fatal(err)
	}
	if overview != nil {
		b = bytes.Replace(b, []byte("${photo L1-overview.jpg}"), []byte(base64.StdEncoding.EncodeToString(overview)), 1)
	}
	b = bytes.ReplaceAll(b, []byte("AG0001"), fmt.Appendf(nil, "AG%04d", n))
	if b, err = fixtures.Fill(b); err != nil {
		t.Fatal(err)
	}
	return b
}

// caseOf gives the case of a control id.
func (w *world) caseOf(t *testing.T, control string) (c pathway.Case, story []flow.Event) {
	t.Helper()
	all, err := w.app.store.Cases(t.Context(), flow.CaseQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if err := json.Unmarshal(r.State, &c); err != nil {
			t.Fatal(err)
		}
		if c.Request.ControlID == control {
			if story, err = w.app.store.Story(t.Context(), r.ID); err != nil {
				t.Fatal(err)
			}
			return c, story
		}
	}
	return pathway.Case{}, nil
}

// More cases than there are workers wait for a decoder that does not come back: another case goes its whole way meanwhile,
// and news of a case that waits are applied after its photos, in their order.
func TestAPhotoBeingMadeToFitHoldsUpNoOtherCase(t *testing.T) {
	t.Parallel()
	gate, begun := make(chan struct{}), atomic.Int32{}
	open := sync.OnceFunc(func() { close(gate) })
	ctx, w := taking(t, "advice", "photo_types: [jpeg]", "photo_types: [jpeg]", func(w *world) {
		decode := w.app.pipeline.Decode
		w.app.pipeline.Decode = func(ctx context.Context) image.Decode {
			real := decode(ctx)
			return func(f image.File, typ image.Type, most int64) (*image.Rows, error) {
				begun.Add(1)
				<-gate
				return real(f, typ, most)
			}
		}
	})
	t.Cleanup(open)
	webp := sample(t, "hopper.webp")
	const waiting = 6 // ~case has 4 workers
	for n := range waiting {
		if ack := sendMLLP(t, ctx, w, numbered(t, 101+n, webp)); ack.Code != "AA" {
			t.Fatal(ack.Code, troubles(ack))
		}
	}
	if err := until(ctx, "decoders have begun", func() bool { return begun.Load() > 0 }); err != nil {
		t.Fatal(err)
	}
	change := bytes.Replace(numbered(t, 101, nil), []byte("REF^I12^REF_I12|AG0101"), []byte("REF^I13^REF_I12|AG0151"), 1)
	if ack := sendMLLP(t, ctx, w, change); ack.Code != "AA" {
		t.Fatal(ack.Code, troubles(ack))
	}
	if ack := sendMLLP(t, ctx, w, numbered(t, 1, nil)); ack.Code != "AA" {
		t.Fatal(ack.Code, troubles(ack))
	}
	if err := until(ctx, "another case is sent", func() bool { return len(w.ag.Requests()) == 1 && len(w.epr.Messages()) == 1 }); err != nil {
		t.Fatal(err)
	}
	err := w.ag.Answer(ctx, w.ag.Requests()[0].ID, sim.Advice{Outcome: "RETURN_TO_REFERRER_WITH_ADVICE", Recommendation: "ADVICE_ONLY_NO_REFERRAL_RECOMMENDED", Priority: "ROUTINE", Guidance: "Benign."})
	if err != nil {
		t.Fatal(err)
	}
	if err := until(ctx, "another case is answered", func() bool { c, _ := w.caseOf(t, "AG0001"); return c.State == pathway.Responded }); err != nil {
		t.Fatal(err)
	}
	c, story := w.caseOf(t, "AG0101")
	if amended(story) >= 0 || len(c.Fitting) == 0 || len(w.ag.Requests()) != 1 {
		t.Errorf("%v, %d requests: %+v", c.Fitting, len(w.ag.Requests()), story)
	}
	open()
	if err := until(ctx, "all are sent", func() bool { return len(w.ag.Requests()) == 1+waiting && len(w.epr.Messages()) == 1+waiting }); err != nil {
		t.Fatal(err, len(w.ag.Requests()), len(w.epr.Messages()))
	}
	if err := until(ctx, "the change is applied", func() bool { _, story = w.caseOf(t, "AG0101"); return amended(story) >= 0 }); err != nil {
		t.Fatal(err)
	}
	fitted := 0
	for _, e := range story[:amended(story)] {
		if e.What == "photo" && strings.Contains(e.Text, ": converted") {
			fitted++
		}
	}
	if c, _ = w.caseOf(t, "AG0101"); fitted == 0 || len(c.Fitting) > 0 {
		t.Errorf("the change went before the photos, or they still wait: %v %+v", c.Fitting, story)
	}
}

func amended(story []flow.Event) int {
	return slices.IndexFunc(story, func(e flow.Event) bool { return e.What == "received" && strings.HasPrefix(e.Text, flow.Amended) })
}

// A decoder that dies refuses its photo and no other: a suspected cancer goes with the rest, and its requester is told.
func TestADecoderThatDiesRefusesItsPhotoAlone(t *testing.T) {
	t.Parallel()
	ctx, w := taking(t, "referral", "photo_types: [jpeg]", "photo_types: [jpeg]", func(w *world) {
		decode := w.app.pipeline.Decode
		dying := photoworker.Decoder{Command: []string{"false"}}
		w.app.pipeline.Decode = func(ctx context.Context) image.Decode {
			return func(f image.File, typ image.Type, most int64) (*image.Rows, error) {
				if typ == image.WebP {
					return dying.Decode(ctx)(f, typ, most)
				}
				return decode(ctx)(f, typ, most)
			}
		}
	})
	sendWith(t, ctx, w, "suspected-cancer.hl7", map[string][]byte{"L1-overview": sample(t, "hopper.webp"), "L1-dermoscopic": sample(t, "cheers_1440x960.heic")})
	if err := until(ctx, "both have it", func() bool { return len(w.epr.Messages()) > 0 && len(w.ag.Requests()) > 0 }); err != nil {
		t.Fatal(err)
	}
	for to, got := range map[string][]sim.Photo{"epr": w.epr.Messages()[0].Photos, "ag": w.ag.Requests()[0].Photos} {
		if len(got) != 1 || got[0].Type != "image/jpeg" {
			t.Errorf("%s has %d photos", to, len(got))
		}
	}
	hasTask(t, w, "photo-too-large", "a photo that its decoder broke on")
}
