package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/fixtures/photos"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// tiled is a photo of many pixels that is painted quickly: one of 1000 by 750 over and over.
func tiled(t testing.TB, across, down, quality int) []byte {
	t.Helper()
	one, err := jpeg.Decode(bytes.NewReader(photos.Lesion{Seed: 3, View: photos.CloseUp, Width: 1000, Height: 750, Quality: 100}.JPEG()))
	if err != nil {
		t.Fatal(err)
	}
	all := image.NewRGBA(image.Rect(0, 0, across*1000, down*750))
	for y := range down {
		for x := range across {
			draw.Draw(all, image.Rect(x*1000, y*750, (x+1)*1000, (y+1)*750), one, image.Point{}, draw.Src)
		}
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, all, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func sha(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// outbound gives the Bundle that went to a destination.
func (w *world) outbound(t *testing.T, ctx context.Context, to, what string) *fhir.Bundle {
	t.Helper()
	c, _ := w.onlyCase(t)
	id, err := flow.ParseID(c.ID)
	if err != nil {
		t.Fatal(err)
	}
	all, err := w.app.store.Deliveries(ctx, flow.DeliveryQuery{Case: id, To: to})
	if err != nil {
		t.Fatal(err)
	}
	for _, del := range all {
		if del.What != what {
			continue
		}
		whole, err := w.app.store.Deliveries(ctx, flow.DeliveryQuery{ID: del.ID})
		if err != nil || len(whole) != 1 {
			t.Fatalf("%d deliveries, %v", len(whole), err)
		}
		b := whole[0].Body.Inline
		if del.Body.Blob != "" {
			body, err := w.app.pipeline.Bodies.Open(ctx, del.Body)
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			if b, err = io.ReadAll(body); err != nil {
				t.Fatal(err)
			}
		}
		root, issues := fhir.Read(b, fhir.ReadOptions{})
		if issues.Worst() != nil {
			t.Fatal(issues)
		}
		return &fhir.Bundle{Root: root}
	}
	t.Fatalf("no %s for %s", what, to)
	return nil
}

// derivation is what a Bundle says of a photo that is not as it came.
type derivation struct{ original, derived, step, words, removed, quality string }

func derivations(b *fhir.Bundle) map[string]derivation {
	out := map[string]derivation{}
	for p := range b.All("Provenance") {
		m := b.Resolve(p.At("target.reference").Text())
		if !m.OK() || m.Type().Name != "Media" {
			continue
		}
		d := derivation{original: p.At("entity.what.identifier.value").Text(), derived: p.At("target.identifier.value").Text(),
			step: p.At("activity.coding.code").Text(), words: p.At("activity.text").Text(), quality: fhir.OwnExtension(p, "photo-quality")}
		for x := range p.Children("extension") {
			if x.Child("url").Text() == fhir.ExtensionBase+"photo-removed" {
				d.removed += x.Child("valueCode").Text() + " "
			}
		}
		out[fhir.OwnExtension(m, "photo-view")] = d
	}
	return out
}

// A request with a photo of 9 MB and one of 3 MB goes to two destinations of different limits: each gets what it takes, the
// originals stay, and Provenance and the story tell what was done.
func TestTwoPhotosAtTwoDestinations(t *testing.T) {
	t.Parallel()
	large, small := photos.WithPrivate(tiled(t, 4, 4, 99), 1), tiled(t, 3, 2, 97)
	if len(large) < 8<<20 || len(large) > 10<<20 || len(small) < 2<<20 || len(small) > 7<<19 {
		t.Fatalf("%d and %d bytes", len(large), len(small))
	}
	ctx, w := taking(t, "advice", "photo_bytes: 5242880B", "photo_bytes: 745KB")
	sendWith(t, ctx, w, "advice.hl7", map[string][]byte{"L1-overview": large, "L1-closeup": small})
	if err := until(ctx, "both have the request", func() bool { return len(w.ag.Requests()) > 0 && len(w.epr.Messages()) > 0 }); err != nil {
		_, story := w.onlyCase(t)
		t.Fatal(err, story)
	}
	c, _ := w.onlyCase(t)
	at := map[string][]sim.Photo{"ag": w.ag.Requests()[0].Photos, "epr": w.epr.Messages()[0].Photos}
	for to, most := range map[string]int{"ag": 5242880, "epr": 745_000} {
		for i, got := range at[to] {
			if len(got.Bytes) > most || bytes.Contains(got.Bytes, []byte("Testcase")) {
				t.Errorf("photo %d at %s: %d bytes of %d", i+1, to, len(got.Bytes), most)
			}
		}
	}
	if !bytes.Equal(at["ag"][1].Bytes, small) {
		t.Error("the small photo fits the platform, and is not the one that was sent")
	}
	if bytes.Equal(at["epr"][1].Bytes, small) || bytes.Equal(at["epr"][0].Bytes, at["ag"][0].Bytes) {
		t.Error("the EPR has photos that it does not take")
	}
	story := derivations(w.outbound(t, ctx, "ag", "advice-request"))
	if d := story["overview"]; len(story) != 1 || d.original != sha(large) || d.derived != sha(at["ag"][0].Bytes) || d.step != "requantised" || d.quality == "" ||
		!strings.Contains(d.words, "SSIM 0.9") || !strings.Contains(d.removed, "gps") || !strings.Contains(d.removed, "serial") {
		t.Errorf("Provenance at the platform: %+v", story)
	}
	for i, want := range [][]byte{large, small} {
		original, err := w.app.pipeline.Bodies.Open(ctx, flow.BodyRef{Blob: c.Photos[i].Keep})
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(original); err != nil || !bytes.Equal(b, want) {
			t.Errorf("original %d is not kept: %d bytes, %v", i+1, len(b), err)
		}
		original.Close()
	}
	trace, _ := w.operate(ctx, "trace", c.ID)
	for _, want := range []string{"photo 1: stripped, taken out: camera-settings comment gps owner serial", "photo 1 for ag: requantised to 4000×3000 pixels at quality ", "photo 1 for epr: resized to ",
		"photo 2 for epr: re"} {
		if !strings.Contains(trace, want) {
			t.Errorf("the trace has no %q:\n%s", want, trace)
		}
	}
	base := "http://" + w.app.public.Addr().String() + "/fhir/"
	d := c.Photos[0].Fit(w.takes(t, "ag"))
	for path, want := range map[string]string{"Binary/" + d.SHA256: sha(at["ag"][0].Bytes), "Binary/" + c.Photos[0].SHA256: c.Photos[0].SHA256} {
		if body, code := get(t, base+path); code != http.StatusOK || sha([]byte(body)) != want {
			t.Errorf("%s: %d, %d bytes", path, code, len(body))
		}
	}
	facade := &flow.Facade{P: w.app.pipeline}
	if _, _, err := facade.Binary(ctx, flow.Subject{Organisation: c.Request.Performer}, sha(large)); err == nil {
		t.Error("who was asked reads an original, with the place it was taken at")
	}
	if body, typ, err := facade.Binary(ctx, flow.Subject{Organisation: c.Request.Organisation}, sha(large)); err != nil || typ != "image/jpeg" {
		t.Errorf("who asked does not get the original back: %s, %v", typ, err)
	} else {
		body.Close()
	}
	provenance := shownProvenance(t, base, c)
	if provenance == "" || !strings.Contains(provenance, sha(large)) || !strings.Contains(provenance, c.Photos[0].SHA256) {
		t.Errorf("the facade shows no Provenance of the photo: %s", provenance)
	}
}

// takes names what a destination takes.
func (w *world) takes(t *testing.T, name string) string {
	t.Helper()
	for _, e := range w.app.pipeline.Endpoints {
		if e.Name == name {
			return e.Takes.String()
		}
	}
	t.Fatalf("no destination %s", name)
	return ""
}

// shownProvenance reads the Provenance of the first photo where a sender would.
func shownProvenance(t *testing.T, base string, c pathway.Case) string {
	t.Helper()
	all := search(t, strings.TrimSuffix(base, "/"), "Provenance", map[string][]string{"identifier": {flow.SystemCase + "|" + c.ID}})
	for p := range all.Resources() {
		if strings.Contains(p.At("target.reference").Text(), "Media/") {
			if body, code := get(t, base+"Provenance/"+p.Child("id").Text()); code == http.StatusOK {
				return body
			}
		}
	}
	return ""
}
