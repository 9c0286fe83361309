package mapping_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/fixtures/corpus"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// identifying are the fields whose values name one patient, visit or relative.
var identifying = []string{"PID-2", "PID-3", "PID-4", "PID-18", "PID-19", "PV1-19", "NK1-33"}

// TestOneSwappedIdentifierMixesNoPatients puts one identifying field of the message before into every message of the
// corpus that has it, and translates the two by turns: of the other patient nothing arrives but what was put in.
func TestOneSwappedIdentifierMixesNoPatients(t *testing.T) {
	var before *hl7.Message
	swapped := 0
	for name, raw := range corpus.HL7v2() {
		m, err := hl7.Parse(raw)
		if err != nil || !translates(t, m) {
			continue
		}
		if before != nil {
			for _, field := range identifying {
				if swapIn(t, name, m, before, field) {
					swapped++
				}
			}
		}
		before = m
	}
	t.Logf("%d messages with a swapped field", swapped)
	if swapped < 100 {
		t.Errorf("only %d fields swapped: the corpus has more", swapped)
	}
}

func translates(t *testing.T, m *hl7.Message) bool {
	res, err := shippedSet(t).ToFHIR(m, corpusOptions(t))
	if err == nil {
		res.Release()
	}
	return err == nil
}

// swapIn puts a field of another message into a message; false when the two do not differ in it.
func swapIn(t *testing.T, name string, m, other *hl7.Message, field string) bool {
	at := hl7.MustPath(field)
	into, from := m.Get(at), other.Get(at)
	if m.Delimiters() != other.Delimiters() || !into.Valued() || !from.Valued() || bytes.Equal(into.Raw(), from.Raw()) {
		return false
	}
	raw := m.Bytes()
	mixed := append(append(bytes.Clone(raw[:into.Offset()]), from.Raw()...), raw[into.Offset()+len(into.Raw()):]...)
	changed, err := hl7.Parse(mixed)
	if err != nil {
		return false
	}
	translates(t, other) // its memory is what the next run uses again
	res, err := shippedSet(t).ToFHIR(changed, corpusOptions(t))
	if err != nil {
		t.Errorf("%s with another's %s: %v", name, field, err)
		return true
	}
	defer res.Release()
	out := string(compact(t, res.Bundle.Root))
	if id := from.Repetition(1).Component(1).Text(); field == "PID-3" && id != "" && !strings.Contains(out, `"`+id+`"`) {
		t.Errorf("%s with another's %s has not what was put in", name, field)
	}
	for _, foreign := range identifying {
		for _, rep := range other.Get(hl7.MustPath(foreign)).EachRepetition() {
			id := rep.Component(1).Text()
			if len(id) > 5 && !bytes.Contains(mixed, []byte(id)) && strings.Contains(out, `"`+id+`"`) {
				t.Errorf("%s with another's %s has the other's %s, too", name, field, foreign)
			}
		}
	}
	return true
}
