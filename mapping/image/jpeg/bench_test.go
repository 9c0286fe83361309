package jpeg

import (
	"bytes"
	"image/jpeg"
	"testing"

	"github.com/dermgate/dermgate/fixtures/photos"
)

// The lossless step for a photo of 12 MP beside one decoding of it by image/jpeg.
func BenchmarkRewrite(b *testing.B) {
	photo := photos.Megapixels(1, 12).JPEG()
	picture, err := Decode(photo, Limits{})
	if err != nil {
		b.Fatal(err)
	}
	run := func(name string, f func() error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(photo)))
			b.ReportAllocs()
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("image-jpeg-decode", func() error {
		_, err := jpeg.Decode(bytes.NewReader(photo))
		return err
	})
	run("decode", func() error {
		_, err := Decode(photo, Limits{})
		return err
	})
	run("sequential", func() error {
		_, err := picture.EncodeSequential()
		return err
	})
	run("progressive", func() error {
		picture.EncodeProgressive()
		return nil
	})
}
