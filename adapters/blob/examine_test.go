package blob

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func testKey(n byte) (key [32]byte) { key[0] = n; return key }

// filesIn names all files and folders below one.
func filesIn(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		out = append(out, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A look at a store tells which keys open it, tries it whole, and leaves everything as it was.
func TestExamineLeavesAStoreAsItIs(t *testing.T) {
	old, next, strange := testKey(1), testKey(2), testKey(3)
	dir := t.TempDir()
	look := func(k Keys) (Examined, error) {
		t.Helper()
		before := filesIn(t, dir)
		e, err := ExamineFolder(t.Context(), dir, k)
		if after := filesIn(t, dir); len(after) != len(before) {
			t.Errorf("%d files and folders, then %d: %v", len(before), len(after), after)
		}
		return e, err
	}
	if e, err := look(Keys{Seal: old}); err != nil || !e.New || e.Key != KeyID(old) || e.Took <= 0 {
		t.Errorf("an empty folder: %+v, %v", e, err)
	}
	s, err := OpenFolder(dir, Keys{Seal: old})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Put(t.Context(), "case", bytes.NewReader([]byte("a photo"))); err != nil {
		t.Fatal(err)
	}
	if e, err := look(Keys{Seal: old, Open: [][32]byte{strange}}); err != nil || e.New || e.Absent || e.Rotates || len(e.Spare) != 1 || e.Spare[0] != KeyID(strange) {
		t.Errorf("beside a store at work: %+v, %v", e, err)
	}
	if _, err := look(Keys{Seal: strange}); !errors.Is(err, ErrKey) {
		t.Errorf("another key: %v", err)
	}
	if e, err := look(Keys{Seal: next, Open: [][32]byte{old}}); err != nil || !e.Absent || len(e.Others) != 1 || e.Others[0] != KeyID(old) {
		t.Errorf("before a rotation: %+v, %v", e, err)
	}
	n, err := OpenFolder(dir, Keys{Seal: next, Open: [][32]byte{old}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if _, err := (&rotation{Store: n, id: "a"}).retire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e, err := look(Keys{Seal: next, Open: [][32]byte{old}}); err != nil || !e.Rotates || e.Absent {
		t.Errorf("in a rotation: %+v, %v", e, err)
	}
	if _, err := look(Keys{Seal: old, Open: [][32]byte{next}}); !errors.Is(err, ErrKey) {
		t.Errorf("the key that was retired: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, ringFile), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := look(Keys{Seal: next}); err == nil {
		t.Error("a ring that was changed is found well")
	}
}

// faulty is a shelf that goes wrong in one way.
type faulty struct {
	shelf
	rots bool
}

func (f faulty) open(ctx context.Context, name string) (*os.File, error) {
	file, err := f.shelf.open(ctx, name)
	if err == nil && f.rots {
		w, err := os.OpenFile(file.Name(), os.O_WRONLY, 0)
		if err != nil {
			return nil, err
		}
		defer w.Close()
		_, err = w.WriteAt([]byte("rot"), int64(header)+10)
		return file, err
	}
	return file, err
}

// What does not come back as it was written is found out.
func TestExamineFindsADiskThatRots(t *testing.T) {
	dir := t.TempDir()
	if _, err := examine(t.Context(), faulty{shelf: &folder{dir: dir, disk: local{}}, rots: true}, newDesk(dir), Keys{Seal: testKey(1)}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v", err)
	}
}
