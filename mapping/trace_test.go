package mapping

import (
	"testing"
	"time"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/maps"
)

// BenchmarkTraceOff is what a message pays for the trace that nobody asked for: one comparison with nil for each
// element that a trace would list, here with the call around it, which most do without. share is its part of the
// translation, in percent: below 1 it is not to be seen in any other benchmark.
func BenchmarkTraceOff(b *testing.B) {
	set, err := Load(maps.FS)
	if err != nil {
		b.Fatal(err)
	}
	m, err := hl7.Parse([]byte(sample))
	if err != nil {
		b.Fatal(err)
	}
	translate := func(trace bool) *Result {
		res, err := set.ToFHIR(m, Options{Source: "test", Trace: trace})
		if err != nil {
			b.Fatal(err)
		}
		return res
	}
	n := len(translate(true).Trace.Elements)
	whole, checks := time.Hour, time.Hour // at their best: another process on the machine slows either
	for range 200 {
		start := time.Now()
		translate(false).Release()
		whole = min(whole, time.Since(start))
	}
	r, s, el := new(rule), &scope{run: new(run)}, fhir.Element{}
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		for range n {
			r.traced(s, el, nil)
		}
		checks = min(checks, time.Since(start))
	}
	b.ReportMetric(float64(n), "elements")
	b.ReportMetric(100*float64(checks)/float64(whole), "share-%")
}
