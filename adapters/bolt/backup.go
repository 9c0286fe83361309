package bolt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"go.etcd.io/bbolt"
)

// Backup writes the store as it is at this moment while work goes on: a file that Open takes. begin is told its size in
// bytes, and gives what it is written to.
func (s *Store) Backup(ctx context.Context, begin func(size int64) (io.Writer, error)) error {
	return s.view(ctx, func(t *txn) error {
		w, err := begin(t.tx.Size())
		if err != nil {
			return err
		}
		_, err = t.tx.WriteTo(w)
		return err
	})
}

// Contents is how much a backup holds.
type Contents struct {
	Messages   int `json:"messages"`
	Cases      int `json:"cases"`
	Deliveries int `json:"deliveries"`
}

// Verify reads every entry of a file that Backup wrote: an error says what is damaged or missing.
func Verify(path string) (Contents, error) {
	c, err := verify(path)
	if err != nil {
		err = fmt.Errorf("bolt: %s: %w", path, err)
	}
	return c, err
}

func verify(path string) (c Contents, err error) {
	if _, err := os.Stat(path); err != nil {
		return c, err
	}
	if err := whole(path); err != nil {
		return c, err
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockWait})
	if err != nil {
		return c, err
	}
	defer func() {
		if recover() != nil { // bbolt's word for a page that is none
			err = errDamaged
		}
		err = errors.Join(err, db.Close())
	}()
	tx, err := db.Begin(false)
	if err != nil {
		return c, err
	}
	defer tx.Rollback() // before the file is closed
	meta := tx.Bucket([]byte(bMeta))
	if meta == nil || string(meta.Get([]byte("schema"))) != schema {
		return c, errors.New("it is no store of this gateway's version")
	}
	return c, c.read(tx)
}

// read reads every entry of every bucket, and counts.
func (c *Contents) read(tx *bbolt.Tx) error {
	counts := map[string]*int{bMessages: &c.Messages, bCases: &c.Cases, bDeliveries: &c.Deliveries}
	for _, name := range buckets {
		b := tx.Bucket([]byte(name))
		if b == nil {
			return fmt.Errorf("it has no %s", name)
		}
		err := b.ForEach(func(_, v []byte) error {
			if n := counts[name]; n != nil {
				*n++
				if !json.Valid(v) {
					return fmt.Errorf("an entry of %s is damaged", name)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
