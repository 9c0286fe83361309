package fhir

import (
	"testing"

	"github.com/dermgate/dermgate/mapping/issue"
)

func TestEveryKindHasAWireFace(t *testing.T) {
	code, _ := element(t, "OperationOutcome", "issue").Type.Element("code")
	for _, k := range issue.Kinds() {
		if _, ok := wire[k]; !ok || !code.Allows(OutcomeCode(k)) {
			t.Errorf("%s: %q is no code of issue-type", k, OutcomeCode(k))
		}
	}
	if len(wire) != len(issue.Kinds()) {
		t.Errorf("%d rows for %d kinds", len(wire), len(issue.Kinds()))
	}
	if Status("unheard of") != 500 || OutcomeCode("unheard of") != "exception" {
		t.Error("an unknown kind is our own fault")
	}
	for k, want := range map[issue.Kind]int{issue.Structure: 400, issue.Required: 422, issue.TooLong: 413, issue.Duplicate: 200, issue.Unavailable: 503} {
		if Status(k) != want {
			t.Errorf("%s: %d, want %d", k, Status(k), want)
		}
	}
}

func TestOutcomeOfIssues(t *testing.T) {
	for want, l := range map[string]issue.List{
		`{"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","diagnostics":"all OK"}]}`: nil,
		`{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"required","diagnostics":"required","expression":["Bundle.entry[1].resource.subject"]},{"severity":"warning","code":"value","diagnostics":"no date","location":["PID-7"]}]}`: {
			issue.New(issue.Required, "Bundle.entry[1].resource.subject", "required"), issue.Warn(issue.Value, "PID-7", "no date")},
		`{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"exception","diagnostics":"internal error"}]}`: {issue.New(issue.Internal, "", "internal error")},
	} {
		o, err := Outcome(NewTree(), l)
		if err != nil {
			t.Fatal(err)
		}
		if got := text(t, o); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if l := Validate(o); len(l) > 0 {
			t.Error(l)
		}
	}
}

func TestNHSNumbers(t *testing.T) {
	for n, want := range map[string]bool{"9990548609": true, "9990001014": true, "9990001015": false, "999000101X": false,
		"": false, "9312201101": false, "999 054 8609": false, "99905486090": false, "9990000000": false} {
		if ValidNHSNumber(n) != want {
			t.Errorf("%s: want %v", n, want)
		}
	}
}
