package adaptertest

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/dermgate/dermgate/gateway/flow"
)

// BenchPut measures Put of a small request with one delivery from 16 goroutines: what a store does between
// a message and its acknowledgement.
func BenchPut(b *testing.B, s flow.Store) {
	var n atomic.Int64
	b.SetParallelism(max(1, 16/runtime.GOMAXPROCS(0))) // so many a processor
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Put(b.Context(), Request(fmt.Sprint("bench ", n.Add(1)), "epr")); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
}
