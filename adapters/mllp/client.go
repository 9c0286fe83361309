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

	CurrentTLS func() *tls.Config // instead of TLS: asked for each connection, so that renewed files count

	ConnectTimeout time.Duration // TCP and TLS; 10 s
	AckTimeout     time.Duration // from the first byte sent to the acknowledgement; 30 s
	MaxAck         int64         // bytes of an acknowledgement; 1 MiB
	MaxIdle        int           // connections kept for later; 4
	IdleTimeout    time.Duration // of a connection kept for later; 1 min

	Open func(context.Context, flow.BodyRef) (io.ReadCloser, error) // reads bodies that are not inline
	Now  func() time.Time                                           // nil: time.Now; when a reply came

	mu   sync.Mutex
	idle []*Conn
}

// Deliver sends d and judges the answer: delivered on AA or CA for its key, refused when the receiver says
// that the message itself is wrong, retried otherwise. Which answers are waited for is by MSH-15 and MSH-16
// of the message. Its error is that of ctx: the attempt is abandoned.
func (c *Client) Deliver(ctx context.Context, d flow.Delivery, _ func(flow.Step) error) (flow.Outcome, error) {
	out, err := c.send(ctx, d)
	switch {
	case err == nil:
		return out, nil
	case ctx.Err() != nil:
		return flow.Outcome{}, ctx.Err()
	case errors.Is(err, ErrUnframable):
		return flow.Outcome{Result: flow.Refused, Cause: issue.New(issue.Structure, "", "the message holds a frame character")}, nil
	}
	return flow.Outcome{Result: flow.Retry, Cause: issue.New(issue.Unavailable, "", failure(err)).Because(err)}, nil
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
	case errors.Is(err, errSilence), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
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
func (c *Client) send(ctx context.Context, d flow.Delivery) (flow.Outcome, error) {
	m, err := c.open(ctx, d.Body)
	if err != nil {
		return flow.Outcome{}, err
	}
	defer m.close()
	if m.asks.nothing() {
		return c.tell(ctx, m)
	}
	if conn := c.kept(); conn != nil {
		out, err := c.converse(ctx, conn, d.Key, m)
		if err == nil || !ended(err) {
			return out, err
		}
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return flow.Outcome{}, err
	}
	return c.converse(ctx, conn, d.Key, m)
}

// ended tells a connection that the peer closed.
func ended(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.As(err, &op) && !op.Timeout()
}

func (c *Client) dial(ctx context.Context) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, or(c.ConnectTimeout, 10*time.Second))
	defer cancel()
	config := c.TLS
	if c.CurrentTLS != nil {
		config = c.CurrentTLS()
	}
	conn, err := Dial(ctx, c.Address, config)
	if err != nil {
		return nil, &dialError{err}
	}
	conn.reader.max = or(c.MaxAck, AckLimit)
	return conn, nil
}

// converse sends m over conn, hears the receiver out and keeps the connection when the two are in step.
func (c *Client) converse(ctx context.Context, conn *Conn, key string, m *outgoing) (flow.Outcome, error) {
	end := time.Now().Add(or(c.AckTimeout, 30*time.Second))
	exchange, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	var out flow.Outcome
	var inStep bool
	err := conn.within(exchange, func() (err error) {
		if err = m.write(exchange, conn.conn); err == nil {
			out, inStep, err = c.hear(conn, key, m.asks)
		}
		return err
	})
	if errors.Is(err, errSilence) && m.asks.first() == errorsOnly && !time.Now().Before(end) {
		out, err = flow.Outcome{Result: flow.Delivered}, nil // silence for the whole time is the answer
	}
	if err == nil && inStep && conn.reader.Skipped == 0 {
		c.keep(conn)
	} else {
		_ = conn.Close()
	}
	return out, err
}
