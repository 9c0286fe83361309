package mllp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// WhenDown says what a sender sees while messages cannot be kept.
type WhenDown string

const (
	AnswerAR  WhenDown = "AR"    // an acknowledgement AR with ERR-3 207: most senders keep the message and alarm
	CloseConn WhenDown = "close" // no acknowledgement, connection closed: for senders that drop a message on AR
)

// Server takes messages in over MLLP. It implements flow.Source. The zero value of a limit means the
// default named beside it.
type Server struct {
	Name     string         // of the source, as configured
	Addr     string         // "127.0.0.1:2575"; ":0" for any free port
	Listener net.Listener   // instead of Addr
	TLS      *tls.Config    // nil: plain TCP; may renew itself by GetConfigForClient
	Allow    []netip.Prefix // peers allowed to connect; empty: all

	// AllowNames are the names a verified client certificate may have, exactly, as its common name or a DNS
	// name; empty: any. Needs TLS that verifies clients: without, nobody is let in.
	AllowNames []string

	MaxMessage      int64         // bytes of one message; 64 MiB
	MaxConns        int           // connections at once; 256
	MaxConnsPerPeer int           // connections at once from one address; 16
	IdleTimeout     time.Duration // without a message; 10 min
	ReadTimeout     time.Duration // for one message from its VT to its FS, and for a TLS handshake at most; 60 s
	WriteTimeout    time.Duration // for one acknowledgement; 10 s
	DrainTimeout    time.Duration // for messages under way when Serve is told to end; 10 s
	CloseAfter      int           // messages after which a connection is closed; 0: never

	Lift     flow.Lift                   // reads messages with their photos going to the blob store; nil: whole, into memory
	Subject  func(net.Conn) flow.Subject // who a connection speaks for; nil: certificate name, else address
	WhenDown WhenDown                    // empty: AnswerAR
	Enhanced bool                        // the server's own refusals are given as MSH-15 and 16 ask
	Log      *slog.Logger                // nil: slog.Default()
	Now      func() time.Time            // nil: time.Now; for MSH-7 of the server's own refusals

	mu      sync.Mutex
	bound   net.Listener
	peers   map[netip.Addr]*peer
	open    map[*session]struct{}
	closing bool
	leaving atomic.Bool
	wg      sync.WaitGroup
}

// peer counts the connections of an address, so that one cannot take all; loud: its refusal is logged once.
type peer struct {
	conns int
	loud  bool
}

// Listen binds the address, so that it is known before Serve: Serve does it where the caller has not.
func (s *Server) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bound != nil {
		return nil
	}
	if s.bound = s.Listener; s.bound != nil {
		return nil
	}
	l, err := net.Listen("tcp", s.Addr)
	if err != nil {
		return err
	}
	s.bound = l
	return nil
}

// Address gives the bound address, "" before Listen.
func (s *Server) Address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bound == nil {
		return ""
	}
	return s.bound.Addr().String()
}

// Leave says that Serve will end soon: connections end after their next answer, when a sender waits for nothing, and
// what is behind a load balancer connects elsewhere. New ones are still taken.
func (s *Server) Leave() { s.leaving.Store(true) }

// Serve takes messages until ctx ends. Then it accepts no more connections, closes the idle ones, finishes
// and acknowledges the messages under way within DrainTimeout, and gives nil.
func (s *Server) Serve(ctx context.Context, accept flow.Accept) error {
	if err := s.Listen(); err != nil {
		return err
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx)) // a message under way outlives ctx
	defer cancel()
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { s.drain(cancel); close(drained) })
	defer stop()
	for {
		conn, err := s.bound.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			<-drained
			s.wg.Wait()
			return nil
		}
		if err != nil {
			if !s.transient(ctx, err) {
				s.drain(cancel)
				return err
			}
			continue
		}
		s.take(work, conn, accept)
	}
}

// transient waits a little after an error of Accept that passes, such as too many open files.
func (s *Server) transient(ctx context.Context, err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	s.log().Error("cannot accept a connection", "source", s.Name, "error", err)
	select {
	case <-ctx.Done():
	case <-time.After(100 * time.Millisecond):
	}
	return true
}

// drain closes the listener and the idle connections and waits for the others, at most DrainTimeout.
func (s *Server) drain(cancel context.CancelFunc) {
	_ = s.bound.Close()
	end := time.Now().Add(or(s.DrainTimeout, 10*time.Second))
	s.mu.Lock()
	s.closing = true
	for c := range s.open {
		c.finish(end)
	}
	s.mu.Unlock()
	late := time.AfterFunc(time.Until(end), func() {
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.open {
			_ = c.conn.Close()
		}
	})
	defer late.Stop()
	s.wg.Wait()
}

// take serves a connection that is admitted and closes any other.
func (s *Server) take(ctx context.Context, conn net.Conn, accept flow.Accept) {
	c := &session{server: s, conn: conn, accept: accept, peer: peerAddress(conn)}
	if !s.admit(c) {
		_ = conn.Close()
		return
	}
	go func() {
		defer s.wg.Done()
		defer s.release(c)
		c.serve(ctx)
	}()
}

// admit counts a connection in, unless its address is not allowed or has too many. An address that is kept
// out while it has connections is logged once until they are gone, so that a flood does not flood the log.
func (s *Server) admit(c *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	p := s.peers[c.peer]
	if why := s.refusal(c.peer, p); why != "" {
		if p == nil || !p.loud {
			s.log().Warn("connection refused", "source", s.Name, "peer", c.peer, "reason", why)
		}
		if p != nil {
			p.loud = true
		}
		return false
	}
	if s.open == nil {
		s.open, s.peers = map[*session]struct{}{}, map[netip.Addr]*peer{}
	}
	if p == nil {
		p = &peer{}
		s.peers[c.peer] = p
	}
	p.conns++
	s.open[c] = struct{}{}
	s.wg.Add(1)
	return true
}

// refusal says why an address gets no further connection, "" when it does.
func (s *Server) refusal(addr netip.Addr, p *peer) string {
	switch {
	case !s.allowed(addr):
		return "address not allowed"
	case len(s.open) >= or(s.MaxConns, 256):
		return "too many connections"
	case p != nil && p.conns >= or(s.MaxConnsPerPeer, 16):
		return "too many connections from one address"
	}
	return ""
}

func (s *Server) allowed(addr netip.Addr) bool {
	for _, p := range s.Allow {
		if p.Contains(addr) {
			return true
		}
	}
	return len(s.Allow) == 0
}

func (s *Server) release(c *session) {
	_ = c.conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	if p := s.peers[c.peer]; p != nil {
		if p.conns--; p.conns == 0 {
			delete(s.peers, c.peer)
		}
	}
}

func (s *Server) log() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.Default()
}

func (s *Server) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// or gives v, or the default when v is not set.
func or[T int | int64 | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

func peerAddress(conn net.Conn) netip.Addr {
	if a, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
		return a.Addr().Unmap()
	}
	return netip.Addr{}
}

// drainInput reads and drops what a peer still sends, so that the answer written before is not lost to a
// reset when the connection closes.
func drainInput(conn net.Conn, r io.Reader, limit time.Duration) {
	type halfCloser interface{ CloseWrite() error }
	if h, ok := conn.(halfCloser); ok {
		_ = h.CloseWrite()
	}
	_ = conn.SetReadDeadline(time.Now().Add(limit))
	_, _ = io.Copy(io.Discard, r)
}
