// Package observe makes the gateway visible without showing a patient: logs whose attributes are on a
// list, metrics wrapped around the interfaces of flow, and an audit log chained by hash. Nothing in the
// flow knows of it.
package observe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Keys are the attributes a log line may have: configured names, our own ids, counts and codes. The value
// of any other key is withheld, so that a careless log call cannot show a patient.
func Keys() []string {
	return []string{
		"source", "destination", "message", "case", "delivery", "id", "ids", // names and ids
		"listen", "address", "peer", "method", "route", "path", "file", "version", "digest", // where; path is a URL's route or a file
		"event", "state", "kind", "what", "where", "code", "result", "verb", "status", "store", "durability", "name", "text",
		"attempt", "attempts", "count", "bytes", "photos", "line", "maps", "sources", "destinations", "routes", "to", "signal",
		"duration", "took", "after", "due", "age", "oldest", "limit", "every",
		"person", "role", "organisation", "reason", "error", "err", "issue", "issues", "alarm",
	}
}

// longest is the most characters of one value that a log line shows.
const longest = 500

// withheld stands for the value of a key that is not on the list.
const withheld = "(withheld)"

// NewLogger writes JSON lines to w. Attributes outside Keys are withheld; an error shows its public face
// only (an issue, or words of our own); control and direction characters are escaped, so that no value
// forges a line or a terminal's output.
func NewLogger(w io.Writer, level slog.Leveler) *slog.Logger {
	allowed := map[string]bool{}
	for _, k := range Keys() {
		allowed[k] = true
	}
	json := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	return slog.New(&handler{next: json, allowed: allowed})
}

// handler cleans records before the JSON handler writes them.
type handler struct {
	next    slog.Handler
	allowed map[string]bool
}

func (h *handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, Escape(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(h.attr(a))
		return true
	})
	return h.next.Handle(ctx, clean)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = h.attr(a)
	}
	return &handler{h.next.WithAttrs(clean), h.allowed}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.next.WithGroup(name), h.allowed}
}

func (h *handler) attr(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		group := v.Group()
		clean := make([]slog.Attr, len(group))
		for i, member := range group {
			clean[i] = h.attr(member)
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(clean...)}
	}
	if !h.allowed[a.Key] {
		return slog.String(a.Key, withheld)
	}
	return slog.Attr{Key: a.Key, Value: show(v)}
}

// show gives a value that is safe to print: numbers and times as they are, text escaped, and of anything
// else only what it says of itself as an error, a list of words or a Stringer.
func show(v slog.Value) slog.Value {
	switch v.Kind() {
	case slog.KindString:
		return slog.StringValue(Escape(v.String()))
	case slog.KindBool, slog.KindInt64, slog.KindUint64, slog.KindFloat64, slog.KindTime:
		return v
	case slog.KindDuration:
		return slog.StringValue(v.Duration().String())
	}
	switch x := v.Any().(type) {
	case error:
		return slog.StringValue(Escape(public(x)))
	case []string:
		return slog.StringValue(Escape(strings.Join(x, " ")))
	case fmt.Stringer:
		return slog.StringValue(Escape(x.String()))
	}
	return slog.StringValue(withheld)
}

// Escape makes control, line-separating and direction-changing characters visible and cuts very long text.
func Escape(s string) string {
	if len(s) > longest {
		cut := []rune(s)
		s = string(cut[:min(len(cut), longest)]) + "…"
	}
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			fmt.Fprintf(&b, "<U+%04X>", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// hidden tells characters that change how what surrounds them is shown.
func hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// public gives the text of an error without what foreign code may have put into it. Our own words around
// a wrapped error stay; of the innermost error, an issue, a sentinel or an error of the operating system
// or the network shows its text, and any other (a parser quoting its input) only its type.
func public(err error) string {
	name := fmt.Sprintf("%T", err)
	switch e := err.(type) {
	case *issue.Issue:
		return e.Error()
	case issue.List:
		return e.Error()
	case *url.Error:
		return e.Op + ": " + public(e.Err) // without the URL
	case interface{ Unwrap() []error }:
		return each(e.Unwrap())
	}
	inner := errors.Unwrap(err)
	switch {
	case ofSystem(err) || slices.Contains(plain, name) || inner == nil && ours(err):
		return err.Error()
	case inner == nil:
		return "(" + name + ")"
	case name != "*fmt.wrapError" && !ours(err):
		return "(" + name + "): " + public(inner)
	}
	words, _ := strings.CutSuffix(err.Error(), inner.Error()) // "store: %w"; %w elsewhere keeps the inner text away from us
	if words == err.Error() {
		words = ""
	}
	return words + public(inner)
}

func each(errs []error) string {
	texts := make([]string, len(errs))
	for i, e := range errs {
		texts[i] = public(e)
	}
	return strings.Join(texts, "; ")
}

// plain are the types of errors whose text a programmer wrote, or that names machines and certificates.
var plain = []string{"*errors.errorString", "context.deadlineExceededError", "*http.httpError", "*http.timeoutError",
	"proto.RedisError",
	"x509.UnknownAuthorityError", "x509.CertificateInvalidError", "x509.HostnameError", "*tls.CertificateVerificationError"}

// ours tells error types of this module: by the rule of the house their text holds no value of a message.
func ours(err error) bool {
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return strings.HasPrefix(t.PkgPath(), "github.com/dermgate/dermgate/")
}

// ofSystem tells errors of the operating system and the network: they name files, addresses and causes.
func ofSystem(err error) bool {
	switch err.(type) {
	case *os.PathError, *os.SyscallError, *os.LinkError, syscall.Errno, *net.OpError, *net.DNSError, *net.AddrError:
		return true
	}
	return false
}

// since gives the seconds that went by.
func since(start time.Time) float64 { return time.Since(start).Seconds() }
