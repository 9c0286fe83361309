package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/mllp"
)

// BenchmarkReplicas has one, two and three gateways on one Redis deliver what waits for a receiver that takes 50 ms for each
// message, over one connection a gateway: how many come a second, and how many times as many as with one. make bench-replicas.
func BenchmarkReplicas(b *testing.B) {
	var one float64
	for n := 1; n <= 3; n++ {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			rate := slowSink(b, n)
			if n == 1 {
				one = rate
			}
			b.ReportMetric(rate, "delivered/s")
			b.ReportMetric(rate/one, "times-one")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// slowSink gives the deliveries a second of n gateways, while all of them are at it: not of the first and the last of them.
func slowSink(b *testing.B, n int) float64 {
	sink := startSlow(b, 50*time.Millisecond)
	f := startFleet(b, n, adaptertest.Redis(b).Addr(), sink.addr, func(text string) string {
		return strings.Replace(text, "concurrency: 4", "concurrency: 1", 1)
	})
	f.all[0].operate("pause", "sink", "--reason", "they gather")
	conns := make([]*mllp.Conn, n)
	total := b.N * n // each gateway has b.N
	for i := range total {
		f.send(f.all[i%n], &conns[i%n], referral(i))
	}
	f.all[0].operate("resume", "sink", "--reason", "all are there")
	for limit := time.Now().Add(10 * time.Minute); len(sink.all()) < total; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			b.Fatalf("%d of %d came", len(sink.all()), total)
		}
	}
	came := sink.all()
	came = came[total/5 : total-total/5]
	return float64(len(came)-1) / came[len(came)-1].at.Sub(came[0].at).Seconds()
}
