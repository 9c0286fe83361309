package observe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func clock() time.Time { return time.Date(2026, 7, 1, 9, 0, 0, 5, time.UTC) }

func open(t *testing.T, file string) *Audit {
	t.Helper()
	a, err := OpenAudit(file, clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// filled makes a log of n entries.
func filled(t *testing.T, n int) (file string, head Head) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "audit.log")
	a := open(t, file)
	for i := range n {
		record(t, a, Entry{Who: "Dr A", Verb: "read", What: fmt.Sprint("case/", i), Why: "round <1>\n\xff"})
	}
	return file, a.Head()
}

func record(t *testing.T, a *Audit, e Entry) {
	t.Helper()
	if err := a.Record(context.Background(), e); err != nil {
		t.Fatal(err)
	}
}

func TestChainHoldsAndGoesOn(t *testing.T) {
	file, head := filled(t, 5)
	got, err := Verify(file)
	if err != nil || got != head || got.Seq != 5 {
		t.Fatalf("got %v, %v; want %v", got, err, head)
	}
	a := open(t, file)
	record(t, a, Entry{Who: "Dr B", Verb: "release", What: "case/7", Why: "consent is in the letter"})
	if got, err := Verify(file); err != nil || got.Seq != 6 || got != a.Head() {
		t.Errorf("after opening again: %v, %v", got, err)
	}
}

func TestTampering(t *testing.T) {
	for what, change := range map[string]func(lines [][]byte) [][]byte{
		"a word changed":    func(l [][]byte) [][]byte { l[2] = bytes.Replace(l[2], []byte("Dr A"), []byte("Dr X"), 1); return l },
		"a time changed":    func(l [][]byte) [][]byte { l[2] = bytes.Replace(l[2], []byte("2026"), []byte("2025"), 1); return l },
		"a line removed":    func(l [][]byte) [][]byte { return slices.Delete(l, 2, 3) },
		"the first removed": func(l [][]byte) [][]byte { return l[1:] },
		"two swapped":       func(l [][]byte) [][]byte { l[1], l[2] = l[2], l[1]; return l },
		"one repeated":      func(l [][]byte) [][]byte { return slices.Insert(l, 2, l[1]) },
		"a line made up": func(l [][]byte) [][]byte {
			return slices.Insert(l, 2, []byte(`{"seq":3,"at":"2026-07-01T09:00:00Z","prev":"","who":"x","verb":"read","what":"y","hash":""}`+"\n"))
		},
		"a key added":  func(l [][]byte) [][]byte { l[2] = bytes.Replace(l[2], []byte(`{`), []byte(`{"x":1,`), 1); return l },
		"not readable": func(l [][]byte) [][]byte { l[2] = []byte("\n"); return l },
		"half a line":  func(l [][]byte) [][]byte { l[4] = l[4][:20]; return l },
	} {
		t.Run(what, func(t *testing.T) {
			file, _ := filled(t, 5)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines := change(slices.Collect(bytes.Lines(b)))
			if err := os.WriteFile(file, bytes.Join(lines, nil), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Verify(file); !errors.Is(err, ErrTampered) || strings.Contains(err.Error(), "Dr") {
				t.Errorf("verify: %v", err)
			}
		})
	}
}

func TestCutOffEndIsSeenByTheHead(t *testing.T) {
	file, head := filled(t, 5)
	b, _ := os.ReadFile(file)
	lines := slices.Collect(bytes.Lines(b))
	if err := os.WriteFile(file, bytes.Join(lines[:3], nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Verify(file); err != nil || got == head {
		t.Errorf("got %v, %v: the head does not tell", got, err)
	}
}

func TestBrokenLogIsNotContinued(t *testing.T) {
	file, _ := filled(t, 3)
	b, _ := os.ReadFile(file)
	if err := os.WriteFile(file, bytes.Replace(b, []byte("case/1"), []byte("case/9"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAudit(file, clock); !errors.Is(err, ErrTampered) || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("got %v", err)
	}
}

func TestHalfWrittenLastLineIsCutOff(t *testing.T) {
	file, head := filled(t, 3)
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, `{"seq":4,"at":"2026`)
	f.Close()
	a := open(t, file)
	if a.Head() != head {
		t.Errorf("head %v, want %v", a.Head(), head)
	}
	record(t, a, Entry{Who: "Dr A", Verb: "read", What: "case/9"})
	if got, err := Verify(file); err != nil || got.Seq != 4 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestRecordTellsWhenNothingWasWritten(t *testing.T) {
	file, head := filled(t, 1)
	a := open(t, file)
	a.file.Close()
	if err := a.Record(context.Background(), Entry{Who: "Dr A", Verb: "read", What: "case/9"}); err == nil {
		t.Error("no error though the file is closed")
	}
	if a.Head() != head {
		t.Error("the chain went on without a line")
	}
}

func TestManyAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.log")
	a := open(t, file)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := a.Record(context.Background(), Entry{Who: "x", Verb: "read", What: "y"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got, err := Verify(file); err != nil || got.Seq != 20 {
		t.Errorf("got %v, %v", got, err)
	}
}

// Replicas that share the folder of the photos share its log: every line follows from the one before, whoever wrote it.
func TestSeveralWritersOneChain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.log")
	logs := []*Audit{open(t, file), open(t, file), open(t, file)}
	var all sync.WaitGroup
	for i, a := range logs {
		all.Go(func() {
			for n := range 50 {
				if err := a.Record(context.Background(), Entry{Who: fmt.Sprint("Dr ", i), Verb: "read", What: fmt.Sprint("case/", n)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if head, err := Verify(file); err != nil || head.Seq != 150 {
		t.Fatalf("%v, %v", head, err)
	}
	// One of them died in the middle of a line: the next one cuts it off.
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"seq":151,"at"`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	record(t, logs[1], Entry{Who: "Dr B", Verb: "read", What: "case/7"})
	if head, err := Verify(file); err != nil || head.Seq != 151 {
		t.Errorf("%v, %v", head, err)
	}
	// What one changed, another sees.
	if err := os.Truncate(file, 100); err != nil {
		t.Fatal(err)
	}
	if err := logs[2].Record(context.Background(), Entry{Who: "Dr C", Verb: "read", What: "case/8"}); !errors.Is(err, ErrTampered) {
		t.Errorf("a log that was cut is written on: %v", err)
	}
}
