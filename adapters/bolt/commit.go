package bolt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

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

// company is how long a commit waits for more operations when the one before it had several: each commit writes the
// same pages at the ends of the buckets again, so that few commits of many cost a fraction of what many of few do. Who
// is alone waits for nobody.
const company = 4 * time.Millisecond

// committer commits what waits, again and again. While one commit is being synced the next batch gathers.
func (s *Store) committer() {
	defer close(s.stopped)
	busy := false
	for {
		select {
		case first := <-s.ops:
			var wait <-chan time.Time
			if busy {
				wait = time.After(company)
			}
			ops := s.gather(first, wait)
			busy = len(ops) > 1
			s.batch(ops)
		case <-s.quit:
			for {
				select {
				case first := <-s.ops:
					s.batch(s.gather(first, nil))
				default:
					return
				}
			}
		}
	}
}

// gather takes what is there, and with wait what comes until then.
func (s *Store) gather(first *op, wait <-chan time.Time) []*op {
	ops := []*op{first}
	for len(ops) < maxBatch {
		if wait != nil {
			select {
			case o := <-s.ops:
				ops = append(ops, o)
				continue
			case <-wait:
			case <-s.quit:
			}
			wait = nil
		}
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
	t := s.writing(tx)
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
	moved, err := s.late.log(tx, t.fresh)
	if err = first(t.err, err); err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return unavailable(err)
	}
	s.late.keep(t.fresh, moved)
	return nil
}

func (s *Store) writing(tx *bbolt.Tx) *txn {
	fresh := newGeneration()
	return &txn{tx: tx, now: s.now(), late: &s.late, gens: append(s.late.now(), fresh), fresh: fresh}
}

func unavailable(err error) error { return fmt.Errorf("bolt: %w: %w", flow.ErrUnavailable, err) }

// txn is one operation's view of a transaction. The first error of a write is kept in err, so that
// operations read as what they do.
type txn struct {
	tx    *bbolt.Tx
	now   int64 // store's clock, ns since 1970
	wrote bool
	err   error
	late  *late
	gens  []*generation // of late, and fresh behind them
	fresh *generation   // what this transaction changed of it; nil when it only reads
}

func (t *txn) bucket(name string) *bbolt.Bucket { return t.tx.Bucket([]byte(name)) }

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
	gens := s.late.now() // before the transaction: what moves in between is then in both
	tx, err := s.db.Begin(false)
	if err != nil {
		return unavailable(err)
	}
	return errors.Join(do(&txn{tx: tx, now: s.now(), late: &s.late, gens: gens}), tx.Rollback())
}
