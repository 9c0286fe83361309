package hl7

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/mapping/issue"
)

func TestShapes(t *testing.T) {
	for _, tt := range []struct {
		datatype  string
		good, bad string // values apart by |
	}{
		{"NM", "0|12|-1.5|+.5|7.|00012", "x|1e3|<5|1,5|+|.|1.2.3| 1|12 |\\T\\"},
		{"SI", "0|1|0012", "-1|1.0|x"},
		{"SNM", "0113|+44113", "+|0113 4|x"},
		{"DT", "2026|202602|20260228|20240229|20000229", "26|2026022|20260230|20261301|20260100|19000229|2026-01-05|00000000|20260105101500|202601 "},
		{"TM", "10|1015|101500|101500.1234|101500+0100|10-0500", "1|24|1060|101560|101500.|10:15|101500+01|101500+2400|101500Z|+0100"},
		{"DTM", "2026|202601|20260105|2026010510|202601051015|20260105101500|20260105101500.123|20260105101500+0000|2026-0500", "2026010|20260105101|20260105T101500|20260105 101500|2026010524|20260105101500.1x|202601051015001|202601+01"},
		{"ID", "F|UNICODE UTF-8|8859/1", " F|F |Ä|\\T\\|\x01"},
		{"ST", "anything <at> all", ""},
		{"varies", "x", ""},
	} {
		s := shapeOf(tt.datatype)
		for good := range strings.SplitSeq(tt.good, "|") {
			if !s.fits([]byte(good), '\\') {
				t.Errorf("%s: %q is refused", tt.datatype, good)
			}
		}
		for bad := range strings.SplitSeq(tt.bad, "|") {
			if bad != "" && s.fits([]byte(bad), '\\') {
				t.Errorf("%s: %q is taken", tt.datatype, bad)
			}
		}
	}
}

// TestFindings: one message a fault, and what is found with everything looked for. The places are exact, the
// texts hold nothing of the value.
func TestFindings(t *testing.T) {
	const start = "MSH|^~\\&|A|B|C|D|20260105||"
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", start + "ADT^A28^ADT_A05|1|P|2.4\rEVN|A28|20260105\rPID|1||9990548609^^^NHS^NH||SMITH^ANN||19700101|F\rPV1|1|O", ""},
		{"null everywhere", start + "ADT^A28^ADT_A05|1|P|2.4\rEVN|A28|\"\"\rPID|\"\"||\"\"||\"\"||\"\"|\"\"\rPV1|\"\"|\"\"", ""},
		{"date", "EVN|A28|2026-01-05", "value EVN-2"},
		{"number in an observation", "OBX|1|NM|X||<5||||||F", "value OBX-5[1]"},
		{"second observation, second repetition", "OBX|1|NM|X||5||||||F\rOBX|2|NM|X||5~x||||||F", "value OBX[2]-5[2]"},
		{"structured number is no NM", "OBX|1|SN|X||<^5||||||F", ""},
		{"component of an observation's type", "OBX|1|CE|X||a^b^c^d^e^f^g^h^i^j^k^l^m^n^o^p^q^r^s^t^u^v^w^x||||||F", "value OBX-5[1].7"},
		{"a delimiter not escaped", "OBX|1|ST|X||5 & 6^7||||||F", "value OBX-5[1].2"},
		{"a sub-component not escaped", "PID|1||1||SMITH^ANN & BOB", "value PID-5[1].2.2"},
		{"TS of old versions", "PID|1||1||S||19700101^D", ""},
		{"OBX-2 missing", "OBX|1||X||5||||||F", "required OBX-2"},
		{"OBX-2 of no type", "OBX|1|QQ|X||5||||||F", "code OBX-2"},
		{"a field that does not repeat", "PID|1||1||S||1970~1971", "value PID-7[2]"},
		{"a field too many", "EVN|A28|20260105|||||x|y", "value EVN-8"},
		{"a component too many", "PID|1||1^^^^^^^^^^^^^x||S", "value PID-3[1].14"},
		{"empty beyond the standard", "EVN|A28|20260105|||||^^|||", ""},
		{"required", "PID|1\rOBX|1|ST||", "required PID-3,required PID-5,required OBX-3,required OBX-11"},
		{"required component", "PID|1||^^^NHS~2||S", "required PID-3[1].1"},
		{"table", "OBX|1|ST|X||5||||||Q", "code OBX-11"},
		{"table of a component", "PID|1||1||S^A^^^^^CURRENT", "code PID-5[1].7,too-long PID-5[1].7"},
		{"length of a component", "PID|1||1||S^" + strings.Repeat("A", 31), "too-long PID-5[1].2"},
		{"length of a field", "MSA|AA|" + strings.Repeat("1", 200), "too-long MSA-2"},
		{"length in characters", "PID|1||1||S^" + strings.Repeat("ä", 30), ""},
		{"length without escapes", "PID|1||1||S^" + strings.Repeat("\\T\\", 30), ""},
		{"a payload is as long as it is", "OBX|1|ED|X||^IM^JPEG^Base64^" + strings.Repeat("ABCD", 50000) + "||||||F", ""},
		{"site's own segment", "ZRF|1|x^y~z|&", ""},
	} {
		text := tt.text
		p := everything
		if !strings.HasPrefix(text, "MSH") {
			text, p.Structure = start+"SIU^S12|1|P|2.4\r"+text, Off
		}
		m := mustParse(t, text)
		var got []string
		for _, i := range m.Validate(&p) {
			got = append(got, string(i.Kind)+" "+i.Where)
			if i.Severity != issue.Warning {
				t.Errorf("%s: %s is %s", tt.name, i, i.Severity)
			}
		}
		slices.Sort(got)
		want := strings.Split(tt.want, ",")
		slices.Sort(want)
		if s := strings.Join(got, ","); s != strings.Join(want, ",") {
			t.Errorf("%s\n got %s\nwant %s", tt.name, s, tt.want)
		}
	}
}

// TestLevels: each level looks for its own findings and nothing else, and says how bad they are.
func TestLevels(t *testing.T) {
	text := "MSH|^~\\&|A|B|C|D|20260105||ADT^A28|1|P|2.4\rEVN|A28|tomorrow\rPID|1||1||S^" + strings.Repeat("secret", 9) +
		"^^^^^CUR\rPV1|1|\rTXA|1|AR"
	m := mustParse(t, text)
	for _, tt := range []struct {
		set  func(*Profile) *Level
		want string
	}{
		{func(p *Profile) *Level { return &p.Structure }, "structure TXA: not expected after PV1 in ADT_A05"},
		{func(p *Profile) *Level { return &p.Datatype }, "value EVN-2: not a time stamp (DTM): want YYYY[MM[DD[HH[MM[SS[.SSSS]]]]]][+/-ZZZZ]"},
		{func(p *Profile) *Level { return &p.Table }, "code PID-5[1].7: not a value of table 0200"},
		{func(p *Profile) *Level { return &p.Length }, "too-long PID-5[1].2: longer than 30 characters"},
		{func(p *Profile) *Level { return &p.Required }, "required PV1-2: required, and without a value\nrequired TXA-12: required, and without a value\nrequired TXA-17: required, and without a value"},
	} {
		for level, severity := range map[Level]issue.Severity{Warn: issue.Warning, Reject: issue.Error} {
			var p Profile
			*tt.set(&p) = level
			var got []string
			for _, i := range m.Validate(&p) {
				got = append(got, string(i.Kind)+" "+i.Error())
				if i.Severity != severity {
					t.Errorf("%s: %s, want %s", i, i.Severity, severity)
				}
			}
			if s := strings.Join(got, "\n"); s != tt.want {
				t.Errorf("got %s\nwant %s", s, tt.want)
			}
		}
	}
	if l := m.Validate(&Profile{}); l != nil {
		t.Errorf("nothing looked for: %v", l)
	}
	if l := m.Validate(nil); l != nil {
		t.Errorf("no profile: %v", l)
	}
}

// TestSitesOwnTablesAndLengths stand in place of the standard's; a user table is judged only where listed.
func TestSitesOwnTablesAndLengths(t *testing.T) {
	m := mustParse(t, "MSH|^~\\&|A|B|C|D|20260105||SIU^S12|1|P|2.4\rPID|1||1||SMITH^"+strings.Repeat("A", 35)+"~JONES||19700101|X^^HL70001\rPV1|1|O\rOBX|1|ST|X||5||||||Q\rZAB|abc~abcdef")
	find := func(p Profile) string { return m.Validate(&p).Error() }
	if got := find(Profile{Table: Warn}); got != "OBX-11: not a value of table 0085" {
		t.Error(got)
	}
	own := Profile{Table: Warn, Tables: map[string][]string{"0001": {"1", "2"}, "0004": {"O"}, "0085": {"Q"}}}
	if got := find(own); got != "PID-8.1: not a value of table 0001" {
		t.Error(got)
	}
	if got := find(Profile{Length: Warn}); got != "PID-5[1].2: longer than 30 characters" {
		t.Error(got)
	}
	limits := Profile{Length: Warn, Lengths: []Limit{{MustPath("PID-5.2"), 40}, {MustPath("PID-5.1"), 4}, {MustPath("ZAB-1"), 5}}}
	if got := find(limits); got != "PID-5.1: longer than 4 characters\nPID-5[2].1: longer than 4 characters\nZAB-1[2]: longer than 5 characters" {
		t.Error(got)
	}
	for number, want := range map[string]bool{"0001": true, "0085": true, "0300": true, "9999": false, "": false} {
		if CodedTable(number) != want {
			t.Errorf("table %q: coded %v", number, !want)
		}
	}
}

// TestUnknownMessageType is one warning, whatever the level: its segments are judged all the same.
func TestUnknownMessageType(t *testing.T) {
	m := message(t, "DFT^P03", "MSH SCH PID")
	l := m.Validate(&Profile{Structure: Reject})
	if len(l) != 1 || l[0].Severity != issue.Warning || l[0].Where != "MSH-9" {
		t.Errorf("%v", l)
	}
	if l := m.Validate(&Profile{Required: Reject}); l.Worst() == nil || l.Worst().Where != "SCH-6" && l.Worst().Where != "PID-3" {
		t.Errorf("%v", l)
	}
}

// TestFindingsAreBounded: a sender that does everything differently gets 50 and the number of the rest, which
// is as severe as the worst of them.
func TestFindingsAreBounded(t *testing.T) {
	text := "MSH|^~\\&|A|B|C|D|20260105||SIU^S12|1|P|2.4\r" + strings.Repeat("EVN|A28|x\r", 60) + "OBX|1|ST|X||5"
	l := mustParse(t, text).Validate(&Profile{Datatype: Warn, Required: Reject})
	if len(l) != maxFindings+1 || l[maxFindings].Text != "11 more findings, not listed" || l.Worst() != l[maxFindings] {
		t.Errorf("%d findings, the last %v", len(l), l[len(l)-1])
	}
}

// TestCorpusIsJudged: every message of the corpus and of the demo is judged without panic, its places are
// paths, and no text holds a value; the messages of the demo, which are in order, have no findings.
func TestCorpusIsJudged(t *testing.T) {
	corpus, _ := filepath.Glob("testdata/corpus/*.hl7")
	demo, _ := filepath.Glob("../../fixtures/messages/*.hl7")
	if len(corpus) < 10 || len(demo) < 2 {
		t.Fatalf("%d and %d messages", len(corpus), len(demo))
	}
	for _, file := range append(corpus, demo...) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Parse(b)
		if err != nil {
			continue
		}
		l := m.Validate(&everything)
		for _, i := range l {
			if _, err := ParsePath(i.Where); err != nil && i.Where != "" {
				t.Errorf("%s: %q is no path", file, i.Where)
			}
		}
		if slices.Contains(demo, file) && len(l) > 0 {
			t.Errorf("%s\n%v", file, l)
		}
		for i := range m.Groups() {
			if o := m.Owner(i); o >= i {
				t.Errorf("%s: segment %d belongs to %d", file, i, o)
			}
		}
	}
}
