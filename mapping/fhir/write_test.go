package fhir

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

func photo(t *testing.T, d Data) Element {
	t.Helper()
	e := resource(t, "Binary")
	if err := e.Set("contentType", "image/jpeg"); err != nil {
		t.Fatal(err)
	}
	if err := e.SetData("data", d); err != nil {
		t.Fatal(err)
	}
	return e
}

func bytesData(b []byte) Data {
	return Data{Size: int64(len(b)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}
}

func TestPhotosAreStreamedAsBase64(t *testing.T) {
	for _, size := range []int{0, 1, 2, 3, 24575, 24576, 24577, 100_000} {
		want := bytes.Repeat([]byte{0xff, 0xd8, 1, 7}, size/4+1)[:size]
		e := photo(t, bytesData(want))
		var streamed bytes.Buffer
		if err := WriteJSON(&streamed, e); err != nil {
			t.Fatal(err)
		}
		if got := text(t, e); got != streamed.String() {
			t.Errorf("%d bytes: streamed and whole writing differ", size)
		}
		var back struct{ Data []byte }
		if err := json.Unmarshal(streamed.Bytes(), &back); err != nil || !bytes.Equal(back.Data, want) {
			t.Errorf("%d bytes: %v, %d came back", size, err, len(back.Data))
		}
	}
}

// TestStreamingHoldsNoPhoto writes 64 MB through a writer that sees how much comes at once.
func TestStreamingHoldsNoPhoto(t *testing.T) {
	w := &biggest{}
	if err := WriteJSON(w, photo(t, zeros(64<<20))); err != nil {
		t.Fatal(err)
	}
	if w.total < 64<<20/3*4 || w.most > 128<<10 {
		t.Errorf("%d bytes in pieces of up to %d", w.total, w.most)
	}
}

type biggest struct{ most, total int }

func (b *biggest) Write(p []byte) (int, error) {
	b.most = max(b.most, len(p))
	b.total += len(p)
	return len(p), nil
}

type broken struct{ error }

func (b broken) Write([]byte) (int, error) { return 0, b.error }
func (b broken) Read([]byte) (int, error)  { return 0, b.error }

func TestWritingFailsAloud(t *testing.T) {
	cause := errors.New("disk gone")
	notUTF8 := resource(t, "Patient")
	if err := notUTF8.Set("birthDate", "\xff"); err != nil {
		t.Fatal(err)
	}
	good := photo(t, zeros(100_000))
	for name, c := range map[string]struct {
		e    Element
		out  io.Writer
		want string
	}{
		"no element":        {Element{}, io.Discard, "nothing to write"},
		"no UTF-8":          {notUTF8, io.Discard, "Patient.birthDate is no UTF-8"},
		"cannot open":       {photo(t, Data{Open: func() (io.ReadCloser, error) { return nil, cause }}), io.Discard, "disk gone"},
		"cannot read":       {photo(t, Data{Open: func() (io.ReadCloser, error) { return io.NopCloser(broken{cause}), nil }}), io.Discard, "disk gone"},
		"shorter than said": {photo(t, Data{Size: 5, Open: zeros(4).Open}), io.Discard, "content has 4 bytes, not the 5"},
		"receiver gone":     {good, broken{cause}, "disk gone"},
	} {
		if err := WriteJSON(c.out, c.e); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestTextSetLaterReplacesContent(t *testing.T) {
	e := photo(t, zeros(10))
	if err := e.Set("data", "AAAA"); err != nil {
		t.Fatal(err)
	}
	if got, want := text(t, e), `{"resourceType":"Binary","contentType":"image/jpeg","data":"AAAA"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestIndentedWritingIsTheSameResource(t *testing.T) {
	for _, file := range examples(t) {
		e, issues := Read(compacted(t, file), ReadOptions{NoJudge: true})
		if len(issues) > 0 {
			t.Fatal(issues)
		}
		var out, want bytes.Buffer
		if err := WriteIndented(&out, e); err != nil {
			t.Fatal(err)
		}
		if err := json.Indent(&want, []byte(text(t, e)), "", "  "); err != nil {
			t.Fatal(err)
		}
		if out.String() != want.String()+"\n" {
			t.Errorf("%s: got\n%s\nwant\n%s", file, out.String(), want.String())
		}
	}
}

func TestStringsAreEscapedAsJSONAsks(t *testing.T) {
	e := resource(t, "Patient")
	const nasty = "\x00\x1f\"\\/\b\f\n\r\t\x7f\u2028😀</script>"
	if err := e.Set("birthDate", nasty); err != nil {
		t.Fatal(err)
	}
	var back struct{ BirthDate string }
	if err := json.Unmarshal([]byte(text(t, e)), &back); err != nil || back.BirthDate != nasty {
		t.Errorf("%q (%v), want %q", back.BirthDate, err, nasty)
	}
}

// TestWritingAllocatesNothing keeps the writer and a reused tree out of the translation's budget.
func TestWritingAllocatesNothing(t *testing.T) {
	s, err := sample(NewTree())
	if err != nil {
		t.Fatal(err)
	}
	buf, err := AppendJSON(nil, s.Root)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { buf, err = AppendJSON(buf[:0], s.Root) }); n > 0 || err != nil {
		t.Errorf("AppendJSON: %v allocations (%v), want none", n, err)
	}
	if n := testing.AllocsPerRun(100, func() { Validate(s.Root) }); n > 6 {
		t.Errorf("Validate: %v allocations, want 6 at most (the index of the Bundle)", n)
	}
}
