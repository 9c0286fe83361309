package mapping_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/image"
)

// through is a message that a Bundle goes through, FHIR to HL7 v2 and back, and what of it does not come home.
type through struct {
	form      string
	resources []string // that the message carries
	takes     func(b *fhir.Bundle) bool
	lost      []lost
}

// lost are elements that do not come back, by a pattern of their path: what HL7 v2 has no place for, and what another
// element says again.
type lost struct{ path, why string }

// throughs are the messages that are written, but for MDM: a letter comes back as a document (TestALetterComesBackWhole).
var throughs = []through{
	{"REF_I12", []string{"ServiceRequest", "Patient", "RelatedPerson", "Practitioner", "PractitionerRole", "Organization", "HealthcareService", "Condition",
		"AllergyIntolerance", "Observation", "Consent", "Media"}, asksSomething, lostOfRequests},
	{"RRI_I12", []string{"ServiceRequest", "Patient", "Practitioner", "PractitionerRole", "Organization", "HealthcareService", "Task", "Communication",
		"DocumentReference", "Media"}, answersSomething, lostOfAnswers},
	{"ORU_R01", []string{"Patient", "Task", "Communication", "DocumentReference", "Media"}, answersAdvice, lostOfAdvice},
}

func asksSomething(b *fhir.Bundle) bool {
	return strings.HasPrefix(b.First("MessageHeader").At("eventCoding.display").Text(), "REF^")
}

// answersSomething tells what the gateway sends: news, with the request that it is of.
func answersSomething(b *fhir.Bundle) bool {
	return b.First("Task").OK() && !b.First("Appointment").OK() && !strings.Contains(b.First("MessageHeader").At("eventCoding.display").Text(), "^")
}

func answersAdvice(b *fhir.Bundle) bool {
	said := b.First("Communication").Child("payload").OK() && !b.First("Specimen").OK() && !b.First("Appointment").OK()
	return said && b.First("ServiceRequest").At("category[0].coding[0].code").Text() == "request"
}

// TestElementsGoThroughHL7: over every shipped case, each element that a message carries comes back with its text.
// What does not is declared, with the reason, and nothing is declared in vain.
func TestElementsGoThroughHL7(t *testing.T) {
	t.Parallel()
	for _, th := range throughs {
		t.Run(th.form, func(t *testing.T) {
			used, cases := map[string]bool{}, 0
			for name, res := range bundles(t) {
				if th.takes(res.Bundle) {
					cases++
					th.goes(t, name, res, used)
				}
			}
			for _, l := range th.lost {
				if !used[l.path] {
					t.Errorf("%s comes back whole: take it from the list (%s)", l.path, l.why)
				}
			}
			if cases < 3 {
				t.Errorf("only %d cases", cases)
			}
		})
	}
}

// oddTexts are what the generator puts into texts of a Bundle: everything that means something in HL7 v2.
var oddTexts = []string{
	`| ^ ~ & \ and |^~\&`, `\T\ \F\ \.br\ \X0D\ \Zx\`, `""`, "Zoë – “quoted” 皮膚 𝒜", "MSH|^~&|", "<b>&amp;</b>", "a", "~", "7", "20261124", strings.Repeat("long ", 300) + "end", "C1^^", "\\",
}

// TestGeneratedTextsGoThroughHL7 is the same over the cases with odd texts in the place of theirs, from a fixed seed.
func TestGeneratedTextsGoThroughHL7(t *testing.T) {
	each := 12
	if testing.Short() {
		each = 2
	}
	for n, th := range throughs {
		t.Run(th.form, func(t *testing.T) {
			t.Parallel()
			th.lost = slices.Concat(th.lost, lostWhereTextsDiffer)
			random := rand.New(rand.NewPCG(4, uint64(n)))
			all := bundles(t)
			for range each {
				for _, name := range slices.Sorted(maps.Keys(all)) {
					if res := all[name]; th.takes(res.Bundle) {
						th.goes(t, name, &mapping.Result{Bundle: th.odd(t, random, res.Bundle), Files: res.Files}, map[string]bool{})
					}
				}
			}
		})
	}
}

// odd gives a copy of a Bundle with odd texts in some of its elements.
func (th *through) odd(t *testing.T, random *rand.Rand, b *fhir.Bundle) *fhir.Bundle {
	t.Helper()
	root, issues := fhir.Read(compact(t, b.Root), fhir.ReadOptions{NoJudge: true})
	if issues.Worst() != nil {
		t.Fatal(issues)
	}
	out := &fhir.Bundle{Root: root}
	var change func(e fhir.Element)
	change = func(e fhir.Element) {
		for c := range e.Children("") {
			if kind := c.Type().Name; (kind == "string" || kind == "markdown") && free(c) && random.IntN(4) == 0 {
				c.SetText(oddTexts[random.IntN(len(oddTexts))])
			}
			change(c)
		}
	}
	for r := range out.Resources() {
		if slices.Contains(th.resources, r.Type().Name) && !fhir.IsOriginal(r) && r.Type().Name != "RelatedPerson" { // whom a contact of the same name says again
			change(r)
		}
	}
	return out
}

// free tells a text of which nothing depends: a reference, an identifier's and a code are read for what they are.
func free(e fhir.Element) bool {
	for p := e; p.OK() && p.Type().Kind != fhir.Resource; p = p.Parent() {
		if slices.Contains([]string{"identifier", "extension", "coding", "assigner", "telecom", "output", "valueQuantity", "reference", "referenceRange"}, p.Name()) {
			return false
		}
	}
	return true
}

// goes sends a Bundle through the message, and notes which declarations it made use of.
func (th *through) goes(t *testing.T, name string, res *mapping.Result, used map[string]bool) {
	t.Helper()
	o := outOptions(t, th.form, res.Files)
	o.Version = "2.6" // has the most: AL1-6 is gone with 2.7
	m, _, err := written(t, res, o)
	if err != nil {
		t.Fatal(name, err)
	}
	back := translate(t, m, throughOptions(t))
	there := th.elements(back.Bundle)
	missing := map[string]string{}
	for e := range th.elements(res.Bundle) {
		if there[e] {
			continue
		}
		if l := th.declared(name, e.path); l != "" {
			used[l] = true
			continue
		}
		missing[e.path] = e.text
	}
	for _, path := range slices.Sorted(maps.Keys(missing)) {
		t.Errorf("%s: %s does not come back: %.100q", name, path, missing[path])
	}
	if t.Failed() && testing.Verbose() {
		t.Logf("%s", bytes.ReplaceAll(m.Bytes(), []byte("\r"), []byte("\n")))
	}
}

func throughOptions(t *testing.T) mapping.Options {
	o := options(t)
	o.Urgency = mapping.UrgencyRule{From: hl7.MustPath("RF1-2.4"), TwoWeekWait: []string{"TWO_WEEK_WAIT"}, Urgent: []string{"URGENT"}, Routine: []string{"ROUTINE"}}
	return o
}

// element is a value and where it stands, without indexes.
type element struct{ path, text string }

var index = regexp.MustCompile(`\[\d+\]`)

// elements gives the values of the resources that the message carries; of an answer's documents and photos, those that
// it names.
func (th *through) elements(b *fhir.Bundle) map[element]bool {
	out, named := map[element]bool{}, map[string]bool{}
	for c := range b.All("Communication") {
		for p := range c.Children("payload") {
			named[p.At("contentReference.reference").Text()] = true
		}
	}
	for r := range b.Resources() {
		kind := r.Type().Name
		file := kind == "DocumentReference" || kind == "Media" && !slices.Contains([]string{"REF_I12", "MDM_T02"}, th.form) // which take all photos
		if slices.Contains(th.resources, kind) && !fhir.IsOriginal(r) && (!file || named[r.Parent().Child("fullUrl").Text()]) {
			leaves(r, kind, out)
		}
	}
	return out
}

func leaves(e fhir.Element, path string, out map[element]bool) {
	for c := range e.Children("") {
		name := c.Name()
		if name == "id" || name == "meta" || name == "reference" {
			continue
		}
		p := path + "." + name
		if c.Type().Kind == fhir.Primitive {
			p = index.ReplaceAllString(p, "")
			if p != "Media.note.text" {
				out[element{p, c.Text()}] = true
				continue
			}
			for line := range strings.Lines(c.Text()) { // a line more comes back when the photo is derived: that it is
				out[element{p, strings.TrimSuffix(line, "\n")}] = true
			}
			continue
		}
		if url := c.Child("url"); name == "extension" && url.OK() {
			p += "(" + url.Text() + ")"
		}
		if c.Type().Name == "Attachment" {
			attached(c, index.ReplaceAllString(p, ""), out)
			continue
		}
		leaves(c, p, out)
	}
}

// attached gives what an Attachment says; its bytes by their hash, wherever they are.
func attached(att fhir.Element, path string, out map[element]bool) {
	out[element{path + ".contentType", att.Child("contentType").Text()}] = true
	if title := att.Child("title").Text(); title != "" {
		out[element{path + ".title", title}] = true
	}
	sum, named := strings.CutPrefix(att.Child("url").Text(), "urn:sha-256:")
	if data, err := base64.StdEncoding.DecodeString(att.Child("data").Text()); !named && err == nil && len(data) > 0 {
		hash := sha256.Sum256(data)
		sum = hex.EncodeToString(hash[:])
	}
	out[element{path + ".bytes", sum}] = true
}

// lostOfRequests do not come back from REF^I12.
var lostOfRequests = []lost{
	{`Condition\.code\.coding\..*`, "a third coding: CWE of 2.6 has two, of which the second has no version"},
	{`Condition\.note\.text`, "DG1-4 is withdrawn with 2.6, and told as not sent"},
	{`Condition\.extension\(.*diagnosis-type\)\.valueCodeableConcept\..*(display|system|text)`, "DG1-6 is a code alone"},
	{`.*\.identifier\.assigner\..*`, "EI and CX name one authority, which is the identifier's system"},
	{`.*\.identifier\.type\.text`, "PRD-7.2 is written from the system"},
	{`Media\.extension\(.*ed-source\)\..*`, "ED-1 is the gateway's own"},
	{`(Media|Observation|ServiceRequest)\.status`, "unknown has no code of its own in HL7 0085 and 0283"},
	{`Observation\.code\.(coding\.display|text)`, "the question whether advice may be converted has the gateway's own words"},
	{`Observation\.effectiveDateTime`, "of the same question, which is an element of the request"},
	{`Observation\.interpretation\.(coding\.(display|system)|text)`, "OBX-8 is a code alone before 2.7"},
	{`Organization\.name`, "of a place that no PRD names"},
	{`Patient\.address\.text`, "an address that has lines too"},
	{`Practitioner(Role)?\..*`, "people of OBR, ORC and AUT, who have no part by name; of PRT more than part, person and times"},
	{`ServiceRequest\.category\.(coding\.display|text)`, "a specialty's name, whose code is the performer type"},
	{`ServiceRequest\.identifier\.value`, "numbers of an order: the request has one placer number"},
	{`ServiceRequest\.note\.time`, "NTE has no time before 2.6"},
	{`ServiceRequest\.orderDetail\..*`, "OBR-4: the kind of request stands there"},
}

// lostWhereTextsDiffer are texts that say again what another one says, in every shipped case.
var lostWhereTextsDiffer = []lost{
	{`Consent\.(category|policyRule)\.text`, "the gateway's own code and words ask for consent, under the rule that it names"},
	{`Patient\.contact\.relationship\.text`, "of somebody who is a RelatedPerson, too: that one's goes out"},
	{`Media\.reasonCode\.(text|coding\.display)`, "OBX-3.2 has the title of the photo"},
}

// lostOfAnswers do not come back from RRI^I12.
var lostOfAnswers = []lost{
	{`DocumentReference\.content\.attachment\.title`, "OBX-3.2 has the display of the document's type"},
	{`Media\.note\.text`, "it comes back among the words of the answer (OBX PHOTONOTE): the NTEs that end an RRI are the answer, and would not be told apart"},
	{`Task\.executionPeriod\..*`, "when it was looked at, a result says (OBR-7 and 8)"},
	{`Patient\.communication\.language\.coding\.display`, "the words of a language are its text"},
	{`Patient\.name\.text`, "a name that has its parts too"},
	{`Practitioner\.(identifier|name)\..*`, "who wrote and who signed: NTE has no place for either before 2.6, a letter (MDM) has"},
	{`ServiceRequest\.category\..*`, "what kind of request it is, no answer says: the case knows"},
	{`ServiceRequest\.priority`, "comes home as it was sent, in the extension for RF1-2: an answer does not set a priority"},
	{`Task\.authoredOn`, "OBR-22 is the time of the words, when they have one"},
	{`Task\.(status|businessStatus\..*)`, "RF1-1 is never A for advice, and R says no more than its outcome"},
	{`Task\.output\.(type\.coding\..*|valueString)`, "a comment is a text of the answer when it comes back"},
}

// lostOfAdvice do not come back from ORU^R01.
var lostOfAdvice = []lost{
	{`DocumentReference\.content\.attachment\.title`, "OBX-3.2 has the display of the document's type"},
	{`Task\.authoredOn`, "OBR-22 is the time of the words, when they have one"},
	{`Task\.output\.(type\.coding\..*|valueString)`, "a comment is a text of the answer when it comes back"},
}

// moreSpeakers are the cases with people beside those of PRD.
var moreSpeakers = []string{"ref-many-people.txtar", "advice.txtar", "ref-authorised.txtar"}

// declared gives the pattern that a lost element is declared by, "" for none.
func (th *through) declared(name, path string) string {
	for _, l := range th.lost {
		if people := strings.HasPrefix(l.path, "Practitioner(Role)"); people && !slices.Contains(moreSpeakers, name) {
			continue
		}
		if regexp.MustCompile("^(" + l.path + ")$").MatchString(path) {
			return l.path
		}
	}
	return ""
}

// TestALetterComesBackWhole: MDM^T02 tells of an answer as a document. Every line of its text, its codes, the bytes of its
// files, who wrote it, and the numbers of its request are in the DocumentReference that it becomes, and its photos are Media.
func TestALetterComesBackWhole(t *testing.T) {
	letter := through{"MDM_T02", []string{"ServiceRequest", "Patient", "DocumentReference", "Media"}, answersSomething, lostOfAnswers}
	cases := 0
	for name, res := range bundles(t) {
		if !answersSomething(res.Bundle) {
			continue
		}
		cases++
		o := outOptions(t, "MDM_T02", res.Files)
		o.Version = "2.6"
		m, _, err := written(t, res, o)
		if err != nil {
			t.Fatal(name, err)
		}
		back := translate(t, m, throughOptions(t))
		for _, want := range saidBy(res.Bundle) {
			if !slices.Contains(linesOf(back), want) {
				t.Errorf("%s: %q is not in the letter", name, want)
			}
		}
		there := all(back.Bundle)
		for e := range letter.elements(res.Bundle) {
			switch {
			case strings.HasSuffix(e.path, ".bytes") && e.text != "", e.path == "ServiceRequest.identifier.value", e.path == "Media.note.text":
				if !slices.ContainsFunc(slices.Collect(maps.Keys(there)), func(o element) bool { return o.text == e.text }) {
					t.Errorf("%s: %s is nowhere: %s", name, e.path, e.text)
				}
			case strings.HasPrefix(e.path, "Patient.") && !there[e] && letter.declared(name, e.path) == "":
				t.Errorf("%s: %s does not come back: %q", name, e.path, e.text)
			}
		}
		author := res.Bundle.Resolve(res.Bundle.First("Communication").At("sender.reference").Text())
		if role := author.At("practitioner.reference").Text(); role != "" {
			author = res.Bundle.Resolve(role)
		}
		if family := author.At("name[0].family").Text(); family != "" && back.Bundle.Resolve(back.Bundle.First("DocumentReference").At("author[0].reference").Text()).At("name[0].family").Text() != family {
			t.Errorf("%s: the letter is not by who wrote it", name)
		}
	}
	if cases < 4 {
		t.Errorf("only %d cases", cases)
	}
}

// saidBy gives the lines and codes of an answer.
func saidBy(b *fhir.Bundle) (out []string) {
	for c := range b.All("Communication") {
		for p := range c.Children("payload") {
			out = append(out, strings.Split(p.Child("contentString").Text(), "\n")...)
		}
	}
	for o := range b.First("Task").Children("output") {
		out = append(out, strings.Split(o.Child("valueString").Text(), "\n")...)
	}
	return slices.DeleteFunc(out, func(line string) bool { return line == "" })
}

// linesOf gives the lines of the text files of a document.
func linesOf(res *mapping.Result) (out []string) {
	for _, f := range res.Files {
		if strings.HasPrefix(f.Element.At("content.attachment.contentType").Text(), "text/") || f.Facts.Type == image.Text {
			out = append(out, strings.Split(string(content(f)), "\n")...)
		}
	}
	return out
}

// all gives every value of a Bundle.
func all(b *fhir.Bundle) map[element]bool {
	out := map[element]bool{}
	for r := range b.Resources() {
		if !fhir.IsOriginal(r) {
			leaves(r, r.Type().Name, out)
		}
	}
	return out
}
