package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// smallReferral is one of 1.5 KB, of a patient of its own.
func smallReferral(n int) []byte {
	m := bytes.Replace(referral(n), []byte("9990001014"), []byte(nhsNumber(n)), 1)
	for i := 2; len(m) < 1450; i++ {
		m = fmt.Appendf(m, "OBX|%d|FT|HISTORY^History^L||Present for some weeks, itches at night, no bleeding||||||F\r", i)
	}
	return m
}

// nhsNumber gives the nth of 90,000 numbers of test patients (999 …): every tenth or eleventh digit string has no check digit.
func nhsNumber(n int) string {
	for i := n % 90_000 * 11 / 10; ; i++ {
		stem := fmt.Sprintf("999%06d", i)
		for check := range 10 {
			if number := stem + strconv.Itoa(check); fhir.ValidNHSNumber(number) {
				return number
			}
		}
	}
}

// photoReferral gives a maker of referrals with a photo of 1 MB, which leaves the gateway without its private metadata.
func photoReferral(b *testing.B) func(n int) []byte {
	tail := slices.Concat([]byte("OBX|900|ED|CLOSEUP^Close-up photo^L|L1|^image^jpeg^Base64^"),
		[]byte(base64.StdEncoding.EncodeToString(largePhoto(b, 1_000_000))), []byte("||||||F\r"))
	return func(n int) []byte { return slices.Concat(smallReferral(n), tail) }
}

// BenchmarkFlow sends small referrals over 16 MLLP connections to a gateway in a process of its own, which delivers them
// meanwhile: how many are durably kept and acknowledged a second, how long one takes, how many come to the sink a second,
// the processor time that the gateway takes for each, and what is written for it. make bench-flow; beside it what a plain
// redis-benchmark, or the disk's own sync, does in the same run.
func BenchmarkFlow(b *testing.B) {
	b.Run("bbolt", func(b *testing.B) { benchBolt(b, smallReferral) })
	b.Run("Redis", func(b *testing.B) { benchRedis(b, smallReferral) })
	b.Run("Redis-one-patient", func(b *testing.B) {
		benchRedis(b, func(n int) []byte {
			return bytes.Replace(smallReferral(n), []byte(nhsNumber(n)), []byte(nhsNumber(0)), 1)
		})
	})
}

// BenchmarkFlowPhoto is BenchmarkFlow with a photo of 1 MB in each referral.
func BenchmarkFlowPhoto(b *testing.B) {
	b.Run("bbolt", func(b *testing.B) { benchBolt(b, photoReferral(b)) })
	b.Run("Redis", func(b *testing.B) { benchRedis(b, photoReferral(b)) })
}

func benchBolt(b *testing.B, message func(int) []byte) {
	dir := b.TempDir()
	took, err := syncTime(dir)
	if err != nil {
		b.Fatal(err)
	}
	benchFlow(b, fmt.Sprintf("{embedded: {path: %s/gateway.db}}", dir), message)
	b.ReportMetric(float64(took.Microseconds()), "µs/sync")
}

func benchRedis(b *testing.B, message func(int) []byte) {
	server := adaptertest.Redis(b)
	plain := plainRedis(b, server.Addr())
	server.Send("FLUSHALL")
	before := redisNumber(server, "aof_current_size")
	rate := benchFlow(b, fmt.Sprintf("{redis: {url: redis://%s/0}}", server.Addr()), message)
	b.ReportMetric(rate/plain, "of-redis-benchmark")
	b.ReportMetric((redisNumber(server, "aof_current_size")-before)/float64(b.N), "AOF-B/msg")
	b.ReportMetric(redisNumber(server, "used_memory")/float64(b.N), "memory-B/msg")
}

// benchFlow gives the messages acknowledged a second.
func benchFlow(b *testing.B, store string, message func(int) []byte) float64 {
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "photo.key"), bytes.Repeat([]byte("ab"), 32), 0o600); err != nil {
		b.Fatal(err)
	}
	sink, address := startLedger(b), freePort(b)
	p := &process{t: b, config: filepath.Join(dir, "gateway.yaml"), log: filepath.Join(dir, "log")}
	text := fmt.Sprintf(crashConfig, store, dir, dir, freePort(b), freePort(b), address, sink.Address())
	text = strings.Replace(text, "    urgency:", "    checks: {consent: warn}\n    urgency:", 1)
	text = strings.Replace(text, "concurrency: 4", "concurrency: 16", 1) // as many as there are senders
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	p.start()
	b.Cleanup(p.kill)
	var conn *mllp.Conn
	for code := ""; code != "AA"; time.Sleep(20 * time.Millisecond) {
		code, _ = exchange(&conn, address, smallReferral(0))
	}
	var n atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	var senders sync.WaitGroup
	pid := p.cmd.Process.Pid
	worked, wrote := processorTime(pid), written(pid)
	b.ResetTimer()
	begun := time.Now()
	for range 16 {
		senders.Go(func() {
			var conn *mllp.Conn
			for i := int(n.Add(1)); i <= b.N; i = int(n.Add(1)) {
				at := time.Now()
				if code, err := exchange(&conn, address, message(i)); code != "AA" {
					b.Errorf("%s, %v", code, err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(at))
				mu.Unlock()
			}
		})
	}
	senders.Wait()
	rate := float64(b.N) / time.Since(begun).Seconds()
	b.StopTimer()
	for sink.len() <= b.N && time.Since(begun) < 10*time.Minute {
		time.Sleep(5 * time.Millisecond)
	}
	each := func(total float64) float64 { return total / float64(b.N) }
	b.ReportMetric(float64(b.N)/time.Since(begun).Seconds(), "delivered/s")
	b.ReportMetric(rate, "acknowledged/s")
	if slices.Sort(took); len(took) > 0 {
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	}
	b.ReportMetric(each(float64((processorTime(pid) - worked).Microseconds())), "µs-cpu/msg")
	b.ReportMetric(each(float64(written(pid)-wrote)), "written-B/msg")
	b.ReportMetric(peakOf(pid), "peak-MB")
	return rate
}

// processorTime gives what a process has used of it, by user and system; 0 where the system does not say. Linux counts it in
// hundredths of a second, proc(5).
func processorTime(pid int) time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(text), ") ")
	fields, ticks := strings.Fields(after), 0
	if len(fields) < 13 {
		return 0
	}
	for _, f := range fields[11:13] {
		n, _ := strconv.Atoi(f)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// written gives the bytes that a process had written to disk; 0 where the system does not say.
func written(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	_, after, _ := strings.Cut(string(text), "\nwrite_bytes: ")
	n, _ := strconv.Atoi(strings.SplitN(after, "\n", 2)[0])
	return n
}

func redisNumber(r *adaptertest.RedisServer, name string) float64 {
	_, after, _ := strings.Cut(r.Send("INFO all"), "\r\n"+name+":")
	n, _ := strconv.ParseFloat(strings.SplitN(after, "\r\n", 2)[0], 64)
	return n
}

// plainRedis gives the SETs of 1.5 KB a second that redis-benchmark gets over 16 connections.
func plainRedis(b *testing.B, address string) float64 {
	_, port, _ := strings.Cut(address, ":")
	out, err := exec.Command("redis-benchmark", "-p", port, "-c", "16", "-n", "5000", "-d", "1500", "-t", "set", "-q").CombinedOutput()
	m := regexp.MustCompile(`SET: ([0-9.]+) requests per second`).FindSubmatch(out)
	if err != nil || m == nil {
		b.Fatalf("redis-benchmark (package redis-tools): %v: %s", err, out)
	}
	rate, _ := strconv.ParseFloat(string(m[1]), 64)
	b.ReportMetric(rate, "redis-benchmark/s")
	return rate
}
