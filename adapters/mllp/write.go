package mllp

import (
	"bufio"
	"bytes"
	"io"
	"net"
)

// oneWrite is the size up to which a frame is copied together, so that it leaves in one segment if it can:
// fragile receivers read once and take what they get for a message.
const oneWrite = 64 << 10

// WriteFrame sends one message: in a single Write when small, in a single vectored one when large.
// ErrUnframable when the message holds a VT or FS.
func WriteFrame(w io.Writer, b []byte) error {
	if !framable(b) {
		return ErrUnframable
	}
	if len(b) > oneWrite {
		whole := net.Buffers{{vt}, b, {fs, cr}}
		_, err := whole.WriteTo(w)
		return err
	}
	_, err := w.Write(appendFrame(make([]byte, 0, len(b)+3), b))
	return err
}

// appendFrame adds a frame with the message b to what is to be sent.
func appendFrame(to, b []byte) []byte {
	to = append(to, vt)
	to = append(to, b...)
	return append(to, fs, cr)
}

// framable tells whether b can stand in a frame.
func framable(b []byte) bool {
	return bytes.IndexByte(b, vt) < 0 && bytes.IndexByte(b, fs) < 0
}

// streamFrame sends a message that is not in memory. After an error the frame is unfinished and the
// connection must be closed.
func streamFrame(w io.Writer, r io.Reader) error {
	bw := bufio.NewWriterSize(w, oneWrite)
	_ = bw.WriteByte(vt) // kept by the writer until Flush
	if _, err := io.Copy(bw, checked{r}); err != nil {
		return err
	}
	_, _ = bw.Write([]byte{fs, cr})
	return bw.Flush()
}

// checked stops at bytes that would end the frame.
type checked struct{ r io.Reader }

func (c checked) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if !framable(p[:n]) {
		return 0, ErrUnframable
	}
	return n, err
}
