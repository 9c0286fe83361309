package hl7

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/dermgate/dermgate/mapping/issue"
)

// mustParseIn parses in a declared set or ends the test.
func mustParseIn(t testing.TB, s, declared string) *Message {
	t.Helper()
	m, err := ParseIn([]byte(s), declared)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// inUTF16 writes text as UTF-16.
func inUTF16(text string, little, mark bool) string {
	var out []byte
	if mark {
		text = "\ufeff" + text
	}
	for _, u := range utf16.Encode([]rune(text)) {
		if hi, lo := byte(u>>8), byte(u); little {
			out = append(out, lo, hi)
		} else {
			out = append(out, hi, lo)
		}
	}
	return string(out)
}

// inUTF32 writes text as UTF-32, big end first.
func inUTF32(text string) string {
	var out []byte
	for _, r := range text {
		out = append(out, byte(r>>24), byte(r>>16), byte(r>>8), byte(r))
	}
	return string(out)
}

// TestADeclaredSetIsTranscodedBeforeTheMessageIsSplit: names whose bytes hold | \ ^ ~ & read whole, in their
// own field, and the answer comes back in the sender's set.
func TestADeclaredSetIsTranscodedBeforeTheMessageIsSplit(t *testing.T) {
	for _, tt := range []struct{ declared, named, raw, text string }{
		{"SHIFT-JIS", "SHIFT-JIS", "\x83\x7c\x95\x5c", "ポ表"}, // trail bytes | and \
		{"SHIFT-JIS", "", "\x83\x5c", "ソ"},
		{"Windows-31J", "Shift_JIS", "\x95\x5e", "豹"}, // trail byte ^
		{"ISO IR87", "~ISO IR6~ISO IR14~ISO IR87", "\x1b$B;3ED\x1b(B", "山田"},
		{"ISO IR87", "ISO IR87", "\x1b$B!|!\"\x1b(B", "●、"}, // a | inside
		{"ISO IR87", "ASCII~ISO IR87", "\x1b$BEDCf\x1b(B", "田中"},
		{"GB 18030-2000", "GB18030", "\x81\x7c\xd6\xd0\x81\x30\x81\x30", "亅"[:0] + "亅中\u0080"},
		{"BIG-5", "BIG-5", "\xb3\x5c\xa5\x5c", "許功"}, // trail bytes \
		{"KS X 1001", "KS X 1001", "\xc8\xab", "홍"},
	} {
		in := inSet(tt.named, tt.raw)
		m := mustParseIn(t, in, tt.declared)
		if tt.declared == "GB 18030-2000" { // the first character is whatever the table says, not a split
			if got := []rune(m.Get(MustPath("PID-5.1")).Text()); len(got) != 3 || got[1] != '中' {
				t.Errorf("GB 18030: %q", string(got))
			}
		} else if got := m.Get(MustPath("PID-5.1")).Text(); got != tt.text {
			t.Errorf("%s: % x reads %q, want %q", tt.declared, tt.raw, got, tt.text)
		}
		if got := m.Get(MustPath("PID-5.2")).Text(); got != "X" {
			t.Errorf("%s: the component behind reads %q", tt.declared, got)
		}
		if string(m.Original()) != in || !bytes.Equal(m.AppendEncoded(nil), m.Bytes()) {
			t.Errorf("%s: the original or the round trip differs", tt.declared)
		}
		if i := m.CheckCharset().Worst(); i != nil {
			t.Errorf("%s: %v", tt.declared, i)
		}
		with, err := m.With(MustPath("MSH-10"), m.Get(MustPath("PID-5.1")).Text())
		if err != nil {
			t.Fatal(err)
		}
		ack := mustParseIn(t, string(mustParseIn(t, string(with), tt.declared).Acknowledge(Ack{Code: "AA"})), tt.declared)
		if got, want := ack.Get(MustPath("MSA-2")).Text(), m.Get(MustPath("PID-5.1")).Text(); got != want {
			t.Errorf("%s: the answer echoes %q, want %q", tt.declared, got, want)
		}
	}
}

func TestUTF16AndUTF32AreReadWhereDeclaredAndAnsweredInKind(t *testing.T) {
	text := inSet("UNICODE UTF-16", "José 😀")
	for name, in := range map[string]string{
		"little, marked": inUTF16(text, true, true), "big, marked": inUTF16(text, false, true),
		"little": inUTF16(text, true, false), "big": inUTF16(text, false, false),
	} {
		m := mustParseIn(t, in, "UNICODE UTF-16")
		if got := m.Get(MustPath("PID-5.1")).Text(); got != "José 😀" || m.Charset() != "UNICODE UTF-16" || string(m.Original()) != in {
			t.Errorf("%s: %q in %s", name, got, m.Charset())
		}
		if found := m.CheckCharset(); len(found) != 0 {
			t.Errorf("%s: %v", name, found)
		}
		ack := m.Acknowledge(Ack{Code: "AA"})
		if !bytes.Equal(ack[:4], []byte(in)[:4]) {
			t.Errorf("%s: answered with % x, came with % x", name, ack[:4], in[:4])
		}
		if a := mustParseIn(t, string(ack), "UTF-16"); a.Get(MustPath("MSA-1")).Text() != "AA" {
			t.Errorf("%s: %q", name, a.Bytes())
		}
		_, err := ParseIn([]byte(in), "")
		if i := issue.From(err); i == nil || i.Where != "MSH" || !strings.Contains(i.Text, "UTF-16") || !strings.Contains(i.Text, "declares") {
			t.Errorf("%s, not declared: %v", name, i)
		}
		refusal := Refuse([]byte(in), Ack{Code: "AE"})
		if r := mustParseIn(t, string(refusal), "UTF-16"); r.Get(MustPath("MSA-2")).Text() != "1" {
			t.Errorf("%s: refused with %q", name, r.Bytes())
		}
	}
	if m := mustParseIn(t, inUTF32(inSet("UNICODE UTF-32", "é😀")), "UNICODE UTF-32"); m.Get(MustPath("PID-5.1")).Text() != "é😀" {
		t.Errorf("UTF-32 reads %q", m.Get(MustPath("PID-5.1")).Text())
	}
	if _, err := ParseIn([]byte(inUTF32(text)), "UNICODE UTF-16"); err == nil {
		t.Error("UTF-32 was taken from a source that declares UTF-16")
	}
}

func TestASourceOfUTF16ThatSendsASCIIIsReadAsItComes(t *testing.T) {
	m := mustParseIn(t, inSet("", "José"), "UNICODE UTF-16")
	if got := m.Get(MustPath("PID-5.1")).Text(); got != "José" || m.Charset() != "UNICODE UTF-8" {
		t.Errorf("%q in %s", got, m.Charset())
	}
	if i := mustParseIn(t, inSet("UNICODE UTF-16", "x"), "UNICODE UTF-16").CheckCharset().Worst(); i == nil || i.Where != "MSH-18" {
		t.Errorf("MSH-18 says UTF-16, the bytes do not: %v", i)
	}
}

// TestWhatCannotBeTranscodedIsAnErrorAtItsPlace: invalid bytes, and sets that the source does not declare.
func TestWhatCannotBeTranscodedIsAnErrorAtItsPlace(t *testing.T) {
	for _, tt := range []struct{ name, in, declared, where string }{
		{"half a character", inSet("SHIFT-JIS", "a\x83 "), "SHIFT-JIS", "PID-5[1].1"},
		{"a byte of no character", inSet("SHIFT-JIS", "\xfd"), "SHIFT-JIS", "PID-5[1].1"},
		{"not back to ASCII", inSet("ISO IR87", "\x1b$B;3E") + "\rPV1|1", "ISO IR87", "PID-5[1].1"},
		{"hexadecimal data", inSet("SHIFT-JIS", `\X83\`), "SHIFT-JIS", "PID-5[1].1"},
		{"lone surrogate", strings.Replace(inUTF16(inSet("", "a"), false, false), "\x00a", "\xd8\x00", 1), "UTF-16", "PID-5[1].1"},
		{"odd byte", inUTF16(inSet("", "a"), true, false) + "\x00", "UTF-16", "PID-5[1].2"},
		{"another set than declared", inSet("BIG-5", "\xb3\x5c"), "SHIFT-JIS", "MSH-18"},
		{"not declared", inSet("GB 18030-2000", "\xd6\xd0"), "", "MSH-18"},
		{"declared as something else", inSet("GB 18030-2000", "\xd6\xd0"), "CP1252", "MSH-18"},
		{"switched by escape bytes", inSet("ASCII~ISO IR87", "\x1b$B;3\x1b(B"), "", "MSH-18[2]"},
		{"unknown", inSet("CNS 11643-1992", "x"), "BIG-5", "MSH-18"},
	} {
		m, err := ParseIn([]byte(tt.in), tt.declared)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if i := m.CheckCharset().Worst(); i == nil || i.Kind != issue.Value || i.Where != tt.where {
			t.Errorf("%s: %v, want an error at %s", tt.name, i, tt.where)
		}
		if _, ok := m.outward(m.Acknowledge(Ack{})); len(m.Acknowledge(Ack{})) == 0 || !ok && m.codec == nil {
			t.Errorf("%s: no answer", tt.name)
		}
	}
	if _, err := ParseIn([]byte(inSet("", "x")), "klingon"); err == nil {
		t.Error("an unknown declared set was taken")
	}
}

// TestTheDeclaredSetDecidesWhereMSH18IsWrong: rule 2 of ParseIn, each way.
func TestTheDeclaredSetDecidesWhereMSH18IsWrong(t *testing.T) {
	for _, tt := range []struct{ name, msh18, raw, declared, text, set, warns string }{
		{"UTF-8 that is cp1252", "UNICODE UTF-8", "O\x92Neill", "CP1252", "O’Neill", "cp1252", "MSH-18"},
		{"Latin-1 that is cp1252", "8859/1", "O\x92Neill", "CP1252", "O’Neill", "cp1252", "MSH-18"},
		{"Latin-1 that is Latin-1", "8859/1", "Jos\xe9", "CP1252", "José", "8859/1", ""},
		{"ASCII that is UTF-8", "ASCII", "Jos\xc3\xa9", "UNICODE UTF-8", "José", "UNICODE UTF-8", "MSH-18"},
		{"UTF-8 that is UTF-8", "UNICODE UTF-8", "Jos\xc3\xa9", "CP1252", "José", "UNICODE UTF-8", ""},
		{"plain", "ASCII", "Jose", "CP1252", "Jose", "ASCII", ""},
		{"UTF-8 that is Shift-JIS", "UNICODE UTF-8", "\x83\x5c", "SHIFT-JIS", "ソ", "SHIFT-JIS", "MSH-18"},
		{"UTF-8 of a Shift-JIS source", "UNICODE UTF-8", "ソ", "SHIFT-JIS", "ソ", "UNICODE UTF-8", ""},
	} {
		m := mustParseIn(t, inSet(tt.msh18, tt.raw), tt.declared)
		if got := m.Get(MustPath("PID-5.1")).Text(); got != tt.text || m.Charset() != tt.set {
			t.Errorf("%s: %q in %s", tt.name, got, m.Charset())
		}
		found, at := m.CheckCharset(), ""
		if len(found) > 0 {
			at = found[0].Where
		}
		if found.Worst() != nil || at != tt.warns || len(found) > 1 {
			t.Errorf("%s: %v", tt.name, found)
		}
	}
	neither := mustParseIn(t, inSet("UNICODE UTF-8", "\x81"), "CP1252").CheckCharset().Worst()
	if neither == nil || neither.Where != "PID-5[1].1" {
		t.Errorf("bytes of neither set: %v", neither)
	}
}

// TestHexadecimalDataIsInTheSendersSet although the text around it has been transcoded.
func TestHexadecimalDataIsInTheSendersSet(t *testing.T) {
	m := mustParseIn(t, inSet("SHIFT-JIS", "\x83\x5c"+`\X835C\\X41\`), "SHIFT-JIS")
	if got := m.Get(MustPath("PID-5.1")).Text(); got != "ソソA" {
		t.Errorf("read %q", got)
	}
	if i := m.CheckCharset().Worst(); i != nil {
		t.Error(i)
	}
}

func TestCharsetNamesAreAllKnownAndInTheirClass(t *testing.T) {
	plain, other := CharsetNames()
	for _, n := range plain {
		if !charsetOf([]byte(n)).readable() {
			t.Errorf("%s is not read in place", n)
		}
	}
	for _, n := range other {
		if charsetOf([]byte(n)).kind != transcoded {
			t.Errorf("%s is not transcoded", n)
		}
	}
	if !slices.Contains(plain, "8859/15") || !slices.Contains(other, "SHIFT-JIS") || len(plain) != 17 || len(other) != 7 {
		t.Errorf("%v, %v", plain, other)
	}
}

// TestEscapeSequencesSwitchToTheSetsOfMSH18 (HL7 v2.8 §2.7.2), and stay where a set is not named or not known.
func TestEscapeSequencesSwitchToTheSetsOfMSH18(t *testing.T) {
	for _, tt := range []struct{ msh18, raw, text string }{
		{"ASCII~8859/5", `Ivan \C2D4C\` + "\xb8\xd2\xd0\xdd" + `\C2842\ end`, "Ivan Иван end"},
		{"8859/1~8859/7", "\xe9 " + `\C2D46\` + "\xc4", "é Δ"},
		{"ASCII~ISO IR87", `Yamada\M2442\;3ED\C2842\ T`, "Yamada山田 T"},
		{"ASCII~ISO IR87", `\M2442\` + `!\F\` + `\C2842\.`, "●."}, // 21 7C, its | escaped
		{"ASCII~ISO IR14~ISO IR87", `\C284A\` + `\E\` + `\C2842\`, "¥"},
		{"ASCII~ISO IR87", `\C2949\` + "\xd4\xcf\xc0\xde", "ﾔﾏﾀﾞ"},
		{"ASCII~ISO IR159", `\M242844\` + `0!` + `\C2842\`, "丂"},
		{"ASCII~KS X 1001", `\M242943\` + "\xc8\xab" + ` x`, "홍 x"},
		{"ASCII~GB 18030-2000", `\M242941\` + "\xd6\xd0", "中"},
		{"ASCII~8859/2", `\c2D42\ \C2d42\` + "\xa3", `\c2D42\ Ł`},
		{"ASCII~8859/2", `\C2D4C\x`, `\C2D4C\x`},            // known, not named
		{"ASCII~8859/2", `\C2D7A\x`, `\C2D7A\x`},            // not known
		{"ASCII~8859/2", `\M2D42\ \C2D\`, `\M2D42\ \C2D\`},  // not of its kind, cut
		{"8859/1", `\C2D41\ \C2842\`, `\C2D41\ \C2842\`},    // MSH-18 names no alternate
		{"ASCII~8859/2", `\E\C2D42\E\` + `\T\`, `\C2D42\&`}, // text that looks like one
	} {
		m := mustParse(t, inSet(tt.msh18, tt.raw))
		v := m.Get(MustPath("PID-5.1"))
		if got := v.Text(); got != tt.text {
			t.Errorf("%s: %s reads %q, want %q", tt.msh18, tt.raw, got, tt.text)
		}
		if i := m.CheckCharset().Worst(); i != nil {
			t.Errorf("%s: %s: %v", tt.msh18, tt.raw, i)
		}
	}
	for _, raw := range []string{`\M2442\` + `;`, `\M2442\` + `+!`, "\xe9" + `\C2D4C\`} {
		m := mustParse(t, inSet("ASCII~ISO IR87~8859/5", raw))
		if i := m.CheckCharset().Worst(); i == nil || i.Where != "PID-5[1].1" {
			t.Errorf("%q: %v, want an error at its place", raw, i)
		}
	}
}
