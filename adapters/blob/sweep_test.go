package blob

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

func age(t *testing.T, path string, by time.Duration) {
	t.Helper()
	then := time.Now().Add(-by)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
}

func none(string) bool { return false }

func TestSweepTakesOldOrphansOnly(t *testing.T) {
	f := newFolder(t)
	wanted, orphan, young := put(t, f, "case-1", []byte("wanted")), put(t, f, "case-1", []byte("orphan")), put(t, f, "case-2", []byte("young"))
	leftover := filepath.Join(f.dir, "case-1", temporary+"1")
	foreign := filepath.Join(f.dir, "case-1", "README")
	for _, path := range []string{leftover, foreign} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{leftover, foreign, filepath.Join(f.dir, wanted.Name), filepath.Join(f.dir, orphan.Name)} {
		age(t, path, 48*time.Hour)
	}
	n, err := f.Sweep(t.Context(), func(name string) bool { return name == wanted.Name }, 24*time.Hour)
	if n != 2 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	if _, err := read(f, orphan.Name); !errors.Is(err, flow.ErrNotFound) {
		t.Errorf("the orphan is there: %v", err)
	}
	want := []string{foreign, filepath.Join(f.dir, wanted.Name), filepath.Join(f.dir, young.Name)}
	slices.Sort(want)
	if got := left(t, f); !slices.Equal(got, want) {
		t.Errorf("left %v, want %v", got, want)
	}
}

// An old orphan is put again after Sweep has asked whether it is wanted and before it removes it.
func TestSweepDoesNotTakeWhatWasJustAcknowledged(t *testing.T) {
	f := newFolder(t)
	o := put(t, f, "case-1", []byte("photo"))
	age(t, filepath.Join(f.dir, o.Name), 48*time.Hour)
	n, err := f.Sweep(t.Context(), func(string) bool {
		put(t, f, "case-1", []byte("photo"))
		return false
	}, 24*time.Hour)
	if n != 0 || err != nil {
		t.Errorf("%d removed, %v", n, err)
	}
	if _, err := read(f, o.Name); err != nil {
		t.Error(err)
	}
}

func TestSweepRemovesEmptyFoldersAndPutMakesThemAgain(t *testing.T) {
	f := newFolder(t)
	o := put(t, f, "case-1", []byte("photo"))
	age(t, filepath.Join(f.dir, o.Name), 48*time.Hour)
	if n, err := f.Sweep(t.Context(), none, time.Hour); n != 1 || err != nil {
		t.Fatalf("%d %v", n, err)
	}
	age(t, filepath.Join(f.dir, "case-1"), 48*time.Hour)
	if n, err := f.Sweep(t.Context(), none, time.Hour); n != 0 || err != nil {
		t.Fatalf("%d %v", n, err)
	}
	if _, err := os.Stat(filepath.Join(f.dir, "case-1")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the empty folder is there: %v", err)
	}
	put(t, f, "case-1", []byte("photo"))
	if _, err := read(f, o.Name); err != nil {
		t.Error(err)
	}
}

// Sweeping without pause, at an age that takes everything at once, while photos are put: what is gone is
// gone as a whole, no Put fails, nothing is half there.
func TestSweepBesidePut(t *testing.T) {
	f := newFolder(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		for ctx.Err() == nil {
			if _, err := f.Sweep(ctx, none, -time.Hour); err != nil && !errors.Is(err, context.Canceled) {
				done <- err
				return
			}
		}
		done <- nil
	}()
	kept := 0
	for range 200 {
		o, err := f.Put(t.Context(), "case-1", bytes.NewReader(content(300)))
		if errors.Is(err, flow.ErrUnavailable) {
			continue // its temporary file, which this age does not spare, was swept: the sender tries again
		}
		if err != nil {
			t.Fatal(err)
		}
		kept++
		if got, err := read(f, o.Name); err == nil && !bytes.Equal(got, content(300)) || err != nil && !errors.Is(err, flow.ErrNotFound) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	stop()
	if err := <-done; err != nil || kept == 0 {
		t.Errorf("%d kept, %v", kept, err)
	}
}
