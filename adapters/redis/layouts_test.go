package redis_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/redis"
	"github.com/dermgate/dermgate/gateway/flow"
)

// What earlier layouts kept is read on: testdata/layoutN.aof.gz is the append-only file of the last version that had it. For each
// name it has a request to a destination of that name and to gp, and behind the first another in its lane.
func TestEarlierLayouts(t *testing.T) {
	for _, layout := range []string{"layout1", "layout2"} {
		t.Run(layout, func(t *testing.T) { readsOn(t, "testdata/"+layout+".aof.gz") })
	}
}

func readsOn(t *testing.T, file string) {
	server := adaptertest.Redis(t)
	feed(t, server, file)
	for p := range flow.Partitions { // whatever the date of this machine: leases are over
		server.Send(fmt.Sprintf("SET %sclock \"%d 0\"", partition(p), time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC).UnixMicro()))
	}
	s := open(t, redis.Options{URL: server.URL()})
	names := []string{"waiting", "parked", "done", "claimed"}
	for _, name := range names {
		want := adaptertest.Request(name, name, "gp")
		r, err := s.Put(t.Context(), want)
		if err != nil || !r.Repeat || string(r.Answer) != string(want.Message.Receipt.Answer) {
			t.Fatalf("%s: put again %+v, %v", name, r, err)
		}
		if r, err := s.Receipt(t.Context(), *want.Idem); err != nil || string(r.Answer) != string(want.Message.Receipt.Answer) {
			t.Fatalf("%s: receipt %+v, %v", name, r, err)
		}
		if m, err := s.Message(t.Context(), want.Message.ID); err != nil || string(m.Raw.Inline) != string(want.Message.Raw.Inline) || string(m.Facts) != string(want.Message.Facts) {
			t.Fatalf("%s: message %+v, %v", name, m, err)
		}
		if c, err := s.Case(t.Context(), want.Case.Record.ID); err != nil || string(c.State) != string(want.Case.Record.State) {
			t.Fatalf("%s: case %+v, %v", name, c, err)
		}
		if ids, err := s.Find(t.Context(), want.Refs[0]); err != nil || !slices.Equal(ids, []flow.ID{want.Case.Record.ID}) {
			t.Fatalf("%s: found %v, %v", name, ids, err)
		}
		if story, err := s.Story(t.Context(), want.Case.Record.ID); err != nil || len(story) != 1 || story[0].What != "received" {
			t.Fatalf("%s: story %v, %v", name, story, err)
		}
		ds, err := s.Deliveries(t.Context(), flow.DeliveryQuery{ID: want.Deliveries[0].ID})
		if err != nil || len(ds) != 1 || string(ds[0].Body.Inline) != string(want.Deliveries[0].Body.Inline) || (name != "waiting") != (len(ds[0].Steps) == 1) {
			t.Fatalf("%s: delivery %+v, %v", name, ds, err)
		}
	}
	if ids, err := s.Find(t.Context(), flow.Ref{System: "ubrn", Value: "1234"}); err != nil || len(ids) != 1 {
		t.Fatalf("what a settlement named leads to %v, %v", ids, err)
	}
	// A change of a case is kept as this layout has it, beside what was there.
	more := adaptertest.Request("waiting")
	record := more.Case.Record
	record.Version++
	ref := flow.Ref{System: "ubrn", Value: "1234"}
	if _, err := s.Put(t.Context(), flow.Change{Case: &flow.CaseChange{Record: record, Story: []flow.Event{{What: "state"}}}, Refs: []flow.Ref{ref}}); err != nil {
		t.Fatal(err)
	}
	if ids, err := s.Find(t.Context(), ref); err != nil || len(ids) != 2 {
		t.Fatalf("a reference of two cases, one of each layout, leads to %v, %v", ids, err)
	}
	if story, err := s.Story(t.Context(), record.ID); err != nil || len(story) != 2 || story[1].What != "state" {
		t.Fatalf("story %v, %v", story, err)
	}
	for to, want := range map[string]flow.Backlog{"waiting": {Open: 2}, "parked": {Open: 1, Parked: 1}, "done": {Open: 1}, "gp": {Open: 4}} {
		if got, err := s.Backlog(t.Context(), to); err != nil || got.Open != want.Open || got.Parked != want.Parked || got.Oldest.IsZero() {
			t.Errorf("%s: backlog %+v, %v", to, got, err)
		}
	}
	// The parked one goes back before the one behind it.
	parked := adaptertest.Request("parked", "parked").Deliveries[0]
	if err := s.Act(t.Context(), flow.Act{Verb: "replay", ID: parked.ID, Person: "nurse", Reason: "mended"}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{"waiting": {"waiting", "waiting again"}, "parked": {"parked", "parked again"}, "done": {"done again"}, "claimed": {"claimed", "claimed again"}} {
		for i := range want {
			want[i] += " of " + name
		}
		if got := drain(t, s, name); !slices.Equal(got, want) {
			t.Errorf("%s: delivered %q, want %q", name, got, want)
		}
	}
	if paused, err := s.Paused(t.Context()); err != nil || !paused["lims"] {
		t.Errorf("paused %v, %v", paused, err)
	}
	for _, name := range names {
		if n := listed(t, s, name); n == 0 {
			t.Errorf("%s: no delivery is listed", name)
		}
		old := adaptertest.Request(name)
		c, err := s.Case(t.Context(), old.Case.Record.ID)
		if err != nil {
			t.Fatal(err)
		}
		drain(t, s, "gp")
		ds, err := s.Deliveries(t.Context(), flow.DeliveryQuery{Case: c.ID, All: true})
		if err != nil || len(ds) != 3 {
			t.Fatalf("%s: %d deliveries, %v", name, len(ds), err)
		}
		r := flow.Remains{Case: &c, Messages: []flow.Message{*old.Message}}
		for _, d := range ds {
			r.Deliveries = append(r.Deliveries, d.ID)
		}
		if err := s.Prune(t.Context(), r); err != nil {
			t.Fatalf("%s: prune: %v", name, err)
		}
	}
	for _, kind := range []string{"story", "refs", "ref", "bycase", "patient", "org", "ready", "open", "parked", "ended"} {
		if got := server.Send("EVAL \"return #redis.call('KEYS','dermgate:{p*}:" + kind + ":*')\" 0"); got != ":0" {
			t.Errorf("%s: %s keys are left", kind, got)
		}
	}
	for _, kind := range []string{"idem", "message", "body", "case", "delivery", "state", "queue", "lane", "changed", "received", "named", "leads", "open", "parked", "ended"} {
		if got := server.Send("EVAL \"return #redis.call('KEYS','dermgate:{p*}:" + kind + "')\" 0"); got != ":0" {
			t.Errorf("%s: %s keys are left", kind, got)
		}
	}
}

// listed counts the deliveries of a destination, which no list may have twice.
func listed(t *testing.T, s *redis.Store, to string) int {
	t.Helper()
	ds, err := s.Deliveries(t.Context(), flow.DeliveryQuery{To: to})
	if err != nil {
		t.Fatal(err)
	}
	ids := map[flow.ID]bool{}
	for _, d := range ds {
		ids[d.ID] = true
	}
	if len(ids) != len(ds) {
		t.Errorf("%s: a delivery is listed twice", to)
	}
	return len(ds)
}

// drain delivers all that is due to a destination, and gives the keys in their order.
func drain(t *testing.T, s *redis.Store, to string) (keys []string) {
	t.Helper()
	for {
		ds, err := s.Claim(t.Context(), to, 1, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if len(ds) == 0 {
			return keys
		}
		keys = append(keys, ds[0].Key)
		if err := s.Settle(t.Context(), ds[0], flow.Outcome{Result: flow.Delivered}); err != nil {
			t.Fatal(err)
		}
	}
}

// feed sends the commands of an append-only file to a Redis.
func feed(t *testing.T, server *adaptertest.RedisServer, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		_, _ = io.Copy(c, z)
		_, _ = io.WriteString(c, "*1\r\n$4\r\nQUIT\r\n")
	}()
	answers, err := io.ReadAll(c)
	if err != nil || strings.Contains(string(answers), "\r\n-") {
		t.Fatalf("%s: %v", file, err)
	}
}
