package mllp

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// FuzzReader feeds any bytes in, whole and byte by byte: both give the same frames and end, no frame is over
// the limit or holds an unnoticed frame character, and what WriteFrame writes comes back as it was.
func FuzzReader(f *testing.F) {
	for _, s := range []string{
		frame(message("1")), frame("a") + frame("b"), "\x0ba\x1c", "\x0ba\x1c\x0bb\x1c\r", "\x0ba\x1cb\x1c\r", "junk" + frame(""),
		"\x0ba\x0bb\x1c\r", "\x0b\x1c\x1c\r", "GET / HTTP/1.1", "\x16\x03\x01", "\x0bABCDEFGHIJKLMNOPQRSTUVWXYZ", "\r\n\x0b",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 20
		whole, wholeEnd := frames(t, bytes.NewReader(b), limit)
		single, singleEnd := frames(t, iotest.OneByteReader(bytes.NewReader(b)), limit)
		if len(whole) != len(single) || !errors.Is(wholeEnd, singleEnd) {
			t.Fatalf("%d frames, %v; byte by byte %d, %v", len(whole), wholeEnd, len(single), singleEnd)
		}
		var again bytes.Buffer
		for i, w := range whole {
			if !bytes.Equal(w, single[i]) {
				t.Fatalf("frame %d differs: %q, %q", i, w, single[i])
			}
			if err := WriteFrame(&again, w); err != nil {
				t.Fatalf("frame %d: %v", i, err)
			}
		}
		back, end := frames(t, &again, limit)
		if len(back) != len(whole) || end != io.EOF {
			t.Fatalf("%d frames of %d came back, %v", len(back), len(whole), end)
		}
	})
}

// frames reads all clean frames and gives the error that ended the stream.
func frames(t *testing.T, r io.Reader, limit int64) ([][]byte, error) {
	rd := NewReader(r, limit)
	var all [][]byte
	for {
		b, err := rd.ReadFrame()
		if int64(len(b)) > limit {
			t.Fatalf("a frame of %d bytes", len(b))
		}
		switch {
		case errors.Is(err, ErrInside):
			continue
		case err != nil:
			return all, err
		}
		all = append(all, b)
	}
}
