package mapping_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// answer is what a platform says of a request.
type answer struct{ status, outcome, recommendation, priority, text string }

// answered adds an answer to the Bundle of a request, as the gateway does before it writes it out.
func answered(t *testing.T, res *mapping.Result, a answer) {
	t.Helper()
	add := func(e fhir.Element, name string) fhir.Element {
		c, err := e.Add(name)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	set := func(e fhir.Element, name, value string) {
		if err := e.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	task, err := res.Bundle.Add("urn:uuid:00000000-0000-5000-8000-000000000001", "Task")
	if err != nil {
		t.Fatal(err)
	}
	set(task, "status", "completed")
	set(task, "intent", "order")
	set(add(add(task, "businessStatus"), "coding"), "code", a.status)
	for _, o := range [][2]string{{"outcome", a.outcome}, {"recommendation", a.recommendation}, {"priority", a.priority}} {
		if o[1] != "" {
			out := add(task, "output")
			set(add(add(out, "type"), "coding"), "code", o[0])
			set(out, "valueCode", o[1])
		}
	}
	words, err := res.Bundle.Add("urn:uuid:00000000-0000-5000-8000-000000000002", "Communication")
	if err != nil {
		t.Fatal(err)
	}
	set(words, "status", "completed")
	set(add(words, "payload"), "contentString", a.text)
	if issues := fhir.Validate(res.Bundle.Root); len(issues) > 0 {
		t.Fatal(issues)
	}
}

// out writes a Bundle and reads it back as a message.
func out(t *testing.T, res *mapping.Result, form string) *hl7.Message {
	t.Helper()
	return outBy(t, res, outOptions(t, form, res.Files))
}

func outBy(t *testing.T, res *mapping.Result, o mapping.Out) *hl7.Message {
	t.Helper()
	w, issues, err := shippedSet(t).ToHL7(res.Bundle, o)
	if err != nil || len(issues) > 0 {
		t.Fatal(err, issues)
	}
	b, err := w.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	m, err := hl7.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func text(m *hl7.Message, path string) string { return m.Get(hl7.MustPath(path)).Text() }

const words = "Looks benign.\n\n  Excise if: it bleeds | grows & changes ^ in ~ 3 months \\ sooner.\n\tÄrzte, café, 10 µm\n"

func TestAcceptedOnlyWhenAReferralWasAccepted(t *testing.T) {
	for _, c := range []struct {
		kind   string
		answer answer
		rf11   string
	}{
		{"DERM", answer{"TRIAGED_PROVIDER_TO_ACTION", "ACCEPT_REFER_BOOK_LATER", "", "", words}, "A"},
		{"DERM", answer{"CANCELLED_REFERRAL", "STRAIGHT_TO_TEST", "", "", words}, "A"},
		{"DERM", answer{"TRIAGE_RESPONSE", "RETURN_TO_REFERRER_WITH_ADVICE", "", "", words}, "R"},
		{"DERM", answer{"REJECTED", "", "", "", words}, "R"},
		{"DERM", answer{"TRIAGED_PROVIDER_TO_ACTION", "RETURN_TO_REFERRER_WITH_ADVICE", "", "", words}, "R"}, // as e-RS shows it
		{"DERM", answer{"TRIAGED_PROVIDER_TO_ACTION", "", "", "", words}, "A"},
		{"DERM", answer{"AWAITING_TRIAGE", "", "", "", words}, "P"},
		{"AG", answer{"REFERRER_TO_REVIEW_RESPONSE", "RETURN_TO_REFERRER_WITH_ADVICE", "REFERRAL_RECOMMENDED", "TWO_WEEK_WAIT", words}, "P"},
		{"AG", answer{"ADVICE_CONVERTED", "PROVIDER_CONVERTED", "", "", words}, "P"},
		{"AG", answer{"TRIAGED_PROVIDER_TO_ACTION", "ACCEPT_REFER_BOOK_LATER", "", "", words}, "P"},
	} {
		res := translate(t, with(t, "|AG^", "|"+c.kind+"^"), options(t))
		answered(t, res, c.answer)
		m := out(t, res, "RRI_I12")
		if got := text(m, "RF1-1.1"); got != c.rf11 {
			t.Errorf("%s answered %s/%s: RF1-1 %q, want %q", c.kind, c.answer.status, c.answer.outcome, got, c.rf11)
		}
	}
}

func TestWhatComesHomeUnchanged(t *testing.T) {
	in := message(t, advice)
	res := translate(t, in, options(t))
	answered(t, res, answer{"REFERRER_TO_REVIEW_RESPONSE", "RETURN_TO_REFERRER_WITH_ADVICE", "REFERRAL_RECOMMENDED", "TWO_WEEK_WAIT", words})
	m := out(t, res, "RRI_I12")
	for _, same := range []string{"RF1-6", "RF1-2.1", "RF1-3", "PID-3[1]", "PID-3[2]", "PID-5", "PRD-1", "PRD-2", "PRD-3", "PRD-7", "PRD-10", "PRD[2]-1", "PRD[2]-10"} {
		if got, want := m.Get(hl7.MustPath(same)).Raw(), in.Get(hl7.MustPath(same)).Raw(); !bytes.Equal(got, want) {
			t.Errorf("%s is %q, was %q", same, got, want)
		}
	}
	if text(m, "MSA-1") != "AA" || text(m, "MSA-2") != "AG0001" {
		t.Errorf("MSA %s %s", text(m, "MSA-1"), text(m, "MSA-2"))
	}
	if text(m, "OBX-5.1") != "RETURN_TO_REFERRER_WITH_ADVICE" || text(m, "OBX[2]-5.1") != "REFERRAL_RECOMMENDED" || text(m, "OBX[3]-5.1") != "TWO_WEEK_WAIT" {
		t.Error("the codes of the answer are not those given")
	}
	var notes []string
	for i := 1; i <= m.Count("NTE"); i++ {
		notes = append(notes, m.Find("NTE", i).Field(3).Text())
	}
	if got := strings.Join(notes, "\n"); got != words {
		t.Errorf("the covering note is %q, want %q", got, words)
	}
}

// TestAdviceComesThroughWhole sends advice as a result and reads it back: text and codes must be those given.
func TestAdviceComesThroughWhole(t *testing.T) {
	for _, advised := range []string{words, "one line", strings.Repeat("A long line of advice. ", 4000), "\nstarts empty", "x\n\n\n\ny"} {
		res := translate(t, message(t, advice), options(t))
		answered(t, res, answer{"REFERRER_TO_REVIEW_RESPONSE", "RETURN_TO_REFERRER_WITH_ADVICE", "ADVICE_ONLY_NO_REFERRAL_RECOMMENDED", "ROUTINE", advised})
		m := out(t, res, "ORU_R01")
		if text(m, "OBR-25") != "F" || text(m, "OBR-2.1") != "REFAG0001" {
			t.Errorf("OBR-25 %s, OBR-2 %s", text(m, "OBR-25"), text(m, "OBR-2.1"))
		}
		back := translate(t, m, options(t))
		got := back.Bundle.First("Communication").At("payload.contentString").Text()
		if strings.TrimRight(got, "\n") != strings.TrimRight(advised, "\n") {
			t.Errorf("%.60q came back as %.60q", advised, got)
		}
		task := back.Bundle.First("Task")
		if task.At("output[1].valueCode").Text() != "ADVICE_ONLY_NO_REFERRAL_RECOMMENDED" || task.At("businessStatus.coding.code").Text() != "REFERRER_TO_REVIEW_RESPONSE" {
			t.Error("the codes did not come through")
		}
	}
}

// TestRequestForAHospital sends a request on and reads it back: photos, sides and urgency stay with their own.
func TestRequestForAHospital(t *testing.T) {
	in := with(t, "R^Routine^HL70280", "2WW^Suspected cancer", "|AG^", "|DERM^")
	res := translate(t, in, options(t))
	m := out(t, res, "REF_I12")
	if text(m, "RF1-2.1") != "2WW" || text(m, "RF1-2.4") != "TWO_WEEK_WAIT" {
		t.Errorf("RF1-2 is %s: the urgency did not arrive", m.Get(hl7.MustPath("RF1-2")).Raw())
	}
	o := options(t)
	o.Source = "epr"
	o.Urgency = mapping.UrgencyRule{From: hl7.MustPath("RF1-2.4"), TwoWeekWait: []string{"TWO_WEEK_WAIT"}}
	back := translate(t, m, o)
	if got := extensionOf(request(back), "ers-priority"); got != "TWO_WEEK_WAIT" {
		t.Errorf("urgency reads back as %q", got)
	}
	if len(back.Files) != 3 {
		t.Fatalf("%d photos arrived", len(back.Files))
	}
	for i, f := range back.Files {
		was := res.Files[i]
		if f.SHA256 != was.SHA256 {
			t.Errorf("photo %d has other bytes", i)
		}
		for _, name := range []string{"lesion", "photo-view", "laterality"} {
			if got, want := extensionOf(f.Element, name), extensionOf(was.Element, name); got != want {
				t.Errorf("photo %d: %s is %q, was %q", i, name, got, want)
			}
		}
		if got, want := f.Element.At("bodySite.coding.code").Text(), was.Element.At("bodySite.coding.code").Text(); got != want {
			t.Errorf("photo %d: body site %q, was %q", i, got, want)
		}
	}
}

func TestAFileThatCannotBeHad(t *testing.T) {
	res := translate(t, message(t, advice), options(t))
	o := outOptions(t, "REF_I12", nil)
	b, _, err := shippedSet(t).ToHL7(res.Bundle, o)
	if err == nil || b != nil {
		t.Error("a message without its photos was written")
	}
	o.Message = "SIU_S12"
	if _, _, err := shippedSet(t).ToHL7(res.Bundle, o); issue.From(err).Kind != issue.UnsupportedType {
		t.Errorf("an unknown message: %v", err)
	}
	o = outOptions(t, "RRI_I12", nil)
	o.Charset = "8859/1"
	answered(t, res, answer{status: "REFERRER_TO_REVIEW_RESPONSE", text: "snowman ☃"})
	if _, _, err := shippedSet(t).ToHL7(res.Bundle, o); err == nil {
		t.Error("a character that the set lacks was written")
	}
}

// TestAnAdviceAnswerAcceptsNothing: in no form and by no event does the answer to advice say RF1-1 A, whatever the platform
// says, and a letter has no RF1 at all; each form is of its structure in the standard's order.
func TestAnAdviceAnswerAcceptsNothing(t *testing.T) {
	for _, a := range []answer{
		{"REFERRER_TO_REVIEW_RESPONSE", "RETURN_TO_REFERRER_WITH_ADVICE", "REFERRAL_RECOMMENDED", "TWO_WEEK_WAIT", words},
		{"TRIAGED_PROVIDER_TO_ACTION", "ACCEPT_REFER_BOOK_LATER", "", "", words},
		{"ADVICE_CONVERTED", "STRAIGHT_TO_TEST", "", "", words},
	} {
		res := translate(t, message(t, advice), options(t))
		answered(t, res, a)
		for _, form := range []string{"RRI_I12", "RRI_I13", "RRI_I14", "RRI_I15", "ORU_R01", "MDM_T02", "MDM_T10", "ADT_A28", "ADT_A31"} {
			m := out(t, res, form)
			if got := text(m, "RF1-1.1"); got == "A" || form[:3] != "RRI" && m.Count("RF1") > 0 {
				t.Errorf("%s of %s/%s: RF1-1 %q", form, a.status, a.outcome, got)
			}
			if got := text(m, "MSH-9.2"); got != form[4:] {
				t.Errorf("%s: MSH-9.2 is %s", form, got)
			}
			if found := m.Validate(&hl7.Profile{Structure: hl7.Reject}); len(found) > 0 {
				t.Errorf("%s: %v", form, found)
			}
		}
	}
}

// TestALetterComesThroughWhole writes advice as a document and reads it back: words, number and what it replaces.
func TestALetterComesThroughWhole(t *testing.T) {
	for _, advised := range []string{words, "one line", strings.Repeat("A long line of advice. ", 4000), "\nstarts empty", "x\n\n\n\ny"} {
		res := translate(t, message(t, advice), options(t))
		answered(t, res, answer{"REFERRER_TO_REVIEW_RESPONSE", "RETURN_TO_REFERRER_WITH_ADVICE", "", "", advised})
		o := outOptions(t, "MDM_T10", res.Files)
		o.Replaces = "DG00000000"
		back := translate(t, outBy(t, res, o), options(t))
		letter, data := back.Bundle.First("DocumentReference"), []byte(nil)
		for _, f := range back.Files {
			if letter.At("content.attachment.url").Text() == "urn:sha-256:"+f.SHA256 {
				data = content(f)
			}
		}
		if strings.TrimRight(string(data), "\n") != strings.TrimRight(advised, "\n") {
			t.Errorf("%.60q came back as %.60q", advised, data)
		}
		for path, want := range map[string]string{"masterIdentifier.value": "DG00000001", "relatesTo.target.identifier.value": "DG00000000",
			"relatesTo.code": "replaces", "docStatus": "final", "type.coding.code": "CN"} {
			if got := letter.At(path).Text(); got != want {
				t.Errorf("%s is %q, want %q", path, got, want)
			}
		}
	}
}
