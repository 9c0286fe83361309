package lift

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/mapping/issue"
)

// decodeText decodes a value as mapping does, white space left out.
func decodeText(s string) ([]byte, error) {
	return base64.StdEncoding.Strict().DecodeString(strings.NewReplacer(" ", "", "\r", "", "\n", "", "\t", "").Replace(s))
}

func TestAMessageThatWouldNotFitInMemoryIsTooLong(t *testing.T) {
	long := oru("text " + strings.Repeat("0123456789.", 1000))
	for name, in := range map[string]string{
		"text":               long,
		"a text behind one":  oru(encoded(200)) + long,
		"a photo on trial":   "MSH|^~\\&|A\rOBX|1|ED|X||" + encoded(1000),
		"blank lines behind": oru(encoded(200)) + strings.Repeat("\r", 3000),
	} {
		store := &memory{}
		limits := Limits{Raw: 2000, Threshold: 64}
		if name == "a photo on trial" {
			limits = Limits{Raw: 1000, Threshold: 4000}
		}
		for _, step := range []int{1, 100, 1 << 20} {
			l, err := Read(&steps{[]byte(in), step}, ER7, store, limits)
			var i *issue.Issue
			if !errors.As(err, &i) || i.Kind != issue.TooLong || l != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, o := range store.objects {
			if !o.discarded {
				t.Errorf("%s: an object was not discarded", name)
			}
		}
	}
	if _, err := Read(strings.NewReader(oru(encoded(100_000))), ER7, &memory{}, Limits{Raw: 400, Threshold: 64}); err != nil {
		t.Errorf("a photo counts though it does not stay: %v", err)
	}
}

// The store fails at any step: its error is given, and what was lifted by then is discarded.
func TestAStoreThatFails(t *testing.T) {
	wrapped := strings.ReplaceAll(wrap(encoded(200_000), 76, "\r"), "|", "")
	in := oru(encoded(200)) + "OBX|2|ED|X||" + wrapped + "\r"
	for _, step := range []string{"create", "write", "close"} {
		broken := errors.New("disk full")
		store := &memory{fail: map[string]error{}}
		first := true
		counting := creating{store, func() {
			if !first {
				store.fail[step] = broken
			}
			first = false
		}}
		l, err := Read(strings.NewReader(in), ER7, counting, small)
		if !errors.Is(err, broken) || l != nil {
			t.Errorf("%s: %v", step, err)
		}
		for i, o := range store.objects {
			if !o.discarded {
				t.Errorf("%s: object %d was not discarded", step, i)
			}
		}
	}
}

// creating tells a test before an object is made.
type creating struct {
	*memory
	before func()
}

func (c creating) Create() (Object, error) {
	c.before()
	return c.memory.Create()
}

func TestAConnectionThatBreaksOff(t *testing.T) {
	reset := errors.New("connection reset")
	in := oru(encoded(300))
	for _, f := range []Format{ER7, JSON} {
		for n := range len(in) {
			store := &memory{}
			l, err := Read(io.MultiReader(strings.NewReader(in[:n]), failing{reset}), f, store, small)
			if !errors.Is(err, reset) || l != nil {
				t.Fatalf("after %d bytes: %v", n, err)
			}
			for _, o := range store.objects {
				if !o.discarded {
					t.Fatalf("after %d bytes: an object was not discarded", n)
				}
			}
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestObjectsAreWrittenInLargePieces(t *testing.T) {
	store := &memory{}
	in := oru("^IM^JPEG^Base64^" + wrap(encoded(1<<20), 76, "\r\n"))
	l, err := Read(&steps{[]byte(in), 1000}, ER7, store, Limits{})
	if err != nil || len(l.Parts) != 1 || len(store.objects) != 2 {
		t.Fatal(err, len(store.objects))
	}
	for _, o := range store.objects {
		for i, n := range o.pieces {
			if n < 32<<10 && i < len(o.pieces)-1 {
				t.Errorf("piece %d of %d has %d bytes", i, len(o.pieces), n)
			}
		}
		if !o.closed {
			t.Error("an object was not closed")
		}
	}
	if !bytes.Equal(original(t, l), []byte(in)) {
		t.Error("rebuilt as other bytes")
	}
	l.Discard()
	for _, o := range store.objects {
		if !o.discarded {
			t.Error("an object was not discarded")
		}
	}
}

func TestAFileAboveTheMostStays(t *testing.T) {
	in := []byte("MSH|^~\\&|A\rOBX|1|ED|X||" + strings.Repeat(encoded(96)+"~", mostParts+3))
	l := read(t, ER7, in, 1<<20)
	if len(l.Parts) != mostParts || !bytes.Equal(original(t, l), in) {
		t.Errorf("%d parts", len(l.Parts))
	}
}

func TestRebuildRefusesWhatDoesNotFit(t *testing.T) {
	raw := []byte("before TOKEN after")
	give := func(s string) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
	}
	gone := errors.New("gone")
	for name, s := range map[string]Span{
		"a token beyond the end":   {At: 17, TokenLen: 5, Plain: 4, Content: give("abc")},
		"a place beyond the end":   {At: 100, TokenLen: 5, Plain: 4, Content: give("abc")},
		"a place before the start": {At: -1, TokenLen: 5, Plain: 4, Content: give("abc")},
		"content that is cut":      {At: 7, TokenLen: 5, Plain: 8, Content: give("abc")},
		"content that is gone":     {At: 7, TokenLen: 5, Plain: 4, Content: func() (io.ReadCloser, error) { return nil, gone }},
		"a rest that is gone":      {At: 7, TokenLen: 5, Plain: 4, Content: give("abc"), Rest: func() (io.ReadCloser, error) { return nil, gone }},
		"content that breaks off":  {At: 7, TokenLen: 5, Plain: 8, Content: func() (io.ReadCloser, error) { return io.NopCloser(failing{gone}), nil }},
	} {
		r := Rebuild(raw, []Span{s})
		if b, err := io.ReadAll(r); err == nil {
			t.Errorf("%s: %q", name, b)
		}
		r.Close()
		if _, err := r.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("%s: read after Close: %v", name, err)
		}
	}
	r := Rebuild(raw, []Span{{At: 7, TokenLen: 5, Plain: 4, Content: give("abc"), Rest: give("!")}})
	if b, err := io.ReadAll(r); err != nil || string(b) != "before YWJj! after" {
		t.Errorf("%q %v", b, err)
	}
}

// FuzzLift: whatever is read, nothing panics, the original comes back byte for byte, and how the bytes arrive
// does not matter; hl7 reads the lifted message as it reads the original.
func FuzzLift(f *testing.F) {
	for _, value := range []string{encoded(100), wrap(encoded(120), 60, "\r\n"), encoded(90) + "*" + encoded(90), encoded(60) + `\.br\` + encoded(50), "data:image/png;base64," + encoded(70)} {
		f.Add([]byte(oru("^IM^JPEG^Base64^"+value)), false, byte(3))
		f.Add([]byte(`{"resourceType":"Binary","data":"`+value+`"}`), true, byte(1))
	}
	f.Add([]byte("BHS|^~\\&|A\rMSH#!@%*#A\rOBX#1#ED#X##"+encoded(100)+"\rBTS#1\x1c\r"), false, byte(9))
	f.Fuzz(func(t *testing.T, b []byte, isJSON bool, step byte) {
		format := ER7
		if isJSON {
			format = JSON
		}
		l := read(t, format, b, 1<<20)
		if !bytes.Equal(original(t, l), b) {
			t.Fatal("rebuilt as other bytes")
		}
		if !same(l, read(t, format, b, 1+int(step))) {
			t.Fatalf("reading %d bytes at a time gives another result", 1+int(step))
		}
		if isJSON {
			return
		}
		if wrong := alike(b, l); wrong != "" {
			t.Fatal(wrong)
		}
	})
}
