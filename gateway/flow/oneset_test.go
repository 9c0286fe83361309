package flow_test

import (
	"context"
	"testing"
	"testing/fstest"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/maps"
)

// The maps change at every look at them, and yet a message is translated and rendered by one set, which the
// message and the delivery name.
func TestOneSetOfMapsMakesAllOfADecision(t *testing.T) {
	in := newIntake(t, flow.SourceRules{})
	in.Endpoints[0] = flow.Endpoint{Name: "ag", Kind: flow.ToMLLP, Message: "REF_I12", Version: "2.4"}
	other, err := mapping.Load(maps.FS, fstest.MapFS{"tables/AdministrativeSexUK.yaml": {Data: []byte("table: AdministrativeSexUK\nextend: true\ncodes: {\"2\": male}\n")}})
	if err != nil {
		t.Fatal(err)
	}
	sets, looks := [2]*mapping.Set{in.Maps(), other}, 0
	in.Maps = func() *mapping.Set { looks++; return sets[looks%2] }
	for n, id := range []string{"R1", "R2"} {
		looks = n
		receipt, err := in.take(request(id))
		if err != nil || receipt.Refused {
			t.Fatalf("%+v %v", receipt, err)
		}
		if looks != n+1 {
			t.Errorf("%s: %d looks at today's maps", id, looks-n)
		}
		m, err := in.Store.Message(context.Background(), receipt.Message)
		if err != nil {
			t.Fatal(err)
		}
		ds, err := in.Store.Deliveries(context.Background(), flow.DeliveryQuery{Case: receipt.Case, To: "ag"})
		if err != nil || len(ds) != 1 {
			t.Fatalf("%d deliveries %v", len(ds), err)
		}
		if want := sets[(n+1)%2].Digest(); m.Maps != want || ds[0].Maps != want {
			t.Errorf("%s: the message names %.8s, its delivery %.8s, want %.8s", id, m.Maps, ds[0].Maps, want)
		}
	}
}
