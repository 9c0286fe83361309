package hl7

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Ack is what an acknowledgement says (HL7 v2.8 §2.9). The time and the control id come from the caller, so
// that the same message can be given the same answer again.
type Ack struct {
	Code      string         // MSA-1: AA AE AR, in enhanced mode CA CE CR; empty: by AckCode, in original mode
	ControlID string         // MSH-10 of the acknowledgement
	At        time.Time      // MSH-7
	Text      string         // MSA-3, for versions before 2.5; empty: the first issue's text
	Issues    []*issue.Issue // one ERR each; before version 2.5 one ERR with a repetition each
	Enhanced  bool           // by what the message asks in MSH-15 and 16: its code is for original mode, and there may be no answer
	Asked     Asked          // MSH-15 and 16 of the acknowledgement itself, when it travels as a message
}

// answer is a row of the error table: what a kind of trouble is called on the HL7 v2 wire.
type answer struct {
	code  string // MSA-1, original mode
	error string // ERR-3, HL7 table 0357
	text  string // display of the table entry
}

// answers by kind: the table of the design's "Errors". A duplicate never comes here as an error: the first
// answer is given again; its row is for a repeat that is reported as information.
func answers(k issue.Kind) answer {
	switch k {
	case issue.Structure:
		return answer{"AE", "100", "Segment sequence error"}
	case issue.Required:
		return answer{"AE", "101", "Required field missing"}
	case issue.Value:
		return answer{"AE", "102", "Data type error"}
	case issue.Code:
		return answer{"AE", "103", "Table value not found"}
	case issue.TooLong:
		return answer{"AE", "104", "Value too long"}
	case issue.UnsupportedType:
		return answer{"AR", "200", "Unsupported message type"}
	case issue.UnsupportedEvent:
		return answer{"AR", "201", "Unsupported event code"}
	case issue.UnsupportedProcessing:
		return answer{"AR", "202", "Unsupported processing id"}
	case issue.UnsupportedVersion:
		return answer{"AR", "203", "Unsupported version id"}
	case issue.NotFound:
		return answer{"AE", "204", "Unknown key identifier"}
	case issue.Duplicate:
		return answer{"AA", "205", "Duplicate key identifier"}
	case issue.Conflict:
		return answer{"AE", "205", "Duplicate key identifier"}
	case issue.Unmapped: // no error's code: before v2.5 there is no severity to tell a warning by
		return answer{"AE", "0", "Message accepted"}
	}
	return answer{"AR", "207", "Application error"} // denied, unavailable, internal
}

// AckCode gives MSA-1 for a message with these issues: AA without an error (warnings included), AR when an
// error says so, else AE.
func AckCode(issues []*issue.Issue) string {
	code := "AA"
	for _, i := range issues {
		if i.Severity == issue.Error {
			code = max(code, answers(i.Kind).code) // "AA" < "AE" < "AR"
		}
	}
	return code
}

// ErrorCode gives ERR-3 of a kind, by HL7 table 0357.
func ErrorCode(k issue.Kind) string { return answers(k).error }

// Acknowledge writes the acknowledgement of m in its own delimiters and the sender's character set: sender and receiver
// change places, MSA-2 repeats MSH-10 byte for byte, each issue becomes an ERR. Versions before 2.5 get
// ERR-1 (and MSA-3) in place of ERR-2, 3, 4, 5 and 8. It is nil when the message wants none (Ack.Enhanced).
func (m *Message) Acknowledge(a Ack) []byte {
	code := cmp.Or(a.Code, AckCode(a.Issues))
	if a.Enhanced {
		code = m.Asked().now(code)
	}
	if code == "" {
		return nil
	}
	b := NewBuilder(m.writable())
	b.set = m.set
	in := m.Segment(0)
	version := cmp.Or(m.Version(), "2.5")
	b.Segment("MSH")
	for to, from := range [...]int{3: 5, 4: 6, 5: 3, 6: 4, 11: 11, 18: 18} {
		if from > 0 {
			b.copyField(to, in.Field(from))
		}
	}
	b.Set(7, 1, 1, 1, a.At.Format("20060102150405-0700"))
	b.Set(9, 1, 1, 1, "ACK")
	b.copyField2(9, 2, in.Field(9).Component(2))
	if !before(version, "2.3.1") {
		b.Set(9, 1, 3, 1, "ACK")
	}
	b.Set(10, 1, 1, 1, a.ControlID)
	b.Set(11, 1, 1, 1, cmp.Or(in.Field(11).Component(1).Text(), "P"))
	b.copyField(12, in.Field(12))
	if !in.Field(12).Valued() {
		b.Set(12, 1, 1, 1, version)
	}
	b.Set(15, 1, 1, 1, a.Asked.Accept)
	b.Set(16, 1, 1, 1, a.Asked.Application)
	b.Segment("MSA")
	b.Set(1, 1, 1, 1, code)
	b.copyField(2, in.Field(10))
	if before(version, "2.5") {
		b.oldErrors(a)
	} else {
		b.errors(a.Issues)
	}
	out, _ := m.outward(b.Bytes()) // its text comes from the sender, or is ASCII
	return out
}

// Refuse acknowledges bytes that Parse does not take: it mirrors as much of a header as can be read (the
// MSH line of a cut, doubled or oversized message), else answers with a bare header. UTF-16 and UTF-32 are
// answered in kind.
func Refuse(b []byte, a Ack) []byte {
	if w, ok := wideOf(b); ok {
		text, _ := w.decode(b)
		return w.encode(Refuse(text, a))
	}
	if start, err := begin(b); err == nil {
		line := b[start:]
		if i := bytes.IndexAny(line, "\r\n"); i >= 0 {
			line = line[:i]
		}
		if m, err := Parse(line); err == nil {
			return m.Acknowledge(a)
		}
	}
	m, err := Parse([]byte(`MSH|^~\&||||||||||2.5`))
	if err != nil { // a constant that parses
		return nil
	}
	return m.Acknowledge(a)
}

// writable gives the message's delimiters with standard ones where it declares none; the standard set when
// the two would clash.
func (m *Message) writable() Delimiters {
	d, std := m.del, Standard()
	d.Repetition = cmp.Or(d.Repetition, std.Repetition)
	d.Escape = cmp.Or(d.Escape, std.Escape)
	d.Subcomponent = cmp.Or(d.Subcomponent, std.Subcomponent)
	all := []byte{d.Field, d.Component, d.Repetition, d.Escape, d.Subcomponent}
	for i, c := range all {
		if bytes.IndexByte(all[:i], c) >= 0 {
			return std
		}
	}
	return d
}

// copyField copies a field's bytes; they are already in the answer's delimiters.
func (b *Builder) copyField(to int, v Value) { b.copyField2(to, 1, v) }

func (b *Builder) copyField2(to, comp int, v Value) {
	if raw := v.Raw(); len(raw) > 0 {
		b.SetRaw(to, 1, comp, 1, raw)
	}
}

// errors writes one ERR a problem (since v2.5): its place, its code by table 0357 and by our own kinds, how bad
// it is, and what to tell a person. ERR-7 is for what a developer must see: it stays in the log.
func (b *Builder) errors(issues []*issue.Issue) {
	for _, i := range issues {
		b.Segment("ERR")
		if p, err := ParsePath(i.Where); err == nil {
			b.location(2, p)
		}
		row := answers(i.Kind)
		b.Set(3, 1, 1, 1, row.error)
		b.Set(3, 1, 2, 1, row.text)
		b.Set(3, 1, 3, 1, "HL70357")
		b.Set(4, 1, 1, 1, severityCode(i.Severity))
		b.Set(5, 1, 1, 1, string(i.Kind)) // tells the three that share 207 apart
		b.Set(5, 1, 3, 1, "99DERMGATE")
		b.Set(8, 1, 1, 1, i.Text)
	}
}

// location writes an ERL: segment, sequence, field, repetition, component, sub-component.
func (b *Builder) location(field int, p Path) {
	b.Set(field, 1, 1, 1, p.Segment())
	b.Set(field, 1, 2, 1, strconv.Itoa(max(p.Occurrence(), 1)))
	for comp, n := range [...]int{3: p.Field(), 4: p.Repetition(), 5: p.Component(), 6: p.Subcomponent()} {
		if n > 0 {
			b.Set(field, 1, comp, 1, strconv.Itoa(n))
		}
	}
}

// oldErrors writes MSA-3 and one ERR whose ERR-1 repeats: segment, sequence, field, code (v2.3 §2.24.4).
func (b *Builder) oldErrors(a Ack) {
	text := a.Text
	if text == "" && len(a.Issues) > 0 {
		text = a.Issues[0].Error()
	}
	b.Set(3, 1, 1, 1, text)
	if len(a.Issues) == 0 {
		return
	}
	b.Segment("ERR")
	for n, i := range a.Issues {
		if p, err := ParsePath(i.Where); err == nil {
			b.Set(1, n+1, 1, 1, p.Segment())
			b.Set(1, n+1, 2, 1, strconv.Itoa(max(p.Occurrence(), 1)))
			if p.Field() > 0 {
				b.Set(1, n+1, 3, 1, strconv.Itoa(p.Field()))
			}
		}
		row := answers(i.Kind)
		b.Set(1, n+1, 4, 1, row.error)
		b.Set(1, n+1, 4, 2, i.Text)
		b.Set(1, n+1, 4, 3, "HL70357")
	}
}

// severityCode by HL7 table 0516.
func severityCode(s issue.Severity) string {
	switch s {
	case issue.Warning:
		return "W"
	case issue.Information:
		return "I"
	}
	return "E"
}

// before compares version ids such as "2.3.1" and "2.5"; what is no version counts as newest.
func before(version, than string) bool {
	a, b := strings.Split(version, "."), strings.Split(than, ".")
	for i := range b {
		if i == len(a) {
			return true
		}
		x, err := strconv.Atoi(a[i])
		y, _ := strconv.Atoi(b[i])
		if err != nil || x > y {
			return false
		}
		if x < y {
			return true
		}
	}
	return false
}

// Answer is an acknowledgement that came back.
type Answer struct {
	Code      string // MSA-1
	ControlID string // MSA-2: the MSH-10 it answers
	Errors    []AnswerError
}

// AnswerError is one trouble the other side reports. Its words are not kept: they may quote the message.
type AnswerError struct {
	Code     string // HL7 table 0357: ERR-3.1, before v2.5 ERR-1.4.1
	Severity string // HL7 table 0516: E, W, I, F; empty when not stated
	Where    Path   // zero when not stated
}

// String gives the code, when table 0357 has it, and the place: never words of the other side.
func (e AnswerError) String() string {
	code := ""
	if slices.Contains(errorCodes, e.Code) {
		code = e.Code
	}
	return strings.TrimSpace(code + " " + e.Where.String())
}

// errorCodes are those of HL7 table 0357 that say something is wrong.
var errorCodes = []string{"100", "101", "102", "103", "104", "200", "201", "202", "203", "204", "205", "206", "207"}

// ParseAck reads an acknowledgement. The issue is for bytes that are no HL7 v2 or have no MSA-1.
func ParseAck(b []byte) (Answer, error) {
	m, err := Parse(b)
	if err != nil {
		return Answer{}, err
	}
	return m.Answer()
}

// Answer reads the acknowledgement that m is; the issue is for one without MSA-1.
func (m *Message) Answer() (Answer, error) {
	msa := m.Find("MSA", 1)
	a := Answer{Code: msa.Field(1).Component(1).Text(), ControlID: msa.Field(2).Text()}
	if a.Code == "" {
		return a, issue.New(issue.Structure, "MSA-1", "not an acknowledgement: no code")
	}
	for _, s := range m.All() {
		if s.Is("ERR") {
			a.Errors = append(a.Errors, errorsOf(s)...)
		}
	}
	return a, nil
}

// errorsOf reads one ERR of either style.
func errorsOf(s Segment) []AnswerError {
	if v := s.Field(3); v.Valued() {
		at := s.Field(2)
		e := AnswerError{Code: v.Component(1).Text(), Severity: s.Field(4).Text(), Where: locationOf(at)}
		e.Where.rep, e.Where.comp, e.Where.sub = number(at.Component(4)), number(at.Component(5)), number(at.Component(6))
		return []AnswerError{e}
	}
	var found []AnswerError
	for _, v := range s.Field(1).EachRepetition() {
		if v.Valued() {
			found = append(found, AnswerError{Code: v.Component(4).Subcomponent(1).Text(), Where: locationOf(v)})
		}
	}
	return found
}

// locationOf reads segment, sequence and field, which ERL and ELD share.
func locationOf(v Value) Path {
	p, err := ParsePath(v.Component(1).Text())
	if err != nil {
		return Path{}
	}
	if o := number(v.Component(2)); o > 1 {
		p.occ = o
	}
	p.field = number(v.Component(3))
	return p
}

func number(v Value) uint32 {
	n, err := strconv.ParseUint(v.Text(), 10, 28)
	if err != nil {
		return 0
	}
	return uint32(n)
}
