package flow

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/issue"
	"github.com/dermgate/dermgate/mapping/lift"
)

// Part is a payload that does not lie in its message: it was taken out while the message was read, and a
// token stands in its place (mapping/lift).
type Part struct {
	Path     string   `json:"path,omitempty"` // of the value in HL7 v2: "OBX[2]-5[1].5"
	Offset   int64    `json:"offset"`         // in the original message, bytes
	Length   int64    `json:"length"`         // encoded, bytes
	At       int64    `json:"at"`             // of the token in Raw
	Token    string   `json:"token"`
	Encoding string   `json:"encoding"`
	SHA256   string   `json:"sha256"` // hex, of the content
	SHA1     string   `json:"sha1"`   // hex
	Size     int64    `json:"size"`   // bytes of content
	Plain    int64    `json:"plain"`  // leading encoded bytes that canonical encoding gives again; what follows is Rest
	Broken   bool     `json:"broken,omitempty"`
	Content  BodyRef  `json:"content"`
	Rest     *BodyRef `json:"rest,omitempty"`

	content, rest Taken // in the blob store, with no owner yet
}

// Taken is what was put into the blob store before anybody knew whose it is.
type Taken interface {
	image.File
	Keep(ctx context.Context, owner string) (BodyRef, error) // durable when it returns; the first owner stays
	Discard()                                                // unless it was kept
}

// Lift reads a message into r: its big payloads go to the blob store while they arrive. An error of in is
// given as it is; one that wraps ErrUnavailable is the blob store's; an *issue.Issue says that what must stay
// in memory is too large.
type Lift func(ctx context.Context, r *Received, in io.Reader) error

// Read takes a message in from its source: by lift, or whole into memory where lift is nil. Discard is due
// when the message has been answered. The errors are those of Lift.
func (r *Received) Read(ctx context.Context, lift Lift, in io.Reader) (err error) {
	if lift != nil {
		return lift(ctx, r, in)
	}
	r.Raw, err = io.ReadAll(in)
	return err
}

// Take fills a message in from what was read of it.
func (r *Received) Take(l *lift.Lifted) error {
	r.Raw = l.Raw
	if len(l.Parts) > 0 {
		r.Whole = &Whole{SHA256: hex.EncodeToString(l.SHA256[:]), Size: l.Size}
	}
	for _, p := range l.Parts {
		part := Part{Path: p.Path, Offset: p.Offset, Length: p.Length, At: p.At, Token: p.Token, Encoding: p.Encoding,
			SHA256: hex.EncodeToString(p.SHA256[:]), SHA1: hex.EncodeToString(p.SHA1[:]), Size: p.Size, Plain: p.Plain, Broken: p.Broken}
		var ok bool
		if part.content, ok = p.Content.(Taken); !ok {
			return errors.New("flow: a payload that cannot be kept")
		}
		if p.Rest != nil {
			if part.rest, ok = p.Rest.(Taken); !ok {
				return errors.New("flow: a payload that cannot be kept")
			}
		}
		r.Lifted = append(r.Lifted, part)
	}
	return nil
}

// digest is the hash of the bytes as they came, hex.
func (r *Received) digest() string {
	if r.Whole != nil {
		return r.Whole.SHA256
	}
	return digest(r.Raw)
}

// Discard removes the payloads that were not kept: the message was refused before it was one, or is a repeat.
func (r *Received) Discard() {
	for _, p := range r.Lifted {
		for _, t := range [...]Taken{p.content, p.rest} {
			if t != nil {
				t.Discard()
			}
		}
	}
}

// payloads lets a translation look at what was lifted.
func (p *Pipeline) payloads(ctx context.Context, parts []Part) map[string]mapping.Payload {
	if len(parts) == 0 {
		return nil
	}
	out := make(map[string]mapping.Payload, len(parts))
	for i := range parts {
		part := &parts[i]
		file := image.File(part.content)
		if part.content == nil {
			file = p.Bodies.At(ctx, part.Content)
		}
		out[part.Token] = mapping.Payload{File: file, SHA256: part.SHA256, SHA1: part.SHA1, Broken: part.Broken}
	}
	return out
}

// keepParts gives the payloads of a message their owner, unless they have one: a photo belongs to its case.
func (p *Pipeline) keepParts(ctx context.Context, owner ID, parts []Part) error {
	for i := range parts {
		part := &parts[i]
		if part.content == nil {
			continue
		}
		var err error
		if part.Content, err = part.content.Keep(ctx, owner.String()); err != nil {
			return fmt.Errorf("keep payload: %w", err)
		}
		if part.rest == nil {
			continue
		}
		rest, err := part.rest.Keep(ctx, owner.String())
		if err != nil {
			return fmt.Errorf("keep payload: %w", err)
		}
		part.Rest = &rest
	}
	return nil
}

// within gives a message of a batch its own payloads.
func (r Received) within(raw []byte) Received {
	all := r.Lifted
	r.Raw, r.Lifted, r.Whole = raw, nil, nil
	from, moved := 0, int64(0)
	for _, part := range all {
		at := bytes.Index(raw[from:], []byte(part.Token))
		if at < 0 {
			continue
		}
		part.At = int64(from + at)
		part.Offset = part.At + moved
		moved += part.Length - int64(len(part.Token))
		from += at + len(part.Token)
		r.Lifted = append(r.Lifted, part)
	}
	return r
}

// measure hashes a message of a batch with its payloads in their places, which are not kept yet.
func (r *Received) measure() error {
	if len(r.Lifted) == 0 {
		return nil
	}
	spans := make([]lift.Span, len(r.Lifted))
	for i, part := range r.Lifted {
		spans[i] = lift.Span{At: part.At, TokenLen: len(part.Token), Plain: part.Plain, Content: opened(part.content)}
		if part.rest != nil {
			spans[i].Rest = opened(part.rest)
		}
	}
	whole := lift.Rebuild(r.Raw, spans)
	defer whole.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, whole)
	r.Whole = &Whole{SHA256: hex.EncodeToString(sum.Sum(nil)), Size: n}
	return err
}

func opened(f image.File) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(f, 0, f.Size())), nil }
}

// Original gives a kept message as it came, byte for byte. It must be closed.
func (p *Pipeline) Original(ctx context.Context, m Message) (io.ReadCloser, error) {
	raw, err := p.readAll(ctx, m.Raw)
	if err != nil {
		return nil, err
	}
	spans := make([]lift.Span, len(m.Lifted))
	for i, part := range m.Lifted {
		spans[i] = lift.Span{At: part.At, TokenLen: len(part.Token), Plain: part.Plain, Content: p.opener(ctx, part.Content)}
		if part.Rest != nil {
			spans[i].Rest = p.opener(ctx, *part.Rest)
		}
	}
	return lift.Rebuild(raw, spans), nil
}

func (p *Pipeline) opener(ctx context.Context, r BodyRef) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return p.Bodies.Open(ctx, r) }
}

// whole hashes a message of a batch, whose payloads have just been kept.
func (p *Pipeline) whole(ctx context.Context, m Message) (*Whole, error) {
	r, err := p.Original(ctx, m)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, r)
	return &Whole{SHA256: hex.EncodeToString(sum.Sum(nil)), Size: n}, err
}

// stray finds tokens in a Bundle: a payload that no map and no attachment took for a file would be lost.
func stray(b *fhir.Bundle, parts []Part) *issue.Issue {
	if b == nil || len(parts) == 0 {
		return nil
	}
	for r := range b.Resources() {
		if i := strayIn(r, parts); i != nil {
			return i
		}
	}
	return nil
}

func strayIn(e fhir.Element, parts []Part) *issue.Issue {
	for _, part := range parts {
		if strings.Contains(e.Text(), part.Token) {
			return issue.New(issue.UnsupportedType, cmp.Or(part.Path, e.Path()), "a large file where none is taken")
		}
	}
	for c := range e.Children("") {
		if i := strayIn(c, parts); i != nil {
			return i
		}
	}
	return nil
}
