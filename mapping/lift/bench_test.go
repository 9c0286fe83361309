package lift

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nowhere takes objects and keeps nothing.
type nowhere struct{}

func (nowhere) Create() (Object, error)     { return nowhere{}, nil }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) Close() error                { return nil }
func (nowhere) Discard()                    {}

func processor() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRead reads messages of 20 MB with a photo of 15 MB, and small ones. MB/cpu-s is by processor time,
// which other work on the machine disturbs less. B/op tells that memory does not grow with the photo.
func BenchmarkRead(b *testing.B) {
	const photo = 15_000_000
	for _, c := range []struct {
		name   string
		format Format
		in     func() string
	}{
		{"er7-20MB", ER7, func() string { return oru("^IM^JPEG^Base64^" + encoded(photo)) }},
		{"er7-20MB-wrapped", ER7, func() string { return oru("^IM^JPEG^Base64^" + wrap(encoded(photo), 76, "\r\n")) }},
		{"json-20MB", JSON, func() string { return `{"resourceType":"Binary","data":"` + encoded(photo) + `"}` }},
		{"er7-small", ER7, func() string {
			return oru("text") + strings.Repeat("OBX|2|TX|X^Y||a plain line of text, as they come||||||F\r", 20)
		}},
		{"json-small", JSON, func() string {
			return "[" + strings.Repeat(`{"resourceType": "Patient", "name": [{"family": "Testcase", "given": ["Alice"]}]},`, 20) + "1]"
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			in, r := []byte(c.in()), bytes.NewReader(nil)
			runtime.GC()
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			n, start := 0, processor()
			for ; b.Loop(); n++ {
				r.Reset(in)
				l, err := Read(r, c.format, nowhere{}, Limits{})
				if err != nil || l.Size != int64(len(in)) || (len(l.Parts) == 1) != (len(in) > 1<<20) {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(in))*float64(n)/1e6/(processor()-start).Seconds(), "MB/cpu-s")
		})
	}
}

// BenchmarkRebuild gives the 20 MB message back.
func BenchmarkRebuild(b *testing.B) {
	in := []byte(oru("^IM^JPEG^Base64^" + encoded(15_000_000)))
	l, err := Read(bytes.NewReader(in), ER7, &memory{}, Limits{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		r := l.Original(open)
		if n, err := io.Copy(io.Discard, r); err != nil || n != int64(len(in)) {
			b.Fatal(n, err)
		}
	}
}
