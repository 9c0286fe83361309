package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/fixtures/photos"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// fhirRequest is a request for advice whose one photo is described by some entries.
func fhirRequest(t *testing.T, entries ...map[string]any) []byte {
	t.Helper()
	entry := func(n int, r map[string]any) map[string]any {
		return map[string]any{"fullUrl": ref(n), "resource": r}
	}
	to := func(n int) map[string]any { return map[string]any{"reference": ref(n)} }
	coding := func(system, code string) map[string]any {
		return map[string]any{"coding": []any{map[string]any{"system": system, "code": code}}}
	}
	all := []any{
		entry(1, map[string]any{"resourceType": "MessageHeader", "eventCoding": map[string]any{"system": fhir.SystemMessageEvents, "code": "servicerequest-request"},
			"source": map[string]any{"endpoint": "urn:example:systmone"}, "focus": []any{to(2)}}),
		entry(2, map[string]any{"resourceType": "ServiceRequest", "status": "active", "intent": "order", "priority": "routine", "subject": to(3),
			"extension": []any{map[string]any{"url": fhir.ExtensionBase + "ers-priority", "valueCode": "ROUTINE"}},
			"category":  []any{coding(fhir.SystemRequestCategory, "request")}, "code": coding(fhir.SystemSNOMED, "308472003"), "requester": to(5), "supportingInfo": []any{to(9)}}),
		entry(3, map[string]any{"resourceType": "Patient", "identifier": []any{map[string]any{"system": fhir.SystemNHSNumber, "value": "9990001014"}},
			"name": []any{map[string]any{"family": "Testcase", "given": []any{"Rosalind"}}}, "birthDate": "1968-04-12", "gender": "female"}),
		entry(5, map[string]any{"resourceType": "Organization", "name": "LAMBETH ROAD SURGERY",
			"identifier": []any{map[string]any{"system": fhir.SystemODSOrganisation, "value": "Y06601"}}}),
		entry(6, map[string]any{"resourceType": "Consent", "status": "active", "scope": coding("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
			"category": []any{coding(fhir.SystemConsent, "clinical-photography")}, "patient": to(3), "policyRule": map[string]any{"text": "GMC"}, "provision": map[string]any{"type": "permit"}}),
	}
	for i, e := range entries {
		all = append(all, entry(9+i, e))
	}
	b, err := json.Marshal(map[string]any{"resourceType": "Bundle", "type": "message", "timestamp": "2026-11-24T10:10:00+00:00",
		"identifier": map[string]any{"system": "urn:example", "value": "FOUR-0001"}, "entry": all})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ref(n int) string { return fmt.Sprintf("urn:uuid:4a4a4a4a-0000-4000-8000-0000000000%02x", n) }

// arrived is what the platform has of the one photo of a request.
type arrived struct {
	bytes, name, typ, view, lesion, width, height, taken string
	derivation
}

// A photo that comes as Media, as DocumentReference with a Binary, in OBX, or in a DICOM file reaches its destination as
// the same photo, described alike.
func TestFourWaysInOneWayOut(t *testing.T) {
	t.Parallel()
	photo := photos.WithPrivate(photos.Lesion{Seed: 3, View: photos.Dermoscopic, Width: 320, Height: 240, Quality: 90}.JPEG(), 1)
	data := base64.StdEncoding.EncodeToString(photo)
	own := func(view bool) []any {
		out := []any{map[string]any{"url": fhir.ExtensionBase + "lesion", "valueString": "L1"}}
		if view {
			out = append(out, map[string]any{"url": fhir.ExtensionBase + "photo-view", "valueCode": "dermoscopic"})
		}
		return out
	}
	subject := map[string]any{"reference": ref(3)}
	obx := func(code, media, data string) []byte {
		return []byte("MSH|^~\\&|EMIS|Y06601|DERMGATE|RXX01|20261124101000||REF^I12^REF_I12|FOUR-0001|P|2.4|||AL|NE|GBR|UNICODE UTF-8\r" +
			"RF1|P|R^Routine|AG^Advice and Guidance|||FOUR-0001^EMIS\rPRD|RP|Okafor^Ngozi^^^Dr|||||G5612908^GMP|||LAMBETH ROAD SURGERY^^Y06601\r" +
			"PRD|RT|^^^^||||||||ST ELSEWHERE DERMATOLOGY^^RXX01\rPID|1||9990001014^^^NHS^NH||Testcase^Rosalind||19680412|2\rOBR|1|FOUR-0001^EMIS||SKINLESION^Skin lesion^L\r" +
			"OBX|1|CE|PHOTOCONSENT^Consent^L||Y^Given^L||||||F\rOBX|2|ED|" + code + "|L1|EMIS^" + media + "^Base64^" + data + "||||||F\r")
	}
	var first arrived
	for i, way := range []struct {
		name  string
		fhir  bool
		bytes []byte
	}{
		{"Media", true, fhirRequest(t, map[string]any{"resourceType": "Media", "status": "completed", "subject": subject, "extension": own(true),
			"content": map[string]any{"contentType": "image/jpeg", "data": data}})},
		{"DocumentReference", true, fhirRequest(t, map[string]any{"resourceType": "DocumentReference", "status": "current", "subject": subject, "extension": own(true),
			"content": []any{map[string]any{"attachment": map[string]any{"contentType": "image/jpeg", "url": ref(10)}}}},
			map[string]any{"resourceType": "Binary", "contentType": "image/jpeg", "data": data})},
		{"OBX", false, obx("DERMOSCOPY^Dermoscopic photo^L", "image^jpeg", data)},
		{"DICOM", false, obx("PHOTO^Photo^L", "application^dicom", base64.StdEncoding.EncodeToString(wrapped(t, photo, "9990001014")))},
	} {
		ctx, w := runningBy(t, []byte(strings.Replace(string(demoConfig), "images: hold", "images: off", 1)), time.Minute)
		if way.fhir {
			w.post(t, way.bytes)
		} else {
			sendMLLP(t, ctx, w, way.bytes)
		}
		c, story := w.onlyCase(t)
		if len(c.Tasks) > 0 && c.State == "HELD" { // the FHIR source of the demo says nothing of its checks
			if out, code := w.operate(ctx, "release", c.ID, "--reason", "one photo is enough here"); code != 0 {
				t.Fatal(out)
			}
		}
		if err := until(ctx, way.name+" reaches the platform", func() bool { return len(w.ag.Requests()) > 0 }); err != nil {
			t.Fatal(err, story)
		}
		b := w.outbound(t, ctx, "ag", "advice-request")
		m, got := b.First("Media"), w.ag.Requests()[0].Photos
		if !m.OK() || len(got) != 1 {
			t.Fatalf("%s: %d photos, a Media: %t", way.name, len(got), m.OK())
		}
		at := arrived{sha(got[0].Bytes), got[0].Name, got[0].Type, got[0].View, got[0].Lesion, m.Child("width").Text(), m.Child("height").Text(),
			m.Child("createdDateTime").Text()[:16], derivations(b)["dermoscopic"]}
		if at.original == at.derived || at.original == "" || at.derived != at.bytes || bytes.Contains(got[0].Bytes, []byte("Testcase")) {
			t.Errorf("%s: %+v", way.name, at)
		}
		if way.name == "DICOM" { // another file, another step; all else is the same
			if at.original == first.original || at.step != "converted" || !strings.Contains(at.removed, "patient") {
				t.Errorf("%s: %+v", way.name, at.derivation)
			}
			at.original, at.step, at.words, at.removed, at.taken = first.original, first.step, first.words, first.removed, first.taken
		}
		if i == 0 {
			first = at
			if at.width != "320" || at.typ != "image/jpeg" || at.name != "L1-dermoscopic-1.jpg" || at.taken != "2026-11-24T10:05" || at.step != "stripped" {
				t.Errorf("%+v", at)
			}
		} else if at != first {
			t.Errorf("%s:\n%+v\n%s:\n%+v", "Media", first, way.name, at)
		}
	}
}

// post sends a message over FHIR and wants it taken.
func (w *world) post(t *testing.T, b []byte) {
	t.Helper()
	resp, err := http.Post("http://"+w.app.public.Addr().String()+"/fhir/$process-message", "application/fhir+json", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, answer)
	}
}
