package mllp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// session is one connection: one message at a time, each answered before the next is read, so that a peer
// that does not read its answers is not read from either.
type session struct {
	server *Server
	conn   net.Conn
	peer   netip.Addr
	accept flow.Accept
	reader *Reader

	mu     sync.Mutex
	phase  phase
	since  time.Time // when the phase began
	begun  time.Time // when the message being read began
	ending time.Time // set while draining: the last moment for what is under way
}

// handshakeTime bounds a TLS handshake.
const handshakeTime = 10 * time.Second

// lingering is how long a peer may go on sending what is no longer read, after a refusal.
const lingering = 2 * time.Second

func (c *session) serve(ctx context.Context) {
	if err := c.handshake(ctx); err != nil {
		c.server.log().Warn("TLS handshake failed", "source", c.server.Name, "peer", c.peer, "error", err)
		return
	}
	subject := c.subject()
	c.reader = NewReader(c.conn, c.server.MaxMessage)
	c.reader.wait = c
	for n, noted := 1, false; ; n++ {
		frame, err := c.reader.ReadFrame()
		if c.reader.Skipped > 0 && !noted && !errors.Is(err, ErrForeign) {
			noted = true
			c.server.log().Warn("bytes outside any frame skipped", "source", c.server.Name, "peer", c.peer)
		}
		if err != nil && !errors.Is(err, ErrInside) {
			c.end(frame, err)
			return
		}
		answer, ok := c.answer(ctx, frame, subject, err)
		if !ok || c.write(answer) != nil || n == c.server.CloseAfter || c.draining() {
			return
		}
	}
}

// handshake finishes TLS, so that the peer's certificate is known before its first byte is read.
func (c *session) handshake(ctx context.Context) error {
	if c.server.TLS == nil {
		return nil
	}
	t := tls.Server(c.conn, c.server.TLS)
	ctx, cancel := context.WithTimeout(ctx, min(handshakeTime, or(c.server.ReadTimeout, time.Minute)))
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	c.conn = t
	c.mu.Unlock()
	return nil
}

// subject tells who the connection speaks for.
func (c *session) subject() flow.Subject {
	if c.server.Subject != nil {
		return c.server.Subject(c.conn)
	}
	if t, ok := c.conn.(*tls.Conn); ok {
		if certs := t.ConnectionState().PeerCertificates; len(certs) > 0 {
			return flow.Subject{Name: certs[0].Subject.CommonName}
		}
	}
	return flow.Subject{Name: c.peer.String()}
}

// await sets the deadline of what is waited for; while draining an idle connection has no time left.
func (c *session) await(p phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase, c.since = p, time.Now()
	if p == forMessage && c.begun.IsZero() {
		c.begun = c.since
	}
	if p == forFrame {
		c.begun = time.Time{}
	}
	c.deadline()
}

// deadline is for a holder of mu.
func (c *session) deadline() {
	var at time.Time
	switch c.phase {
	case forFrame:
		at = c.since.Add(or(c.server.IdleTimeout, 10*time.Minute))
		if !c.ending.IsZero() {
			at = c.since
		}
	case forMessage:
		at = c.begun.Add(or(c.server.ReadTimeout, time.Minute)) // for the whole message, however it trickles
	case forTrailer:
		at = c.since.Add(trailerWait)
	}
	if !c.ending.IsZero() && at.After(c.ending) {
		at = c.ending
	}
	_ = c.conn.SetReadDeadline(at) // a closed connection shows when it is read
}

// finish tells the session to end: at once when idle, else after the message under way, at the latest at end.
func (c *session) finish(end time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = end
	c.deadline()
}

func (c *session) draining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.ending.IsZero()
}

// end says why no more is read. A frame over the limit is refused aloud; whatever else went wrong has no
// message to answer.
func (c *session) end(head []byte, err error) {
	log := c.server.log().With("source", c.server.Name, "peer", c.peer)
	switch {
	case errors.Is(err, io.EOF):
	case errors.Is(err, ErrTooLong):
		log.Warn("message refused", "reason", err)
		limit := strconv.FormatInt(c.reader.max, 10)
		if c.write(c.refusal(head, "AR", issue.New(issue.TooLong, "", "a message over the limit of "+limit+" bytes"))) == nil {
			drainInput(c.conn, c.reader.br, lingering)
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		if c.draining() && c.idle() {
			return
		}
		log.Info("connection closed", "reason", "time-out")
	default:
		log.Warn("connection closed", "reason", err)
	}
}

func (c *session) idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase == forFrame
}

// answer hands the message over and gives what to send back; false: close without an answer.
func (c *session) answer(ctx context.Context, frame []byte, subject flow.Subject, framing error) ([]byte, bool) {
	log := c.server.log().With("source", c.server.Name, "peer", c.peer)
	if framing != nil {
		log.Warn("message refused", "reason", framing)
		return c.refusal(frame, "", issue.New(issue.Structure, "", "a frame character inside the message")), true
	}
	receipt, err := c.accept(ctx, flow.Received{
		Source: c.server.Name, Subject: subject, At: c.server.now(), Format: flow.HL7v2, Raw: frame,
	})
	switch {
	case err == nil:
		return receipt.Answer, true
	case errors.Is(err, flow.ErrUnavailable) && c.server.WhenDown == CloseConn:
		log.Error("message not kept, connection closed", "error", err)
		return nil, false
	case errors.Is(err, flow.ErrUnavailable):
		log.Error("message not kept", "error", err)
		return c.refusal(frame, "", issue.New(issue.Unavailable, "", "cannot keep messages now: send it again")), true
	}
	log.Error("message not kept", "error", err)
	return c.refusal(frame, "", issue.New(issue.Internal, "", "internal error: send it again")), true
}

// refusal is the server's own acknowledgement, for what never came to Accept or was not kept by it.
func (c *session) refusal(frame []byte, code string, i *issue.Issue) []byte {
	now := c.server.now()
	return hl7.Refuse(frame, hl7.Ack{
		Code: code, ControlID: "R" + strconv.FormatInt(now.UnixNano(), 36), At: now, Text: i.Text, Issues: []*issue.Issue{i},
	})
}

// write sends an answer; an empty one means that the sender asked for none.
func (c *session) write(answer []byte) error {
	if len(answer) == 0 {
		return nil
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(or(c.server.WriteTimeout, 10*time.Second)))
	err := WriteFrame(c.conn, answer)
	if err != nil {
		c.server.log().Warn("acknowledgement not sent", "source", c.server.Name, "peer", c.peer, "error", err)
	}
	return err
}
