package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/mapping/issue"
)

// patient is what must never be seen in a log.
const patient = "Eleanor Rigby"

func logged(t *testing.T, write func(*slog.Logger)) (line string, fields map[string]any) {
	t.Helper()
	var b bytes.Buffer
	write(NewLogger(&b, slog.LevelInfo))
	if err := json.Unmarshal(b.Bytes(), &fields); err != nil {
		t.Fatalf("not one line of JSON: %q", b.String())
	}
	return b.String(), fields
}

func TestOnlyListedKeysShowTheirValue(t *testing.T) {
	for what, write := range map[string]func(*slog.Logger){
		"attribute": func(l *slog.Logger) { l.Info("x", "patient", patient) },
		"struct":    func(l *slog.Logger) { l.Info("x", "case", struct{ Name string }{patient}) },
		"bytes":     func(l *slog.Logger) { l.Info("x", "message", []byte(patient)) },
		"with":      func(l *slog.Logger) { l.With("name_of_patient", patient).Info("x") },
		"group":     func(l *slog.Logger) { l.Info("x", slog.Group("case", "nhs_number", patient)) },
		"in group":  func(l *slog.Logger) { l.WithGroup("g").With("body", patient).Info("x", "raw", patient) },
		"valuer":    func(l *slog.Logger) { l.Info("x", "pid", valuer{}) },
		"map":       func(l *slog.Logger) { l.Info("x", "id", map[string]string{"a": patient}) },
		"json":      func(l *slog.Logger) { l.Info("x", "error", quoting()) },
		"number": func(l *slog.Logger) {
			_, err := strconv.Atoi(patient)
			l.Info("x", "error", fmt.Errorf("PID-3: %w", err))
		},
		"url": func(l *slog.Logger) {
			l.Info("x", "error", &url.Error{Op: "Get", URL: "https://h/?name=" + patient, Err: errors.New("refused")})
		},
	} {
		line, _ := logged(t, write)
		if strings.Contains(line, patient) || strings.Contains(line, "Eleanor") {
			t.Errorf("%s: %s", what, line)
		}
	}
}

type valuer struct{}

func (valuer) LogValue() slog.Value { return slog.StringValue(patient) }

// quoting gives an error that quotes its input, as parsers do.
func quoting() error {
	_, err := time.Parse(time.RFC3339, patient)
	return fmt.Errorf("ServiceRequest.authoredOn: %w", err)
}

func TestListedKeysShowTheirValue(t *testing.T) {
	_, got := logged(t, func(l *slog.Logger) {
		l.With("source", "gp").Warn("parked", "attempt", 3, "took", 1500*time.Millisecond, "sources", []string{"a", "b"},
			"error", fmt.Errorf("deliver: %w", issue.New(issue.Value, "PID-3[1].1", "not a valid NHS number").Because(errors.New(patient))))
	})
	for key, want := range map[string]any{"msg": "parked", "source": "gp", "attempt": 3.0, "took": "1.5s", "sources": "a b",
		"error": "deliver: PID-3[1].1: not a valid NHS number", "level": "WARN"} {
		if got[key] != want {
			t.Errorf("%s: got %v, want %v", key, got[key], want)
		}
	}
}

// frameError is an error type of this module.
type frameError struct{ cause error }

func (f frameError) Error() string {
	if f.cause != nil {
		return "frame: " + f.cause.Error()
	}
	return "frame without an end"
}
func (f frameError) Unwrap() error { return f.cause }

func TestErrorsOfOurOwnKeepTheirWords(t *testing.T) {
	_, got := logged(t, func(l *slog.Logger) {
		l.Info("x", "error", fmt.Errorf("mllp: %w", frameError{}), "err", frameError{quoting()},
			"reason", errors.Join(errors.New("first"), errors.New("second")))
	})
	if got["error"] != "mllp: frame without an end" || got["err"] != "frame: ServiceRequest.authoredOn: (*time.ParseError)" || got["reason"] != "first; second" {
		t.Errorf("got %v", got)
	}
}

func TestErrorsOfTheSystemKeepTheirCause(t *testing.T) {
	_, missing := os.Open("/no/such/file")
	_, got := logged(t, func(l *slog.Logger) {
		l.Info("x", "error", fmt.Errorf("config: %w", missing), "err", context.DeadlineExceeded)
	})
	if got["error"] != "config: open /no/such/file: no such file or directory" || got["err"] != "context deadline exceeded" {
		t.Errorf("got %v", got)
	}
}

func TestNoForgedLines(t *testing.T) {
	line, got := logged(t, func(l *slog.Logger) { l.Info("a\nb", "name", "x\r\n{\"level\":\"ERROR\"}\x1b[2J\u202egnp.exe\u2028") })
	if strings.Count(line, "\n") != 1 || got["msg"] != "a<U+000A>b" {
		t.Errorf("got %q", line)
	}
	if want := `x<U+000D><U+000A>{"level":"ERROR"}<U+001B>[2J<U+202E>gnp.exe<U+2028>`; got["name"] != want {
		t.Errorf("got %q, want %q", got["name"], want)
	}
	if long := Escape(strings.Repeat("é", 10_000)); len([]rune(long)) != longest+1 {
		t.Errorf("a value of %d characters is shown", len([]rune(long)))
	}
}
