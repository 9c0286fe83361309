package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/dermgate/dermgate/adapters/blob"
	"github.com/dermgate/dermgate/gateway/config"
)

// openPhotos opens the photos of a configuration. Keys that are not theirs are a fault of the configuration.
func openPhotos(ctx context.Context, cfg *config.Config) (*blob.Store, error) {
	keys, err := photoKeys(cfg)
	if err != nil {
		return nil, fmt.Errorf("photos: %w", err)
	}
	s, err := openShelf(ctx, cfg.Photos, keys)
	if errors.Is(err, blob.ErrKey) {
		return nil, config.Faults{cfg.Fault("photos.key_file", "photos: "+err.Error())}
	}
	if err != nil {
		return nil, fmt.Errorf("photos: %w", err)
	}
	return s, nil
}

func openShelf(ctx context.Context, p config.Photos, keys blob.Keys) (*blob.Store, error) {
	if p.Bucket != "" {
		return blob.OpenBucket(ctx, p.Bucket, blob.Cache{Dir: p.Cache.Path, Bytes: p.Cache.Bytes}, keys)
	}
	return blob.OpenFolder(p.Folder, keys)
}

// photoKeys gives the keys of photos: the configured ones, or with the embedded store one made beside its file.
func photoKeys(cfg *config.Config) (k blob.Keys, err error) {
	if !cfg.Photos.Key.Given() {
		k.Seal, err = blob.CreateKey(ownKey(cfg))
		return k, err
	}
	if k.Seal, err = cfg.Photos.Key.Key(); err != nil {
		return k, err
	}
	for _, secret := range cfg.Photos.OldKeys {
		old, err := secret.Key()
		if err != nil {
			return k, err
		}
		k.Open = append(k.Open, old)
	}
	return k, nil
}

// ownKey names the file of the key that is made where none is configured.
func ownKey(cfg *config.Config) string {
	return filepath.Join(filepath.Dir(cfg.Store.Embedded), "photo.key")
}

// auditLog names the file of the audit log: it lies beside the photos unless the site says otherwise.
func auditLog(cfg *config.Config) string {
	return cmp.Or(cfg.Audit, filepath.Join(cfg.Photos.Folder, "audit.jsonl"))
}
