package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/observe"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// ackConfig has a source of each mode.
const ackConfig = `site: {name: St Elsewhere, ods: RXX01}
store: {embedded: {path: "${DIR}/gateway.db"}}
photos: {url: "file://${DIR}/photos"}
http: {listen: "${HTTP}"}
admin: {listen: "${ADMIN}"}
sources:
  - name: enhanced
    kind: mllp
    listen: "${MLLP}"
    organisation: Y06601
    kind_of_case: {from: "RF1-3.1", advice: [AG], referral: [DERM]}
    urgency: {from: "RF1-2.1", two_week_wait: [2WW], urgent: [U], routine: [R]}
    acknowledge: {mode: enhanced, application_to: gp}
  - name: original
    kind: hl7http
    organisation: Y06601
    kind_of_case: {from: "RF1-3.1", advice: [AG], referral: [DERM]}
    urgency: {from: "RF1-2.1", two_week_wait: [2WW], urgent: [U], routine: [R]}
destinations:
  - {name: epr, kind: mllp, address: "${EPR}", message: REF_I12}
  - {name: gp, kind: mllp, address: "${GP_EMIS}"}
routes:
  - {when: {case: referral}, to: [epr]}
`

// What each mode answers at once and owes later, by MSH-15 and MSH-16 and by what became of the message
// (HL7 v2.8 §2.9.2 and §2.9.3). A second sending gets the same bytes and nothing later.
func TestAcknowledgementByModeConditionsAndOutcome(t *testing.T) {
	w := ackWorld(t)
	enhanced := map[string]map[string]string{ // MSH-15 → outcome → answer at once / later, for MSH-16 AL NE ER SU -
		"AL": {"kept": "CA/AA CA/ CA/ CA/AA CA/", "bad": "CE/ CE/ CE/ CE/ CE/", "unknown": "CR/ CR/ CR/ CR/ CR/"},
		"NE": {"kept": "AA/ / / AA/ /", "bad": "AE/ / AE/ / /", "unknown": "AR/ / AR/ / /"},
		"ER": {"kept": "/AA / / /AA /", "bad": "CE/ CE/ CE/ CE/ CE/", "unknown": "CR/ CR/ CR/ CR/ CR/"},
		"SU": {"kept": "CA/AA CA/ CA/ CA/AA CA/", "bad": "AE/ / AE/ / /", "unknown": "AR/ / AR/ / /"},
		"-":  {"kept": "AA/ / / AA/ AA/", "bad": "AE/ / AE/ / AE/", "unknown": "AR/ / AR/ / AR/"},
	}
	original := map[string]string{"kept": "AA/", "bad": "AE/", "unknown": "AR/"}
	n := 0
	for accept, outcomes := range enhanced {
		for outcome, cells := range outcomes {
			for i, application := range []string{"AL", "NE", "ER", "SU", "-"} {
				for source, want := range map[string]string{"enhanced": strings.Fields(cells)[i], "original": original[outcome]} {
					n++
					what := fmt.Sprintf("%s, MSH-15 %s, MSH-16 %s, %s", source, accept, application, outcome)
					if got := w.acknowledged(t, source, asking(n, accept, application, outcome)); got != want {
						t.Errorf("%s: %s, want %s", what, got, want)
					}
				}
			}
		}
	}
}

func ackWorld(t *testing.T) *world {
	t.Helper()
	w := buildAckWorld(t, ackConfig, io.Discard)
	t.Cleanup(func() { w.app.close(); w.close() })
	return w
}

func buildAckWorld(t *testing.T, text string, log io.Writer) *world {
	t.Helper()
	gin.SetMode(gin.ReleaseMode)
	w, err := startWorld(context.Background(), []byte(text), [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}, observe.NewLogger(log, slog.LevelWarn))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// runAckWorld lets the gateway deliver, with a store of each kind.
func runAckWorld(t *testing.T, do func(t *testing.T, w *world, log *lockedBuffer)) {
	for name, text := range map[string]func(t *testing.T) string{
		"bolt": func(*testing.T) string { return ackConfig },
		"redis": func(t *testing.T) string {
			key := filepath.Join(t.TempDir(), "photo.key")
			if err := os.WriteFile(key, bytes.Repeat([]byte("ab"), 32), 0o600); err != nil {
				t.Fatal(err)
			}
			text := strings.Replace(ackConfig, `{embedded: {path: "${DIR}/gateway.db"}}`, "{redis: {url: "+adaptertest.Redis(t).URL()+"}}", 1)
			return strings.Replace(text, `${DIR}/photos"}`, `${DIR}/photos", key_file: `+key+"}", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := &lockedBuffer{}
			w := buildAckWorld(t, text(t), log)
			defer w.close()
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- w.app.run(ctx) }()
			do(t, w, log)
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
			noPatients(t, "the log", log.Bytes())
		})
	}
}

// An amendment lives in another partition than its case, and so does what acknowledges it.
func TestAFollowUpIsAcknowledgedLaterToo(t *testing.T) {
	runAckWorld(t, func(t *testing.T, w *world, _ *lockedBuffer) {
		request := asking(1, "AL", "AL", "kept")
		amendment := bytes.Replace(bytes.Replace(request, []byte("REF^I12"), []byte("REF^I13"), 1), []byte("C00001"), []byte("C00002"), 1)
		for _, message := range [][]byte{request, amendment} {
			if got := w.acknowledged(t, "enhanced", message); got != "CA/AA" {
				t.Fatal(got)
			}
		}
		w.waitUntil(t, "the GP has both", func() bool { return len(w.emis.Messages()) == 2 })
		w.waitUntil(t, "both are settled", func() bool { return w.count(t, flow.Done) == 2 })
	})
}

// A GP system that refuses an acknowledgement does not hold up anything, and a person sees it.
func TestAnAcknowledgementThatIsRefusedIsParkedAndAlarmed(t *testing.T) {
	runAckWorld(t, func(t *testing.T, w *world, log *lockedBuffer) {
		w.emis.Next(sim.Ack{Code: "AE", Error: "100"})
		for n := range 2 {
			if got := w.acknowledged(t, "enhanced", asking(n, "AL", "AL", "kept")); got != "CA/AA" {
				t.Fatal(got)
			}
		}
		w.waitUntil(t, "one is parked and the other has arrived", func() bool { return w.count(t, flow.Parked) == 1 && w.count(t, flow.Done) == 1 })
		if !bytes.Contains(log.Bytes(), []byte("acknowledgement-undelivered")) {
			t.Errorf("no alarm in the log:\n%s", log.Bytes())
		}
	})
}

func (w *world) waitUntil(t *testing.T, what string, happened func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := until(ctx, what, happened); err != nil {
		t.Fatal(err)
	}
}

// count gives how many deliveries to the GP are in a state.
func (w *world) count(t *testing.T, state flow.State) int {
	n := 0
	for _, d := range w.acknowledgements(t) {
		if d.State == state {
			n++
		}
	}
	return n
}

// asking makes a referral that asks to be acknowledged in a way ("-": says nothing) and comes to an outcome.
func asking(n int, accept, application, outcome string) []byte {
	clear := func(s string) string { return strings.Trim(s, "-") }
	message := bytes.Replace(referral(n), []byte("|||AL|NE|"), []byte("|||"+clear(accept)+"|"+clear(application)+"|"), 1)
	switch outcome {
	case "bad":
		return bytes.Replace(message, []byte("9990001014"), []byte("9990001015"), 1)
	case "unknown":
		return bytes.Replace(message, []byte("REF^I12^REF_I12"), []byte("SIU^S12^SIU_S12"), 1)
	}
	return message
}

// acknowledged sends a message twice and gives MSA-1 of its answer and of what goes to the GP later.
func (w *world) acknowledged(t *testing.T, source string, message []byte) string {
	t.Helper()
	accept := func() flow.Receipt {
		r, err := w.app.accept(t.Context(), flow.Received{Source: source, Format: flow.HL7v2, Raw: message, At: time.Date(2026, 11, 24, 10, 15, 0, 0, time.UTC)})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	before := len(w.acknowledgements(t))
	first, again := accept(), accept()
	if !bytes.Equal(first.Answer, again.Answer) {
		t.Errorf("answered differently:\n%q\n%q", first.Answer, again.Answer)
	}
	later := ""
	for _, d := range w.acknowledgements(t)[before:] {
		ack, err := w.app.store.Deliveries(t.Context(), flow.DeliveryQuery{ID: d.ID})
		if err != nil || len(ack) != 1 {
			t.Fatal(ack, err)
		}
		later += w.lateCode(t, ack[0], first, message)
	}
	if len(first.Answer) == 0 {
		return "/" + later
	}
	return codeOf(t, first.Answer, message) + "/" + later
}

// acknowledgements are the deliveries to the GP, oldest first.
func (w *world) acknowledgements(t *testing.T) []flow.Delivery {
	t.Helper()
	ds, err := w.app.store.Deliveries(t.Context(), flow.DeliveryQuery{To: "gp", Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// lateCode gives MSA-1 of a late acknowledgement, and holds it to its form.
func (w *world) lateCode(t *testing.T, d flow.Delivery, r flow.Receipt, message []byte) string {
	t.Helper()
	m, err := hl7.Parse(d.Body.Inline)
	if err != nil {
		t.Fatal(err)
	}
	if m.Asked() != (hl7.Asked{Accept: "AL", Application: "NE"}) || string(m.ControlID()) != d.Key || d.What != flow.Acknowledgement ||
		d.Case != r.Case || d.Message != r.Message || d.Lane == r.Case.String() {
		t.Errorf("%+v\n%q", d, d.Body.Inline)
	}
	return codeOf(t, d.Body.Inline, message)
}

func codeOf(t *testing.T, ack, message []byte) string {
	t.Helper()
	m, err := hl7.Parse(message)
	if err != nil {
		t.Fatal(err)
	}
	a, err := hl7.ParseAck(ack)
	if err != nil || a.ControlID != string(m.ControlID()) {
		t.Errorf("%q: %+v, %v", ack, a, err)
	}
	return a.Code
}

// The same control id with other bytes is refused by the level that the message asks, and owes nothing.
func TestAnEnhancedControlIDWithOtherBytesIsRefused(t *testing.T) {
	w := ackWorld(t)
	first := asking(1, "AL", "AL", "kept")
	if got := w.acknowledged(t, "enhanced", first); got != "CA/AA" {
		t.Fatal(got)
	}
	for asks, want := range map[string]string{"AL|AL": "CE/", "NE|AL": "AE/"} {
		other := bytes.Replace(first, []byte("|||AL|AL|"), []byte("|||"+asks+"|"), 1)
		other = bytes.Replace(other, []byte("Itchy"), []byte("Sore"), 1)
		if got := w.acknowledged(t, "enhanced", other); got != want {
			t.Errorf("%s: %s, want %s", asks, got, want)
		}
	}
}

// While nothing can be kept, an enhanced sender gets CR, or nothing where it asked for nothing: never CA.
func TestAnEnhancedSenderIsRejectedWhileNothingCanBeKept(t *testing.T) {
	server := &mllp.Server{Name: "gp", Addr: "127.0.0.1:0", Enhanced: true, Log: slog.New(slog.DiscardHandler)}
	if err := server.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- server.Serve(ctx, func(context.Context, flow.Received) (flow.Receipt, error) { return flow.Receipt{}, flow.ErrUnavailable })
	}()
	defer func() { cancel(); <-done }()
	for asks, want := range map[string]string{"AL|AL": "CR", "ER|NE": "CR", "NE|AL": "AR", "|": "AR"} {
		conn, err := mllp.Dial(ctx, server.Address(), nil)
		if err != nil {
			t.Fatal(err)
		}
		message := bytes.Replace(referral(1), []byte("|||AL|NE|"), []byte("|||"+asks+"|"), 1)
		ack, err := conn.Exchange(ctx, message)
		conn.Close()
		if err != nil {
			t.Fatal(err)
		}
		if got := codeOf(t, ack, message); got != want {
			t.Errorf("%s: %s, want %s", asks, got, want)
		}
	}
}

// A message that was accepted brings its application acknowledgement, whatever is killed when: always under
// one control id, to be told from a second one.
func TestKilledInTheMiddleEveryAcceptedMessageIsAcknowledgedLater(t *testing.T) {
	const messages, senders, kills = 300, 4, 2
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "photo.key"), bytes.Repeat([]byte("ab"), 32), 0o600); err != nil {
		t.Fatal(err)
	}
	hospital, gp, address := startSink(t), startAckSink(t), freePort(t)
	p := &process{t: t, config: filepath.Join(dir, "gateway.yaml"), log: filepath.Join(dir, "log")}
	text := fmt.Sprintf(crashConfig, fmt.Sprintf("{embedded: {path: %s/gateway.db}}", dir), dir, dir, freePort(t), freePort(t), address, hospital.server.Address())
	text = strings.Replace(text, "destinations:\n", "    acknowledge: {mode: enhanced, application_to: practice}\ndestinations:\n"+
		"  - {name: practice, kind: mllp, concurrency: 4, address: '"+gp.server.Address()+"'}\n", 1)
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.start()
	defer func() { p.kill() }()
	accepted := make(chan struct{}, messages)
	var wg sync.WaitGroup
	for k := range senders {
		wg.Go(func() {
			for n := k; n < messages; n += senders {
				sendUntil(t, address, bytes.Replace(referral(n), []byte("|AL|NE|"), []byte("|AL|AL|"), 1), "CA")
				accepted <- struct{}{}
			}
		})
	}
	for kill := range kills {
		for range messages / (kills + 1) {
			<-accepted
		}
		p.kill()
		t.Logf("kill %d: %d of %d were acknowledged by the application", kill+1, gp.count(), messages)
		p.start()
	}
	wg.Wait()
	for deadline := time.Now().Add(60 * time.Second); gp.count() < messages && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	gp.mu.Lock()
	defer gp.mu.Unlock()
	for n := range messages {
		if keys := gp.came[fmt.Sprintf("C%05d", n)]; len(keys) != 1 {
			t.Errorf("message %d was accepted; its application acknowledgement came under %d control ids", n, len(keys))
		}
	}
}

// startAckSink starts a receiver of acknowledgements that counts, by MSA-2 and then MSH-10.
func startAckSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{came: map[string]map[string]int{}, server: &mllp.Server{Name: "practice", Addr: "127.0.0.1:0"}}
	if err := s.server.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	receiver := &mllp.Receiver{Code: "CA", Handle: func(_ context.Context, raw []byte) { s.takeAck(t, raw) }}
	done := make(chan error, 1)
	go func() { done <- s.server.Serve(ctx, receiver.Accept) }()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

func (s *sink) takeAck(t *testing.T, raw []byte) {
	m, err := hl7.Parse(raw)
	if err != nil {
		t.Errorf("no HL7: %v", err)
		return
	}
	a, err := m.Answer()
	if err != nil || a.Code != "AA" {
		t.Errorf("no acknowledgement: %+v, %v", a, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.came[a.ControlID] == nil {
		s.came[a.ControlID] = map[string]int{}
	}
	s.came[a.ControlID][string(m.ControlID())]++
}

// sendUntil sends one message until it is answered with a code, by connections that may be cut.
func sendUntil(t *testing.T, address string, message []byte, want string) {
	var conn *mllp.Conn
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); {
		code, err := exchange(&conn, address, message)
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		if conn.Close(); code != want {
			t.Errorf("answered %s, want %s", code, want)
		}
		return
	}
	t.Error("not answered in time")
}
