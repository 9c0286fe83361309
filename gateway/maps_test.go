package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/observe"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// sexTable is a site's table of PID-8, which says what "2" of referral's patients is.
const sexTable = "table: AdministrativeSexUK\nextend: true\ncodes: {\"2\": %s}\n"

// reloading is a gateway with a folder of a site's maps and a hospital that notes PID-8 by placer number.
type reloading struct {
	t    *testing.T
	ctx  context.Context
	a    *app
	maps string
	log  lockedBuffer
	conn *mllp.Conn

	mu       sync.Mutex
	came     map[string]string
	receipts []flow.Receipt
}

// startReloading starts one whose site says that "2" is female, as the shipped maps do.
func startReloading(t *testing.T) *reloading {
	t.Helper()
	gin.SetMode(gin.ReleaseMode)
	dir := t.TempDir()
	ctx, stop := context.WithTimeout(context.Background(), 3*time.Minute)
	r := &reloading{t: t, ctx: ctx, maps: filepath.Join(dir, "maps"), came: map[string]string{}}
	if err := os.MkdirAll(filepath.Join(r.maps, "tables"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.sex("female")
	r.write(filepath.Join(dir, "photo.key"), bytes.Repeat([]byte("ab"), 32))
	hospital := &mllp.Server{Name: "hospital", Addr: "127.0.0.1:0"}
	if err := hospital.Listen(); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(crashConfig, fmt.Sprintf("{embedded: {path: %s/gateway.db}}", dir), dir, dir, "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", hospital.Address())
	path := filepath.Join(dir, "gateway.yaml")
	r.write(path, []byte(text+"maps: {path: maps}\n"))
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if r.a, err = build(ctx, cfg, observe.NewLogger(&r.log, slog.LevelInfo)); err != nil {
		t.Fatal(err)
	}
	r.a.every = 25 * time.Millisecond
	accept := r.a.accept
	r.a.accept = func(ctx context.Context, in flow.Received) (flow.Receipt, error) {
		receipt, err := accept(ctx, in)
		r.mu.Lock()
		r.receipts = append(r.receipts, receipt)
		r.mu.Unlock()
		return receipt, err
	}
	running, end := context.WithCancel(ctx)
	done := make(chan error, 2)
	go func() { done <- hospital.Serve(running, (&mllp.Receiver{Handle: r.arrived}).Accept) }()
	go func() { done <- r.a.run(running) }()
	t.Cleanup(func() {
		end()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		stop()
		noPatients(t, "the log", r.log.Bytes())
		if t.Failed() {
			t.Logf("%s", r.log.Bytes())
		}
	})
	return r
}

func (r *reloading) arrived(_ context.Context, raw []byte) {
	m, err := hl7.Parse(raw)
	if err != nil {
		r.t.Errorf("the hospital got what is no HL7: %v", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.came[m.Get(hl7.MustPath("RF1-6.1")).Text()] = m.Get(hl7.MustPath("PID-8")).Text()
}

// write replaces a file as editors do: another one is renamed to its name.
func (r *reloading) write(path string, content []byte) {
	r.t.Helper()
	if err := os.WriteFile(path+"~", content, 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		r.t.Fatal(err)
	}
}

// sex edits the site's table.
func (r *reloading) sex(code string) {
	r.t.Helper()
	r.write(r.table(), fmt.Appendf(nil, sexTable, code))
}

func (r *reloading) table() string {
	return filepath.Join(r.maps, "tables", "AdministrativeSexUK.yaml")
}

// send sends a referral, waits until the hospital has it and gives PID-8 as it got it, and the digest kept
// with the message.
func (r *reloading) send(n int) (sex, digest string) {
	r.t.Helper()
	if code, err := exchange(&r.conn, r.a.servers[0].Address(), referral(n)); code != "AA" {
		r.t.Fatalf("message %d: %s %v", n, code, err)
	}
	r.until("the hospital has it", func() bool { sex = r.got(n); return sex != "" })
	r.mu.Lock()
	defer r.mu.Unlock()
	return sex, r.digest(r.receipts[len(r.receipts)-1])
}

func (r *reloading) got(n int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.came[fmt.Sprintf("P%05d", n)]
}

func (r *reloading) digest(receipt flow.Receipt) string {
	r.t.Helper()
	m, err := r.a.store.Message(r.ctx, receipt.Message)
	if err != nil {
		r.t.Fatal(err)
	}
	return m.Maps
}

// inForce is the digest of the set that the next message is translated with.
func (r *reloading) inForce() string { return r.a.pipeline.Maps().Digest() }

func (r *reloading) until(what string, happened func() bool) {
	r.t.Helper()
	if err := until(r.ctx, what, happened); err != nil {
		r.t.Fatal(err)
	}
}

func (r *reloading) admin(path string) string {
	r.t.Helper()
	body, code := get(r.t, "http://"+r.a.admin.Addr().String()+path)
	if code != 200 {
		r.t.Errorf("%s: %d %s", path, code, body)
	}
	return body
}

// untilSaid waits until the gateway says how its maps are, in the metric and in /readyz, which is 200 always.
func (r *reloading) untilSaid(detail, gauge string) {
	r.t.Helper()
	r.until("the maps are "+detail, func() bool {
		return strings.Contains(r.admin("/readyz"), `"maps":"`+detail+`"`) &&
			strings.Contains(r.admin("/metrics"), "\ndermgate_maps_stale "+gauge+"\n")
	})
}

func (r *reloading) logged(text string) bool { return bytes.Contains(r.log.Bytes(), []byte(text)) }

func TestAnEditedMapTranslatesTheNextMessage(t *testing.T) {
	r := startReloading(t)
	before := r.inForce()
	if sex, digest := r.send(1); sex != "F" || digest != before {
		t.Errorf("at first: PID-8 %s, maps %s, in force are %s", sex, digest, before)
	}
	r.sex("male")
	r.until("the edit is in force", func() bool { return r.inForce() != before })
	if sex, digest := r.send(2); sex != "M" || digest == before || digest != r.inForce() {
		t.Errorf("after the edit: PID-8 %s, maps %s, before %s", sex, digest, before)
	}
	r.untilSaid("up", "0")
	if !strings.Contains(r.admin("/metrics"), "\ndermgate_maps_reloads_total{result=\"taken\"} 1\n") || !r.logged(`"digest":"`+r.inForce()) {
		t.Error("neither counted nor logged")
	}
}

func TestABrokenEditChangesNothingButTheWarning(t *testing.T) {
	r := startReloading(t)
	before := r.inForce()
	r.write(r.table(), []byte("table: AdministrativeSexUK\nextend: true\ncodez: {\"2\": male}\n"))
	r.untilSaid("stale", "1")
	if sex, digest := r.send(1); sex != "F" || digest != before {
		t.Errorf("after a broken edit: PID-8 %s, maps %s, before %s", sex, digest, before)
	}
	r.until("the log says where", func() bool { return r.logged("maps/tables/AdministrativeSexUK.yaml:3:1") })
	time.Sleep(10 * r.a.every) // as many looks: an edit is judged once
	if !strings.Contains(r.admin("/metrics"), "\ndermgate_maps_reloads_total{result=\"refused\"} 1\n") {
		t.Error("one broken edit was refused more than once")
	}
	r.sex("male")
	r.untilSaid("up", "0")
	if sex, digest := r.send(2); sex != "M" || digest == before {
		t.Errorf("mended: PID-8 %s, maps %s", sex, digest)
	}
	r.write(r.table(), []byte("table: [\n"))
	r.untilSaid("stale", "1")
	r.sex("male")
	r.untilSaid("up", "0")
	if err := os.Rename(r.maps, r.maps+"-gone"); err != nil {
		t.Fatal(err)
	}
	r.untilSaid("stale", "1")
	if sex, _ := r.send(3); sex != "M" {
		t.Errorf("without the folder: PID-8 %s", sex)
	}
	if err := os.Rename(r.maps+"-gone", r.maps); err != nil {
		t.Fatal(err)
	}
	r.untilSaid("up", "0")
}

// siteCase is a case of a site by which "2" is female.
func siteCase(t *testing.T, r *reloading) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sex.txtar")
	r.write(path, append([]byte("A woman.\n-- in.hl7 --\n"), append(bytes.ReplaceAll(referral(1), []byte("\r"), []byte("\n")), "-- want.json --\n-- want.issues --\n"...)...))
	t.Setenv("UPDATE", "1")
	var out bytes.Buffer
	config := filepath.Join(filepath.Dir(r.maps), "gateway.yaml")
	if code := run(r.ctx, []string{"test", "-c", config, filepath.Dir(path)}, stdio{nil, &out, &out}); code != 0 {
		t.Fatalf("gateway test: %d %s", code, out.String())
	}
	t.Setenv("UPDATE", "")
	b, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(b, []byte(`"gender": "female"`)) || !bytes.Contains(b, []byte("(map set)")) {
		t.Fatalf("%v\n%s", err, b)
	}
	return b
}

// An edit that compiles and does what a case of the site forbids is not taken, and the same rule holds for
// the start; an edit of the case with it is.
func TestAnEditThatFailsASiteCaseIsNotTaken(t *testing.T) {
	r := startReloading(t)
	before, content := r.inForce(), siteCase(t, r)
	cases := filepath.Join(r.maps, "cases")
	if err := os.Mkdir(cases, 0o700); err != nil {
		t.Fatal(err)
	}
	r.write(filepath.Join(cases, "sex.txtar"), content)
	r.until("the case is run", func() bool { return r.logged(`"count":1`) })
	r.sex("male")
	r.untilSaid("stale", "1")
	if sex, digest := r.send(1); sex != "F" || digest != before {
		t.Errorf("PID-8 %s, maps %s, before %s", sex, digest, before)
	}
	line := 1 + bytes.Count(content[:bytes.Index(content, []byte(`"gender"`))], []byte("\n"))
	r.until("the log says which case", func() bool { return r.logged(fmt.Sprintf("maps/cases/sex.txtar:%d:1", line)) })
	if _, err := openMaps(r.a.cfg, r.a.log, observe.NewMetrics()); err == nil || !strings.Contains(err.Error(), "sex.txtar") {
		t.Errorf("a gateway starts with what a running one does not take: %v", err)
	}
	r.write(filepath.Join(cases, "sex.txtar"), bytes.Replace(content, []byte(`"gender": "female"`), []byte(`"gender": "male"`), 1))
	r.untilSaid("up", "0")
	if sex, digest := r.send(2); sex != "M" || digest == before {
		t.Errorf("with the case changed too: PID-8 %s, maps %s", sex, digest)
	}
}

// What editors, version control and mounted volumes put beside maps is not looked at.
func TestHiddenFilesBesideMapsAreNothing(t *testing.T) {
	r := startReloading(t)
	before := r.a.pipeline.Maps()
	if err := os.Symlink("nobody@nowhere", filepath.Join(r.maps, "tables", ".#AdministrativeSexUK.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(r.maps, ".git"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.write(filepath.Join(r.maps, ".git", "x.yaml"), []byte("x: ["))
	time.Sleep(10 * r.a.every)
	r.untilSaid("up", "0")
	if r.a.pipeline.Maps() != before {
		t.Error("the maps were compiled again")
	}
	if _, err := openMaps(r.a.cfg, r.a.log, observe.NewMetrics()); err != nil {
		t.Errorf("a gateway does not start with them: %v", err)
	}
}

// A file that grows is left alone until it is whole, though its first half compiles too.
func TestAHalfWrittenMapIsWaitedFor(t *testing.T) {
	r := startReloading(t)
	m, err := openMaps(r.a.cfg, r.a.log, observe.NewMetrics())
	if err != nil {
		t.Fatal(err)
	}
	before := m.set.Load()
	for _, part := range []string{"table: AdministrativeSexUK\n", "table: AdministrativeSexUK\nextend: true\n", fmt.Sprintf(sexTable, "male")} {
		if err := os.WriteFile(r.table(), []byte(part), 0o600); err != nil {
			t.Fatal(err)
		}
		if m.look(); m.set.Load() != before || m.stale.Load() {
			t.Fatalf("after %q something was tried", part)
		}
	}
	if m.look(); m.set.Load() == before || m.stale.Load() {
		t.Error("the whole file was not taken")
	}
	if before = m.set.Load(); m.check(t.Context()) != nil {
		t.Error("it is said to be stale")
	}
	if m.look(); m.set.Load() != before {
		t.Error("nothing changed and it was compiled again")
	}
}

// Two senders, of 100 messages a second each at most, do not notice that the maps are edited back and forth under
// them, with a broken edit between: all is taken, and each message names the set that made its translation.
func TestMapsChangeUnderLoad(t *testing.T) {
	r := startReloading(t)
	sets := map[string]string{"female": r.inForce()}
	r.sex("male")
	r.until("the edit is in force", func() bool { return r.inForce() != sets["female"] })
	sets["male"] = r.inForce()
	edited := make(chan struct{})
	sent := [2]int{}
	var wg sync.WaitGroup
	for k := range sent {
		wg.Go(func() {
			var conn *mllp.Conn
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for {
				if code, err := exchange(&conn, r.a.servers[0].Address(), referral(k*50_000+sent[k])); code != "AA" {
					t.Errorf("message %d of sender %d: %s %v", sent[k], k, code, err)
				}
				sent[k]++
				select {
				case <-edited:
					conn.Close()
					return
				case <-tick.C:
				}
			}
		})
	}
	for range 3 {
		for _, code := range []string{"female", "male"} {
			r.write(r.table(), []byte("table: [\n"))
			r.untilSaid("stale", "1")
			r.sex(code)
			r.until("the edit is in force", func() bool { return r.inForce() == sets[code] })
		}
	}
	close(edited)
	wg.Wait()
	all := sent[0] + sent[1]
	wanted := map[string]string{sets["female"]: "F", sets["male"]: "M"}
	r.until("all have arrived", func() bool { return r.arrivals() == all })
	r.mu.Lock()
	defer r.mu.Unlock()
	by := map[string]int{}
	for _, receipt := range r.receipts {
		m, err := r.a.store.Message(r.ctx, receipt.Message)
		if err != nil {
			t.Fatal(err)
		}
		placer := "P" + strings.TrimPrefix(controlIDOf(t, r, m), "C")
		if sex := wanted[m.Maps]; sex == "" || sex != r.came[placer] {
			t.Errorf("%s: PID-8 %s, maps %s", placer, r.came[placer], m.Maps)
		}
		by[wanted[m.Maps]]++
	}
	t.Logf("%d messages: %v", len(r.receipts), by)
	if len(r.receipts) != all || by["F"] == 0 || by["M"] == 0 {
		t.Errorf("%d messages, by set %v: both were to be at work", len(r.receipts), by)
	}
}

func (r *reloading) arrivals() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.came)
}

func controlIDOf(t *testing.T, r *reloading, m flow.Message) string {
	t.Helper()
	original, err := r.a.pipeline.Original(r.ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	defer original.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(original); err != nil {
		t.Fatal(err)
	}
	parsed, err := hl7.Parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Get(hl7.MustPath("MSH-10")).Text()
}
