package blob

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// stage writes content in uneven pieces and closes it.
func stage(t *testing.T, f rig, b []byte) *Staged {
	t.Helper()
	s, err := f.Stage()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Discard)
	for n := 1; len(b) > 0; n = n*3 + 7 {
		n = min(n, len(b))
		if _, err := s.Write(b[:n]); err != nil {
			t.Fatal(err)
		}
		b = b[n:]
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return s
}

// sizes at which segments end.
var sizes = []int{0, 1, segment - 1, segment, segment + 1, 2 * segment, 3*segment + 5}

func TestStagedIsWhatPutMakes(t *testing.T) {
	f := newFolder(t)
	for _, n := range sizes {
		s := stage(t, f, content(n))
		o, err := s.Keep(t.Context(), "case-1")
		if err != nil {
			t.Fatal(err)
		}
		if want := put(t, f, "case-1", content(n)); o != want || s.SHA256() != o.SHA256 {
			t.Errorf("%d bytes: staged %+v, put %+v", n, o, want)
		}
		if b, err := read(f, o.Name); err != nil || !bytes.Equal(b, content(n)) {
			t.Errorf("%d bytes: %d came back, %v", n, len(b), err)
		}
	}
	if l := left(t, f); len(l) != len(sizes) {
		t.Errorf("left %v", l)
	}
}

// A staged object may be read before anybody owns it, and after; a kept one too.
func TestReadAtAnyPlace(t *testing.T) {
	f := newFolder(t)
	rnd := rand.New(rand.NewSource(1))
	for _, n := range sizes {
		s := stage(t, f, content(n))
		readAt(t, rnd, s, n)
		o, err := s.Keep(t.Context(), "case-1")
		if err != nil {
			t.Fatal(err)
		}
		readAt(t, rnd, s, n)
		kept, err := f.OpenAt(t.Context(), o.Name)
		if err != nil {
			t.Fatal(err)
		}
		readAt(t, rnd, kept, n)
		kept.Close()
	}
	if _, err := f.OpenAt(t.Context(), "case-1/"+string(bytes.Repeat([]byte("0"), 64))); !errors.Is(err, flow.ErrNotFound) {
		t.Errorf("an object that is not there: %v", err)
	}
}

func readAt(t *testing.T, rnd *rand.Rand, r interface {
	io.ReaderAt
	Size() int64
}, n int) {
	t.Helper()
	if r.Size() != int64(n) {
		t.Errorf("size %d, want %d", r.Size(), n)
	}
	var wg sync.WaitGroup
	for range 4 {
		from, long := rnd.Intn(n+1), rnd.Intn(2*segment)
		wg.Go(func() {
			want := content(n)[from:min(n, from+long)]
			b := make([]byte, long)
			got, err := r.ReadAt(b, int64(from))
			if !bytes.Equal(b[:got], want) || (err == nil) != (got == long) || err != nil && err != io.EOF {
				t.Errorf("%d bytes from %d of %d: %d, %v", long, from, n, got, err)
			}
		})
	}
	wg.Wait()
}

// Rule 1 for an object whose owner came later: in the same order as Put.
func TestRule1KeepSyncsBeforeItNames(t *testing.T) {
	f := newFolder(t)
	var steps []string
	var synced []byte
	f.disk = watched{steps: &steps, synced: &synced}
	s := stage(t, f, content(segment+5))
	if len(steps) > 0 {
		t.Errorf("before it is kept: %v", steps)
	}
	if _, err := s.Keep(t.Context(), "case-1"); err != nil {
		t.Fatal(err)
	}
	if want := []string{"sync photos", "sync file", "rename", "sync case-1"}; !slices.Equal(steps, want) {
		t.Errorf("%v, want %v", steps, want)
	}
}

// The first owner stays, and a step that fails may be tried again.
func TestKeepAgain(t *testing.T) {
	for _, step := range []string{"sync photos", "sync file", "rename", "sync case-1"} {
		f := newFolder(t)
		s := stage(t, f, content(100))
		var steps []string
		var synced []byte
		f.disk = watched{steps: &steps, synced: &synced, failing: step}
		if _, err := s.Keep(t.Context(), "case-1"); !errors.Is(err, flow.ErrUnavailable) {
			t.Errorf("%s failed: %v", step, err)
		}
		f.disk = local{}
		first, err := s.Keep(t.Context(), "case-1")
		if err != nil {
			t.Fatal(step, err)
		}
		second, err := s.Keep(t.Context(), "case-2")
		if err != nil || second != first {
			t.Errorf("%+v, %+v, %v", first, second, err)
		}
		if b, err := read(f, first.Name); err != nil || !bytes.Equal(b, content(100)) || len(left(t, f)) != 1 {
			t.Errorf("%s failed once: %d bytes, %v, left %v", step, len(b), err, left(t, f))
		}
	}
}

func TestDiscarded(t *testing.T) {
	f := newFolder(t)
	stage(t, f, content(100)).Discard()
	open, err := f.Stage()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open.Write(content(3 * segment)); err != nil {
		t.Fatal(err)
	}
	open.Discard()
	open.Discard()
	if l := left(t, f); len(l) > 0 {
		t.Errorf("left %v", l)
	}
	s := stage(t, f, content(100))
	s.Discard()
	if _, err := s.Keep(t.Context(), "case-1"); err == nil {
		t.Error("what was discarded was kept")
	}
}

// What was changed, cut or extended gives no byte of the segment that shows it; what is not whole does not open.
func TestACorruptObjectReadAt(t *testing.T) {
	f := newFolder(t)
	want := content(2*segment + 10)
	o := put(t, f, "case-1", want)
	path := filepath.Join(f.dir, o.Name)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		b     []byte
		opens bool
	}{
		"changed in the middle": {flip(whole, header+sealed+3), true},
		"changed at the end":    {flip(whole, len(whole)-1), false},
		"cut at a segment":      {whole[:header+2*sealed], false},
		"cut in a segment":      {whole[:len(whole)-1], false},
		"extended":              {append(bytes.Clone(whole), 0), false},
		"a header only":         {whole[:header], false},
	} {
		if err := os.WriteFile(path, c.b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := f.OpenAt(t.Context(), o.Name)
		if (err == nil) != c.opens {
			t.Errorf("%s: opening gives %v", name, err)
		}
		if !c.opens {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		b := make([]byte, segment)
		if n, err := r.ReadAt(b, 0); n != segment || err != nil || !bytes.Equal(b, want[:segment]) {
			t.Errorf("%s: the segment before: %d, %v", name, n, err)
		}
		for off := int64(segment - 5); off < 2*segment; off += segment / 2 {
			n, err := r.ReadAt(b, off)
			if !errors.Is(err, ErrCorrupt) || n > 5 {
				t.Errorf("%s: at %d: %d, %v", name, off, n, err)
			}
		}
		if n, err := r.ReadAt(b[:10], 2*segment); n != 10 || err != nil || !bytes.Equal(b[:10], want[2*segment:]) {
			t.Errorf("%s: the segment behind: %d, %v", name, n, err)
		}
		r.Close()
	}
}

func TestAStagedObjectThatWasChangedOnTheDisk(t *testing.T) {
	f := newFolder(t)
	for name, change := range map[string]func(path string) error{
		"changed": func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, flip(b, header+sealed+9), 0o600)
		},
		"cut": func(path string) error { return os.Truncate(path, int64(header+sealed+100)) },
	} {
		s := stage(t, f, content(2*segment))
		if err := change(s.seal.file.Name()); err != nil {
			t.Fatal(err)
		}
		if n, err := s.ReadAt(make([]byte, 2*segment), 0); !errors.Is(err, ErrCorrupt) || n != segment {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
}

// Staged bytes are sealed, and nothing on the disk opens them.
func TestStagedBytesAreNoise(t *testing.T) {
	f := newFolder(t)
	s := stage(t, f, bytes.Repeat([]byte("Rosalind Testcase "), 10_000))
	b, err := os.ReadFile(s.seal.file.Name())
	if err != nil || bytes.Contains(b, []byte("Rosalind")) || bytes.Contains(b, s.seal.key) || !bytes.Equal(b[:header], make([]byte, header)) {
		t.Errorf("content or key stand in the clear (%v)", err)
	}
}

func TestWhatIsDoneOutOfTurnFails(t *testing.T) {
	f := newFolder(t)
	s, err := f.Stage()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReadAt(make([]byte, 1), 0); !errors.Is(err, errOpen) {
		t.Errorf("read before Close: %v", err)
	}
	if _, err := s.Keep(t.Context(), "case-1"); !errors.Is(err, errOpen) {
		t.Errorf("kept before Close: %v", err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("closed again: %v", err)
		}
	}
	if _, err := s.Write([]byte("more")); !errors.Is(err, errEnded) {
		t.Errorf("written after Close: %v", err)
	}
	if _, err := s.Keep(t.Context(), "../up"); !errors.Is(err, errOwner) {
		t.Errorf("a bad owner: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Keep(ended, "case-1"); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled Keep: %v", err)
	}
	if _, err := s.ReadAt(nil, -1); err == nil {
		t.Error("read before the beginning")
	}
	s.Discard()
	if _, err := s.ReadAt(make([]byte, 1), 0); !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrClosed) {
		t.Errorf("read after Discard: %v", err)
	}
	if err := s.Close(); !errors.Is(err, errDiscarded) {
		t.Errorf("closed after Discard: %v", err)
	}
}

// A process that died while it staged: the next one to open the folder clears up after it, and never after
// one that lives, however old its files are.
func TestWhatACrashLeavesIsRemovedAndNothingElse(t *testing.T) {
	if dir := os.Getenv("BLOB_CRASH"); dir != "" {
		f, err := OpenFolder(dir, Keys{Seal: master})
		if err != nil {
			t.Fatal(err)
		}
		s, err := f.Stage()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write(content(3 * segment)); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("staged\n")
		time.Sleep(time.Minute) // until it is killed
	}
	f := newFolder(t)
	c := child(t, "TestWhatACrashLeavesIsRemovedAndNothingElse", "BLOB_CRASH="+f.dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "staged\n" {
		t.Fatalf("%q %v", line, err)
	}
	mine := stage(t, f, content(100))
	for _, path := range left(t, f) {
		age(t, path, 48*time.Hour)
	}
	if _, err := OpenFolder(f.dir, Keys{Seal: master}); err != nil || len(left(t, f)) != 2 {
		t.Fatalf("while both live: left %v, %v", left(t, f), err)
	}
	if n, err := f.Sweep(t.Context(), none, time.Hour); n != 0 || err != nil || len(left(t, f)) != 2 {
		t.Fatalf("while both live: swept %d, left %v, %v", n, left(t, f), err)
	}
	c.Process.Kill()
	c.Wait()
	if _, err := OpenFolder(f.dir, Keys{Seal: master}); err != nil {
		t.Fatal(err)
	}
	if l := left(t, f); len(l) != 1 || l[0] != mine.seal.file.Name() {
		t.Errorf("after one was killed: left %v", l)
	}
	if _, err := mine.Keep(t.Context(), "case-1"); err != nil {
		t.Error(err)
	}
}

func TestAStagingFolderThatWentAwayIsMadeAgain(t *testing.T) {
	f := newFolder(t)
	stage(t, f, content(10)).Discard()
	if err := os.RemoveAll(filepath.Join(f.dir, staging)); err != nil {
		t.Fatal(err)
	}
	if _, err := stage(t, f, content(10)).Keep(t.Context(), "case-1"); err != nil {
		t.Error(err)
	}
}

// Keep for owners whose folders were empty for long, while Sweep removes such folders.
func TestKeepBesideSweep(t *testing.T) {
	f := newFolder(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		for ctx.Err() == nil {
			if _, err := f.Sweep(ctx, none, time.Hour); err != nil && !errors.Is(err, context.Canceled) {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for i := range 100 {
		owner := fmt.Sprintf("case-%d", i)
		s := stage(t, f, content(300))
		if err := os.Mkdir(filepath.Join(f.dir, owner), 0o700); err != nil {
			t.Fatal(err)
		}
		age(t, filepath.Join(f.dir, owner), 48*time.Hour)
		o, err := s.Keep(t.Context(), owner)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := read(f, o.Name); err != nil || !bytes.Equal(b, content(300)) {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func BenchmarkStageAndKeep(b *testing.B) {
	f, photo := newFolder(b), content(15<<20)
	b.SetBytes(int64(len(photo)))
	b.ReportAllocs()
	for b.Loop() {
		s, err := f.Stage()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Write(photo); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Keep(b.Context(), "case-1"); err != nil {
			b.Fatal(err)
		}
		s.Discard()
	}
}

// BenchmarkPutPhoto is the same photo by Put.
func BenchmarkPutPhoto(b *testing.B) {
	f, photo := newFolder(b), content(15<<20)
	b.SetBytes(int64(len(photo)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Put(b.Context(), "case-1", bytes.NewReader(photo)); err != nil {
			b.Fatal(err)
		}
	}
}
