package hl7

import (
	"strings"
	"testing"

	"github.com/dermgate/dermgate/mapping/issue"
)

// inSet is a message with MSH-18 and a name.
func inSet(set, name string) string {
	return "MSH|^~\\&|A|B|C|D|1||ADT^A28|1|P|2.4||||||" + set + "\rPID|1||||" + name + "^X"
}

func TestCharsetsDecode(t *testing.T) {
	tests := []struct{ set, raw, text, canonical string }{
		{"UNICODE UTF-8", "Jos\xc3\xa9", "José", "UNICODE UTF-8"},
		{"utf-8", "Jos\xc3\xa9", "José", "UNICODE UTF-8"},
		{"8859/1", "Jos\xe9", "José", "8859/1"},
		{"ISO-8859-1", "Jos\xe9", "José", "8859/1"},
		{"8859/1~UNICODE UTF-8", "Jos\xe9", "José", "8859/1"},
		{"8859/2", "\xa3ukasz", "Łukasz", "8859/2"},
		{"8859/5", "\xb8\xd2\xd0\xdd", "Иван", "8859/5"},
		{"8859/7", "\xc4", "Δ", "8859/7"},
		{"8859/11", "\xa1", "ก", "8859/11"},
		{"8859/14", "\xd0r", "Ŵr", "8859/14"},
		{"8859/15", "\xa4", "€", "8859/15"},
		{"CP1252", "O\x92Neill \x80", "O’Neill €", "cp1252"},
		{"Windows-1252", "\x80", "€", "cp1252"},
		{"ASCII", "Jose", "Jose", "ASCII"},
		{"ISO IR6", "Jose", "Jose", "ASCII"},
		{"8859/1", `Jos\XE9\`, "José", "8859/1"},
		{"", "Jos\xc3\xa9", "José", ""},
	}
	for _, tt := range tests {
		m := mustParse(t, inSet(tt.set, tt.raw))
		if got := m.Get(MustPath("PID-5.1")).Text(); got != tt.text || m.Charset() != tt.canonical {
			t.Errorf("%s: %q in %q, want %q in %q", tt.set, got, m.Charset(), tt.text, tt.canonical)
		}
		if i := m.CheckCharset().Worst(); i != nil {
			t.Errorf("%s: %v", tt.set, i)
		}
	}
}

func TestBytesOutsideTheSetAreAnErrorAtTheirPlace(t *testing.T) {
	for _, tt := range []struct{ set, raw string }{
		{"UNICODE UTF-8", "Jos\xe9"}, {"ASCII", "Jos\xe9"}, {"8859/3", "\xa5"}, {"cp1252", "\x81"}, {"8859/1", "O\x92Neill"}, {"8859/15", `O\X92\Neill`},
		{"", "Jos\xe9"}, {"UNICODE UTF-8", `\XE9\`}, {"ASCII", `\XE9\`},
	} {
		worst := mustParse(t, inSet(tt.set, tt.raw)).CheckCharset().Worst()
		if worst == nil || worst.Kind != issue.Value || worst.Where != "PID-5[1].1" {
			t.Errorf("%s %q: got %v", tt.set, tt.raw, worst)
		}
	}
	many := mustParse(t, inSet("ASCII", strings.Repeat("\xe9^", 1000))).CheckCharset()
	if len(many) != charsetIssues {
		t.Errorf("%d issues for 1000 places", len(many))
	}
}

func TestUnsafeCharsetsAreRefused(t *testing.T) {
	for _, set := range []string{"ISO IR87", "GB 18030-2000", "UNICODE UTF-16", "BIG-5", "nonsense", "8859/12"} {
		m := mustParse(t, inSet(set, "x"))
		if i := m.CheckCharset().Worst(); i == nil || i.Where != "MSH-18" {
			t.Errorf("%s: %v", set, i)
		}
	}
}

func TestAssumedCharset(t *testing.T) {
	m := mustParse(t, inSet("", "O\x92Neill"))
	if err := m.AssumeCharset("shift-jis"); err == nil {
		t.Error("an unsafe default was taken")
	}
	if err := m.AssumeCharset("cp1252"); err != nil {
		t.Fatal(err)
	}
	if got := m.Get(MustPath("PID-5.1")).Text(); got != "O’Neill" {
		t.Errorf("read %q", got)
	}
	found := m.CheckCharset()
	if len(found) != 1 || found[0].Severity != issue.Warning || found[0].Where != "MSH-18" || !strings.Contains(found[0].Text, "cp1252") {
		t.Errorf("got %v", found)
	}
	declared := mustParse(t, inSet("8859/1", "\xe9"))
	if err := declared.AssumeCharset("UNICODE UTF-8"); err != nil || declared.Charset() != "8859/1" {
		t.Errorf("the default overruled MSH-18: %s, %v", declared.Charset(), err)
	}
	if plain := mustParse(t, inSet("", "JONES")).CheckCharset(); len(plain) != 0 {
		t.Errorf("plain ASCII was warned about: %v", plain)
	}
}
