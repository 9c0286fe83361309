package image

import (
	"bytes"
	"image/jpeg"
	"io"
	"testing"

	"github.com/dermgate/dermgate/fixtures/photos"
)

// The same photo of 12 MP, stripped by Strip and by decoding and encoding it again.
func BenchmarkStrip(b *testing.B) {
	photo := photos.WithPrivate(photos.Megapixels(1, 12).JPEG(), 6)
	b.Logf("%d bytes", len(photo))
	b.Run("strip", func(b *testing.B) {
		b.SetBytes(int64(len(photo)))
		b.ReportAllocs()
		for b.Loop() {
			s, err := Strip(bytes.NewReader(photo))
			if err != nil {
				b.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, s.NewReader()); n != s.Size() || err != nil {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("inspect", func(b *testing.B) {
		b.SetBytes(int64(len(photo)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := inspect(photo, Limits{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("image-jpeg-decode-encode", func(b *testing.B) {
		b.SetBytes(int64(len(photo)))
		b.ReportAllocs()
		for b.Loop() {
			m, err := jpeg.Decode(bytes.NewReader(photo))
			if err != nil {
				b.Fatal(err)
			}
			if err := jpeg.Encode(new(bytes.Buffer), m, &jpeg.Options{Quality: 97}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
