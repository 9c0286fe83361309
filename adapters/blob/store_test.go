package blob

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dermgate/dermgate/gateway/flow"
)

var master = [32]byte{1, 2, 3}

// rig is a store in a folder.
type rig struct {
	*Store
	*folder
}

func newFolder(t testing.TB) rig {
	t.Helper()
	return openRig(t, filepath.Join(t.TempDir(), "data", "photos"), Keys{Seal: master})
}

func openRig(t testing.TB, dir string, k Keys) rig {
	t.Helper()
	s, err := OpenFolder(dir, k)
	if err != nil {
		t.Fatal(err)
	}
	return rig{s, s.shelf.(*folder)}
}

// content gives n bytes, other ones for every n.
func content(n int) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(int64(n))).Read(b)
	return b
}

func put(t testing.TB, f rig, owner string, b []byte) Object {
	t.Helper()
	o, err := f.Put(t.Context(), owner, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func read(f interface {
	Open(context.Context, string) (io.ReadCloser, error)
}, name string) ([]byte, error) {
	r, err := f.Open(context.Background(), name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// left lists the files of a folder of objects, temporary ones too.
func left(t testing.TB, f rig) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != ringFile {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

func TestWhatIsPutIsRead(t *testing.T) {
	f := newFolder(t)
	for _, n := range []int{0, 1, segment - 1, segment, segment + 1, 2 * segment, 3*segment + 7} {
		want := content(n)
		o := put(t, f, "case-1", want)
		if got, err := read(f, o.Name); err != nil || !bytes.Equal(got, want) || o.Size != int64(n) {
			t.Errorf("%d bytes: %d came back, %v", n, len(got), err)
		}
		if s, err := f.Stat(t.Context(), o.Name); err != nil || s.Size != int64(n) || s.Name != o.Name {
			t.Errorf("%d bytes: %+v %v", n, s, err)
		}
	}
}

func TestTheSameContentIsKeptOnceInACaseAndNeverSharedBetweenTwo(t *testing.T) {
	f := newFolder(t)
	a, b := put(t, f, "case-1", []byte("photo")), put(t, f, "case-1", []byte("photo"))
	c := put(t, f, "case-2", []byte("photo"))
	if a != b || c.SHA256 != a.SHA256 || len(left(t, f)) != 2 {
		t.Errorf("%v %v %v, %d files", a, b, c, len(left(t, f)))
	}
	if filepath.Base(a.Name) == filepath.Base(c.Name) {
		t.Error("the names tell that two cases hold the same photo")
	}
}

func TestPuttingAgainHealsADamagedObject(t *testing.T) {
	f := newFolder(t)
	o := put(t, f, "case-1", []byte("photo"))
	if err := os.Truncate(filepath.Join(f.dir, o.Name), 50); err != nil {
		t.Fatal(err)
	}
	put(t, f, "case-1", []byte("photo"))
	if got, err := read(f, o.Name); err != nil || string(got) != "photo" {
		t.Errorf("%q %v", got, err)
	}
}

func TestAStolenFolderShowsNothing(t *testing.T) {
	f := newFolder(t)
	photo := bytes.Repeat([]byte("Rosalind Testcase "), 10_000)
	o := put(t, f, "case-1", photo)
	seen, stolen := 0, []byte(nil)
	err := filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		seen++
		b, err := os.ReadFile(path)
		if d.Name() != ringFile {
			stolen = b
		}
		if bytes.Contains(b, []byte("Rosalind")) || bytes.Contains(b, master[:]) {
			t.Error("content or key stand in the clear")
		}
		if strings.Contains(path, o.SHA256[:16]) || bytes.Contains(b, []byte(o.SHA256[:16])) {
			t.Error("the hash of the content stands in the clear: who has the photo can look it up")
		}
		return err
	})
	if err != nil || seen != 2 {
		t.Fatalf("%d files, %v", seen, err)
	}
	if _, err := OpenFolder(f.dir, Keys{Seal: [32]byte{9}}); !errors.Is(err, ErrKey) {
		t.Errorf("opened with another key: %v", err)
	}
	if err := os.Remove(filepath.Join(f.dir, ringFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFolder(f.dir, Keys{Seal: [32]byte{9}}); !errors.Is(err, ErrKey) {
		t.Errorf("opened with another key where there is no ring: %v", err)
	}
	if err := os.Remove(filepath.Join(f.dir, o.Name)); err != nil {
		t.Fatal(err)
	}
	thief := openRig(t, f.dir, Keys{Seal: [32]byte{9}})
	if err := os.WriteFile(filepath.Join(f.dir, o.Name), stolen, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := read(thief, o.Name); !errors.Is(err, ErrKey) {
		t.Errorf("the object opened with another key: %v", err)
	}
}

func TestAnObjectUnderAnotherNameDoesNotOpen(t *testing.T) {
	f := newFolder(t)
	a, b := put(t, f, "case-1", []byte("one")), put(t, f, "case-2", []byte("two"))
	if err := os.Rename(filepath.Join(f.dir, a.Name), filepath.Join(f.dir, b.Name)); err != nil {
		t.Fatal(err)
	}
	if _, err := read(f, b.Name); !errors.Is(err, ErrCorrupt) {
		t.Errorf("another patient's photo opened: %v", err)
	}
}

func TestNamesThatLeadElsewhereAreNotFound(t *testing.T) {
	f := newFolder(t)
	secret := filepath.Join(filepath.Dir(f.dir), "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "../secret", "case-1", "case-1/../../secret", secret, "case-1/" + strings.Repeat("A", 64)} {
		if _, err := f.Open(t.Context(), name); !errors.Is(err, flow.ErrNotFound) {
			t.Errorf("open %q: %v", name, err)
		}
		if _, err := f.Stat(t.Context(), name); !errors.Is(err, flow.ErrNotFound) {
			t.Errorf("stat %q: %v", name, err)
		}
		if err := f.Delete(t.Context(), name); !errors.Is(err, flow.ErrNotFound) {
			t.Errorf("delete %q: %v", name, err)
		}
	}
	for _, owner := range []string{"", "..", "../up", "a/b", ".new-1", strings.Repeat("a", 65)} {
		if _, err := f.Put(t.Context(), owner, strings.NewReader("x")); err == nil {
			t.Errorf("owner %q was taken", owner)
		}
	}
	if _, err := os.Stat(secret); err != nil {
		t.Error(err)
	}
}

func TestDelete(t *testing.T) {
	f := newFolder(t)
	o := put(t, f, "case-1", []byte("photo"))
	for range 2 { // the second time it is gone already
		if err := f.Delete(t.Context(), o.Name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := read(f, o.Name); !errors.Is(err, flow.ErrNotFound) {
		t.Errorf("still there: %v", err)
	}
}

func TestContentThatBreaksOffLeavesNothing(t *testing.T) {
	f := newFolder(t)
	broken := errors.New("connection reset")
	for _, first := range []int{0, 100, segment, 3 * segment} {
		_, err := f.Put(t.Context(), "case-1", io.MultiReader(bytes.NewReader(content(first)), failingReader{broken}))
		if !errors.Is(err, broken) || errors.Is(err, flow.ErrUnavailable) {
			t.Errorf("after %d bytes: %v", first, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Put(ended, "case-1", strings.NewReader("photo")); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled put: %v", err)
	}
	if l := left(t, f); len(l) > 0 {
		t.Errorf("left behind: %v", l)
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

func TestManyPutAndReadTheSameAtOnce(t *testing.T) {
	f := newFolder(t)
	want := content(200_000)
	o := put(t, f, "case-1", want)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := f.Put(t.Context(), "case-1", bytes.NewReader(want)); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if got, err := read(f, o.Name); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	if l := left(t, f); len(l) != 1 {
		t.Errorf("%d files", len(l))
	}
}
