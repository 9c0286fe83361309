package redis

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// state is what changes about a delivery. The scripts write it (`save` in lua/lib.lua), in a form of few bytes since each
// step of a delivery writes it anew; read reads that. Times are µs since 1970, by Redis. Its JSON is the form of layout 1,
// and tells a script about a new one.
type state struct {
	State   flow.State `json:"state,omitempty"`
	To      string     `json:"to"`
	Lane    string     `json:"lane"`
	Class   int        `json:"class"`
	Seq     int64      `json:"seq,omitempty"`          // order in its lane
	Attempt int        `json:"attempt,omitempty"`      // as in flow.Delivery
	Fence   int64      `json:"fence,omitempty"`        // as in flow.Delivery
	Ended   int64      `json:"ended,omitempty"`        // fence of the last settled attempt
	Due     int64      `json:"due,string"`             // in a new one: µs from now
	Since   int64      `json:"since,string,omitempty"` // when it was put
	Was     int64      `json:"was,string,omitempty"`   // Due before it was claimed
	Token   string     `json:"token,omitempty"`        // of the claim it is under
	Held    bool       `json:"held,omitempty"`         // parked, and holds its lane
	Note    string     `json:"note,omitempty"`         // once it is not the one it was put with
	Cause   string     `json:"cause,omitempty"`        // JSON
	Steps   []step     `json:"steps,omitempty"`
}

type step struct {
	Name string `json:"name"`
	Text string `json:"text"` // JSON of flow.Step
}

// states by their letter.
var states = map[byte]flow.State{'W': flow.Waiting, 'C': flow.Claimed, 'D': flow.Done, 'P': flow.Parked, 'X': flow.Discarded}

// Flags of a state: its second byte.
const (
	isRoutine = 1 << iota
	isHeld
	ownLane   // its lane has its own id for a name
	idLane    // its lane has an id for a name
	isClaimed // under a token
	hasWords  // a note, a cause or steps
	isWide    // numbers that need more room
)

var errState = errors.New("redis: a damaged state of a delivery")

// stateOf reads the state of a delivery.
func stateOf(id flow.ID, kept string) (s state, err error) {
	if strings.HasPrefix(kept, "{") {
		if err := json.Unmarshal([]byte(kept), &s); err != nil {
			return s, fmt.Errorf("%w: %w", errState, err)
		}
		return s, nil
	}
	r := reader{rest: kept}
	if letter := byte(r.number(1)); letter >= 'a' {
		s.State = states[letter-'a'+'A']
		r.layout2(&s)
	} else {
		s.State = states[letter]
		r.layout3(&s, id)
	}
	for len(r.rest) > 0 && !r.short {
		s.Steps = append(s.Steps, step{r.text(), r.text()})
	}
	if r.short || s.State == "" {
		return s, errState
	}
	return s, nil
}

// layout3 reads a state behind its letter.
func (r *reader) layout3(s *state, id flow.ID) {
	flags := r.number(1)
	s.Class, s.Held = int(flags&isRoutine), flags&isHeld != 0
	counts, order := 1, 4
	if flags&isWide != 0 {
		counts, order = 4, 6
	}
	s.Attempt, s.Fence, s.Ended, s.Seq = int(r.number(counts)), r.number(counts), r.number(counts), r.number(order)
	s.Due, s.Since = r.number(7), r.number(7)
	if flags&isClaimed != 0 {
		s.Was, s.Token = r.number(7), r.text()
	}
	s.To = r.text()
	switch {
	case flags&ownLane != 0:
		s.Lane = id.String()
	case flags&idLane != 0:
		s.Lane = flow.ID([]byte(r.take(16))).String()
	default:
		s.Lane = r.text()
	}
	if flags&hasWords != 0 {
		s.Note, s.Cause = r.text(), r.text()
	}
}

func (r *reader) layout2(s *state) {
	s.Class, s.Held = int(r.number(1)), r.number(1) == 1
	s.Attempt, s.Fence, s.Ended, s.Seq = int(r.number(4)), r.number(4), r.number(4), r.number(6)
	s.Due, s.Since, s.Was = r.number(7), r.number(7), r.number(7)
	s.To, s.Lane, s.Token, s.Note, s.Cause = r.text(), r.text(), r.text(), r.text(), r.text()
}

// reader reads big-endian numbers, and texts behind their length (4 bytes).
type reader struct {
	rest  string
	short bool // there was less than was asked for
}

func (r *reader) take(n int) string {
	if n > len(r.rest) {
		r.rest, r.short = "", true
		return strings.Repeat("\x00", min(n, 16))
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) number(size int) int64 {
	var b [8]byte
	copy(b[8-size:], r.take(size))
	return int64(binary.BigEndian.Uint64(b[:]))
}

func (r *reader) text() string {
	n := int(r.number(2))
	if n == 0xffff {
		n = int(r.number(4))
	}
	if n == 0 {
		return ""
	}
	return r.take(n)
}

// fresh gives what changes about a new delivery.
func fresh(d flow.Delivery) state {
	class := flow.ClassRoutine
	if d.Class <= flow.ClassUrgent {
		class = flow.ClassUrgent
	}
	return state{To: d.To, Lane: d.Lane, Class: class, Due: d.Delay().Microseconds()}
}

// keptDelivery is a delivery as it is kept: what its name or its state has is left out. Layout 2 had all of it.
type keptDelivery struct {
	*flow.Delivery
	Key     *string    `json:"key,omitempty"` // nil: its id
	Body    keptBody   `json:"body,omitzero"`
	ID      *flow.ID   `json:"id,omitempty"`
	To      *string    `json:"to,omitempty"`
	Lane    *string    `json:"lane,omitempty"`
	State   flow.State `json:"state,omitempty"`
	Attempt int        `json:"attempt,omitempty"`
	Fence   int        `json:"fence,omitempty"`
	Due     *time.Time `json:"due,omitempty"`
}

// delivery packs what stays of a delivery.
func (p packer) delivery(d flow.Delivery) ([]byte, error) {
	return p.pack(keptDelivery{Delivery: &d, Key: differing(d.Key, d.ID.String()), Body: bodyKept(d.Body)}, d.Body.Inline)
}

// whole puts the parts of a delivery together again; body is what layout 1 kept apart, empty where it is not wanted.
func (p packer) whole(id flow.ID, record, changing, body string) (flow.Delivery, error) {
	d := flow.Delivery{ID: id}
	kept := keptDelivery{Delivery: &d}
	inline, err := p.unpack("delivery", record, &kept)
	if err != nil {
		return d, err
	}
	s, err := stateOf(id, changing)
	if err != nil {
		return d, err
	}
	d.Key = or(kept.Key, id.String())
	d.State, d.To, d.Lane, d.Attempt, d.Fence, d.Due = s.State, s.To, s.Lane, s.Attempt, s.Fence, time.UnixMicro(s.Due).UTC()
	if s.Note != "" {
		d.Note = s.Note
	}
	if s.Cause != "" {
		d.Cause = &issue.Issue{}
		if err := json.Unmarshal([]byte(s.Cause), d.Cause); err != nil {
			return d, fmt.Errorf("redis: a damaged cause: %w", err)
		}
	}
	for _, kept := range s.Steps {
		var done flow.Step
		if err := json.Unmarshal([]byte(kept.Text), &done); err != nil {
			return d, fmt.Errorf("redis: a damaged step: %w", err)
		}
		d.Steps = append(d.Steps, done)
	}
	if inline == nil {
		inline, err = bytesOf(body)
	}
	d.Body = kept.Body.with(inline)
	return d, err
}
