package blob

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestAKeyIsMadeOnceAndReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "photo.key")
	var wg sync.WaitGroup
	var made [8][32]byte
	for i := range made {
		wg.Go(func() {
			key, err := CreateKey(path)
			if err != nil {
				t.Error(err)
			}
			made[i] = key
		})
	}
	wg.Wait()
	loaded, err := LoadKey(path)
	if err != nil || loaded == [32]byte{} {
		t.Fatalf("%v", err)
	}
	for _, key := range made {
		if key != loaded {
			t.Error("two were made")
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if l, err := os.ReadDir(filepath.Dir(path)); err != nil || len(l) != 1 {
		t.Errorf("%d files, %v", len(l), err)
	}
}

func TestAKeyThatOthersMayReadIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "photo.key")
	if _, err := CreateKey(path); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadKey(path); err == nil {
			t.Errorf("taken with mode %v", mode)
		}
		if _, err := CreateKey(path); err == nil {
			t.Errorf("replaced or taken with mode %v", mode)
		}
	}
}

func TestParseKey(t *testing.T) {
	for _, good := range []string{strings.Repeat("0a", 32), strings.Repeat("0A", 32) + "\n", "AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="} {
		if _, err := ParseKey(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "abc", strings.Repeat("0", 62), strings.Repeat("0", 66), "AQID"} {
		if _, err := ParseKey(bad); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
