// Package bolt is the embedded store: one bbolt file, one gateway process. Every commit is on disk (two
// fdatasync calls of bbolt: pages, then the page that makes them count) before anybody is answered.
//
// What is kept under growing numbers (messages, cases, deliveries, bodies, story) is appended; only small
// entries, from an id or a reference to such a number, land anywhere in the file.
package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/dermgate/dermgate/gateway/flow"
)

// schema is the version of the file's layout. A file of another version is refused, never guessed at.
const schema = "2"

// before is the version whose files are read on: they have no late entries, and in a lane also its head.
const before = "1"

// clockKey of bMeta holds the store's time of the last commit.
var clockKey = []byte("clock")

// Store is a flow.Store in one file.
type Store struct {
	db      *bbolt.DB
	started time.Time        // wall clock and, with it, the monotonic one
	ahead   time.Duration    // of the wall clock: it was set back since the file was written last
	by      func() time.Time // its clock; nil: the wall clock's way
	ops     chan *op
	quit    chan struct{}
	stopped chan struct{} // closed when the committer has ended
	closing sync.Once
	closed  error // of closing
	lock    *os.File
	compact Compaction
	late    late
}

var _ flow.Store = (*Store)(nil)

// Open opens the file, made when it is not there, and compacts it where half of it is free. It fails when another
// process holds it, or when it was written by another version. Leases in it are void: their holder was the process
// that had the file before.
func Open(path string) (*Store, error) { return open(path, compactFree, 0, lateMost, nil) }

// OpenBy is Open with another clock than the machine's: leases end and deliveries are due by it.
func OpenBy(path string, clock func() time.Time) (*Store, error) {
	return open(path, compactFree, 0, lateMost, clock)
}

func open(path string, compactFree int64, ahead time.Duration, most int, clock func() time.Time) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("bolt: %w", err)
	}
	held, err := lock(path)
	if err != nil {
		return nil, err
	}
	db, compact, err := compacted(path, compactFree)
	if errors.Is(err, berrors.ErrTimeout) { // one of a version before there was a lock
		return nil, errors.Join(fmt.Errorf("bolt: %s is in use by another gateway: a file serves one process, several share a Redis", path), held.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bolt: %s: %w", path, err), held.Close())
	}
	s := &Store{db: db, lock: held, compact: compact, started: time.Now(), ahead: ahead, by: clock, ops: make(chan *op, maxBatch), quit: make(chan struct{}),
		stopped: make(chan struct{}), late: late{most: most}}
	if err := errors.Join(s.prepare(), syncDir(filepath.Dir(path))); err != nil {
		return nil, errors.Join(fmt.Errorf("bolt: %s: %w", path, err), db.Close(), held.Close())
	}
	go s.committer()
	return s, nil
}

// Compacted tells what Open did about room that nothing used.
func (s *Store) Compacted() Compaction { return s.compact }

// syncDir makes the file's name durable: bbolt syncs only its content.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (s *Store) prepare() error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		meta := tx.Bucket([]byte(bMeta))
		switch v := meta.Get([]byte("schema")); {
		case v == nil, string(v) == before:
			if err := meta.Put([]byte("schema"), []byte(schema)); err != nil {
				return err
			}
		case string(v) != schema:
			return fmt.Errorf("the file has layout %q, this gateway reads %q", v, schema)
		}
		s.resume(meta.Get(clockKey))
		return s.late.load(tx)
	})
	if err != nil {
		return err
	}
	void := &op{do: (*txn).voidLeases}
	return first(s.together([]*op{void}), void.err)
}

// Close ends the store: what was handed in before is committed.
func (s *Store) Close() error {
	s.closing.Do(func() {
		close(s.quit)
		<-s.stopped
		s.closed = errors.Join(s.db.Close(), s.lock.Close())
	})
	return s.closed
}

// Health writes and syncs a few bytes: a full or failing disk shows here as it does to a sender.
func (s *Store) Health(ctx context.Context) error {
	return s.commit(ctx, func(t *txn) error {
		t.put(bMeta, []byte("health"), binary.BigEndian.AppendUint64(nil, uint64(t.now)))
		return nil
	})
}

// now is the store's clock in nanoseconds since 1970: the wall clock when the file was opened, or the last time in the
// file when that is later, and the time passed since. Setting the clock makes no lease end and no delivery late, neither
// while the gateway runs nor over a restart.
func (s *Store) now() int64 {
	if s.by != nil {
		return s.by().Add(s.ahead).UnixNano()
	}
	return s.started.Add(s.ahead + time.Since(s.started)).UnixNano()
}

// resume lets the clock go on from the last time in the file, where the wall clock was set back.
func (s *Store) resume(last []byte) {
	if len(last) == 8 {
		s.ahead += max(0, time.Duration(int64(binary.BigEndian.Uint64(last))-s.now()))
	}
}

func at(nanos int64) time.Time { return time.Unix(0, nanos).UTC() }
