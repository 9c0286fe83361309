package mllp

import (
	"context"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

func TestFrameOverTheLimitIsRefusedAndTheConnectionCloses(t *testing.T) {
	g := serve(t, &Server{MaxMessage: 1000}, nil)
	fits := message("1")
	fits += "NTE|1||" + strings.Repeat("x", 1000-len(fits)-8) + "\r"
	p := g.dial()
	p.send(frame(fits))
	if got := p.ack(); got != "AA 1" {
		t.Errorf("a frame of the limit's size: %q", got)
	}
	p.send(frame(fits[:len(fits)-1] + "yy"))
	if got := p.ack(); got != "AR 1 104" {
		t.Errorf("one byte more: %q", got)
	}
	if got := p.ack(); got != "" || len(g.accepted()) != 1 {
		t.Errorf("then %q, %d accepted", got, len(g.accepted()))
	}
}

// TestEndlessFrameIsAnsweredAtTheLimit sends 70 MB without end to a server that takes 1 MB: the answer comes
// although the sender is still writing, the connection ends, and memory stays near the limit.
func TestEndlessFrameIsAnsweredAtTheLimit(t *testing.T) {
	g := serve(t, &Server{MaxMessage: 1 << 20}, nil)
	p := g.dial()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(p, "\x0b"+message("1"))
		chunk := []byte(strings.Repeat("A", 64<<10))
		for n := 0; n < 70<<20 && err == nil; n += len(chunk) {
			_, err = p.Write(chunk)
		}
		sent <- err
	}()
	if got := p.ack(); got != "AR 1 104" {
		t.Errorf("got %q", got)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 20<<20 {
		t.Errorf("%d MB allocated for a frame over a limit of 1 MB", grown>>20)
	}
	_ = p.Close()
	<-sent
	if len(g.accepted()) != 0 {
		t.Error("it was accepted")
	}
}

func TestSlowLorisIsClosedAndAGoodPeerServed(t *testing.T) {
	g := serve(t, &Server{ReadTimeout: 300 * time.Millisecond, MaxConnsPerPeer: 64}, nil)
	var closed atomic.Int32
	for range 50 {
		p := g.dial()
		p.send("\x0bMSH|")
		go func() {
			for range 200 {
				if _, err := p.Write([]byte("x")); err != nil {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			closed.Add(1)
		}()
	}
	start := time.Now()
	good := g.dial()
	good.send(frame(message("1")))
	if got := good.ack(); got != "AA 1" || time.Since(start) > time.Second {
		t.Errorf("good peer: %q after %v", got, time.Since(start))
	}
	for end := time.Now().Add(1500 * time.Millisecond); closed.Load() < 50 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if n := closed.Load(); n != 50 {
		t.Errorf("%d of 50 trickling connections closed", n)
	}
}

func TestIdleConnectionIsClosed(t *testing.T) {
	g := serve(t, &Server{IdleTimeout: 100 * time.Millisecond}, nil)
	p := g.dial()
	start := time.Now()
	if got := p.ack(); got != "" || time.Since(start) < 90*time.Millisecond || time.Since(start) > 2*time.Second {
		t.Errorf("%q after %v", got, time.Since(start))
	}
}

// TestPeerThatNeverReadsItsAcks is read no further once its answers no longer leave, then closed; others go on.
func TestPeerThatNeverReadsItsAcks(t *testing.T) {
	var taken atomic.Int64
	long := []byte("MSH|^~\\&|\rMSA|AA|1\rNTE|" + strings.Repeat("x", 64<<10) + "\r")
	g := serve(t, &Server{WriteTimeout: 300 * time.Millisecond}, func(context.Context, flow.Received) (flow.Receipt, error) {
		taken.Add(1)
		return flow.Receipt{Answer: long}, nil
	})
	deaf := g.dial()
	_ = deaf.Conn.(*net.TCPConn).SetReadBuffer(4096)
	gone := make(chan int)
	go func() {
		n := 0
		for ; n < 100_000; n++ {
			_ = deaf.SetWriteDeadline(time.Now().Add(5 * time.Second))
			if _, err := io.WriteString(deaf, frame(message("1"))); err != nil {
				break
			}
		}
		gone <- n
	}()
	good := g.dial()
	good.send(frame(message("2")))
	if got := good.ack(); got != "AA 1" {
		t.Errorf("good peer: %q", got)
	}
	if n := <-gone; n == 100_000 {
		t.Error("the deaf peer was never closed")
	}
	if n := taken.Load(); n > 2000 {
		t.Errorf("%d messages were taken from a peer that reads no answer", n)
	}
	if !strings.Contains(g.log(), "acknowledgement not sent") {
		t.Errorf("log: %s", g.log())
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	t.Run("per address", func(t *testing.T) {
		g := serve(t, &Server{MaxConnsPerPeer: 2}, nil)
		a, b := g.dial(), g.dial()
		a.send(frame(message("1")))
		b.send(frame(message("2")))
		if x, y := a.ack(), b.ack(); x != "AA 1" || y != "AA 2" {
			t.Fatalf("first two: %q, %q", x, y)
		}
		for range 20 {
			if got := g.dial().ack(); got != "" {
				t.Errorf("one too many got %q", got)
			}
		}
		if n := strings.Count(g.log(), "connection refused"); n != 1 {
			t.Errorf("refusals logged %d times, want once", n)
		}
		_ = a.Close()
		for end := time.Now().Add(2 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			c := g.dial()
			_, _ = io.WriteString(c, frame(message("3"))) // refused until a's end is noticed
			if c.ack() == "AA 3" {
				break
			}
			if time.Now().After(end) {
				t.Fatal("a place that became free was not given away")
			}
		}
	})
	t.Run("in all", func(t *testing.T) {
		g := serve(t, &Server{MaxConns: 1}, nil)
		a := g.dial()
		a.send(frame(message("1")))
		if x := a.ack(); x != "AA 1" {
			t.Fatal(x)
		}
		if got := g.dial().ack(); got != "" {
			t.Errorf("one too many got %q", got)
		}
	})
}

func TestAllowList(t *testing.T) {
	for list, want := range map[string]string{"127.0.0.0/8": "AA 1", "10.0.0.0/8": "", "::1/128": ""} {
		g := serve(t, &Server{Allow: []netip.Prefix{netip.MustParsePrefix(list)}}, nil)
		p := g.dial()
		_, _ = io.WriteString(p, frame(message("1"))) // may fail: the connection is already closed
		if got := p.ack(); got != want {
			t.Errorf("%s: %q, want %q", list, got, want)
		}
		if logged := strings.Contains(g.log(), "address not allowed"); logged != (want == "") {
			t.Errorf("%s: log %q", list, g.log())
		}
	}
}

func TestOtherProtocolsAreClosedAndLoggedOnce(t *testing.T) {
	for name, bytes := range map[string]string{
		"HTTP": "POST /hl7 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/2": "PRI * HTTP/2.0\r\n\r\n", "TLS": "\x16\x03\x01\x02\x00\x01",
	} {
		t.Run(name, func(t *testing.T) {
			g := serve(t, &Server{}, nil)
			p := g.dial()
			p.send(bytes)
			if got := p.ack(); got != "" {
				t.Errorf("got %q", got)
			}
			if n := strings.Count(g.log(), "level=WARN"); n != 1 || !strings.Contains(g.log(), "another protocol") {
				t.Errorf("log: %s", g.log())
			}
		})
	}
}

func TestEndlessJunkIsClosed(t *testing.T) {
	g := serve(t, &Server{}, nil)
	p := g.dial()
	go func() { _, _ = io.WriteString(p, strings.Repeat("x", 2*junkLimit)) }() // fails once the server has closed
	if got := p.ack(); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestCloseAfter(t *testing.T) {
	g := serve(t, &Server{CloseAfter: 2}, nil)
	p := g.dial()
	p.send(frame(message("1")) + frame(message("2")) + frame(message("3")))
	if a, b, c := p.ack(), p.ack(), p.ack(); a != "AA 1" || b != "AA 2" || c != "" {
		t.Errorf("got %q, %q, %q", a, b, c)
	}
}

// TestShutdown: idle connections end at once, the message under way is finished and acknowledged, nothing
// after it is taken, and Serve gives nil.
func TestShutdown(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	g := serve(t, &Server{}, func(ctx context.Context, r flow.Received) (flow.Receipt, error) {
		close(begun)
		<-goOn
		if ctx.Err() != nil {
			t.Error("the context of a message under way ended with the server's")
		}
		return (&Receiver{}).Accept(ctx, r)
	})
	idle, busy, slow := g.dial(), g.dial(), g.dial()
	slow.send("\x0b" + message("9")[:20])
	busy.send(frame(message("1")) + frame(message("2")))
	<-begun
	g.cancel()
	if got := idle.ack(); got != "" {
		t.Errorf("idle connection: %q", got)
	}
	if c, err := net.Dial("tcp", g.Address()); err == nil {
		_ = c.Close()
		t.Error("a new connection was taken")
	}
	close(goOn)
	if a, b := busy.ack(), busy.ack(); a != "AA 1" || b != "" {
		t.Errorf("busy connection: %q, then %q", a, b)
	}
	_ = slow.Close()
	if err := <-g.ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
	g.ended <- nil // for the cleanup
	if got := g.accepted(); len(got) != 1 {
		t.Errorf("accepted %q", got)
	}
}

func TestShutdownDoesNotWaitForever(t *testing.T) {
	g := serve(t, &Server{DrainTimeout: 100 * time.Millisecond}, func(ctx context.Context, _ flow.Received) (flow.Receipt, error) {
		<-ctx.Done()
		return flow.Receipt{}, flow.ErrUnavailable
	})
	half, stuck := g.dial(), g.dial()
	half.send("\x0bMSH|")
	stuck.send(frame(message("1")))
	for len(g.accepted()) == 0 {
		time.Sleep(time.Millisecond)
	}
	start := time.Now()
	g.cancel()
	err := <-g.ended
	g.ended <- nil // for the cleanup
	if d := time.Since(start); err != nil || d > 3*time.Second {
		t.Errorf("%v after %v", err, d)
	}
}

// TestFloodFromOneAddressLeavesTheOthersServed: what one address opens over its share is closed, and a peer at
// another address is served meanwhile.
func TestFloodFromOneAddressLeavesTheOthersServed(t *testing.T) {
	g := serve(t, &Server{MaxConns: 40, MaxConnsPerPeer: 8}, nil)
	for range 200 {
		g.dial()
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	c, err := d.Dial("tcp", g.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	good := &peerEnd{Conn: c, t: t, r: NewReader(c, 0)}
	start := time.Now()
	good.send(frame(message("1")))
	if got := good.ack(); got != "AA 1" || time.Since(start) > time.Second {
		t.Errorf("%q after %v", got, time.Since(start))
	}
	if n := strings.Count(g.log(), "connection refused"); n != 1 {
		t.Errorf("refusals logged %d times, want once", n)
	}
}
