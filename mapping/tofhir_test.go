package mapping_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// with replaces a piece of the advice request.
func with(t *testing.T, pairs ...string) *hl7.Message {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(advice, pairs[i]) {
			t.Fatalf("the request has no %q", pairs[i])
		}
	}
	return message(t, strings.NewReplacer(pairs...).Replace(advice))
}

func request(res *mapping.Result) fhir.Element { return res.Bundle.First("ServiceRequest") }

func coded(e fhir.Element, system string) string {
	for c := range e.Children("coding") {
		if c.Child("system").Text() == system {
			return c.Child("code").Text()
		}
	}
	return ""
}

func kindOf(res *mapping.Result) string {
	for c := range request(res).Children("category") {
		if k := coded(c, fhir.SystemRequestCategory); k != "" {
			return k
		}
	}
	return ""
}

func extensionOf(e fhir.Element, name string) string {
	for x := range e.Children("extension") {
		if x.Child("url").Text() == fhir.ExtensionBase+name {
			for v := range x.Children("") {
				if v.Name() != "url" {
					return v.Text()
				}
			}
		}
	}
	return ""
}

func TestKindOnlyByTheSourcesRule(t *testing.T) {
	rule := options(t).Kind
	for name, c := range map[string]struct {
		rule  mapping.KindRule
		rf13  string
		kind  string
		issue string
	}{
		"advice":        {rule, "|AG^", "request", ""},
		"referral":      {rule, "|DERM^", "referral", ""},
		"other word":    {rule, "|MED^", "", "error code RF1-3.1"},
		"absent":        {rule, "|^", "", "error required RF1-3.1"},
		"no rule":       {mapping.KindRule{}, "|AG^", "", "error required RF1-3.1"},
		"both, repeats": {mapping.KindRule{From: hl7.MustPath("RF1-4"), Advice: []string{"WR"}, Referral: []string{"AM"}}, "|AG^", "", "error code RF1-4"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			o.Kind = c.rule
			res := translate(t, with(t, "|AG^", c.rf13, "|WR^Send written report^HL70282|", "|WR~AM|"), o)
			if got := kindOf(res); got != c.kind {
				t.Errorf("kind %q, want %q", got, c.kind)
			}
			if got := issuesOf(res); c.issue != "" && !slices.Contains(got, c.issue) || c.issue == "" && res.Issues.Worst() != nil {
				t.Errorf("issues %v, want %q", got, c.issue)
			}
		})
	}
}

func TestPriorityIsNeverAssumed(t *testing.T) {
	for rf12, want := range map[string][3]string{ // priority, e-RS code, issue
		"R^Routine^HL70280": {"routine", "ROUTINE", ""},
		"2WW^Cancer":        {"asap", "TWO_WEEK_WAIT", ""},
		"U":                 {"urgent", "URGENT", ""},
		"A":                 {"asap", "", ""},
		"":                  {"", "", "warning required RF1-2[1]"},
		"SOON":              {"", "", "warning code RF1-2[1]"},
	} {
		res := translate(t, with(t, "R^Routine^HL70280", rf12), options(t))
		got := [3]string{request(res).Child("priority").Text(), extensionOf(request(res), "ers-priority"), strings.Join(issuesOf(res), ",")}
		if got != want {
			t.Errorf("RF1-2 %q gives %q, want %q", rf12, got, want)
		}
	}
}

func TestNHSNumberByAuthorityAndCheckDigit(t *testing.T) {
	for pid3, want := range map[string][2]string{ // NHS number, issue
		"9990001014^^^NHS^NH":         {"9990001014", ""},
		"999 000-1014^^^NHS":          {"9990001014", ""},
		"9990001014^^^NHSNBR^NHSNMBR": {"9990001014", ""},
		"9990001014^^^^NH":            {"9990001014", ""},
		"9990001014^^^&NHS":           {"9990001014", ""},
		"9990001014^^^RXX^MR":         {"", ""},
		"9990001014^^^CHI^NH":         {"", ""},
		"9990001014^^^HSC^NH":         {"", ""},
		"9990001015^^^NHS^NH":         {"", "warning value PID-3[1].1"},
		"12345^^^^NH":                 {"", "warning value PID-3[1].1"},
	} {
		res := translate(t, with(t, "9990001014^^^NHS^NH", pid3), options(t))
		got := [2]string{}
		for id := range res.Bundle.First("Patient").Children("identifier") {
			if id.Child("system").Text() == fhir.SystemNHSNumber {
				got[0] = id.Child("value").Text()
			}
		}
		got[1] = strings.Join(issuesOf(res), ",")
		if got != want {
			t.Errorf("PID-3 %q gives %q, want %q", pid3, got, want)
		}
	}
}

func TestHumanDates(t *testing.T) {
	for pid7, want := range map[string]string{
		"19680412": "1968-04-12", "196804": "1968-04", "1968": "1968", "20000101+": "2000-01-01", "01/10/1948": "1948-10-01",
		"1926-08-11": "1926-08-11", "19680412000000": "1968-04-12", "19680000": "1968", "19680231": "", "yesterday": "", "13/13/1948": "",
	} {
		res := translate(t, with(t, "19680412", pid7), options(t))
		if got := res.Bundle.First("Patient").Child("birthDate").Text(); got != want {
			t.Errorf("PID-7 %q gives %q, want %q", pid7, got, want)
		}
		if want == "" && !slices.Contains(issuesOf(res), "warning value PID-7[1]") {
			t.Errorf("PID-7 %q: issues %v", pid7, issuesOf(res))
		}
	}
	for msh7, want := range map[string]string{ // London time
		"20260701120000": "2026-07-01T12:00:00+01:00", "20261124101500+0000": "2026-11-24T10:15:00+00:00",
		"202607011200": "2026-07-01T12:00:00+01:00", "2026-07-01 23:23:32": "2026-07-01T23:23:32+01:00", "20260701120000.25-0530": "2026-07-01T12:00:00.25-05:30",
	} {
		res := translate(t, with(t, "RXX01|20261124101500|", "RXX01|"+msh7+"|"), options(t))
		if got := res.Bundle.Root.Child("timestamp").Text(); got != want {
			t.Errorf("MSH-7 %q gives %q, want %q", msh7, got, want)
		}
	}
	res := translate(t, with(t, "RXX01|20261124101500|", "RXX01|20261025013000|"), options(t)) // the hour that comes twice
	if !slices.Contains(issuesOf(res), "warning value MSH-7[1]") {
		t.Errorf("an ambiguous hour passes unnoticed: %v", issuesOf(res))
	}
}

func TestPhotosInAnySpelling(t *testing.T) {
	plain := photo(t, "photo1")
	data := base64.StdEncoding.EncodeToString(plain)
	broken := data[:100] + `\.br\` + data[100:200] + " " + data[200:]
	for _, c := range []struct{ obx2, obx5, resource, issue string }{
		{"ED", "EMIS^image^jpeg^Base64^" + data, "Media", ""},
		{"CE", "^IM^JPEG^Base64^" + data, "Media", ""},
		{"", "^^jpg^BASE64^" + data, "Media", ""},
		{"ED", "^IM^^base64^" + data, "Media", ""},
		{"ED", "^image^jpeg^^" + data, "Media", ""},
		{"ED", "^image^jpeg^Base64^" + broken, "Media", ""},
		{"TX", data, "Media", ""},
		{"ST", "data:image/jpeg;base64," + data, "Media", ""},
		{"ED", "^image^png^Base64^" + data, "Media", "warning value OBX[4]-5[1].5"},
		{"ED", "^application^pdf^Base64^" + data, "Media", "warning value OBX[4]-5[1].5"},
		{"RP", "https://photos.example/1^^image^jpeg", "Media", ""},
		{"ED", "^image^jpeg^Base64^VGhpcyBpcyBubyBwaG90bw==", "DocumentReference", "warning value OBX[4]-5[1].5"},
		{"ED", "^text^plain^Base64^VGhpcyBpcyBhIGxldHRlcg==", "DocumentReference", ""},
		{"ED", "^image^jpeg^Base64^" + data[:101] + "*", "", "error value OBX[4]-5[1].5"},
		{"CX", "1^2^3^A^5", "Observation", ""},
		{"XAD", "1 High Street^^London^^SE17", "Observation", ""},
	} {
		m := with(t, "OBX|4|ED|", "OBX|4|"+c.obx2+"|", "EMIS^image^jpeg^Base64^${photo1}", c.obx5)
		res := translate(t, m, options(t))
		got := ""
		for r := range res.Bundle.Resources() {
			switch r.Type().Name {
			case "Media":
				if r.At("content.title").Text() == "Overview photo" {
					got = "Media"
				}
			case "DocumentReference":
				if !fhir.IsOriginal(r) {
					got = "DocumentReference"
				}
			case "Observation":
				if r.At("code.text").Text() == "Overview photo" {
					got = "Observation"
				}
			}
		}
		if is := strings.Join(issuesOf(res), ","); got != c.resource || is != c.issue {
			t.Errorf("OBX-2 %q, OBX-5 %.40q… gives %q (%s), want %q (%s)", c.obx2, c.obx5, got, is, c.resource, c.issue)
		}
		if c.resource == "Media" && c.obx2 != "RP" && !slices.ContainsFunc(res.Files, func(f mapping.File) bool { return bytes.Equal(content(f), plain) }) {
			t.Errorf("OBX-5 %.40q…: the bytes did not arrive", c.obx5)
		}
	}
}

func TestEveryAttachmentIsLinked(t *testing.T) {
	for _, file := range []string{"REF-I12-01.hl7", "REF-I12-02.hl7", "REF-I14-01.hl7", "REF-I14-02.hl7", "elixir-ref_i12.hl7"} {
		b, err := os.ReadFile(filepath.Join("testdata/messages", file))
		if err != nil {
			t.Fatal(err)
		}
		m, err := hl7.Parse(b)
		if err != nil {
			t.Fatal(file, err)
		}
		res := translate(t, m, mapping.Options{Source: "corpus", Zone: london(t)})
		r := request(res)
		for _, name := range []string{"subject", "requester"} {
			if !res.Bundle.Resolve(r.At(name + ".reference").Text()).OK() {
				t.Errorf("%s: no %s", file, name)
			}
		}
		if !r.Child("code").OK() && !r.Child("category").OK() {
			t.Errorf("%s: neither code nor category", file)
		}
		linked := map[string]bool{}
		for s := range r.Children("supportingInfo") {
			linked[s.Child("reference").Text()] = true
		}
		for e := range res.Bundle.Root.Children("entry") {
			switch e.Child("resource").Type().Name {
			case "Media", "DocumentReference", "Observation":
				if !linked[e.Child("fullUrl").Text()] && !fhir.IsOriginal(e.Child("resource")) {
					t.Errorf("%s: an attachment without a link", file)
				}
			}
		}
		if want := strings.Contains(string(b), "Base64"); (len(res.Files) == 1) != want {
			t.Errorf("%s: %d files", file, len(res.Files))
		}
		if strings.HasPrefix(file, "REF-I14") != (r.Child("status").Text() == "revoked") {
			t.Errorf("%s: status %s", file, r.Child("status").Text())
		}
	}
}

func TestWhatNoMapTakes(t *testing.T) {
	for msh9, want := range map[string]issue.Kind{"DFT^P03": issue.UnsupportedType, "SIU^S18": issue.UnsupportedEvent, "ADT^A99": issue.UnsupportedEvent, "REF^I99": issue.UnsupportedEvent, "": issue.UnsupportedType} {
		_, err := shippedSet(t).ToFHIR(with(t, "REF^I12^REF_I12", msh9), options(t))
		if i := issue.From(err); i == nil || i.Kind != want || !strings.HasPrefix(i.Where, "MSH-9") {
			t.Errorf("MSH-9 %q: %v, want %s", msh9, err, want)
		}
	}
}

func TestSegmentsThatMustStand(t *testing.T) {
	pid := advice[strings.Index(advice, "PID|"):strings.Index(advice, "PD1|")]
	if got := issuesOf(translate(t, with(t, pid, ""), options(t))); !slices.Contains(got, "error required PID") {
		t.Error(got)
	}
	res, err := shippedSet(t).ToFHIR(with(t, pid, pid+pid), options(t))
	if i := issue.From(err); res != nil || i == nil || i.Kind != issue.Structure || i.Where != "PID[2]" {
		t.Errorf("a second patient: %v, %v", res, err)
	}
}

// TestWhatASourceEnforces: a translation does without, and says so; a source that refuses it is told of an error.
func TestWhatASourceEnforces(t *testing.T) {
	text := with(t, "EMIS^image^jpeg^Base64^${photo1}", "EMIS^image^jpeg^Base64^VGhpcyBpcyBubyBwaG90bw==")
	head := "MSH|^~\\&|PAS|RXX01|DERMGATE|RXX01|20261126090000||%s|E1|P|2.4\nPID|1||9990001014^^^NHS^NH\n"
	for want, m := range map[string]*hl7.Message{
		"value OBX[4]-5[1].5": text,
		"required OBR":        message(t, fmt.Sprintf(head, "ORU^R01")+"OBX|1|TX|ADVICE||text"),
		"required ORC":        message(t, fmt.Sprintf(head, "ORM^O01")+"OBR|1|O1^PAS||SKINLESION^Skin lesion^L"),
	} {
		o := options(t)
		if got := issuesOf(translate(t, m, o)); !slices.Contains(got, "warning "+want) {
			t.Errorf("%v, want a warning %s", got, want)
		}
		o.Enforce = true
		if got := issuesOf(translate(t, m, o)); !slices.Contains(got, "error "+want) {
			t.Errorf("%v, want an error %s", got, want)
		}
	}
}

func TestSameMessageSameBytes(t *testing.T) {
	var first []byte
	for range 20 {
		res := translate(t, message(t, advice), options(t))
		b, err := fhir.AppendJSON(nil, res.Bundle.Root)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = b
		}
		if !bytes.Equal(first, b) {
			t.Fatal("the same message gave other bytes")
		}
		res.Release() // the next one works in the same memory
	}
	o := options(t)
	o.Source = "other"
	if a, b := request(translate(t, message(t, advice), o)), request(translate(t, message(t, advice), options(t))); a.Child("id").Text() == b.Child("id").Text() {
		t.Error("two sources share an id")
	}
}

// TestBundlesDoNotShareMemory holds one Bundle while the next message is translated.
func TestBundlesDoNotShareMemory(t *testing.T) {
	kept := translate(t, message(t, advice), options(t))
	want, _ := fhir.AppendJSON(nil, kept.Bundle.Root)
	translate(t, with(t, "Testcase", "Anyother", "L1", "L2"), options(t)).Release()
	if got, _ := fhir.AppendJSON(nil, kept.Bundle.Root); !bytes.Equal(got, want) {
		t.Error("a later message changed an earlier Bundle")
	}
}

func TestInlineFiles(t *testing.T) {
	o := options(t)
	o.Files = mapping.FilesInline
	res := translate(t, message(t, advice), o)
	b, err := fhir.AppendJSON(nil, res.Bundle.Root)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range res.Files {
		if !bytes.Contains(b, []byte(`"data":"`+base64.StdEncoding.EncodeToString(content(f))+`"`)) {
			t.Errorf("%s is not in the Bundle", f.Where)
		}
	}
}

func TestTraceNamesSourceAndRule(t *testing.T) {
	o := options(t)
	o.Trace = true
	res := translate(t, message(t, advice), o)
	found := map[string]mapping.TracedElement{}
	for _, e := range res.Trace.Elements {
		found[e.Path] = e
	}
	for path, want := range map[string]struct {
		from []string
		rule string
	}{
		"Patient.identifier[0].value":           {[]string{"PID-3[1].1"}, "maps/datatypes/CX[Identifier].yaml:6:5"},
		"Patient.birthDate":                     {[]string{"PID-7[1].1"}, "maps/segments/PID[Patient].yaml:"},
		"Bundle.identifier.value":               {[]string{"MSH-10[1].1"}, "maps/segments/MSH[Bundle].yaml:4:5"},
		"Media.content":                         {[]string{"OBX[6]-5[1].1"}, "maps/segments/OBX[Media].yaml:"}, // of the last photo
		"Patient.telecom[0].use":                {[]string{"PID-13[1].2"}, "maps/datatypes/XTN[ContactPoint].yaml:"},
		"ServiceRequest.note[0].text":           {nil, "maps/segments/NTE[ServiceRequest].yaml:"},
		"Observation.valueString":               {[]string{"OBX-5[1].1"}, "maps/segments/OBX[Observation].yaml:"},
		"MessageHeader.source.name":             {[]string{"MSH-3[1].1"}, "maps/segments/MSH[MessageHeader].yaml:"},
		"ServiceRequest.extension[0].valueCode": {[]string{"RF1-2.1"}, "maps/segments/MSH[ServiceRequest].yaml:"},
	} {
		e, ok := found[path]
		if !ok || !strings.HasPrefix(e.Rule, want.rule) {
			t.Errorf("%s: rule %q, want %q", path, e.Rule, want.rule)
		}
		if want.from != nil {
			if diff := cmp.Diff(want.from, e.From); diff != "" {
				t.Errorf("%s: %s", path, diff)
			}
		}
	}
	if len(res.Trace.Ignored) != res.Leaves.Ignored || len(res.Trace.Unmapped) != res.Leaves.Unmapped {
		t.Error("the trace does not list what the account counts")
	}
}

// TestAccountSeesEveryLeaf holds the loss account against the parser's own list of leaves.
func TestAccountSeesEveryLeaf(t *testing.T) {
	files, _ := filepath.Glob("testdata/messages/*.hl7")
	texts := []string{advice, byReference, strings.Replace(advice, "Sample Street", "A&B&&C&~~D^^E&", 1), strings.Replace(advice, "Rosalind", `""`, 1)}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(b))
	}
	for _, in := range texts {
		m := message(t, in)
		want := 0
		for _, v := range m.Leaves() {
			if v.Valued() {
				want++
			}
		}
		if res := translate(t, m, options(t)); res.Leaves.Valued != want {
			t.Errorf("%.30q…: %d leaves counted, the parser sees %d", in, res.Leaves.Valued, want)
		}
	}
}

// TestAResultWithoutItsOrder names what is missing; its Provenance goes with the Task it was about.
func TestAResultWithoutItsOrder(t *testing.T) {
	res := translate(t, message(t, "MSH|^~\\&|AGP|RXX01|DERMGATE|RXX01|20261126090000||ORU^R01|AGP1|P|2.4\nPID|1||9990001014^^^NHS^NH\nOBX|1|TX|ADVICE||text"), options(t))
	if !slices.Contains(issuesOf(res), "warning required OBR") {
		t.Error(issuesOf(res))
	}
	if res.Bundle.First("Observation").At("valueString").Text() != "text" || !res.Bundle.First("Patient").OK() {
		t.Error("what is there did not arrive")
	}
	if res.Bundle.First("Task").OK() || res.Bundle.First("Provenance").OK() {
		t.Error("a Task or Provenance without what it needs")
	}
}
