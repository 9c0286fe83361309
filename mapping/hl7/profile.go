package hl7

import (
	"strconv"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Level says what becomes of a finding.
type Level uint8

const (
	Off    Level = iota // not looked for
	Warn                // issue.Warning
	Reject              // issue.Error
)

// Profile says how strictly the messages of a sender are held to the standard: the union of its versions, see
// grammar.txt, messages.txt and tables.txt. The zero Profile looks for nothing.
type Profile struct {
	Structure Level // segments missing, unexpected, repeating too often, by the grammar of the message type
	Datatype  Level // NM, SI, DT, TM, DTM and ID by their shape; components and repetitions a type has not
	Table     Level // values of the tables HL7 defines (ID), and of those in Tables
	Length    Level // the greatest length any version states, in characters, and those in Lengths
	Required  Level // fields and components without a value that every version requires

	Tables  map[string][]string // a site's own values by table number ("0001"), in place of the standard's
	Lengths []Limit             // a site's own lengths, in place of the standard's
}

// Limit is the greatest length of a place, in characters. Occurrence and repetition of the place are not
// looked at: it holds for all.
type Limit struct {
	At         Path
	Characters int
}

// Looks tells whether the profile looks for anything.
func (p *Profile) Looks() bool {
	return p != nil && p.Structure|p.Datatype|p.Table|p.Length|p.Required != Off
}

// maxFindings is how many issues Validate gives at most: a sender that does everything differently fills
// no ACK with thousands of them.
const maxFindings = 50

// Validate holds the message against the profile: structure first, then every segment in order. An issue
// has the kind of the finding, the place, and a text without the value. Z segments are not judged, nor are
// the segments of a message type without a grammar, which is one warning. Beyond 50 findings the rest are
// counted in one last issue, as severe as the worst of them.
func (m *Message) Validate(p *Profile) issue.List {
	if !p.Looks() || m.Segments() == 0 {
		return nil
	}
	j := judge{m: m, p: p, rules: rules(), s: m.structure()}
	if p.Structure != Off {
		j.structure()
	}
	if p.Datatype|p.Table|p.Length|p.Required != Off {
		for i := range m.segs {
			j.segment(m.segment(i))
		}
	}
	if p.Length != Off && len(p.Lengths) > 0 {
		j.lengths()
	}
	return j.list()
}

// judge gathers the findings about one message.
type judge struct {
	m     *Message
	p     *Profile
	rules *ruleset
	s     *structure // nil: none is known
	found issue.List
	more  int   // findings beyond maxFindings
	worst Level // of those
}

// find notes a finding. Its texts are made by the caller only when there is one.
func (j *judge) find(l Level, k issue.Kind, where, text string) {
	if len(j.found) >= maxFindings {
		j.more++
		j.worst = max(j.worst, l)
		return
	}
	j.found = append(j.found, l.issue(k, where, text))
}

func (l Level) issue(k issue.Kind, where, text string) *issue.Issue {
	if l == Reject {
		return issue.New(k, where, text)
	}
	return issue.Warn(k, where, text)
}

func (j *judge) list() issue.List {
	if j.more > 0 {
		j.found = append(j.found, j.worst.issue(issue.Structure, "", strconv.Itoa(j.more)+" more findings, not listed"))
	}
	return j.found
}

// structure holds the segments against the grammar of the message type.
func (j *judge) structure() {
	f := fitting{s: j.s, tell: j.misfit}
	if f.s == nil {
		if j.m.segment(0).Field(9).Component(1).Valued() { // else Check tells
			j.find(Warn, issue.Structure, "MSH-9", "no structure is known for this message type: its segments are taken as they come")
		}
		return
	}
	for i := range j.m.segs {
		if !j.m.segs[i].name.local() {
			f.take(j.m, int32(i))
		}
	}
	f.end(0)
}

// misfit words what the fitting found.
func (j *judge) misfit(f misfit) {
	place := func(i int32) string { return j.m.segment(int(i)).Path(0).String() }
	name := j.s.name
	switch f.what {
	case unexpected:
		j.find(j.p.Structure, issue.Structure, place(f.segment), "not expected after "+place(f.after)+" in "+name)
	case tooMany:
		j.find(j.p.Structure, issue.Structure, place(f.segment), "more often than "+name+" has it")
	case missing:
		text := "missing in " + name
		if f.group != name {
			text = "missing in " + f.group + " of " + name
		}
		if f.group != name && f.segment >= 0 {
			text += ", which " + place(f.segment) + " begins"
		}
		j.find(j.p.Structure, issue.Structure, f.name.String(), text)
	}
}
