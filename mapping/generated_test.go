package mapping_test

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
	"github.com/dermgate/dermgate/mapping/maps"
)

// values are what the generator writes into fields: whole and odd ones of every data type, and what is none.
var values = []string{
	"", `""`, "0", "-1", "007", "1e3", "3.14", ".5", "1,5", "1^2^3", "A", "Y", "N", "U", "9990001014", "999 000 1014", "9990001015",
	"20261124", "202611241015", "20261124101500.1234+0100", "20261025013000", "20260230", "00000000", "1890", "soon", "2026-11-24T10:15:00Z", "20261124101500^20261124", "101500",
	"44054006^Diabetes^SCT^E11^Type 2^I10^^^said so", "^only words", "X^^L^^^^^^", "a b^c d^e f", "M^Married^HL70002~S^Single^HL70002",
	"9990001014^^^NHS^NH~X123^^^RXX^MR~^^^&1.2.3&ISO", "1234567890^4^M10^^CHI", "G5612908^Okafor^Ngozi^^^Dr^^^GMP", "C1^Kaur&van&Kaur^S^^^Dr~^^^^", "Testcase^Rosalind^Ann^^Ms^^L~Other^^^^^^M",
	"1 Sample Street&Sample&1^Flat 2^London^^SE1 9ZZ^GBR^H~^^^^^^BDL", "^PRN^PH^^^^^^^^^02079460123~^NET^Internet^a@example.org", "+44 20 7946 0123", "NHS 111",
	"ST ELSEWHERE^L^RXX01^^^ODS^XX^^^RXX01", "WARD1^BAY^3^RXX01&1.2.3&ISO^^B", "ORD1^ICE^1.2.3^ISO", "EMIS^1.2.840^ISO", "7^mm^UCUM", ">^7", "<&=^5^-^6", "120-160", "P1D^Q6H^20261124^20261125^R",
	"^image^jpeg^Base64^/9j/2Q==", "EMIS^TEXT^plain^Base64^aGk=", "^application^pdf^Base64^JVBERi0=", "https://example.org/a^^image^jpeg", "^^^Base64^***", "data:image/png;base64,iVBORw0KGgo=",
	`a\.br\b`, `\T\\S\\R\\E\\F\`, `\X41\\X0D\`, `\H\bold\N\`, `\Zlocal\`, `broken \X4`, "<b>&amp;</b>", "naïve – “quotes” 皮膚", " padded ", "\tTab", "https://example.org/ with space", "urn:uuid:x", strings.Repeat("long ", 400),
	"~", "~~", "^", "^^^^", "&", "&&", "^&^&", "a~~b", "~a", "a&b&c^d&e~f",
}

// TestGeneratedMessages: whatever a message of a supported event holds, its Bundle passes google/fhir and our validator,
// every leaf is accounted for, and the same message gives the same bytes. The generator changes messages of the cases,
// field by field and segment by segment, from a fixed seed.
func TestGeneratedMessages(t *testing.T) {
	t.Parallel()
	seeds, each := seedMessages(t), 12
	if testing.Short() {
		each = 2
	}
	events := supported(t)
	for n, event := range events {
		code, trigger, _ := strings.Cut(event, "^")
		of := seeds[code]
		if len(of) == 0 {
			t.Errorf("no case to begin %s with", event)
			continue
		}
		random := rand.New(rand.NewPCG(26, uint64(n)))
		for range each {
			text := mutated(random, of[random.IntN(len(of))], code+"^"+trigger)
			holds(t, event, text)
		}
	}
	t.Logf("%d events, %d messages each", len(events), each)
}

// holds checks the property of one message.
func holds(t *testing.T, event, text string) {
	t.Helper()
	m, err := hl7.Parse([]byte(text))
	if err != nil {
		return // mapping/hl7 tests what it refuses
	}
	var first []byte
	for range 2 {
		res, err := shippedSet(t).ToFHIR(m, options(t))
		if err != nil {
			if issue.From(err).Kind == issue.Internal {
				t.Errorf("%s: %v\n%q", event, err, text)
			}
			return
		}
		if l := fhir.Validate(res.Bundle.Root); len(l) > 0 {
			t.Errorf("%s: invalid: %v\n%q", event, l, text)
		}
		b := compact(t, res.Bundle.Root)
		if c := res.Leaves; c.Valued != c.Mapped+c.Ignored+c.Unmapped || c.Unmapped != len(res.Unmapped) {
			t.Errorf("%s: the leaves do not add up: %+v\n%q", event, c, text)
		}
		for _, i := range res.Issues {
			if i.Kind == issue.Internal {
				t.Errorf("%s: %v\n%q", event, i, text)
			}
		}
		res.Release()
		if first == nil {
			first = b
			unmarked(t, b)
			if _, l := fhir.Read(b, fhir.ReadOptions{}); len(l) > 0 { // the reader asks google/fhir, too
				t.Errorf("%s: refused when read back: %v\n%q", event, l, text)
			}
		} else if !bytes.Equal(first, b) {
			t.Errorf("%s: the same message gave other bytes\n%q", event, text)
		}
	}
}

// supported lists the events that the shipped maps take.
func supported(t *testing.T) []string {
	t.Helper()
	var out []string
	form := regexp.MustCompile(`(?m)^for: \[(.*)\]`)
	err := fs.WalkDir(maps.FS, "messages", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(maps.FS, name)
		if found := form.FindSubmatch(b); found != nil {
			out = append(out, strings.Split(strings.ReplaceAll(string(found[1]), " ", ""), ",")...)
		}
		return err
	})
	if err != nil || len(out) < 20 {
		t.Fatalf("%d events: %v", len(out), err)
	}
	slices.Sort(out)
	return out
}

// seedMessages gives the messages of the cases by their message code.
func seedMessages(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(strings.TrimSpace(string(part(a, "in.hl7"))), "\n", "\r")
		m, err := hl7.Parse([]byte(text))
		if err != nil {
			continue // a case of FHIR
		}
		code, _, _ := m.Type()
		out[code] = append(out[code], text)
	}
	out["MCF"] = out["ACK"]
	return out
}

// mutated changes some fields and segments of a message, and makes it one of an event.
func mutated(random *rand.Rand, text, event string) string {
	segments := strings.Split(text, "\r")
	header := strings.Split(segments[0], "|")
	for len(header) < 9 {
		header = append(header, "")
	}
	header[8] = event
	segments[0] = strings.Join(header, "|")
	for range 1 + random.IntN(8) {
		i := random.IntN(len(segments))
		switch random.IntN(8) {
		case 0: // one that is missing
			if i > 0 {
				segments = slices.Delete(segments, i, i+1)
			}
		case 1: // one that stands twice
			if i > 0 {
				segments = slices.Insert(segments, i, segments[i])
			}
		case 2: // one in another's place
			if j := random.IntN(len(segments)); i > 0 && j > 0 {
				segments[i], segments[j] = segments[j], segments[i]
			}
		default:
			segments[i] = changedField(random, segments[i], i == 0)
		}
	}
	return strings.Join(segments, "\r")
}

// changedField changes one field of a segment: another value, one more repetition, other components, or none.
func changedField(random *rand.Rand, segment string, header bool) string {
	fields := strings.Split(segment, "|")
	n := 1 + random.IntN(len(fields)+2)
	if header && (n < 2 || n == 8) { // the delimiters, and what the message is
		return segment
	}
	for len(fields) <= n {
		fields = append(fields, "")
	}
	value := values[random.IntN(len(values))]
	switch random.IntN(5) {
	case 0:
		fields[n] += "~" + value
	case 1:
		parts := strings.Split(fields[n], "^")
		parts[random.IntN(len(parts))] = strings.Trim(value, "~")
		fields[n] = strings.Join(parts, "^")
	case 2:
		fields[n] = ""
	default:
		fields[n] = value
	}
	return strings.Join(fields, "|")
}
