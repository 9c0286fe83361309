package bolt

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/gateway/flow"
)

// fat makes a store of which most is free again, and gives the id of a message that is still there.
func fat(t *testing.T, path string) flow.ID {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	kept := flow.Message{ID: flow.NewID(1, "kept"), Raw: flow.BodyRef{Inline: []byte("kept")}}
	for range 3 {
		for i := range 20 {
			k := append([]byte("bulk"), byte(i))
			if err := s.commit(context.Background(), func(t *txn) error { t.put(bMeta, k, make([]byte, 1<<16)); return t.err }); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Refuse(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		k := append([]byte("bulk"), byte(i))
		if err := s.commit(context.Background(), func(t *txn) error { t.del(bMeta, k); return t.err }); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return kept.ID
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// A store of which most is free is smaller once it was opened, with all that was in it; one process has it all the
// while, though its file is another one.
func TestCompact(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.db")
	kept := fat(t, path)
	before := size(t, path)
	if err := os.WriteFile(path+".compact", []byte("left by a crash"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := open(path, 1<<16, 0, lateMost, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := s.Compacted()
	if c.Err != nil || c.After*2 > c.Before || size(t, path)*2 > before {
		t.Fatalf("%+v, file of %d from %d bytes", c, size(t, path), before)
	}
	m, err := s.Message(t.Context(), kept)
	if err != nil || string(m.Raw.Inline) != "kept" {
		t.Fatalf("message %q, %v", m.Raw.Inline, err)
	}
	n := uint64(0)
	_ = s.view(t.Context(), func(t *txn) error { n = t.bucket(bMeta).Sequence(); return nil })
	if n == 0 {
		t.Fatal("the sequence began anew: what comes in would be ordered before what is there")
	}
	if err := s.Refuse(t.Context(), flow.Message{ID: flow.NewID(1, "later")}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "in use by another gateway (process ") {
		t.Fatalf("second opening: %v", err)
	}
	if _, err := os.Stat(path + ".compact"); !os.IsNotExist(err) {
		t.Fatalf("left behind: %v", err)
	}
}

// Where there is no room for the compacted file the store opens as it is, and says so.
func TestCompactInVain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.db")
	kept := fat(t, path)
	if err := os.MkdirAll(filepath.Join(path+".compact", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := open(path, 1<<16, 0, lateMost, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if c := s.Compacted(); c.Err == nil || c.After != c.Before {
		t.Fatalf("%+v", c)
	}
	if _, err := s.Message(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
}

// A backup made while messages come in is a store of what was there when it began.
func TestBackup(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(filepath.Join(dir, "gateway.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	put := func(name string) {
		t.Helper()
		if err := s.Refuse(t.Context(), flow.Message{ID: flow.NewID(1, name), Raw: flow.BodyRef{Inline: bytes.Repeat([]byte(name), 5000)}}); err != nil {
			t.Fatal(err)
		}
	}
	put("before")
	var out bytes.Buffer
	var said int64
	err = s.Backup(t.Context(), func(size int64) (io.Writer, error) {
		said = size
		put("meanwhile")
		return &out, nil
	})
	if err != nil || said != int64(out.Len()) {
		t.Fatalf("%d bytes written, %d announced, %v", out.Len(), said, err)
	}
	path := filepath.Join(dir, "backup.db")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Verify(path); err != nil || c.Messages != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Message(t.Context(), flow.NewID(1, "before")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Message(t.Context(), flow.NewID(1, "meanwhile")); !errors.Is(err, flow.ErrNotFound) {
		t.Fatalf("of later: %v", err)
	}

	whole := out.Bytes()
	damaged := bytes.Clone(whole)
	for i := 4096 * 2; i < len(damaged); i++ {
		damaged[i] = 0xaa
	}
	for name, b := range map[string][]byte{"cut off": whole[:4096*3], "damaged": damaged} {
		broken := filepath.Join(dir, name)
		if err := os.WriteFile(broken, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(broken); err == nil {
			t.Errorf("%s: no error", name)
		}
		if s, err := Open(broken); name == "cut off" && (err == nil || !strings.Contains(err.Error(), "cut off")) {
			t.Errorf("%s: opened %v, %v", name, s, err)
		}
	}
}
