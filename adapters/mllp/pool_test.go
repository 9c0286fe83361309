package mllp

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// deliver sends the message with that id and wants it delivered.
func (c *Client) deliver(t *testing.T, id string) {
	t.Helper()
	if out, err := c.Deliver(context.Background(), delivery(id), nil); err != nil || out.Result != flow.Delivered {
		t.Errorf("message %s: %+v, %v", id, out, err)
	}
}

// pooled waits until so many connections are kept.
func (c *Client) pooled(t *testing.T, want int) {
	t.Helper()
	n := -1
	for end := time.Now().Add(2 * time.Second); n != want && time.Now().Before(end); time.Sleep(time.Millisecond) {
		c.mu.Lock()
		n = len(c.idle)
		c.mu.Unlock()
	}
	if n != want {
		t.Errorf("%d connections kept, want %d", n, want)
	}
}

func TestConnectionThatThePeerClosesLeavesThePoolAtOnce(t *testing.T) {
	s := play(t, func(c net.Conn, msg []byte) bool { acks("AA")(c, msg); return false }, acks("AA"))
	c := &Client{Address: s.Addr().String()}
	defer func() { _ = c.Close() }()
	c.deliver(t, "1")
	c.pooled(t, 0) // nobody used it
	c.deliver(t, "2")
	c.pooled(t, 1)
	if messages, conns := s.counts(); messages != 2 || conns != 2 {
		t.Errorf("%d messages over %d connections: a dead connection was written to", messages, conns)
	}
}

func TestKeptConnectionEndsAfterTheIdleTime(t *testing.T) {
	ended := make(chan error, 1)
	first := true
	s := play(t, func(c net.Conn, msg []byte) bool {
		if !first {
			return acks("AA")(c, msg)
		}
		first = false
		acks("AA")(c, msg)
		_, err := c.Read(make([]byte, 1)) // until the client closes
		ended <- err
		return false
	})
	c := &Client{Address: s.Addr().String(), IdleTimeout: 100 * time.Millisecond}
	defer func() { _ = c.Close() }()
	start := time.Now()
	c.deliver(t, "1")
	if err := <-ended; err != io.EOF || time.Since(start) < 90*time.Millisecond || time.Since(start) > 2*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	c.pooled(t, 0)
	c.deliver(t, "2")
}

// TestLateAckOnAKeptConnectionEndsIt: an acknowledgement nobody waits for is never the next message's, not
// even when that is the same message again.
func TestLateAckOnAKeptConnectionEndsIt(t *testing.T) {
	late := make(chan struct{})
	s := play(t, func(c net.Conn, msg []byte) bool {
		acks("AA")(c, msg)
		go func() { <-late; acks("AA")(c, msg); late <- struct{}{} }()
		return true
	}, acks("AE"))
	c := &Client{Address: s.Addr().String()}
	defer func() { _ = c.Close() }()
	c.deliver(t, "1")
	c.pooled(t, 1)
	late <- struct{}{}
	<-late
	c.pooled(t, 0)
	if out, err := c.Deliver(context.Background(), delivery("1"), nil); err != nil || out.Result != flow.Refused {
		t.Errorf("the second answer was not heard: %+v, %v", out, err)
	}
	if _, conns := s.counts(); conns != 2 {
		t.Errorf("%d connections", conns)
	}
}

// TestConnectionOutOfStepIsNotKept: after an answer that is not to the message sent, nothing on the
// connection can be trusted.
func TestConnectionOutOfStepIsNotKept(t *testing.T) {
	for name, answer := range map[string]step{
		"another message's": says(frame("MSH|^~\\&|\rMSA|AA|0\r")),
		"unreadable":        says(frame("it worked")),
		"junk before it":    func(c net.Conn, msg []byte) bool { return says("junk")(c, msg) && acks("AA")(c, msg) },
		"cut off":           says("\x0bMSH|^~\\&|\rMSA|AA"),
	} {
		t.Run(name, func(t *testing.T) {
			s := play(t, answer, acks("AA"))
			c := &Client{Address: s.Addr().String(), AckTimeout: 200 * time.Millisecond}
			defer func() { _ = c.Close() }()
			if _, err := c.Deliver(context.Background(), delivery("1"), nil); err != nil {
				t.Fatal(err)
			}
			c.pooled(t, 0)
			c.deliver(t, "2")
			if _, conns := s.counts(); conns != 2 {
				t.Errorf("%d connections", conns)
			}
		})
	}
}

// TestPoolIsBounded: what many deliveries at once opened is closed, down to MaxIdle.
func TestPoolIsBounded(t *testing.T) {
	g := serve(t, &Server{}, (&Receiver{Delay: 20 * time.Millisecond}).Accept)
	c := &Client{Address: g.Address(), MaxIdle: 3}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { c.deliver(t, "1") })
	}
	wg.Wait()
	c.pooled(t, 3)
	_ = c.Close()
	c.pooled(t, 0)
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(time.Millisecond) {
		g.Server.mu.Lock()
		n := len(g.open)
		g.Server.mu.Unlock()
		if n == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d connections left open", n)
		}
	}
}

// TestAbandonedAttemptLeavesNoConnection: what an attempt leaves half done is never used again.
func TestAbandonedAttemptLeavesNoConnection(t *testing.T) {
	s := play(t, acks("AA"), waits, acks("AA"))
	c := &Client{Address: s.Addr().String()}
	defer func() { _ = c.Close() }()
	c.deliver(t, "1")
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := c.Deliver(ctx, delivery("2"), nil); err != context.Canceled {
		t.Errorf("%v", err)
	}
	c.pooled(t, 0)
	c.deliver(t, "2")
	if messages, conns := s.counts(); messages != 3 || conns != 2 {
		t.Errorf("%d messages over %d connections", messages, conns)
	}
}

func TestConnectTimeOut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never speaks TLS
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c := &Client{Address: l.Addr().String(), ConnectTimeout: 100 * time.Millisecond, TLS: &tls.Config{ServerName: "epr.example"}}
	start := time.Now()
	out, err := c.Deliver(context.Background(), delivery("1"), nil)
	if err != nil || out.Result != flow.Retry || out.Cause.Text != "cannot connect" || time.Since(start) > 2*time.Second {
		t.Errorf("%+v, %v after %v", out, err, time.Since(start))
	}
}
