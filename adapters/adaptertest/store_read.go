package adaptertest

import (
	"fmt"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

func (s *suite) story() {
	c := Request("one")
	s.put(c)
	want := []string{"received"}
	for i := range 12 {
		c = next(c, fmt.Sprintf("state %d", i))
		s.put(c)
		want = append(want, c.Case.Story[0].Text)
	}
	story, err := s.s.Story(s.ctx, c.Case.Record.ID)
	s.ok(err)
	var got []string
	for _, e := range story {
		got = append(got, e.Text)
	}
	want[0] = ""
	s.equal("story", got, want)
}

func (s *suite) cases() {
	// Ten cases of two patients, the later the newer; then the oldest moves and is the newest.
	var all []flow.Change
	for i := range 10 {
		c := Request(fmt.Sprintf("case %d", i))
		index := &c.Case.Record.Index
		index.Patient = fmt.Sprintf("patient %d", i%2)
		index.Changed = start.Add(time.Duration(i) * time.Minute)
		if i%5 == 0 {
			index.Organisation, index.Kind = "B81002", "referral"
		}
		if i == 3 {
			index.Ended, index.State, index.Performer = true, "closed", "RX1"
		}
		s.put(c)
		all = append(all, c)
	}
	moved := next(all[0], "answered")
	moved.Case.Record.Index.Changed = start.Add(time.Hour)
	s.put(moved)

	for _, test := range []struct {
		name string
		q    flow.CaseQuery
		want []int
	}{
		{"all", flow.CaseQuery{}, []int{0, 9, 8, 7, 6, 5, 4, 3, 2, 1}},
		{"some", flow.CaseQuery{Limit: 3}, []int{0, 9, 8}},
		{"patient", flow.CaseQuery{Patient: "patient 0"}, []int{0, 8, 6, 4, 2}},
		{"patient, some", flow.CaseQuery{Patient: "patient 1", Limit: 2}, []int{9, 7}},
		{"part of a patient's key", flow.CaseQuery{Patient: "patient"}, nil},
		{"organisation that asked", flow.CaseQuery{Organisation: "B81002"}, []int{0, 5}},
		{"organisation that was asked", flow.CaseQuery{Organisation: "RX1"}, []int{3}},
		{"organisation and patient", flow.CaseQuery{Organisation: "B81002", Patient: "patient 1"}, []int{5}},
		{"kind", flow.CaseQuery{Kind: "referral"}, []int{0, 5}},
		{"state", flow.CaseQuery{State: "closed"}, []int{3}},
		{"state that was", flow.CaseQuery{State: "submitted", Kind: "referral"}, []int{5}},
		{"open", flow.CaseQuery{Open: true, Organisation: "RX1"}, nil},
	} {
		got, err := s.s.Cases(s.ctx, test.q)
		s.ok(err)
		var want []flow.ID
		for _, i := range test.want {
			want = append(want, all[i].Case.Record.ID)
		}
		var ids []flow.ID
		for _, r := range got {
			ids = append(ids, r.ID)
		}
		s.equal("cases by "+test.name, ids, want)
	}
}

func (s *suite) deliveries() {
	var all []flow.Delivery
	for i := range 6 {
		c := Request(fmt.Sprintf("case %d", i))
		d := delivery(c.Case.Record.ID, []string{"epr", "platform"}[i%2], fmt.Sprint(i))
		d.Created = start.Add(time.Duration(i) * time.Second)
		d.Due = d.Created
		clock := delivery(c.Case.Record.ID, flow.ToClock, fmt.Sprint("clock ", i))
		clock.Created, clock.Due = d.Created, d.Created.Add(time.Hour)
		c.Deliveries = []flow.Delivery{d, clock}
		s.put(c)
		all = append(all, d)
	}
	s.settle(s.claim("epr", 1)[0], flow.Outcome{Result: flow.Refused}) // 0
	s.done(s.claim("epr", 1)[0])                                       // 2
	s.claim("platform", 1)                                             // 1

	for _, test := range []struct {
		name string
		q    flow.DeliveryQuery
		want string
	}{
		{"all but internal", flow.DeliveryQuery{}, `["0" "1" "2" "3" "4" "5"]`},
		{"some", flow.DeliveryQuery{Limit: 2}, `["0" "1"]`},
		{"destination", flow.DeliveryQuery{To: "platform"}, `["1" "3" "5"]`},
		{"internal", flow.DeliveryQuery{To: flow.ToClock, Limit: 1}, `["clock 0"]`},
		{"case", flow.DeliveryQuery{Case: all[4].Case}, `["4"]`},
		{"all of a case", flow.DeliveryQuery{Case: all[4].Case, All: true}, `["4" "clock 4"]`},
		{"case and internal", flow.DeliveryQuery{Case: all[4].Case, To: flow.ToClock}, `["clock 4"]`},
		{"parked", flow.DeliveryQuery{State: flow.Parked}, `["0"]`},
		{"waiting", flow.DeliveryQuery{State: flow.Waiting}, `["3" "4" "5"]`},
		{"claimed", flow.DeliveryQuery{State: flow.Claimed}, `["1"]`},
		{"done", flow.DeliveryQuery{State: flow.Done, To: "epr"}, `["2"]`},
		{"waiting, some", flow.DeliveryQuery{State: flow.Waiting, To: "platform", Limit: 1}, `["3"]`},
		{"nowhere", flow.DeliveryQuery{To: "plat"}, `[]`},
	} {
		got, err := s.s.Deliveries(s.ctx, test.q)
		s.ok(err)
		s.equal("deliveries by "+test.name, keys(got), test.want)
	}
	for to, want := range map[string]flow.Backlog{
		"epr":        {Open: 1, Oldest: all[4].Created, Parked: 1, OldestParked: all[0].Created},
		"platform":   {Open: 3, Oldest: all[1].Created},
		flow.ToClock: {Open: 6, Oldest: all[0].Created},
		"plat":       {},
	} {
		got, err := s.s.Backlog(s.ctx, to)
		s.ok(err)
		if got.Open != want.Open || got.Parked != want.Parked || !got.Oldest.Equal(want.Oldest) || !got.OldestParked.Equal(want.OldestParked) {
			s.Errorf("backlog of %s: %+v, want %+v", to, got, want)
		}
	}
	s.equal("body by id", string(s.delivery(all[4].ID).Body.Inline), "body of 4")
}

func (s *suite) notFound() {
	id := flow.NewID(5, "nobody")
	_, err := s.s.Case(s.ctx, id)
	s.is(err, flow.ErrNotFound)
	_, err = s.s.Message(s.ctx, id)
	s.is(err, flow.ErrNotFound)
	_, err = s.s.Story(s.ctx, id)
	s.is(err, flow.ErrNotFound)
	_, err = s.s.Receipt(s.ctx, flow.Idem{Key: "nobody"})
	s.is(err, flow.ErrNotFound)
	ids, err := s.s.Find(s.ctx, flow.Ref{System: "ubrn", Value: "nobody"})
	s.ok(err)
	s.equal("cases found", len(ids), 0)
	ds, err := s.s.Deliveries(s.ctx, flow.DeliveryQuery{ID: id})
	s.ok(err)
	s.equal("deliveries", len(ds), 0)
	unknown := flow.Delivery{ID: id, Fence: 1}
	s.is(s.s.Settle(s.ctx, unknown, flow.Outcome{Result: flow.Delivered}), flow.ErrNotFound)
}

func (s *suite) health() {
	s.ok(s.s.Health(s.ctx))
	s.ok(s.s.Close())
	if err := s.s.Health(s.ctx); err == nil {
		s.Fatal("a closed store is healthy")
	}
	_, err := s.s.Put(s.ctx, Request("one"))
	s.is(err, flow.ErrUnavailable)
}
