package mapping_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/maps"
)

var shipped = sync.OnceValues(func() (*mapping.Set, error) { return mapping.Load(maps.FS) })

func shippedSet(t testing.TB) *mapping.Set {
	t.Helper()
	s, err := shipped()
	if err != nil {
		t.Fatalf("shipped maps:\n%v", err)
	}
	return s
}

func london(t testing.TB) *time.Location {
	t.Helper()
	z, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// options are those of a practice whose RF1-3.1 tells advice (AG) from referral (DERM).
func options(t testing.TB) mapping.Options {
	t.Helper()
	return mapping.Options{
		Source: "emis", Zone: london(t),
		Kind:    mapping.KindRule{From: hl7.MustPath("RF1-3.1"), Advice: []string{"AG"}, Referral: []string{"DERM"}},
		Urgency: mapping.UrgencyRule{From: hl7.MustPath("RF1-2.1"), TwoWeekWait: []string{"2WW"}, Urgent: []string{"U"}, Routine: []string{"R"}},
	}
}

// photo gives one of the small JPEGs of the cases.
func photo(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "golden", name+".jpg"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// message reads a test message: lines end in CR, ${photo1} is a small JPEG in base64.
func message(t testing.TB, text string) *hl7.Message {
	t.Helper()
	m, err := hl7.Parse([]byte(strings.ReplaceAll(strings.TrimSpace(string(filled(t, text))), "\n", "\r")))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// filled puts the photos in their places.
func filled(t testing.TB, text string) []byte {
	t.Helper()
	for _, n := range []string{"photo1", "photo2", "photo3"} {
		if strings.Contains(text, "${"+n+"}") {
			text = strings.ReplaceAll(text, "${"+n+"}", base64.StdEncoding.EncodeToString(photo(t, n)))
		}
	}
	return []byte(text)
}

// translate gives the Bundle of a message, which must validate and account for every leaf.
func translate(t testing.TB, m *hl7.Message, o mapping.Options) *mapping.Result {
	t.Helper()
	res, err := shippedSet(t).ToFHIR(m, o)
	if err != nil {
		t.Fatal(err)
	}
	if issues := fhir.Validate(res.Bundle.Root); len(issues) > 0 {
		b, _ := fhir.AppendJSON(nil, res.Bundle.Root)
		t.Errorf("invalid Bundle:\n%v\n%s", issues, b)
	}
	if c := res.Leaves; c.Valued != c.Mapped+c.Ignored+c.Unmapped || c.Unmapped != len(res.Unmapped) {
		t.Errorf("leaves do not add up: %+v, %d unmapped listed", c, len(res.Unmapped))
	}
	return res
}

// issues gives "severity kind place" of each issue.
func issuesOf(res *mapping.Result) []string {
	var out []string
	for _, i := range res.Issues {
		out = append(out, i.Severity.String()+" "+string(i.Kind)+" "+i.Where)
	}
	return out
}

// advice is an A&G request with three photos, as a GP system sends it.
const advice = `MSH|^~\&|EMIS|Y06601|DERMGATE|RXX01|20261124101500||REF^I12^REF_I12|AG0001|P|2.4|||AL|NE|GBR|UNICODE UTF-8
RF1|P|R^Routine^HL70280|AG^Advice and Guidance^L|WR^Send written report^HL70282||REFAG0001^EMIS|20261124101500||20261124101500|D22.6^Melanocytic naevi of upper limb^I10
PRD|RP^Referring Provider^HL70286|Okafor^Ngozi^^^Dr|1 Lambeth Road^^London^^SE1 7AA^GBR||^WPN^PH^^^^^^^^^02079460001||G5612908^GMP|||LAMBETH ROAD SURGERY^^Y06601
PRD|RT^Referred to Provider^HL70286|||||||||ST ELSEWHERE DERMATOLOGY^^RXX01
PID|1||9990001014^^^NHS^NH~X123^^^RXX^MR||Testcase^Rosalind^Ann^^Ms^^L||19680412|2|||14 Sample Street^^London^^SE1 9ZZ^GBR^H||^PRN^PH^^^^^^^^^02079460123|||||||||||||||||||NSTS01
PD1|||LAMBETH ROAD SURGERY^^Y06601|G5612908^Okafor^Ngozi^^^Dr^^^GMC
DG1|1||400010006^Melanocytic naevus of skin^SCT||20261124|W
AL1|1|DA|387207008^Ibuprofen^SCT|MI|Rash|20200101
OBR|1|REFAG0001^EMIS||SKINLESION^Skin lesion^L|||20261124100000
NTE|1||First note
NTE|2||Second \T\ last
OBX|1|FT|QUESTION^Clinical question^L|L1|Changing mole, 7 mm\.br\Excise or watch?||||||F|||20261124101000
OBX|2|NM|DIAMETER^Diameter^L|L1|7|mm^millimetre^UCUM|||||F|||20261124101000
OBX|3|CE|PHOTOCONSENT^Consent for clinical photography^L||Y^Given^L||||||F|||20261124100200
OBX|4|ED|OVERVIEW^Overview photo^L|L1|EMIS^image^jpeg^Base64^${photo1}||||||F|||20261124100500||||||70559009^Skin of left forearm^SCT~7771000^Left^SCT
OBX|5|CE|CLOSEUP^Close-up photo^L|L1|^IM^JPEG^Base64^${photo2}||||||F|||20261124100520||||||70559009^Skin of left forearm^SCT
OBX|6||DERMOSCOPY^Dermoscopic photo^L|L1|${photo3}||||||F|||20261124100540
NTE|1||Patient is anxious about it.`
