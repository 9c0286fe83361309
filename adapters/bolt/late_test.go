package bolt_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/bolt"
	"github.com/dermgate/dermgate/gateway/flow"
)

// openLate opens a store whose late entries move soon.
func openLate(t testing.TB, path string) *bolt.Store {
	t.Helper()
	s, err := bolt.OpenLate(path, 50)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// What moves leaves memory; wherever the file is closed in between, everything is found again.
func TestLateEntriesMove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.db")
	for i := range 40 {
		s := openLate(t, path)
		if _, err := s.Put(t.Context(), adaptertest.Request(fmt.Sprint(i), "epr")); err != nil {
			t.Fatal(err)
		}
		if n := s.Late(); n > 200 {
			t.Fatalf("%d entries in memory", n)
		}
		for _, name := range []int{0, i / 2, i} {
			c := adaptertest.Request(fmt.Sprint(name))
			if _, err := s.Receipt(t.Context(), *c.Idem); err != nil {
				t.Fatalf("%d of %d: %v", name, i, err)
			}
			if ids, err := s.Find(t.Context(), c.Refs[0]); err != nil || !slices.Equal(ids, []flow.ID{c.Case.Record.ID}) {
				t.Fatalf("%d of %d: found %v, %v", name, i, ids, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := openLate(t, path)
	if ds, err := s.Claim(t.Context(), "epr", 100, time.Minute); err != nil || len(ds) != 40 {
		t.Fatalf("claimed %d, %v", len(ds), err)
	}
}

// A file of layout 1 is read on: testdata/layout1.db.gz was written by the last version that had it. For each name it has
// a request to a destination of that name and to gp, and behind the first another in its lane.
func TestLayout1(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.db")
	gunzip(t, "testdata/layout1.db.gz", path)
	for range 2 { // as it was, and opened again
		s := open(t, path)
		for _, name := range []string{"waiting", "parked", "done", "claimed"} {
			want := adaptertest.Request(name, name, "gp")
			if r, err := s.Receipt(t.Context(), *want.Idem); err != nil || r.Message != want.Message.ID {
				t.Fatalf("%s: receipt %v, %v", name, r, err)
			}
			if ids, err := s.Find(t.Context(), want.Refs[0]); err != nil || !slices.Equal(ids, []flow.ID{want.Case.Record.ID}) {
				t.Fatalf("%s: found %v, %v", name, ids, err)
			}
			if ds, err := s.Deliveries(t.Context(), flow.DeliveryQuery{Case: want.Case.Record.ID}); err != nil || len(ds) != 3 {
				t.Fatalf("%s: %d deliveries, %v", name, len(ds), err)
			}
			if cs, err := s.Cases(t.Context(), flow.CaseQuery{Patient: "patient-" + name}); err != nil || len(cs) != 1 {
				t.Fatalf("%s: %d cases, %v", name, len(cs), err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, path)
	first := func(name string) string { return name + " of " + name }
	second := func(name string) string { return name + " again of " + name }
	for _, lane := range []struct {
		name string
		want []string
	}{
		{"waiting", []string{first("waiting"), second("waiting")}},
		{"parked", []string{second("parked")}},
		{"done", []string{second("done")}},
		{"claimed", []string{first("claimed"), second("claimed")}},
	} {
		var got []string
		for range 3 {
			ds, err := s.Claim(t.Context(), lane.name, 10, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range ds {
				got = append(got, d.Key)
				if err := s.Settle(t.Context(), d, flow.Outcome{Result: flow.Delivered}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !slices.Equal(got, lane.want) {
			t.Errorf("%s: delivered %q, want %q", lane.name, got, lane.want)
		}
	}
}

func gunzip(t *testing.T, from, to string) {
	t.Helper()
	f, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
