package ers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// longestAnswer is the most bytes read of a response; a conversation of many 8,000 character texts fits.
const longestAnswer = 16 << 20

// Client is how e-RS is reached: for whom, as whom.
type Client struct {
	Base string // "https://…/referrals/FHIR"
	// Token gives a bearer token; refused is one that e-RS did not take, empty at first. An *issue.Issue says what is wrong
	// when there is none, with Where flow.ForUser when a user must sign in; so does an empty token.
	Token            func(ctx context.Context, refused string) (string, error)
	Application      bool         // the token is an application's own: e-RS knows for whom, and the next three are not sent
	ODS              string       // NHSD-End-User-Organisation-ODS
	BusinessFunction string       // "REFERRING_CLINICIAN", "REFERRING_CLINICIAN_ADMIN"
	OnBehalfOf       string       // SDS user id; empty for referrers
	HTTP             *http.Client // nil: a plain client with a 190 s limit, longer than the proxy's 180 s

	user bool // the token is that of a user, who may sign in anew
}

// call is one request to e-RS.
type call struct {
	name   string // the A-number, for people
	method string
	path   string // below Base, with the query
	header map[string]string
	body   []byte
	goes   bool // answers with the address where to go (307)
	create bool // makes something new without an idempotency key: no answer means that nobody knows
}

// reply is an answered call that did what was asked.
type reply struct {
	header http.Header
	body   []byte
}

// stop ends an attempt with an outcome.
type stop struct{ flow.Outcome }

// Error names what stopped it.
func (s *stop) Error() string { return string(s.Result) + ": " + s.Cause.Error() }

func stopped(r flow.Result, i *issue.Issue) *stop { return &stop{flow.Outcome{Result: r, Cause: i}} }

// errStale is a 409: the version that a write was based on is not the current one any more.
var errStale = errors.New("e-RS: stale version")

// do makes a call. The error is errStale or a *stop, which already says what to do with the delivery. A
// token that e-RS does not take is asked for again once.
func (c *Client) do(ctx context.Context, k call) (reply, error) {
	token, err := c.token(ctx, k, "")
	if err != nil {
		return reply{}, err
	}
	r, status, err := c.send(ctx, k, token)
	if err == nil && status == http.StatusUnauthorized {
		renewed, tokenErr := c.token(ctx, k, token)
		if tokenErr != nil {
			return reply{}, tokenErr
		}
		if renewed != token {
			r, status, err = c.send(ctx, k, renewed)
		}
	}
	if err != nil {
		return reply{}, err
	}
	if c.user && status == http.StatusUnauthorized {
		return reply{}, stopped(flow.Held, issue.New(issue.Denied, flow.ForUser, k.name+": e-RS does not take the user's sign-in"+codes(r.body)))
	}
	return r, judge(k, status, r)
}

func (c *Client) token(ctx context.Context, k call, refused string) (string, error) {
	token, err := c.Token(ctx, refused)
	switch {
	case errors.Is(err, errElsewhere):
		return "", &stop{flow.Outcome{Result: flow.Again, After: time.Second, Cause: issue.New(issue.Unavailable, k.name, "another gateway has the user's sign-in").Because(err)}}
	case err != nil:
		return "", &stop{flow.NoToken(k.name, err)}
	case token == "":
		return "", noUser()
	}
	return token, nil
}

// send makes one HTTP exchange. Without an answer the outcome depends on whether anything left.
func (c *Client) send(ctx context.Context, k call, token string) (reply, int, error) {
	left := false
	trace := &httptrace.ClientTrace{WroteHeaders: func() { left = true }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), k.method, strings.TrimRight(c.Base, "/")+k.path, bytes.NewReader(k.body))
	if err != nil {
		return reply{}, 0, stopped(flow.Refused, issue.New(issue.Internal, "base_url", "no request can be made to it").Because(err))
	}
	c.headers(req, k, token)
	resp, err := c.client().Do(req)
	if err != nil {
		return reply{}, 0, noAnswer(k, left, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, longestAnswer+1))
	if err != nil {
		return reply{}, 0, noAnswer(k, true, err)
	}
	if len(body) > longestAnswer {
		return reply{}, 0, stopped(flow.Refused, issue.New(issue.TooLong, k.name, "the answer is larger than the 16 MiB that are read of one"))
	}
	return reply{resp.Header, body}, resp.StatusCode, nil
}

func (c *Client) headers(req *http.Request, k call, token string) {
	req.Header.Set("Authorization", "Bearer "+token)
	if !c.Application {
		req.Header.Set("NHSD-End-User-Organisation-ODS", c.ODS)
		req.Header.Set("NHSD-eRS-Business-Function", c.BusinessFunction)
		if c.OnBehalfOf != "" {
			req.Header.Set("NHSD-eRS-On-Behalf-Of-User-ID", c.OnBehalfOf)
		}
	}
	req.Header.Set("Accept", mediaType)
	if k.body != nil {
		req.Header.Set("Content-Type", mediaType)
	}
	for name, value := range k.header {
		req.Header.Set(name, value)
	}
}

func noAnswer(k call, left bool, cause error) *stop {
	if left && flow.NoAnswer(!k.create) == flow.Unknown {
		return stopped(flow.Unknown, issue.New(issue.Unavailable, k.name, "sent, but not answered: it may have been created").Because(cause))
	}
	return stopped(flow.Retry, issue.New(issue.Unavailable, k.name, "no answer").Because(cause))
}

// judge classifies an answer; nil for success.
func judge(k call, status int, r reply) error {
	if k.goes && status == http.StatusTemporaryRedirect {
		return nil
	}
	text := "e-RS answered " + strconv.Itoa(status) + codes(r.body)
	switch result := flow.ByStatus(status, !k.create); {
	case result == flow.Delivered:
		return nil
	case status == http.StatusConflict:
		return errStale
	case status == http.StatusUnauthorized:
		return stopped(result, issue.New(issue.Denied, k.name, text+": the token is not accepted"))
	case result == flow.Unknown:
		return stopped(result, issue.New(issue.Unavailable, k.name, text+": it may have been created"))
	case result == flow.Retry:
		s := stopped(result, issue.New(issue.Unavailable, k.name, text))
		s.After = flow.RetryAfter(r.header, time.Now())
		return s
	case status == http.StatusForbidden:
		return stopped(result, issue.New(issue.Denied, k.name, text))
	case status == http.StatusNotFound:
		return stopped(result, issue.New(issue.NotFound, k.name, text))
	default:
		return stopped(result, issue.New(issue.Value, k.name, text))
	}
}

func (c *Client) client() *http.Client {
	h := http.Client{Timeout: 190 * time.Second}
	if c.HTTP != nil {
		h = *c.HTTP
	}
	// A token and a patient's data go where the configuration says and nowhere else.
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &h
}

// read makes a GET and decodes its answer.
func (c *Client) read(ctx context.Context, name, path string, into any) error {
	r, err := c.do(ctx, call{name: name, method: http.MethodGet, path: path})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(r.body, into); err != nil {
		return stopped(flow.Retry, issue.New(issue.Structure, name, "the answer is no FHIR JSON").Because(err))
	}
	return nil
}

// referral reads a ReferralRequest (A005).
func (c *Client) referral(ctx context.Context, ubrn string) (ersRequest, error) {
	var r ersRequest
	err := c.read(ctx, "A005", "/STU3/ReferralRequest/"+ubrn, &r)
	if err == nil && (r.ID != ubrn || r.Meta.VersionID == "") {
		err = foreign("A005")
	}
	return r, err
}

// foreign is an answer that succeeds and is not what the call gives: something on the way spoke.
func foreign(name string) *stop {
	return stopped(flow.Retry, issue.New(issue.Structure, name, "the answer is not that of e-RS"))
}
