package main

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/fixtures/photos"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
)

// A photo that its sender says is wrong (OBX-11 W) is kept and sent nowhere; one that is taken back after it was sent is a task
// and an alarm for each place that has it.
func TestAPhotoThatIsTakenBackGoesNowhere(t *testing.T) {
	t.Parallel()
	ctx, w := running(t)
	wrong := "OBX|99|ED|CLOSEUP^Close-up^L|L1|^image^jpeg^Base64^" +
		base64.StdEncoding.EncodeToString(photos.Lesion{Seed: 9, View: photos.CloseUp, Width: 640, Height: 480, Quality: 90}.JPEG()) + "||||||W\r"
	request := strings.TrimRight(string(numbered(t, 1, nil)), "\r\n") + "\r"
	if ack := sendMLLP(t, ctx, w, []byte(request+wrong)); ack.Code != "AA" {
		t.Fatal(ack.Code, troubles(ack))
	}
	w.await(t, ctx, pathway.AwaitingProvider)
	if sent := w.ag.Requests()[0].Photos; len(sent) != 3 {
		t.Errorf("%d photos were sent, want those that are right", len(sent))
	}
	c, story := w.onlyCase(t)
	if len(c.Photos) != 4 || c.Photos[3].Waiting == "" {
		t.Errorf("it is not kept apart: %+v", c.Photos)
	}
	if !slices.ContainsFunc(story, func(e flow.Event) bool { return strings.Contains(e.Text, "photo 4: its sender says that it is wrong") }) {
		t.Errorf("the story does not tell of it: %+v", story)
	}
	w.operate(ctx, "release", c.ID, "--reason", "let it go")
	if c, _ = w.onlyCase(t); c.Photos[3].Waiting == "" || len(w.ag.Requests()) != 1 {
		t.Error("it was released")
	}
	change := strings.Replace(request, "REF^I12^REF_I12|AG0001", "REF^I13^REF_I12|AG0002", 1) + wrong
	if ack := sendMLLP(t, ctx, w, []byte(change)); ack.Code != "AA" {
		t.Fatal(ack.Code, troubles(ack))
	}
	err := until(ctx, "somebody is asked", func() bool {
		c, _ := w.onlyCase(t)
		return slices.ContainsFunc(c.Tasks, func(task pathway.Task) bool {
			return task.Code == "photo-withdrawn" && strings.HasSuffix(task.Why, "have them taken out at ag")
		})
	})
	if err != nil {
		t.Error(err)
	}
}
