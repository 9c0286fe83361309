package mapping_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// names are a name in each character set of mapping/hl7, and what writes it in the set's bytes.
var names = map[string]struct {
	name string
	in   encoding.Encoding
}{
	"ASCII":          {"Rosalind", encoding.Nop},
	"UNICODE UTF-8":  {"Zoë 皮膚 𝒜", encoding.Nop},
	"8859/1":         {"Zoë Ærø", charmap.ISO8859_1},
	"8859/2":         {"Łukasz Žižka", charmap.ISO8859_2},
	"8859/3":         {"Ġorġ Ħal", charmap.ISO8859_3},
	"8859/4":         {"Ķēniņš", charmap.ISO8859_4},
	"8859/5":         {"Наташа", charmap.ISO8859_5},
	"8859/6":         {"ليلى", charmap.ISO8859_6},
	"8859/7":         {"Ελένη", charmap.ISO8859_7},
	"8859/8":         {"שרה", charmap.ISO8859_8},
	"8859/9":         {"Gülşah", charmap.ISO8859_9},
	"8859/10":        {"Þórunn Ŋ", charmap.ISO8859_10},
	"8859/11":        {"สมหญิง", charmap.Windows874},
	"8859/13":        {"Žemaitė", charmap.ISO8859_13},
	"8859/14":        {"Siân Ŵyn", charmap.ISO8859_14},
	"8859/15":        {"Œdipe €", charmap.ISO8859_15},
	"CP1252":         {"O’Brien – Œ", charmap.Windows1252},
	"SHIFT-JIS":      {"表 花子", japanese.ShiftJIS}, // its first character has a \ for second byte
	"ISO IR87":       {"花子", japanese.ISO2022JP},
	"GB 18030-2000":  {"李娜", simplifiedchinese.GB18030},
	"BIG-5":          {"功 美玲", traditionalchinese.Big5}, // a \ again
	"KS X 1001":      {"지은", korean.EUCKR},
	"UNICODE UTF-16": {"Zoë 皮膚", unicode.UTF16(unicode.BigEndian, unicode.UseBOM)},
	"UNICODE UTF-32": {"Zoë 皮膚", utf32.UTF32(utf32.LittleEndian, utf32.UseBOM)},
}

// of gives the advice request of a patient with a given name, in a character set.
func of(t *testing.T, in encoding.Encoding, set, given string) []byte {
	t.Helper()
	text := strings.Replace(advice, "UNICODE UTF-8", set, 1)
	text = strings.ReplaceAll(strings.Replace(text, "Testcase^Rosalind", "Testcase^"+given, 1), "\n", "\r")
	b, err := in.NewEncoder().Bytes(filled(t, text))
	if err != nil {
		t.Fatal(set, err)
	}
	return b
}

// TestEveryCharacterSetThereAndBack: a name arrives in FHIR as it was meant, whatever set it came in, and goes out in every
// set that has its letters; one that lacks them is refused, and no letter is replaced.
func TestEveryCharacterSetThereAndBack(t *testing.T) {
	plain, transcoded := hl7.CharsetNames()
	for _, set := range slices.Concat(plain, transcoded) {
		c, ok := names[set]
		if !ok {
			t.Errorf("%s: no name to try it with", set)
			continue
		}
		m, err := hl7.ParseIn(of(t, c.in, set, c.name), set)
		if err != nil {
			t.Errorf("%s: %v", set, err)
			continue
		}
		res := translate(t, m, options(t))
		if worst := res.Issues.Worst(); worst != nil {
			t.Errorf("%s: %v", set, worst)
		}
		if got := res.Bundle.First("Patient").At("name.given[0]").Text(); got != c.name {
			t.Errorf("%s: %q came in as %q", set, c.name, got)
		}
		for _, out := range plain {
			writesIn(t, res, c.name, out)
		}
		if _, _, err := shippedSet(t).ToHL7(res.Bundle, outIn(t, res, "SHIFT-JIS")); err == nil {
			t.Error("a set that is not written was")
		}
	}
}

func outIn(t *testing.T, res *mapping.Result, set string) mapping.Out {
	o := outOptions(t, "REF_I12", res.Files)
	o.Charset = set
	return o
}

// writesIn writes a request in a set and reads it back.
func writesIn(t *testing.T, res *mapping.Result, name, set string) {
	t.Helper()
	_, inSet := names[set].in.NewEncoder().String(name)
	has := inSet == nil
	switch set {
	case "UNICODE UTF-8":
		has = true
	case "ASCII":
		has = strings.IndexFunc(name, func(r rune) bool { return r > 127 }) < 0
	}
	out, _, err := shippedSet(t).ToHL7(res.Bundle, outIn(t, res, set))
	if !has {
		if i := issue.From(err); err == nil || i.Kind != issue.Value || !strings.HasPrefix(i.Where, "PID-5") {
			t.Errorf("%q in %s: %v, want a refusal at PID-5", name, set, err)
		}
		return
	}
	if err != nil {
		t.Errorf("%q in %s: %v", name, set, err)
		return
	}
	b, err := out.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	m, err := hl7.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if l := m.CheckCharset(); len(l) > 0 {
		t.Errorf("%q in %s: %v", name, set, l)
	}
	if got := m.Get(hl7.MustPath("PID-5.2")).Text(); got != name || m.Get(hl7.MustPath("MSH-18")).Text() != set {
		t.Errorf("%q in %s reads as %q of %q", name, set, got, m.Get(hl7.MustPath("MSH-18")).Text())
	}
}

// TestWindowsBytesUnderAnotherName: the apostrophe of CP1252, sent as 8859/1 or UTF-8 as so many systems do, is read where
// the source is known to send CP1252, with a warning; from any other it is an error at its place, and no letter is made up.
func TestWindowsBytesUnderAnotherName(t *testing.T) {
	for _, set := range []string{"8859/1", "UNICODE UTF-8", "ASCII", ""} {
		raw := of(t, charmap.Windows1252, set, "O’Brien")
		if !bytes.Contains(raw, []byte("O\x92Brien")) {
			t.Fatal("no byte 0x92 in it")
		}
		m, err := hl7.ParseIn(raw, "CP1252")
		if err != nil {
			t.Fatal(err)
		}
		o := options(t)
		o.Charset = "CP1252"
		res := translate(t, m, o)
		if got := res.Bundle.First("Patient").At("name.given[0]").Text(); got != "O’Brien" || res.Issues.Worst() != nil || !slices.Contains(issuesOf(res), map[bool]string{true: "warning required MSH-18", false: "warning value MSH-18"}[set == ""]) {
			t.Errorf("%q, known as CP1252: %q, %v", set, got, issuesOf(res))
		}
		if m, err = hl7.Parse(raw); err != nil {
			t.Fatal(err)
		}
		res = translate(t, m, options(t))
		if got := issuesOf(res); !slices.Contains(got, "error value PID-5[1].2") {
			t.Errorf("%q, of nobody known: %q, %v", set, res.Bundle.First("Patient").At("name.given[0]").Text(), got)
		}
	}
}

// TestAnAnswerGoesOutInTheReceiversSet: clinical text with a letter that the set lacks is refused, never sent with another.
func TestAnAnswerGoesOutInTheReceiversSet(t *testing.T) {
	res := translate(t, with(t, "Second \\T\\ last", "≥ 7 mm – naïve"), options(t))
	for set, want := range map[string]string{"UNICODE UTF-8": "", "8859/1": "NTE-3", "CP1252": "NTE-3", "ASCII": "NTE-3"} {
		o := outIn(t, res, set)
		o.At = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
		_, _, err := shippedSet(t).ToHL7(&fhir.Bundle{Root: res.Bundle.Root}, o)
		if i := issue.From(err); (err == nil) != (want == "") || err != nil && !strings.HasPrefix(i.Where, want) {
			t.Errorf("%s: %v", set, err)
		}
	}
}
