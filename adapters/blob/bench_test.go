package blob

import (
	"bytes"
	"context"
	"io"
	"testing"
)

// endless gives n bytes without holding them.
type endless struct{ n int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), e.n)
	e.n -= n
	return int(n), nil
}

// B/op tells that memory does not grow with the object.
func BenchmarkFolder(b *testing.B) {
	ctx := context.Background()
	for _, c := range []struct {
		name string
		size int64
	}{{"3MB", 3 << 20}, {"64MB", 64 << 20}} {
		f := newFolder(b)
		o, err := f.Put(ctx, "case-1", &endless{c.size})
		if err != nil {
			b.Fatal(err)
		}
		b.Run("put-"+c.name, func(b *testing.B) {
			b.SetBytes(c.size)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Put(ctx, "case-1", &endless{c.size}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("read-"+c.name, func(b *testing.B) {
			b.SetBytes(c.size)
			b.ReportAllocs()
			for b.Loop() {
				r, err := f.Open(ctx, o.Name)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, r); err != nil || n != c.size {
					b.Fatal(n, err)
				}
				r.Close()
			}
		})
	}
}

// Many small objects: what one fsync after the other costs.
func BenchmarkPutSmall(b *testing.B) {
	f := newFolder(b)
	for i := 0; b.Loop(); i++ {
		if _, err := f.Put(context.Background(), "case-1", bytes.NewReader([]byte{byte(i), byte(i >> 8), byte(i >> 16)})); err != nil {
			b.Fatal(err)
		}
	}
}
