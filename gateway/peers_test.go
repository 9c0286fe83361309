package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/token"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dermgate/dermgate/fixtures"
	"github.com/dermgate/dermgate/gateway/pathway"
)

// peers installs the HL7 libraries of npm once for all tests and gives their folder.
var peers = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(shared, "peers")
	if err := os.CopyFS(dir, os.DirFS("../fixtures/peers")); err != nil {
		return dir, err
	}
	if err := os.RemoveAll(filepath.Join(dir, "node_modules")); err != nil {
		return dir, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("npm ci (make node installs npm): %w\n%s", err, out)
	}
	return dir, nil
})

// peer prepares a script of fixtures/peers to run until ctx ends.
func peer(t *testing.T, ctx context.Context, script string, args ...string) *exec.Cmd {
	t.Helper()
	dir, err := peers()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "node", append([]string{filepath.Join(dir, script)}, args...)...)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// peerAck is what client.js prints of an acknowledgement.
type peerAck struct {
	Sent, Code, Control string
	Errors              int
}

// peerSends sends messages with simple-hl7 and gives the acknowledgements it understood.
func peerSends(t *testing.T, ctx context.Context, address string, messages ...[]byte) []peerAck {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	cmd := peer(t, ctx, "client.js", append([]string{host, port}, files(t, messages)...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("client.js: %v: %s", err, stderr.Bytes())
	}
	var acks []peerAck
	for line := range strings.Lines(string(out)) {
		var a peerAck
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("client.js printed %q", line)
		}
		acks = append(acks, a)
	}
	return acks
}

func files(t *testing.T, messages [][]byte) []string {
	t.Helper()
	dir, names := t.TempDir(), make([]string, len(messages))
	for i, m := range messages {
		names[i] = filepath.Join(dir, fmt.Sprintf("%03d.hl7", i))
		if err := os.WriteFile(names[i], m, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

func TestSimpleHL7SendsToListen(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	address, dir := freePort(t), t.TempDir()
	var out, log lockedBuffer
	running, stop := context.WithCancel(ctx)
	ended := make(chan int, 1)
	go func() {
		ended <- run(running, []string{"listen", "--mllp", address, "--out", dir}, stdio{nil, &out, &log})
	}()
	if err := until(ctx, "it listens", func() bool { return bytes.Contains(log.Bytes(), []byte("listening on")) }); err != nil {
		t.Fatal(err)
	}
	messages := [][]byte{referral(1), referral(2), referral(3)}
	want := []peerAck{{"C00001", "AA", "C00001", 0}, {"C00002", "AA", "C00002", 0}, {"C00003", "AA", "C00003", 0}}
	if acks := peerSends(t, ctx, address, messages...); !slices.Equal(acks, want) {
		t.Errorf("acknowledgements %+v", acks)
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("listen ended with %d: %s", code, log.Bytes())
	}
	for i, m := range messages {
		got, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%06d.hl7", i+1)))
		if err != nil || !bytes.Equal(got, bytes.TrimSuffix(m, []byte("\r"))) { // it writes no end of the last segment
			t.Errorf("message %d: %v\n%q", i+1, err, got)
		}
	}
}

func TestSimpleHL7SendsAReferralToServe(t *testing.T) {
	ctx, w := running(t)
	message, err := fixtures.Message("suspected-cancer.hl7")
	if err != nil {
		t.Fatal(err)
	}
	acks := peerSends(t, ctx, w.mllp(), message, message)
	want := peerAck{"USC0001", "AA", "USC0001", 1} // a warning: there is no close-up
	if !slices.Equal(acks, []peerAck{want, want}) {
		t.Errorf("acknowledgements %+v", acks)
	}
	w.await(t, ctx, pathway.AwaitingTriage)
}

func TestSendToSimpleHL7(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := peer(t, ctx, "server.js")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	var server struct{ Port int }
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &server) != nil || server.Port == 0 {
		t.Fatalf("server.js printed %q", lines.Bytes())
	}
	messages := [][]byte{referral(1), referral(2)}
	var out bytes.Buffer
	to := fmt.Sprintf("mllp://127.0.0.1:%d", server.Port)
	code := run(ctx, append([]string{"send", "--to", to}, files(t, messages)...), stdio{nil, &out, &out})
	if code != 0 || !strings.Contains(out.String(), "AA C00001") || !strings.Contains(out.String(), "\nAA 2  p50 ") {
		t.Errorf("send ended with %d:\n%s", code, out.String())
	}
	for i, m := range messages {
		var got struct {
			Type, Event, Control, SHA256 string
			Segments                     []string
		}
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &got) != nil {
			t.Fatalf("server.js printed %q", lines.Bytes())
		}
		sum := sha256.Sum256(m)
		if got.Type != "REF" || got.Event != "I12" || got.Control != fmt.Sprintf("C%05d", i+1) || got.SHA256 != hex.EncodeToString(sum[:]) ||
			!slices.Equal(got.Segments, []string{"RF1", "PRD", "PRD", "PID", "OBX"}) {
			t.Errorf("message %d arrived as %+v", i+1, got)
		}
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
		t.Errorf("server.js: %v: %s", err, stderr.Bytes())
	}
}

// `make bench-peers` compares like with like: the message of both benchmarks is the same.
func TestPeersAreMeasuredOnTheSameMessage(t *testing.T) {
	text, err := os.ReadFile("../fixtures/peers/adt.hl7")
	if err != nil {
		t.Fatal(err)
	}
	var ours strings.Builder
	ast.Inspect(parse(t, "mapping/hl7/bench_test.go", nil).file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != "adt" {
			return true
		}
		ast.Inspect(spec, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				part, err := strconv.Unquote(l.Value)
				if err != nil {
					t.Error(err)
				}
				ours.WriteString(part)
			}
			return true
		})
		return false
	})
	if got := strings.ReplaceAll(string(text), "\n", "\r"); got != ours.String() {
		t.Errorf("adt.hl7 is\n%q\nmapping/hl7/bench_test.go has\n%q", got, ours.String())
	}
}
