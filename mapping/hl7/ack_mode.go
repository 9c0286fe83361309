package hl7

import (
	"slices"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Asked is how the sender of a message wants it acknowledged: conditions of HL7 table 0155, AL always, NE
// never, ER on an error only, SU on success only. Both empty is original mode (HL7 v2.8 §2.9.2), which is the
// same as NE and AL; one alone leaves the other at NE.
type Asked struct {
	Accept      string // MSH-15: that the message was kept or refused
	Application string // MSH-16: what became of it
}

// Asked reads MSH-15 and MSH-16.
func (m *Message) Asked() Asked {
	read := func(field int) string {
		if v := m.Segment(0).Field(field); v.Valued() {
			return v.Component(1).Text()
		}
		return ""
	}
	return Asked{read(15), read(16)}
}

// conditions is HL7 table 0155.
var conditions = []string{"AL", "NE", "ER", "SU"}

// Check finds a condition that is none. It counts as AL, so that its sender hears of it.
func (a Asked) Check() issue.List {
	var found issue.List
	for _, f := range [...]struct{ where, condition string }{{"MSH-15", a.Accept}, {"MSH-16", a.Application}} {
		if f.condition != "" && !slices.Contains(conditions, f.condition) {
			found = append(found, issue.New(issue.Code, f.where, "acknowledgement condition: want AL, NE, ER or SU"))
		}
	}
	return found
}

// wants tells whether a condition asks for word of an outcome.
func wants(condition string, failed bool) bool {
	switch condition {
	case "", "NE":
		return false
	case "ER":
		return failed
	case "SU":
		return !failed
	}
	return true
}

func (a Asked) original() bool { return a == Asked{} }

// separate tells that the two levels are answered apart: without an accept level the application
// acknowledgement has the line to itself (HL7 v2.8 §2.9.2, note).
func (a Asked) separate() bool { return a.Accept != "" && a.Accept != "NE" }

// now gives MSA-1 of what goes back at once, "" for nothing. code is that of original mode. A refusal is
// final: where the accept level is silent about it, the application level says it at once.
func (a Asked) now(code string) string {
	failed := code != "AA"
	switch {
	case a.original():
		return code
	case wants(a.Accept, failed):
		return "C" + code[1:]
	case wants(a.Application, failed) && (failed || !a.separate()):
		return code
	}
	return ""
}

// Later tells whether a message that was kept is owed an application acknowledgement of its own, after the
// answer on its connection.
func (a Asked) Later() bool { return a.separate() && wants(a.Application, false) }
