package mllp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// discard answers every message with the same small acknowledgement and keeps nothing.
func discard(context.Context, flow.Received) (flow.Receipt, error) {
	return flow.Receipt{Answer: discardAck}, nil
}

var discardAck = []byte("MSH|^~\\&|DERMGATE|RXX01|EMIS|Y06601|20260105||ACK^A28|L1|P|2.5\rMSA|AA|1\r")

// BenchmarkServer sends small messages over 16 loopback connections, several frames a write, and large ones
// over 2, to a server whose handler discards them: the path of `serve` up to Accept. The clients' work is in
// the figures.
func BenchmarkServer(b *testing.B) {
	small := []byte(message("1") + "PV1||O|DERM||||G5612908^Okafor^Ngozi|||||||||||V1\rPV2|||L30.9^Dermatitis\rNTE|1||Itchy plaque\r")
	large := benchmarkLarge()
	b.Run("small", func(b *testing.B) { benchmarkServer(b, small, 16, 64) })
	b.Run("one at a time", func(b *testing.B) { benchmarkServer(b, small, 16, 1) })
	b.Run("3MB", func(b *testing.B) { benchmarkServer(b, large, 2, 1) })
}

// benchmarkLarge is a message of 3 MB, mostly photo.
func benchmarkLarge() []byte {
	return append([]byte(message("1")+"OBX|1|ED|IMG||^IMAGE^JPEG^BASE64^"), bytes.Repeat([]byte("/9j/4AAQSkZJRgAB"), 3_000_000/16)...)
}

// BenchmarkReader takes large frames out of memory: as streams, into memory of the caller's, and into memory
// of their own.
func BenchmarkReader(b *testing.B) {
	sent := appendFrame(nil, benchmarkLarge())
	for name, read := range map[string]func(*Reader, []byte) error{
		"stream": func(r *Reader, _ []byte) error {
			f, err := r.Next()
			if err == nil {
				_, err = f.WriteTo(io.Discard)
			}
			return err
		},
		"reused": func(r *Reader, into []byte) error { _, err := r.ReadFrameInto(into); return err },
		"owned":  func(r *Reader, _ []byte) error { _, err := r.ReadFrame(); return err },
	} {
		b.Run(name, func(b *testing.B) {
			source := bytes.NewReader(sent)
			r, into := NewReader(source, 0), make([]byte, 0, len(sent))
			b.SetBytes(int64(len(sent)))
			b.ReportAllocs()
			for b.Loop() {
				source.Reset(sent)
				if err := read(r, into); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// benchmarkServer sends b.N messages over conns connections, each writing batch frames at once and then
// waiting for their acknowledgements.
func benchmarkServer(b *testing.B, msg []byte, conns, batch int) {
	s := &Server{Name: "bench", Addr: "127.0.0.1:0"}
	if err := s.Listen(); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, discard) }()
	var left atomic.Int64
	left.Store(int64(b.N))
	sent := bytes.Repeat(appendFrame(nil, msg), batch)
	failed := make(chan error, conns)
	b.ReportAllocs()
	b.ResetTimer()
	start := time.Now()
	for range conns {
		go func() { failed <- benchmarkPeer(s.Address(), sent, batch, &left) }()
	}
	for range conns {
		if err := <-failed; err != nil {
			b.Error(err)
		}
	}
	took := time.Since(start).Seconds()
	b.StopTimer()
	done := float64(int64(b.N) - left.Load()) // whole batches
	b.ReportMetric(done/took, "msg/s")
	b.ReportMetric(done*float64(len(sent)/batch)/took/1e9, "GB/s")
	cancel()
	if err := <-ended; err != nil {
		b.Error(err)
	}
}

func benchmarkPeer(address string, sent []byte, batch int, left *atomic.Int64) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	acks := bytes.Repeat(appendFrame(nil, discardAck), batch)
	got := make([]byte, len(acks))
	for left.Add(-int64(batch)) > -int64(batch) {
		if _, err := c.Write(sent); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, got); err != nil {
			return err
		}
		if !bytes.Equal(got, acks) {
			return fmt.Errorf("wrong acknowledgements: %q", got)
		}
	}
	left.Add(int64(batch)) // taken, and not sent
	return nil
}
