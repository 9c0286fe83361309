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
	Name string // where whoever made it keeps it; empty: nowhere, or nobody needs to know
}

// Includer is a writer that can go on with the base64 of content which lies somewhere already, without being given it.
type Includer interface {
	// Include tells whether it did; where not, nothing was written.
	Include(d Data) (bool, error)
}

// Counter counts the bytes that go through it.
type Counter struct {
	W io.Writer
	N int64
}

func (c *Counter) Write(p []byte) (int, error) {
	n, err := c.W.Write(p)
	c.N += int64(n)
	return n, err
}

// Include includes where W does.
func (c *Counter) Include(d Data) (bool, error) {
	w, ok := c.W.(Includer)
	if !ok {
		return false, nil
	}
	done, err := w.Include(d)
	if done {
		c.N += (d.Size + 2) / 3 * 4
	}
	return done, err
}

// WriteBase64 streams the content, unless out includes it. An error is one of out, or says that the content cannot be read or is not
// of its Size.
func (d Data) WriteBase64(out io.Writer) error {
	if w, ok := out.(Includer); ok {
		if done, err := w.Include(d); done || err != nil {
			return err
		}
	}
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
