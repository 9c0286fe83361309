package bolt_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/bolt"
	"github.com/dermgate/dermgate/gateway/flow"
)

// childFile names the store that a child process of the tests writes to until it is killed.
const childFile = "DERMGATE_TEST_BOLT"

func TestMain(m *testing.M) {
	if path := os.Getenv(childFile); path != "" {
		child(path)
	}
	os.Exit(m.Run())
}

// child keeps requests from several goroutines and prints the name of each one that is kept.
func child(path string) {
	s, err := bolt.Open(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	kept := make(chan string)
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i)
				if _, err := s.Put(context.Background(), adaptertest.Request(name, "epr")); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				kept <- name
			}
		}()
	}
	for name := range kept {
		fmt.Println(name)
	}
}

// What a killed process had reported as kept is there, whole, and can be delivered.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.db")
	var kept []string
	for range 3 {
		kept = append(kept, killedWriter(t, path, 200)...)
	}
	s := open(t, path)
	for _, name := range kept {
		want := adaptertest.Request(name, "epr")
		r, err := s.Receipt(t.Context(), *want.Idem)
		if err != nil || string(r.Answer) != string(want.Message.Receipt.Answer) {
			t.Fatalf("%s: receipt %q, %v", name, r.Answer, err)
		}
		if _, err := s.Case(t.Context(), want.Case.Record.ID); err != nil {
			t.Fatalf("%s: case: %v", name, err)
		}
		ds, err := s.Deliveries(t.Context(), flow.DeliveryQuery{ID: want.Deliveries[0].ID})
		if err != nil || len(ds) != 1 || ds[0].State != flow.Waiting {
			t.Fatalf("%s: deliveries %+v, %v", name, ds, err)
		}
	}
	ds, err := s.Claim(t.Context(), "epr", len(kept), time.Minute)
	if err != nil || len(ds) != len(kept) {
		t.Fatalf("claimed %d, %v, want %d", len(ds), err, len(kept))
	}
}

// killedWriter starts a child, and kills it once it has reported n names; it gives all that it reported.
func killedWriter(t *testing.T, path string, n int) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childFile+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for in := bufio.NewScanner(out); in.Scan(); {
		if names = append(names, in.Text()); len(names) == n {
			_ = cmd.Process.Kill()
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 || len(names) < n {
		t.Fatalf("the child ended by itself after %d: %v", len(names), err)
	}
	return names
}

func TestOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.db")
	open(t, path)
	_, err := bolt.Open(path)
	if err == nil || !strings.Contains(err.Error(), "in use by another gateway") {
		t.Fatalf("second opening: %v", err)
	}
}

func TestForeignFile(t *testing.T) {
	dir := t.TempDir()
	text, other := filepath.Join(dir, "text"), filepath.Join(dir, "other")
	if err := os.WriteFile(text, []byte(strings.Repeat("no store ", 4000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(text); err == nil || !strings.Contains(err.Error(), text) {
		t.Fatalf("a text file: %v", err)
	}
	later, err := bbolt.Open(other, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = later.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("meta"))
		return errors.Join(err, b.Put([]byte("schema"), []byte("99")))
	})
	if err := errors.Join(err, later.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(other); err == nil || !strings.Contains(err.Error(), `layout "99"`) {
		t.Fatalf("a file of a later version: %v", err)
	}
}

// Leases end with the process that held them: what was under way when it was killed is tried again at once.
func TestLeasesEndWithTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.db")
	s := open(t, path)
	c := adaptertest.Request("one", "epr")
	if _, err := s.Put(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	before, err := s.Claim(t.Context(), "epr", 1, time.Hour)
	if err != nil || len(before) != 1 {
		t.Fatal(before, err)
	}
	s.Close()
	s = open(t, path)
	after, err := s.Claim(t.Context(), "epr", 1, time.Hour)
	if err != nil || len(after) != 1 || after[0].Attempt != 2 || after[0].Fence <= before[0].Fence {
		t.Fatalf("claimed %+v, %v", after, err)
	}
	if err := s.Renew(t.Context(), before[0], time.Hour); !errors.Is(err, flow.ErrLease) {
		t.Fatalf("renewed by the old worker: %v", err)
	}
}

// The file belongs to the gateway's user alone: it holds letters about patients.
func TestFileMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "gateway.db")
	open(t, path)
	for p, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(p)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v, want %v", p, info.Mode().Perm(), err, want)
		}
	}
}
