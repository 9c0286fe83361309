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
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

var ctx = context.Background()

func folder(t testing.TB) *Folder {
	t.Helper()
	f, err := OpenFolder(filepath.Join(t.TempDir(), "photos"), [32]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func content(n int) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(int64(n))).Read(b)
	return b
}

func TestWhatIsPutIsRead(t *testing.T) {
	f := folder(t)
	for _, n := range []int{0, 1, segment - 1, segment, segment + 1, 3*segment + 7} {
		want := content(n)
		o, err := f.Put(ctx, "case-1", bytes.NewReader(want))
		if err != nil {
			t.Fatal(err)
		}
		r, err := f.Open(ctx, o.Name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || !bytes.Equal(got, want) || o.Size != int64(n) {
			t.Errorf("%d bytes: %d came back, %v", n, len(got), err)
		}
	}
}

func TestTheSameContentIsKeptOnceInACaseAndNeverSharedBetweenTwo(t *testing.T) {
	f := folder(t)
	a, _ := f.Put(ctx, "case-1", strings.NewReader("photo"))
	b, _ := f.Put(ctx, "case-1", strings.NewReader("photo"))
	c, err := f.Put(ctx, "case-2", strings.NewReader("photo"))
	if err != nil || a != b || c.Name == a.Name || c.SHA256 != a.SHA256 {
		t.Errorf("%v %v %v %v", a, b, c, err)
	}
}

func TestAStolenFolderShowsNothing(t *testing.T) {
	f := folder(t)
	photo := bytes.Repeat([]byte("Rosalind Testcase "), 10_000)
	o, err := f.Put(ctx, "case-1", bytes.NewReader(photo))
	if err != nil {
		t.Fatal(err)
	}
	filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if strings.Contains(path, o.SHA256[:16]) {
			t.Error("a name tells the hash of the content")
		}
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte("Rosalind")) {
			t.Error("content stands in the clear")
		}
		return nil
	})
	thief, err := OpenFolder(f.dir, [32]byte{9})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := thief.Open(ctx, o.Name); !errors.Is(err, ErrCorrupt) {
		t.Errorf("opened with another key: %v", err)
	}
}

func TestAChangedObjectDoesNotOpen(t *testing.T) {
	f := folder(t)
	o, err := f.Put(ctx, "case-1", bytes.NewReader(content(3*segment)))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(f.dir, o.Name)
	good, _ := os.ReadFile(path)
	sealed := segment + tagSize
	swapped := slices.Concat(good[:header], good[header+sealed:header+2*sealed], good[header:header+sealed], good[header+2*sealed:])
	for name, bad := range map[string][]byte{
		"a bit flipped":          flip(good, header+5),
		"the key flipped":        flip(good, header-3),
		"cut inside a segment":   good[:len(good)-100],
		"cut at a segment's end": good[:header+2*sealed],
		"bytes behind the end":   append(slices.Clone(good), 0),
		"segments swapped":       swapped,
		"nothing but a header":   good[:header],
		"half a header":          good[:header/2],
	} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := f.Open(ctx, o.Name)
		if err == nil {
			_, err = io.ReadAll(r)
			r.Close()
		}
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func flip(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 1
	return b
}

func TestAnObjectUnderAnotherNameDoesNotOpen(t *testing.T) {
	f := folder(t)
	a, _ := f.Put(ctx, "case-1", strings.NewReader("one"))
	b, _ := f.Put(ctx, "case-2", strings.NewReader("two"))
	if err := os.Rename(filepath.Join(f.dir, a.Name), filepath.Join(f.dir, b.Name)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Open(ctx, b.Name); !errors.Is(err, ErrCorrupt) {
		t.Errorf("another patient's photo opened: %v", err)
	}
}

// watched records in which order things reach the disk.
type watched struct {
	local
	steps *[]string
}

func (w watched) Sync(f *os.File) error {
	*w.steps = append(*w.steps, "sync file")
	return w.local.Sync(f)
}
func (w watched) Rename(a, b string) error {
	*w.steps = append(*w.steps, "rename")
	return w.local.Rename(a, b)
}
func (w watched) SyncDir(d string) error {
	*w.steps = append(*w.steps, "sync folder")
	return w.local.SyncDir(d)
}

// Rule 1: nothing is acknowledged before it is durably kept. The bytes are synced before they get their
// name, and the name before Put returns.
func TestRule1TheBytesAreOnTheDiskBeforeTheyHaveAName(t *testing.T) {
	f := folder(t)
	var steps []string
	f.disk = watched{steps: &steps}
	if _, err := f.Put(ctx, "case-1", strings.NewReader("photo")); err != nil {
		t.Fatal(err)
	}
	if want := []string{"sync file", "rename", "sync folder"}; !slices.Equal(steps, want) {
		t.Errorf("%v, want %v", steps, want)
	}
}

// failing fails one step.
type failing struct {
	local
	step string
}

func (d failing) Sync(f *os.File) error {
	if d.step == "sync" {
		return errors.New("input/output error")
	}
	return d.local.Sync(f)
}

func (d failing) SyncDir(dir string) error {
	if d.step == "sync folder" {
		return errors.New("input/output error")
	}
	return d.local.SyncDir(dir)
}

func TestAFailingDiskIsUnavailableAndLeavesNothing(t *testing.T) {
	for _, step := range []string{"sync", "sync folder"} {
		f := folder(t)
		f.disk = failing{step: step}
		if _, err := f.Put(ctx, "case-1", strings.NewReader("photo")); !errors.Is(err, flow.ErrUnavailable) {
			t.Errorf("%s: %v", step, err)
		}
	}
	f := folder(t)
	if _, err := f.Put(ctx, "case-1", io.MultiReader(strings.NewReader("half"), broken{})); err == nil {
		t.Error("half a photo was kept")
	}
	if left, _ := filepath.Glob(filepath.Join(f.dir, "*", "*")); len(left) > 0 {
		t.Errorf("left behind: %d files", len(left))
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestManyPutTheSameAtOnce(t *testing.T) {
	f := folder(t)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := f.Put(ctx, "case-1", bytes.NewReader(content(200_000))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if all, _ := filepath.Glob(filepath.Join(f.dir, "*", "*")); len(all) != 1 {
		t.Errorf("%d files", len(all))
	}
}

func TestNamesThatLeadElsewhereAreNotFound(t *testing.T) {
	f := folder(t)
	for _, name := range []string{"", "../x", "case-1", "case-1/../../etc/passwd", "/etc/passwd"} {
		if _, err := f.Open(ctx, name); !errors.Is(err, flow.ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := f.Put(ctx, "../up", strings.NewReader("x")); err == nil {
		t.Error("an owner that leads elsewhere was taken")
	}
}

func TestSweepTakesOldOrphansOnly(t *testing.T) {
	f := folder(t)
	a, _ := f.Put(ctx, "case-1", strings.NewReader("wanted"))
	b, _ := f.Put(ctx, "case-1", strings.NewReader("orphan"))
	if n, err := f.Sweep(ctx, time.Hour, func(string) bool { return false }); n != 0 || err != nil {
		t.Errorf("young objects were removed: %d %v", n, err)
	}
	old := time.Now().Add(-48 * time.Hour)
	for _, o := range []Object{a, b} {
		os.Chtimes(filepath.Join(f.dir, o.Name), old, old)
	}
	if n, err := f.Sweep(ctx, 24*time.Hour, func(name string) bool { return name == a.Name }); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	if _, err := f.Open(ctx, b.Name); !errors.Is(err, flow.ErrNotFound) {
		t.Errorf("the orphan is there: %v", err)
	}
}

func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "photo.key")
	a, err := CreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := CreateKey(path)
	if err != nil || a != b {
		t.Errorf("%v", err)
	}
	os.Chmod(path, 0o644)
	if _, err := LoadKey(path); err == nil {
		t.Error("a key that everybody may read was taken")
	}
	for _, bad := range []string{"", "abc", strings.Repeat("0", 62)} {
		if _, err := ParseKey(bad); err == nil {
			t.Errorf("%q is a key", bad)
		}
	}
}

func FuzzOpen(f *testing.F) {
	dir := folder(f)
	o, err := dir.Put(ctx, "case-1", bytes.NewReader(content(100)))
	if err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(dir.dir, o.Name)
	good, _ := os.ReadFile(path)
	f.Add(good)
	f.Add(good[:header])
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := dir.Open(ctx, o.Name)
		if err != nil {
			return
		}
		defer r.Close()
		if got, err := io.ReadAll(r); err == nil && !bytes.Equal(got, content(100)) {
			t.Error("opened as something else")
		}
	})
}

func BenchmarkPut(b *testing.B) {
	f := folder(b)
	photo := content(3 << 20)
	b.SetBytes(int64(len(photo)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		photo[0], photo[1], photo[2] = byte(i), byte(i>>8), byte(i>>16)
		if _, err := f.Put(ctx, "case-1", bytes.NewReader(photo)); err != nil {
			b.Fatal(err)
		}
	}
}
