package mllp

import (
	"errors"
	"os"
	"slices"
	"time"
)

// keep puts a connection by for the next message and watches it: it ends when the receiver closes it, when
// anything arrives that nobody waits for, such as a late acknowledgement, and after the idle time.
func (c *Client) keep(conn *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if conn.spent || len(c.idle) >= or(c.MaxIdle, 4) {
		_ = conn.Close()
		return
	}
	conn.limit(time.Now().Add(or(c.IdleTimeout, time.Minute)))
	conn.quiet = make(chan bool, 1)
	c.idle = append(c.idle, conn)
	go c.watch(conn)
}

// watch reads a connection that is kept. Only the deadline that kept moves into the past, to take it, shows
// that nothing came.
func (c *Client) watch(conn *Conn) {
	_, err := conn.reader.br.Peek(1)
	if c.forget(conn) {
		_ = conn.Close()
		return
	}
	conn.quiet <- errors.Is(err, os.ErrDeadlineExceeded)
}

// forget takes a connection out of those that are kept; false when it was not among them any more.
func (c *Client) forget(conn *Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.idle, conn)
	if i >= 0 {
		c.idle = slices.Delete(c.idle, i, i+1)
	}
	return i >= 0
}

// kept gives an idle connection that is still alive, the one used last, nil for none.
func (c *Client) kept() *Conn {
	for {
		conn := c.pop()
		if conn == nil {
			return nil
		}
		conn.limit(time.Unix(1, 0))
		if <-conn.quiet {
			return conn
		}
		_ = conn.Close()
	}
}

func (c *Client) pop() *Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.idle)
	if n == 0 {
		return nil
	}
	conn := c.idle[n-1]
	c.idle = c.idle[:n-1]
	return conn
}

// Close ends the connections kept for later.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.idle {
		_ = conn.Close() // its watch ends by it
	}
	c.idle = nil
	return nil
}
