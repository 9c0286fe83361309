// Package issue is the vocabulary of trouble: what kind it is, how bad, where it is and a text that is
// safe to show. Text never holds a value taken from a message: it names a place and a rule.
package issue

import (
	"errors"
	"strings"
)

// Kind says what went wrong; every boundary owns one table from Kind to its own wire answer.
type Kind string

// The kinds, after the error table of the architecture document.
const (
	Structure             Kind = "structure"              // not readable as what it claims to be
	Required              Kind = "required"               // something mandatory is absent
	Value                 Kind = "value"                  // present, but not a valid value of its type
	Code                  Kind = "code"                   // a code outside its table or value set
	TooLong               Kind = "too-long"               // over a length, size or count limit
	UnsupportedType       Kind = "unsupported-type"       // message type, media type or resource type
	UnsupportedEvent      Kind = "unsupported-event"      // trigger event
	UnsupportedProcessing Kind = "unsupported-processing" // MSH-11 processing id
	UnsupportedVersion    Kind = "unsupported-version"    // MSH-12 version id
	NotFound              Kind = "not-found"              // an identifier that leads nowhere
	Duplicate             Kind = "duplicate"              // seen before; the first answer stands
	Denied                Kind = "denied"                 // not allowed for this sender or person
	Conflict              Kind = "conflict"               // stale version, locked record, same id with other bytes
	Unavailable           Kind = "unavailable"            // a part we need is down; trying again helps
	Unmapped              Kind = "unmapped"               // carried by no rule; a warning: the original is kept
	Internal              Kind = "internal"               // our own fault
)

// Kinds lists every Kind, so that a boundary's table can be tested for completeness.
func Kinds() []Kind {
	return []Kind{Structure, Required, Value, Code, TooLong, UnsupportedType, UnsupportedEvent,
		UnsupportedProcessing, UnsupportedVersion, NotFound, Duplicate, Denied, Conflict, Unavailable, Unmapped, Internal}
}

// Severity of an issue, by HL7 v2 table 0516 and FHIR issue-severity.
type Severity uint8

const (
	Error       Severity = iota // the message is refused
	Warning                     // accepted, and the sender is told
	Information                 // accepted, for whoever reads
)

// String gives the FHIR code of the severity.
func (s Severity) String() string {
	switch s {
	case Warning:
		return "warning"
	case Information:
		return "information"
	}
	return "error"
}

// MarshalText writes the FHIR code.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the FHIR code.
func (s *Severity) UnmarshalText(b []byte) error {
	switch string(b) {
	case "error":
		*s = Error
	case "warning":
		*s = Warning
	case "information":
		*s = Information
	default:
		return errors.New("issue: unknown severity")
	}
	return nil
}

// Issue is one trouble at one place. It is an error with a public face: all of it may be shown, logged
// and sent; a private cause is wrapped with Because.
type Issue struct {
	Kind     Kind     `json:"kind"`
	Severity Severity `json:"severity"`
	Where    string   `json:"where,omitempty"` // "PID-3[2].1", "Bundle.entry[3].resource.subject", "gateway.yaml:12:3"
	Text     string   `json:"text"`
	cause    error
}

// New makes an issue of severity error.
func New(k Kind, where, text string) *Issue { return &Issue{Kind: k, Where: where, Text: text} }

// Warn makes an issue of severity warning.
func Warn(k Kind, where, text string) *Issue {
	return &Issue{Kind: k, Severity: Warning, Where: where, Text: text}
}

// Because attaches a private cause, which errors.Is and errors.As see and no answer shows.
func (i *Issue) Because(err error) *Issue { i.cause = err; return i }

// Error gives "place: text".
func (i *Issue) Error() string {
	if i.Where == "" {
		return i.Text
	}
	return i.Where + ": " + i.Text
}

// Unwrap gives the private cause.
func (i *Issue) Unwrap() error { return i.cause }

// List is several issues as one error.
type List []*Issue

// Error joins the issues, one a line.
func (l List) Error() string {
	texts := make([]string, len(l))
	for n, i := range l {
		texts[n] = i.Error()
	}
	return strings.Join(texts, "\n")
}

// Worst gives the first issue of severity error, nil when there is none.
func (l List) Worst() *Issue {
	for _, i := range l {
		if i.Severity == Error {
			return i
		}
	}
	return nil
}

// From finds the issue in an error; an error that carries none becomes an Internal issue with err as its
// private cause, so that no foreign text leaks into an answer.
func From(err error) *Issue {
	if err == nil {
		return nil
	}
	var i *Issue
	if errors.As(err, &i) {
		return i
	}
	var l List
	if errors.As(err, &l) {
		if w := l.Worst(); w != nil {
			return w
		}
	}
	return New(Internal, "", "internal error").Because(err)
}
