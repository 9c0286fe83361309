package hl7

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dermgate/dermgate/mapping/issue"
)

// FuzzParse: whatever parses goes round byte for byte, reads the same by path as by walk, and can be
// acknowledged; whatever does not is refused by an answer that parses. Nothing panics.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/corpus/*.hl7")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range []string{adt, "MSH|^", "MSH|^~\\&\rOBX|\\X", "MSH|^~\\&|\rOBX|a\r\nbcde\x1c\r", "MSH#!@%*$#\nZRF1#a@b!c*d", "\xfe\xff",
		"MSH|^~\\&|||||||SIU^S15\rSCH|1||||||||||~^^^20261210\rNTE\rTQ1\rPID\rRGS\rAIS||D\rNTE\rAIP\rAIL\rPV1\rRGS"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bytes.Clone(b)
		m, err := Parse(b)
		if err != nil {
			refusal := Refuse(b, Ack{Code: "AR"})
			if w, ok := wideOf(b); ok { // which is answered in kind
				if refusal, ok = w.decode(refusal); !ok {
					t.Fatal("the refusal is not in the encoding of what it refuses")
				}
			}
			if _, err := ParseAck(refusal); err != nil {
				t.Fatalf("the refusal does not parse: %v", err)
			}
			return
		}
		if got := m.AppendEncoded(nil); !bytes.Equal(got, b) {
			t.Fatalf("round trip gave %q", got)
		}
		for p, v := range m.Leaves() {
			if m.Get(p) != v {
				t.Fatalf("%s read by path differs", p)
			}
			if text := v.Text(); !utf8.ValidString(text) {
				t.Fatalf("%s is not UTF-8: %q", p, text)
			}
		}
		m.Check()
		m.Groups()
		a, err := ParseAck(m.Acknowledge(Ack{Code: "AA"}))
		if err != nil || a.Code != "AA" {
			t.Fatalf("the acknowledgement does not parse: %v", err)
		}
		if !bytes.Equal(in, b) {
			t.Fatal("the input was changed")
		}
	})
}

// FuzzPath: what parses as a path prints as itself.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"PID-3[2].1.2", "OBX[2]-5", "RF1", "ZRF1-6", "PID-0", "MSH-9999999999"} {
		f.Add(s)
	}
	m, err := Parse([]byte(adt))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePath(s)
		if err != nil {
			return
		}
		if p.String() != s {
			t.Fatalf("%q prints as %q", s, p)
		}
		m.Get(p).Text()
		CheckPath(p)
	})
}

// FuzzEscape: text written under any delimiters reads back as itself and leaves the message's shape alone.
func FuzzEscape(f *testing.F) {
	f.Add("a|b^c~d\\e&f\r\n", "|^~\\&")
	f.Add(`\.br\\X0D\`, "#!@%*")
	f.Add("\x0b\x1c\x00é", "|^~\\&#")
	f.Fuzz(func(t *testing.T, text, delims string) {
		if len(delims) < 5 || !utf8.ValidString(text) || text == `""` {
			return
		}
		m, err := Parse([]byte("MSH" + delims + delims[:1] + "A\rPID" + delims[:1] + "1"))
		if err != nil || m.Delimiters().Subcomponent == 0 {
			return
		}
		p := MustPath("PID-3[2].2.2")
		out, err := m.With(p, text)
		if err != nil {
			t.Fatal(err)
		}
		next, err := Parse(out)
		if err != nil {
			t.Fatalf("%q does not parse: %v", out, err)
		}
		if got := next.Get(p).Text(); got != text {
			t.Fatalf("wrote %q, read %q", text, got)
		}
		if next.Segments() != 2 || next.Segment(1).Fields() != 3 && text != "" {
			t.Fatalf("%q changed the shape: %q", text, out)
		}
	})
}

// FuzzCharset: every name is known or refused, and known sets write what they read.
func FuzzCharset(f *testing.F) {
	f.Add("8859/1", []byte("Jos\xe9"))
	f.Add("UNICODE UTF-8", []byte("Jos\xc3\xa9"))
	f.Add("cp1252", []byte("\x80\x81"))
	f.Add("Shift-JIS", []byte("\x83\x5c"))
	f.Add("ascii", []byte("\xff"))
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		c := charsetOf([]byte(name))
		text := c.appendUTF8(nil, b)
		if !utf8.Valid(text) {
			t.Fatalf("%q decodes to invalid UTF-8", b)
		}
		if !c.readable() || c.kind == inASCII || !c.fits(b) {
			return
		}
		if back, ok := c.appendFrom(nil, string(text)); !ok || !bytes.Equal(back, b) {
			t.Fatalf("%s: %q reads %q, writes %q", c.name, b, text, back)
		}
	})
}

// FuzzTranscode: whatever a source declares and sends, the original is there, the text goes round, every value
// is UTF-8, nothing that is no character passes unreported, and the answer reads in the sender's set.
func FuzzTranscode(f *testing.F) {
	for _, s := range [][2]string{
		{"SHIFT-JIS", inSet("SHIFT-JIS", "\x83\x7c\x95\x5c")}, {"SHIFT-JIS", inSet("UNICODE UTF-8", "\xc3\xa9\x83\xa0")},
		{"ISO IR87", inSet("~ISO IR87", "\x1b$B;3ED\x1b(B"+`\M2442\;3\C2842\`)}, {"GB18030", inSet("GB18030", "\x81\x30\x81\x30")},
		{"BIG-5", inSet("", "\xb3\x5c")}, {"KS X 1001", inSet("KS X 1001~8859/5", `\C2D4C\`+"\xb8")},
		{"UNICODE UTF-16", inUTF16(inSet("", "José 😀"), true, true)}, {"UTF-16", inUTF16(inSet("UNICODE", `\X00E9\`), false, false)},
		{"UTF-32", inUTF32(inSet("", "é"))}, {"CP1252", inSet("8859/1~8859/2", `\x92\C2D42\`+"\x92\xa3")},
	} {
		f.Add(s[0], []byte(s[1]))
	}
	f.Fuzz(func(t *testing.T, declared string, b []byte) {
		in := bytes.Clone(b)
		m, err := ParseIn(b, declared)
		if err != nil {
			return
		}
		if !bytes.Equal(m.Original(), in) || !bytes.Equal(b, in) {
			t.Fatal("the original is lost")
		}
		if got := m.AppendEncoded(nil); !bytes.Equal(got, m.Bytes()) {
			t.Fatalf("round trip gave %q", got)
		}
		wrong := m.CheckCharset().Worst() != nil
		for p, v := range m.Leaves() {
			text := v.Text()
			if !utf8.ValidString(text) || !wrong && strings.ContainsRune(text, utf8.RuneError) && !bytes.ContainsRune(m.Bytes(), utf8.RuneError) {
				t.Fatalf("%s of %s reads %q", p, m.Charset(), text)
			}
		}
		if m.codec != nil && !wrong {
			if out, ok := m.outward(m.Bytes()); ok {
				if back, _ := m.codec.decode(out); !bytes.Equal(back, m.Bytes()) {
					t.Fatalf("%s: wrote % x for %q, reads %q", m.Charset(), out, m.Bytes(), back)
				}
			} else if m.codec.encoding == nil {
				t.Fatal("UTF-16 lacks a character")
			}
		}
		if a, err := ParseIn(m.Acknowledge(Ack{Code: "AA"}), declared); err != nil || a.Find("MSA", 1).Field(1).Text() != "AA" {
			t.Fatalf("the answer does not read: %v", err)
		}
	})
}

// FuzzBatch: the messages of a batch are parts of the input, in order, none a batch itself, and none lost; its
// acknowledgement is a batch without fault of as many. What is no batch, Parse does not refuse for being one.
func FuzzBatch(f *testing.F) {
	for _, s := range []string{
		fileHead + batchHead + numbered("1") + numbered("2") + "BTS|2\rFTS|1\r", numbered("1") + numbered("2"), batchHead + "BTS|0",
		"\x0b" + numbered("1") + "\x1c\r\x0b" + numbered("2") + "\x1c\r", "BHS#!@%*#\n" + numbered("1") + "MSH\nBTS#x",
		numbered("1") + "BTS|1\rFTS|1\rMSH|", inUTF16(batchHead+numbered("1")+numbered("2😀"), true, true), numbered("1"),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		const declared = "UNICODE UTF-16"
		b := Split(in, declared)
		var answers [][]byte
		at := 0
		for _, m := range b.Messages {
			i := bytes.Index(in[at:], m)
			if i < 0 || len(m) == 0 {
				t.Fatalf("%q is no part of the input", m)
			}
			if at += i + len(m); Several(m, declared) {
				t.Fatalf("%q is a batch itself", m)
			}
			answers = append(answers, Refuse(m, Ack{Code: "AR", ControlID: "1"}))
		}
		if !Several(in, declared) {
			if _, err := ParseIn(in, declared); err != nil && issue.From(err).Where == "MSH[2]" {
				t.Fatalf("no batch, but %v", err)
			}
			return
		}
		ack := Split(b.Acknowledge(BatchAck{ControlID: "A", Answers: answers}), declared)
		if len(ack.Issues) > 0 || len(ack.Messages) != len(answers) {
			t.Fatalf("the acknowledgement of %d has %d messages, %v", len(answers), len(ack.Messages), ack.Issues)
		}
		if _, err := ParseIn(b.Refuse(Ack{Code: "AE"}), declared); err != nil {
			t.Fatalf("the refusal does not parse: %v", err)
		}
	})
}
