package redis_test

import (
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/redis"
)

// BenchmarkIdleClaim measures a look at all partitions when nothing is due: what every destination of every
// gateway asks each second.
func BenchmarkIdleClaim(b *testing.B) {
	s := open(b, redis.Options{URL: adaptertest.Redis(b).URL()})
	for b.Loop() {
		if ds, err := s.Claim(b.Context(), "epr", 8, time.Minute); err != nil || len(ds) != 0 {
			b.Fatal(ds, err)
		}
	}
}
