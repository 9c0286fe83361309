package main

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"strings"
	"sync"

	"github.com/dermgate/dermgate/adapters/blob"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/lift"
)

// bodies is the flow's view of the blob store.
type bodies struct{ store *blob.Store }

func (b bodies) Put(ctx context.Context, owner string, content io.Reader, mediaType string) (flow.BodyRef, error) {
	o, err := b.store.Put(ctx, owner, content)
	return flow.BodyRef{Blob: o.Name, SHA256: o.SHA256, Size: o.Size, Type: mediaType}, err
}

func (b bodies) Begin(ctx context.Context, owner, mediaType string) (flow.Body, error) {
	s, err := b.store.Stage()
	if err != nil {
		return nil, err
	}
	return body{s, ctx, b.store, owner, mediaType}, nil
}

// body is an object that is being written.
type body struct {
	*blob.Staged
	ctx              context.Context
	store            *blob.Store
	owner, mediaType string
}

// Include has the bytes of another owner's object written again: that may be gone before this one.
func (b body) Include(of flow.Span) error {
	if strings.HasPrefix(of.Blob, b.owner+"/") {
		return b.Staged.Include(b.ctx, blob.Span{Name: of.Blob, From: of.From, Size: of.Size, Base64: of.Base64})
	}
	from, err := b.store.OpenAt(b.ctx, of.Blob)
	if err != nil {
		return err
	}
	defer from.Close()
	bytes := io.NewSectionReader(from, of.From, of.Size)
	if of.Base64 {
		data := fhir.Data{Size: of.Size, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes), nil }}
		return data.WriteBase64(b.Staged)
	}
	if n, err := io.Copy(b.Staged, bytes); err != nil || n < of.Size {
		return cmp.Or(err, io.ErrUnexpectedEOF)
	}
	return nil
}

func (b body) Keep() (flow.BodyRef, error) {
	if err := b.Close(); err != nil {
		return flow.BodyRef{}, err
	}
	o, err := b.Staged.Keep(b.ctx, b.owner)
	return flow.BodyRef{Blob: o.Name, SHA256: o.SHA256, Size: o.Size, Type: b.mediaType}, err
}

func (b bodies) Open(ctx context.Context, r flow.BodyRef) (io.ReadCloser, error) {
	if r.Blob == "" {
		return io.NopCloser(bytes.NewReader(r.Inline)), nil
	}
	return b.store.Open(ctx, r.Blob)
}

// At opens the object for each read: what is looked at here and there needs no handle kept open.
func (b bodies) At(ctx context.Context, r flow.BodyRef) image.File {
	if r.Blob == "" {
		return bytes.NewReader(r.Inline)
	}
	return placed{b.store, ctx, r}
}

type placed struct {
	store *blob.Store
	ctx   context.Context
	ref   flow.BodyRef
}

func (p placed) Size() int64 { return p.ref.Size }

func (p placed) ReadAt(b []byte, at int64) (int, error) {
	f, err := p.store.OpenAt(p.ctx, p.ref.Blob)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.ReadAt(b, at)
}

// lift reads messages with their payloads going into the blob store; limit is the most bytes of a message
// that stay in memory. What is too short to hold a payload is simply read.
func (b bodies) lift(limit int64) flow.Lift {
	return func(ctx context.Context, r *flow.Received, in io.Reader) error {
		head := heads.Get().(*[lift.Threshold]byte)
		defer heads.Put(head)
		n, err := io.ReadFull(in, head[:])
		switch err {
		case io.EOF, io.ErrUnexpectedEOF:
			r.Raw = bytes.Clone(head[:n])
			return nil
		case nil:
		default:
			return err
		}
		format := lift.ER7
		if r.Format != flow.HL7v2 {
			format = lift.JSON
		}
		l, err := lift.Read(io.MultiReader(bytes.NewReader(head[:]), in), format, b, lift.Limits{Raw: limit})
		if err != nil {
			return err
		}
		return r.Take(l)
	}
}

var heads = sync.Pool{New: func() any { return new([lift.Threshold]byte) }}

// Create stages an object.
func (b bodies) Create() (lift.Object, error) {
	s, err := b.store.Stage()
	if err != nil {
		return nil, err
	}
	return staged{s}, nil
}

// staged is an object of the blob store that has no owner yet.
type staged struct{ *blob.Staged }

func (s staged) Keep(ctx context.Context, owner string) (flow.BodyRef, error) {
	o, err := s.Staged.Keep(ctx, owner)
	return flow.BodyRef{Blob: o.Name, SHA256: o.SHA256, Size: o.Size}, err
}
