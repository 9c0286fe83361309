package ers

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// example reads one of NHS England's own examples.
func example(t *testing.T, name string) any {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, b)
}

func decoded(t *testing.T, b []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// written gives a body as it goes over the wire.
func written(t *testing.T, body any) any {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, b)
}

func TestBodiesEqualTheExamplesOfNHSEngland(t *testing.T) {
	const base = "_baseUrl_" // as the examples write it
	cardiology := order{Patient: "9912003888", Priority: "ROUTINE", Service: "11014", Specialty: "CARDIOLOGY",
		ClinicType: "HEART_FAILURE", Text: "Request text."}

	plain := cardiology
	plain.Conversion = "NOT_AUTHORISED_TO_CONVERT"
	byAdmin := cardiology
	byAdmin.Conversion, byAdmin.Clinician = "AUTHORISED_TO_CONVERT", "021600556514"
	referral := cardiology
	referral.Priority, referral.Service = "URGENT", "11002"

	for name, body := range map[string]any{
		"a044-rc-without-attachments": adviceBody(base, plain, nil),
		"a044-rca-with-attachments": adviceBody(base, byAdmin, []file{{"Binary/e1015896-92f4-4073-ad3c-5f30fca76448",
			"Treatment Specification", "2021-09-29T13:22:35.335000+00:00"}}),
		"a011-rc-minimum": referralBody(base, referral),
		"a012-two-files": letterBody([]file{
			{"Binary/e1015896-92f4-4073-ad3c-5f30fca76448", "First blood test results showing an anomaly in the values of xxxx", "2021-06-24T13:22:13.311000+00:00"},
			{"Binary/50f0c0d5-7ed1-4587-8fce-889c8685eb54", "Second blood test results showing an anomaly in the values of xxxx", "2021-06-24T13:22:13.465000+00:00"}}),
		"a016-triage-deferral": triageBody("000000070000", "6", order{Patient: "9912003888", Service: "50001"}),
	} {
		want := example(t, name)
		if name == "a011-rc-minimum" {
			want = without(want, "eReferralPathwayStart") // optional; e-RS derives the RTT clock start itself
		}
		if diff := cmp.Diff(want, written(t, body)); diff != "" {
			t.Errorf("%s (-example +ours):\n%s", name, diff)
		}
	}
}

// without takes a parameter out of a Parameters resource.
func without(parameters any, name string) any {
	m := parameters.(map[string]any)
	m["parameter"] = slices.DeleteFunc(m["parameter"].([]any), func(p any) bool { return p.(map[string]any)["name"] == name })
	return m
}

func TestReadsTheExamplesOfNHSEngland(t *testing.T) {
	var r ersRequest
	load(t, "a028-return", &r)
	if r.state() != "TRIAGED_PROVIDER_TO_ACTION" || r.reason() != "RETURN_TO_REFERRER_WITH_ADVICE" || r.priority() == "" ||
		r.comments() != "Condition not serious. See attached document" || r.requestID() != "r.c18c4ec4-7d0a-480e-8506-347e0ec228b0" {
		t.Errorf("a028: %q %q %q %q %q", r.state(), r.reason(), r.priority(), r.comments(), r.requestID())
	}
	files, err := r.letters()
	if err != nil || len(files) != 1 || files[0].Content[0].Attachment.URL != "Binary/a7c98bb4-c0d0-4094-b26d-8dbd1677edc8" {
		t.Errorf("a028: the referrer's files are %+v, %v; the provider's is not ours to list", files, err)
	}
	load(t, "a005-converted", &r)
	if r.reason() != "PROVIDER_CONVERTED_ADVICE_AND_GUIDANCE_ADMIN_TO_REFER" || r.priority() != "TWO_WEEK_WAIT" {
		t.Errorf("a005: %q %q", r.reason(), r.priority())
	}
	load(t, "a024-minimal", &r)
	if r.state() != "PROVIDER_RESPONSE_REQUIRED" || r.patient() != "9912003888" || r.Meta.VersionID != "5" {
		t.Errorf("a024: %q %q %q", r.state(), r.patient(), r.Meta.VersionID)
	}
	var set conversation
	load(t, "a025-multi-way", &set)
	talk, _, err := set.sort()
	var ids []string
	for _, c := range talk {
		ids = append(ids, c.ID+" "+c.by())
	}
	if want := []string{"70000 REQUESTER", "70001 REQUESTER", "70002 RESPONDER", "70003 RESPONDER"}; err != nil || !slices.Equal(ids, want) {
		t.Errorf("a025: %v %v", ids, err)
	}
}

func load(t *testing.T, name string, into any) {
	t.Helper()
	b, err := json.Marshal(example(t, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}
