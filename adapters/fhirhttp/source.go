// Package fhirhttp speaks FHIR R4 over HTTP both ways. The Source takes message Bundles
// (POST /fhir/$process-message) and transaction Bundles (POST /fhir); the Destination posts a message
// Bundle to another system's $process-message. X-Request-ID names a message and stays the same when it is
// sent again, X-Correlation-ID names the conversation; both are echoed (BaRS core, transaction rules).
package fhirhttp

import (
	"cmp"
	"errors"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
	"github.com/gin-gonic/gin"
)

// MediaType of FHIR JSON.
const MediaType = "application/fhir+json"

// retryAfter is what a sender that met a full or unavailable gateway is asked to wait, in seconds.
const retryAfter = "5"

// longestID is the most characters an X-Request-ID or X-Correlation-ID may have.
const longestID = 200

// Source serves the two FHIR routes that take messages. All fields but Name may be left zero.
type Source struct {
	Name       string                           // configured name of the source
	Limit      int64                            // largest body in bytes; 0: 64 MiB
	Lift       flow.Lift                        // reads messages with their photos going to the blob store; nil: whole, into memory
	Concurrent int                              // messages read at a time, more get 429; 0: 256 with Lift, else 16
	Subject    func(*http.Request) flow.Subject // who stands behind a request; nil: nobody known
	Now        func() time.Time                 // nil: time.Now
}

// Routes adds POST /fhir/$process-message and POST /fhir to r. Messages go to accept, which returns once
// they are kept; its receipt's answer is the response, with the status that fits the receipt.
func (s *Source) Routes(r gin.IRouter, accept flow.Accept) {
	slots := make(chan struct{}, cmp.Or(s.Concurrent, s.most()))
	take := func(c *gin.Context) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			s.take(c, accept)
		default:
			refuse(c, http.StatusTooManyRequests, issue.New(issue.Unavailable, "", "too many messages at once"))
		}
	}
	r.POST("/fhir/$process-message", take)
	r.POST("/fhir", take)
}

func (s *Source) take(c *gin.Context, accept flow.Accept) {
	request, ok := echo(c, "X-Request-ID")
	if _, also := echo(c, "X-Correlation-ID"); !ok || !also {
		refuse(c, http.StatusBadRequest, issue.New(issue.Value, "X-Request-ID or X-Correlation-ID",
			"want at most 200 printable ASCII characters without spaces"))
		return
	}
	if why := unreadable(c.Request.Header); why != "" {
		refuse(c, http.StatusUnsupportedMediaType, issue.New(issue.UnsupportedType, "Content-Type", why))
		return
	}
	in := flow.Received{Source: s.Name, At: s.now(), Format: flow.FHIRR4, RequestID: request}
	if s.Subject != nil {
		in.Subject = s.Subject(c.Request)
	}
	err := in.Read(c.Request.Context(), s.Lift, http.MaxBytesReader(c.Writer, c.Request.Body, cmp.Or(s.Limit, 64<<20)))
	defer in.Discard()
	if status, why := unread(in.Raw, err); why != nil {
		refuse(c, status, why)
		return
	}
	receipt, err := accept(c.Request.Context(), in)
	answer(c, receipt, err)
}

// unread says what is wrong with a body that could not be read.
func unread(raw []byte, err error) (int, *issue.Issue) {
	var tooLarge *http.MaxBytesError
	var trouble *issue.Issue
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, issue.New(issue.TooLong, "", "the body is larger than this gateway takes")
	case errors.Is(err, flow.ErrUnavailable):
		return http.StatusServiceUnavailable, issue.New(issue.Unavailable, "", "the message was not kept; send it again")
	case errors.As(err, &trouble):
		return fhir.Status(trouble.Kind), trouble
	case err != nil || len(raw) == 0:
		return http.StatusBadRequest, issue.New(issue.Structure, "", "no body, or it was cut off")
	}
	return 0, nil
}

// answer turns a receipt into the response: the answer that was kept with the message, byte for byte.
func answer(c *gin.Context, r flow.Receipt, err error) {
	switch {
	case errors.Is(err, flow.ErrUnavailable):
		refuse(c, http.StatusServiceUnavailable, issue.New(issue.Unavailable, "", "the message was not kept; send it again"))
	case errors.Is(err, flow.ErrConflict):
		refuse(c, http.StatusConflict, issue.New(issue.Conflict, "X-Request-ID", "this id was accepted with another body"))
	case err != nil:
		refuse(c, http.StatusInternalServerError, issue.New(issue.Internal, "", "the message was not kept"))
	case r.Refused:
		c.Data(fhir.Status(r.Kind), cmp.Or(r.Type, MediaType), r.Answer)
	default:
		c.Data(http.StatusOK, cmp.Or(r.Type, MediaType), r.Answer)
	}
}

// refuse answers a request that never became a message, with an OperationOutcome.
func refuse(c *gin.Context, status int, i *issue.Issue) {
	if i.Kind == issue.Unavailable {
		c.Header("Retry-After", retryAfter)
	}
	o, err := fhir.Outcome(fhir.NewTree(), issue.List{i})
	if err != nil { // R4 has no OperationOutcome: cannot happen
		c.Status(status)
		return
	}
	body, err := fhir.AppendJSON(nil, o)
	if err != nil { // only streamed photos can fail, and there is none
		c.Status(status)
		return
	}
	c.Data(status, MediaType, body)
}

// echo returns a sender's id after repeating it in the response; false when it is not fit to be one.
func echo(c *gin.Context, name string) (string, bool) {
	id := c.GetHeader(name)
	if len(id) > longestID || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", false
	}
	if id != "" {
		c.Header(name, id)
	}
	return id, true
}

// unreadable says why a body is not read, empty when it is plain JSON in UTF-8.
func unreadable(h http.Header) string {
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return "send the body uncompressed"
	}
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || media != MediaType && media != "application/json" {
		return "send " + MediaType + "; XML is not taken"
	}
	if cs := params["charset"]; cs != "" && !strings.EqualFold(cs, "utf-8") {
		return "FHIR JSON is UTF-8"
	}
	return ""
}

func (s *Source) most() int {
	if s.Lift != nil {
		return 256
	}
	return 16
}

func (s *Source) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}
