package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/dermgate/dermgate/adapters/bolt"
	"github.com/dermgate/dermgate/gateway/api"
)

func backupVerb(std stdio) *cobra.Command {
	o := &operator{std: std}
	c := &cobra.Command{Use: "backup FILE", Short: "a copy of a running gateway's file store",
		Long: "Fetch a copy of the store of a running gateway that keeps its work in a file, as it is at this moment; the gateway goes on\n" +
			"working. Every entry of the copy is read before it gets its name: FILE is there whole or not at all. To restore it, stop\n" +
			"the gateway and put it in the place of store.embedded.path. Copy the photos folder and audit.jsonl after it.\n" +
			"A gateway on Redis refuses and says what to do instead.",
		Example: "  gateway backup /backup/gateway-2026-11-24.db", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.backup(cmd.Context(), args[0]) }}
	return o.flags(c, false)
}

// backedUp is what the verb prints.
type backedUp struct {
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	bolt.Contents
}

func (o *operator) backup(ctx context.Context, file string) error {
	if _, err := os.Lstat(file); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s is there already: a backup overwrites nothing", file), err)
	}
	part, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".part-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(part.Name())
	out := backedUp{File: file}
	out.Bytes, out.SHA256, err = o.fetch(ctx, part)
	if err = errors.Join(err, part.Sync(), part.Close()); err != nil {
		return err
	}
	if out.Contents, err = bolt.Verify(part.Name()); err != nil {
		return fmt.Errorf("the copy cannot be used: %w", err)
	}
	if err := os.Link(part.Name(), file); err != nil { // unlike a rename it overwrites nothing
		return err
	}
	if o.asJSON {
		return printJSON(o.std.out, out)
	}
	_, err = fmt.Fprintf(o.std.out, "%s: %d bytes, %d messages, %d cases, %d deliveries, sha256 %s\n", out.File, out.Bytes, out.Messages, out.Cases, out.Deliveries, out.SHA256)
	return err
}

// fetch writes the backup to a file and gives its size and digest, which are those that the gateway says.
func (o *operator) fetch(ctx context.Context, to io.Writer) (int64, string, error) {
	resp, err := o.send(ctx, http.MethodGet, "/api/v1/backup", nil, 0)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, sum), resp.Body)
	if err != nil {
		return n, "", fmt.Errorf("the copy was broken off after %d bytes: %w", n, err)
	}
	digest := hex.EncodeToString(sum.Sum(nil))
	if said := resp.Trailer.Get(api.BackupDigest); said != digest {
		return n, "", fmt.Errorf("the copy is not what was sent: %d bytes with another digest", n)
	}
	return n, digest, nil
}
