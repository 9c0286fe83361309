package mllp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// arrivals are ways for the same bytes to arrive.
var arrivals = map[string]func(io.Reader) io.Reader{
	"at once":           func(r io.Reader) io.Reader { return r },
	"by halves":         iotest.HalfReader,
	"in odd pieces":     func(r io.Reader) io.Reader { return pieces{r, 4093} },
	"with the end":      iotest.DataErrReader,
	"a byte at a time":  iotest.OneByteReader,
	"a buffer at once":  func(r io.Reader) io.Reader { return pieces{r, bufferSize} },
	"a buffer but one":  func(r io.Reader) io.Reader { return pieces{r, bufferSize - 1} },
	"a buffer and more": func(r io.Reader) io.Reader { return pieces{r, bufferSize + 1} },
}

// pieces gives at most n bytes a read.
type pieces struct {
	r io.Reader
	n int
}

func (p pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), p.n)]) }

// TestFSAtEveryBufferBoundary puts an FS, and what follows it, around the ends of the reader's buffer: what
// ends the frame and what stands inside it does not depend on how the bytes arrive.
func TestFSAtEveryBufferBoundary(t *testing.T) {
	for _, tt := range []struct {
		follows string // the FS
		want    error  // of the frame
		rest    int    // bytes of the frame after the FS
	}{
		{"\r", nil, 0},
		{"", nil, 0}, // the next frame's VT
		{"x\x1c\r", ErrInside, 2},
		{"\n\x1c\r", ErrInside, 2},
		{"\x1c\r", ErrInside, 1},
	} {
		for arrival, through := range arrivals {
			for _, boundary := range []int{bufferSize, 2 * bufferSize} {
				for off := -3; off <= 2; off++ {
					before := strings.Repeat("x", boundary+off)
					text := "\x0b" + before + "\x1c" + tt.follows + frame("next")
					want := before
					if tt.want != nil {
						want += "\x1c" + tt.follows[:tt.rest-1]
					}
					r := NewReader(through(strings.NewReader(text)), 0)
					got, err := r.ReadFrame()
					if string(got) != want || err != tt.want {
						t.Fatalf("FS at %d, then %q, %s: %d bytes of %d, %v", boundary+off, tt.follows, arrival, len(got), len(want), err)
					}
					if next, err := r.ReadFrame(); string(next) != "next" || err != nil {
						t.Fatalf("FS at %d, then %q, %s: then %q, %v", boundary+off, tt.follows, arrival, next, err)
					}
				}
			}
		}
	}
}

// TestStreamEndsWithEOFOnlyWhereTheFrameDid: whoever believes io.EOF believes whole frames only.
func TestStreamEndsWithEOFOnlyWhereTheFrameDid(t *testing.T) {
	long := strings.Repeat("x", 3*bufferSize)
	broken := errors.New("the line broke")
	for name, tt := range map[string]struct {
		r    io.Reader
		want error // nil: proper
		next error // of the next frame
	}{
		"whole":                 {strings.NewReader(frame(long)), nil, io.EOF},
		"whole, no CR":          {strings.NewReader("\x0b" + long + "\x1c"), nil, io.EOF},
		"no FS":                 {strings.NewReader("\x0b" + long), ErrUnfinished, ErrUnfinished},
		"nothing but VT":        {strings.NewReader("\x0b"), ErrUnfinished, ErrUnfinished},
		"VT inside":             {strings.NewReader(frame(long+"\x0b") + frame("")), ErrInside, nil},
		"VT first":              {strings.NewReader("\x0b" + frame(long) + frame("")), ErrInside, nil},
		"FS inside":             {strings.NewReader(frame(long+"\x1cx") + frame("")), ErrInside, nil},
		"a byte over the limit": {strings.NewReader(frame(long + "x")), ErrTooLong, ErrTooLong},
		"an FS over the limit":  {strings.NewReader(frame(long + "\x1c")), ErrTooLong, ErrTooLong},
		"broken":                {io.MultiReader(strings.NewReader("\x0b"+long), iotest.ErrReader(broken)), broken, broken},
		"broken after FS":       {io.MultiReader(strings.NewReader("\x0b"+long+"\x1c"), iotest.ErrReader(broken)), broken, broken},
		"out of time":           {io.MultiReader(strings.NewReader("\x0b"+long), iotest.ErrReader(os.ErrDeadlineExceeded)), os.ErrDeadlineExceeded, os.ErrDeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(tt.r, int64(len(long)+2))
			if strings.Contains(name, "over the limit") {
				r.max = int64(len(long))
			}
			f, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(io.LimitReader(f, 1<<30)) // through Read, not WriteTo
			if err != tt.want || len(got) > int(r.max) {
				t.Errorf("%d bytes, %v, want %v", len(got), err, tt.want)
			}
			if n, err := f.Read(make([]byte, 1)); n != 0 || err != orEOF(tt.want) {
				t.Errorf("read on: %d, %v", n, err)
			}
			if err := f.Close(); err != tt.want {
				t.Errorf("closed: %v", err)
			}
			if _, err := r.Next(); err != tt.next {
				t.Errorf("next: %v, want %v", err, tt.next)
			}
		})
	}
}

func orEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// TestWhatIsLeftOfAFrameIsSkipped: a frame that nobody wanted to the end does not hide the next.
func TestWhatIsLeftOfAFrameIsSkipped(t *testing.T) {
	r := NewReader(strings.NewReader(frame(strings.Repeat("x", 200_000))+frame("a\x0bb")+frame("last")), 0)
	for _, read := range []int{0, 10, 4} {
		f, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, read)
		if n, err := io.ReadFull(f, b); read == 4 && (string(b) != "last" || err != nil) || read == 10 && err != ErrInside {
			t.Errorf("%q, %d, %v", b, n, err)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("then %v", err)
	}
}

// endless is one frame of n bytes, made while it is read.
func endless(n int64) io.Reader {
	return io.MultiReader(strings.NewReader("\x0b"), io.LimitReader(letters{}, n), strings.NewReader("\x1c\r"))
}

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestStreamingNeedsOneBuffer reads 1 GB in a frame and allocates what a reader takes.
func TestStreamingNeedsOneBuffer(t *testing.T) {
	const size = 1 << 30
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := NewReader(endless(size), size).Next()
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, f)
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; n != size || err != nil || grown > 1<<20 {
		t.Errorf("%d bytes, %v; %d KB allocated", n, err, grown>>10)
	}
}

// TestMemoryOfAFrameGrowsWithItsSize: no copying over and over, whatever the pieces.
func TestMemoryOfAFrameGrowsWithItsSize(t *testing.T) {
	const size = 32 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b, err := NewReader(pieces{endless(size), 1400}, 0).ReadFrame()
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; len(b) != size || cap(b) > size+size/8 || err != nil || grown > 4*size {
		t.Errorf("%d bytes in %d, %v; %d MB allocated", len(b), cap(b), err, grown>>20)
	}
}

func TestFramesDoNotShareMemory(t *testing.T) {
	r := NewReader(strings.NewReader(frame("one")+frame("two")), 0)
	one, _ := r.ReadFrame()
	two, _ := r.ReadFrame()
	if string(one) != "one" || string(two) != "two" {
		t.Errorf("%q, %q", one, two)
	}
}

func TestReadFrameIntoUsesTheCallersMemory(t *testing.T) {
	source := bytes.NewReader(bytes.Repeat([]byte(frame(message("1"))), 1100))
	r := NewReader(source, 0)
	buf, want := make([]byte, 0, 1000), []byte(message("1"))
	allocs := testing.AllocsPerRun(1000, func() {
		b, err := r.ReadFrameInto(buf)
		if err != nil || !bytes.Equal(b, want) || &b[0] != &buf[:1][0] {
			t.Fatalf("%q, %v", b, err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations a frame", allocs)
	}
	if b, err := r.ReadFrameInto(make([]byte, 7)); err != nil || string(b) != message("1") {
		t.Errorf("into too little: %q, %v", b, err)
	}
}

// TestSilenceEndsAFrameWithoutCR over a real connection: the wait for CR is short, costs no more than that,
// and what comes after it shows that the FS stood inside.
func TestSilenceEndsAFrameWithoutCR(t *testing.T) {
	for name, tt := range map[string]struct {
		pause time.Duration
		want  string
		err   error
	}{
		"silence":            {2 * trailerWait, "a", nil},
		"no silence, inside": {trailerWait / 10, "a\x1cb", ErrInside},
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			go func() {
				defer func() { _ = theirs.Close() }()
				_, _ = io.WriteString(theirs, "\x0ba\x1c")
				time.Sleep(tt.pause)
				_, _ = io.WriteString(theirs, "b\x1c\r")
			}()
			got, err := NewReader(ours, 0).ReadFrame()
			if string(got) != tt.want || err != tt.err {
				t.Errorf("%q, %v", got, err)
			}
			_ = ours.Close()
		})
	}
}

// TestNoDeadlineForWhatHasArrived: the reader waits, and so says that it waits, once for many frames.
func TestNoDeadlineForWhatHasArrived(t *testing.T) {
	r := NewReader(strings.NewReader(strings.Repeat(frame(message("1")), 50)), 0)
	var waits counter
	r.wait = &waits
	for range 50 {
		if _, err := r.ReadFrame(); err != nil {
			t.Fatal(err)
		}
	}
	if waits != 1 {
		t.Errorf("%d waits for 50 frames in one read", waits)
	}
	if _, err := r.ReadFrame(); err != io.EOF || waits != 2 {
		t.Errorf("%v after %d waits", err, waits)
	}
}

type counter int

func (c *counter) await(phase, time.Time) error { *c++; return nil }

func TestAWaitThatFailsEndsTheReading(t *testing.T) {
	r := NewReader(strings.NewReader("\x0bab"), 0)
	r.wait = failing{}
	if _, err := r.Next(); fmt.Sprint(err) != "cannot wait" {
		t.Errorf("%v", err)
	}
}

type failing struct{}

func (failing) await(phase, time.Time) error { return errors.New("cannot wait") }
