package redis

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"sync"
)

// packMin is the size in bytes from which a body is worth compressing.
const packMin = 1 << 10

// How a body is packed: the first byte of what is kept.
const (
	plain    = 'p'
	deflated = 'd' // RFC 1951
)

// packer packs bodies. A deflate writer is large, so they are used again.
type packer struct{ writers sync.Pool }

// pack gives what is kept of a body; nothing for none.
func (p *packer) pack(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	if len(b) > packMin {
		if out := p.deflate(b); len(out) <= len(b) {
			return out
		}
	}
	return append([]byte{plain}, b...)
}

func (p *packer) deflate(b []byte) []byte {
	var out bytes.Buffer
	out.WriteByte(deflated)
	w, ok := p.writers.Get().(*flate.Writer)
	if !ok {
		w, _ = flate.NewWriter(nil, flate.BestSpeed) // fails only for an unknown level
	}
	defer p.writers.Put(w)
	w.Reset(&out)
	_, _ = w.Write(b) // a bytes.Buffer takes all
	_ = w.Close()
	return out.Bytes()
}

// unpack undoes pack.
func unpack(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, nil
	}
	switch b[0] {
	case plain:
		return b[1:], nil
	case deflated:
		out, err := io.ReadAll(flate.NewReader(bytes.NewReader(b[1:])))
		if err != nil {
			return nil, fmt.Errorf("redis: a damaged body: %w", err)
		}
		return out, nil
	}
	return nil, fmt.Errorf("redis: a body packed in an unknown way")
}
