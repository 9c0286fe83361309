package mesh

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// daily is how often MESH wants a mailbox validated, with an hour to spare.
const daily = 23 * time.Hour

// mostListed is how many messages one look at the inbox lists.
const mostListed = 500

// Source empties a mailbox, a look every Every. A message is taken (Accept), and only then acknowledged at MESH; what could
// not be taken stays there and is looked for again.
type Source struct {
	Client
	Name      string        // configured name
	Every     time.Duration // between two looks; 0: five minutes
	Workflows []string      // workflow ids that are taken; empty: all. Others stay for who else reads the mailbox
	Limit     int64         // largest message in bytes; 0: 64 MiB
	Subject   flow.Subject
	// Turn, when set, is asked before a look: several replicas share the pace. A positive wait says when to ask again.
	Turn  func(context.Context) (wait time.Duration, err error)
	Alarm func(name, text string) // may be nil
	Log   *slog.Logger            // nil: slog.Default
}

// Serve looks until ctx ends.
func (s *Source) Serve(ctx context.Context, accept flow.Accept) error {
	var validated time.Time
	failing := ""
	for {
		wait := s.every()
		if s.Turn != nil {
			if again, err := s.Turn(ctx); err == nil && again > 0 {
				wait = again
				if !pause(ctx, wait) {
					return nil
				}
				continue
			}
		}
		err := s.look(ctx, accept, &validated)
		failing = s.tell(ctx, failing, err)
		if s.Turn != nil {
			wait = min(wait, time.Second) // who is next, the turn says
		}
		if !pause(ctx, wait) {
			return nil
		}
	}
}

// look validates the mailbox where it is time to, and empties it.
func (s *Source) look(ctx context.Context, accept flow.Accept, validated *time.Time) error {
	if now := s.now(); validated.IsZero() || now.Sub(*validated) > daily {
		if _, err := s.Handshake(ctx); err != nil {
			return err
		}
		*validated = now
	}
	filters := s.Workflows
	if len(filters) == 0 {
		filters = []string{""}
	}
	var all error
	for _, f := range filters {
		all = errors.Join(all, s.empty(ctx, accept, f))
	}
	return all
}

// tell logs that looking began to fail, or works again, once each.
func (s *Source) tell(ctx context.Context, before string, err error) string {
	switch {
	case ctx.Err() != nil:
	case err != nil && err.Error() != before:
		s.log().Warn("the mailbox cannot be emptied", "source", s.Name, "error", err)
		return err.Error()
	case err == nil && before != "":
		s.log().Info("the mailbox is emptied again", "source", s.Name)
		return ""
	}
	return before
}

// empty takes the messages of a workflow until none is left, or none of those left can be taken.
func (s *Source) empty(ctx context.Context, accept flow.Accept, workflow string) error {
	var failed error
	tried := map[string]bool{}
	for ctx.Err() == nil {
		ids, err := s.list(ctx, workflow)
		if err != nil {
			return err
		}
		fresh := 0
		for _, id := range ids {
			if tried[id] {
				continue
			}
			tried[id] = true
			fresh++
			if err := s.take(ctx, accept, id); err != nil {
				failed = err
				if errors.Is(err, flow.ErrUnavailable) || ctx.Err() != nil {
					return err
				}
			}
		}
		if fresh == 0 || len(ids) < mostListed {
			return failed
		}
	}
	return ctx.Err()
}

// list gives ids of messages that wait.
func (s *Source) list(ctx context.Context, workflow string) ([]string, error) {
	q := url.Values{"max_results": {strconv.Itoa(mostListed)}}
	if workflow != "" {
		q.Set("workflow_filter", workflow)
	}
	r, err := s.call(ctx, http.MethodGet, s.path("inbox")+"?"+q.Encode(), nil, nil)
	if err != nil {
		return nil, err
	}
	if r.status != http.StatusOK {
		return nil, fmt.Errorf("mesh: the inbox was answered %d", r.status)
	}
	return r.body.Messages, nil
}

// take fetches one message, hands it over, and acknowledges it at MESH. One that somebody else took meanwhile is no error.
func (s *Source) take(ctx context.Context, accept flow.Accept, id string) error {
	header, body, err := s.fetch(ctx, id)
	if errors.Is(err, errGone) {
		return nil
	}
	if errors.Is(err, errTooLarge) {
		s.alarm("mesh-too-large", "source "+s.Name+": message "+id+" is larger than limits.message_bytes and stays in the mailbox")
	}
	if err != nil {
		return err
	}
	received, err := s.received(id, header, body)
	if err != nil {
		return err
	}
	receipt, err := accept(ctx, received)
	if err != nil {
		return err
	}
	if receipt.Refused || receipt.Unkept {
		s.log().Warn("a message of the mailbox was refused and is kept so", "source", s.Name, "kind", receipt.Kind, "message", receipt.Message)
		s.alarm("mesh-refused", "source "+s.Name+": a message was refused ("+string(receipt.Kind)+"): it is kept as "+receipt.Message.String())
	}
	r, err := s.call(ctx, http.MethodPut, s.path("inbox", id, "status", "acknowledged"), nil, nil)
	if err != nil {
		return err
	}
	if r.status != http.StatusOK && r.status != http.StatusNotFound && r.status != http.StatusGone {
		return fmt.Errorf("mesh: an acknowledgement was answered %d", r.status)
	}
	return nil
}

var errGone = errors.New("mesh: the message is not there any more")

// fetch gives a message whole, and the headers of its first chunk.
func (s *Source) fetch(ctx context.Context, id string) (http.Header, []byte, error) {
	limit := s.Limit
	if limit == 0 {
		limit = 64 << 20
	}
	var first http.Header
	var all []byte
	for n, more := 1, true; more; n++ {
		path := s.path("inbox", id)
		if n > 1 {
			path = s.path("inbox", id, strconv.Itoa(n))
		}
		resp, err := s.do(ctx, http.MethodGet, path, nil, nil)
		if err != nil {
			return nil, nil, err
		}
		chunk, err := s.chunk(resp, limit-int64(len(all)))
		if err != nil {
			return nil, nil, err
		}
		if first == nil {
			first = resp.Header
		}
		all = append(all, chunk...)
		more = resp.StatusCode == http.StatusPartialContent
	}
	if bytes.HasPrefix(all, []byte{0x1f, 0x8b}) { // zipped by its sender before it was sent
		r, err := gzip.NewReader(bytes.NewReader(all))
		if err != nil {
			return nil, nil, fmt.Errorf("mesh: content that says it is gzip: %w", err)
		}
		if all, err = io.ReadAll(io.LimitReader(r, limit+1)); err != nil {
			return nil, nil, fmt.Errorf("mesh: content that says it is gzip: %w", err)
		}
		if int64(len(all)) > limit {
			return nil, nil, errTooLarge
		}
	}
	return first, all, nil
}

// chunk reads one answer to a download.
func (s *Source) chunk(resp *http.Response, limit int64) ([]byte, error) {
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK, http.StatusPartialContent:
		return readBody(resp, limit)
	case http.StatusNotFound, http.StatusGone:
		return nil, errGone
	}
	return nil, fmt.Errorf("mesh: a download was answered %d", resp.StatusCode)
}

// received makes of a message what it is: HL7 v2 and R4 JSON in their own languages, all else as Mail.
func (s *Source) received(id string, h http.Header, body []byte) (flow.Received, error) {
	r := flow.Received{Source: s.Name, Subject: s.Subject, At: s.now(), RequestID: id, Raw: body}
	r.Subject.Name = h.Get("Mex-From")
	text := bytes.TrimLeft(body, "\x0b\r\n\t \xef\xbb\xbf")
	switch {
	case h.Get("Mex-MessageType") == flow.MailReport:
	case bytes.HasPrefix(text, []byte("MSH")), bytes.HasPrefix(text, []byte("FHS")), bytes.HasPrefix(text, []byte("BHS")):
		r.Format = flow.HL7v2
		return r, nil
	case bytes.HasPrefix(text, []byte("{")) && !bytes.Contains(body, []byte("ITK-MessageEvent")):
		r.Format = flow.FHIRR4
		return r, nil
	}
	raw, err := json.Marshal(flow.Mail{ID: id, Type: h.Get("Mex-MessageType"), From: h.Get("Mex-From"), Workflow: h.Get("Mex-WorkflowID"), LocalID: h.Get("Mex-LocalID"),
		LinkedID: h.Get("Mex-LinkedMsgID"), Status: h.Get("Mex-StatusCode"), Event: h.Get("Mex-StatusEvent"), Success: h.Get("Mex-StatusSuccess"), Body: body})
	r.Format, r.Raw = flow.MESH, raw
	return r, err
}

// unzipped reads through gzip where that is so.
func unzipped(r io.Reader, zipped bool) (io.Reader, error) {
	if !zipped {
		return r, nil
	}
	z, err := gzip.NewReader(r)
	if errors.Is(err, io.EOF) { // an empty body
		return strings.NewReader(""), nil
	}
	return z, err
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func (s *Source) every() time.Duration {
	if s.Every > 0 {
		return s.Every
	}
	return 5 * time.Minute
}

func (s *Source) alarm(name, text string) {
	if s.Alarm != nil {
		s.Alarm(name, text)
	}
}

func (s *Source) log() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.Default()
}
