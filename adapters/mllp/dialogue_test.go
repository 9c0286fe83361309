package mllp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// message is a small message with that control id.
func message(id string) string {
	return "MSH|^~\\&|EMIS|Y06601|DERMGATE|RXX01|20260105||ADT^A28|" + id + "|P|2.5\rPID|1||9990548609\r"
}

func frame(msg string) string { return "\x0b" + msg + "\x1c\r" }

// gateway is a server under test and what it accepted.
type gateway struct {
	*Server
	t      *testing.T
	cancel context.CancelFunc
	ended  chan error
	logs   *strings.Builder

	mu   sync.Mutex
	kept []flow.Received
}

// serve starts a server on a free port; nil accept answers AA to everything.
func serve(t *testing.T, s *Server, accept flow.Accept) *gateway {
	t.Helper()
	g := &gateway{Server: s, t: t, ended: make(chan error, 1), logs: &strings.Builder{}}
	s.Name, s.Addr = "emis", "127.0.0.1:0"
	s.Log = slog.New(slog.NewTextHandler(&guarded{mu: &g.mu, w: g.logs}, nil))
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	if accept == nil {
		accept = (&Receiver{}).Accept
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	go func() {
		g.ended <- s.Serve(ctx, func(ctx context.Context, r flow.Received) (flow.Receipt, error) {
			g.mu.Lock()
			g.kept = append(g.kept, r)
			g.mu.Unlock()
			return accept(ctx, r)
		})
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case <-g.ended:
		case <-time.After(15 * time.Second):
			t.Error("the server did not end")
		}
	})
	return g
}

// guarded lets the test read logs while the server writes them.
type guarded struct {
	mu *sync.Mutex
	w  io.Writer
}

func (g *guarded) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.w.Write(p)
}

func (g *gateway) log() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.logs.String()
}

func (g *gateway) accepted() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []string
	for _, r := range g.kept {
		all = append(all, string(r.Raw))
	}
	return all
}

// peerEnd is the other end of a connection, under the test's control byte by byte.
type peerEnd struct {
	net.Conn
	t *testing.T
	r *Reader
}

func (g *gateway) dial() *peerEnd {
	g.t.Helper()
	c, err := net.Dial("tcp", g.Address())
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = c.Close() })
	p := &peerEnd{Conn: c, t: g.t, r: NewReader(c, 0)}
	p.r.wait = noWait{}
	return p
}

func (p *peerEnd) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p, s); err != nil {
		p.t.Fatal(err)
	}
}

// ack reads one acknowledgement, "" when the connection ends first.
func (p *peerEnd) ack() string {
	p.t.Helper()
	_ = p.SetReadDeadline(time.Now().Add(5 * time.Second))
	b, err := p.r.ReadFrame()
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return "nothing"
		}
		return ""
	}
	a, err := hl7.ParseAck(b)
	if err != nil {
		p.t.Fatalf("not an acknowledgement: %q", b)
	}
	text := a.Code + " " + a.ControlID
	for _, e := range a.Errors {
		text += " " + e.Code
	}
	return text
}

// silent tells that nothing comes back for a while and the connection stays open.
func (p *peerEnd) silent(d time.Duration) bool {
	_ = p.SetReadDeadline(time.Now().Add(d))
	_, err := p.r.br.Peek(1)
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestFrames(t *testing.T) {
	one, two, three := message("1"), message("2"), message("3")
	utf8 := strings.Replace(one, "9990548609", "||Jos\xc3\xa9", 1)
	tests := []struct {
		name   string
		writes []string // one Write each, a little apart
		acks   []string
		kept   []string
	}{
		{"one frame", []string{frame(one)}, []string{"AA 1"}, []string{one}},
		{"byte by byte", strings.Split(frame(one), ""), []string{"AA 1"}, []string{one}},
		{"three frames in one write", []string{frame(one) + frame(two) + frame(three)}, []string{"AA 1", "AA 2", "AA 3"}, []string{one, two, three}},
		{"split trailer", []string{"\x0b" + one + "\x1c", "\r"}, []string{"AA 1"}, []string{one}},
		{"split UTF-8", []string{"\x0b" + utf8[:len(utf8)-2], utf8[len(utf8)-2:] + "\x1c\r"}, []string{"AA 1"}, []string{utf8}},
		{"no CR after FS", []string{"\x0b" + one + "\x1c"}, []string{"AA 1"}, []string{one}},
		{"no CR after FS, next frame at once", []string{"\x0b" + one + "\x1c" + frame(two)}, []string{"AA 1", "AA 2"}, []string{one, two}},
		{"LF after CR", []string{frame(one) + "\n" + frame(two) + "\r\n"}, []string{"AA 1", "AA 2"}, []string{one, two}},
		{"junk before VT", []string{"hello\x00" + frame(one)}, []string{"AA 1"}, []string{one}},
		{"LF segments", []string{frame(strings.ReplaceAll(one, "\r", "\n"))}, []string{"AA 1"}, []string{strings.ReplaceAll(one, "\r", "\n")}},
		{"FS inside", []string{frame(one+"NTE|a\x1cb\r") + frame(two)}, []string{"AE 1 100", "AA 2"}, []string{two}},
		{"VT inside", []string{frame(one+"NTE|a\x0bb\r") + frame(two)}, []string{"AE 1 100", "AA 2"}, []string{two}},
		{"a frame cut off by the next", []string{"\x0b" + one[:60] + frame(two)}, []string{"AE 1 100"}, nil},
		{"empty frame", []string{frame("")}, []string{"AE  100"}, []string{""}},
		{"MSH missing", []string{frame("PID|1")}, []string{"AE  100"}, []string{"PID|1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := serve(t, &Server{}, nil)
			p := g.dial()
			for i, w := range tt.writes {
				if i > 0 {
					time.Sleep(2 * time.Millisecond)
				}
				p.send(w)
			}
			for i, want := range tt.acks {
				if got := p.ack(); got != want {
					t.Errorf("acknowledgement %d: %q, want %q", i+1, got, want)
				}
			}
			if !p.silent(50 * time.Millisecond) {
				t.Error("more came back than was asked for")
			}
			if got := g.accepted(); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.kept) {
				t.Errorf("accepted %q, want %q", got, tt.kept)
			}
		})
	}
}

func TestUnfinishedFrameIsNeverAccepted(t *testing.T) {
	for name, sent := range map[string]string{"no FS": "\x0b" + message("1"), "VT only": "\x0b", "no VT": message("1") + "\x1c\r"} {
		t.Run(name, func(t *testing.T) {
			g := serve(t, &Server{}, nil)
			p := g.dial()
			p.send(sent)
			_ = p.Conn.(*net.TCPConn).CloseWrite()
			if got := p.ack(); got != "" || len(g.accepted()) != 0 {
				t.Errorf("answered %q, accepted %q", got, g.accepted())
			}
		})
	}
}

func TestHalfCloseAfterAWholeFrameStillGetsItsAck(t *testing.T) {
	for name, sent := range map[string]string{"whole": frame(message("1")), "without CR": "\x0b" + message("1") + "\x1c"} {
		t.Run(name, func(t *testing.T) {
			p := serve(t, &Server{}, nil).dial()
			p.send(sent)
			_ = p.Conn.(*net.TCPConn).CloseWrite()
			if got := p.ack(); got != "AA 1" {
				t.Errorf("got %q", got)
			}
			if got := p.ack(); got != "" {
				t.Errorf("then %q", got)
			}
		})
	}
}

func TestReceivedSaysWhereItCameFrom(t *testing.T) {
	g := serve(t, &Server{}, nil)
	p := g.dial()
	p.send(frame(message("1")))
	p.ack()
	r := g.kept[0]
	if r.Source != "emis" || r.Subject.Name != "127.0.0.1" || r.Format != flow.HL7v2 || time.Since(r.At) > time.Minute {
		t.Errorf("got %+v", r)
	}
}

func TestWhatIsNotKeptIsNotAcknowledged(t *testing.T) {
	down := fmt.Errorf("redis: %w", flow.ErrUnavailable)
	tests := []struct {
		name     string
		err      error
		whenDown WhenDown
		want     string
	}{
		{"store down", down, "", "AR 1 207"},
		{"store down, by setting", down, CloseConn, ""},
		{"own fault", errors.New("bug with PATIENT NAME"), "", "AR 1 207"},
		{"own fault, whatever the setting", errors.New("bug"), CloseConn, "AR 1 207"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := serve(t, &Server{WhenDown: tt.whenDown}, func(context.Context, flow.Received) (flow.Receipt, error) {
				return flow.Receipt{Answer: []byte("MSH|^~\\&|\rMSA|AA|1\r")}, tt.err
			})
			p := g.dial()
			p.send(frame(message("1")))
			if got := p.ack(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestStoreComesBackOnTheSameConnection(t *testing.T) {
	calls := 0
	g := serve(t, &Server{}, func(ctx context.Context, r flow.Received) (flow.Receipt, error) {
		if calls++; calls == 1 {
			return flow.Receipt{}, flow.ErrUnavailable
		}
		return (&Receiver{}).Accept(ctx, r)
	})
	p := g.dial()
	p.send(frame(message("1")) + frame(message("1")))
	if a, b := p.ack(), p.ack(); a != "AR 1 207" || b != "AA 1" {
		t.Errorf("got %q, %q", a, b)
	}
}

func TestASenderThatAsksForNoAckGetsNone(t *testing.T) {
	g := serve(t, &Server{}, (&Receiver{Code: "none"}).Accept)
	p := g.dial()
	p.send(frame(message("1")) + frame(message("2")))
	if !p.silent(100*time.Millisecond) || len(g.accepted()) != 2 {
		t.Errorf("accepted %d messages", len(g.accepted()))
	}
}
