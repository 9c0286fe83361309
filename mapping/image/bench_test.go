package image

import (
	"bytes"
	"image/jpeg"
	"io"
	"testing"

	"github.com/dermgate/dermgate/fixtures/photos"
)

// A photo of 12 MP, stripped by Strip beside decoding and encoding it again, and inspected.
func BenchmarkStrip(b *testing.B) {
	photo := photos.WithPrivate(photos.Megapixels(1, 12).JPEG(), 6)
	b.Logf("%d bytes", len(photo))
	b.Run("strip", func(b *testing.B) {
		b.SetBytes(int64(len(photo)))
		beside(b, func() error {
			s, err := Strip(bytes.NewReader(photo))
			if err == nil {
				_, err = io.Copy(io.Discard, s.NewReader())
			}
			return err
		}, func() error {
			m, err := jpeg.Decode(bytes.NewReader(photo))
			if err == nil {
				err = jpeg.Encode(io.Discard, m, &jpeg.Options{Quality: 97})
			}
			return err
		})
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
}
