package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// drop is a folder under watch, and a gateway that keeps what it is given.
type drop struct {
	t      *testing.T
	dir    string
	source *Source
	log    bytes.Buffer // read it after stop
	stop   func()

	mu     sync.Mutex
	came   []string                                  // contents, in order
	answer func(flow.Received) (flow.Receipt, error) // nil: kept
}

func acked(r flow.Received) (flow.Receipt, error) {
	return flow.Receipt{Answer: fmt.Appendf(nil, "MSA|AA|%d\r", len(r.Raw))}, nil
}

// watch starts a source on a new folder; put files there with put.
func watch(t *testing.T, answer func(flow.Received) (flow.Receipt, error), options ...func(*Source)) *drop {
	t.Helper()
	d := &drop{t: t, dir: filepath.Join(t.TempDir(), "in"), answer: answer}
	d.source = &Source{Name: "drop", Path: d.dir, Poll: 5 * time.Millisecond, Log: slog.New(slog.NewJSONHandler(&d.log, nil))}
	for _, o := range options {
		o(d.source)
	}
	if err := d.source.Open(); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *drop) start() *drop {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.source.Serve(ctx, d.accept) }()
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			d.t.Error(err)
		}
	})
	d.t.Cleanup(d.stop)
	return d
}

func (d *drop) accept(_ context.Context, r flow.Received) (flow.Receipt, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	receipt, err := d.answer(r)
	if err == nil {
		d.came = append(d.came, string(r.Raw))
	}
	return receipt, err
}

func (d *drop) received() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.came)
}

// put writes a file as a sender does: elsewhere, then renamed into place. age is how old it claims to be.
func (d *drop) put(name, content string, age time.Duration) {
	d.t.Helper()
	part := filepath.Join(d.dir, name[:min(len(name), 100)]+".part")
	at := time.Now().Add(-age)
	if err := errors.Join(os.WriteFile(part, []byte(content), 0o600), os.Chtimes(part, at, at), os.Rename(part, filepath.Join(d.dir, name))); err != nil {
		d.t.Fatal(err)
	}
}

// tree lists the files below the folder, without the lock.
func (d *drop) tree() []string {
	d.t.Helper()
	out := []string{}
	err := filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != lockName {
			rel, _ := filepath.Rel(d.dir, path)
			out = append(out, rel)
		}
		return nil // files come and go
	})
	if err != nil {
		d.t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func (d *drop) read(name string) string {
	d.t.Helper()
	b, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		d.t.Error(err)
	}
	return string(b)
}

// until waits for the folder to hold exactly these files.
func (d *drop) until(want ...string) {
	d.t.Helper()
	slices.Sort(want)
	var got []string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if got = d.tree(); slices.Equal(got, want) {
			return
		}
	}
	d.t.Fatalf("the folder has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
}

func TestAFileGoesToDoneWithItsAcknowledgementBesideIt(t *testing.T) {
	var in flow.Received
	d := watch(t, func(r flow.Received) (flow.Receipt, error) {
		in = r
		return flow.Receipt{Answer: []byte("MSH|^~\\&|\rMSA|AA|1\r")}, nil
	}, func(s *Source) { s.Subject = flow.Subject{Organisation: "Y06601"} }).start()
	d.put("a.hl7", "MSH|^~\\&|A\r", 0)
	d.until("done/a.hl7", "done/a.hl7.ack.hl7")
	d.stop()
	if got := d.read("done/a.hl7.ack.hl7"); got != "MSH|^~\\&|\rMSA|AA|1\r" {
		t.Errorf("ACK %q", got)
	}
	if d.read("done/a.hl7") != "MSH|^~\\&|A\r" {
		t.Error("the message changed")
	}
	if in.Source != "drop" || in.Format != flow.HL7v2 || in.Subject.Organisation != "Y06601" || in.At.IsZero() {
		t.Errorf("handed over: %+v", in)
	}
}

func TestFHIRIsToldByItsContent(t *testing.T) {
	d := watch(t, func(r flow.Received) (flow.Receipt, error) {
		return flow.Receipt{Answer: []byte(`{"format":"` + string(r.Format) + `"}`), Refused: strings.Contains(string(r.Raw), "bad")}, nil
	}).start()
	d.put("1.hl7", "\ufeff \r\n{\"resourceType\":\"Bundle\"}", 0)
	d.put("2", `{"bad"`, 0)
	d.until("done/1.hl7", "done/1.hl7.ack.json", "refused/2", "refused/2.ack.json")
	if got := d.read("done/1.hl7.ack.json"); got != "{\"format\":\"fhir-r4\"}\n" {
		t.Errorf("answer %q", got)
	}
}

func TestWhatIsNotAWholeFileIsLeftAlone(t *testing.T) {
	d := watch(t, acked)
	outside := filepath.Join(t.TempDir(), "secret")
	err := errors.Join(os.WriteFile(outside, []byte("MSH|^~\\&|X\r"), 0o600), os.Mkdir(filepath.Join(d.dir, "folder.hl7"), 0o700),
		os.WriteFile(filepath.Join(d.dir, "folder.hl7", "in.hl7"), []byte("x"), 0o600), os.Symlink(outside, filepath.Join(d.dir, "link.hl7")),
		os.WriteFile(filepath.Join(d.dir, "half.hl7.part"), []byte("MSH"), 0o600), os.WriteFile(filepath.Join(d.dir, "HALF.PART"), []byte("MSH"), 0o600),
		os.WriteFile(filepath.Join(d.dir, ".hidden"), []byte("MSH"), 0o600), syscall.Mkfifo(filepath.Join(d.dir, "pipe.hl7"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	d.start()
	d.put("z.hl7", "MSH|^~\\&|Z\r", 0)
	left := []string{"folder.hl7/in.hl7", "link.hl7", "half.hl7.part", "HALF.PART", ".hidden", "pipe.hl7"}
	d.until(append(left, "done/z.hl7", "done/z.hl7.ack.hl7")...)
	time.Sleep(30 * time.Millisecond) // several looks later
	d.until(append(left, "done/z.hl7", "done/z.hl7.ack.hl7")...)
	if got := d.received(); len(got) != 1 {
		t.Errorf("taken: %q", got)
	}
}

func TestTheOldestGoesFirstThenByName(t *testing.T) {
	d := watch(t, acked)
	d.put("a.hl7", "third", time.Minute)
	d.put("c.hl7", "first", time.Hour)
	at := time.Now().Add(-30 * time.Minute)
	for _, name := range []string{"z.hl7", "m.hl7"} {
		d.put(name, "second "+name, 0)
		if err := os.Chtimes(filepath.Join(d.dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	d.start()
	d.until("done/a.hl7", "done/a.hl7.ack.hl7", "done/c.hl7", "done/c.hl7.ack.hl7", "done/m.hl7", "done/m.hl7.ack.hl7", "done/z.hl7", "done/z.hl7.ack.hl7")
	if got := d.received(); !slices.Equal(got, []string{"first", "second m.hl7", "second z.hl7", "third"}) {
		t.Errorf("order %q", got)
	}
}

func TestTheSameNameAgainOverwritesNothing(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 15, 0, 0, time.UTC)
	d := watch(t, acked, func(s *Source) { s.Now = func() time.Time { return now } }).start()
	want := []string{}
	for i, name := range []string{"a.hl7", "a~20261124T101500.000.hl7", "a~20261124T101500.000-2.hl7"} {
		d.put("a.hl7", strings.Repeat("x", i+1), 0)
		want = append(want, "done/"+name, "done/"+name+".ack.hl7")
		d.until(want...)
		if got := d.read("done/" + name); got != strings.Repeat("x", i+1) {
			t.Errorf("%s holds %q", name, got)
		}
		if got := d.read("done/" + name + ".ack.hl7"); got != fmt.Sprintf("MSA|AA|%d\r", i+1) {
			t.Errorf("its answer is %q", got)
		}
	}
	d.put("b", "1", 0)
	want = append(want, "done/b", "done/b.ack.hl7")
	d.until(want...)
	d.put("b.ack.hl7", "22", 0) // a message that bears the name of an answer
	d.until(append(want, "done/b.ack~20261124T101500.000.hl7", "done/b.ack~20261124T101500.000.hl7.ack.hl7")...)
}

func TestAVeryLongNameIsShortened(t *testing.T) {
	d := watch(t, acked).start()
	name := strings.Repeat("é", 125) + ".hl7" // 254 bytes, as long as names get
	d.put(name, "x", 0)
	short := "done/" + strings.Repeat("é", 93) + "~" + hashed(name) + ".hl7"
	d.until(short, short+".ack.hl7")
}

func TestAFileThatStillGrowsIsLeftUntilItHasSettled(t *testing.T) {
	d := watch(t, acked, func(s *Source) { s.Settle = time.Second }).start()
	f, err := os.Create(filepath.Join(d.dir, "slow.hl7"))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // longer than it takes to settle
		if _, err := f.WriteString("0123456789"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(60 * time.Millisecond)
		if got := d.received(); len(got) > 0 {
			t.Fatalf("taken with %d bytes, still being written", len(got[0]))
		}
	}
	f.Close()
	d.until("done/slow.hl7", "done/slow.hl7.ack.hl7")
	if got := d.received(); len(got) != 1 || len(got[0]) != 200 {
		t.Errorf("got %d files", len(got))
	}
}

func TestARefusedFileGoesToRefused(t *testing.T) {
	d := watch(t, func(r flow.Received) (flow.Receipt, error) {
		if strings.Contains(string(r.Raw), "same id") {
			return flow.Receipt{}, fmt.Errorf("accept: %w", flow.ErrConflict)
		}
		return flow.Receipt{Answer: []byte("MSA|AE|1\r"), Refused: true}, nil
	}, func(s *Source) { s.Limit = 100 }).start()
	d.put("bad.hl7", "MSH|^~\\&|\r", 0)
	d.put("empty.hl7", "", 0)
	d.put("large.hl7", strings.Repeat("x", 101), 0)
	d.put("conflict.hl7", "same id", 0)
	d.until("refused/bad.hl7", "refused/bad.hl7.ack.hl7", "refused/empty.hl7", "refused/empty.hl7.reason.txt",
		"refused/large.hl7", "refused/large.hl7.reason.txt", "refused/conflict.hl7", "refused/conflict.hl7.reason.txt")
	if got := d.read("refused/bad.hl7.ack.hl7"); got != "MSA|AE|1\r" {
		t.Errorf("ACK %q", got)
	}
	if got := d.read("refused/large.hl7.reason.txt"); got != "larger than 100 bytes (limits.message_bytes)\n" {
		t.Errorf("reason %q", got)
	}
}

func TestAFileOfManyMessagesGetsAllAnswersOneAfterAnother(t *testing.T) {
	d := watch(t, func(flow.Received) (flow.Receipt, error) {
		return flow.Receipt{Answers: [][]byte{[]byte("MSH|1\rMSA|AA|1\r"), []byte("MSH|2\rMSA|AE|2"), []byte("MSH|3\rMSA|AA|3\r")}}, nil
	}).start()
	d.put("batch.hl7", "FHS|^~\\&|\r", 0)
	d.until("done/batch.hl7", "done/batch.hl7.ack.hl7")
	if got := d.read("done/batch.hl7.ack.hl7"); got != "MSH|1\rMSA|AA|1\rMSH|2\rMSA|AE|2\rMSH|3\rMSA|AA|3\r" {
		t.Errorf("answers %q", got)
	}
}

// A batch of which only the first messages could be kept is tried again: they are repeats then.
func TestABatchThatIsHalfKeptIsTriedAgain(t *testing.T) {
	tries := 0
	d := watch(t, func(r flow.Received) (flow.Receipt, error) {
		tries++
		if never := strings.Contains(string(r.Raw), "never"); never || tries == 1 {
			return flow.Receipt{Answers: [][]byte{[]byte("MSA|AA|1\r"), []byte("MSA|AR|2\r")}, Refused: true, Unkept: true}, nil
		}
		return flow.Receipt{Answers: [][]byte{[]byte("MSA|AA|1\r"), []byte("MSA|AA|2\r")}}, nil
	}, func(s *Source) { s.Poll = time.Millisecond }).start()
	d.put("batch.hl7", "FHS|^~\\&|\r", 0)
	d.until("done/batch.hl7", "done/batch.hl7.ack.hl7")
	if got := d.read("done/batch.hl7.ack.hl7"); got != "MSA|AA|1\rMSA|AA|2\r" {
		t.Errorf("answers %q", got)
	}
	d.put("never.hl7", "never", 0)
	d.until("done/batch.hl7", "done/batch.hl7.ack.hl7", "refused/never.hl7", "refused/never.hl7.ack.hl7")
	if got := d.read("refused/never.hl7.ack.hl7"); got != "MSA|AA|1\rMSA|AR|2\r" {
		t.Errorf("answers %q", got)
	}
}

func TestASenderThatWantsNoAnswerGetsNone(t *testing.T) {
	d := watch(t, func(flow.Received) (flow.Receipt, error) { return flow.Receipt{}, nil }).start()
	d.put("a.hl7", "MSH", 0)
	d.until("done/a.hl7")
}
