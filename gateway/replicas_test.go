package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// fleet is several gateways, each a process of its own, on one Redis and one folder of photos.
type fleet struct {
	testing.TB
	all []*member
}

type member struct {
	process
	mllp, http, admin string
}

// startFleet starts n gateways; adapt changes the text of their configuration.
func startFleet(t testing.TB, n int, redis, sink string, adapt func(string) string) *fleet {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "photo.key"), bytes.Repeat([]byte("ab"), 32), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &fleet{TB: t}
	for i := range n {
		m := &member{mllp: freePort(t), http: freePort(t), admin: freePort(t),
			process: process{t: t, config: filepath.Join(dir, fmt.Sprintf("gateway%d.yaml", i)), log: filepath.Join(dir, fmt.Sprintf("log%d", i))}}
		text := fmt.Sprintf(crashConfig, fmt.Sprintf("{redis: {url: redis://%s/0}}", redis), dir, dir, m.http, m.admin, m.mllp, sink)
		if adapt != nil {
			text = adapt(text)
		}
		if err := os.WriteFile(m.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f.all = append(f.all, m)
		m.start()
	}
	t.Cleanup(func() {
		for _, m := range f.all {
			if m.cmd != nil {
				m.kill()
			}
			log, _ := os.ReadFile(m.log)
			noPatients(t, "the log", log)
			if t.Failed() {
				t.Logf("%s", log[max(0, len(log)-3000):])
			}
		}
	})
	for _, m := range f.all {
		m.ready()
	}
	return f
}

// ready waits until the gateway says that it takes messages.
func (m *member) ready() {
	m.t.Helper()
	for limit := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://" + m.admin + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(limit) {
			m.t.Fatalf("not ready: %v", err)
		}
	}
}

// term is SIGTERM; it gives how the process ended.
func (m *member) term() error {
	m.t.Helper()
	if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		m.t.Fatal(err)
	}
	err := m.cmd.Wait()
	m.cmd = nil
	return err
}

func (m *member) operate(args ...string) string {
	m.t.Helper()
	var out bytes.Buffer
	if code := run(m.t.Context(), append(args, "--server", "http://"+m.admin), stdio{nil, &out, &out}); code != 0 {
		m.t.Fatalf("%v: exit %d: %s", args, code, out.String())
	}
	return out.String()
}

// delivered gives how many deliveries this gateway has made to the sink.
func (m *member) delivered() (n int) {
	m.t.Helper()
	resp, err := http.Get("http://" + m.admin + "/metrics")
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	_, after, _ := strings.Cut(string(text), `dermgate_deliveries_total{destination="sink",result="delivered"} `)
	fmt.Sscan(after, &n)
	return n
}

func (f *fleet) send(m *member, conn **mllp.Conn, message []byte) {
	f.Helper()
	if code, err := exchange(conn, m.mllp, message); code != "AA" {
		f.Fatalf("%s %v", code, err)
	}
}

func (f *fleet) until(what string, done func() bool) {
	f.Helper()
	for limit := time.Now().Add(60 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			f.Fatalf("not within a minute: %s", what)
		}
	}
}

// ordered is a receiver that remembers what came when, in order.
type ordered struct {
	mu   sync.Mutex
	came []arrival
	addr string
}

type arrival struct {
	placer string
	at     time.Time
}

func startOrdered(t testing.TB) *ordered { return startSlow(t, 0) }

// startSlow starts one that takes its time for each message.
func startSlow(t testing.TB, takes time.Duration) *ordered {
	t.Helper()
	o := &ordered{}
	server := &mllp.Server{Name: "sink", Addr: "127.0.0.1:0"}
	if err := server.Listen(); err != nil {
		t.Fatal(err)
	}
	o.addr = server.Address()
	receiver := &mllp.Receiver{Handle: func(_ context.Context, raw []byte) {
		m, err := hl7.Parse(raw)
		if err != nil {
			t.Error(err)
			return
		}
		time.Sleep(takes)
		o.mu.Lock()
		defer o.mu.Unlock()
		id := cmp.Or(m.Get(hl7.MustPath("RF1-6.1")).Text(), m.Get(hl7.MustPath("RF1-11.1")).Text())
		o.came = append(o.came, arrival{id, time.Now()})
	}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, receiver.Accept) }()
	t.Cleanup(func() { cancel(); <-done })
	return o
}

func (o *ordered) all() []arrival { o.mu.Lock(); defer o.mu.Unlock(); return slices.Clone(o.came) }

func urgentReferral(n int) []byte {
	return bytes.Replace(referral(n), []byte("R^Routine"), []byte("2WW^Two Week Wait"), 1)
}

// Two gateways on one Redis: a pause stops both, suspected cancer then goes first although it came last, and together they
// begin no more than ten a second, each its share.
func TestTwoReplicasShareAPauseARateAndTheOrder(t *testing.T) {
	sink := startOrdered(t)
	f := startFleet(t, 2, adaptertest.Redis(t).Addr(), sink.addr, func(text string) string {
		return strings.Replace(text, "concurrency: 4", "concurrency: 4, rate: 10/s", 1)
	})
	f.all[0].operate("pause", "sink", "--reason", "upgrade")
	const n = 30
	conns := make([]*mllp.Conn, 2)
	for i := range n {
		f.send(f.all[i%2], &conns[i%2], referral(i))
	}
	f.send(f.all[1], &conns[1], urgentReferral(n))
	time.Sleep(1500 * time.Millisecond) // both have looked
	if got := sink.all(); len(got) != 0 {
		t.Fatalf("%d arrived although the destination is paused", len(got))
	}
	f.all[1].operate("resume", "sink", "--reason", "done")
	f.until("all are there", func() bool { return len(sink.all()) >= n+1 })
	got := sink.all()
	if want := fmt.Sprintf("P%05d", n); got[0].placer != want {
		t.Errorf("%s came first, want %s, the suspected cancer", got[0].placer, want)
	}
	took := got[n].at.Sub(got[0].at)
	if least := n * 100 * time.Millisecond * 9 / 10; took < least {
		t.Errorf("%d in %v, at ten a second", n, took)
	}
	a, b := f.all[0].delivered(), f.all[1].delivered()
	if a+b != n+1 || a == 0 || b == 0 {
		t.Errorf("one delivered %d, the other %d", a, b)
	}
	t.Logf("%d in %v, by one %d, by the other %d", n+1, took.Round(time.Millisecond), a, b)
}

// Clocks that are due ring once, by whichever of two gateways; what came due while both were gone rings when they are back,
// in the order in which it was due.
func TestClocksRingOnceAndCatchUp(t *testing.T) {
	sink := freePort(t) // nobody listens: the cases stay where they are
	f := startFleet(t, 2, adaptertest.Redis(t).Addr(), sink, func(text string) string { return text + "timers: {submitted: 3s}\n" })
	var conn *mllp.Conn
	const n = 12
	for i := range n {
		f.send(f.all[0], &conn, referral(i))
	}
	f.until("every clock has rung", func() bool { return len(f.rung()) == n })
	for i := n; i < 2*n; i++ {
		f.send(f.all[0], &conn, referral(i))
		time.Sleep(20 * time.Millisecond)
	}
	for _, m := range f.all {
		m.kill()
	}
	time.Sleep(4 * time.Second) // all come due while nobody is there
	for _, m := range f.all {
		m.start()
	}
	for _, m := range f.all {
		m.ready()
	}
	f.until("those that were missed have rung", func() bool { return len(f.rung()) == 2*n })
	time.Sleep(1500 * time.Millisecond) // long enough for a second ring
	var all []ring
	for id, r := range f.rung() {
		if all = append(all, r); r.times != 1 {
			t.Errorf("the clock of case %s rang %d times", id, r.times)
		}
	}
	slices.SortFunc(all, func(a, b ring) int { return a.opened.Compare(b.opened) }) // as their clocks are due
	missed := all[n:]
	for i := range missed {
		for j := i + 5; j < len(missed); j++ { // each gateway rings one at a time: neighbours may change places
			if missed[j].at.Before(missed[i].at) {
				t.Errorf("number %d rang before number %d", j, i)
			}
		}
	}
}

type ring struct {
	opened, at time.Time
	times      int
}

// rung gives the cases whose clock has rung.
func (f *fleet) rung() map[string]ring {
	f.Helper()
	var list struct {
		Cases []struct {
			ID     string
			Opened time.Time
		}
	}
	if err := json.Unmarshal([]byte(f.all[0].operate("cases", "--json")), &list); err != nil {
		f.Fatal(err)
	}
	out := map[string]ring{}
	for _, c := range list.Cases {
		var told struct{ Story []flow.Event }
		if err := json.Unmarshal([]byte(f.all[1].operate("trace", c.ID, "--json")), &told); err != nil {
			f.Fatal(err)
		}
		r := ring{opened: c.Opened}
		for _, e := range told.Story {
			if e.What == "overdue" {
				r.at = e.At
				r.times++
			}
		}
		if r.times > 0 {
			out[c.ID] = r
		}
	}
	return out
}

// startHAProxy puts the shipped HAProxy in front of a fleet.
func startHAProxy(t *testing.T, f *fleet) (mllpAddress, httpAddress string) {
	t.Helper()
	path, err := exec.LookPath("haproxy")
	if err != nil {
		path = "/usr/sbin/haproxy"
	}
	mllpAddress, httpAddress = freePort(t), freePort(t)
	cmd := exec.Command(path, "-db", "-f", "deploy/haproxy.cfg")
	cmd.Env = append(os.Environ(), "MLLP="+mllpAddress, "HTTP="+httpAddress)
	for i, m := range f.all {
		_, port, _ := strings.Cut(m.admin, ":")
		cmd.Env = append(cmd.Env, fmt.Sprintf("GATEWAY%d_MLLP=%s", i+1, m.mllp), fmt.Sprintf("GATEWAY%d_HTTP=%s", i+1, m.http), fmt.Sprintf("GATEWAY%d_ADMIN_PORT=%s", i+1, port))
	}
	var log lockedBuffer
	cmd.Stderr, cmd.Stdout = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("these tests need haproxy (apt-get install haproxy): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("haproxy: %s", log.Bytes())
		}
	})
	f.until("HAProxy listens", func() bool {
		c, err := net.Dial("tcp", mllpAddress)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return mllpAddress, httpAddress
}

// practice is a GP system that keeps a connection, sends one message after another, and connects again when it was closed.
type practice struct {
	sent, refused, again, unreachable int
}

func (s *practice) run(t *testing.T, address string, next func() (int, bool)) {
	var conn *mllp.Conn
	for {
		n, more := next()
		if !more {
			return
		}
		for tries := 0; ; tries++ {
			if tries > 200 {
				t.Errorf("message %d was not acknowledged", n)
				return
			}
			fresh := conn == nil
			code, err := exchange(&conn, address, referral(n))
			switch {
			case err != nil && fresh && strings.Contains(err.Error(), "refused"):
				s.unreachable++
			case err != nil:
				s.again++ // closed without an answer: sent again, under the same control id
			case code != "AA":
				s.refused++
			default:
				s.sent++
			}
			if err == nil && code == "AA" {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// Three gateways behind HAProxy are restarted in turn under load: no message is refused, none is lost, none is delivered
// twice, and every gateway ends by itself.
func TestRollingRestartRefusesAndLosesNothing(t *testing.T) {
	s := startSink(t)
	f := startFleet(t, 3, adaptertest.Redis(t).Addr(), s.server.Address(), func(text string) string {
		text = strings.Replace(text, "    organisation: Y06601", "    proxies: [127.0.0.1]\n    organisation: Y06601", 1)
		return text + "shutdown: {notice: 1500ms, grace: 10s}\n"
	})
	address, _ := startHAProxy(t, f)
	var mu sync.Mutex
	count, stopped := 0, false
	next := func() (int, bool) { mu.Lock(); defer mu.Unlock(); count++; return count - 1, !stopped }
	senders := make([]practice, 6)
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() { senders[i].run(t, address, next) })
	}
	s.waitFor(t, 50)
	for i, m := range f.all {
		if err := m.term(); err != nil {
			t.Errorf("gateway %d: %v", i+1, err)
		}
		m.start()
		m.ready()
		time.Sleep(time.Second) // HAProxy has seen it
	}
	mu.Lock()
	stopped = true
	mu.Unlock()
	wg.Wait()
	total := practice{}
	for _, each := range senders {
		total.sent += each.sent
		total.refused += each.refused
		total.again += each.again
		total.unreachable += each.unreachable
	}
	s.waitFor(t, total.sent)
	lost, repeats := 0, 0
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range total.sent {
		keys := s.came[fmt.Sprintf("P%05d", n)]
		if len(keys) == 0 {
			lost++
		}
		for _, times := range keys {
			repeats += times - 1
		}
		repeats += max(0, len(keys)-1)
	}
	t.Logf("%d acknowledged, %d refused, %d connections refused, %d sent again on a new connection, %d lost, %d delivered twice", total.sent, total.refused, total.unreachable, total.again, lost, repeats)
	if total.refused+total.unreachable+lost+repeats != 0 || total.sent < 100 {
		t.Error("a rolling restart was noticed")
	}
}

// waitFor waits until so many different referrals are there.
func (s *sink) waitFor(t *testing.T, n int) {
	t.Helper()
	for limit := time.Now().Add(60 * time.Second); s.count() < n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%d of %d arrived", s.count(), n)
		}
	}
}
