package mllp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

func delivery(id string) flow.Delivery {
	return flow.Delivery{Key: id, Body: flow.BodyRef{Inline: []byte(message(id))}}
}

// script is a receiver that does, for the n-th message it reads over all connections, what step n says, and
// the last step from then on.
type script struct {
	net.Listener
	mu    sync.Mutex
	seen  []string
	conns int
	steps []step
}

// step answers one message; false: close the connection.
type step func(c net.Conn, msg []byte) bool

func play(t *testing.T, steps ...step) *script {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{Listener: l, steps: steps}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns++
			s.mu.Unlock()
			go s.serve(c)
		}
	}()
	return s
}

func (s *script) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	r := NewReader(c, 0)
	for {
		msg, err := r.ReadFrame()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.seen = append(s.seen, string(msg))
		next := s.steps[min(len(s.seen), len(s.steps))-1]
		s.mu.Unlock()
		if !next(c, msg) {
			return
		}
	}
}

func (s *script) counts() (messages, conns int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen), s.conns
}

// says sends these bytes.
func says(b string) step {
	return func(c net.Conn, _ []byte) bool { _, err := io.WriteString(c, b); return err == nil }
}

// acks answers properly with a code and ERR codes.
func acks(code string, kinds ...issue.Kind) step {
	return func(c net.Conn, msg []byte) bool {
		m, err := hl7.Parse(msg)
		if err != nil {
			return false
		}
		a := hl7.Ack{Code: code, ControlID: "R"}
		for _, k := range kinds {
			a.Issues = append(a.Issues, issue.New(k, "PID-3[1].1", "PATIENT NAME quoted"))
		}
		return WriteFrame(c, m.Acknowledge(a)) == nil
	}
}

func closes(net.Conn, []byte) bool { return false }
func waits(c net.Conn, _ []byte) bool {
	_, _ = io.Copy(io.Discard, c) // until the client gives up
	return false
}

func TestDeliverJudgesTheAnswer(t *testing.T) {
	ack := func(code, id string) string { return "MSH|^~\\&|\rMSA|" + code + "|" + id + "\r" }
	tests := []struct {
		name string
		step step
		want flow.Result
		kind issue.Kind
	}{
		{"AA", acks("AA"), flow.Delivered, ""},
		{"CA", acks("CA"), flow.Delivered, ""},
		{"AA, LF segments", says(frame("MSH|^~\\&|\nMSA|AA|77\n")), flow.Delivered, ""},
		{"AA, last segment without CR", says(frame("MSH|^~\\&|\rMSA|AA|77")), flow.Delivered, ""},
		{"AA with a warning", acks("AA", issue.Required), flow.Delivered, ""},
		{"AE", acks("AE"), flow.Refused, issue.Value},
		{"AE 101", acks("AE", issue.Required), flow.Refused, issue.Required},
		{"AE 207", acks("AE", issue.Internal), flow.Refused, issue.Value},
		{"CE", acks("CE"), flow.Refused, issue.Value},
		{"AR 200", acks("AR", issue.UnsupportedType), flow.Refused, issue.UnsupportedType},
		{"AR 201", acks("AR", issue.UnsupportedEvent), flow.Refused, issue.UnsupportedEvent},
		{"AR 202", acks("AR", issue.UnsupportedProcessing), flow.Refused, issue.UnsupportedProcessing},
		{"CR 203", acks("CR", issue.UnsupportedVersion), flow.Refused, issue.UnsupportedVersion},
		{"AR 207", acks("AR", issue.Unavailable), flow.Retry, issue.Unavailable},
		{"AR 206", says(frame(ack("AR", "77") + "ERR|||206\r")), flow.Retry, issue.Unavailable},
		{"AR without a code", acks("AR"), flow.Retry, issue.Unavailable},
		{"CR without a code", acks("CR"), flow.Retry, issue.Unavailable},
		{"AR with a warning only", says(frame(ack("AR", "77") + "ERR|||101|W\r")), flow.Retry, issue.Unavailable},
		{"AA for another message", says(frame(ack("AA", "78"))), flow.Retry, issue.Unavailable},
		{"AE for another message", says(frame(ack("AE", "78"))), flow.Retry, issue.Unavailable},
		{"AA without MSA-2", says(frame(ack("AA", ""))), flow.Retry, issue.Unavailable},
		{"a code of its own", says(frame(ack("OK", "77"))), flow.Retry, issue.Unavailable},
		{"no MSA", says(frame("MSH|^~\\&|\rPID|1\r")), flow.Retry, issue.Unavailable},
		{"garbage", says(frame("it worked")), flow.Retry, issue.Unavailable},
		{"empty frame", says(frame("")), flow.Retry, issue.Unavailable},
		{"unframed", says(ack("AA", "77")), flow.Retry, issue.Unavailable},
		{"HTTP", says("POST / HTTP/1.1\r\n\r\n"), flow.Retry, issue.Unavailable},
		{"closed before the answer", closes, flow.Retry, issue.Unavailable},
		{"no answer in time", waits, flow.Retry, issue.Unavailable},
		{"answer over the limit", says("\x0b" + strings.Repeat("x", 5000) + "\x1c\r"), flow.Retry, issue.Unavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := play(t, tt.step)
			c := &Client{Name: "epr", Address: s.Addr().String(), AckTimeout: 300 * time.Millisecond, MaxAck: 4000}
			defer func() { _ = c.Close() }()
			out, err := c.Deliver(context.Background(), delivery("77"), nil)
			if err != nil {
				t.Fatal(err)
			}
			kind := issue.Kind("")
			if out.Cause != nil {
				kind = out.Cause.Kind
				if strings.Contains(out.Cause.Error(), "PATIENT") {
					t.Errorf("the receiver's words are in %q", out.Cause)
				}
			}
			if out.Result != tt.want || kind != tt.kind || len(out.Replies) != 0 {
				t.Errorf("got %s, %v, %d replies", out.Result, out.Cause, len(out.Replies))
			}
		})
	}
}

func TestRefusalNamesThePlace(t *testing.T) {
	s := play(t, acks("AE", issue.Required))
	c := &Client{Address: s.Addr().String()}
	defer func() { _ = c.Close() }()
	out, err := c.Deliver(context.Background(), delivery("1"), nil)
	if err != nil || out.Cause == nil || out.Cause.Error() != "PID-3[1].1: the receiver answered AE, error 101" {
		t.Errorf("got %v, %v", out.Cause, err)
	}
}

// TestAckLostThenSentAgainWithTheSameKey: the receiver took the message, its answer was lost; the next
// attempt carries the same bytes and is told so.
func TestAckLostThenSentAgainWithTheSameKey(t *testing.T) {
	s := play(t, closes, acks("AA"))
	c := &Client{Address: s.Addr().String()}
	defer func() { _ = c.Close() }()
	d := delivery("1")
	for i, want := range []flow.Result{flow.Retry, flow.Delivered} {
		if out, err := c.Deliver(context.Background(), d, nil); err != nil || out.Result != want {
			t.Errorf("attempt %d: %+v, %v", i+1, out, err)
		}
	}
	if len(s.seen) != 2 || s.seen[0] != s.seen[1] {
		t.Errorf("sent %q", s.seen)
	}
}

func TestLateAckIsNotTakenForTheNextMessages(t *testing.T) {
	late := func(c net.Conn, msg []byte) bool {
		time.Sleep(150 * time.Millisecond)
		return acks("AA")(c, msg)
	}
	s := play(t, late, acks("AA"))
	c := &Client{Address: s.Addr().String(), AckTimeout: 50 * time.Millisecond}
	defer func() { _ = c.Close() }()
	if out, _ := c.Deliver(context.Background(), delivery("1"), nil); out.Result != flow.Retry {
		t.Errorf("first: %+v", out)
	}
	c.AckTimeout = 2 * time.Second
	if out, _ := c.Deliver(context.Background(), delivery("2"), nil); out.Result != flow.Delivered {
		t.Errorf("second: %+v", out)
	}
	if _, conns := s.counts(); conns != 2 {
		t.Errorf("%d connections, want a fresh one after the time-out", conns)
	}
}

func TestConnectionIsKeptAndOpenedAnewWhenThePeerHasClosedIt(t *testing.T) {
	s := play(t, acks("AA"), acks("AA"), func(c net.Conn, msg []byte) bool { acks("AA")(c, msg); return false }, acks("AA"))
	c := &Client{Address: s.Addr().String()}
	defer func() { _ = c.Close() }()
	for i, conns := range []int{1, 1, 1, 2} {
		out, err := c.Deliver(context.Background(), delivery("1"), nil)
		if err != nil || out.Result != flow.Delivered {
			t.Fatalf("message %d: %+v, %v", i+1, out, err)
		}
		if _, n := s.counts(); n != conns {
			t.Errorf("message %d: %d connections, want %d", i+1, n, conns)
		}
		time.Sleep(20 * time.Millisecond) // a close after the answer arrives
	}
}

// TestPeerClosingInTheVeryMomentOfSending: a kept connection that dies with the message on it is replaced at
// once, and the same bytes go again.
func TestPeerClosingInTheVeryMomentOfSending(t *testing.T) {
	s := play(t, acks("AA"), closes, acks("AA"))
	c := &Client{Address: s.Addr().String()}
	defer func() { _ = c.Close() }()
	for i := range 2 {
		if out, err := c.Deliver(context.Background(), delivery("1"), nil); err != nil || out.Result != flow.Delivered {
			t.Fatalf("message %d: %+v, %v", i+1, out, err)
		}
	}
	if messages, conns := s.counts(); messages != 3 || conns != 2 {
		t.Errorf("%d messages over %d connections", messages, conns)
	}
}

func TestUnexpectedBytesOnAKeptConnectionEndIt(t *testing.T) {
	twice := func(c net.Conn, msg []byte) bool {
		acks("AA")(c, msg)
		return acks("AA")(c, msg)
	}
	s := play(t, twice, acks("AA"))
	c := &Client{Address: s.Addr().String()}
	defer func() { _ = c.Close() }()
	for i := range 2 {
		if out, err := c.Deliver(context.Background(), delivery("1"), nil); err != nil || out.Result != flow.Delivered {
			t.Fatalf("message %d: %+v, %v", i+1, out, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if _, conns := s.counts(); conns != 2 {
		t.Errorf("%d connections, want a fresh one", conns)
	}
}

func TestNobodyListens(t *testing.T) {
	s := play(t, closes)
	address := s.Addr().String()
	_ = s.Close()
	c := &Client{Address: address}
	out, err := c.Deliver(context.Background(), delivery("1"), nil)
	if err != nil || out.Result != flow.Retry || out.Cause.Text != "cannot connect" {
		t.Errorf("got %+v, %v", out, err)
	}
	if strings.Contains(out.Cause.Error(), address) || errors.Unwrap(out.Cause) == nil {
		t.Errorf("cause %q hides %v", out.Cause, errors.Unwrap(out.Cause))
	}
}

func TestCancelledAttemptIsAbandoned(t *testing.T) {
	s := play(t, waits)
	c := &Client{Address: s.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	start := time.Now()
	if out, err := c.Deliver(ctx, delivery("1"), nil); !errors.Is(err, context.Canceled) || out.Result != "" || time.Since(start) > 5*time.Second {
		t.Errorf("got %+v, %v after %v", out, err, time.Since(start))
	}
}

func TestLargeBodyIsStreamedFromTheStore(t *testing.T) {
	body := append([]byte(message("1")), bytes.Repeat([]byte("OBX|1|ED|||x\r"), 300_000)...)
	s := play(t, acks("AA"))
	c := &Client{Address: s.Addr().String(), Open: func(_ context.Context, r flow.BodyRef) (io.ReadCloser, error) {
		if r.Blob != "case/1" {
			return nil, errors.New("no such object")
		}
		return io.NopCloser(bytes.NewReader(body)), nil
	}}
	defer func() { _ = c.Close() }()
	out, err := c.Deliver(context.Background(), flow.Delivery{Key: "1", Body: flow.BodyRef{Blob: "case/1"}}, nil)
	if err != nil || out.Result != flow.Delivered {
		t.Fatalf("got %+v, %v", out, err)
	}
	if s.seen[0] != string(body) {
		t.Errorf("%d bytes arrived of %d", len(s.seen[0]), len(body))
	}
	out, err = c.Deliver(context.Background(), flow.Delivery{Key: "1", Body: flow.BodyRef{Blob: "case/2"}}, nil)
	if err != nil || out.Result != flow.Retry || !strings.Contains(out.Cause.Text, "from the store") {
		t.Errorf("missing body: %+v, %v", out, err)
	}
}

func TestFrameCharactersAreNeverSent(t *testing.T) {
	s := play(t, acks("AA"))
	for name, c := range map[string]struct {
		body flow.BodyRef
	}{
		"inline": {flow.BodyRef{Inline: []byte("MSH|^~\\&|\x1c\rMSH|")}},
		"stored": {flow.BodyRef{Blob: "b"}},
	} {
		client := &Client{Address: s.Addr().String(), Open: func(context.Context, flow.BodyRef) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("MSH|^~\\&|" + strings.Repeat("x", 100_000) + "\x0bMSH|")), nil
		}}
		out, err := client.Deliver(context.Background(), flow.Delivery{Key: "1", Body: c.body}, nil)
		if err != nil || out.Result != flow.Refused || out.Cause.Kind != issue.Structure {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
	time.Sleep(50 * time.Millisecond)
	if messages, _ := s.counts(); messages != 0 {
		t.Errorf("%d messages arrived", messages)
	}
}

func TestAnswerThatIsAMessageOfItsOwnIsPassedOn(t *testing.T) {
	rri := "MSH|^~\\&|EPR|RXX01|DERMGATE||20260105||RRI^I12|E1|P|2.4\rMSA|AA|1\rRF1|A\r"
	s := play(t, says(frame(rri)))
	at := time.Unix(1767607200, 0)
	c := &Client{Name: "epr", Address: s.Addr().String(), Now: func() time.Time { return at }}
	defer func() { _ = c.Close() }()
	out, err := c.Deliver(context.Background(), delivery("1"), nil)
	if err != nil || out.Result != flow.Delivered || len(out.Replies) != 1 {
		t.Fatalf("got %+v, %v", out, err)
	}
	if r := out.Replies[0]; string(r.Raw) != rri || r.Source != "epr" || r.Format != flow.HL7v2 || !r.At.Equal(at) {
		t.Errorf("reply %+v", r)
	}
}

func TestManyDeliveriesAtOnceUseOneConnectionEach(t *testing.T) {
	g := serve(t, &Server{}, (&Receiver{Delay: 20 * time.Millisecond}).Accept)
	c := &Client{Address: g.Address(), MaxIdle: 2}
	defer func() { _ = c.Close() }()
	var wg sync.WaitGroup
	for _, id := range strings.Split("abcdefgh", "") {
		wg.Go(func() {
			for range 3 {
				if out, err := c.Deliver(context.Background(), delivery(id), nil); err != nil || out.Result != flow.Delivered {
					t.Errorf("%s: %+v, %v", id, out, err)
				}
			}
		})
	}
	wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.idle); n < 1 || n > 2 {
		t.Errorf("%d connections kept, want at most 2", n)
	}
}

func TestExchange(t *testing.T) {
	g := serve(t, &Server{}, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := Dial(ctx, g.Address(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, id := range []string{"1", "2"} {
		ack, err := c.Exchange(ctx, []byte(message(id)))
		if err != nil {
			t.Fatal(err)
		}
		if a, err := hl7.ParseAck(ack); err != nil || a.Code != "AA" || a.ControlID != id {
			t.Errorf("%+v, %v", a, err)
		}
	}
	if _, err := c.Exchange(ctx, []byte("\x1c")); !errors.Is(err, ErrUnframable) {
		t.Errorf("a frame character was sent: %v", err)
	}
	short, stop := context.WithTimeout(ctx, 30*time.Millisecond)
	defer stop()
	slow := play(t, waits)
	w, err := Dial(ctx, slow.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	if _, err := w.Exchange(short, []byte(message("1"))); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
}

func TestSmallFrameLeavesInOneWrite(t *testing.T) {
	var w writes
	if err := WriteFrame(&w, []byte(message("1"))); err != nil || len(w) != 1 || w[0] != frame(message("1")) {
		t.Errorf("%d writes, %v", len(w), err)
	}
}

// writes remembers every Write.
type writes []string

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, string(p))
	return len(p), nil
}

func TestAckWithoutTrailingCRIsNotWaitedForLong(t *testing.T) {
	s := play(t, says("\x0bMSH|^~\\&|\rMSA|AA|1\x1c"))
	c := &Client{Address: s.Addr().String()}
	defer func() { _ = c.Close() }()
	for range 2 {
		start := time.Now()
		if out, err := c.Deliver(context.Background(), delivery("1"), nil); err != nil || out.Result != flow.Delivered || time.Since(start) > 2*time.Second {
			t.Errorf("%+v, %v after %v", out, err, time.Since(start))
		}
	}
	if _, conns := s.counts(); conns != 1 {
		t.Errorf("%d connections", conns)
	}
}

func TestReceiverAnswersAsTold(t *testing.T) {
	var handled []string
	r := &Receiver{Code: "AE", Issues: issue.List{issue.New(issue.Code, "PID-8", "unknown")}, Delay: 30 * time.Millisecond,
		Handle: func(_ context.Context, msg []byte) { handled = append(handled, string(msg)) }}
	p := serve(t, &Server{CloseAfter: 1}, r.Accept).dial()
	start := time.Now()
	p.send(frame(message("1")))
	if got := p.ack(); got != "AE 1 103" || time.Since(start) < 30*time.Millisecond {
		t.Errorf("%q after %v", got, time.Since(start))
	}
	if got := p.ack(); got != "" || r.Received() != 1 || len(handled) != 1 || handled[0] != message("1") {
		t.Errorf("then %q; %d received", got, r.Received())
	}
}
