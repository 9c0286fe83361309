package mllp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// session is one connection: one message at a time, and no further bytes are read before the answers to
// what has arrived are written, so that a peer that does not read its answers is not read from either.
type session struct {
	server *Server
	conn   net.Conn
	peer   netip.Addr
	accept flow.Accept
	reader *Reader
	out    *answers

	mu     sync.Mutex
	phase  phase
	since  time.Time // when the phase began
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
	if !c.named() {
		c.server.log().Warn("connection refused", "source", c.server.Name, "peer", c.peer, "reason", "certificate name not allowed")
		return
	}
	subject := c.subject()
	c.out = &answers{conn: c.conn, limit: or(c.server.WriteTimeout, 10*time.Second)}
	c.reader = NewReader(c.conn, c.server.MaxMessage)
	c.reader.wait = c
	for n, noted := 1, false; ; n++ {
		in, err := c.receive(ctx, subject)
		if c.reader.Skipped > 0 && !noted && !errors.Is(err, ErrForeign) {
			noted = true
			c.server.log().Warn("bytes outside any frame skipped", "source", c.server.Name, "peer", c.peer)
		}
		if err != nil && !refusable(err) {
			c.end(in.Raw, err)
			return
		}
		answers, ok := c.answer(ctx, in, err)
		in.Discard()
		if last := !ok || n == c.server.CloseAfter || c.server.leaving.Load() || c.draining(); !c.write(answers, last) || last {
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

// named tells whether the peer's certificate has a name that is allowed: its common name, or one of its DNS
// names. Only a certificate that the TLS configuration has verified counts.
func (c *session) named() bool {
	if len(c.server.AllowNames) == 0 {
		return true
	}
	t, ok := c.conn.(*tls.Conn)
	if !ok || len(t.ConnectionState().VerifiedChains) == 0 {
		return false
	}
	leaf := t.ConnectionState().VerifiedChains[0][0]
	return slices.ContainsFunc(c.server.AllowNames, func(name string) bool {
		return name != "" && (name == leaf.Subject.CommonName || slices.Contains(leaf.DNSNames, name))
	})
}

// await sends the answers that are held, for the peer may wait for them, and sets the deadline of what is
// waited for; while draining an idle connection has no time left.
func (c *session) await(p phase, since time.Time) error {
	if err := c.out.flush(); err != nil {
		return &writeError{err}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase, c.since = p, since
	c.deadline()
	return nil
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
		at = c.since.Add(or(c.server.ReadTimeout, time.Minute)) // for the whole message, however it trickles
	case forTrailer: // not shorter while draining: only true silence ends a frame
		_ = c.conn.SetReadDeadline(c.since.Add(trailerWait))
		return
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
	log := c.log()
	var unsent *writeError
	switch {
	case errors.As(err, &unsent):
		c.unsent(unsent.err)
		return
	case errors.Is(err, ErrTooLong):
		log.Warn("message refused", "reason", err)
		limit := strconv.FormatInt(c.reader.max, 10)
		if c.write(c.refusal(head, "AR", issue.New(issue.TooLong, "", "a message over the limit of "+limit+" bytes")), true) {
			drainInput(c.conn, c.reader.br, lingering)
		}
		return
	}
	c.write(nil, true) // what is held of earlier answers
	switch {
	case errors.Is(err, io.EOF):
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

// receive reads the next message. With an error Raw holds its beginning, to refuse it by.
func (c *session) receive(ctx context.Context, subject flow.Subject) (in flow.Received, err error) {
	in = flow.Received{Source: c.server.Name, Subject: subject, Format: flow.HL7v2}
	if c.server.Lift == nil {
		in.Raw, err = c.reader.ReadFrame()
	} else {
		err = c.lift(ctx, &in)
	}
	in.At = c.server.now()
	return in, err
}

// lift reads the next message with its payloads going to the blob store.
func (c *session) lift(ctx context.Context, in *flow.Received) error {
	frame, err := c.reader.Next()
	if err != nil {
		return err
	}
	head := &headReader{r: frame}
	if err := c.server.Lift(ctx, in, head); err != nil {
		in.Raw = head.head
		return errors.Join(err, frame.Close()) // the rest of it is passed over
	}
	return nil
}

// headReader keeps the beginning of what is read.
type headReader struct {
	r    io.Reader
	head []byte
}

func (h *headReader) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.head = append(h.head, p[:min(n, headSize-len(h.head))]...)
	return n, err
}

// refusable tells an error after which the message is refused and the next one is read.
func refusable(err error) bool {
	if errors.Is(err, ErrInside) {
		return true
	}
	var i *issue.Issue
	return (errors.As(err, &i) || errors.Is(err, flow.ErrUnavailable)) && !broken(err)
}

// broken tells an error of the stream, which is of no further use.
func broken(err error) bool {
	return errors.Is(err, ErrTooLong) || errors.Is(err, ErrUnfinished) || errors.Is(err, os.ErrDeadlineExceeded)
}

// answer hands the message over and gives what to send back; false: close after that.
func (c *session) answer(ctx context.Context, in flow.Received, err error) ([][]byte, bool) {
	var receipt flow.Receipt
	if err == nil {
		receipt, err = c.accept(ctx, in)
	}
	var trouble *issue.Issue
	switch {
	case err == nil && len(receipt.Answers) > 0:
		return receipt.Answers, true
	case err == nil:
		return [][]byte{receipt.Answer}, true
	case errors.Is(err, ErrInside):
		c.log().Warn("message refused", "reason", err)
		return c.refusal(in.Raw, "", issue.New(issue.Structure, "", "a frame character inside the message")), true
	case errors.Is(err, flow.ErrUnavailable) && c.server.WhenDown == CloseConn:
		c.log().Error("message not kept, connection closed", "error", err)
		return nil, false
	case errors.Is(err, flow.ErrUnavailable):
		c.log().Error("message not kept", "error", err)
		return c.refusal(in.Raw, "", issue.New(issue.Unavailable, "", "cannot keep messages now: send it again")), true
	case errors.As(err, &trouble):
		c.log().Warn("message refused", "reason", err)
		return c.refusal(in.Raw, "", trouble), true
	}
	c.log().Error("message not kept", "error", err)
	return c.refusal(in.Raw, "", issue.New(issue.Internal, "", "internal error: send it again")), true
}

// refusal is the server's own acknowledgement, for what never came to Accept or was not kept by it.
func (c *session) refusal(frame []byte, code string, i *issue.Issue) [][]byte {
	now := c.server.now()
	return [][]byte{hl7.Refuse(frame, hl7.Ack{
		Code: code, ControlID: "R" + strconv.FormatInt(now.UnixNano(), 36), At: now, Text: i.Text, Issues: []*issue.Issue{i},
		Enhanced: c.server.Enhanced,
	})}
}

// write sends the answers to a message, each as its own frame, an empty one meaning that the sender asked
// for none. They may be held back until the next wait, the last ones of a connection are not.
func (c *session) write(answers [][]byte, last bool) bool {
	var err error
	for _, answer := range answers {
		if len(answer) > 0 && err == nil {
			err = c.out.add(answer, c.reader.br.Buffered() > 0)
		}
	}
	if last && err == nil {
		err = c.out.flush()
	}
	if err != nil {
		c.unsent(err)
	}
	return err == nil
}

// writeError is a failure to answer, found when the next message is waited for.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

func (c *session) unsent(err error) { c.log().Warn("acknowledgement not sent", "error", err) }

func (c *session) log() *slog.Logger {
	return c.server.log().With("source", c.server.Name, "peer", c.peer)
}
