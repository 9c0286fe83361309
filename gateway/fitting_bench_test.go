package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"image/jpeg"
	"image/png"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// workers watches the worker processes of a gateway: how many there are at once, and how large the largest was.
type workers struct {
	most int
	peak float64 // MB
}

func (s *streams) watchWorkers(ctx context.Context, done chan<- workers) {
	var w workers
	pid := s.p.cmd.Process.Pid
	for ; ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		n := 0
		threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		for _, thread := range threads {
			children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, thread.Name()))
			for _, child := range strings.Fields(string(children)) {
				id, _ := strconv.Atoi(child)
				if env, _ := os.ReadFile("/proc/" + child + "/environ"); !bytes.HasPrefix(env, []byte("DERMGATE_PHOTO_WORKER=")) {
					continue // it has just been forked, and shows the gateway's own memory
				}
				n, w.peak = n+1, max(w.peak, peakOf(id))
			}
		}
		w.most = max(w.most, n)
	}
	done <- w
}

// BenchmarkFitting is 32 senders at once with a photo of 12 megapixels each, all of which have to be made to fit the
// hospital: accepted, made to fit, delivered. The gateway's peak must stay below 400 MB; its worker processes, which decode
// what is no JPEG, are told apart.
func BenchmarkFitting(b *testing.B) {
	whole := tiled(b, 4, 4, 97)
	im, err := jpeg.Decode(bytes.NewReader(whole))
	if err != nil {
		b.Fatal(err)
	}
	var out bytes.Buffer
	if err := png.Encode(&out, im); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		photo []byte
		keys  string
	}{
		{"requantised", whole, "photo_bytes: 5242880B"},
		{"resized", whole, "photo_bytes: 745KB"},
		{"converted", out.Bytes(), "photo_bytes: 5242880B, photo_types: [jpeg]"},
	} {
		b.Run(c.name, func(b *testing.B) {
			encoded := []byte(base64.StdEncoding.EncodeToString(c.photo))
			b.ReportMetric(float64(len(c.photo))/1e6, "MB-a-photo")
			for b.Loop() {
				s := startStreamsTo(b, nil, c.keys)
				ctx, cancel := context.WithCancel(context.Background())
				done := make(chan workers, 1)
				go s.watchWorkers(ctx, done)
				s.all(32, func(i int) error { return s.overMLLP(i, encoded) })
				cancel()
				w := <-done
				b.ReportMetric(s.peak(), "peak-MB")
				b.ReportMetric(float64(w.most), "workers")
				b.ReportMetric(w.peak, "worker-peak-MB")
				s.stop()
			}
		})
	}
}
