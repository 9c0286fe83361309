package redis_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/redis"
	"github.com/dermgate/dermgate/gateway/flow"
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

// BenchmarkBacklog tells what waiting messages cost: memory and file for each, claims, starting. BACKLOG says how many.
func BenchmarkBacklog(b *testing.B) {
	server := adaptertest.Redis(b, "auto-aof-rewrite-percentage 0")
	o := redis.Options{URL: server.URL()}
	s := open(b, o)
	memory, file := info(server, "used_memory"), info(server, "aof_current_size")
	filled := func(n int) {
		b.ReportMetric((info(server, "used_memory")-memory)/float64(n+200), "memory-B/waiting")
		b.ReportMetric((info(server, "aof_current_size")-file)/float64(n+200), "AOF-B/waiting")
	}
	adaptertest.BenchBacklog(b, s, filled, func() flow.Store { return open(b, o) })
}

func info(server *adaptertest.RedisServer, name string) float64 {
	_, after, _ := strings.Cut(server.Send("INFO all"), "\r\n"+name+":")
	n, _ := strconv.ParseFloat(strings.SplitN(after, "\r\n", 2)[0], 64)
	return n
}
