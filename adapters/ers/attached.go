package ers

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// States of an attachment (eRS-AvailabilityStatus-1, and the codes of A042's 422).
const (
	available = "AVAILABLE"
	pending   = "PENDING" // ask again after five minutes at the earliest
)

// Files brings the files of requests over from e-RS: the PDF of the clinical information (A007, A043) and the
// attachments (A042). Each is durable before the next is asked for.
type Files struct {
	Client
	Store *http.Client // for the object store behind A042, which never gets the token; nil: a plain client with a 5 min limit
	Put   func(ctx context.Context, owner string, content io.Reader, mediaType string) (flow.BodyRef, error)
	Open  func(context.Context, flow.BodyRef) (io.ReadCloser, error)
	Scan  time.Duration // how long a file that is being scanned is left alone; 0: five minutes (A005: "Wait at least 5 minutes")
	Most  int64         // bytes of a file that is taken; 0: 100 MiB, the most that e-RS keeps
}

func (f *Files) pause() time.Duration { return cmp.Or(f.Scan, 5*time.Minute) }

// brought is a file that has come over, or is said not to.
type brought struct {
	id          string // "Binary/<uuid>" or "A007:<ubrn>:<version>"
	ref         flow.BodyRef
	title       string
	description string
	kind        string // eRS-AttachmentType-1; empty: written by e-RS
	created     string // date
	why         string // why there is none
	waits       bool   // it may come yet
	scans       bool   // e-RS is scanning it: it waits, and is not asked for sooner than e-RS says
}

// listed is an attachment as a request shows it.
type listed struct {
	ID      string `json:"id"` // "Binary/<uuid>"
	Type    string `json:"type"`
	Title   string `json:"title,omitempty"`
	Says    string `json:"says,omitempty"` // its description
	Kind    string `json:"kind"`           // eRS-AttachmentType-1
	State   string `json:"-"`
	Created string `json:"created,omitempty"`
	By      string `json:"by,omitempty"` // ODS code of who attached it
}

// attachmentsOf gives the files of a request, in order: a DocumentReference that cannot be read is an error, since a file
// would be lost.
func attachmentsOf(resources []json.RawMessage) ([]listed, error) {
	docs, err := documentReferences(resources)
	if err != nil {
		return nil, err
	}
	var out []listed
	for _, d := range docs {
		if len(d.Content) == 0 || !strings.HasPrefix(d.Content[0].Attachment.URL, "Binary/") {
			return nil, errors.New("an attachment without a URL")
		}
		a := d.Content[0].Attachment
		f := listed{ID: a.URL, Type: a.ContentType, Title: a.Title, Says: d.Description, Kind: d.Type.code("eRS-AttachmentType-1"), Created: a.Creation,
			State: cmp.Or(find(a.Extension, definition+"Extension-eRS-AvailabilityStatus-1").Coding.code(), available)}
		if by := find(a.Extension, definition+"Extension-eRS-AttachedByOrganisation-1").Reference; by != nil && by.Identifier != nil {
			f.By = by.Identifier.Value
		}
		if !slices.ContainsFunc(out, func(have listed) bool { return have.ID == f.ID }) {
			out = append(out, f)
		}
	}
	return out, nil
}

// fetch is one delivery's bringing of files.
type fetch struct {
	*Files
	*journal
	ctx    context.Context
	owner  string // of what is kept until it is a case's
	urgent bool   // what follows must not delay what is there
	tries  int    // attempts begun
}

// summary brings the PDF that e-RS makes of a request (A007, A043). One that e-RS does not give is named.
func (f *fetch) summary(kind, ubrn, version string) (brought, error) {
	name, path := "A007", "/STU3/ReferralRequest/"
	if kind == kindAdvice {
		name, path = "A043", "/STU3/CommunicationRequest/"
	}
	b := brought{id: name + ":" + ubrn + ":" + version, title: "clinical-information.pdf", description: "Clinical information of e-RS (" + name + ")"}
	if f.have(&b) {
		return b, nil
	}
	r, err := f.do(f.ctx, call{name: name, method: http.MethodPost, path: path + ubrn + "/$ers.generateCRI", header: map[string]string{"Accept": "application/pdf"}})
	if err != nil {
		return f.missing(b, name, err)
	}
	if !bytes.HasPrefix(r.body, []byte("%PDF-")) {
		return b, foreign(name)
	}
	return f.kept(b, bytes.NewReader(r.body), "application/pdf")
}

// file brings one attachment (A042).
func (f *fetch) file(a listed, n, of int) (brought, error) {
	b := brought{id: a.ID, title: a.Title, description: a.Says, kind: a.Kind, created: a.Created}
	if f.have(&b) {
		return b, nil
	}
	name := fmt.Sprintf("attachment %d of %d", n, of)
	if a.State != available {
		return f.unavailable(b, name, a.State, a.By)
	}
	r, err := f.do(f.ctx, call{name: "A042", method: http.MethodGet, path: "/R4/" + a.ID, goes: true})
	if err == nil && r.header.Get("Location") == "" {
		err = foreign("A042")
	}
	if err != nil {
		for _, state := range codesOf(r.body) {
			if slices.Contains([]string{pending, "THREATS_FOUND", "VALIDATION_FAILED", "FILE_SIZE_ERROR"}, state) {
				return f.unavailable(b, name, state, a.By)
			}
		}
		return f.missing(b, name, err)
	}
	body, err := f.download(r.header.Get("Location"))
	if err != nil {
		return f.missing(b, name, err)
	}
	defer body.Close()
	return f.kept(b, body, a.Type)
}

// unavailable says what it means that a file is not there: it is scanned yet, or somebody has to ask for it.
func (f *fetch) unavailable(b brought, name, state, by string) (brought, error) {
	if b.scans = state == pending; b.scans {
		b.waits = true
		return b, nil
	}
	b.why = name + " is not available: " + state
	if by != "" {
		b.why += "; ask " + by + ", who attached it"
	}
	return b, nil
}

// missing tells a file that e-RS refuses from one that may come with another try. After some tries the request goes
// without it, a suspected cancer soon; it is asked for again when the request is looked at next.
func (f *fetch) missing(b brought, name string, err error) (brought, error) {
	s := new(stop)
	if !errors.As(err, &s) {
		return b, err
	}
	if s.Result == flow.Refused {
		b.why = name + " is not available: " + s.Cause.Text
		return b, nil
	}
	enough := 4
	if f.urgent {
		enough = 2
	}
	if s.Cause.Kind == issue.Denied || f.tries < enough { // without a token nothing comes, whatever it is
		return b, err
	}
	b.waits = true
	return b, nil
}

// have gives a file that an attempt before this one has brought, unless its bytes are gone meanwhile.
func (f *fetch) have(b *brought) bool {
	state, data := f.journal.state(b.id)
	if state != done {
		return false
	}
	size, err := strconv.ParseInt(data["size"], 10, 64)
	ref := flow.BodyRef{Blob: data["blob"], SHA256: data["sha256"], Size: size, Type: data["type"]}
	if err != nil {
		return false
	}
	content, err := f.Open(f.ctx, ref)
	if err != nil {
		return false
	}
	content.Close()
	b.ref = ref
	return true
}

// kept makes a file durable, and that it is.
func (f *fetch) kept(b brought, content io.Reader, mediaType string) (brought, error) {
	most := cmp.Or(f.Most, 100<<20)
	limited := &io.LimitedReader{R: content, N: most + 1}
	ref, err := f.Put(f.ctx, f.owner, limited, mediaType)
	if err != nil {
		return b, stopped(flow.Retry, issue.New(issue.Unavailable, "A042", "a file did not come over whole, or cannot be kept").Because(err))
	}
	if ref.Size > most {
		b.why = fmt.Sprintf("a file is larger than the %d bytes that are taken", most)
		return b, nil
	}
	if ref.Size == 0 {
		b.why = "a file is empty"
		return b, nil
	}
	b.ref = ref
	return b, f.keep(b.id, done, map[string]string{"blob": ref.Blob, "sha256": ref.SHA256, "size": strconv.FormatInt(ref.Size, 10), "type": ref.Type})
}

// download follows the redirect of A042 at once. The address is a secret of its own, so it is in no error.
func (f *fetch) download(location string) (io.ReadCloser, error) {
	u, err := url.Parse(location)
	if err != nil || u.Host == "" || u.Scheme != "https" && strings.HasPrefix(f.Base, "https:") {
		return nil, foreign("A042")
	}
	req, err := http.NewRequestWithContext(f.ctx, http.MethodGet, location, nil)
	if err != nil {
		return nil, foreign("A042")
	}
	h := http.Client{Timeout: 5 * time.Minute}
	if f.Store != nil {
		h = *f.Store
	}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := h.Do(req)
	if err != nil {
		var hidden *url.Error
		if errors.As(err, &hidden) {
			err = hidden.Err
		}
		return nil, stopped(flow.Retry, issue.New(issue.Unavailable, "A042", "the object store does not answer").Because(err))
	}
	if resp.StatusCode != http.StatusOK { // an address that has run out too: the next try gets another
		resp.Body.Close()
		s := stopped(flow.Retry, issue.New(issue.Unavailable, "A042", "the object store answered "+strconv.Itoa(resp.StatusCode)))
		s.After = flow.RetryAfter(resp.Header, time.Now())
		return nil, s
	}
	return resp.Body, nil
}
