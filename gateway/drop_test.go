package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dermgate/dermgate/fixtures"
	"github.com/dermgate/dermgate/gateway/observe"
	"github.com/dermgate/dermgate/gateway/pathway"
)

// dropSource is a folder of practice Y06601 as a source.
const dropSource = `  - name: drop
    kind: file
    path: %s
    poll: 100ms
    settle: 0s
    organisation: Y06601
    kind_of_case: {from: "RF1-3.1", advice: [AG], referral: [DERM]}
    urgency: {from: "RF1-2.1", two_week_wait: [2WW], urgent: [U], routine: [R]}
`

// dropFile renames a whole file into a folder.
func dropFile(t *testing.T, folder, name string, content []byte) {
	t.Helper()
	part := filepath.Join(folder, name+".part")
	if err := os.WriteFile(part, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(part, filepath.Join(folder, name)); err != nil {
		t.Fatal(err)
	}
}

// A referral dropped as a file goes the way of any other: the case is opened and sent to e-RS, and its
// acknowledgement lies beside it in done/.
func TestADroppedReferralIsACaseAndItsAcknowledgementLiesBeside(t *testing.T) {
	for name, c := range map[string]struct{ fixture, ack, want string }{
		"HL7 v2": {"suspected-cancer.hl7", ".ack.hl7", "\rMSA|AA|"},
		"FHIR":   {"referral-routine.json", ".ack.json", `"code":"ok"`},
	} {
		t.Run(name, func(t *testing.T) {
			gin.SetMode(gin.ReleaseMode)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			text := strings.Replace(string(demoConfig), "\ndestinations:", fmt.Sprintf(dropSource, `"${DIR}/in"`)+"\ndestinations:", 1)
			var log lockedBuffer
			w, err := startWorld(ctx, []byte(text), [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}, observe.NewLogger(&log, slog.LevelDebug))
			if err != nil {
				t.Fatal(err)
			}
			defer w.close()
			running, stop := context.WithCancel(ctx)
			done := make(chan error, 1)
			go func() { done <- w.app.run(running) }()
			message, err := fixtures.Message(c.fixture)
			if err != nil {
				t.Fatal(err)
			}
			in := filepath.Join(w.dir, "in")
			dropFile(t, in, "Rosalind Testcase", message)
			dropFile(t, in, "bad.hl7", []byte("MSH|^~\\&|EMIS|Y06601|D|R|20261124||REF^I12^REF_I12|B1|P|2.4\rZZZ|Testcase\r"))
			ack := filepath.Join(in, "done", "Rosalind Testcase"+c.ack)
			var answer []byte
			err = until(ctx, "the ACK is in done/", func() bool { answer, err = os.ReadFile(ack); return err == nil })
			if err != nil {
				t.Fatalf("%v\n%s", err, log.Bytes())
			}
			if !bytes.Contains(answer, []byte(c.want)) {
				t.Errorf("answer %q", answer)
			}
			w.await(t, ctx, pathway.AwaitingTriage)
			err = until(ctx, "both files are in their places", func() bool {
				kept, e1 := os.ReadFile(filepath.Join(in, "done", "Rosalind Testcase"))
				refusal, e2 := os.ReadFile(filepath.Join(in, "refused", "bad.hl7.ack.hl7"))
				return e1 == nil && e2 == nil && bytes.Equal(kept, message) && bytes.Contains(refusal, []byte("\rMSA|AE|B1"))
			})
			if err != nil {
				t.Error(err)
			}
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
			noPatients(t, "the log", log.Bytes())
		})
	}
}

// Killed again and again while it takes files, the gateway takes each to its end: one file and one AA in
// done/, one referral at the hospital.
func TestKilledWhileItTakesFilesEachIsTakenToItsEnd(t *testing.T) {
	const files, kills = 90, 3
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	if err := os.WriteFile(filepath.Join(dir, "photo.key"), bytes.Repeat([]byte("ab"), 32), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startSink(t)
	p := &process{t: t, config: filepath.Join(dir, "gateway.yaml"), log: filepath.Join(dir, "log")}
	text := fmt.Sprintf(crashConfig, fmt.Sprintf("{embedded: {path: %s/gateway.db}}", dir), dir, dir, freePort(t), freePort(t), freePort(t), s.server.Address())
	text = strings.Replace(text, "destinations:", fmt.Sprintf(dropSource, in)+"destinations:", 1)
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(in, 0o700); err != nil {
		t.Fatal(err)
	}
	for n := range files {
		dropFile(t, in, fmt.Sprintf("%03d.hl7", n), referral(n))
	}
	p.start()
	defer func() { p.kill() }()
	taken := func() int {
		moved, _ := filepath.Glob(filepath.Join(in, "done", "[0-9][0-9][0-9].hl7"))
		return len(moved)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for kill := 1; kill <= kills; kill++ {
		if err := until(ctx, "more files are taken", func() bool { return taken() >= kill*files/(kills+1) }); err != nil {
			t.Fatal(err)
		}
		p.kill()
		t.Logf("kill %d: %d of %d taken", kill, taken(), files)
		p.start()
	}
	err := until(ctx, "all has come", func() bool { return taken() == files && s.count() == files })
	if err != nil {
		log, _ := os.ReadFile(p.log)
		t.Fatalf("%v: %d taken, %d at the hospital\n%s", err, taken(), s.count(), log[max(0, len(log)-2000):])
	}
	for n := range files {
		name := filepath.Join(in, "done", fmt.Sprintf("%03d.hl7", n))
		message, err := os.ReadFile(name)
		ack, err2 := os.ReadFile(name + ".ack.hl7")
		if err != nil || err2 != nil || !bytes.Equal(message, referral(n)) || !bytes.Contains(ack, fmt.Appendf(nil, "\rMSA|AA|C%05d", n)) {
			t.Errorf("file %d: %v %v, ACK %q", n, err, err2, ack)
		}
		s.mu.Lock()
		if keys := s.came[fmt.Sprintf("P%05d", n)]; len(keys) != 1 {
			t.Errorf("referral %d came under %d control ids", n, len(keys))
		}
		s.mu.Unlock()
	}
	if all, err := os.ReadDir(filepath.Join(in, "done")); err != nil || len(all) != 2*files {
		t.Errorf("done/ holds %d, %v", len(all), err)
	}
}
