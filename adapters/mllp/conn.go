package mllp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// Conn is a connection to an MLLP receiver, for one message at a time.
type Conn struct {
	conn   net.Conn
	reader *Reader

	mu    sync.Mutex
	until time.Time // when the exchange under way must be over; zero: no limit

	spent bool      // its time ran out at the very end of an exchange
	quiet chan bool // while a Client keeps it: whether nothing came until it was taken again
}

// AckLimit is the size an acknowledgement may have, in bytes, where nothing else is said: 1 MiB.
const AckLimit = 1 << 20

// Dial connects to "host:port", with TLS when config is not nil.
func Dial(ctx context.Context, address string, config *tls.Config) (*Conn, error) {
	d := net.Dialer{}
	if config == nil {
		c, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		return newConn(c), nil
	}
	c, err := (&tls.Dialer{NetDialer: &d, Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return newConn(c), nil
}

func newConn(c net.Conn) *Conn {
	conn := &Conn{conn: c, reader: NewReader(c, AckLimit)}
	conn.reader.wait = conn
	return conn
}

// await keeps the reader within the exchange's time, and within trailerWait for a trailing CR.
func (c *Conn) await(p phase, since time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.until
	if trailer := since.Add(trailerWait); p == forTrailer && (at.IsZero() || trailer.Before(at)) {
		at = trailer
	}
	_ = c.conn.SetReadDeadline(at) // a closed connection shows when it is read
	return nil
}

// limit bounds everything that is done on the connection.
func (c *Conn) limit(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = at
	_ = c.conn.SetDeadline(at) // a closed connection shows when it is used
}

// Close ends the connection.
func (c *Conn) Close() error { return c.conn.Close() }

// Exchange sends one message and gives the acknowledgement, until ctx ends. After an error the connection
// is of no further use: a late acknowledgement would be taken for the next message's.
func (c *Conn) Exchange(ctx context.Context, message []byte) ([]byte, error) {
	var ack []byte
	err := c.within(ctx, func() (err error) {
		if err = WriteFrame(c.conn, message); err == nil {
			ack, err = c.reader.ReadFrame()
		}
		return err
	})
	return ack, err
}

// More gives one more acknowledgement of the message sent last: of a batch each message has its own.
func (c *Conn) More(ctx context.Context) ([]byte, error) {
	var ack []byte
	err := c.within(ctx, func() (err error) {
		ack, err = c.reader.ReadFrame()
		return err
	})
	return ack, err
}

// within does an exchange until ctx ends. An error of ctx is given as such.
func (c *Conn) within(ctx context.Context, exchange func() error) error {
	at, _ := ctx.Deadline() // zero when there is none
	c.limit(at)
	stop := context.AfterFunc(ctx, func() { c.limit(time.Unix(1, 0)) })
	defer func() { c.spent = !stop() }()
	err := exchange()
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Canceled
	case errors.Is(err, os.ErrDeadlineExceeded): // the deadline of ctx, which may not have noticed yet
		return context.DeadlineExceeded
	}
	return err
}
