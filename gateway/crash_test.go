package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// binary builds the program once for all tests that kill it.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(shared, "gateway")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// sink is a hospital that counts: which referral came under which control id, how often.
type sink struct {
	mu     sync.Mutex
	came   map[string]map[string]int // by placer number (RF1-6), then MSH-10
	server *mllp.Server
}

func startSink(t *testing.T) *sink { return startSinkAt(t, "127.0.0.1:0") }

func startSinkAt(t *testing.T, address string) *sink {
	t.Helper()
	s := &sink{came: map[string]map[string]int{}, server: &mllp.Server{Name: "sink", Addr: address}}
	if err := s.server.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	receiver := &mllp.Receiver{Handle: func(_ context.Context, raw []byte) { s.take(t, raw) }}
	done := make(chan error, 1)
	go func() { done <- s.server.Serve(ctx, receiver.Accept) }()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

func (s *sink) take(t *testing.T, raw []byte) {
	m, err := hl7.Parse(raw)
	if err != nil {
		t.Errorf("the sink got what is no HL7: %v", err)
		return
	}
	placer, key := m.Get(hl7.MustPath("RF1-6.1")).Text(), m.Get(hl7.MustPath("MSH-10")).Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.came[placer] == nil {
		s.came[placer] = map[string]int{}
	}
	s.came[placer][key]++
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.came)
}

// process is a gateway in a process of its own, killed and started at will.
type process struct {
	t      testing.TB
	config string
	log    string
	cmd    *exec.Cmd
}

func (p *process) start() {
	p.t.Helper()
	path, err := binary()
	if err != nil {
		p.t.Fatal(err)
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(path, "serve", "-c", p.config)
	p.cmd.Stderr = log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// kill is kill -9.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
	p.cmd.Wait()
}

func freePort(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", adaptertest.FreePort(t))
}

const crashConfig = `site: {name: Test, ods: RXX01}
store: %s
photos: {url: "file://%s/photos", key_file: %s/photo.key}
http: {listen: %s}
admin: {listen: %s}
sources:
  - name: gp
    kind: mllp
    listen: %s
    organisation: Y06601
    kind_of_case: {from: "RF1-3.1", advice: [AG], referral: [DERM]}
    urgency: {from: "RF1-2.1", two_week_wait: [2WW], urgent: [U], routine: [R]}
destinations:
  - {name: sink, kind: mllp, address: %s, message: REF_I12, concurrency: 4}
routes:
  - {when: {case: referral}, to: [sink]}
`

// referral is a small referral, one of many.
func referral(n int) []byte {
	return fmt.Appendf(nil, "MSH|^~\\&|EMIS|Y06601|DERMGATE|RXX01|20261124101500||REF^I12^REF_I12|C%05d|P|2.4|||AL|NE|GBR|UNICODE UTF-8\r"+
		"RF1|P|R^Routine|DERM^Dermatology|||P%05d^EMIS|20261124101500||20261124101500\r"+
		"PRD|RP|Okafor^Ngozi^^^Dr|||||G5612908^GMP|||LAMBETH ROAD SURGERY^^Y06601\r"+
		"PRD|RT|||||||||ST ELSEWHERE DERMATOLOGY^^RXX01\r"+
		"PID|1||9990001014^^^NHS^NH||Testcase^Rosalind^^^Ms||19680412|2\r"+
		"OBX|1|FT|QUESTION^Clinical question^L||Itchy plaque||||||F\r", n, n)
}

func exchange(conn **mllp.Conn, address string, message []byte) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var err error
	if *conn == nil {
		if *conn, err = mllp.Dial(ctx, address, nil); err != nil {
			*conn = nil
			return "", err
		}
	}
	raw, err := (*conn).Exchange(ctx, message)
	if err != nil {
		(*conn).Close()
		*conn = nil
		return "", err
	}
	ack, err := hl7.ParseAck(raw)
	return ack.Code, err
}

// A repeat gives the first answer, byte for byte, and has no second effect.
func TestTheSameMessageThreeTimesIsOneCaseOneDeliveryThreeEqualAnswers(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "photo.key"), bytes.Repeat([]byte("ab"), 32), 0o600); err != nil {
		t.Fatal(err)
	}
	s, address := startSink(t), freePort(t)
	p := &process{t: t, config: filepath.Join(dir, "gateway.yaml"), log: filepath.Join(dir, "log")}
	text := fmt.Sprintf(crashConfig, fmt.Sprintf("{embedded: {path: %s/gateway.db}}", dir), dir, dir, freePort(t), freePort(t), address, s.server.Address())
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.start()
	defer func() { p.kill() }()
	var answers []string
	for len(answers) < 3 {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		conn, err := mllp.Dial(ctx, address, nil)
		if err != nil {
			cancel()
			time.Sleep(50 * time.Millisecond)
			continue
		}
		raw, err := conn.Exchange(ctx, referral(1))
		cancel()
		conn.Close()
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, string(raw))
	}
	if answers[0] != answers[1] || answers[1] != answers[2] || !strings.Contains(answers[0], "|AA|C00001") && !strings.Contains(answers[0], "MSA|AA|C00001") {
		t.Errorf("answers differ:\n%q", answers)
	}
	for deadline := time.Now().Add(10 * time.Second); s.count() == 0 && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(500 * time.Millisecond) // long enough for a second delivery to show
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.came) != 1 || len(s.came["P00001"]) != 1 {
		t.Fatalf("deliveries: %v", s.came)
	}
	for _, n := range s.came["P00001"] {
		if n != 1 {
			t.Errorf("delivered %d times", n)
		}
	}
}
