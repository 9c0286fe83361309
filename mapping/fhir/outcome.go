package fhir

import (
	"strings"

	"github.com/dermgate/dermgate/mapping/issue"
)

// wire is the FHIR and HTTP face of each kind of trouble (architecture.md, "Errors").
var wire = map[issue.Kind]struct {
	code   string // OperationOutcome.issue.code
	status int
}{
	issue.Structure:             {"structure", 400},
	issue.Required:              {"required", 422},
	issue.Value:                 {"value", 422},
	issue.Code:                  {"code-invalid", 422},
	issue.TooLong:               {"too-long", 413},
	issue.UnsupportedType:       {"not-supported", 422},
	issue.UnsupportedEvent:      {"not-supported", 422},
	issue.UnsupportedProcessing: {"not-supported", 422},
	issue.UnsupportedVersion:    {"not-supported", 422},
	issue.NotFound:              {"not-found", 404},
	issue.Duplicate:             {"duplicate", 200},
	issue.Denied:                {"forbidden", 403},
	issue.Conflict:              {"conflict", 409},
	issue.Unavailable:           {"transient", 503},
	issue.Unmapped:              {"not-supported", 422},
	issue.Internal:              {"exception", 500},
}

// OutcomeCode gives OperationOutcome.issue.code of a kind; "exception" for one that is not in the table.
func OutcomeCode(k issue.Kind) string {
	if w, ok := wire[k]; ok {
		return w.code
	}
	return wire[issue.Internal].code
}

// Status gives the HTTP status of a kind; 500 for one that is not in the table.
func Status(k issue.Kind) int {
	if w, ok := wire[k]; ok {
		return w.status
	}
	return wire[issue.Internal].status
}

// Outcome makes an OperationOutcome of issues; none make one that says all is well (FHIR R4 OperationOutcome,
// "All OK" example).
func Outcome(t *Tree, l issue.List) (Element, error) {
	o, err := t.NewResource("OperationOutcome")
	if err != nil {
		return Element{}, err
	}
	if len(l) == 0 {
		return o, addIssue(o, "information", "informational", "all OK", "")
	}
	return o, AddIssues(o, l)
}

// AddIssues adds issues to an OperationOutcome.
func AddIssues(o Element, l issue.List) error {
	for _, i := range l {
		if err := addIssue(o, i.Severity.String(), OutcomeCode(i.Kind), i.Text, i.Where); err != nil {
			return err
		}
	}
	return nil
}

func addIssue(o Element, severity, code, text, where string) error {
	e, err := o.Add("issue")
	if err != nil {
		return err
	}
	place := "location" // of an HL7 v2 message or a line; an expression must be FHIRPath
	if typ, _, _ := strings.Cut(where, "."); R4().resources[typ] != nil {
		place = "expression"
	}
	return setAll(e, "severity", severity, "code", code, "diagnostics", text, place, where)
}
