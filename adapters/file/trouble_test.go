package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// While the store is down the files stay where they are, in their order; then all come, and the log has one
// line for the beginning and one for the end.
func TestStoreDownFilesStayAndComeInOrder(t *testing.T) {
	down, asked, at := true, []string{}, []time.Time{}
	d := watch(t, func(r flow.Received) (flow.Receipt, error) {
		asked, at = append(asked, string(r.Raw)), append(at, time.Now())
		if down {
			return flow.Receipt{}, fmt.Errorf("put: %w", flow.ErrUnavailable)
		}
		return acked(r)
	})
	d.put("2.hl7", "second", time.Minute)
	d.put("1.hl7", "first", time.Hour)
	d.start()
	asks := func() int { d.mu.Lock(); defer d.mu.Unlock(); return len(asked) }
	for deadline := time.Now().Add(10 * time.Second); asks() < 5 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	d.mu.Lock()
	first, times := slices.Clone(asked), slices.Clone(at)
	d.mu.Unlock()
	if len(first) < 5 || slices.Contains(first, "second") {
		t.Fatalf("asked %q: want the first again and again", first)
	}
	for i := 1; i < 5; i++ {
		if wait, least := times[i].Sub(times[i-1]), d.source.Poll<<i*9/10; wait < least {
			t.Errorf("wait %d was %v, want at least %v", i, wait, least)
		}
	}
	d.until("1.hl7", "2.hl7")
	d.mu.Lock()
	down = false
	d.mu.Unlock()
	d.until("done/1.hl7", "done/1.hl7.ack.hl7", "done/2.hl7", "done/2.hl7.ack.hl7")
	d.stop()
	if got := d.received(); !slices.Equal(got, []string{"first", "second"}) {
		t.Errorf("came %q", got)
	}
	log := d.log.String()
	if strings.Count(log, "files are not taken") != 1 || strings.Count(log, "files are taken again") != 1 {
		t.Errorf("log:\n%s", log)
	}
}

// A file that fails by itself holds nobody up and is refused in the end.
func TestAPoisonedFileIsOvertakenAndRefusedInTheEnd(t *testing.T) {
	tries := 0
	d := watch(t, func(r flow.Received) (flow.Receipt, error) {
		if strings.HasPrefix(string(r.Raw), "poison") {
			tries++
			return flow.Receipt{}, errors.New("a defect")
		}
		return acked(r)
	}, func(s *Source) { s.Poll = time.Millisecond })
	d.put("a.hl7", "poison", time.Hour)
	d.put("b.hl7", "good", time.Minute)
	d.start()
	d.until("done/b.hl7", "done/b.hl7.ack.hl7", "refused/a.hl7", "refused/a.hl7.reason.txt")
	d.stop()
	if tries != mostTries {
		t.Errorf("tried %d times", tries)
	}
	if got := d.read("refused/a.hl7.reason.txt"); got != "internal error, the message was not kept\n" {
		t.Errorf("reason %q", got)
	}
}

// A sender that puts a new file under the name of one that is being taken loses neither.
func TestANewFileUnderTheNameOfOneBeingTakenIsTakenToo(t *testing.T) {
	var d *drop
	d = watch(t, func(r flow.Received) (flow.Receipt, error) {
		if string(r.Raw) == "old" {
			d.put("a.hl7", "new content", 0)
		}
		return acked(r)
	})
	d.put("a.hl7", "old", 0)
	d.start()
	for deadline := time.Now().Add(5 * time.Second); len(d.tree()) != 4 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if got := d.received(); !slices.Equal(got, []string{"old", "new content"}) {
		t.Errorf("came %q", got)
	}
	if d.read("done/a.hl7") != "old" {
		t.Error("the first was overwritten")
	}
}

// One that changes while it is accepted is not moved away with what nobody has read: it is offered again.
func TestAFileThatChangesWhileItIsTakenIsOfferedAgain(t *testing.T) {
	var d *drop
	d = watch(t, func(r flow.Received) (flow.Receipt, error) {
		if string(r.Raw) == "half" {
			f, err := os.OpenFile(filepath.Join(d.dir, taking, "a.hl7"), os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Error(err)
				return acked(r)
			}
			defer f.Close()
			if _, err := f.WriteString(" and the rest"); err != nil {
				t.Error(err)
			}
		}
		return acked(r)
	})
	d.put("a.hl7", "half", 0)
	d.start()
	d.until("done/a.hl7", "done/a.hl7.ack.hl7")
	if got := d.received(); !slices.Equal(got, []string{"half", "half and the rest"}) {
		t.Errorf("came %q", got)
	}
}

// Whatever a crash leaves, the end is the same: the file once, with one answer.
func TestWhatACrashLeavesEndsAsIfThereHadBeenNone(t *testing.T) {
	for what, left := range map[string]map[string]string{
		"claimed":                          {".taking/a.hl7": "x"},
		"claimed, the answer half written": {".taking/a.hl7": "x", "done/.answer.part": "MSA|A"},
		"claimed, the answer written":      {".taking/a.hl7": "x", "done/a.hl7.ack.hl7": "MSA|AA|1\r"},
		"claimed, refused when it ended":   {".taking/a.hl7": "x", "refused/a.hl7.ack.hl7": "MSA|AE|1\r"},
		"moved":                            {"done/a.hl7": "x", "done/a.hl7.ack.hl7": "MSA|AA|1\r"},
	} {
		t.Run(what, func(t *testing.T) {
			d := watch(t, acked)
			for name, content := range left {
				if err := os.WriteFile(filepath.Join(d.dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			d.start()
			d.put("z.hl7", "later", 0)
			d.until("done/a.hl7", "done/a.hl7.ack.hl7", "done/z.hl7", "done/z.hl7.ack.hl7")
			if got := d.read("done/a.hl7.ack.hl7"); got != "MSA|AA|1\r" {
				t.Errorf("answer %q", got)
			}
		})
	}
}

// Somebody has put a file where a claimed one was to go: it finds another name.
func TestAPlaceTakenMeanwhileIsNotOverwritten(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 15, 0, 0, time.UTC)
	d := watch(t, acked, func(s *Source) { s.Now = func() time.Time { return now } })
	for name, content := range map[string]string{".taking/a.hl7": "x", "done/a.hl7": "of somebody", "done/a.hl7.ack.hl7": "theirs"} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.start()
	d.until("done/a.hl7", "done/a.hl7.ack.hl7", "done/a~20261124T101500.000.hl7", "done/a~20261124T101500.000.hl7.ack.hl7")
	if d.read("done/a.hl7") != "of somebody" || d.read("done/a.hl7.ack.hl7") != "theirs" {
		t.Error("overwritten")
	}
}

// journal keeps messages as the store does: durably, and a repeat gets its first answer.
func journal(path string, r flow.Received) (flow.Receipt, bool) {
	kept, _ := os.ReadFile(path)
	for i, line := range strings.Split(string(kept), "\n") {
		if line == string(r.Raw) {
			return flow.Receipt{Answer: fmt.Appendf(nil, "MSA|AA|%d\r", i)}, true
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, string(r.Raw))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		return flow.Receipt{}, false
	}
	return flow.Receipt{Answer: fmt.Appendf(nil, "MSA|AA|%d\r", strings.Count(string(kept), "\n"))}, false
}

// TestMain is also the process that is killed: a gateway that dies (SIGKILL) between keeping a message and
// moving its file.
func TestMain(m *testing.M) {
	dir := os.Getenv("DERMGATE_DROP")
	if dir == "" {
		os.Exit(m.Run())
	}
	s := &Source{Name: "drop", Path: dir, Poll: time.Millisecond}
	_ = s.Serve(context.Background(), func(_ context.Context, r flow.Received) (flow.Receipt, error) {
		receipt, repeat := journal(filepath.Join(filepath.Dir(dir), "journal"), r)
		if !repeat {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return receipt, nil
	})
}

func TestKilledBetweenKeepingAndMovingNothingIsLostOrDoubled(t *testing.T) {
	const files = 5
	d := watch(t, acked)
	var want []string
	for i := range files {
		name := fmt.Sprintf("%d.hl7", i)
		d.put(name, fmt.Sprintf("message %d", i), time.Duration(files-i)*time.Minute)
		want = append(want, "done/"+name, "done/"+name+".ack.hl7")
	}
	for range files { // each process keeps one more, and dies
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), "DERMGATE_DROP="+d.dir)
		err := cmd.Run()
		cancel()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL || ctx.Err() == context.DeadlineExceeded {
			t.Fatalf("the process ended with %v", err)
		}
	}
	path := filepath.Join(filepath.Dir(d.dir), "journal")
	d.answer = func(r flow.Received) (flow.Receipt, error) { receipt, _ := journal(path, r); return receipt, nil }
	d.start()
	d.until(want...)
	kept, err := os.ReadFile(path)
	if err != nil || strings.Count(string(kept), "\n") != files {
		t.Errorf("kept %q, %v", kept, err)
	}
	for i := range files {
		if got := d.read(fmt.Sprintf("done/%d.hl7.ack.hl7", i)); got != fmt.Sprintf("MSA|AA|%d\r", i) {
			t.Errorf("message %d: %q", i, got)
		}
	}
}

func TestTwoGatewaysOnOneFolderTakeEachFileOnce(t *testing.T) {
	d := watch(t, acked)
	var want []string
	for i := range 100 {
		name := fmt.Sprintf("%03d.hl7", i)
		d.put(name, name, time.Duration(200-i)*time.Second)
		want = append(want, name)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	for range 2 {
		s := *d.source
		wg.Go(func() {
			if err := s.Serve(ctx, d.accept); err != nil {
				t.Error(err)
			}
		})
	}
	for deadline := time.Now().Add(20 * time.Second); len(d.received()) < len(want) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	cancel()
	wg.Wait()
	if got := d.received(); !slices.Equal(got, want) {
		t.Errorf("%d files came, want each once and in order: %q", len(got), got)
	}
}

// One process holds the folder and is killed: the other goes on, with what was under way first.
func TestTheLockOfADeadGatewayIsFree(t *testing.T) {
	d := watch(t, acked)
	held, err := openFolder(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	d.put("a.hl7", "x", 0)
	d.start()
	time.Sleep(50 * time.Millisecond)
	if got := d.received(); len(got) != 0 {
		t.Error("taken while another holds the folder")
	}
	held.close()
	d.until("done/a.hl7", "done/a.hl7.ack.hl7")
}

// What is under way when Serve ends is finished.
func TestTheFileUnderWayIsFinishedWhenServeEnds(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	d := watch(t, acked)
	d.put("1.hl7", "x", time.Hour)
	d.put("2.hl7", "y", 0)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- d.source.Serve(ctx, func(ctx context.Context, r flow.Received) (flow.Receipt, error) {
			close(begun)
			<-end
			if ctx.Err() != nil {
				return flow.Receipt{}, ctx.Err()
			}
			return acked(r)
		})
	}()
	<-begun
	cancel()
	time.Sleep(20 * time.Millisecond)
	close(end)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	d.until("2.hl7", "done/1.hl7", "done/1.hl7.ack.hl7")
}

func TestAFolderThatGoesAwayIsSaidOnceAndComesBack(t *testing.T) {
	d := watch(t, acked).start()
	time.Sleep(20 * time.Millisecond)
	away := d.dir + "-away"
	if err := os.Rename(d.dir, away); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if err := os.Rename(away, d.dir); err != nil {
		t.Fatal(err)
	}
	d.put("a.hl7", "x", 0)
	d.until("done/a.hl7", "done/a.hl7.ack.hl7")
	d.stop()
	if log := d.log.String(); strings.Count(log, "files are not taken") != 1 || !strings.Contains(log, "no such file") {
		t.Errorf("log:\n%s", log)
	}
}

// Nothing that a sender wrote, in a name or a file, is in a log.
func TestLogsNameNoPatient(t *testing.T) {
	d := watch(t, func(r flow.Received) (flow.Receipt, error) {
		if strings.Contains(string(r.Raw), "poison") {
			return flow.Receipt{}, errors.New("a defect")
		}
		return flow.Receipt{Answer: []byte("MSA|AE|1\r"), Refused: true}, nil
	}, func(s *Source) { s.Poll, s.Limit = time.Millisecond, 100 })
	d.put("Testcase-Rosalind-1.hl7", "poison Rosalind", 0)
	d.put("Testcase-Rosalind-2.hl7", strings.Repeat("Rosalind", 100), 0)
	d.put("Testcase-Rosalind-3.hl7", "", 0)
	if err := os.Mkdir(filepath.Join(d.dir, refused, "Testcase-Rosalind-2.hl7.reason.txt"), 0o700); err != nil {
		t.Fatal(err) // no answer can be written under this name: it finds another
	}
	d.start()
	for deadline := time.Now().Add(10 * time.Second); len(d.tree()) < 6 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	d.stop()
	log := d.log.String()
	if strings.Contains(log, "Rosalind") || strings.Contains(log, "Testcase") || !strings.Contains(log, hashed("Testcase-Rosalind-1.hl7")) {
		t.Errorf("log:\n%s", log)
	}
	for _, name := range d.tree() {
		if strings.HasSuffix(name, reasonSuffix) && strings.Contains(d.read(name), "Rosalind") {
			t.Errorf("the reason names the patient: %q", d.read(name))
		}
	}
}
