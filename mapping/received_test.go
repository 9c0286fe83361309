package mapping_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/fixtures/corpus"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// homecoming are requests whose identifiers and providers are written in ways that a mapping could spoil: each
// is the advice request with parts replaced.
var homecoming = map[string][]string{
	"delimiters of its own": {`MSH|^~\&|`, `MSH|!~\&|`, "^", "!"},
	"ISO 8859-1":            {"UNICODE UTF-8", "8859/1", "Okafor", "Okaf\xf6r", "LAMBETH ROAD SURGERY^^Y06601", "L\xc4MBETH^^Y06601"},
	"escapes":               {"Okafor", `O\T\Kafor \X41\ \Zlocal\ \H\b\N\`, "REFAG0001^EMIS", `REF\S\1\R\2^E\F\MIS`},
	"degree, place, contact": {"Dr|1 Lambeth Road", "Dr^MBBS^L|1 Lambeth Road", "||^WPN^PH^^^^^^^^^02079460001|",
		"|^^^LAMBETH&1&ISO^^^^^Room 4|^WPN^PH^^^^^^^^^02079460001|EM^Email^HL70185"},
	"third component only": {"||REFAG0001^EMIS|20261124101500|", "||^^REFAG0001|20261124101500|"},
	"version 2.3":          {"|2.4|", "|2.3|", "REF^I12^REF_I12", "REF^I12"},
	"RF1 after PID":        {"REFAG0001^EMIS", "REFAG0001^EMIS^2.999.1^ISO"},
	"five providers": {"PID|1|", "PRD|PP^Primary^HL70286|Amara^Chi^^^Dr^^L~Amara^C|||||G7654321^GMP~C7654321^GMC~Y06602^ODS|||SECOND SURGERY^^Y06602\n" +
		"PRD|CP^Consulting^HL70286|Lee^Min\nPRD|RT~CP|Roe^Jo|\"\"\nPID|1|"},
	"check digit and dates": {"9990001014^^^NHS^NH~X123^^^RXX^MR", "9990001014^4^M11^NHS&2.16.840.1.113883.2.1.4.1&ISO^NH^RXX01&Elsewhere&L^20200101^20301231~^^^RXX^MR~X123^^^RXX&x^MR"},
	"Z segment, identifiers elsewhere": {"||9990001014^^^NHS^NH", "|OLD1^^^RXX^PI|9990001014^^^NHS^NH", "DG1|1|", "ZRF|1|x\nDG1|1|",
		"||Testcase", "|ALT1|Testcase"},
}

func TestReferralsComeHome(t *testing.T) {
	checked := 0
	for _, name := range slices.Sorted(maps.Keys(homecoming)) {
		text := strings.NewReplacer(homecoming[name]...).Replace(advice)
		if text == advice {
			t.Errorf("%s: nothing was replaced", name)
		}
		if name == "RF1 after PID" {
			lines := strings.Split(text, "\n")
			lines[1], lines[4] = lines[4], lines[1]
			text = strings.Join(lines, "\n")
		}
		comesHome(t, name, message(t, text), options(t))
		checked++
	}
	for name, raw := range corpus.HL7v2() {
		m, err := hl7.ParseIn(raw, "8859/1")
		if err != nil {
			continue
		}
		if code, trigger, _ := m.Type(); code != "REF" || trigger == "I15" {
			continue
		}
		comesHome(t, name, m, corpusOptions(t))
		checked++
	}
	if checked < 14 {
		t.Errorf("only %d requests", checked)
	}
}

// comesHome answers a request and compares what its sender knows it by, leaf by leaf.
func comesHome(t *testing.T, name string, in *hl7.Message, o mapping.Options) {
	t.Helper()
	res, err := shippedSet(t).ToFHIR(in, o)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	answered(t, res, answer{status: "TRIAGED_PROVIDER_TO_ACTION", outcome: "ACCEPT_REFER_BOOK_LATER", text: "Accepted."})
	to := outOptions(t, "RRI_I12", res.Files)
	to.Received, to.Charset = in, in.Charset()
	w, issues, err := shippedSet(t).ToHL7(res.Bundle, to)
	if err != nil {
		t.Errorf("%s: %v %v", name, err, issues)
		return
	}
	b, err := w.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	back, err := hl7.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := text(back, "MSA-2"), text(in, "MSH-10"); got != want {
		t.Errorf("%s: MSA-2 is %q, MSH-10 was %q", name, got, want)
	}
	sent, home := known(in), known(back)
	for _, path := range slices.Sorted(maps.Keys(sent)) {
		if home[path] != sent[path] {
			t.Errorf("%s: %s is %q, was %q", name, path, home[path], sent[path])
		}
	}
	for path := range home {
		if _, ok := sent[path]; !ok {
			t.Errorf("%s: %s is new", name, path)
		}
	}
	if len(sent) < 5 {
		t.Errorf("%s: only %d values to compare", name, len(sent))
	}
}

// knownBy are the places a sender knows its request by.
var knownBy = regexp.MustCompile(`^(PRD.*|(PID-3|RF1-6)([.\[].*)?)$`)

// known gives the valued leaves of RF1-6, PID-3 and every PRD by path.
func known(m *hl7.Message) map[string]string {
	out := map[string]string{}
	for p, v := range m.Leaves() {
		if v.Valued() && knownBy.MatchString(p.String()) {
			out[p.String()] = v.Text()
		}
	}
	return out
}
