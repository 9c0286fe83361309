package mesh

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
	"github.com/dermgate/dermgate/mapping/itk3"
)

// chunkBytes is how much of a message goes into one chunk, before zipping, unless configured.
const chunkBytes = 20_000_000

// Subject of every message: what MESH's reports and screens show names nobody.
const subject = "Dermatology document"

// Destination sends deliveries whose body is a whole message. Its mex-LocalID is the delivery's key. It goes to the mailbox
// in the delivery's Note, else to where MESH finds the Patient in it registered.
type Destination struct {
	Client
	Workflow   string                                                     // mex-WorkflowID
	ChunkBytes int64                                                      // 0: 20 MB
	OpenBody   func(context.Context, flow.BodyRef) (io.ReadCloser, error) // gives the message
}

// Steps of a delivery. A begun one without its sent one may have been taken or not.
const (
	stepBegun = "mesh-begun" // size: of a chunk; state: undone when a person has found that MESH does not have it
	stepSent  = "mesh-sent"  // id: MESH's; next: the first chunk that MESH is not known to have
)

const undone = "undone"

// NotSent gives the step by which a person says that MESH does not have a message whose sending was cut off, to be saved
// before it is replayed. It reports false when nothing about the delivery is unknown.
func NotSent(d flow.Delivery, at time.Time) (flow.Step, bool) {
	var unknown *flow.Step
	for i, s := range d.Steps {
		switch {
		case s.Name == stepBegun && s.Data["state"] != undone:
			unknown = &d.Steps[i]
		case s.Name == stepSent:
			return flow.Step{}, false
		}
	}
	if unknown == nil {
		return flow.Step{}, false
	}
	return flow.Step{Name: stepBegun, At: at, Data: map[string]string{"state": undone, "size": unknown.Data["size"]}}, true
}

// attempt is one delivery being worked on.
type attempt struct {
	*Destination
	ctx    context.Context
	del    flow.Delivery
	save   func(flow.Step) error
	size   int64 // of a chunk: what the first attempt took, whatever is configured since
	chunks int
}

// Deliver sends what is not sent yet. The error is of a step that could not be saved.
func (d *Destination) Deliver(ctx context.Context, del flow.Delivery, save func(flow.Step) error) (flow.Outcome, error) {
	a := &attempt{Destination: d, ctx: ctx, del: del, save: save, size: chunkBytes}
	if d.ChunkBytes > 0 {
		a.size = d.ChunkBytes
	}
	for _, s := range del.Steps {
		if n, err := strconv.ParseInt(s.Data["size"], 10, 64); s.Name == stepBegun && err == nil && n > 0 {
			a.size = n
		}
	}
	a.chunks = int(max(1, (del.Body.Size+a.size-1)/a.size))
	id, next, o, err := a.begin()
	if err != nil || o.Result != "" {
		return o, err
	}
	if id == "" {
		if id, o, err = a.first(); err != nil || o.Result != "" {
			return o, err
		}
		next = 2
	}
	if next <= a.chunks {
		if o, err = a.rest(id, next); err != nil || o.Result != "" {
			return o, err
		}
	}
	return flow.Outcome{Result: flow.Delivered, Refs: []flow.Ref{{System: flow.SystemMESH, Value: id}}, Facts: map[string]string{flow.FactMESH: id}}, nil
}

// begin finds out how far earlier attempts have come: MESH's id of the message, "" when it has none, and the next chunk.
func (a *attempt) begin() (id string, next int, o flow.Outcome, err error) {
	begun := false
	for _, s := range a.del.Steps {
		switch s.Name {
		case stepBegun:
			begun = s.Data["state"] != undone
		case stepSent:
			id, next = s.Data["id"], 1
			if n, err := strconv.Atoi(s.Data["next"]); err == nil {
				next = n
			}
		}
	}
	if id != "" || !begun {
		return id, next, o, nil
	}
	t, r, err := a.TrackLocal(a.ctx, a.del.Key)
	switch {
	case err != nil:
		return "", 0, unreachable("tracking", err), nil
	case t.Multiple: // it was sent more than once, so it is there
		return "", 0, flow.Outcome{Result: flow.Delivered}, nil
	case r.status == http.StatusNotFound:
		return "", 0, o, nil
	case !t.Found:
		if o := r.trouble("tracking"); o.Result == flow.Retry {
			return "", 0, o, nil
		}
		return "", 0, flow.Outcome{Result: flow.Unknown, Cause: issue.New(issue.Unavailable, "mesh", "an earlier attempt was cut off, and MESH does not tell by its local id whether it has the message")}, nil
	}
	next = a.chunks + 1
	if t.Status == "uploading" {
		next = 2
	}
	return t.ID, next, o, a.sent(t.ID, next)
}

// sent keeps that MESH has the message up to a chunk.
func (a *attempt) sent(id string, next int) error {
	return a.save(flow.Step{Name: stepSent, At: a.now(), Data: map[string]string{"id": id, "next": strconv.Itoa(next)}})
}

// first sends the first chunk, by which MESH learns of the message.
func (a *attempt) first() (string, flow.Outcome, error) {
	to, o := a.recipient()
	if o.Result != "" {
		return "", o, nil
	}
	body, r, o := a.open()
	if o.Result != "" {
		return "", o, nil
	}
	defer r.Close()
	chunk, err := zip(body, a.chunkOf(1))
	if err != nil {
		return "", ourTrouble(err), nil
	}
	if err := a.save(flow.Step{Name: stepBegun, At: a.now(), Data: map[string]string{"size": strconv.FormatInt(a.size, 10)}}); err != nil {
		return "", flow.Outcome{}, err
	}
	got, err := a.call(a.ctx, http.MethodPost, a.path("outbox"), map[string]string{
		"Mex-From": a.Mailbox, "Mex-To": to, "Mex-WorkflowID": a.Workflow, "Mex-LocalID": a.del.Key, "Mex-Subject": subject,
		"Mex-FileName": a.del.Key + ".xml", "Mex-MessageType": "DATA", "Mex-Version": "1.0", "Mex-Chunk-Range": "1:" + strconv.Itoa(a.chunks),
		"Content-Type": fhirXML, "Content-Encoding": "gzip",
	}, chunk)
	if err != nil {
		return "", unreachable("sending", err), nil
	}
	id := got.body.MessageID
	if id == "" {
		id = got.body.IDv1
	}
	switch {
	case got.status == http.StatusAccepted && id != "":
		return id, flow.Outcome{}, a.sent(id, 2)
	case got.status < 300:
		return "", flow.Outcome{Result: flow.Retry, Cause: issue.New(issue.Structure, "mesh", "MESH took something and gave no message id")}, nil
	}
	return "", got.trouble("sending"), nil
}

// rest sends the chunks from next on.
func (a *attempt) rest(id string, next int) (flow.Outcome, error) {
	body, r, o := a.open()
	if o.Result != "" {
		return o, nil
	}
	defer r.Close()
	before := a.size * int64(next-1)
	if n, err := io.CopyN(io.Discard, body, before); n != before {
		return ourTrouble(err), nil
	}
	for ; next <= a.chunks; next++ {
		chunk, err := zip(body, a.chunkOf(next))
		if err != nil {
			return ourTrouble(err), nil
		}
		got, err := a.call(a.ctx, http.MethodPost, a.path("outbox", id, strconv.Itoa(next)), map[string]string{
			"Mex-From": a.Mailbox, "Mex-Chunk-Range": fmt.Sprintf("%d:%d", next, a.chunks), "Content-Type": "application/octet-stream", "Content-Encoding": "gzip",
		}, chunk)
		switch {
		case err != nil:
			return unreachable("a chunk", err), nil
		case got.status == http.StatusLocked: // it is whole already, or gone
			return a.locked(id, got)
		case got.status >= 300:
			return got.trouble("a chunk"), nil
		}
		if err := a.sent(id, next+1); err != nil {
			return flow.Outcome{}, err
		}
	}
	return flow.Outcome{}, nil
}

// locked asks what became of a message that takes no chunks any more: one that MESH has accepted was whole.
func (a *attempt) locked(id string, got reply) (flow.Outcome, error) {
	t, r, err := a.Track(a.ctx, id)
	switch {
	case err != nil:
		return unreachable("tracking", err), nil
	case t.Found && (t.Status == "accepted" || t.Status == "acknowledged"):
		return flow.Outcome{}, a.sent(id, a.chunks+1)
	case t.Found:
		return got.trouble("a chunk of a message that is " + word(t.Status)), nil
	}
	return r.trouble("tracking"), nil
}

// word takes a status that can be one.
func word(s string) string {
	if len(s) > 24 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz-_") != "" {
		return "in another state"
	}
	return s
}

// recipient gives mex-To. It may name a patient: it goes into that header and nowhere else.
func (a *attempt) recipient() (string, flow.Outcome) {
	if a.del.Note != "" {
		return a.del.Note, flow.Outcome{}
	}
	body, r, o := a.open()
	if o.Result != "" {
		return "", o
	}
	defer r.Close()
	to, err := itk3.Recipient(body)
	if err != nil {
		return "", refused(issue.Required, "Patient", "the message does not say where its patient is registered")
	}
	if len(to) > 100 || strings.ContainsFunc(to, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return "", refused(issue.Value, "Patient.name.family", "MESH cannot be told this surname")
	}
	return to, flow.Outcome{}
}

func (a *attempt) open() (io.Reader, io.Closer, flow.Outcome) {
	r, err := a.OpenBody(a.ctx, a.del.Body)
	if err != nil {
		return nil, nil, ourTrouble(err)
	}
	return r, r, flow.Outcome{}
}

// chunkOf gives the bytes of the nth chunk.
func (a *attempt) chunkOf(n int) int64 {
	return min(a.size, a.del.Body.Size-a.size*int64(n-1))
}

// zip compresses the next size bytes. The same bytes make the same chunk.
func zip(r io.Reader, size int64) ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if n, err := io.CopyN(w, r, size); n != size {
		return nil, fmt.Errorf("mesh: the body has less than its size: %w", err)
	}
	err := w.Close()
	return out.Bytes(), err
}

var errTooLarge = errors.New("mesh: larger than is taken")

func ourTrouble(err error) flow.Outcome {
	return flow.Outcome{Result: flow.Retry, Cause: issue.New(issue.Unavailable, "store", "the message cannot be read from the store").Because(err)}
}

func refused(kind issue.Kind, where, text string) flow.Outcome {
	return flow.Outcome{Result: flow.Refused, Cause: issue.New(kind, where, text)}
}

// unreachable says that no answer came. Nothing of the error is told but its kind: it may quote the address.
func unreachable(what string, err error) flow.Outcome {
	return flow.Outcome{Result: flow.Retry, Cause: issue.New(issue.Unavailable, "mesh", what+": no answer").Because(err)}
}
