package image

import (
	"bytes"
	"image/jpeg"
	"testing"

	"github.com/dermgate/dermgate/fixtures/photos"
)

// A photo of 12 MP brought to the limit of e-RS by the ladder, and as is usual: decoded, then encoded with
// image/jpeg at qualities found by halving. The likeness of both to the original is logged.
func BenchmarkFit(b *testing.B) {
	photo := photos.Lesion{Seed: 1, View: photos.CloseUp, Width: 4000, Height: 3000, Quality: 98}.JPEG()
	const limit = 5 << 20
	b.Logf("%d bytes", len(photo))
	b.Run("image-jpeg-decode", func(b *testing.B) {
		for b.Loop() {
			if _, err := jpeg.Decode(bytes.NewReader(photo)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ladder", func(b *testing.B) {
		b.ReportAllocs()
		var f *Fitted
		for b.Loop() {
			f = fit(b, photo, Target{Bytes: limit}, Floor{})
		}
		b.Logf("%s, %d bytes, %d encodes, SSIM %.4f, PSNR %.2f dB", f.Step, f.Size(), f.Encodes, f.Likeness.SSIM, likenessOf(b, photo, bytesOf(b, f)))
	})
	b.Run("naive-search", func(b *testing.B) {
		b.ReportAllocs()
		var best []byte
		for b.Loop() {
			best = naive(b, photo, limit)
		}
		b.Logf("%d bytes, PSNR %.2f dB", len(best), likenessOf(b, photo, best))
	})
}

// naive looks for the best quality that fits, as programs do that know nothing of coefficients.
func naive(b *testing.B, photo []byte, limit int) (best []byte) {
	m, err := jpeg.Decode(bytes.NewReader(photo))
	if err != nil {
		b.Fatal(err)
	}
	for low, high := 1, 100; low <= high; {
		q := (low + high) / 2
		var out bytes.Buffer
		if err := jpeg.Encode(&out, m, &jpeg.Options{Quality: q}); err != nil {
			b.Fatal(err)
		}
		if out.Len() > limit {
			high = q - 1
			continue
		}
		low, best = q+1, out.Bytes()
	}
	return best
}

// likenessOf gives the PSNR of luma of two JPEGs, by image/jpeg's pixels.
func likenessOf(b *testing.B, x, y []byte) float64 {
	return psnr(luma(b, x), luma(b, y))
}
