package mllp

import (
	"net"
	"sync"
	"time"
)

const (
	answersSize = 32 << 10             // bytes of acknowledgements that leave in one write
	answersHold = 1 * time.Millisecond // how long one may wait for the others
)

// answers writes the acknowledgements of a connection in their order. Those to frames that arrived together
// leave together: when nothing more has arrived, when they are many, or after a millisecond, however long
// the message after them takes. A peer that does not read them makes add block, at most for limit.
type answers struct {
	conn  net.Conn
	limit time.Duration // for one write

	mu    sync.Mutex
	frame []byte // what is held
	err   error  // of a write: nothing can be sent any more
	timer *time.Timer
}

// add takes an acknowledgement. It may be held when more says that another frame has arrived already.
func (a *answers) add(answer []byte, more bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	fits := framable(answer)
	if len(a.frame)+len(answer) > answersSize || !fits {
		a.write()
	}
	if a.err == nil && !fits {
		a.err = ErrUnframable
	}
	if a.err != nil {
		return a.err
	}
	if len(answer) > answersSize {
		_ = a.conn.SetWriteDeadline(time.Now().Add(a.limit)) // a closed connection shows when it is written to
		a.err = WriteFrame(a.conn, answer)
		return a.err
	}
	if more && len(a.frame) == 0 {
		a.hold()
	}
	if a.frame = appendFrame(a.frame, answer); !more {
		a.write()
	}
	return a.err
}

// flush sends what is held.
func (a *answers) flush() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.write()
	return a.err
}

// hold and write are for a holder of mu.
func (a *answers) hold() {
	if a.timer == nil {
		a.timer = time.AfterFunc(answersHold, func() { _ = a.flush() }) // its error is that of the next add or flush
		return
	}
	a.timer.Reset(answersHold)
}

func (a *answers) write() {
	if len(a.frame) == 0 || a.err != nil {
		return
	}
	if a.timer != nil {
		a.timer.Stop()
	}
	_ = a.conn.SetWriteDeadline(time.Now().Add(a.limit)) // a closed connection shows when it is written to
	_, a.err = a.conn.Write(a.frame)
	a.frame = a.frame[:0]
}
