package pathway

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The table of evidence and the reasons for waiving are in docs/notices.md as they are in the code.
func TestTheManualHasTheEvidence(t *testing.T) {
	manual, err := os.ReadFile("../../docs/notices.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	section := ""
	for _, line := range strings.Split(string(manual), "\n") {
		if strings.HasPrefix(line, "## ") {
			section = line
		}
		if strings.HasPrefix(line, "| ") && (section == "## What shows that the patient knows" || section == "## Waived") && !strings.HasPrefix(line, "| who says |") && !strings.HasPrefix(line, "| code |") {
			rows[line] = true
		}
	}
	var want []string
	for _, e := range EvidenceTable {
		channel, means := e.Channel, e.Means
		if channel == "" {
			channel = "(NHS Notify)"
		}
		if means == "" {
			means = "–"
		}
		want = append(want, fmt.Sprintf("| %s | %s | %s | %s |", channel, e.Says, means, e.Why))
	}
	for code, why := range WaiveReasons {
		want = append(want, fmt.Sprintf("| %s | %s |", code, why))
	}
	for _, row := range want {
		if !rows[row] {
			t.Errorf("docs/notices.md does not have %s", row)
		}
		delete(rows, row)
	}
	for row := range rows {
		t.Errorf("docs/notices.md has %s, which the code does not", row)
	}
}

func TestACancerIsNeverToldByMachine(t *testing.T) {
	if (&Obligation{Notice: Diagnosis}).ByMachine() || (&Obligation{Notice: "N3", Event: NowUrgent}).ByMachine() {
		t.Error("a machine may tell it")
	}
	for _, n := range []string{"N1", "N2", "N3", "N4", "N5", "N6", "N7", "N8"} {
		if !(&Obligation{Notice: n}).ByMachine() {
			t.Errorf("%s cannot be told by machine", n)
		}
	}
}
