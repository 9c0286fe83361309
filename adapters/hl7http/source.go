// Package hl7http takes HL7 v2 messages (ER7) over HTTP: POST /hl7 with the message as body, answered by
// the acknowledgement; several in one body, by as many acknowledgements one behind the other. HTTP carries only what is wrong with HTTP; all that is wrong with a message is in
// its ACK, so an answered message is always 200.
package hl7http

import (
	"bytes"
	"cmp"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
	"github.com/gin-gonic/gin"
)

// MediaType of an ER7 body and of the acknowledgement.
const MediaType = "application/hl7-v2"

// retryAfter is what a sender that met a full or unavailable gateway is asked to wait, in seconds.
const retryAfter = "5"

// Source serves POST /hl7. All fields but Name may be left zero.
type Source struct {
	Name       string                           // configured name of the source
	Limit      int64                            // largest body in bytes; 0: 64 MiB
	Lift       flow.Lift                        // reads messages with their photos going to the blob store; nil: whole, into memory
	Concurrent int                              // messages read at a time, more get 429; 0: 256 with Lift, else 16
	Subject    func(*http.Request) flow.Subject // who stands behind a request; nil: nobody known
	Now        func() time.Time                 // nil: time.Now
}

// Routes adds POST /hl7 to r. Messages go to accept, which returns once they are kept.
func (s *Source) Routes(r gin.IRouter, accept flow.Accept) {
	slots := make(chan struct{}, cmp.Or(s.Concurrent, s.most()))
	r.POST("/hl7", func(c *gin.Context) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			s.take(c, accept)
		default:
			wait(c, http.StatusTooManyRequests, "too many messages at once")
		}
	})
}

func (s *Source) take(c *gin.Context, accept flow.Accept) {
	if !readable(c.Request.Header) {
		c.String(http.StatusUnsupportedMediaType, "send %s, text/plain or x-application/hl7-v2+er7, uncompressed", MediaType)
		return
	}
	in := flow.Received{Source: s.Name, At: s.now(), Format: flow.HL7v2}
	if s.Subject != nil {
		in.Subject = s.Subject(c.Request)
	}
	err := in.Read(c.Request.Context(), s.Lift, http.MaxBytesReader(c.Writer, c.Request.Body, cmp.Or(s.Limit, 64<<20)))
	defer in.Discard()
	if err != nil || len(bytes.TrimSpace(in.Raw)) == 0 {
		unread(c, err)
		return
	}
	receipt, err := accept(c.Request.Context(), in)
	if err != nil {
		failed(c, err)
		return
	}
	c.Data(http.StatusOK, MediaType, slices.Concat(append([][]byte{receipt.Answer}, receipt.Answers...)...))
}

// unread answers a body that could not be read.
func unread(c *gin.Context, err error) {
	var tooLarge *http.MaxBytesError
	var trouble *issue.Issue
	switch {
	case errors.As(err, &tooLarge):
		c.String(http.StatusRequestEntityTooLarge, "larger than %d bytes", tooLarge.Limit)
	case errors.Is(err, flow.ErrUnavailable):
		failed(c, err)
	case errors.As(err, &trouble) && trouble.Kind == issue.TooLong:
		c.String(http.StatusRequestEntityTooLarge, "%s", trouble.Text)
	default:
		c.String(http.StatusBadRequest, "no message in the body, or it was cut off")
	}
}

// failed answers a message that was not kept: the sender must send it again.
func failed(c *gin.Context, err error) {
	if errors.Is(err, flow.ErrUnavailable) {
		wait(c, http.StatusServiceUnavailable, "the message was not kept; send it again")
		return
	}
	c.String(http.StatusInternalServerError, "the message was not kept")
}

func wait(c *gin.Context, status int, text string) {
	c.Header("Retry-After", retryAfter)
	c.String(status, "%s", text)
}

// readable tells whether the headers announce an uncompressed ER7 body. A charset parameter is not looked
// at: MSH-18 decides.
func readable(h http.Header) bool {
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return false
	}
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return false
	}
	switch media {
	case MediaType, "text/plain", "x-application/hl7-v2+er7", "application/hl7-v2+er7":
		return true
	}
	return false
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
