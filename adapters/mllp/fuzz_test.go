package mllp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"testing"
)

// FuzzReader feeds any bytes in, whole and in pieces of any size: both give the same frames and end, by
// ReadFrame and by Next alike, no frame is over the limit or holds an unnoticed frame character, and what
// WriteFrame writes comes back as it was.
func FuzzReader(f *testing.F) {
	for i, s := range []string{
		frame(message("1")), frame("a") + frame("b"), "\x0ba\x1c", "\x0ba\x1c\x0bb\x1c\r", "\x0ba\x1cb\x1c\r", "junk" + frame(""),
		"\x0ba\x0bb\x1c\r", "\x0b\x1c\x1c\r", "GET / HTTP/1.1", "\x16\x03\x01", "\x0bABCDEFGHIJKLMNOPQRSTUVWXYZ", "\r\n\x0b",
		"\x0bABCDEFGHIJKLMNOPQRST\x1c\x1c\r", "\x0b\x1c\x0b\x1c\r\x0b", "P", "\x0ba\x1cb", "\x0ba\x1cb" + frame("c"),
	} {
		f.Add([]byte(s), []byte{byte(i), 1, 3})
	}
	f.Fuzz(func(t *testing.T, b, cuts []byte) {
		const limit = 20
		whole, wholeEnd := frames(t, bytes.NewReader(b), limit)
		cut, cutEnd := frames(t, &cutting{bytes.NewReader(b), cuts, 0}, limit)
		streamed, streamedEnd := streams(t, &cutting{bytes.NewReader(b), cuts, 0}, limit)
		agree(t, "in pieces", whole, cut, wholeEnd, cutEnd)
		agree(t, "streamed", whole, streamed, wholeEnd, streamedEnd)
		var again bytes.Buffer
		for i, w := range whole {
			if err := WriteFrame(&again, w); err != nil {
				t.Fatalf("frame %d: %v", i, err)
			}
		}
		back, end := frames(t, &again, limit)
		agree(t, "written again", whole, back, io.EOF, end)
	})
}

func agree(t *testing.T, how string, want, got [][]byte, wantEnd, gotEnd error) {
	t.Helper()
	if len(want) != len(got) || !errors.Is(wantEnd, gotEnd) {
		t.Fatalf("%d frames, %v; %s %d, %v", len(want), wantEnd, how, len(got), gotEnd)
	}
	for i := range want {
		if !bytes.Equal(want[i], got[i]) {
			t.Fatalf("%s frame %d differs: %q, %q", how, i, want[i], got[i])
		}
	}
}

// cutting gives pieces of the sizes in cuts, over and over.
type cutting struct {
	r    io.Reader
	cuts []byte
	i    int
}

func (c *cutting) Read(p []byte) (int, error) {
	n := 1
	if len(c.cuts) > 0 {
		n = max(1, int(c.cuts[c.i%len(c.cuts)]))
		c.i++
	}
	return c.r.Read(p[:min(n, len(p))])
}

// tight is a reader whose buffer is smaller than a frame, so that everything happens at its end as well.
func tight(r io.Reader, limit int64) *Reader {
	rd := NewReader(r, limit)
	rd.br = bufio.NewReaderSize(r, 16)
	return rd
}

// frames reads all clean frames and gives the error that ended the stream.
func frames(t *testing.T, r io.Reader, limit int64) ([][]byte, error) {
	rd := tight(r, limit)
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

// streams does the same by Next, by turns with Read in pieces and with WriteTo.
func streams(t *testing.T, r io.Reader, limit int64) ([][]byte, error) {
	rd := tight(r, limit)
	var all [][]byte
	for i := 0; ; i++ {
		f, err := rd.Next()
		if err != nil {
			return all, err
		}
		var b bytes.Buffer
		if i%2 == 0 {
			_, err = f.WriteTo(&b)
		} else {
			_, err = b.ReadFrom(pieces{f, 3})
		}
		if int64(b.Len()) > limit {
			t.Fatalf("a frame of %d bytes", b.Len())
		}
		switch {
		case err == nil:
			all = append(all, b.Bytes())
		case f.Close() != err:
			t.Fatalf("closed with %v after %v", f.Close(), err)
		}
	}
}
