package letter

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// everything is a request with one of each clinical resource and value, and words where no heading looks for them.
const everything = `{"resourceType":"Bundle","type":"message","timestamp":"2026-03-01T09:00:00Z","entry":[
 {"fullUrl":"urn:uuid:1","resource":{"resourceType":"ServiceRequest","status":"active","intent":"order","priority":"routine","authoredOn":"2026-03-01","subject":{"reference":"urn:uuid:2"},
  "requester":{"reference":"urn:uuid:3"},"code":{"coding":[{"code":"advice-and-guidance"}]},"reasonCode":[{"coding":[{"code":"1","display":"Rash"}]}],"note":[{"text":"What is it?\nIt itches."}],"patientInstruction":"Bring your creams."}},
 {"fullUrl":"urn:uuid:2","resource":{"resourceType":"Patient","identifier":[{"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990548609"}],"name":[{"text":"Zoë Testpatient"}],"address":[{"text":"1 Example Street"}],"telecom":[{"value":"0113 496 0000"}],"communication":[{"language":{"text":"Welsh"}}],
  "generalPractitioner":[{"display":"The Surgery","identifier":{"value":"Y06601"}}]}},
 {"fullUrl":"urn:uuid:3","resource":{"resourceType":"Practitioner","name":[{"family":"Example","given":["Ann","B"]}]}},
 {"fullUrl":"urn:uuid:4","resource":{"resourceType":"Condition","subject":{"reference":"urn:uuid:2"},"code":{"text":"Psoriasis"},"bodySite":[{"text":"elbow"}],"onsetDateTime":"2020","note":[{"text":"Since childhood"}]}},
 {"fullUrl":"urn:uuid:5","resource":{"resourceType":"Observation","status":"final","code":{"text":"Itch"},"valueString":"line one\nline two","note":[{"text":"worse at night"}]}},
 {"fullUrl":"urn:uuid:6","resource":{"resourceType":"Observation","status":"final","code":{"text":"Bleeds"},"valueBoolean":true,"interpretation":[{"text":"abnormal"}]}},
 {"fullUrl":"urn:uuid:7","resource":{"resourceType":"Observation","status":"final","code":{"text":"Skin type"},"valueCodeableConcept":{"text":"III"},"bodySite":{"text":"arm"}}},
 {"fullUrl":"urn:uuid:8","resource":{"resourceType":"Observation","status":"final","code":{"text":"Size"},"valueRange":{"low":{"value":3,"unit":"mm"},"high":{"value":5,"code":"mm"}},"component":[{"code":{"text":"Width"},"valueQuantity":{"comparator":"<","value":4,"unit":"mm"}}]}},
 {"fullUrl":"urn:uuid:9","resource":{"resourceType":"Observation","status":"final","code":{"text":"Seen"},"valuePeriod":{"start":"2026-01","end":"2026-02"}}},
 {"fullUrl":"urn:uuid:10","resource":{"resourceType":"Observation","status":"final","code":{"text":"Titre"},"valueRatio":{"numerator":{"value":1},"denominator":{"value":128}}}},
 {"fullUrl":"urn:uuid:11","resource":{"resourceType":"Procedure","status":"completed","subject":{"reference":"urn:uuid:2"},"code":{"text":"Biopsy"},"performedDateTime":"2025-12-01"}},
 {"fullUrl":"urn:uuid:12","resource":{"resourceType":"AllergyIntolerance","patient":{"reference":"urn:uuid:2"},"code":{"text":"Penicillin"},"criticality":"high","reaction":[{"manifestation":[{"text":"Hives"}],"description":"at once"}]}},
 {"fullUrl":"urn:uuid:13","resource":{"resourceType":"MedicationStatement","status":"active","subject":{"reference":"urn:uuid:2"},"medicationCodeableConcept":{"text":"Methotrexate 10 mg weekly"},"dosage":[{"text":"on Mondays"}]}},
 {"fullUrl":"urn:uuid:15","resource":{"resourceType":"FamilyMemberHistory","status":"completed","patient":{"reference":"urn:uuid:2"},"relationship":{"text":"mother"},"condition":[{"code":{"text":"melanoma"}}]}},
 {"fullUrl":"urn:uuid:16","resource":{"resourceType":"QuestionnaireResponse","status":"completed","item":[{"linkId":"1","text":"Immunosuppressed","answer":[{"valueBoolean":false}]},{"linkId":"2","text":"Who took it","answer":[{"valueCoding":{"code":"n","display":"nurse"}}]}]}},
 {"fullUrl":"urn:uuid:17","resource":{"resourceType":"ClinicalImpression","status":"completed","subject":{"reference":"urn:uuid:2"},"summary":"Probably guttate."}},
 {"fullUrl":"urn:uuid:14","resource":{"resourceType":"DocumentReference","status":"current","type":{"text":"Histology report"},"description":"from 2025","content":[{"attachment":{"title":"report.pdf"}}]}}]}`

func bundle(t testing.TB, text string) *fhir.Bundle {
	t.Helper()
	root, issues := fhir.Read([]byte(text), fhir.ReadOptions{NoJudge: true})
	if issues.Worst() != nil {
		t.Fatal(issues)
	}
	return &fhir.Bundle{Root: root}
}

// saying gives a request whose note and patient's name are these.
func saying(t testing.TB, name, note string) *fhir.Bundle {
	t.Helper()
	quoted := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	return bundle(t, `{"resourceType":"Bundle","type":"message","entry":[
 {"fullUrl":"urn:uuid:1","resource":{"resourceType":"ServiceRequest","status":"active","intent":"order","subject":{"reference":"urn:uuid:2"},"note":[{"text":`+quoted(note)+`}]}},
 {"fullUrl":"urn:uuid:2","resource":{"resourceType":"Patient","identifier":[{"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990548609"}],"name":[{"text":`+quoted(name)+`}]}}]}`)
}

func pdf(t testing.TB, b *fhir.Bundle) []byte {
	t.Helper()
	out, err := PDF(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var footer = regexp.MustCompile(`^(Page \d+ of \d+|NHS number: [\d ]+   .*)$`)

// read gives the text of a PDF as poppler reads it, a page each, without what stands at its foot.
func read(t testing.TB, file []byte) (pages []string, feet int) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "letter.pdf")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("pdftotext", "-enc", "UTF-8", name, "-").Output()
	if err != nil {
		t.Fatalf("pdftotext (Debian: poppler-utils): %v", err)
	}
	for _, page := range strings.Split(strings.TrimSuffix(string(out), "\f"), "\f") {
		var body []string
		for _, l := range strings.Split(page, "\n") {
			if footer.MatchString(strings.TrimSpace(l)) || strings.HasPrefix(l, "NHS number: 999 054 8609 ") {
				feet++
			} else {
				body = append(body, l)
			}
		}
		pages = append(pages, strings.Join(body, "\n"))
	}
	return pages, feet
}

// solid leaves out what wrapping and reading may change: spaces, and how letters join.
func solid(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, norm.NFKC.String(s))
}

func TestTheLetterSaysEverything(t *testing.T) {
	b := bundle(t, everything)
	got := Text(b) + "\n"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile("testdata/letter.txt", []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/letter.txt")
	if err != nil || got != string(want) {
		t.Errorf("the letter changed (UPDATE=1 accepts it): %v\n%s", err, got)
	}
	question, attached := Question(b, 8000)
	if attached || strings.Contains(question, "Testpatient") || !strings.Contains(question, "It itches.") {
		t.Errorf("the question:\n%s", question)
	}
	pages, _ := read(t, pdf(t, b))
	text := solid(strings.Join(pages, ""))
	for _, s := range sections(b, false) {
		for _, l := range append([]string{s.heading}, s.lines...) {
			if !strings.Contains(text, solid(l)) {
				t.Errorf("the PDF does not say %q", l)
			}
		}
	}
}

// Every word that anybody wrote in a request is in the letter, wherever it stands.
func TestNoWordOfARequestIsLeftOut(t *testing.T) {
	b := bundle(t, everything)
	text := solid(Text(b))
	for r := range b.Resources() {
		for w := range unsaid(r) {
			if !strings.Contains(text, solid(w)) {
				t.Errorf("%s: %q is left out", r.Type().Name, w)
			}
		}
	}
}

func TestTheSameRequestGivesTheSameBytes(t *testing.T) {
	first := pdf(t, bundle(t, everything))
	for range 3 {
		if !bytes.Equal(pdf(t, bundle(t, everything)), first) {
			t.Fatal("other bytes")
		}
	}
	if bytes.Equal(pdf(t, saying(t, "A", "x")), pdf(t, saying(t, "A", "y"))) {
		t.Error("another request gives the same letter")
	}
}

func TestNamesOfManyLanguages(t *testing.T) {
	for language, name := range map[string]string{
		"Welsh": "Siân Llŷr Ŵyn-Ŷstum", "Welsh, decomposed": "Sia\u0302n W\u0302yn", "Polish": "Łucja Żółć Święcicka", "Turkish": "Ayşe Gürğıoğlu İ",
		"Vietnamese": "Nguyễn Thị Hằng", "Greek": "Ωμέγα Άννα", "Russian": "Щукина Юлия", "Ukrainian": "Ґалаґан Їжак", "Romanian": "Ștefan Țurcanu", "Icelandic": "Þórður Æsa",
	} {
		pages, _ := read(t, pdf(t, saying(t, name, "x")))
		if got := solid(strings.Join(pages, "")); !strings.Contains(got, solid(name)) || strings.Contains(got, "[U+") {
			t.Errorf("%s: %s is not in %s", language, name, pages)
		}
	}
	// What is set from right to left is read back in the order of its letters by poppler.
	for language, name := range map[string]string{"Arabic": "محمد علاء", "Persian": "پژمان", "Urdu": "ثنا گل", "Hebrew": "שרה לוי"} {
		file := pdf(t, saying(t, name, "x"))
		pages, _ := read(t, file)
		got := solid(strings.Join(pages, ""))
		if strings.Contains(got, "[U+") {
			t.Errorf("%s: %s has letters that do not print: %s", language, name, pages)
		}
		for _, word := range strings.Fields(name) {
			if w := solid(word); !strings.Contains(got, w) && !strings.Contains(got, backwards(w)) {
				t.Errorf("%s: %s is not in %s", language, word, pages)
			}
		}
	}
}

func backwards(s string) string {
	r := []rune(s)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return string(r)
}

func TestArabicLettersJoin(t *testing.T) {
	for text, want := range map[string]string{
		"محمد":     "\uFEE3\uFEA4\uFEE4\uFEAA", // initial meem, medial hah, medial meem, final dal
		"لا":       "\uFEFB",                   // the ligature
		"سلام":     "\uFEB3\uFEFC\uFEE1",       // initial seen, final lam-alef, isolated meem
		"دار":      "\uFEA9\uFE8D\uFEAD",       // letters that do not join onward stand alone
		"abc":      "abc",
		"م\u200Cم": "\uFEE1\uFEE1", // kept apart
	} {
		if got := shaped(text); got != want {
			t.Errorf("%s: %U, want %U", text, []rune(got), []rune(want))
		}
	}
	for text, want := range map[string]string{
		"Name: שרה":          "Name: הרש",
		"שרה לוי":            "יול הרש",
		"ab שרה 12 לוי cd":   "ab יול 12 הרש cd",
		"(שרה)":              "(הרש)",
		"no change here, 12": "no change here, 12",
	} {
		if got, _ := visual(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if _, right := visual("שרה 12"); !right {
		t.Error("a paragraph of Hebrew stands at the left")
	}
}

func TestWhatTheFontHasNotIsNamed(t *testing.T) {
	pages, _ := read(t, pdf(t, saying(t, "王 \U0001F600", "a\u0007b\u0000\uFFFF c\u00ADd")))
	if got := strings.Join(pages, ""); !strings.Contains(got, "[U+738B] [U+1F600]") || !strings.Contains(got, "a[U+0007]b") || !strings.Contains(got, "cd") {
		t.Errorf("%s", got)
	}
}

func TestLongTextsGoOverPages(t *testing.T) {
	var note strings.Builder
	for i := range 400 {
		note.WriteString("Sentence " + strconv.Itoa(i) + " of a long history, which goes on for more than one line of the page it is printed on, as they do.\n")
	}
	note.WriteString(strings.Repeat("W", 5000) + "END")
	b := saying(t, "Zoë Testpatient", note.String())
	pages, feet := read(t, pdf(t, b))
	if len(pages) < 10 || feet != 2*len(pages) {
		t.Errorf("%d pages, %d feet", len(pages), feet)
	}
	if got, want := solid(strings.Join(pages, "")), solid(note.String()); !strings.Contains(got, want) {
		t.Error("something of it is not there")
	}
}

func TestAHeadingStandsOverItsText(t *testing.T) {
	d := newDrawing(date(saying(t, "A", "x")))
	for n := range 60 {
		b := saying(t, "A", strings.Repeat("line\n", n)+"last")
		all := d.lay("Referral letter", append(sections(b, false), section{"Attachments", []string{"one"}}))
		count := 0
		for _, page := range paginate(all) {
			count += len(page)
			if page[len(page)-1].keep {
				t.Errorf("%d lines: a heading at the foot of a page", n)
			}
		}
		if count != len(all) {
			t.Errorf("%d lines: %d of %d are on pages", n, count, len(all))
		}
	}
}

func TestTheQuestionThatIsTooLong(t *testing.T) {
	long := strings.Repeat("é", 7000)
	b := bundle(t, strings.Replace(strings.Replace(everything, "Since childhood", long, 1), "worse at night", strings.Repeat("ü", 4000), 1))
	text, attached := Question(b, 8000)
	if n := len([]rune(text)); !attached || n > 8000 {
		t.Fatalf("%d characters, attached %v", n, attached)
	}
	if !strings.Contains(text, "- Diagnoses") && !strings.Contains(text, "- Examination findings") || strings.Contains(text, "ü") == strings.Contains(text, long) ||
		!strings.Contains(text, "What is it?\nIt itches.") || !strings.Contains(text, Name) {
		t.Errorf("%.600s", text)
	}
	pages, _ := read(t, pdf(t, b))
	if got := solid(strings.Join(pages, "")); !strings.Contains(got, long) || !strings.Contains(got, strings.Repeat("ü", 4000)) {
		t.Error("the letter is cut")
	}
	if text, attached := Question(saying(t, "A", strings.Repeat("x", 9000)), 8000); !attached || !strings.Contains(text, "- Clinical summary") || strings.Contains(text, "xxx") {
		t.Errorf("%s", text)
	}
}

// Whatever characters a request has: a letter, the same one each time, that says the ones the font has and names the others.
func TestOddCharacters(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	spans := []*unicode.RangeTable{unicode.Latin, unicode.Arabic, unicode.Hebrew, unicode.Mn, unicode.Cc, unicode.Cf, unicode.Sm, unicode.Han, unicode.Cyrillic, unicode.Zs, unicode.Co}
	for range 12 {
		var text []rune
		for range 200 {
			table := spans[random.IntN(len(spans))]
			if len(table.R16) == 0 {
				continue
			}
			r := table.R16[random.IntN(len(table.R16))]
			text = append(text, rune(r.Lo)+rune(random.IntN(int(r.Hi-r.Lo)+1)))
		}
		odd(t, string(text))
	}
}

func FuzzPDF(f *testing.F) {
	for _, s := range []string{"", "a", "\x00", "محمد 12 (abc)", "\u200f\u202e", "\U0001F468\u200d\U0001F469", "[U+0041]", "a\\(b)\r\nc\td", strings.Repeat("x", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { odd(t, strings.ToValidUTF8(s, "\uFFFD")) })
}

func odd(t *testing.T, s string) {
	t.Helper()
	if s == "" {
		return // FHIR has no empty values
	}
	b := saying(t, s, s)
	first := pdf(t, b)
	if !bytes.HasPrefix(first, []byte("%PDF-")) || !bytes.Contains(first[len(first)-16:], []byte("%%EOF")) || !bytes.Equal(first, pdf(t, b)) {
		t.Fatalf("%q: no PDF, or another one", s)
	}
	d := newDrawing(date(b))
	var rows strings.Builder
	for _, l := range strings.Split(s, "\n") {
		for _, row := range d.wrap(printable(l), typeSize) {
			rows.WriteString(row)
			if d.wide(row, typeSize) > width && len([]rune(row)) > 1 {
				t.Fatalf("%q: a line wider than the page", row)
			}
		}
	}
	want := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, printable(strings.ReplaceAll(s, "\n", " ")))
	if got := strings.ReplaceAll(rows.String(), " ", ""); got != want {
		t.Fatalf("%q: %q of %q is laid out", s, got, want)
	}
}
