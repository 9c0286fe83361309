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
	// Begin begins a body that is written piece by piece.
	Begin(ctx context.Context, owner, mediaType string) (Body, error)
}

// Body is one that is being written. Discard is due in any case.
type Body interface {
	io.Writer
	// Include goes on with bytes of a body that is kept. Where it has the same owner they are not written again.
	Include(of Span) error
	Keep() (BodyRef, error) // durable when it returns
	Discard()
}

// Span is a stretch of a kept body.
type Span struct {
	Blob       string
	From, Size int64 // bytes
	Base64     bool  // it goes on encoded (RFC 4648 §4)
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

// stream is body for what is written piece by piece: a message with photos is never whole in memory, and says of each where it
// lies.
func (p *Pipeline) stream(ctx context.Context, owner ID, write func(io.Writer) error, mediaType string) (BodyRef, error) {
	s := &streamed{begin: func() (Body, error) { return p.Bodies.Begin(ctx, owner.String(), mediaType) }}
	defer s.discard()
	if err := write(s); err != nil {
		return BodyRef{}, fmt.Errorf("render: %w", err)
	}
	if s.body == nil {
		return p.body(ctx, owner, s.head, mediaType)
	}
	ref, err := s.body.Keep()
	if err != nil {
		return BodyRef{}, fmt.Errorf("keep body: %w", err)
	}
	return ref, nil
}

// streamed is a body that is begun once it is too large to be kept with its record.
type streamed struct {
	begin func() (Body, error)
	head  []byte
	body  Body // nil: head is all of it
}

func (s *streamed) Write(b []byte) (int, error) {
	if s.body == nil && len(s.head)+len(b) <= inlineMax {
		s.head = append(s.head, b...)
		return len(b), nil
	}
	if err := s.overflow(); err != nil {
		return 0, err
	}
	return s.body.Write(b)
}

func (s *streamed) overflow() (err error) {
	if s.body != nil {
		return nil
	}
	if s.body, err = s.begin(); err != nil {
		s.body = nil
		return err
	}
	_, err = s.body.Write(s.head)
	return err
}

// leastIncluded is the smallest content that is included, in bytes: what is less is written.
const leastIncluded = 16 << 10

// Include takes a kept photo over as it lies.
func (s *streamed) Include(d fhir.Data) (bool, error) {
	if d.Name == "" || d.Size < leastIncluded {
		return false, nil
	}
	if err := s.overflow(); err != nil {
		return false, err
	}
	return true, s.body.Include(Span{Blob: d.Name, Size: d.Size, Base64: true})
}

func (s *streamed) discard() {
	if s.body != nil {
		s.body.Discard()
	}
}

// derive keeps a photo that was made of a kept one by leaving bytes out.
func (p *Pipeline) derive(ctx context.Context, owner string, s *image.Stripped, of BodyRef) (BodyRef, error) {
	body, err := p.Bodies.Begin(ctx, owner, of.Type)
	if err != nil {
		return BodyRef{}, err
	}
	defer body.Discard()
	at := int64(0)
	err = s.Pieces(func(written []byte, from, size int64) error {
		defer func() { at += size }()
		if written != nil || size < leastIncluded {
			_, err := io.Copy(body, io.NewSectionReader(s, at, size))
			return err
		}
		return body.Include(Span{Blob: of.Blob, From: from, Size: size})
	})
	if err != nil {
		return BodyRef{}, err
	}
	return body.Keep()
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
	return fhir.Data{Size: ph.Size, Name: ph.Blob, Open: func() (io.ReadCloser, error) { return p.Bodies.Open(ctx, partOf(ph)) }}
}

func partOf(ph pathway.Photo) BodyRef {
	return BodyRef{Blob: ph.Blob, SHA256: ph.SHA256, Size: ph.Size, Type: ph.Type}
}
