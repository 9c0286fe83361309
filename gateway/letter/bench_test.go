package letter

import "testing"

func BenchmarkPDF(b *testing.B) {
	bundle := bundle(b, everything)
	b.ReportAllocs()
	for b.Loop() {
		pdf(b, bundle)
	}
}
