package hl7

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/mapping/issue"
)

const header = "MSH|^~\\&|A|B|C|D|20260105||ADT^A28|1|P|2.4"

// mustParse parses or ends the test.
func mustParse(t testing.TB, s string) *Message {
	t.Helper()
	m, err := Parse([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestParseSplitsSegmentsAtAnyTerminator(t *testing.T) {
	for name, end := range map[string]string{"CR": "\r", "LF": "\n", "CRLF": "\r\n", "mixed": "\n\r", "blank lines": "\r\r\n \t\r"} {
		t.Run(name, func(t *testing.T) {
			in := header + end + "PID|1" + end + "OBX|1" + end + "OBX|2"
			m := mustParse(t, in)
			if m.Segments() != 4 {
				t.Fatalf("got %d segments, want 4", m.Segments())
			}
			if s := m.Segment(3); s.Name() != "OBX" || s.Occurrence() != 2 || s.Index() != 3 || string(s.Raw()) != "OBX|2" {
				t.Errorf("last segment is %s[%d] %q", s.Name(), s.Occurrence(), s.Raw())
			}
			if got := m.AppendEncoded(nil); string(got) != in || string(m.Bytes()) != in {
				t.Errorf("round trip gave %q", got)
			}
		})
	}
}

func TestParseToleratesWhatFilesAddAroundMessages(t *testing.T) {
	for name, in := range map[string]string{
		"BOM":         "\xef\xbb\xbf" + header + "\rPID|1\r",
		"MLLP frame":  "\x0b" + header + "\rPID|1\r\x1c\r",
		"FS at end":   header + "\rPID|1\x1c\r",
		"blank start": "\r\n \r\n" + header + "\rPID|1",
		"NUL at end":  header + "\rPID|1\r\x00",
	} {
		t.Run(name, func(t *testing.T) {
			m := mustParse(t, in)
			if got := m.Get(MustPath("PID-1")).Text(); got != "1" || m.Segments() != 2 {
				t.Errorf("PID-1 is %q in %d segments", got, m.Segments())
			}
			if got := m.AppendEncoded(nil); string(got) != in {
				t.Errorf("round trip gave %q", got)
			}
		})
	}
}

func TestParseRefusesWithAPlace(t *testing.T) {
	tests := []struct{ name, in, where, text string }{
		{"empty", "", "MSH", "empty"},
		{"blank", " \r\n", "MSH", "empty"},
		{"JSON", `{"resourceType":"Bundle"}`, "MSH", "JSON"},
		{"XML", "<Bundle/>", "MSH", "XML"},
		{"UTF-16", "\xff\xfeM\x00S\x00H\x00", "MSH", "UTF-16"},
		{"HTTP", "GET / HTTP/1.1\r\n", "MSH", "HTTP"},
		{"TLS", "\x16\x03\x01\x02", "MSH", "TLS"},
		{"gzip", "\x1f\x8b\x08", "MSH", "gzip"},
		{"text", "hello", "MSH", "other bytes"},
		{"no header first", "PID|1\r" + header, "MSH", "other bytes"},
		{"batch", "FHS|^~\\&\r" + header, "FHS", "batch"},
		{"cut after MSH", "MSH", "MSH-2", "cut off"},
		{"cut after MSH-1", "MSH|", "MSH-2", "cut off"},
		{"no encoding characters", "MSH||A|B", "MSH-2", "no encoding"},
		{"letter separates", "MSHA^~\\&ABC", "MSH-1", "separator"},
		{"encoding character twice", "MSH|^^\\&|A", "MSH-2", "character 2"},
		{"encoding character is a letter", "MSH|^a\\&|A", "MSH-2", "character 2"},
		{"six encoding characters", "MSH|^~\\&#$|A", "MSH-2", "more than five"},
		{"two messages", header + "\rPID|1\r" + header + "\rPID|2", "MSH[2]", "two messages"},
		{"long segment name", header + "\rPIDX|1\r", "segment 2", "not a segment"},
		{"short segment name after OBX", header + "\rOBX|1\rPV|1\r", "segment 3", "not a segment"},
		{"long segment name after OBX", header + "\rOBX|1\rPIDX|1\r", "segment 3", "not a segment"},
		{"lower case", header + "\rpid|1\r", "segment 2", "not a segment"},
		{"cut inside a name", header + "\rPID|1\rOB", "segment 3", "cut off"},
		{"broken line outside text", header + "\rPID|1|abc\rdef|x", "segment 3", "not a segment"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := Parse([]byte(tt.in))
			var i *issue.Issue
			if m != nil || !errors.As(err, &i) {
				t.Fatalf("got %v, %v; want an issue", m, err)
			}
			if i.Kind != issue.Structure || i.Where != tt.where || !strings.Contains(i.Text, tt.text) {
				t.Errorf("got %s %q at %q", i.Kind, i.Text, i.Where)
			}
		})
	}
}

func TestLineBreaksInsideTextAndPayloadsBelongToTheirSegment(t *testing.T) {
	in := header + "\rOBX|1|ED|X||^IM^JPEG^Base64^QUJD\r\nREVGR0hJSktMTU5P\r\nUFFSU1Q=||||||F\rNTE|1||first line\nsecond line, still text\rPV1|1"
	m := mustParse(t, in)
	if m.Segments() != 4 {
		t.Fatalf("got %d segments, want 4", m.Segments())
	}
	if got := m.Get(MustPath("OBX-5.5")).Text(); got != "QUJD\r\nREVGR0hJSktMTU5P\r\nUFFSU1Q=" {
		t.Errorf("payload is %q", got)
	}
	if got := m.Get(MustPath("OBX-11")).Text(); got != "F" {
		t.Errorf("OBX-11 after the payload is %q", got)
	}
	if got := m.AppendEncoded(nil); string(got) != in {
		t.Errorf("round trip gave %q", got)
	}
	var wrapped []string
	for _, i := range m.Check() {
		if i.Kind == issue.Structure && i.Severity == issue.Warning {
			wrapped = append(wrapped, i.Where)
		}
	}
	if strings.Join(wrapped, " ") != "OBX NTE" {
		t.Errorf("wrapped segments reported: %v", wrapped)
	}
}

func TestPresenceKeepsFourCasesApart(t *testing.T) {
	m := mustParse(t, header+"\rPID|1||\"\"|^^&|x^\"\"|~\r")
	tests := map[string]Presence{
		"PID-1": Present, "PID-2": Empty, "PID-3": Null, "PID-4": Empty, "PID-5": Present, "PID-5.2": Null,
		"PID-6": Empty, "PID-6[2]": Empty, "PID-6[3]": Absent, "PID-7": Absent, "PID-5.3": Absent, "PID-1.2": Absent,
		"PID-1.1.1": Present, "PID-1.1.2": Absent, "ZZZ-1": Absent, "PID[2]-1": Absent, "MSH-2": Present, "MSH-2.2": Absent,
	}
	for path, want := range tests {
		v := m.Get(MustPath(path))
		if got := v.Presence(); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
		if (v.Raw() == nil) != (want == Absent) || v.Valued() != (want == Present) {
			t.Errorf("%s: Raw and Valued disagree with %v", path, want)
		}
	}
}

func TestGetReadsPlaces(t *testing.T) {
	m := mustParse(t, header+"\rPID|1||9990548609^^^NHS&2.16.840&ISO^NH~LOC1^^^EMIS^PI||Van der Berg&Van^Alice\rOBX|1|ST\rOBX|2|ED|||a~b^c\rZRF1|x|y")
	tests := map[string]string{
		"MSH-1": "|", "MSH-2": "^~\\&", "MSH-3": "A", "MSH-9.2": "A28", "MSH-12": "2.4",
		"PID-3": "9990548609^^^NHS&2.16.840&ISO^NH~LOC1^^^EMIS^PI", "PID-3[2]": "LOC1^^^EMIS^PI",
		"PID-3.1": "9990548609", "PID-3[2].1": "LOC1", "PID-3.4.2": "2.16.840", "PID-3.4": "NHS&2.16.840&ISO",
		"PID-5.1.1": "Van der Berg", "PID-5.2": "Alice", "OBX-2": "ST", "OBX[2]-2": "ED", "OBX[2]-5[2].2": "c",
		"OBX[2]-5.1": "a", "OBX[3]-2": "", "ZRF1-2": "y",
	}
	for path, want := range tests {
		if got := m.Get(MustPath(path)).Text(); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if v := m.Get(MustPath("PID-3")); v.Repetitions() != 2 || v.Components() != 5 || v.Repetition(2).Component(4).Text() != "EMIS" {
		t.Errorf("PID-3: %d repetitions, %d components", v.Repetitions(), v.Components())
	}
	if v := m.Get(MustPath("PID-3.4")); v.Subcomponents() != 3 || v.Subcomponent(3).Text() != "ISO" || v.Component(1) != v {
		t.Errorf("PID-3.4: %d sub-components", v.Subcomponents())
	}
	if v := m.Get(MustPath("PID-5.2")); string(m.Bytes()[v.Offset():v.Offset()+5]) != "Alice" {
		t.Errorf("PID-5.2 is not at offset %d", v.Offset())
	}
	code, trigger, structure := m.Type()
	if code != "ADT" || trigger != "A28" || structure != "" || string(m.ControlID()) != "1" || m.Version() != "2.4" {
		t.Errorf("header read as %s %s %s %s %s", code, trigger, structure, m.ControlID(), m.Version())
	}
	if n := m.Segment(0).Fields(); n != 12 {
		t.Errorf("MSH has %d fields, want 12", n)
	}
	if m.Count("OBX") != 2 || m.Count("ZRF1") != 1 || m.Count("ZRF") != 0 || m.Count("") != 0 {
		t.Error("Count is wrong")
	}
}

func TestDelimitersComeFromTheMessage(t *testing.T) {
	m := mustParse(t, "MSH#!@%*$#A#B#C#D#2026##ADT!A28#7#P#2.7\rPID#1##1!!!MRN@2!!!X##DOE*VAN!%F%%S%%T%%R%%E%%P%")
	want := Delimiters{Field: '#', Component: '!', Repetition: '@', Escape: '%', Subcomponent: '*', Truncation: '$'}
	if m.Delimiters() != want {
		t.Errorf("delimiters are %+v", m.Delimiters())
	}
	if got := m.Get(MustPath("PID-3[2].4")).Text() + m.Get(MustPath("PID-5.1.2")).Text(); got != "XVAN" {
		t.Errorf("read %q", got)
	}
	if got := m.Get(MustPath("PID-5.2")).Text(); got != "#!*@%$" {
		t.Errorf("escapes read as %q", got)
	}
	one := mustParse(t, "MSH|^|A\rPID|a~b&c\\d\x00e")
	if v := one.Get(MustPath("PID-1")); v.Repetitions() != 1 || v.Subcomponents() != 1 || v.Text() != "a~b&c\\d\x00e" {
		t.Errorf("undeclared delimiters split %q", v.Text())
	}
}

func TestLeavesGiveCanonicalPathsOfEverythingValued(t *testing.T) {
	m := mustParse(t, "MSH|^~\\&|A\rPID|||1^^^NHS&2.16~2||\"\"|\rOBX|1\rOBX|2||||^IM^JPEG")
	var got []string
	for p, v := range m.Leaves() {
		got = append(got, p.String()+"="+v.Text())
		if m.Get(p) != v {
			t.Errorf("Get(%s) is another value", p)
		}
		if again, err := ParsePath(p.String()); err != nil || again != p {
			t.Errorf("%s does not read back", p)
		}
	}
	want := `MSH-1[1].1=| MSH-2[1].1=^~\& MSH-3[1].1=A PID-3[1].1=1 PID-3[1].4.1=NHS PID-3[1].4.2=2.16 PID-3[2].1=2 ` +
		`PID-5[1].1="" OBX-1[1].1=1 OBX[2]-1[1].1=2 OBX[2]-5[1].2=IM OBX[2]-5[1].3=JPEG`
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	n := 0
	for range m.Leaves() {
		if n++; n == 5 {
			break
		}
	}
	if n != 5 {
		t.Errorf("walk stopped after %d leaves", n)
	}
}

// TestCorpus reads real messages of other projects: every one either parses, and then goes round without
// losing a byte and reads the same by path and by walk, or is refused at the place that is wrong with it.
func TestCorpus(t *testing.T) {
	refused := map[string]string{
		"rethinkhealth-invalid-segment-header-length.hl7": "segment 2", // PIDX|
		"node-hl7-client-hl7.sanity.test__02.hl7":         "MSH[2]",
		"lenaten-go-epic-oru-r01.hl7":                     "segment 5", // a line that starts with a separator
	}
	files, err := filepath.Glob("testdata/corpus/*.hl7")
	if err != nil || len(files) < 15 {
		t.Fatalf("corpus: %d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m, err := Parse(b)
			if where, bad := refused[filepath.Base(file)]; bad {
				if err == nil || issue.From(err).Where != where {
					t.Fatalf("got %v, want a refusal at %s", err, where)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(m.AppendEncoded(nil), b) {
				t.Error("re-encoding changed bytes")
			}
			leaves := 0
			for p, v := range m.Leaves() {
				leaves++
				if m.Get(p) != v {
					t.Errorf("%s read by path differs", p)
				}
			}
			if e := m.Explain(); !e.RoundTrip || len(e.Fields) != leaves || leaves < 10 {
				t.Errorf("explanation: round trip %v, %d of %d leaves", e.RoundTrip, len(e.Fields), leaves)
			}
		})
	}
}

func TestExplainREF(t *testing.T) {
	b, err := os.ReadFile("testdata/corpus/ms-fhir-converter-REF-I12-02.hl7")
	if err != nil {
		t.Fatal(err)
	}
	e := mustParse(t, string(b)).Explain()
	if e.Type != "REF^I12" || e.Version != "2.8" || e.Charset != "" || !e.RoundTrip || e.Issues == nil {
		t.Errorf("got %s %s %q %v", e.Type, e.Version, e.Charset, e.RoundTrip)
	}
	values := map[string]string{}
	for _, f := range e.Fields {
		values[f.Path] = f.Value
	}
	for path, want := range map[string]string{
		"RF1-6[1].1": "226839", "OBX[2]-5[1].5": "VGhpcyBpcyBhIEJhc2U2NCBzdHJpbmc=", "PRD[2]-1[1].1": "RT", "PID-3[2].1": "123456789",
	} {
		if values[path] != want {
			t.Errorf("%s is %q, want %q", path, values[path], want)
		}
	}
}

func TestCheck(t *testing.T) {
	tests := map[string]string{
		"MSH|^~\\&|A|B|C|D|1||ADT^A28|1|P|2.4\rPID|1":         "",
		"MSH|^~\\&|A|B|C|D|1|||1|P|2.4\rPID|1":                "required MSH-9",
		"MSH|^~\\&|A|B|C|D|1||ADT^A28||P|2.4\rPID|1":          "required MSH-10",
		"MSH|^~\\&|A|B|C|D|1||ADT^A28|\"\"|P|2.4\rPID|1":      "required MSH-10",
		"MSH|^~\\&|A|B|C|D|1||ADT^A28|1|P|2.4":                "structure MSH",
		"MSH|^~\\&|A|B|C|D|1||ADT^A28|1|X|2.4\rPID|1":         "unsupported-processing MSH-11",
		"MSH|^~\\&|A|B|C|D|1||ADT^A28|1|P|3.0\rPID|1":         "unsupported-version MSH-12",
		"MSH|^~\\&|A|B|C|D|1||ADT^A28|1|P|2.4\rPID|a\x1cb":    "structure PID",
		"MSH|^~\\&|A|B|C|D|1||ADT^A28|1|P|2.4\rPID|a\x0bMSH|": "structure PID",
	}
	for in, want := range tests {
		var got []string
		for _, i := range mustParse(t, in).Check() {
			got = append(got, string(i.Kind)+" "+i.Where)
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%q: got %q, want %q", in, s, want)
		}
	}
}

// TestHostileMessagesAreLinear holds the parser to time that grows with the bytes: each of these takes
// minutes with any step that is quadratic in segments, fields, components or repetitions.
func TestHostileMessagesAreLinear(t *testing.T) {
	names := func() string {
		var b strings.Builder
		b.WriteString(header)
		for i := range 200_000 {
			b.WriteString("\r" + string([]byte{'A' + byte(i%26), 'A' + byte(i/26%26), 'A' + byte(i/676%26)}) + "|1")
		}
		return strings.ReplaceAll(b.String(), "\rMSH|", "\rMSX|")
	}
	for name, in := range map[string]string{
		"200,000 segments":            header + strings.Repeat("\rOBX|1|ST|X||y", 200_000),
		"200,000 segments, all names": names(),
		"700,000 components":          header + "\rPID|" + strings.Repeat("a^", 700_000),
		"100,000 repetitions":         header + "\rPID|" + strings.Repeat("a~", 100_000),
		"700,000 sub-components":      header + "\rPID|" + strings.Repeat("a&", 700_000),
		"700,000 fields":              header + "\rPID" + strings.Repeat("|a", 700_000),
		"1,000,000 escape characters": header + "\rPID|" + strings.Repeat("\\", 1_000_000),
		"1,000,000 half escapes":      header + "\rPID|" + strings.Repeat("\\Z", 500_000),
		"500,000 wrapped lines":       header + "\rOBX|1" + strings.Repeat("\rabcd", 500_000),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			m := mustParse(t, in)
			bytesRead, buf := 0, []byte(nil)
			for _, v := range m.Leaves() {
				buf = v.AppendText(buf[:0])
				bytesRead += len(buf)
			}
			m.Groups()
			m.Check()
			if !bytes.Equal(m.AppendEncoded(nil), m.Bytes()) || bytesRead == 0 {
				t.Error("re-encoding changed bytes")
			}
			if d := time.Since(start); d > 20*time.Second { // 0.3 s on an idle machine; the race detector on a busy one takes 40 times that
				t.Errorf("took %v", d)
			}
		})
	}
}

func TestResetReusesMemoryAndForgetsTheLastMessage(t *testing.T) {
	m := mustParse(t, adt)
	p, in := MustPath("PID-5.1"), []byte(adt)
	if n := testing.AllocsPerRun(100, func() {
		if m.Reset(in) != nil || !m.Get(p).Valued() {
			t.Fatal("not read")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	m.Groups()
	if err := m.Reset([]byte(header + "\rNTE|1")); err != nil || m.Segments() != 2 || m.Get(p).Presence() != Absent || m.Owner(1) != 0 {
		t.Errorf("after Reset: %v, %d segments, owner %d", err, m.Segments(), m.Owner(1))
	}
	if err := m.Reset([]byte(header + "\rx")); err == nil || m.Segments() != 0 || m.Bytes() != nil {
		t.Error("a refused message left something behind")
	}
}

func TestZeroValuesAreSafe(t *testing.T) {
	var v Value
	var s Segment
	n := 0
	for range v.EachRepetition() {
		n++
	}
	for range s.All() {
		n++
	}
	for range s.Leaves() {
		n++
	}
	if n != 0 || v.Text() != "" || v.Repetition(1) != v || v.Components() != 0 || len(v.AppendText(nil)) != 0 ||
		s.OK() || s.Name() != "" || s.Field(1) != v || s.Fields() != 0 || s.Occurrence() != 0 || s.Raw() != nil || s.Path(1) != (Path{}) ||
		(Path{}).String() != "" || (Path{}).Segment() != "" {
		t.Error("a zero value is not empty")
	}
	if got := (&Message{}).Segment(0); got.OK() {
		t.Error("an empty message has a segment")
	}
}
