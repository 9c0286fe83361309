package hl7

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// maker makes up messages: any delimiters, segments, depth and text, from a seed.
type maker struct {
	*rand.Rand
	del Delimiters
}

func newMaker(seed uint64) *maker {
	m := &maker{Rand: rand.New(rand.NewPCG(seed, 1)), del: Standard()}
	if m.IntN(3) == 0 {
		marks := []byte("!#$%&'()*+,-./:;<=>?@[]^_`{|}~\\")
		m.Shuffle(len(marks), func(i, j int) { marks[i], marks[j] = marks[j], marks[i] })
		m.del = Delimiters{Field: marks[0], Component: marks[1], Repetition: marks[2], Escape: marks[3], Subcomponent: marks[4]}
		if m.IntN(2) == 0 {
			m.del.Truncation = marks[5]
		}
	}
	return m
}

// text of letters, delimiters, escapes, control characters, and characters above ASCII.
func (m *maker) text() string {
	pieces := []string{"a", "Zed", " ", "|", "^", "~", "\\", "&", "#", "\\F\\", "\\X41\\", "\\.br\\", "\r", "\n", "\x0b", "\x1c", "\x00", "\x7f",
		"é", "ß", "ÿ", `"`, "1", string(rune(m.del.Field)), string(rune(m.del.Escape))}
	var b strings.Builder
	for range 1 + m.IntN(6) {
		b.WriteString(pieces[m.IntN(len(pieces))])
	}
	return b.String()
}

// place somewhere a builder may write.
func (m *maker) place(segment string, occurrence int) Path {
	p := Path{seg: packed(segment), field: uint32(3 + m.IntN(12)), rep: uint32(1 + m.IntN(3)), comp: uint32(1 + m.IntN(4)), sub: uint32(1 + m.IntN(3))}
	if occurrence > 1 {
		p.occ = uint32(occurrence)
	}
	return p
}

// message builds one and tells what was set where.
func (m *maker) message(set string) ([]byte, map[Path]string, error) {
	b, values, counts := NewBuilder(m.del), map[Path]string{}, map[string]int{}
	b.Charset(set)
	for i := range 1 + m.IntN(8) {
		name := []string{"PID", "OBX", "NTE", "ZRF1", "PV1"}[m.IntN(5)]
		if i == 0 {
			name = "MSH"
		}
		b.Segment(name)
		counts[name]++
		if i == 0 {
			b.Set(18, 1, 1, 1, set)
			values[Path{seg: msh, field: 18, rep: 1, comp: 1, sub: 1}] = set
		}
		for range m.IntN(10) {
			p, text := m.place(name, counts[name]), m.text()
			values[p] = text
			b.Set(p.Field(), p.Repetition(), p.Component(), p.Subcomponent(), text)
		}
	}
	return b.Bytes(), values, b.Err()
}

// TestWhatIsBuiltIsRead: for generated messages, encode-then-parse is the identity on every value, and writing
// the parsed message anew gives its bytes.
func TestWhatIsBuiltIsRead(t *testing.T) {
	for seed := range uint64(2000) {
		set := []string{"UNICODE UTF-8", "8859/1", "8859/15"}[seed%3]
		raw, values, err := newMaker(seed).message(set)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		m, err := Parse(raw)
		if err != nil {
			t.Fatalf("seed %d: %q: %v", seed, raw, err)
		}
		if got := m.AppendEncoded(nil); !bytes.Equal(got, raw) {
			t.Fatalf("seed %d: %q goes round as %q", seed, raw, got)
		}
		for p, want := range values {
			if got := m.Get(p).Text(); got != want {
				t.Fatalf("seed %d: %s of %q reads %q, want %q", seed, p, raw, got, want)
			}
		}
		if i := m.CheckCharset().Worst(); i != nil {
			t.Fatalf("seed %d: %v", seed, i)
		}
	}
}

// TestWhatIsSetIsRead: for generated messages, set-then-get is the identity, every other value stays as it
// was, and setting it again changes nothing.
func TestWhatIsSetIsRead(t *testing.T) {
	for seed := range uint64(2000) {
		mk := newMaker(seed)
		raw, values, err := mk.message("UNICODE UTF-8")
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		p, want := mk.place("MSH", 1), mk.text()
		for p.Field() == 18 {
			p = mk.place("MSH", 1)
		}
		before := mustParse(t, string(raw))
		out, err := before.With(p, want)
		if err != nil {
			t.Fatalf("seed %d: %s: %v", seed, p, err)
		}
		after := mustParse(t, string(out))
		if got := after.Get(p).Text(); got != want {
			t.Fatalf("seed %d: set %s to %q, reads %q", seed, p, want, got)
		}
		for q, old := range values {
			if got := after.Get(q).Text(); q != p && got != old {
				t.Fatalf("seed %d: setting %s changed %s from %q to %q", seed, p, q, old, got)
			}
		}
		if again, err := after.With(p, want); err != nil || !bytes.Equal(again, out) {
			t.Fatalf("seed %d: set twice: %q, %q, %v", seed, out, again, err)
		}
	}
}

// TestWhatIsTranscodedIsRead: the same text sent in each set that has its characters reads the same.
func TestWhatIsTranscodedIsRead(t *testing.T) {
	sets := map[string]string{"SHIFT-JIS": "ポ表ソ能田", "ISO IR87": "山田表●", "GB 18030-2000": "中文亅é😀", "BIG-5": "許功蓋", "KS X 1001": "홍길동",
		"UNICODE UTF-16": "é中😀", "UNICODE UTF-32": "é中😀"}
	for set, letters := range sets {
		c := charsetOf([]byte(set)).codec
		for seed := range uint64(100) {
			r := rand.New(rand.NewPCG(seed, 2))
			var names []string
			b := NewBuilder(Standard())
			b.Segment("MSH")
			b.Set(18, 1, 1, 1, set)
			for n := range 20 {
				var name strings.Builder
				for range 1 + r.IntN(8) {
					all := []rune(letters + "aZ|^~&\\\n")
					name.WriteRune(all[r.IntN(len(all))])
				}
				names = append(names, name.String())
				b.Segment("OBX")
				b.Set(5, 1, 1+n%3, 1, name.String())
			}
			in, ok := c.encode(b.Bytes())
			if !ok {
				t.Fatalf("%s lacks a character of %q", set, b.Bytes())
			}
			m := mustParseIn(t, string(in), set)
			for n, want := range names {
				p := MustPath(fmt.Sprintf("OBX[%d]-5.%d", n+1, 1+n%3))
				if got := m.Get(p).Text(); got != want {
					t.Fatalf("%s seed %d: %s reads %q, want %q", set, seed, p, got, want)
				}
			}
			if i := m.CheckCharset().Worst(); i != nil {
				t.Fatalf("%s seed %d: %v", set, seed, i)
			}
			if out, ok := m.outward(m.Bytes()); !ok || !bytes.Equal(out, in) {
				t.Fatalf("%s seed %d: goes back as % x, came as % x", set, seed, out, in)
			}
		}
	}
}

// TestNoSetSwallowsADelimiterSilently: a first byte followed by one that no character of two bytes ends in
// leaves that one standing, or is told.
func TestNoSetSwallowsADelimiterSilently(t *testing.T) {
	for _, set := range []string{"SHIFT-JIS", "GB 18030-2000", "BIG-5", "KS X 1001"} {
		c := charsetOf([]byte(set)).codec
		for high := 0x80; high < 0x100; high++ {
			for _, low := range []byte("\r\n\"#&'*+ \x00\x0b\x1c") {
				text, ok := c.decode([]byte{byte(high), low})
				if ok && !bytes.HasSuffix(text, []byte{low}) {
					t.Errorf("%s: % x reads %q", set, []byte{byte(high), low}, text)
				}
				if !bytes.Contains(text, []byte{low}) && ok {
					t.Errorf("%s: %#x is gone", set, low)
				}
			}
		}
	}
	for _, in := range []string{"\x1b$B;\r", "\x1b$B; x\x1b(B", "\x1b$B;\x80\x1b(B", "\x1b$B\x7f!\x1b(B", "\x1b$Z", "\x1b", "\x1b(I\x60\x7f\x1b(B", "\x1b$B;3"} {
		if text, ok := decodeJIS([]byte(in)); ok {
			t.Errorf("% x passes as %q", in, text)
		}
	}
}
