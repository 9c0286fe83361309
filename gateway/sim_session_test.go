package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// session is a section of docs/simulators.md: what is typed, and what that prints.
type session struct {
	title string
	steps []step
}

// step is some lines of a shell and what they print.
type step struct {
	terminal bool // they go on in a terminal of their own
	lines    string
	want     []string
}

const ownTerminal = "# in a terminal of its own\n"

// readSessions cuts a manual into its sessions.
func readSessions(text string) (out []session) {
	for _, section := range strings.Split(text, "\n## ")[1:] {
		title, _, _ := strings.Cut(section, "\n")
		s := session{title: title}
		for _, block := range strings.Split(section, "```sh\n")[1:] {
			code, _, _ := strings.Cut(block, "```")
			if line, own := strings.CutPrefix(code, ownTerminal); own {
				s.steps = append(s.steps, step{terminal: true, lines: line})
				continue
			}
			s.steps = append(s.steps, stepsOf(code)...)
		}
		if s.steps != nil {
			out = append(out, s)
		}
	}
	return out
}

func stepsOf(code string) (out []step) {
	now := step{}
	for line := range strings.Lines(code) {
		said, expected := strings.CutPrefix(line, "#>")
		if !expected && now.want != nil {
			out, now = append(out, now), step{}
		}
		if expected {
			now.want = append(now.want, strings.TrimSpace(said))
		} else {
			now.lines += line
		}
	}
	return append(out, now)
}

// alike tells whether what was printed is what the manual says; … stands for anything.
func alike(printed string, want []string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.Join(want, "\n")), "…", "[^\n]*")
	return regexp.MustCompile(`^` + pattern + `$`).MatchString(strings.TrimSpace(strings.ReplaceAll(printed, "\r", "")))
}

// usualPorts are those of the manual; a test takes others, of which none is another's.
var usualPorts = []string{"2575", "2576", "8080", "8081", "2580", "2590", "2591", "2592", "2593", "2594", "2595", "3580", "3590"}

// moved gives each session addresses of its own.
func moved(t *testing.T) *strings.Replacer {
	var pairs []string
	for _, port := range usualPorts {
		pairs = append(pairs, "127.0.0.1:"+port, freePort(t))
	}
	return strings.NewReplacer(pairs...)
}

// TestTheSessionsOfTheManual types docs/simulators.md, with curl and the program that is built from here.
func TestTheSessionsOfTheManual(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile("../docs/simulators.md")
	if err != nil {
		t.Fatal(err)
	}
	sessions := readSessions(string(manual))
	if len(sessions) < 6 {
		t.Fatalf("%d sessions in the manual", len(sessions))
	}
	for _, s := range sessions {
		t.Run(s.title, func(t *testing.T) {
			t.Parallel()
			s.run(t, path)
		})
	}
}

// run types a session in a folder that has what the repository has.
func (s session) run(t *testing.T, path string) {
	dir, at := t.TempDir(), moved(t)
	config, err := os.ReadFile("../gateway.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "gateway.example.yaml"), []byte(at.Replace(string(config))), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(root, "fixtures"), filepath.Join(dir, "fixtures")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	shell := newShell(t, ctx, dir, path)
	for _, step := range s.steps {
		lines := strings.ReplaceAll(at.Replace(step.lines), "gateway cases", "gateway cases --server http://"+at.Replace("127.0.0.1:8081"))
		if step.terminal {
			shell.terminal(lines, at)
			continue
		}
		printed := shell.types(lines)
		if step.want != nil && !alike(printed, step.want) {
			t.Fatalf("%s\nprinted\n%s\nthe manual says\n%s", step.lines, printed, strings.Join(step.want, "\n"))
		}
	}
	shell.end()
}

// shell is bash, which is given some lines after others, and terminals in which something goes on.
type shell struct {
	t         *testing.T
	ctx       context.Context
	dir, env  string
	terminals []*exec.Cmd
}

func newShell(t *testing.T, ctx context.Context, dir, path string) *shell {
	return &shell{t: t, ctx: ctx, dir: dir, env: "PATH=" + filepath.Dir(path) + string(os.PathListSeparator) + os.Getenv("PATH")}
}

func (s *shell) command(line string) *exec.Cmd {
	c := exec.CommandContext(s.ctx, "bash", "-c", line)
	c.Dir, c.Env = s.dir, append(os.Environ(), s.env)
	return c
}

// types runs lines after those before: variables and functions stay.
func (s *shell) types(lines string) string {
	s.t.Helper()
	c := s.command("set +e; [ -f .state ] && . ./.state 2>/dev/null\n" + lines + "\n{ declare -p | grep -v 'declare -[a-z]*[rx]'; declare -f; } > .state")
	out, err := c.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s\n%v: %s", lines, err, out)
	}
	return string(out)
}

// terminal starts a command that goes on, at the addresses of this session, and waits until it listens.
func (s *shell) terminal(line string, at *strings.Replacer) {
	s.t.Helper()
	line = strings.TrimSpace(line)
	verb := strings.Fields(line)
	if verb[1] == "sim" {
		line += movedFlags(verb[2], at)
	}
	c := s.command("exec " + line)
	log, err := os.Create(filepath.Join(s.dir, fmt.Sprintf("terminal-%d", len(s.terminals))))
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.terminals = append(s.terminals, c)
	s.t.Cleanup(func() { c.Process.Kill() }) //nolint:errcheck // it has ended
	for verb[1] == "sim" && s.ctx.Err() == nil {
		said, err := os.ReadFile(log.Name())
		if err != nil || strings.Contains(string(said), "Ctrl-C ends it.") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// movedFlags say where a simulator is, instead of at its usual address.
func movedFlags(name string, at *strings.Replacer) string {
	flags := map[string]map[string]string{
		"token":  {"listen": "127.0.0.1:2594"},
		"ers":    {"listen": "127.0.0.1:2591"},
		"ag":     {"listen": "127.0.0.1:2592", "gateway": "http://127.0.0.1:8080/fhir"},
		"epr":    {"listen": "127.0.0.1:2580", "control": "127.0.0.1:3580", "gateway": "127.0.0.1:2576"},
		"gp":     {"listen": "127.0.0.1:2590", "control": "127.0.0.1:3590", "gateway": "127.0.0.1:2575", "fhir": "http://127.0.0.1:8080/fhir"},
		"notify": {"listen": "127.0.0.1:2593"},
		"mesh":   {"listen": "127.0.0.1:2595"},
	}
	out := ""
	if name != "all" {
		for flag, value := range flags[name] {
			out += " --" + flag + " " + at.Replace(value)
		}
		return out
	}
	flags["notify"]["callback"] = "http://127.0.0.1:8080/notify/status"
	for name, of := range flags {
		for flag, value := range of {
			out += " --set " + name + "." + flag + "=" + at.Replace(value)
		}
	}
	return out
}

// end presses Ctrl-C in every terminal, the last first: each ends, and without a fault.
func (s *shell) end() {
	for i := len(s.terminals) - 1; i >= 0; i-- {
		c := s.terminals[i]
		if err := c.Process.Signal(syscall.SIGINT); err != nil {
			s.t.Error(err)
		}
		if err := c.Wait(); err != nil {
			log, _ := os.ReadFile(filepath.Join(s.dir, fmt.Sprintf("terminal-%d", i)))
			s.t.Errorf("%v ended with %v\n%s", c.Args, err, log)
		}
	}
}
