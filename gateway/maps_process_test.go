package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/bolt"
	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// serving is `gateway serve` in a process of its own, with a folder of a site's maps and a hospital.
type serving struct {
	*reloading // its files and its hospital; the gateway is elsewhere
	process
	mllp, admin, store string
}

func startServing(t *testing.T) *serving {
	t.Helper()
	dir := t.TempDir()
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	s := &serving{reloading: &reloading{t: t, ctx: ctx, maps: filepath.Join(dir, "maps"), came: map[string]string{}},
		process: process{t: t, config: filepath.Join(dir, "gateway.yaml"), log: filepath.Join(dir, "log")},
		mllp:    freePort(t), admin: freePort(t), store: filepath.Join(dir, "gateway.db")}
	if err := os.MkdirAll(filepath.Join(s.maps, "tables"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.sex("female")
	s.write(filepath.Join(dir, "photo.key"), bytes.Repeat([]byte("ab"), 32))
	hospital := &mllp.Server{Name: "hospital", Addr: "127.0.0.1:0"}
	if err := hospital.Listen(); err != nil {
		t.Fatal(err)
	}
	served, end := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- hospital.Serve(served, (&mllp.Receiver{Handle: s.arrived}).Accept) }()
	t.Cleanup(func() { end(); <-done; stop() })
	text := fmt.Sprintf(crashConfig, fmt.Sprintf("{embedded: {path: %s}}", s.store), dir, dir, freePort(t), s.admin, s.mllp, hospital.Address())
	s.write(s.config, []byte(text+"maps: {path: maps}\n"))
	s.start()
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			s.kill()
		}
		if log, _ := os.ReadFile(s.process.log); t.Failed() {
			t.Logf("%s", log[max(0, len(log)-4000):])
		}
	})
	s.until("it answers", func() bool {
		resp, err := http.Get("http://" + s.admin + "/healthz")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK
	})
	return s
}

// end stops the gateway as an operator does, and opens the store that it leaves.
func (s *serving) end() *bolt.Store {
	s.reloading.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.reloading.t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		s.reloading.t.Errorf("the gateway ended with %v", err)
	}
	store, err := bolt.Open(s.store)
	if err != nil {
		s.reloading.t.Fatal(err)
	}
	s.reloading.t.Cleanup(func() { store.Close() })
	return store
}

// inFolder is the digest of what lies in the site's folder.
func (s *serving) inFolder() string {
	s.reloading.t.Helper()
	set, err := loadMaps(s.maps)
	if err != nil {
		s.reloading.t.Fatal(err)
	}
	return set.Digest()
}

func (s *serving) says(path, text string) bool {
	body, code := get(s.reloading.t, "http://"+s.admin+path)
	return code == http.StatusOK && strings.Contains(body, text) // /readyz is 200 whatever its maps are
}

// load sends 200 messages a second by two connections until told to stop, and gives how many: each must be
// answered with AA.
func (s *serving) load() (stop func() int) {
	stopped, sent := make(chan struct{}), [2]int{}
	var wg sync.WaitGroup
	for k := range sent {
		wg.Go(func() {
			var conn *mllp.Conn
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for {
				if code, err := exchange(&conn, s.mllp, referral(k*50_000+sent[k])); code != "AA" || err != nil {
					s.reloading.t.Errorf("message %d of sender %d: %s %v", sent[k], k, code, err)
					return
				}
				sent[k]++
				select {
				case <-stopped:
					conn.Close()
					return
				case <-tick.C:
				}
			}
		})
	}
	return func() int { close(stopped); wg.Wait(); return sent[0] + sent[1] }
}

// A map is edited, and then broken, under a running gateway: no message fails, each names the set that
// translated and rendered it, and the broken edit changes nothing but the warning.
func TestServeTakesEditedMapsUnderLoad(t *testing.T) {
	s := startServing(t)
	wanted := map[string]string{s.inFolder(): "F"}
	stop := s.load()
	s.until("some came before the edit", func() bool { return s.arrivals() > 100 })
	s.sex("male")
	edited := s.inFolder()
	wanted[edited] = "M"
	s.until("the edit is in force", func() bool { return s.says("/metrics", "\ndermgate_maps_reloads_total{result=\"taken\"} 1\n") })
	some := s.arrivals()
	s.until("some came after it", func() bool { return s.arrivals() > some+100 })
	s.write(s.table(), []byte("table: AdministrativeSexUK\nextend: true\ncodez: {\"2\": male}\n"))
	s.until("the broken edit is warned of", func() bool {
		return s.says("/metrics", "\ndermgate_maps_stale 1\n") && s.says("/readyz", `"maps":"stale"`)
	})
	some = s.arrivals()
	s.until("some came after the broken edit", func() bool { return s.arrivals() > some+100 })
	if !s.says("/metrics", "\ndermgate_maps_reloads_total{result=\"refused\"} 1\n") || !s.says("/metrics", "\ndermgate_maps_reloads_total{result=\"taken\"} 1\n") {
		t.Error("a broken edit is refused, once, and nothing else is taken")
	}
	all := stop()
	s.until("all have arrived", func() bool { return s.arrivals() == all })
	s.judge(wanted, all)
	log, err := os.ReadFile(s.process.log)
	if err != nil || !bytes.Contains(log, []byte("AdministrativeSexUK.yaml:3:1")) || !bytes.Contains(log, []byte(`"digest":"`+edited)) {
		t.Errorf("the log names neither the set taken nor the fault of the one refused: %v", err)
	}
	noPatients(t, "the log", log)
}

// judge holds what the hospital got against the set that each message and its delivery name.
func (s *serving) judge(wanted map[string]string, all int) {
	t, store := s.reloading.t, s.end()
	t.Helper()
	cases, err := store.Cases(s.ctx, flow.CaseQuery{Limit: all + 1})
	if err != nil || len(cases) != all {
		t.Fatalf("%d cases of %d messages, %v", len(cases), all, err)
	}
	by := map[string]int{}
	for _, c := range cases {
		ds, err := store.Deliveries(s.ctx, flow.DeliveryQuery{Case: c.ID, To: "sink"})
		if err != nil || len(ds) != 1 {
			t.Fatalf("%d deliveries, %v", len(ds), err)
		}
		m, err := store.Message(s.ctx, ds[0].Message)
		if err != nil {
			t.Fatal(err)
		}
		placer := "P" + text(t, m.Raw.Inline, "MSH-10")[1:]
		if sex := wanted[m.Maps]; sex == "" || m.Maps != ds[0].Maps || sex != s.came[placer] {
			t.Errorf("%s: PID-8 %s, the message names %.8s, its delivery %.8s", placer, s.came[placer], m.Maps, ds[0].Maps)
		}
		by[wanted[m.Maps]]++
	}
	t.Logf("%d messages, by set: %v", all, by)
	if by["F"] == 0 || by["M"] == 0 {
		t.Errorf("by set %v: both were to be at work", by)
	}
}

func text(t *testing.T, raw []byte, path string) string {
	t.Helper()
	m, err := hl7.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return m.Get(hl7.MustPath(path)).Text()
}
