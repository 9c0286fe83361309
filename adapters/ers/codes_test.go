package ers

import (
	"strings"
	"testing"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/gateway/flow"
)

// documented are the 422 codes of the calls that a request makes (e-RS API, 2026-06-26).
var documented = map[string]struct{ what, codes string }{
	"A011": {Referral, createCodes}, "A044": {AdviceRequest, createCodes},
	"A012": {Referral, "REFERENCE_NOT_FOUND INAPPROPRIATE_VALUE MISSING_VALUE INVALID_STATE INVALID_REQUEST_TYPE INVALID_REQUEST_STATE NO_RELATIONSHIP PATIENT_ERROR INVALID_VALUE UNEXPECTED_FIELD INVALID_FHIR_STRUCTURE CONFLICTING_VALUES DUPLICATE_FILENAME"},
	"A016": {Referral, "INVALID_VALUE INVALID_CODE REFERENCE_NOT_FOUND NO_RELATIONSHIP INAPPROPRIATE_VALUE SERVICE_UNAVAILABLE MISSING_VALUE PATIENT_ERROR INVALID_STATE INAPPROPRIATE_SLOT SLOT_NOT_AVAILABLE UNABLE_TO_CONFIRM_APPOINTMENT SLOTS_CURRENTLY_AVAILABLE THIS_SLOT_IS_AVAILABLE"},
	"A020": {Referral, "CONFLICTING_VALUES FILE_SIZE_ERROR INAPPROPRIATE_VALUE INVALID_VALUE MISSING_VALUE"},
	"A005": {Referral, "PATIENT_ERROR INVALID_REQUEST_TYPE NO_RELATIONSHIP"},
}

const createCodes = "REFERENCE_NOT_FOUND INAPPROPRIATE_VALUE TOO_MANY_ITEMS MISSING_VALUE VALUE_IS_REQUIRED FIELD_NOT_PERMITTED PATIENT_ERROR INVALID_VALUE INVALID_CODE UNEXPECTED_FIELD INVALID_FHIR_STRUCTURE REFERENCED_USER_IS_NOT_SPC ORGANISATION_IS_CLOSED ORGANISATION_NOT_APPROPRIATE DUPLICATE_SERVICE SHORTLISTED_SERVICE_NOT_IN_RESULTS REFERENCED_USER_IS_NOT_ACTIVE REFERENCED_USER_NOT_IN_ORG NO_REG_GP_PRACTICE REFERENCED_USER_IS_NOT_RC REFERENCED_USER_IS_NOT_RC_AT_ORG SNOMED_NOT_FOUND"

// Each is a refusal: parked at once, with the code and what it means, nothing made twice, and done once it is mended.
func TestEachDocumentedCodeIsARefusalThatSaysWhatItMeans(t *testing.T) {
	for call, c := range documented {
		for _, code := range strings.Fields(c.codes) {
			r := newRig(t, c.what)
			r.ers.Fail(sim.Fault{Call: call, Status: 422, Code: code})
			o := r.want(flow.Refused, call)
			if !strings.Contains(o.Cause.Text, " "+code+" ("+meanings[code]+")") || meanings[code] == "" {
				t.Errorf("%s %s: %s", call, code, o.Cause.Text)
			}
			if strings.Contains(o.Cause.Text, "diagnostics") {
				t.Errorf("%s %s: the service's own words are told: %s", call, code, o.Cause.Text)
			}
			r.want(flow.Delivered, "")
			if n := len(r.ers.Requests("r")) + len(r.ers.Requests("a")); n != 1 {
				t.Errorf("%s %s: %d requests", call, code, n)
			}
		}
	}
}

// What says that it is so already is no refusal.
func TestWhatIsSoAlready(t *testing.T) {
	r := newRig(t, Referral)
	r.ers.Fail(sim.Fault{Call: "A012", DropAfter: true}) // attached, and the answer is lost
	r.want(flow.Retry, "A012")
	r.ers.Fail(sim.Fault{Call: "A012", Status: 422, Code: "NO_CHANGES_DETECTED"})
	r.want(flow.Delivered, "")

	r = newRig(t, Referral)
	r.ers.Fail(sim.Fault{Call: "A016", Status: 422, Code: "INVALID_REQUEST_STATE"})
	r.want(flow.Delivered, "") // read again, it is as it was: another try is taken
	r = newRig(t, Referral)
	r.ers.Fail(sim.Fault{Call: "A016", Status: 422, Code: "INVALID_REQUEST_STATE", Times: 2})
	r.want(flow.Refused, "A016")
}
