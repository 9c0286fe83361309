package bolt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/dermgate/dermgate/gateway/flow"
)

// maxBatch is the most operations that share one commit.
const maxBatch = 256

// op is one operation waiting to be committed, all or none. do may run twice: see batch.
type op struct {
	do   func(*txn) error
	err  error
	done chan struct{}
}

// commit runs do in a transaction that it shares with whatever else waits, and returns when it is on disk.
// An error of do leaves nothing of it behind.
func (s *Store) commit(ctx context.Context, do func(*txn) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("bolt: %w: %w", flow.ErrUnavailable, err)
	}
	o := &op{do: do, done: make(chan struct{})}
	select {
	case s.ops <- o:
	case <-s.quit:
		return errClosed
	}
	select {
	case <-o.done:
	case <-s.stopped:
		select { // committed while it stopped
		case <-o.done:
		default:
			return errClosed
		}
	}
	return o.err
}

var errClosed = fmt.Errorf("bolt: %w: the store is closed", flow.ErrUnavailable)

// committer commits what waits, again and again. While one commit is being synced the next batch gathers,
// so that nobody waits for company and yet many share a sync.
func (s *Store) committer() {
	defer close(s.stopped)
	for {
		select {
		case first := <-s.ops:
			s.batch(s.gather(first))
		case <-s.quit:
			for {
				select {
				case first := <-s.ops:
					s.batch(s.gather(first))
				default:
					return
				}
			}
		}
	}
}

func (s *Store) gather(first *op) []*op {
	ops := []*op{first}
	for len(ops) < maxBatch {
		select {
		case o := <-s.ops:
			ops = append(ops, o)
		default:
			return ops
		}
	}
	return ops
}

// batch commits several operations at once. bbolt has no savepoints: when one fails after it has written,
// the whole is rolled back and each is run alone. One that fails before writing disturbs nobody.
func (s *Store) batch(ops []*op) {
	if err := s.together(ops); err != nil {
		for _, o := range ops {
			if err := s.together([]*op{o}); err != nil {
				o.err = err
			}
		}
	}
	for _, o := range ops {
		close(o.done)
	}
}

// together runs ops in one transaction. Its error is that of the disk, or of an operation that had written.
func (s *Store) together(ops []*op) error {
	tx, err := s.db.Begin(true)
	if err != nil {
		return unavailable(err)
	}
	defer tx.Rollback() // after a commit it does nothing
	t := &txn{tx: tx, now: s.now()}
	wrote := false
	for _, o := range ops {
		t.wrote, t.err = false, nil
		o.err = o.do(t)
		if t.err != nil {
			return unavailable(t.err)
		}
		if o.err != nil && t.wrote {
			return o.err
		}
		wrote = wrote || t.wrote
	}
	if !wrote {
		return nil
	}
	t.put(bMeta, clockKey, number(uint64(t.now)))
	if err := first(t.err, tx.Commit()); err != nil {
		return unavailable(err)
	}
	return nil
}

func unavailable(err error) error { return fmt.Errorf("bolt: %w: %w", flow.ErrUnavailable, err) }

// txn is one operation's view of a transaction. The first error of a write is kept in err, so that
// operations read as what they do.
type txn struct {
	tx    *bbolt.Tx
	now   int64 // store's clock, ns since 1970
	wrote bool
	err   error
}

func (t *txn) bucket(name string) *bbolt.Bucket { return t.tx.Bucket([]byte(name)) }
func (t *txn) get(bucket string, k []byte) []byte {
	return t.bucket(bucket).Get(k)
}

func (t *txn) put(bucket string, k, v []byte) {
	t.wrote = true
	t.err = first(t.err, t.bucket(bucket).Put(k, v))
}

func (t *txn) del(bucket string, k []byte) {
	t.wrote = true
	t.err = first(t.err, t.bucket(bucket).Delete(k))
}

// append puts under a key greater than all others: pages are then filled, not split in half.
func (t *txn) append(bucket string, k, v []byte) {
	t.bucket(bucket).FillPercent = 0.95
	t.put(bucket, k, v)
}

// putJSON puts a record. Nothing that is kept can fail to encode but by a fault of ours.
func (t *txn) putJSON(bucket string, k []byte, v any) {
	b, err := json.Marshal(v)
	t.err = first(t.err, err)
	t.put(bucket, k, b)
}

// next gives a number greater than any before.
func (t *txn) next() []byte {
	n, err := t.bucket(bMeta).NextSequence()
	t.wrote, t.err = true, first(t.err, err)
	return number(n)
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// view reads a consistent state without waiting for writers.
func (s *Store) view(ctx context.Context, do func(*txn) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("bolt: %w: %w", flow.ErrUnavailable, err)
	}
	tx, err := s.db.Begin(false)
	if err != nil {
		return unavailable(err)
	}
	return errors.Join(do(&txn{tx: tx, now: s.now()}), tx.Rollback())
}
