package flow

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/image"
)

// Bodies keeps large bytes beside the store: sealed, and durable when Put returns. An error of r is wrapped.
type Bodies interface {
	Put(ctx context.Context, owner string, r io.Reader, mediaType string) (BodyRef, error)
	Open(ctx context.Context, r BodyRef) (io.ReadCloser, error)
	At(ctx context.Context, r BodyRef) image.File // for looking at a photo here and there; nothing to close
}

// inlineMax is the largest body kept in the store itself, in bytes: a big value in Redis stalls everyone.
const inlineMax = 64 << 10

// body keeps bytes: small ones with the record, large ones in the blob store.
func (p *Pipeline) body(ctx context.Context, owner ID, b []byte, mediaType string) (BodyRef, error) {
	if len(b) <= inlineMax {
		return BodyRef{Inline: b, SHA256: digest(b), Size: int64(len(b)), Type: mediaType}, nil
	}
	return p.keep(ctx, owner.String(), bytes.NewReader(b), mediaType)
}

func (p *Pipeline) keep(ctx context.Context, owner string, r io.Reader, mediaType string) (BodyRef, error) {
	ref, err := p.Bodies.Put(ctx, owner, r, mediaType)
	if err != nil {
		return BodyRef{}, fmt.Errorf("keep body: %w", err)
	}
	return ref, nil
}

// stream is body for what is written piece by piece: a message with photos is never whole in memory.
func (p *Pipeline) stream(ctx context.Context, owner ID, write func(io.Writer) error, mediaType string) (BodyRef, error) {
	r, w := io.Pipe()
	defer r.Close() // ends the writing when the keeping has failed
	go func() { w.CloseWithError(write(w)) }()
	head, err := io.ReadAll(io.LimitReader(r, inlineMax+1))
	switch {
	case err != nil:
		return BodyRef{}, fmt.Errorf("render: %w", err)
	case len(head) <= inlineMax:
		return p.body(ctx, owner, head, mediaType)
	}
	return p.keep(ctx, owner.String(), io.MultiReader(bytes.NewReader(head), r), mediaType)
}

// readAll reads a kept body whole.
func (p *Pipeline) readAll(ctx context.Context, r BodyRef) ([]byte, error) {
	if r.Blob == "" {
		return r.Inline, nil
	}
	rc, err := p.Bodies.Open(ctx, r)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	return io.ReadAll(rc)
}

// content lets a kept photo stream into a message.
func (p *Pipeline) content(ctx context.Context, ph pathway.Photo) fhir.Data {
	return fhir.Data{Size: ph.Size, Open: func() (io.ReadCloser, error) { return p.Bodies.Open(ctx, partOf(ph)) }}
}

func partOf(ph pathway.Photo) BodyRef {
	return BodyRef{Blob: ph.Blob, SHA256: ph.SHA256, Size: ph.Size, Type: ph.Type}
}
