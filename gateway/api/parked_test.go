package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// heap is a store with parked deliveries; an act takes one out, once for each key.
type heap struct {
	shop
	parked []flow.Delivery
	refuse flow.ID
	down   bool
}

func (h *heap) Deliveries(_ context.Context, q flow.DeliveryQuery) ([]flow.Delivery, error) {
	return slices.DeleteFunc(slices.Clone(h.parked), func(d flow.Delivery) bool { return !q.Wanted(d) }), nil
}

func (h *heap) Act(_ context.Context, a Act) error {
	switch {
	case h.down:
		return flow.ErrUnavailable
	case a.ID == h.refuse:
		return issue.New(issue.Conflict, "delivery", "not this one")
	}
	h.acts = append(h.acts, a)
	h.parked = slices.DeleteFunc(h.parked, func(d flow.Delivery) bool { return d.ID == a.ID })
	return nil
}

func newHeap() *heap {
	h := &heap{}
	for i := range 6 {
		cause := issue.New(issue.Value, "PV1-19", "the receiver answered AE")
		if i == 5 {
			cause = issue.New(issue.Denied, "", "the receiver does not let us in")
		}
		h.parked = append(h.parked, flow.Delivery{ID: flow.NewID(1, fmt.Sprint(i)), To: "epr", What: []string{"referral", "answer"}[i%2],
			State: flow.Parked, Cause: cause, Created: now.Add(time.Duration(i) * time.Minute), Body: flow.BodyRef{Inline: []byte("Eleanor Rigby")}})
	}
	return h
}

func (h *heap) serve(t *testing.T, l *ledger) (base, group string) {
	a := admin(&h.shop, l)
	a.Messages, a.Acts = h, h
	base = serve(t, nil, a.Handler())
	var list struct {
		Groups []struct {
			ID, To         string
			What           []string
			Count          int
			Oldest, Newest time.Time
		}
		Deliveries []struct{ ID, Group string }
	}
	got := call(t, http.DefaultClient, "GET", base+"/api/v1/parked", "")
	if err := json.Unmarshal([]byte(got.body), &list); err != nil || got.code != 200 || len(list.Groups) != 2 {
		t.Fatalf("%d %s", got.code, got.body)
	}
	g := list.Groups[0]
	if g.Count != 5 || g.To != "epr" || len(g.What) != 2 || len(list.Deliveries) != 6 || list.Deliveries[0].Group != g.ID || !g.Oldest.Equal(now) || !g.Newest.Equal(now.Add(4*time.Minute)) {
		t.Errorf("the largest group: %+v", g)
	}
	return base, g.ID
}

// A group is acted on as a whole, one after another, once however often it is pressed.
func TestAGroupIsReplayedOnceAndPaced(t *testing.T) {
	h, l := newHeap(), &ledger{}
	h.refuse = h.parked[2].ID
	base, group := h.serve(t, l)
	l.take()
	for i, want := range []string{`"count":4`, `"count":0`} {
		got := call(t, http.DefaultClient, "POST", base+"/api/v1/parked/"+group+"/replay", `{"reason":"mended","expect":5,"rate":2}`, asJSON, keyed)
		if got.code != 200 || !strings.Contains(got.body, want) || !strings.Contains(got.body, `"failed":[{"id":"`+h.refuse.String()) {
			t.Errorf("press %d: %d %s", i+1, got.code, got.body)
		}
	}
	if len(h.acts) != 4 {
		t.Fatalf("%d acts", len(h.acts))
	}
	for i, a := range h.acts {
		if a.After != time.Duration(i)*500*time.Millisecond || a.Person != "local:me" || a.Reason != "mended" || a.Key != "button-0001:"+a.ID.String() {
			t.Errorf("act %d: %+v", i, a)
		}
	}
	if e := l.take(); len(e) != 2 || e[0].What != "parked/"+group+" (5)" || e[0].Verb != "replay" || e[0].Why != "mended" {
		t.Errorf("audited %v", e)
	}
}

// What came after the look is not acted on unseen; a store that fails in the middle is told.
func TestAGroupThatHasGrownIsLookedAtAgain(t *testing.T) {
	h, l := newHeap(), &ledger{}
	base, group := h.serve(t, l)
	if got := call(t, http.DefaultClient, "POST", base+"/api/v1/parked/"+group+"/discard", `{"reason":"r","expect":4}`, asJSON, keyed); got.code != 409 || len(h.acts) != 0 {
		t.Errorf("%d %s, %d acts", got.code, got.body, len(h.acts))
	}
	h.down = true
	if got := call(t, http.DefaultClient, "POST", base+"/api/v1/parked/"+group+"/discard", `{"reason":"r","expect":5}`, asJSON, keyed); got.code != 503 {
		t.Errorf("%d %s", got.code, got.body)
	}
}

func TestPreviewAndContent(t *testing.T) {
	s, l := &shop{}, &ledger{}
	base := serve(t, nil, admin(s, l).Handler()) + "/api/v1/deliveries/" + deliveryID.String()
	if got := call(t, http.DefaultClient, "POST", base+"/preview", `{"verb":"replay","translate":true}`, asJSON); got.code != 200 || !strings.Contains(got.body, `"key":"K1"`) || len(s.acts) != 0 {
		t.Errorf("%d %s", got.code, got.body)
	}
	if got := call(t, http.DefaultClient, "GET", base+"/content", ""); got.code != 200 || got.body != "MSH|Rigby" {
		t.Errorf("%d %s", got.code, got.body)
	}
	if e := l.take(); len(e) != 1 || e[0].Verb != "read-content" || e[0].What != "delivery/"+deliveryID.String() {
		t.Errorf("audited %v", e)
	}
}
