package hl7

import (
	"bytes"
	"slices"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Explanation is what the parser sees, as `gateway hl7 --json` prints it.
type Explanation struct {
	Type      string     `json:"type"` // "REF^I12"
	Version   string     `json:"version"`
	Charset   string     `json:"charset"`
	RoundTrip bool       `json:"round_trip"` // writing the message anew from its parts gave the input's bytes
	Fields    []Leaf     `json:"fields"`
	Issues    issue.List `json:"issues"`
}

// Leaf is one valued leaf. A null value is `""`.
type Leaf struct {
	Path  string `json:"path"`
	Value string `json:"value"`
}

// everything is looked at when a person asks what the parser sees.
var everything = Profile{Structure: Warn, Datatype: Warn, Table: Warn, Length: Warn, Required: Warn}

// Explain tells everything the parser sees in the message, and as warnings where it differs from the standard.
func (m *Message) Explain() Explanation {
	code, trigger, _ := m.Type()
	e := Explanation{
		Type: code, Version: m.Version(), Charset: m.Charset(),
		RoundTrip: bytes.Equal(m.AppendEncoded(nil), m.Bytes()),
		Fields:    []Leaf{}, Issues: append(append(issue.List{}, m.Check()...), m.Validate(&everything)...),
	}
	if trigger != "" {
		e.Type += "^" + trigger
	}
	for p, v := range m.Leaves() {
		e.Fields = append(e.Fields, Leaf{p.String(), v.Text()})
	}
	return e
}

// Check tells what is wrong with the message before anything of its content is looked at: a header that
// does not say what it is or cannot be answered, nothing but a header, a version or processing id this
// gateway does not take, characters outside its set, frame
// characters inside, lines a sender has wrapped.
func (m *Message) Check() issue.List {
	var found issue.List
	h := m.Segment(0)
	if !h.Field(9).Component(1).Valued() {
		found = append(found, issue.New(issue.Required, "MSH-9", "message type missing"))
	}
	if !h.Field(10).Valued() {
		found = append(found, issue.New(issue.Required, "MSH-10", "message control id missing"))
	}
	if m.Segments() == 1 {
		found = append(found, issue.New(issue.Structure, "MSH", "nothing follows the header"))
	}
	found = append(found, checkVersion(h)...)
	found = append(found, m.CheckCharset()...)
	for _, s := range m.All() {
		if raw := s.Raw(); bytes.IndexByte(raw, 0x0b) >= 0 || bytes.IndexByte(raw, 0x1c) >= 0 {
			found = append(found, issue.New(issue.Structure, s.Path(0).String(), "an MLLP frame character inside the segment"))
		}
	}
	for _, i := range m.wrapped {
		found = append(found, issue.Warn(issue.Structure, m.segment(int(i)).Path(0).String(), "a line break inside the segment was taken as part of its text"))
	}
	return found
}

// checkVersion looks at MSH-11 and MSH-12. An absent version is taken as it comes, as many UK senders omit it.
func checkVersion(h Segment) issue.List {
	var found issue.List
	if v := h.Field(12).Component(1); v.Valued() && !bytes.HasPrefix(v.Raw(), []byte("2")) {
		found = append(found, issue.New(issue.UnsupportedVersion, "MSH-12", "not a version 2 message"))
	}
	if v := h.Field(11).Component(1); v.Valued() && !slices.Contains([]string{"P", "T", "D"}, v.Text()) {
		found = append(found, issue.New(issue.UnsupportedProcessing, "MSH-11", "processing id: want P, T or D"))
	}
	return found
}
