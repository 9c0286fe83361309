package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Fault is something to go wrong on cue. It meets the next calls of its name, then is spent.
type Fault struct {
	Call       string        `json:"call,omitempty"`       // name of the call; empty: any
	Skip       int           `json:"skip,omitempty"`       // calls let through first
	Times      int           `json:"times,omitempty"`      // calls it meets; 0: one, -1: all
	Status     int           `json:"status,omitempty"`     // answered instead of doing anything
	Code       string        `json:"code,omitempty"`       // error code in the answer's body, in the service's own form
	RetryAfter string        `json:"retryAfter,omitempty"` // Retry-After header
	Delay      time.Duration `json:"delay,omitempty"`      // before the answer (what was asked is done first); "2s" in JSON
	Drop       bool          `json:"drop,omitempty"`       // close the connection instead of answering; nothing is done
	DropAfter  bool          `json:"dropAfter,omitempty"`  // do what was asked, then close the connection without an answer
	Body       string        `json:"body,omitempty"`       // raw body instead of the service's error form, with a status
	Do         func()        `json:"-"`                    // done when what was asked is, and before any answer
}

// told is the status that a caller sees.
func (f Fault) told(status int) int {
	if f.Drop || f.DropAfter {
		return 0
	}
	return status
}

// wait is a duration in JSON: "2s", "150ms".
type wait time.Duration

// MarshalText writes it as Go does.
func (w wait) MarshalText() ([]byte, error) { return []byte(time.Duration(w).String()), nil }

// UnmarshalText reads what time.ParseDuration does.
func (w *wait) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	*w = wait(d)
	return err
}

// UnmarshalJSON takes the fields above and no others.
func (f *Fault) UnmarshalJSON(b []byte) error {
	type plain Fault
	x := struct {
		*plain
		Delay wait `json:"delay"`
	}{plain: (*plain)(f)}
	err := strict(b, &x)
	f.Delay = time.Duration(x.Delay)
	return err
}

// MarshalJSON writes what UnmarshalJSON reads.
func (f Fault) MarshalJSON() ([]byte, error) {
	type plain Fault
	return json.Marshal(struct {
		plain
		Delay wait `json:"delay,omitempty"`
	}{plain(f), wait(f.Delay)})
}

// strict reads JSON without unknown fields.
func strict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// Setting reads one of the settings that the control API takes, a Fault or an Ack, from a command line: as JSON, or as
// "status=503,times=2" with the names of its fields.
func Setting(s string, into any) error {
	if strings.HasPrefix(s, "{") {
		return strict([]byte(s), into)
	}
	fields := object{}
	for part := range strings.SplitSeq(s, ",") {
		name, value, given := strings.Cut(part, "=")
		switch {
		case !given:
			fields[name] = true
		case json.Valid([]byte(value)) && !isText(into, name):
			fields[name] = json.RawMessage(value)
		default:
			fields[name] = value
		}
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	return strict(b, into)
}

// isText tells whether the field of a name takes text.
func isText(into any, name string) bool {
	t := reflect.TypeOf(into).Elem()
	for i := range t.NumField() {
		if tag, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); tag == name {
			return t.Field(i).Type.Kind() == reflect.String
		}
	}
	return false
}

// Arrange is Fail with what a person writes: an error names what it cannot mean.
func (s *server) Arrange(f Fault) error {
	switch {
	case f.Call != "" && !slices.Contains(s.Calls(), f.Call):
		return fmt.Errorf("sim: no call %q here; there are %s", f.Call, strings.Join(s.Calls(), ", "))
	case f.Status == 0 && f.Delay == 0 && !f.Drop && !f.DropAfter:
		return errors.New("sim: a fault has a status, a delay, drop or dropAfter")
	case f.Status != 0 && (f.Status < 100 || f.Status > 599), f.Skip < 0, f.Delay < 0:
		return errors.New("sim: status is 100 to 599, skip and delay are not negative")
	}
	s.Fail(f)
	return nil
}

// Fail arranges for something to go wrong.
func (s *server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Times == 0 {
		f.Times = 1
	}
	s.faults = append(s.faults, &f)
}

// Pending counts the faults that have met nothing yet.
func (s *server) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.faults)
}

func (s *server) failed(name string, f Fault) answer {
	form := s.problem
	if own := s.forms[name]; own != nil {
		form = own
	}
	a := form(f.Status, f.Code)
	if f.Body != "" {
		a.body = []byte(f.Body)
	}
	if f.RetryAfter != "" {
		a.header = with(a.header, "Retry-After", f.RetryAfter)
	}
	return a
}

// fault takes the next fault for a call, the zero one when there is none.
func (s *server) fault(call Call) Fault {
	if s.Watch != nil {
		if f, ok := s.Watch(call); ok {
			return f
		}
	}
	for i, f := range s.faults {
		if f.Call != "" && f.Call != call.Name {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times--; f.Times == 0 {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
		return *f
	}
	return Fault{}
}
