package fhir

import (
	"encoding/base64"
	"fmt"
	"io"
)

// Data is binary content that the writer streams as base64: a photo never lies in the tree.
type Data struct {
	Size int64 // bytes before encoding
	Open func() (io.ReadCloser, error)
}

// WriteBase64 streams the content. An error is one of out, or says that the content cannot be read or is not
// of its Size.
func (d Data) WriteBase64(out io.Writer) error {
	r, err := d.Open()
	if err != nil {
		return fmt.Errorf("fhir: content: %w", err)
	}
	defer r.Close()
	chunk := make([]byte, 3*8192) // three bytes make four characters, so chunks join without padding
	encoded := make([]byte, 0, 4*8192)
	total := int64(0)
	for err == nil {
		var n int
		n, err = io.ReadFull(r, chunk)
		total += int64(n)
		encoded = base64.StdEncoding.AppendEncode(encoded[:0], chunk[:n])
		if _, failed := out.Write(encoded); failed != nil {
			return failed
		}
	}
	switch {
	case err != io.EOF && err != io.ErrUnexpectedEOF:
		return fmt.Errorf("fhir: content: %w", err)
	case total != d.Size:
		return fmt.Errorf("fhir: content has %d bytes, not the %d it should have", total, d.Size)
	}
	return nil
}
