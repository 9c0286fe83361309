package mllp

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// counted counts the writes to the connections of a listener.
type counted struct {
	net.Listener
	writes *atomic.Int64
}

func (c counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	return countedConn{conn, c.writes}, err
}

type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countedConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

func TestAnswersToFramesThatCameTogetherLeaveTogetherInOrder(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var writes atomic.Int64
	p := serve(t, &Server{Listener: counted{l, &writes}}, nil).dial()
	const n = 100
	var all strings.Builder
	for i := range n {
		all.WriteString(frame(message(strconv.Itoa(i))))
	}
	p.send(all.String())
	for i := range n {
		if got, want := p.ack(), "AA "+strconv.Itoa(i); got != want {
			t.Fatalf("answer %d: %q", i, got)
		}
	}
	if w := writes.Load(); w > n/2 {
		t.Errorf("%d writes for %d answers", w, n)
	}
	writes.Store(0)
	p.send(frame(message("alone")))
	if got := p.ack(); got != "AA alone" || writes.Load() != 1 {
		t.Errorf("%q in %d writes", got, writes.Load())
	}
}

// TestAnswerDoesNotWaitForASlowMessage: the answer to a message leaves although the next one, which came
// with it, takes long.
func TestAnswerDoesNotWaitForASlowMessage(t *testing.T) {
	goOn := make(chan struct{})
	calls := 0
	p := serve(t, &Server{}, func(ctx context.Context, r flow.Received) (flow.Receipt, error) {
		if calls++; calls == 3 {
			<-goOn
		}
		return (&Receiver{}).Accept(ctx, r)
	}).dial()
	p.send(frame(message("1")) + frame(message("2")) + frame(message("3")))
	if a, b := p.ack(), p.ack(); a != "AA 1" || b != "AA 2" {
		t.Errorf("got %q, %q", a, b)
	}
	if !p.silent(50 * time.Millisecond) {
		t.Error("the third was answered before it was kept")
	}
	close(goOn)
	if got := p.ack(); got != "AA 3" {
		t.Errorf("got %q", got)
	}
}

// TestAnswersLeaveBeforeTheRestOfAMessageIsAwaited, and before the byte after an FS.
func TestAnswersLeaveBeforeTheRestOfAMessageIsAwaited(t *testing.T) {
	for _, half := range []string{"\x0bMSH|", "\x0b", "\r", "junk", "\x0b" + message("2") + "\x1c"} {
		p := serve(t, &Server{}, nil).dial()
		p.send(frame(message("1")) + half)
		start := time.Now()
		if got := p.ack(); got != "AA 1" || time.Since(start) > trailerWait*4/5 {
			t.Errorf("before %q: %q after %v", half, got, time.Since(start))
		}
	}
}

func TestABatchGetsAFrameForEachAnswer(t *testing.T) {
	ack := func(id string) []byte { return []byte("MSH|^~\\&|\rMSA|AA|" + id + "\r") }
	answers := [][][]byte{{ack("1"), nil, ack("2"), ack("3")}, {ack("4")}, {[]byte("MSH|^~\\&|\rMSA|AA|5\rNTE|" + strings.Repeat("x", 3*answersSize) + "\r"), ack("6")}}
	n := 0
	p := serve(t, &Server{}, func(context.Context, flow.Received) (flow.Receipt, error) {
		n++
		return flow.Receipt{Answers: answers[n-1]}, nil
	}).dial()
	p.send(frame("FHS|^~\\&\r") + frame("BHS|^~\\&\r") + frame("FHS|^~\\&\r"))
	for _, want := range []string{"AA 1", "AA 2", "AA 3", "AA 4", "AA 5", "AA 6"} {
		if got := p.ack(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestAnswerThatCannotBeFramedIsNotSent: the connection ends without it, after the answers before it.
func TestAnswerThatCannotBeFramedIsNotSent(t *testing.T) {
	n := 0
	g := serve(t, &Server{}, func(ctx context.Context, r flow.Received) (flow.Receipt, error) {
		if n++; n == 2 {
			return flow.Receipt{Answer: []byte("MSH|^~\\&|\rMSA|AA|\x1c\r")}, nil
		}
		return (&Receiver{}).Accept(ctx, r)
	})
	p := g.dial()
	p.send(frame(message("1")) + frame(message("2")) + frame(message("3")))
	if a, b := p.ack(), p.ack(); a != "AA 1" || b != "" || !strings.Contains(g.log(), "acknowledgement not sent") {
		t.Errorf("got %q, %q; %s", a, b, g.log())
	}
}

// TestAnswersOfKeptMessagesLeaveWhateverComesAfterThem: what was kept is acknowledged, though the stream
// after it is bad and everything came at once.
func TestAnswersOfKeptMessagesLeaveWhateverComesAfterThem(t *testing.T) {
	down := func(calls int) flow.Accept {
		n := 0
		return func(ctx context.Context, r flow.Received) (flow.Receipt, error) {
			if n++; n > calls {
				return flow.Receipt{}, flow.ErrUnavailable
			}
			return (&Receiver{}).Accept(ctx, r)
		}
	}
	for name, tt := range map[string]struct {
		server *Server
		accept flow.Accept
		after  string
		last   string // answer after the kept ones
	}{
		"a frame over the limit": {&Server{MaxMessage: 200}, nil, frame(message("4") + strings.Repeat("x", 200)), "AR 4 104"},
		"junk without end":       {&Server{}, nil, strings.Repeat("x", 2*junkLimit), ""},
		"the end":                {&Server{}, nil, "", ""},
		"the store goes down":    {&Server{WhenDown: CloseConn}, down(3), frame(message("4")), ""},
		"the limit of messages":  {&Server{CloseAfter: 3}, nil, frame(message("4")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := serve(t, tt.server, tt.accept).dial()
			go func() {
				_, _ = io.WriteString(p, frame(message("1"))+frame(message("2"))+frame(message("3"))+tt.after) // the server may close first
				_ = p.Conn.(*net.TCPConn).CloseWrite()
			}()
			for _, want := range []string{"AA 1", "AA 2", "AA 3", tt.last} {
				if got := p.ack(); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}

// TestNothingIsReadWhileAMessageIsBeingKept: a sender that goes on sending is stopped by the network, not
// stored in memory.
func TestNothingIsReadWhileAMessageIsBeingKept(t *testing.T) {
	goOn := make(chan struct{})
	release := sync.OnceFunc(func() { close(goOn) })
	defer release()
	g := serve(t, &Server{}, func(ctx context.Context, r flow.Received) (flow.Receipt, error) {
		<-goOn
		return (&Receiver{}).Accept(ctx, r)
	})
	p := g.dial()
	const total = 64 << 20
	big := []byte(frame(message("1") + strings.Repeat("NTE|1||x\r", 1<<16)))
	var sent atomic.Int64
	go func() {
		for sent.Load() < total {
			n, err := p.Write(big)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	}()
	still := int64(-1)
	for end := time.Now().Add(10 * time.Second); sent.Load() != still && time.Now().Before(end); time.Sleep(300 * time.Millisecond) {
		still = sent.Load()
	}
	if n := sent.Load(); n > total/2 {
		t.Errorf("%d MB were taken while the first message was not kept yet", n>>20)
	}
	if n := len(g.accepted()); n != 1 {
		t.Errorf("%d messages handed over at once", n)
	}
	release()
	if got := p.ack(); got != "AA 1" {
		t.Errorf("got %q", got)
	}
}

// TestHeldAnswersFailWithTheirConnection: a write that fails by the clock shows at the next one.
func TestHeldAnswersFailWithTheirConnection(t *testing.T) {
	ours, theirs := net.Pipe()
	_ = theirs.Close()
	a := &answers{conn: ours, limit: time.Second}
	if err := a.add([]byte("MSA"), true); err != nil {
		t.Errorf("held: %v", err)
	}
	time.Sleep(20 * answersHold)
	if err := a.add([]byte("MSA"), true); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("after the clock: %v", err)
	}
}

// TestWhatIsHalfReadIsFinishedBeforeTheEnd: told to end, the server reads the message it has begun,
// acknowledges it, and takes nothing more.
func TestWhatIsHalfReadIsFinishedBeforeTheEnd(t *testing.T) {
	g := serve(t, &Server{}, nil)
	p := g.dial()
	p.send("\x0b" + message("1")[:20])
	time.Sleep(20 * time.Millisecond) // it arrives
	g.cancel()
	time.Sleep(20 * time.Millisecond)
	p.send(message("1")[20:] + "\x1c\r" + frame(message("2")))
	if a, b := p.ack(), p.ack(); a != "AA 1" || b != "" || len(g.accepted()) != 1 {
		t.Errorf("got %q, %q", a, b)
	}
}

// TestTheEndOfServingIsNotTheEndOfAFrame: an FS is inside the message when more follows it, however soon
// the server must end.
func TestTheEndOfServingIsNotTheEndOfAFrame(t *testing.T) {
	g := serve(t, &Server{DrainTimeout: 20 * time.Millisecond}, nil)
	p := g.dial()
	p.send("\x0b" + message("1") + "\x1c")
	time.Sleep(20 * time.Millisecond) // it arrives
	g.cancel()
	if got := p.ack(); got != "" || len(g.accepted()) != 0 {
		t.Errorf("got %q for what may be half a message", got)
	}
}
