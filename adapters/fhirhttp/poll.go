package fhirhttp

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Poller asks a platform that sends no answers what has become of a request: its Task and Communications, found by the
// identifier of the case that the request carried. What is new becomes an answer message, as if it had been sent. Searches
// are by POST (FHIR R4 §3.1.1.2.1): what a URL carries ends in logs.
type Poller struct {
	Destination
	Every time.Duration // pace; 0: five minutes
}

// watched is where a poll stands; the Note of poll deliveries has it beside what they began with.
type watched struct {
	Seen string   `json:"seen,omitempty"` // digest of what was last told
	Told []string `json:"told,omitempty"` // digests of Communications that were
}

const (
	mostFiles  = 50             // of one answer that are read
	afterwards = 24 * time.Hour // pace once a request was answered: only an amendment is news
)

// Deliver polls once: Again with what was seen, or Delivered where the platform will not go on with the request.
func (p *Poller) Deliver(ctx context.Context, d flow.Delivery, _ func(flow.Step) error) (flow.Outcome, error) {
	var w watched
	if err := json.Unmarshal([]byte(d.Note), &w); err != nil {
		return flow.Outcome{Result: flow.Refused, Cause: issue.New(issue.Internal, "poll", "the note is unreadable").Because(err)}, nil
	}
	a := &asked{p: p, ctx: ctx}
	if a.token, a.failed = p.readToken(ctx, ""); a.failed != nil {
		return *a.failed, nil
	}
	set := a.about(d.Case.String())
	if a.failed != nil {
		return *a.failed, nil
	}
	o := flow.Outcome{Result: flow.Again, After: cmp.Or(p.Every, 5*time.Minute)}
	status := taskStatus(set)
	if seen := digest(set); seen != w.Seen && len(set) > 0 {
		w.Seen = seen
		if status != "" {
			raw, err := asMessage(p.Name, d.Case.String(), seen, w.news(set))
			if err != nil {
				return retry("the answer cannot be written", 0, err), nil
			}
			o.Replies = []flow.Received{{Source: p.Name, At: p.now(), Format: flow.FHIRR4, Raw: raw, RequestID: "poll:" + d.Case.String() + ":" + seen}}
		}
	}
	switch status {
	case "completed":
		if !wantsMore(set) {
			o.After = max(o.After, afterwards)
		}
	case "cancelled", "rejected", "failed", "entered-in-error":
		o.Result, o.After = flow.Delivered, 0
		return o, nil
	}
	note, err := json.Marshal(w)
	o.Note = string(note)
	return o, err
}

// news leaves out the Communications that were told before: an answer to more information does not ask for it again.
func (w *watched) news(set []found) (out []found) {
	for _, f := range set {
		if f.typ() == "Communication" {
			one := digest([]found{f})
			if slices.Contains(w.Told, one) {
				continue
			}
			w.Told = append(w.Told, one)
		}
		out = append(out, f)
	}
	return out
}

// wantsMore tells that the specialist has asked for more, whatever status the platform gives its Task.
func wantsMore(set []found) bool {
	for _, f := range set {
		codings, _ := at(f.resource, "businessStatus", "coding").([]any)
		for _, c := range codings {
			if f.typ() == "Task" && at(c, "code") == "REFERRER_TO_SUBMIT_FURTHER_INFORMATION" {
				return true
			}
		}
	}
	return false
}

func (p *Poller) readToken(ctx context.Context, refused string) (string, *flow.Outcome) {
	token, err := p.token(ctx, refused)
	if err != nil {
		o := flow.NoToken("_search", err)
		return "", &o
	}
	return token, nil
}

// asked is one poll under way.
type asked struct {
	p      *Poller
	ctx    context.Context
	token  string
	failed *flow.Outcome
}

// found is a resource of a search, with the url that it has there.
type found struct {
	url      string
	resource map[string]any
}

func (f found) typ() string { s, _ := f.resource["resourceType"].(string); return s }

// about gives what the platform shows of a case: Tasks with their request and patient, Communications, and the files that they
// name.
func (a *asked) about(id string) []found {
	key := flow.SystemCase + "|" + id
	set := a.search("Task", url.Values{"focus:ServiceRequest.identifier": {key}, "_include": {"Task:focus", "Task:patient"}})
	for _, f := range a.search("Communication", url.Values{"based-on:ServiceRequest.identifier": {key}}) {
		set = add(set, f)
	}
	for i := 0; i < len(set) && a.failed == nil; i++ { // grows while it is read: a document names its Binary
		for _, ref := range files(set[i].resource) {
			if !slices.ContainsFunc(set, func(f found) bool { return strings.HasSuffix(f.url, "/"+ref) }) && len(set) < mostFiles {
				set = add(set, a.read(ref))
			}
		}
	}
	return set
}

func add(set []found, f found) []found {
	if f.resource == nil || slices.ContainsFunc(set, func(have found) bool { return have.url == f.url }) {
		return set
	}
	return append(set, f)
}

// files gives the relative references of a Communication to its documents and photos, and of those to their data.
func files(r map[string]any) (out []string) {
	keep := func(v any) {
		ref, _ := v.(string)
		typ, id, _ := strings.Cut(ref, "/")
		if slices.Contains([]string{"DocumentReference", "Media", "Binary"}, typ) && id != "" && !strings.ContainsAny(id, "/?#") {
			out = append(out, ref)
		}
	}
	payload, _ := r["payload"].([]any)
	for _, p := range payload {
		keep(at(p, "contentReference", "reference"))
	}
	keep(at(r["content"], "url"))
	contents, _ := r["content"].([]any)
	for _, c := range contents {
		keep(at(c, "attachment", "url"))
	}
	return out
}

func at(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

func (a *asked) search(typ string, q url.Values) (out []found) {
	b := a.call(http.MethodPost, "/"+typ+"/_search", strings.NewReader(q.Encode()))
	if a.failed != nil {
		return nil
	}
	entries, _ := b["entry"].([]any)
	for _, e := range entries {
		r, _ := at(e, "resource").(map[string]any)
		f := found{resource: r}
		id, _ := r["id"].(string)
		if f.url, _ = at(e, "fullUrl").(string); f.url == "" {
			f.url = strings.TrimRight(a.p.Base, "/") + "/" + f.typ() + "/" + id
		}
		if mode, _ := at(e, "search", "mode").(string); mode != "outcome" && f.typ() != "OperationOutcome" {
			out = add(out, f)
		}
	}
	if b["resourceType"] != "Bundle" {
		a.fail(retry("answered a search without a Bundle", 0, nil))
	}
	return out
}

func (a *asked) read(ref string) found {
	return found{strings.TrimRight(a.p.Base, "/") + "/" + ref, a.call(http.MethodGet, "/"+ref, nil)}
}

func (a *asked) fail(o flow.Outcome) {
	if o.Cause != nil {
		o.Cause.Where = "_search"
	}
	a.failed = &o
}

// call makes one call, with a fresh token once where the old one is refused.
func (a *asked) call(method, path string, body io.Reader) map[string]any {
	if a.failed != nil {
		return nil
	}
	req, err := http.NewRequestWithContext(a.ctx, method, strings.TrimRight(a.p.Base, "/")+path, body)
	if err != nil {
		a.fail(flow.Outcome{Result: flow.Refused, Cause: issue.New(issue.Internal, "", "no request can be made to base_url").Because(err)})
		return nil
	}
	req.Header.Set("Accept", MediaType)
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := a.do(req)
	if err != nil {
		a.fail(retry("no answer", 0, err))
		return nil
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, longestAnswer))
	var out map[string]any
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	switch code := resp.StatusCode; {
	case err != nil:
		a.fail(retry("the answer was cut off", 0, err))
	case code == http.StatusUnauthorized:
		a.fail(flow.Outcome{Result: flow.Retry, Cause: issue.New(issue.Denied, "", "the platform does not take the token")})
	case code == http.StatusNotFound && method == http.MethodGet: // gone between two reads
	case code >= 300 && flow.ByStatus(code, true) == flow.Retry:
		a.fail(retry(fmt.Sprintf("answered %d", code), flow.RetryAfter(resp.Header, a.p.now()), nil))
	case code >= 300:
		a.fail(refused(issue.Value, code, "the platform refuses to be asked", readAck(raw)))
	case d.Decode(&out) != nil:
		a.fail(retry("answered without a FHIR body", 0, nil))
	}
	return out
}

func (a *asked) do(req *http.Request) (*http.Response, error) {
	send := func() (*http.Response, error) {
		if a.token != "" {
			req.Header.Set("Authorization", "Bearer "+a.token)
		}
		return a.p.client().Do(req)
	}
	resp, err := send()
	if err != nil || resp.StatusCode != http.StatusUnauthorized || a.token == "" {
		return resp, err
	}
	renewed, failed := a.p.readToken(a.ctx, a.token)
	if failed != nil || renewed == a.token {
		return resp, nil
	}
	resp.Body.Close()
	a.token = renewed
	if req.GetBody != nil {
		if req.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
	return send()
}

// taskStatus gives the status of the Task that was changed last; empty when there is none.
func taskStatus(set []found) string {
	status, last := "", ""
	for _, f := range set {
		changed, _ := at(f.resource, "meta", "lastUpdated").(string)
		if s, _ := f.resource["status"].(string); f.typ() == "Task" && (status == "" || changed > last) {
			status, last = s, changed
		}
	}
	return status
}

// digest tells what is shown from what was told.
func digest(set []found) string {
	h := sha256.New()
	for _, f := range set {
		b, _ := json.Marshal(f.resource) // keys in order
		h.Write(append([]byte(f.url+"\x00"), b...))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// asMessage writes what was found as the message that the platform would have sent.
func asMessage(source, id, seen string, set []found) ([]byte, error) {
	names := map[string]string{} // of what a reference may say, to the entry
	place := func(f found) string { return "urn:uuid:" + flow.NewID(0, "polled", id, f.url).String() }
	for _, f := range set {
		parts := strings.Split(f.url, "/")
		names[f.url], names[strings.Join(parts[max(0, len(parts)-2):], "/")] = place(f), place(f)
	}
	var entries []any
	focus, request, patient := "", "", ""
	for _, f := range set {
		repoint(f.resource, names)
		delete(f.resource, "id")
		delete(f.resource, "text")
		entries = append(entries, map[string]any{"fullUrl": place(f), "resource": f.resource})
		switch f.typ() {
		case "Task":
			focus = place(f)
		case "ServiceRequest":
			request = place(f)
		case "Patient":
			patient = place(f)
		}
	}
	if request == "" { // the platform does not include it: what the answer is about, by the identifier that was asked for
		url := "urn:uuid:" + flow.NewID(0, "polled", id, "request").String()
		asked := map[string]any{"resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": map[string]any{"reference": patient},
			"identifier": []any{map[string]any{"system": flow.SystemCase, "value": id}}}
		if patient == "" {
			asked["subject"] = map[string]any{"display": "as in the request"}
		}
		entries = append(entries, map[string]any{"fullUrl": url, "resource": asked})
	}
	header := map[string]any{"resourceType": "MessageHeader", "source": map[string]any{"endpoint": "urn:dermgate:source:" + source},
		"eventCoding": map[string]any{"system": fhir.SystemMessageEvents, "code": "servicerequest-response"}}
	if focus != "" {
		header["focus"] = []any{map[string]any{"reference": focus}}
	}
	head := map[string]any{"fullUrl": "urn:uuid:" + flow.NewID(0, "polled", id, seen).String(), "resource": header}
	return json.Marshal(map[string]any{"resourceType": "Bundle", "type": "message", "entry": append([]any{head}, entries...),
		"identifier": map[string]any{"system": "urn:dermgate:source:" + source, "value": "poll:" + id + ":" + seen}})
}

// repoint gives references, and the urls of attachments, the names that the entries have.
func repoint(v any, names map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		for key, child := range v {
			text, _ := child.(string)
			if to := names[text]; to != "" && (key == "reference" || key == "url") {
				v[key] = to
			}
			repoint(child, names)
		}
	case []any:
		for _, child := range v {
			repoint(child, names)
		}
	}
}
