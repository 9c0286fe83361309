package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Backup writes a store as it is at one moment while work goes on; begin is told its size in bytes and gives what it
// is written to. adapters/bolt does.
type Backup interface {
	Backup(ctx context.Context, begin func(size int64) (io.Writer, error)) error
}

// BackupDigest is the trailer of a backup: the SHA-256 of its bytes, in hexadecimal.
const BackupDigest = "X-Backup-Sha256"

// stall is how long the one who fetches a backup may take nothing: pages of the store wait for it.
const stall = 2 * time.Minute

// backupStore streams a copy of the store. Its length is stated and its digest follows, so that a copy that is cut off
// or changed is known as such.
func (a *Admin) backupStore(c *gin.Context) {
	if a.Backup == nil {
		refuse(c, issue.New(issue.UnsupportedType, "", "this gateway keeps its work in Redis, which is backed up by its own means: docs/operations.md, Keep a copy of"))
		return
	}
	if !audited(c, a.Audit, Entry{Verb: "backup", What: "store"}) {
		return
	}
	w := &steady{w: c.Writer, control: http.NewResponseController(c.Writer), sum: sha256.New()}
	err := a.Backup.Backup(c.Request.Context(), func(size int64) (io.Writer, error) {
		h := c.Writer.Header()
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Disposition", `attachment; filename="gateway.db"`)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Backup-Size", strconv.FormatInt(size, 10))
		h.Set("Trailer", BackupDigest)
		c.Status(http.StatusOK)
		w.begun = true
		return w, nil
	})
	switch {
	case err == nil:
		c.Writer.Header().Set(BackupDigest, hex.EncodeToString(w.sum.Sum(nil)))
	case !w.begun:
		refuse(c, missing(err, "store"))
	default: // what was sent lacks its digest
		a.Log.Error("backup broken off", "error", err)
	}
}

// steady writes an answer that may take longer than answers may, as long as somebody takes it.
type steady struct {
	w       io.Writer
	control *http.ResponseController
	sum     hash.Hash
	begun   bool
}

func (s *steady) Write(p []byte) (int, error) {
	if err := s.control.SetWriteDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	n, err := s.w.Write(p)
	s.sum.Write(p[:n])
	return n, err
}
