package hl7

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// What is split in one pass is what All, Repetition and the walks over parts give, for every field of every
// segment, also where delimiters are not declared, stand at the ends, or lie across eight bytes.
func TestSplitInOnePassLikeOneByOne(t *testing.T) {
	var split Pieces
	for _, text := range []string{
		"MSH|^~\\&|A|B\rPV1|" + strings.Repeat("^a", 38) + "~b|c^d",
		"MSH|^~\\&|A|B\rPID|1||9990001014^^^NHS^NH~x&y&&z^w~~||Testcase^Rosalind^Ann\rOBX|1\rNTE|\rPV1\rZZZ1|a~b",
		"MSH|^\rPID|a^b~c&d|^^|~~|\x00^\x00|",
		"MSH*:~\\&*A\rPID*a:b*0123456789abcdef:0123456789abcdef~01234567:*\xc3\xa9\xff:|^",
		"MSH|^~\\&",
		"MSH|^~\\&|\rFHS|^~\\&|x~y^z",
	} {
		m, err := Parse([]byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		split.Reset(m)
		leaves(t, m, &split)
		for _, s := range m.All() {
			n := 0
			for i, f := range s.All() {
				n++
				if i < 64 && (split.Valued(s.Index())>>i&1 != 0) != (f.Size() > 0) {
					t.Fatalf("%q: %s is said to be %b", text, s.Path(i), split.Valued(s.Index()))
				}
				if split.Field(s.Index(), i) != f || split.First(s.Index(), i) != f.Repetition(1) {
					t.Fatalf("%q: %s", text, s.Path(i))
				}
				for j := range 40 {
					if got, want := split.Component(s.Index(), i, j), f.Component(j); got != want && f.Size() > 0 {
						t.Fatalf("%q: %s %v %v", text, s.Path(i).Part(j, 0), got, want)
					}
				}
				for k, rep := range f.EachRepetition() {
					parts(t, rep, false)
					for j := range rep.Components() {
						if got, want := rep.Component(j+1), rep.part(levelComponent, j+1); got != want {
							t.Fatalf("%q: %s %v %v", text, s.Path(i).Repeat(k).Part(j+1, 0), got, want)
						}
						parts(t, rep.Component(j+1), true)
					}
					if rep.Component(rep.Components()+1) != (Value{}) || rep.Component(0) != (Value{}) {
						t.Fatalf("%q: a component beyond the last", text)
					}
				}
				if got, ok := split.Parts(s.Index(), n, f.Repetition(1)); ok {
					if want, _ := f.Parts(false, nil); !reflect.DeepEqual(got, want) {
						t.Fatalf("%q: %v, not %v", text, got, want)
					}
				} else if f.Components() < mostParts {
					t.Fatalf("%q: no parts", text)
				}
				parts(t, f, false)
				parts(t, f, true)
			}
			if got := split.Fields(s.Index()); n != got || split.Field(s.Index(), n+1) != (Value{}) {
				t.Fatalf("%q: %d fields, not %d", text, got, n)
			}
		}
	}
}

// leaves holds where leaves begin against the walk over them.
func leaves(t *testing.T, m *Message, split *Pieces) {
	t.Helper()
	want := make([]uint64, len(split.Leaves()))
	for _, v := range m.Leaves() {
		if v.Size() > 0 {
			want[v.Offset()/64] |= 1 << (v.Offset() % 64)
		}
	}
	if got := split.Leaves(); !slices.Equal(got, want) {
		t.Fatalf("%q: leaves begin at %x, not %x", m.Bytes(), got, want)
	}
}

func parts(t *testing.T, v Value, deep bool) {
	t.Helper()
	each := v.EachComponent()
	got, room := v.Parts(deep, []uint32{7})
	if deep {
		each = v.EachSubcomponent()
	}
	n, valued := 0, uint64(0)
	for i, p := range each {
		if n++; got.At(i) != p {
			t.Fatalf("%q: part %d is %v", v.Raw(), i, got)
		}
		if p.Size() > 0 {
			valued |= 1 << i
		}
	}
	if n != got.Len() || got.At(0) != (Value{}) || got.At(n+1) != (Value{}) || got.Valued() != valued || len(room) != n+1 || room[0] != 7 {
		t.Fatalf("%q: %d parts, not %d: %v", v.Raw(), got.Len(), n, got)
	}
}

func TestNextSegment(t *testing.T) {
	m, err := Parse([]byte("MSH|^~\\&|A\rOBX|1\rNTE|1\rOBX|2"))
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for s := m.Next("OBX", 0); s.OK(); s = m.Next("OBX", s.Index()+1) {
		got = append(got, s.Index())
	}
	if len(got) != 2 || got[0] != 1 || got[1] != 3 || m.Next("ZZZ", 0).OK() || m.Next("", 0).OK() {
		t.Errorf("OBX at %v", got)
	}
}
