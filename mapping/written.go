package mapping

import (
	"bytes"
	"io"
	"strconv"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// Written is a message as ToHL7 wrote it: its text, and the files that go into it as base64 while it is
// sent or kept, so that memory does not grow with photos.
type Written struct {
	text  []byte // fileMark, the number of a file, fileMark where one goes
	files []fhir.Data
}

// fileMark stands in no text: the Builder escapes control characters.
const fileMark = 0

// mark takes a file in and gives what stands for it in the text.
func (w *Written) mark(d fhir.Data) []byte {
	w.files = append(w.files, d)
	out := strconv.AppendInt([]byte{fileMark}, int64(len(w.files)-1), 10)
	return append(out, fileMark)
}

// WriteTo writes the message. It can be written again. An error is one of out, or of a file that cannot be
// read or is not of its size.
func (w *Written) WriteTo(out io.Writer) (int64, error) {
	n := &fhir.Counter{W: out}
	text := w.text
	for _, d := range w.files {
		before, rest, _ := bytes.Cut(text, []byte{fileMark})
		_, text, _ = bytes.Cut(rest, []byte{fileMark})
		if _, err := n.Write(before); err != nil {
			return n.N, err
		}
		if err := d.WriteBase64(n); err != nil {
			return n.N, err
		}
	}
	_, err := n.Write(text)
	return n.N, err
}

// Size is that of the message as it is sent, in bytes.
func (w *Written) Size() int64 {
	n := int64(len(w.text))
	for i, d := range w.files {
		n += (d.Size+2)/3*4 - int64(len(strconv.Itoa(i))) - 2 // base64 in place of its mark
	}
	return n
}

// Bytes gives the message whole.
func (w *Written) Bytes() ([]byte, error) {
	if len(w.files) == 0 {
		return w.text, nil
	}
	var b bytes.Buffer
	_, err := w.WriteTo(&b)
	return b.Bytes(), err
}
