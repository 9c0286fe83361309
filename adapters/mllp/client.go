package mllp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Client delivers messages to one MLLP receiver. It implements flow.Destination. Connections are kept and
// used again, each for one message at a time: foreign receivers are not pipelined to.
//
// MSH-10 is the idempotency key at an HL7 v2 receiver and is the same in every attempt, as are the bytes.
// So everything that leaves open whether the receiver took the message (no acknowledgement in time, one
// for another message, one that cannot be read) is a Retry, never Unknown.
type Client struct {
	Name    string      // of the destination; replies carry it as their source
	Address string      // "host:port"
	TLS     *tls.Config // nil: plain TCP

	ConnectTimeout time.Duration // TCP and TLS; 10 s
	AckTimeout     time.Duration // from the first byte sent to the acknowledgement; 30 s
	MaxAck         int64         // bytes of an acknowledgement; 1 MiB
	MaxIdle        int           // connections kept for later; 4

	Open func(context.Context, flow.BodyRef) (io.ReadCloser, error) // reads bodies that are not inline
	Now  func() time.Time                                           // nil: time.Now; when a reply came

	mu   sync.Mutex
	idle []*Conn
}

// Deliver sends d and judges the answer: delivered on AA or CA for its key, refused when the receiver says
// that the message itself is wrong, retried otherwise. Its error is that of ctx: the attempt is abandoned.
func (c *Client) Deliver(ctx context.Context, d flow.Delivery, _ func(flow.Step) error) (flow.Outcome, error) {
	ack, err := c.send(ctx, d)
	switch {
	case err == nil:
		return c.judge(d, ack), nil
	case ctx.Err() != nil:
		return flow.Outcome{}, ctx.Err()
	case errors.Is(err, ErrUnframable):
		return flow.Outcome{Result: flow.Refused, Cause: issue.New(issue.Structure, "", "the message holds a frame character")}, nil
	}
	return flow.Outcome{Result: flow.Retry, Cause: issue.New(issue.Unavailable, "", failure(err)).Because(err)}, nil
}

// Close ends the connections kept for later.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.idle {
		_ = conn.Close()
	}
	c.idle = nil
	return nil
}

// bodyError is trouble with our own store of bodies, not with the receiver.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "mllp: message not read from the store: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// dialError is a connection that did not come about: nothing was sent.
type dialError struct{ err error }

func (e *dialError) Error() string { return "mllp: connect: " + e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// failure names what went wrong, without the system's words: they hold addresses.
func failure(err error) string {
	var dial *dialError
	var body *bodyError
	var timeout net.Error
	switch {
	case errors.As(err, &body):
		return "cannot read the message from the store"
	case errors.As(err, &dial):
		return "cannot connect"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no acknowledgement in time"
	case errors.Is(err, ErrTooLong):
		return "acknowledgement over the limit"
	case errors.Is(err, ErrForeign), errors.Is(err, ErrJunk), errors.Is(err, ErrInside):
		return "the answer is not MLLP"
	}
	return "connection lost before the acknowledgement"
}

// send makes one attempt. A connection that was kept may have been closed by the receiver in the meantime:
// when it ends without a byte of answer, the same message goes once over a fresh one.
func (c *Client) send(ctx context.Context, d flow.Delivery) ([]byte, error) {
	if conn := c.kept(); conn != nil {
		ack, err := c.exchange(ctx, conn, d)
		if err == nil || !ended(err) {
			return ack, err
		}
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, &dialError{err}
	}
	return c.exchange(ctx, conn, d)
}

// ended tells a connection that the peer closed.
func ended(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.As(err, &op) && !op.Timeout()
}

func (c *Client) dial(ctx context.Context) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, or(c.ConnectTimeout, 10*time.Second))
	defer cancel()
	conn, err := Dial(ctx, c.Address, c.TLS)
	if err != nil {
		return nil, err
	}
	conn.reader.max = or(c.MaxAck, AckLimit)
	return conn, nil
}

// exchange sends d over conn and keeps the connection when all went well.
func (c *Client) exchange(ctx context.Context, conn *Conn, d flow.Delivery) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, or(c.AckTimeout, 30*time.Second))
	defer cancel()
	ack, err := conn.exchange(ctx, func(w io.Writer) error { return c.write(ctx, w, d.Body) })
	if err != nil || conn.reader.Skipped > 0 {
		_ = conn.Close()
		return ack, err
	}
	c.keep(conn)
	return ack, nil
}

// write frames the body: inline in one write, from the store as a stream.
func (c *Client) write(ctx context.Context, w io.Writer, body flow.BodyRef) error {
	if body.Blob == "" {
		return WriteFrame(w, body.Inline)
	}
	if c.Open == nil {
		return &bodyError{errors.New("no store to read it from")}
	}
	r, err := c.Open(ctx, body)
	if err != nil {
		return &bodyError{err}
	}
	defer func() { _ = r.Close() }() // read only
	return streamFrame(w, &bodyReader{r})
}

// bodyReader marks the store's errors as such.
type bodyReader struct{ r io.Reader }

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &bodyError{err}
	}
	return n, err
}

// kept gives an idle connection that is still alive, nil for none.
func (c *Client) kept() *Conn {
	for {
		c.mu.Lock()
		n := len(c.idle)
		if n == 0 {
			c.mu.Unlock()
			return nil
		}
		conn := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		if conn.alive() {
			return conn
		}
		_ = conn.Close()
	}
}

func (c *Client) keep(conn *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) >= or(c.MaxIdle, 4) {
		_ = conn.Close()
		return
	}
	c.idle = append(c.idle, conn)
}

// judge makes an outcome of an acknowledgement: MSA-1 and MSA-2 both count.
func (c *Client) judge(d flow.Delivery, ack []byte) flow.Outcome {
	a, err := hl7.ParseAck(ack)
	switch {
	case err != nil:
		return retry("the acknowledgement cannot be read")
	case a.ControlID != d.Key:
		return retry("the acknowledgement is for another message")
	}
	switch a.Code {
	case "AA", "CA":
		return flow.Outcome{Result: flow.Delivered, Replies: c.replies(ack)}
	case "AE", "CE":
		return flow.Outcome{Result: flow.Refused, Cause: cause(a)}
	case "AR", "CR":
		if permanent(a) {
			return flow.Outcome{Result: flow.Refused, Cause: cause(a)}
		}
		return flow.Outcome{Result: flow.Retry, Cause: cause(a)}
	}
	return retry("the acknowledgement has an unknown code")
}

func retry(text string) flow.Outcome {
	return flow.Outcome{Result: flow.Retry, Cause: issue.New(issue.Unavailable, "MSA", text)}
}

// permanent tells a rejection that sending again cannot cure: an unsupported type, event, processing id or
// version, or a fault of the message's content (HL7 table 0357, 100 to 205). 206, 207, what the table does
// not know and no code at all may pass.
func permanent(a hl7.Answer) bool {
	for _, e := range a.Errors {
		if kindOf(e.Code) != issue.Unavailable && e.Severity != "W" && e.Severity != "I" {
			return true
		}
	}
	return false
}

// kindOf reads HL7 table 0357.
func kindOf(code string) issue.Kind {
	switch code {
	case "100":
		return issue.Structure
	case "101":
		return issue.Required
	case "102":
		return issue.Value
	case "103":
		return issue.Code
	case "104":
		return issue.TooLong
	case "200":
		return issue.UnsupportedType
	case "201":
		return issue.UnsupportedEvent
	case "202":
		return issue.UnsupportedProcessing
	case "203":
		return issue.UnsupportedVersion
	case "204":
		return issue.NotFound
	case "205":
		return issue.Conflict
	}
	return issue.Unavailable
}

// cause tells what the receiver said: its codes and the place, not its words, which may quote the message.
func cause(a hl7.Answer) *issue.Issue {
	i := issue.New(issue.Unavailable, "", "the receiver answered "+a.Code)
	if a.Code == "AE" || a.Code == "CE" {
		i.Kind = issue.Value
	}
	for _, e := range a.Errors {
		if e.Severity == "W" || e.Severity == "I" {
			continue
		}
		if k := kindOf(e.Code); k != issue.Unavailable {
			i.Kind = k
			i.Text += ", error " + e.Code
		}
		i.Where = e.Where.String()
		break
	}
	return i
}

// replies gives an application answer that came as the acknowledgement, such as RRI^I12 for REF^I12, to be
// accepted as a message of its own; a plain ACK says nothing more.
func (c *Client) replies(ack []byte) []flow.Received {
	m, err := hl7.Parse(ack)
	if err != nil {
		return nil
	}
	if code, _, _ := m.Type(); code == "ACK" || code == "MCF" || code == "" {
		return nil
	}
	now := time.Now
	if c.Now != nil {
		now = c.Now
	}
	return []flow.Received{{Source: c.Name, At: now(), Format: flow.HL7v2, Raw: ack}}
}
