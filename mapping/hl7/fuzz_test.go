package hl7

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"
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
	for _, s := range []string{adt, "MSH|^", "MSH|^~\\&\rOBX|\\X", "MSH|^~\\&|\rOBX|a\r\nbcde\x1c\r", "MSH#!@%*$#\nZRF1#a@b!c*d"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bytes.Clone(b)
		m, err := Parse(b)
		if err != nil {
			if _, err := ParseAck(Refuse(b, Ack{Code: "AR"})); err != nil {
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
		if c.kind == unknownSet || c.kind == inASCII || !c.fits(b) {
			return
		}
		if back, ok := c.appendFrom(nil, string(text)); !ok || !bytes.Equal(back, b) {
			t.Fatalf("%s: %q reads %q, writes %q", c.name, b, text, back)
		}
	})
}
