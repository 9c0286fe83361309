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
	Structure             Kind = "structure"
	Required              Kind = "required"
	Value                 Kind = "value"
	Code                  Kind = "code"
	TooLong               Kind = "too-long"
	UnsupportedType       Kind = "unsupported-type"
	UnsupportedEvent      Kind = "unsupported-event"
	UnsupportedProcessing Kind = "unsupported-processing"
	UnsupportedVersion    Kind = "unsupported-version"
	NotFound              Kind = "not-found"
	Duplicate             Kind = "duplicate"
	Denied                Kind = "denied"
	Conflict              Kind = "conflict"
	Unavailable           Kind = "unavailable"
	Unmapped              Kind = "unmapped"
	Internal              Kind = "internal"
)

var kinds = []struct {
	kind    Kind
	meaning string
}{
	{Structure, "not readable as what it claims to be"},
	{Required, "something mandatory is absent"},
	{Value, "present, but not a valid value of its type"},
	{Code, "a code outside its table or value set"},
	{TooLong, "over a length, size or count limit"},
	{UnsupportedType, "message type, media type or resource type"},
	{UnsupportedEvent, "trigger event"},
	{UnsupportedProcessing, "MSH-11 processing id"},
	{UnsupportedVersion, "MSH-12 version id"},
	{NotFound, "an identifier that leads nowhere"},
	{Duplicate, "seen before; the first answer stands"},
	{Denied, "not allowed for this sender or person"},
	{Conflict, "stale version, locked record, same id with other bytes"},
	{Unavailable, "a part we need is down; trying again helps"},
	{Unmapped, "carried by no rule; a warning: the original is kept"},
	{Internal, "our own fault"},
}

// Kinds lists every Kind, so that a boundary's table can be tested for completeness.
func Kinds() []Kind {
	out := make([]Kind, len(kinds))
	for i, k := range kinds {
		out[i] = k.kind
	}
	return out
}

// Meaning says in a few words what a Kind is for.
func (k Kind) Meaning() string {
	for _, known := range kinds {
		if known.kind == k {
			return known.meaning
		}
	}
	return ""
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
