package blob

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestAChangedObjectDoesNotOpen(t *testing.T) {
	f := newFolder(t)
	want := content(3 * segment)
	o := put(t, f, "case-1", want)
	path := filepath.Join(f.dir, o.Name)
	good, err := os.ReadFile(path)
	if err != nil || len(good) != header+3*sealed {
		t.Fatalf("%d bytes, %v", len(good), err)
	}
	part := func(n int) []byte { return good[header+n*sealed : header+(n+1)*sealed] }
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"a bit of the content":       {flip(good, header+5), ErrCorrupt},
		"a bit of a tag":             {flip(good, header+sealed-1), ErrCorrupt},
		"a bit of the wrapped key":   {flip(good, header-3), ErrCorrupt},
		"a bit of the nonce":         {flip(good, idEnd), ErrCorrupt},
		"a bit of the magic":         {flip(good, 3), ErrCorrupt},
		"a bit of the key id":        {flip(good, len(magic)), ErrKey},
		"cut inside a segment":       {good[:len(good)-100], ErrCorrupt},
		"cut at a segment's end":     {good[:header+2*sealed], ErrCorrupt},
		"cut inside a tag":           {good[:header+10], ErrCorrupt},
		"nothing but a header":       {good[:header], ErrCorrupt},
		"half a header":              {good[:header/2], ErrCorrupt},
		"an empty file":              {nil, ErrCorrupt},
		"a byte behind the end":      {append(slices.Clone(good), 0), ErrCorrupt},
		"a segment behind the end":   {slices.Concat(good, part(2)), ErrCorrupt},
		"segments in another order":  {slices.Concat(good[:header], part(1), part(0), part(2)), ErrCorrupt},
		"a segment twice":            {slices.Concat(good[:header], part(0), part(0), part(2)), ErrCorrupt},
		"a segment left out":         {slices.Concat(good[:header], part(0), part(2)), ErrCorrupt},
		"the last one in the middle": {slices.Concat(good[:header], part(0), part(2), part(1)), ErrCorrupt},
	} {
		if err := os.WriteFile(path, c.b, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := read(f, o.Name)
		if !errors.Is(err, c.want) || !bytes.HasPrefix(want, got) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

func flip(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 1
	return b
}

func TestTwoObjectsOfTheSameContentLookDifferent(t *testing.T) {
	f := newFolder(t)
	o := put(t, f, "case-1", content(1000))
	a, err := os.ReadFile(filepath.Join(f.dir, o.Name))
	if err != nil {
		t.Fatal(err)
	}
	put(t, f, "case-1", content(1000))
	b, err := os.ReadFile(filepath.Join(f.dir, o.Name))
	if err != nil || bytes.Equal(a[header:], b[header:]) || bytes.Equal(a[nonceEnd:header], b[nonceEnd:header]) {
		t.Errorf("a key or nonce was used twice (%v)", err)
	}
}

// A reader that gives little at a time, and one that gives its end together with its last bytes.
func TestContentInSmallPieces(t *testing.T) {
	f := newFolder(t)
	want := content(2*segment + 3)
	for name, r := range map[string]io.Reader{
		"bytewise":      &pieces{b: want, n: 1},
		"across":        &pieces{b: want, n: segment - 1},
		"end with data": &pieces{b: want, n: len(want), endWithData: true},
	} {
		o, err := f.Put(t.Context(), "case-1", r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(f, o.Name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

type pieces struct {
	b           []byte
	n           int
	endWithData bool
}

func (p *pieces) Read(buf []byte) (int, error) {
	n := copy(buf[:min(p.n, len(buf))], p.b)
	p.b = p.b[n:]
	if n == 0 || p.endWithData && len(p.b) == 0 {
		return n, io.EOF
	}
	return n, nil
}

func FuzzOpen(f *testing.F) {
	dir := newFolder(f)
	want := content(100)
	o := put(f, dir, "case-1", want)
	path := filepath.Join(dir.dir, o.Name)
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:header])
	f.Add(append(slices.Clone(good), good[header:]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := read(dir, o.Name)
		if err == nil && !bytes.Equal(got, want) {
			t.Error("opened as something else")
		}
		if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrKey) {
			t.Errorf("%v", err)
		}
	})
}
