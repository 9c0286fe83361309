package api

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// retryAfter is when a caller may try again while a part is down, in seconds.
const retryAfter = 5

// fhirJSON is the media type of FHIR answers.
const fhirJSON = "application/fhir+json"

// status gives the HTTP status of a kind of trouble: FHIR's, but that a type of body or resource which is
// not taken is 415 here.
func status(k issue.Kind) int {
	if k == issue.UnsupportedType {
		return http.StatusUnsupportedMediaType
	}
	return fhir.Status(k)
}

// refuse ends a request with the public face of an error.
func refuse(c *gin.Context, err error) {
	i := issue.From(err)
	refuseAs(c, status(i.Kind), i)
}

// refuseAs ends a request with a status of its own, such as 401: an OperationOutcome below /fhir, a list of
// issues elsewhere.
func refuseAs(c *gin.Context, code int, i *issue.Issue) {
	if i.Kind == issue.Unavailable {
		code = http.StatusServiceUnavailable
		c.Header("Retry-After", strconv.Itoa(retryAfter))
	}
	c.Abort()
	if strings.HasPrefix(c.Request.URL.Path, "/fhir") {
		send(c, code, fhirJSON, outcome(i))
		return
	}
	send(c, code, "application/json", map[string]any{"issues": issue.List{i}})
}

func outcome(i *issue.Issue) any {
	type entry struct {
		Severity    string   `json:"severity"`
		Code        string   `json:"code"`
		Diagnostics string   `json:"diagnostics,omitempty"`
		Expression  []string `json:"expression,omitempty"`
	}
	e := entry{Severity: i.Severity.String(), Code: fhir.OutcomeCode(i.Kind), Diagnostics: i.Text}
	if i.Where != "" {
		e.Expression = []string{i.Where}
	}
	return struct {
		ResourceType string  `json:"resourceType"`
		Issue        []entry `json:"issue"`
	}{"OperationOutcome", []entry{e}}
}

// send writes a value as JSON.
func send(c *gin.Context, code int, mediaType string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		c.AbortWithStatus(http.StatusInternalServerError)
		return
	}
	c.Data(code, mediaType, append(b, '\n'))
}

// router makes a gin engine that trusts no proxy, logs routes and not URLs, and shows no stack.
func router(logger *slog.Logger) *gin.Engine {
	gin.SetMode(gin.ReleaseMode) // gin's one global: without it every route is printed to stdout
	e := gin.New()
	e.HandleMethodNotAllowed = true
	e.RedirectTrailingSlash = false
	if err := e.SetTrustedProxies(nil); err != nil {
		panic(err) // nil cannot fail
	}
	e.Use(logged(logger), recovered(logger), headers)
	e.NoRoute(func(c *gin.Context) { refuse(c, issue.New(issue.NotFound, "", "there is nothing at this address")) })
	e.NoMethod(func(c *gin.Context) {
		refuseAs(c, http.StatusMethodNotAllowed, issue.New(issue.UnsupportedType, "", "this address does not take that method"))
	})
	return e
}

// headers go with every answer: nothing of it is kept, sniffed, framed or run.
func headers(c *gin.Context) {
	c.Header("Cache-Control", "no-store")
	c.Header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	c.Header("Referrer-Policy", "no-referrer")
	c.Header("X-Content-Type-Options", "nosniff")
	c.Next()
}

// logged writes one line a request, naming the route's pattern: a URL may hold what a log must not.
func logged(logger *slog.Logger) gin.HandlerFunc {
	return func(c *gin.Context) {
		start := time.Now()
		c.Next()
		level := slog.LevelDebug
		if c.Writer.Status() >= http.StatusInternalServerError {
			level = slog.LevelWarn
		}
		logger.Log(c.Request.Context(), level, "request", "method", method(c.Request.Method), "route", c.FullPath(),
			"status", c.Writer.Status(), "took", time.Since(start))
	}
}

// method keeps made-up methods out of the log.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead, http.MethodOptions, http.MethodPatch:
		return m
	}
	return "other"
}

// recovered turns a panic into a 500 and logs where it happened, not what it said: that may quote a message.
func recovered(logger *slog.Logger) gin.HandlerFunc {
	return func(c *gin.Context) {
		defer func() {
			what := recover()
			if what == nil {
				return
			}
			if what == http.ErrAbortHandler { // an answer cut short on purpose: net/http closes the connection
				panic(what)
			}
			logger.Error("panic", "route", c.FullPath(), "where", panicPlace())
			if !c.Writer.Written() {
				refuse(c, issue.New(issue.Internal, "", "internal error"))
			}
			c.Abort()
		}()
		c.Next()
	}
}

// panicPlace gives the function and line that panicked: the first frame behind the runtime's own.
func panicPlace() string {
	var counters [32]uintptr
	frames := runtime.CallersFrames(counters[:runtime.Callers(3, counters[:])])
	for {
		f, more := frames.Next()
		if f.Function != "" && !strings.HasPrefix(f.Function, "runtime.") {
			return f.Function + ":" + strconv.Itoa(f.Line)
		}
		if !more {
			return "unknown"
		}
	}
}

// limited bounds the body, in bytes.
func limited(size int64) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, size)
		c.Next()
	}
}
