package ers

import (
	"encoding/json"
	"strings"
)

// meanings are the documented error codes of e-RS's OperationOutcomes (eRS-APIErrorCode-1 and, of R4, http-error-codes), in
// words for the person who mends it. The service's own diagnostics may repeat what was sent, and are not told.
var meanings = map[string]string{
	"ACCESS_DENIED":                      "the user or application may not do this",
	"CONFLICTING_VALUES":                 "two values contradict each other: a file's name and its type, or an outcome and what goes with it",
	"DUPLICATE_FILENAME":                 "two files of the request have one name",
	"DUPLICATE_SERVICE":                  "a service is on the shortlist twice",
	"FIELD_NOT_PERMITTED":                "something is given that this role or outcome may not give",
	"FILE_SIZE_ERROR":                    "a file is empty or larger than 5,242,880 bytes",
	"FORBIDDEN":                          "the user or application may not do this",
	"HISTORY_NOT_SUPPORTED":              "a version is named where none may be",
	"INAPPROPRIATE_SLOT":                 "the slot is not for this referral",
	"INAPPROPRIATE_VALUE":                "a value does not fit the request: a file that was uploaded for another one, or a service that does not take it",
	"INVALID_CODE":                       "a code is not in e-RS's reference data",
	"INVALID_FHIR_STRUCTURE":             "the message is not as e-RS wants it",
	"INVALID_REQUEST_STATE":              "the request is not in a state that allows this: look at it in e-RS",
	"INVALID_REQUEST_TYPE":               "the number is that of another kind of request: advice is not a referral",
	"INVALID_STATE":                      "something that is referred to is not in a state that allows this",
	"INVALID_VALUE":                      "a value is not allowed",
	"MISSING_HEADER":                     "a header is missing: look at ods and business_function",
	"MISSING_PARAMETER":                  "a parameter is missing",
	"MISSING_VALUE":                      "a value is missing",
	"NO_ACCESS":                          "the user or application has no access: look at ods and business_function, and whether they have that role there",
	"NO_ACCESS_CODE":                     "the request has no access code",
	"NO_CHANGES_DETECTED":                "it is so already",
	"NO_REG_GP_PRACTICE":                 "the patient is registered with no practice",
	"NO_RELATIONSHIP":                    "the organisation has nothing to do with this patient or request",
	"ORGANISATION_IS_CLOSED":             "the organisation is closed",
	"ORGANISATION_NOT_APPROPRIATE":       "the organisation may not be chosen for this",
	"PATIENT_ERROR":                      "e-RS lets nothing be done for this patient: do not try again",
	"PENDING":                            "the file is still being scanned",
	"PRIORITY_NOT_CURRENT":               "the priority is not the request's own",
	"REC_FORBIDDEN":                      "the user or application may not do this",
	"REC_UNAVAILABLE":                    "e-RS is unavailable",
	"REFERENCED_USER_IS_NOT_ACTIVE":      "the named clinician is not active",
	"REFERENCED_USER_IS_NOT_RC":          "the named clinician is no referring clinician",
	"REFERENCED_USER_IS_NOT_RC_AT_ORG":   "the named clinician is no referring clinician at this organisation",
	"REFERENCED_USER_IS_NOT_SPC":         "the named clinician is no service provider clinician",
	"REFERENCED_USER_NOT_IN_ORG":         "the named clinician is not of this organisation",
	"REFERENCE_NOT_FOUND":                "something that is referred to is not there",
	"SERVICE_UNAVAILABLE":                "the chosen service cannot be used",
	"SHORTLISTED_SERVICE_NOT_IN_RESULTS": "the chosen service would not be found by the search: look at priority, specialty and clinic_type",
	"SLOTS_CURRENTLY_AVAILABLE":          "there are slots: it is booked, not deferred",
	"SLOT_NOT_AVAILABLE":                 "the slot is gone",
	"SNOMED_NOT_FOUND":                   "the SNOMED CT code is not known",
	"SYSTEM_UNAVAILABLE":                 "e-RS is unavailable",
	"THIS_SLOT_IS_AVAILABLE":             "the slot is free: it is booked, not deferred",
	"THREATS_FOUND":                      "the scan found something in the file",
	"TOO_MANY_ITEMS":                     "more is given than may be",
	"TOO_MANY_REQUESTS":                  "more calls than the application may make",
	"UNABLE_TO_CANCEL_APPOINTMENT":       "the appointment could not be cancelled at the provider",
	"UNABLE_TO_CONFIRM_APPOINTMENT":      "the provider did not confirm the appointment",
	"UNEXPECTED_FIELD":                   "something is given that this message does not have",
	"UNSUPPORTED_PRIORITY":               "the service does not take this priority",
	"VALIDATION_FAILED":                  "the file is not what its name and type say",
	"VALUE_IS_REQUIRED":                  "something is missing that this role or outcome must give",
}

// codesOf gives the error codes of an OperationOutcome: what looks like one, since its other words may repeat what was sent.
func codesOf(body []byte) (out []string) {
	var o operationOutcome
	if json.Unmarshal(body, &o) != nil {
		return nil
	}
	for _, i := range o.Issue {
		for _, c := range i.Details.Coding {
			if c.Code != "" && len(c.Code) <= 64 && strings.Trim(c.Code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == "" {
				out = append(out, c.Code)
			}
		}
	}
	return out
}

// codes lists the error codes of an OperationOutcome with what they mean.
func codes(body []byte) string {
	var b strings.Builder
	for _, c := range codesOf(body) {
		b.WriteString(" " + c)
		if m := meanings[c]; m != "" {
			b.WriteString(" (" + m + ")")
		}
	}
	return b.String()
}
