package main

import (
	"bytes"
	"context"
	"io"

	"github.com/dermgate/dermgate/adapters/blob"
	"github.com/dermgate/dermgate/gateway/flow"
)

// bodies is the flow's view of the blob store.
type bodies struct{ folder *blob.Folder }

func (b bodies) Put(ctx context.Context, owner string, content []byte, mediaType string) (flow.BodyRef, error) {
	o, err := b.folder.Put(ctx, owner, bytes.NewReader(content))
	return flow.BodyRef{Blob: o.Name, SHA256: o.SHA256, Size: o.Size, Type: mediaType}, err
}

func (b bodies) Open(ctx context.Context, r flow.BodyRef) (io.ReadCloser, error) {
	if r.Blob == "" {
		return io.NopCloser(bytes.NewReader(r.Inline)), nil
	}
	return b.folder.Open(ctx, r.Blob)
}
