package hl7

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/mapping/issue"
)

func TestBuilderWritesPlacesInOrder(t *testing.T) {
	b := NewBuilder(Standard())
	b.Segment("MSH")
	b.Set(10, 0, 0, 0, "1")
	b.Set(9, 1, 2, 1, "R01")
	b.Set(9, 1, 1, 1, "ORU")
	b.Set(2, 1, 1, 1, "not for the caller to set")
	b.Segment("PID")
	b.Set(3, 2, 4, 2, "2.16")
	b.Set(3, 1, 1, 1, "first")
	b.Set(3, 1, 1, 1, "a|b\nc")
	b.Set(8, 1, 1, 1, "")
	b.Segment("NTE")
	b.SetRaw(3, 1, 1, 1, []byte("a^b\r\n\x0b\x1cc"))
	b.Set(4, 1, 1, 1, `""`)
	b.Segment("ZRF1")
	want := "MSH|^~\\&|||||||ORU^R01|1\rPID|||a\\F\\b\\.br\\c~^^^&2.16\rNTE|||a^bc|\"\"\rZRF1\r"
	if got := string(b.Bytes()); got != want || b.Err() != nil {
		t.Errorf("got  %q, %v\nwant %q", got, b.Err(), want)
	}
	if again := string(b.Bytes()); again != want {
		t.Errorf("a second Bytes gave %q", again)
	}
}

func TestBuilderRefusesWhatItCannotWrite(t *testing.T) {
	tests := map[string]struct {
		where string
		write func(*Builder)
	}{
		"a character the set lacks": {"PID[2]-5.1", func(b *Builder) {
			b.Charset("8859/1")
			b.Segment("PID")
			b.Segment("PID")
			b.Set(5, 0, 1, 0, "Łukasz")
		}},
		"bytes that are no text": {"PID-5", func(b *Builder) { b.Segment("PID"); b.Set(5, 0, 0, 0, "\xff") }},
		"an unknown set":         {"MSH-18", func(b *Builder) { b.Charset("BIG-5") }},
		"a bad segment name":     {"", func(b *Builder) { b.Segment("pid") }},
		"a value outside":        {"", func(b *Builder) { b.Set(1, 0, 0, 0, "x") }},
		"field 0":                {"", func(b *Builder) { b.Segment("PID"); b.Set(0, 0, 0, 0, "x") }},
	}
	for name, tt := range tests {
		b := NewBuilder(Standard())
		tt.write(b)
		if b.Err() == nil || issue.From(b.Err()).Where != tt.where {
			t.Errorf("%s: %v", name, b.Err())
		}
	}
	if NewBuilder(Delimiters{Field: '|', Component: '^'}).Err() == nil {
		t.Error("delimiters without an escape were taken")
	}
}

func TestBuilderWritesInACharacterSet(t *testing.T) {
	b := NewBuilder(Standard())
	b.Charset("8859/15")
	b.Segment("MSH")
	b.Set(18, 0, 0, 0, "8859/15")
	b.Segment("NTE")
	b.Set(3, 0, 0, 0, "café €")
	m := mustParse(t, string(b.Bytes()))
	if got := m.Get(MustPath("NTE-3")); string(got.Raw()) != "caf\xe9 \xa4" || got.Text() != "café €" {
		t.Errorf("wrote % x, read %q", got.Raw(), got.Text())
	}
}

func TestWith(t *testing.T) {
	in := header + "\r\nPID|1||A^B~C&D|x\r\nPV1|1"
	tests := []struct{ path, text, want string }{
		{"PID-1", "2", header + "\r\nPID|2||A^B~C&D|x\r\nPV1|1"},
		{"PID-3", "N", header + "\r\nPID|1||N|x\r\nPV1|1"},
		{"PID-3.2", "N", header + "\r\nPID|1||A^N~C&D|x\r\nPV1|1"},
		{"PID-3[2].1.2", "N", header + "\r\nPID|1||A^B~C&N|x\r\nPV1|1"},
		{"PID-3[4].2", "N", header + "\r\nPID|1||A^B~C&D~~^N|x\r\nPV1|1"},
		{"PID-7", "a|b", header + "\r\nPID|1||A^B~C&D|x|||a\\F\\b\r\nPV1|1"},
		{"PV1-1", "", header + "\r\nPID|1||A^B~C&D|x\r\nPV1|"},
		{"PV1-2", `""`, header + "\r\nPID|1||A^B~C&D|x\r\nPV1|1|\"\""},
		{"MSH-10", "77", strings.Replace(in, "|1|P|", "|77|P|", 1)},
	}
	m := mustParse(t, in)
	for _, tt := range tests {
		got, err := m.With(MustPath(tt.path), tt.text)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %q, %v", tt.path, got, err)
		}
	}
	if string(m.Bytes()) != in {
		t.Error("With changed the message")
	}
	for _, path := range []string{"MSH-1", "MSH-2", "PID", "OBX-1", "PID[2]-1"} {
		if _, err := m.With(MustPath(path), "x"); err == nil {
			t.Errorf("%s was set", path)
		}
	}
	bare := mustParse(t, "MSH|^|A\rPID|1")
	if _, err := bare.With(MustPath("PID-1[2]"), "x"); err == nil {
		t.Error("a repetition was set without a delimiter for it")
	}
	if _, err := mustParse(t, inSet("ASCII", "x")).With(MustPath("PID-5"), "é"); err == nil {
		t.Error("a character outside the set was written")
	}
}

// texts draws text from what breaks encoders: delimiters, escapes, controls, letters of several alphabets.
func texts(r *rand.Rand) string {
	alphabet := []rune("ab1 |^~\\&#\r\n\x0b\x1c\t\x00\x7féŁЖ漢\"F.X")
	out := make([]rune, r.IntN(12))
	for i := range out {
		out[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(out)
}

// TestSetThenGet writes random text to random places of random messages and reads it back.
func TestSetThenGet(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	m := mustParse(t, adt)
	for range 3000 {
		names := []string{"PID", "PD1", "NK1", "PV1", "EVN"}
		p := Path{seg: packed(names[r.IntN(len(names))]), field: uint32(1 + r.IntN(40)), rep: uint32(r.IntN(4)), comp: uint32(r.IntN(5))}
		if p.comp > 0 {
			p.sub = uint32(r.IntN(4))
		}
		text := texts(r)
		if text == `""` {
			continue
		}
		out, err := m.With(p, text)
		if err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		next := mustParse(t, string(out))
		if got := next.Get(p).Text(); got != text {
			t.Fatalf("%s: wrote %q, read %q", p, text, got)
		}
		if next.Segments() != m.Segments() {
			t.Fatalf("%s: %q made %d segments", p, text, next.Segments())
		}
		if r.IntN(4) == 0 {
			m = next
		}
	}
}

// TestEncodeThenParse builds random messages and finds every value at its place and nothing else.
func TestEncodeThenParse(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		b := NewBuilder(Standard())
		b.Segment("MSH")
		want := map[Path]string{}
		counts := map[string]int{}
		for range 1 + r.IntN(6) {
			name := []string{"PID", "OBX", "ZAB", "ZAB1"}[r.IntN(4)]
			counts[name]++
			b.Segment(name)
			for range r.IntN(6) {
				p := Path{seg: packed(name), field: uint32(1 + r.IntN(9)), rep: uint32(1 + r.IntN(3)), comp: uint32(1 + r.IntN(3)), sub: uint32(1 + r.IntN(3))}
				if counts[name] > 1 {
					p.occ = uint32(counts[name])
				}
				text := texts(r)
				if text == "" || text == `""` {
					continue
				}
				b.Set(p.Field(), p.Repetition(), p.Component(), p.Subcomponent(), text)
				want[p] = text
			}
		}
		m := mustParse(t, string(b.Bytes()))
		for p, text := range want {
			if got := m.Get(p).Text(); got != text {
				t.Fatalf("%s: wrote %q, read %q in %q", p, text, got, m.Bytes())
			}
		}
		leaves := -2 // MSH-1 and MSH-2
		for range m.Leaves() {
			leaves++
		}
		if leaves != len(want) {
			t.Fatalf("%d leaves of %d values in %q", leaves, len(want), m.Bytes())
		}
	}
}
