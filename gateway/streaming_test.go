package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/fixtures"
	"github.com/dermgate/dermgate/fixtures/photos"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/image"
)

// streams is a gateway in a process of its own, senders that send it photos all at once, and a hospital that
// looks at what arrives.
type streams struct {
	t     testing.TB
	p     *process
	stop  func()
	mllp  string
	http  string
	admin string
	want  [sha256.Size]byte // of the photo as it may travel

	mu      sync.Mutex
	arrived map[string]bool // by placer number
	server  *mllp.Server
}

const streamConfig = `site: {name: Test, ods: RXX01}
store: {embedded: {path: %[1]s/gateway.db}}
photos: {url: "file://%[1]s/photos"}
http: {listen: %[2]s}
admin: {listen: %[3]s}
sources:
  - name: gp
    kind: mllp
    listen: %[4]s
    organisation: Y06601
    kind_of_case: {from: "RF1-3.1", advice: [AG], referral: [DERM]}
    urgency: {from: "RF1-2.1", two_week_wait: [2WW], urgent: [U], routine: [R]}
    checks: {consent: warn}
  - {name: gp-fhir, kind: fhir, checks: {consent: warn}}
destinations:
  - {name: epr, kind: mllp, address: %[5]s, message: REF_I12, %[6]s}
routes:
  - {when: {case: referral}, to: [epr]}
`

func startStreams(t testing.TB, photo []byte) *streams {
	t.Helper()
	return startStreamsTo(t, photo, "concurrency: 4")
}

// startStreamsTo has more keys for the hospital.
func startStreamsTo(t testing.TB, photo []byte, keys string) *streams {
	t.Helper()
	s := &streams{t: t, mllp: freePort(t), http: freePort(t), admin: freePort(t), arrived: map[string]bool{}}
	if photo != nil {
		s.want = asItMayTravel(t, photo)
	}
	s.server = &mllp.Server{Name: "epr", Addr: "127.0.0.1:0"}
	if err := s.server.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	receiver := &mllp.Receiver{Handle: func(_ context.Context, raw []byte) { s.take(raw) }}
	go func() { done <- s.server.Serve(ctx, receiver.Accept) }()
	t.Cleanup(func() { cancel(); <-done })
	dir := t.TempDir()
	s.p = &process{t: t, config: filepath.Join(dir, "gateway.yaml"), log: filepath.Join(dir, "log")}
	text := fmt.Sprintf(streamConfig, dir, s.http, s.admin, s.mllp, s.server.Address(), keys)
	if err := os.WriteFile(s.p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.p.start()
	s.stop = sync.OnceFunc(s.p.kill)
	t.Cleanup(s.stop)
	s.await("the gateway to listen", func() bool {
		conn, err := net.Dial("tcp", s.http)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return s
}

// asItMayTravel is the hash of a photo without its private metadata.
func asItMayTravel(t testing.TB, photo []byte) [sha256.Size]byte {
	t.Helper()
	stripped, err := image.Strip(bytes.NewReader(photo))
	if err != nil || !stripped.Changed() {
		t.Fatal("the photo has nothing private", err)
	}
	clean, err := io.ReadAll(stripped.NewReader())
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(clean)
}

func (s *streams) await(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) { // 32 conversions on a machine with other work to do
		if time.Now().After(end) {
			log, _ := os.ReadFile(s.p.log)
			s.t.Fatalf("waiting for %s\n%s", what, log[max(0, len(log)-3000):])
		}
	}
}

// take looks at the photos of a referral that has arrived.
func (s *streams) take(raw []byte) {
	m, err := hl7.Parse(raw)
	if err != nil {
		s.t.Errorf("what arrived is no HL7: %v", err)
		return
	}
	found := s.want == [sha256.Size]byte{} // none is expected
	for i := 1; i <= m.Count("OBX"); i++ {
		data := m.Get(hl7.MustPath(fmt.Sprintf("OBX[%d]-5.5", i))).Raw()
		photo := make([]byte, base64.StdEncoding.DecodedLen(len(data)))
		if n, err := base64.StdEncoding.Decode(photo, data); err == nil && sha256.Sum256(photo[:n]) == s.want {
			found = true
		}
	}
	if !found {
		s.t.Error("the photo did not arrive as it may travel")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived[m.Get(hl7.MustPath("RF1-6.1")).Text()] = true
}

func (s *streams) delivered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.arrived)
}

// peak is the largest resident size the gateway had, in megabytes.
func (s *streams) peak() float64 {
	s.t.Helper()
	mb := peakOf(s.p.cmd.Process.Pid)
	if mb == 0 {
		s.t.Fatal("the gateway is gone")
	}
	return mb
}

// peakOf is the largest resident size that a process had, in megabytes; 0 when it has ended.
func peakOf(pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, after, found := strings.Cut(string(status), "VmHWM:")
	if err != nil || !found {
		return 0
	}
	kb, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		return 0
	}
	return float64(kb) / 1000
}

// largePhoto is a JPEG of a size, with private metadata: its picture data is long and means nothing.
func largePhoto(t testing.TB, size int) []byte {
	t.Helper()
	small, err := photos.File("L1-closeup.jpg")
	if err != nil {
		t.Fatal(err)
	}
	small = photos.WithPrivate(small, 6)
	filler := make([]byte, max(0, size-len(small)))
	rnd := rand.New(rand.NewSource(1))
	for i := range filler {
		filler[i] = byte(rnd.Intn(255)) // no 0xFF: that would begin a marker
	}
	end := len(small) - 2 // EOI
	return bytes.Join([][]byte{small[:end], filler, small[end:]}, nil)
}

// all sends n messages at once and waits until all are acknowledged and delivered.
func (s *streams) all(n int, send func(i int) error) {
	s.t.Helper()
	var wg sync.WaitGroup
	before := s.delivered()
	for i := range n {
		wg.Go(func() {
			if err := send(i); err != nil {
				s.t.Errorf("message %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if s.t.Failed() {
		log, _ := os.ReadFile(s.p.log)
		s.t.Fatalf("%s", log[max(0, len(log)-3000):])
	}
	s.await("the deliveries", func() bool { return s.delivered() == before+n })
}

// overMLLP sends a referral with a photo over a connection of its own.
func (s *streams) overMLLP(i int, encoded []byte) error {
	conn, err := net.Dial("tcp", s.mllp)
	if err != nil {
		return err
	}
	defer conn.Close()
	whole := net.Buffers(slices.Concat([][]byte{{0x0b}}, mllpMessage(i, encoded), [][]byte{{0x1c, '\r'}}))
	if _, err := whole.WriteTo(conn); err != nil {
		return err
	}
	conn.SetReadDeadline(time.Now().Add(20 * time.Minute))
	raw, err := mllp.NewReader(conn, 0).ReadFrame()
	if err != nil {
		return err
	}
	ack, err := hl7.ParseAck(raw)
	if err == nil && ack.Code != "AA" {
		err = fmt.Errorf("%s", raw)
	}
	return err
}

func mllpMessage(i int, encoded []byte) [][]byte {
	return [][]byte{referral(i), []byte("OBX|2|ED|CLOSEUP^Close-up photo^L|L1|^image^jpeg^Base64^"), encoded, []byte("||||||F\r")}
}

// original finds a message among those kept, by its hash, and holds what the operator's route gives against
// what was sent.
func (s *streams) original(parts [][]byte) {
	s.t.Helper()
	sent := bytes.Join(parts, nil)
	want := fmt.Sprintf("%x", sha256.Sum256(sent))
	var found struct {
		Cases []struct{ ID string }
	}
	s.ask(http.MethodPost, "/api/v1/cases/search", "{}", &found)
	for _, c := range found.Cases {
		var shown struct {
			Case struct{ Request struct{ Message string } }
		}
		s.ask(http.MethodGet, "/api/v1/cases/"+c.ID, "", &shown)
		var m struct{ Whole flow.Whole }
		s.ask(http.MethodGet, "/api/v1/messages/"+shown.Case.Request.Message, "", &m)
		if m.Whole.SHA256 != want {
			continue
		}
		resp, err := http.Get("http://" + s.admin + "/api/v1/messages/" + shown.Case.Request.Message + "/original")
		if err != nil {
			s.t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(got, sent) {
			s.t.Errorf("%s: %d bytes of %d, not those that were sent: %v", resp.Status, len(got), len(sent), err)
		}
		return
	}
	s.t.Errorf("no message of the hash %s among %d cases", want, len(found.Cases))
}

func (s *streams) ask(method, path, body string, into any) {
	s.t.Helper()
	req, err := http.NewRequest(method, "http://"+s.admin+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s %v", path, resp.Status, err)
	}
}

// overFHIR posts the fixture's referral with the photo as its close-up.
func (s *streams) overFHIR(i int, bundle [2][]byte, encoded []byte) error {
	parts := fhirMessage(i, bundle, encoded)
	body := io.MultiReader(bytes.NewReader(parts[0]), bytes.NewReader(parts[1]), bytes.NewReader(parts[2]))
	req, err := http.NewRequest(http.MethodPost, "http://"+s.http+"/fhir/$process-message", body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/fhir+json")
	req.Header.Set("X-Request-ID", fmt.Sprintf("FH-%04d", i))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return nil
}

func fhirMessage(i int, bundle [2][]byte, encoded []byte) [][]byte {
	id := fmt.Sprintf("FH-%04d", i)
	head := bytes.ReplaceAll(bytes.ReplaceAll(bundle[0], []byte("RT-0001"), []byte(id)), []byte("RT-REF-0001"), []byte("R"+id))
	return [][]byte{head, encoded, bundle[1]}
}

// fhirReferral gives the fixture's referral cut in two where the close-up's data goes.
func fhirReferral(t testing.TB) [2][]byte {
	t.Helper()
	raw, err := fixtures.Raw("referral-routine.json")
	if err != nil {
		t.Fatal(err)
	}
	before, after, _ := bytes.Cut(raw, []byte("${photo L1-closeup.jpg}"))
	if after, err = fixtures.Fill(after); err != nil {
		t.Fatal(err)
	}
	return [2][]byte{before, after}
}

// 15 MB photos from several senders at once go through to the hospital, over MLLP and over HTTP, without ever
// being whole in the gateway's memory. Eight of them in memory, encoded, would alone be 160 MB.
func TestLargePhotosStreamThrough(t *testing.T) {
	photo := largePhoto(t, 15_000_000)
	encoded, bundle := []byte(base64.StdEncoding.EncodeToString(photo)), fhirReferral(t)
	s := startStreams(t, photo)
	s.all(8, func(i int) error { return s.overMLLP(i, encoded) })
	s.all(4, func(i int) error { return s.overFHIR(i, bundle, encoded) })
	s.original(mllpMessage(3, encoded))
	s.original(fhirMessage(2, bundle, encoded))
	t.Logf("peak resident %.0f MB", s.peak())
	if s.peak() > 200 {
		t.Errorf("peak resident %.0f MB, want below 200", s.peak())
	}
}

// BenchmarkStreaming is 64 senders at once with a 20 MB message each, one photo of 15 MB in it, accepted and
// delivered: over MLLP, then over HTTP as FHIR, into one gateway. The peak must stay below 200 MB.
func BenchmarkStreaming(b *testing.B) {
	photo := largePhoto(b, 15_000_000)
	encoded, bundle := []byte(base64.StdEncoding.EncodeToString(photo)), fhirReferral(b)
	for b.Loop() {
		s := startStreams(b, photo)
		s.all(64, func(i int) error { return s.overMLLP(i, encoded) })
		b.ReportMetric(s.peak(), "mllp-peak-MB")
		s.all(64, func(i int) error { return s.overFHIR(i, bundle, encoded) })
		b.ReportMetric(s.peak(), "peak-MB")
		s.stop()
	}
}
