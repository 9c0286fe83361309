package sim

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Ack is how an MLLP stand-in meets a message.
type Ack struct {
	Code   string        `json:"code,omitempty"`   // MSA-1 instead of its own judgement: "AE", "AR", "AA"
	Error  string        `json:"error,omitempty"`  // ERR-3 with it, "207"
	Silent bool          `json:"silent,omitempty"` // no answer; the connection stays open
	Close  bool          `json:"close,omitempty"`  // no answer; the connection is closed
	Cut    bool          `json:"cut,omitempty"`    // half an answer; the connection is closed
	Delay  time.Duration `json:"delay,omitempty"`  // before the answer; "2s" in JSON
	Lose   bool          `json:"lose,omitempty"`   // with Silent, Close or Cut: the message is not kept either
	Times  int           `json:"times,omitempty"`  // messages it meets; 0: one, -1: all
	Do     func()        `json:"-"`                // done when the message is taken, or lost, and before any answer
}

// listener takes MLLP frames and answers them, the part that EPR and GP share.
type listener struct {
	Now     func() time.Time             // set before use; time.Now unless changed
	Log     func(m Message, code string) // told of each message and its MSA-1, "" where there is no answer; nil: nobody. Set before use
	Gateway string                       // where Send acts send to: HOST:PORT of the gateway's MLLP
	Keep    int                          // messages remembered, the latest; 0: all. Set before use

	// Watch, where it is set before use, says how a message is met; false: as Next arranged.
	Watch func(Message) (Ack, bool)

	tcp     net.Listener
	desk    *http.Server       // nil: nothing is told by HTTP
	judge   func(hl7) []string // what is wrong with a message, as "segment^sequence^field:code"; none: AA
	mu      sync.Mutex         // guards everything below
	conns   map[net.Conn]bool
	got     []Message
	seen    map[string]string // MSH-10 → acknowledgement code
	acks    []Ack
	dropped int // messages that are remembered no longer
	repeats int
	sent    int // messages that were made here
	closed  bool
}

// Message is an HL7 v2 message that was taken.
type Message struct {
	Raw     []byte
	Type    string // "REF^I12"
	Control string // MSH-10
	Patient string // NHS number in PID-3
	Photos  []Photo
	Texts   []string // OBX-5 of textual OBX, NTE-3; decoded
}

// listen starts on addr ("": any free loopback port).
func (l *listener) listen(addr string) error {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	l.tcp, l.Now, l.conns, l.seen = tcp, time.Now, map[net.Conn]bool{}, map[string]string{}
	go l.accept()
	return nil
}

// Address is where it listens, "127.0.0.1:port".
func (l *listener) Address() string { return l.tcp.Addr().String() }

// Close stops listening and cuts all connections.
func (l *listener) Close() error {
	err := l.tcp.Close()
	if l.desk != nil {
		err = errors.Join(err, l.desk.Close())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for c := range l.conns {
		c.Close()
	}
	return err
}

// Next arranges how the next messages are met, one each.
func (l *listener) Next(acks ...Ack) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acks = append(l.acks, acks...)
}

// Messages gives what was taken, each once, in order.
func (l *listener) Messages() []Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Message(nil), l.got...)
}

// Repeats counts messages whose MSH-10 was taken before: they are answered as then and kept once.
func (l *listener) Repeats() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.repeats
}

func (l *listener) accept() {
	for {
		c, err := l.tcp.Accept()
		if err != nil {
			return
		}
		l.mu.Lock()
		if l.closed {
			c.Close()
		}
		l.conns[c] = true
		l.mu.Unlock()
		go l.serve(c)
	}
}

func (l *listener) serve(c net.Conn) {
	defer func() {
		c.Close()
		l.mu.Lock()
		delete(l.conns, c)
		l.mu.Unlock()
	}()
	r := bufio.NewReader(c)
	for {
		raw, err := readFrame(r)
		if err != nil {
			return
		}
		answer, how := l.take(raw)
		if l.Log != nil {
			l.Log(split7(raw).message(), how.told(answer))
		}
		time.Sleep(how.Delay)
		switch {
		case how.Close:
			return
		case how.Cut:
			whole := frame(answer)
			c.Write(whole[:len(whole)/2]) //nolint:errcheck // closed next
			return
		case how.Silent:
			continue
		}
		if _, err := c.Write(frame(answer)); err != nil {
			return
		}
	}
}

// take judges, keeps and acknowledges a message.
func (l *listener) take(raw []byte) ([]byte, Ack) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := split7(raw)
	how, watched := Ack{}, false
	if l.Watch != nil {
		how, watched = l.Watch(m.message())
	}
	if !watched {
		how = l.meets()
	}
	if how.Do != nil {
		defer how.Do()
	}
	control := m.field("MSH", 0, 10)
	if code, ok := l.seen[control]; ok && how.Code == "" {
		l.repeats++
		return m.ack(l.Now(), code, nil), how
	}
	if how.Lose {
		return m.ack(l.Now(), "AE", nil), how
	}
	faults := l.judge(m)
	code := "AA"
	if len(faults) > 0 {
		code = "AE"
	}
	if how.Code != "" {
		code, faults = how.Code, nil
		if how.Error != "" {
			faults = []string{"^^:" + how.Error}
		}
	}
	if code == "AA" || code == "CA" {
		l.seen[control] = code
		if l.Keep > 0 && len(l.got) >= l.Keep {
			l.got = slices.Delete(l.got, 0, 1)
			l.dropped++
		}
		l.got = append(l.got, m.message())
	}
	return m.ack(l.Now(), code, faults), how
}

// meets takes how the next message is met.
func (l *listener) meets() Ack {
	if len(l.acks) == 0 {
		return Ack{}
	}
	how := &l.acks[0]
	met := *how
	if how.Times == 0 {
		how.Times = 1
	}
	if how.Times--; how.Times == 0 {
		l.acks = l.acks[1:]
	}
	return met
}

// told is the MSA-1 that a sender sees.
func (a Ack) told(answer []byte) string {
	if a.Silent || a.Close || a.Cut {
		return ""
	}
	return split7(answer).field("MSA", 0, 1)
}

// The MLLP frame: VT, message, FS, CR.
const (
	startBlock, endBlock = 0x0b, 0x1c
	maxFrame             = 256 << 20
)

func frame(message []byte) []byte {
	return append(append([]byte{startBlock}, message...), endBlock, '\r')
}

// readFrame reads up to FS CR; anything before VT is a fault of the sender.
func readFrame(r *bufio.Reader) ([]byte, error) {
	first, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	if first != startBlock {
		return nil, errors.New("sim: no start block")
	}
	var out bytes.Buffer
	for {
		part, err := r.ReadSlice(endBlock)
		out.Write(part)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		if err == nil {
			break
		}
		if out.Len() > maxFrame {
			return nil, errors.New("sim: frame over the limit")
		}
	}
	if next, err := r.ReadByte(); err != nil || next != '\r' {
		return nil, errors.New("sim: no CR after the end block")
	}
	return out.Bytes()[:out.Len()-1], nil
}

// Send sends one message by MLLP to an address and gives what it was answered.
func Send(ctx context.Context, address string, message []byte) ([]byte, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if _, err := c.Write(frame(message)); err != nil {
		return nil, err
	}
	answer, err := readFrame(bufio.NewReader(c))
	if errors.Is(err, io.EOF) {
		return nil, errors.New("sim: the connection was closed without an answer")
	}
	return answer, err
}
