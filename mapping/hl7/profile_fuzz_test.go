package hl7

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/dermgate/dermgate/mapping/issue"
)

// FuzzValidate: whatever parses can be judged. Findings are bounded and the same each time, their places are
// paths of segments that are there or missing, a stricter profile finds the same, and what the message says
// is never changed by it. Segments belong to earlier ones.
func FuzzValidate(f *testing.F) {
	files, err := filepath.Glob("testdata/corpus/*.hl7")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range []string{adt, "MSH|^~\\&|||||||REF^I12\rPV1\rOBX|1|NM|||x\rPID\rPRD\rNTE\rOBR\rOBX|1|ED|||^^^^x&y\rPV1",
		"MSH|^~\\&|||||||ORU\rOBX\rPID\rPV1\rOBX\rOBR\rSPM\rOBX\rPID\rORC\rNTE", "MSH|^~\\&|||||||OMG^O19\rORC\rPID\rORC\rOBR\rORC\rOBX\rPV1\rTQ1",
		"MSH|^|||||||MDM^T02\rOBX|\"\"|\"\"|~^~\rTXA|20^1~", "MSH#!@%*$#######ADT!A40\nMRG#a@b\nPID#a!b\nZRF1#a@b!c*d\nPID", "MSH|^~\\&|||||||SIU^S15\rSCH|1||||||||||~^^^20261210\rNTE\rTQ1\rPID\rRGS\rAIS||D\rNTE\rAIP\rAIL\rPV1\rRGS"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		lax := m.Validate(&everything)
		strict := m.Validate(&Profile{Structure: Reject, Datatype: Reject, Table: Reject, Length: Reject, Required: Reject,
			Lengths: []Limit{{MustPath("PID-5.1"), 1 << 30}}})
		if len(lax) > maxFindings+1 || len(strict) > len(lax) {
			t.Fatalf("%d findings, %d of them errors", len(lax), len(strict))
		}
		for _, i := range lax {
			p, err := ParsePath(i.Where)
			if err != nil && i.Where != "" {
				t.Fatalf("%q is no path", i.Where)
			}
			if i.Severity != issue.Warning || i.Text == "" {
				t.Fatalf("%+v", i)
			}
			if there := m.Find(p.Segment(), p.Occurrence()).OK(); i.Where != "" && !there && i.Kind != issue.Structure {
				t.Fatalf("%s is not there", i.Where)
			}
		}
		for i, o := range m.Groups() {
			if int(o) >= i || o < -1 {
				t.Fatalf("segment %d belongs to %d", i, o)
			}
		}
	})
}
