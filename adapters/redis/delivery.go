package redis

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// state is what changes about a delivery, as the scripts write it. Times are µs since 1970, by Redis.
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
	Token   string     `json:"token,omitempty"`        // of the last claim
	Held    bool       `json:"held,omitempty"`         // parked, and holds its lane
	Note    string     `json:"note,omitempty"`
	Cause   string     `json:"cause,omitempty"` // JSON
	Steps   []step     `json:"steps,omitempty"`
}

type step struct {
	Name string `json:"name"`
	Text string `json:"text"` // JSON of flow.Step
}

// fresh gives what changes about a new delivery.
func fresh(d flow.Delivery) state {
	class := flow.ClassRoutine
	if d.Class <= flow.ClassUrgent {
		class = flow.ClassUrgent
	}
	return state{To: d.To, Lane: d.Lane, Class: class, Due: d.Delay().Microseconds(), Note: d.Note}
}

// record gives what stays of a delivery; its bytes are kept apart.
func record(d flow.Delivery) flow.Delivery {
	d.Body.Inline = nil
	return d
}

// whole puts the parts of a delivery together again; packed is empty where the body is not wanted.
func whole(record, changing, packed string) (flow.Delivery, error) {
	var d flow.Delivery
	var s state
	if err := json.Unmarshal([]byte(record), &d); err != nil {
		return d, fmt.Errorf("redis: a damaged delivery: %w", err)
	}
	if err := json.Unmarshal([]byte(changing), &s); err != nil {
		return d, fmt.Errorf("redis: a damaged state of a delivery: %w", err)
	}
	d.State, d.To, d.Attempt, d.Fence, d.Note, d.Due = s.State, s.To, s.Attempt, s.Fence, s.Note, time.UnixMicro(s.Due).UTC()
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
	var err error
	d.Body.Inline, err = unpack([]byte(packed))
	return d, err
}
