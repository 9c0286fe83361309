package mllp

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// errSilence is a message that was sent whole and to which not a byte came back in time.
var errSilence = errors.New("mllp: no acknowledgement")

// answerWait is how long an application acknowledgement is waited for on the connection once the message was
// accepted, at most until the acknowledgement's own time-out: the receiver has the message and may take hours
// over it, and a destination that waited would send it nothing else.
const answerWait = 2 * time.Second

// hear reads the answers that the message with this key asks for and judges them. inStep says that nothing
// further is to come on the connection.
func (c *Client) hear(conn *Conn, key string, asks asks) (out flow.Outcome, inStep bool, err error) {
	f, err := conn.reader.Next()
	if errors.Is(err, os.ErrDeadlineExceeded) && conn.reader.Skipped == 0 {
		return out, false, errSilence
	}
	if err != nil {
		return out, false, err
	}
	ack, err := f.appendTo(nil)
	if err != nil {
		return out, false, err
	}
	out, code := c.judge(key, ack)
	if code != "CA" || asks.application == never {
		return out, code != "", nil
	}
	conn.limit(time.Now().Add(answerWait))
	answer, err := conn.reader.ReadFrame()
	if err != nil {
		return out, false, nil // the receiver has the message; its answer may come through a source
	}
	final, code := c.judge(key, answer)
	if code == "" {
		out.Replies = c.received(answer) // to an earlier message, perhaps: for its case to say
		return out, false, nil
	}
	return final, true, nil
}

// tell sends a message that asks for no answer. That it arrived cannot be known, so it goes over a
// connection of its own: one that was kept could be closed already without our having noticed.
func (c *Client) tell(ctx context.Context, m *outgoing) (flow.Outcome, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return flow.Outcome{}, err
	}
	exchange, cancel := context.WithTimeout(ctx, or(c.AckTimeout, 30*time.Second))
	defer cancel()
	if err := conn.within(exchange, func() error { return m.write(exchange, conn.conn) }); err != nil {
		_ = conn.Close()
		return flow.Outcome{}, err
	}
	go func() { // an answer that comes all the same must not reset the connection before it is read
		drainInput(conn.conn, conn.reader.br, lingering)
		_ = conn.Close()
	}()
	return flow.Outcome{Result: flow.Delivered}, nil
}
