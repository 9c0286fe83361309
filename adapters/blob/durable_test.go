package blob

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/dermgate/dermgate/gateway/flow"
)

// watched records in which order things reach the disk, and what was in the file when it was synced. With
// failing set it fails at that step instead, as if the power went.
type watched struct {
	local
	steps   *[]string
	synced  *[]byte
	failing string
}

func (w watched) step(what string) error {
	*w.steps = append(*w.steps, what)
	if what == w.failing {
		return syscall.ENOSPC
	}
	return nil
}

func (w watched) Sync(f *os.File) error {
	b, err := os.ReadFile(f.Name())
	if err != nil {
		return err
	}
	if *w.synced = b; w.step("sync file") != nil {
		return syscall.ENOSPC
	}
	return w.local.Sync(f)
}

func (w watched) Rename(from, to string) error {
	if err := w.step("rename"); err != nil {
		return err
	}
	return w.local.Rename(from, to)
}

func (w watched) SyncDir(dir string) error {
	if err := w.step("sync " + filepath.Base(dir)); err != nil {
		return err
	}
	return w.local.SyncDir(dir)
}

// Rule 1: nothing is acknowledged before it is durably kept. The bytes are synced before they get their
// name, and the name, and the folder it is in, before Put returns.
func TestRule1TheBytesAreOnTheDiskBeforeTheyHaveAName(t *testing.T) {
	f := newFolder(t)
	var steps []string
	var synced []byte
	f.disk = watched{steps: &steps, synced: &synced}
	o := put(t, f, "case-1", content(segment+5))
	if want := []string{"sync photos", "sync file", "rename", "sync case-1"}; !slices.Equal(steps, want) {
		t.Errorf("%v, want %v", steps, want)
	}
	kept, err := os.ReadFile(filepath.Join(f.dir, o.Name))
	if err != nil || !bytes.Equal(kept, synced) {
		t.Errorf("%d bytes were synced, %d are kept, %v", len(synced), len(kept), err)
	}
}

func TestRule1FoldersMadeOnTheWayAreSyncedIntoTheirParents(t *testing.T) {
	base := t.TempDir()
	var steps []string
	if err := makeFolders(watched{steps: &steps}, filepath.Join(base, "a", "b", "c")); err != nil {
		t.Fatal(err)
	}
	if want := []string{"sync " + filepath.Base(base), "sync a", "sync b"}; !slices.Equal(steps, want) {
		t.Errorf("%v, want %v", steps, want)
	}
}

// Wherever the disk fails, the sender is told to try again, and what has the object's name is whole.
func TestADiskThatFailsAtAnyStep(t *testing.T) {
	for _, step := range []string{"sync photos", "sync file", "rename", "sync case-1"} {
		f := newFolder(t)
		var steps []string
		var synced []byte
		f.disk = watched{steps: &steps, synced: &synced, failing: step}
		_, err := f.Put(t.Context(), "case-1", bytes.NewReader(content(1000)))
		if !errors.Is(err, flow.ErrUnavailable) || !errors.Is(err, syscall.ENOSPC) || steps[len(steps)-1] != step {
			t.Errorf("%s: %v after %v", step, err, steps)
		}
		for _, path := range left(t, f) {
			name, err := filepath.Rel(f.dir, path)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := read(f, name); err != nil || !bytes.Equal(got, content(1000)) {
				t.Errorf("%s: left %s, which gives %d bytes, %v", step, name, len(got), err)
			}
		}
	}
}

func TestAFolderThatCannotBeUsedIsUnavailable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "photos")} {
		if _, err := OpenFolder(dir, Keys{Seal: master}); !errors.Is(err, flow.ErrUnavailable) {
			t.Errorf("%v", err)
		}
	}
	f := newFolder(t)
	if err := os.RemoveAll(f.dir); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Put(t.Context(), "case-1", strings.NewReader("photo")); !errors.Is(err, flow.ErrUnavailable) {
		t.Errorf("a folder that went away: %v", err)
	}
}

// A full disk, by the kernel's own word: the file of this process may grow to 100 KiB.
func TestAFullDiskIsUnavailable(t *testing.T) {
	if os.Getenv("BLOB_FULL_DISK") == "" {
		out, err := child(t, "TestAFullDiskIsUnavailable", "BLOB_FULL_DISK=1").CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 100 << 10, Max: 100 << 10}); err != nil {
		t.Fatal(err)
	}
	f := newFolder(t)
	_, err := f.Put(t.Context(), "case-1", bytes.NewReader(content(1<<20)))
	if !errors.Is(err, flow.ErrUnavailable) || len(left(t, f)) > 0 {
		t.Errorf("%v, left %v", err, left(t, f))
	}
}

// child runs one test of this binary in a process of its own.
func child(t *testing.T, name, env string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^"+name+"$")
	c.Env = append(os.Environ(), env)
	return c
}

// The same order, by the kernel's word, where strace is installed; elsewhere the seam's word stands.
func TestRule1AsTheKernelSeesIt(t *testing.T) {
	if os.Getenv("BLOB_TRACED") != "" {
		put(t, newFolder(t), "case-1", content(1000))
		return
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Logf("no strace here: see TestRule1TheBytesAreOnTheDiskBeforeTheyHaveAName")
		return
	}
	log := filepath.Join(t.TempDir(), "log")
	c := child(t, "TestRule1AsTheKernelSeesIt", "BLOB_TRACED=1")
	c.Path, c.Args = strace, append([]string{"strace", "-f", "-y", "-o", log, "-e", "trace=fsync,rename,renameat,renameat2"}, c.Args...)
	if out, err := c.CombinedOutput(); err != nil {
		t.Logf("strace may not trace here (%v): %s", err, out)
		return
	}
	traced, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	synced := func(what string) string { // in one line, or in two with another thread's between
		return `fsync\([0-9]+<[^>]*/` + what + `>(\)| <unfinished \.\.\.>.*fsync resumed>\))`
	}
	order := regexp.MustCompile(`(?s)` + synced(`photos`) + `.*` + synced(`\.staging/[^>]*`) + `.*rename.*/case-1/.*` + synced(`case-1`))
	if !order.Match(traced) {
		t.Errorf("the kernel saw\n%s", traced)
	}
}
