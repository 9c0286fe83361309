package flow_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
)

// record is an A31 of these fields from PID-3 on.
func record(id, pid string) string {
	return "MSH|^~\\&|PAS|RXX01|DERMGATE|RXX01|20261103101500||ADT^A31^ADT_A05|" + id + "|P|2.4|||AL|NE|GBR|UNICODE UTF-8\r" +
		"EVN||20261103101500\rPID|1||" + pid + "\rPV1|1|N\r"
}

// asks tells whether a case has an open task of a code, and how many tasks it has.
func asks(c pathway.Case, code string) bool {
	return slices.ContainsFunc(c.Tasks, func(k pathway.Task) bool { return k.Code == code && k.Done.IsZero() })
}

// TestAnUpdatedRecordReachesItsOpenCases: it is told in the story, which names elements and no values; who died is written to
// no more; another name or date of birth is looked at by a person. One about nobody here is kept and asks for nothing.
func TestAnUpdatedRecordReachesItsOpenCases(t *testing.T) {
	const same = "9990001014^^^NHS^NH||Testcase^Rosalind^^^Ms||19680412|2|||14 Sample Street^^London^^SE1 9ZZ^GBR"
	in := newIntake(t, flow.SourceRules{})
	id := in.send(request("R1")).Case
	story := func() string {
		t.Helper()
		events, err := in.Store.Story(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return events[len(events)-1].Text
	}
	if r := in.send(record("U0", strings.Replace(same, "9990001014", "9990001022", 1))); r.Refused || r.Case != (flow.ID{}) || work(t, in) != 0 {
		t.Errorf("of nobody here: %+v", r)
	}
	in.send(record("U1", same))
	if work(t, in) != 1 || strings.Contains(story(), "differs") || len(caseOf(t, in, id).Tasks) > 0 {
		t.Errorf("the same: %s, %+v", story(), caseOf(t, in, id).Tasks)
	}
	in.send(record("U2", strings.Replace(same, "14 Sample Street", "2 New Road", 1)+`||""`))
	if n, told := work(t, in), story(); n != 1 || !strings.HasSuffix(told, "differs from the request in: address, telecom (deleted)") || asks(caseOf(t, in, id), "patient-changed") {
		t.Errorf("moved: %s", told)
	}
	in.send(record("U3", strings.Replace(same, "19680412", "19780412", 1)))
	if work(t, in); !asks(caseOf(t, in, id), "patient-changed") {
		t.Errorf("another date of birth: %+v", caseOf(t, in, id).Tasks)
	}
	in.send(record("U4", same+strings.Repeat("|", 18)+"20261102|Y"))
	if work(t, in); !caseOf(t, in, id).Died || !asks(caseOf(t, in, id), "patient-died") {
		t.Errorf("died: %+v", caseOf(t, in, id))
	}
	in.send(record("U5", same+strings.Repeat("|", 19)+"N"))
	if work(t, in); caseOf(t, in, id).Died {
		t.Error("who lives is dead")
	}
}

// TestARecordIsFoundByALocalNumber: a merge of records that are known by a hospital's numbers alone stops the case whose
// request had one; the same number of another authority is another's, and an update never moves a case to another patient.
func TestARecordIsFoundByALocalNumber(t *testing.T) {
	in := newIntake(t, flow.SourceRules{})
	id := in.send(strings.Replace(request("R1"), "9990001014^^^NHS^NH", "9990001014^^^NHS^NH~X123^^^RXX^MR", 1)).Case
	in.send(merge("M1", "A100^^^RXX^MR", "X123^^^RYY^MR"))
	if work(t, in) != 0 || caseOf(t, in, id).Stopped != "" {
		t.Error("the number of another hospital stops it")
	}
	in.send(record("U1", "9990001022^^^NHS^NH~X123^^^RXX^MR||Testcase^Other||19900101|1||||||||||||||||||||||20261102|Y"))
	if c := caseOf(t, in, id); work(t, in) != 1 || c.Died {
		t.Errorf("%+v", c)
	}
	if c := caseOf(t, in, id); c.Died || !asks(c, "patient-changed") {
		t.Errorf("an update of another patient: %+v", c)
	}
	in.send(merge("M2", "A100^^^RXX^MR", "X123^^^RXX^MR"))
	if work(t, in) != 1 || caseOf(t, in, id).Stopped == "" {
		t.Errorf("%+v", caseOf(t, in, id))
	}
}
