package mapping_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// TestAFileThatChangesWhileItIsSent: a message whose photo is shorter than it was when it was written ends
// with an error, however much of it has gone out.
func TestAFileThatChangesWhileItIsSent(t *testing.T) {
	res := translate(t, message(t, advice), options(t))
	o := outOptions(t, "REF_I12", res.Files)
	whole := o.Files
	o.Files = func(sha string) (fhir.Data, error) {
		d, err := whole(sha)
		d.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("short")), nil }
		return d, err
	}
	w, _, err := shippedSet(t).ToHL7(res.Bundle, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteTo(io.Discard); err == nil {
		t.Error("a photo that is not of its size was sent")
	}
	if _, err := w.Bytes(); err == nil {
		t.Error("a photo that is not of its size was given")
	}
}

// TestWrittenTwice: an attempt that failed is made again with the same bytes.
func TestWrittenTwice(t *testing.T) {
	res := translate(t, message(t, advice), options(t))
	w, _, err := shippedSet(t).ToHL7(res.Bundle, outOptions(t, "REF_I12", res.Files))
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	n, err := w.WriteTo(&first)
	if err != nil || n != int64(first.Len()) {
		t.Fatal(n, first.Len(), err)
	}
	if _, err := w.WriteTo(&second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Fatal("other bytes the second time", err)
	}
	if b, err := w.Bytes(); err != nil || !bytes.Equal(b, first.Bytes()) || bytes.ContainsRune(b, 0) {
		t.Fatal("Bytes and WriteTo differ, or a mark is left", err)
	}
}
