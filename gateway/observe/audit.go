package observe

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"time"
)

// Entry is what the audit log records of one reading of patient data or one act: ids and configured
// names, never what was read.
type Entry struct {
	Who  string `json:"who"`           // verified identity
	Verb string `json:"verb"`          // "read", "search", "replay", "release", …
	What string `json:"what"`          // "case/<id>", "ServiceRequest/<id>", "destination/<name>"
	Why  string `json:"why,omitempty"` // the reason given
}

// line is one entry as it stands in the file.
type line struct {
	Seq  int64     `json:"seq"` // 1 for the first
	At   time.Time `json:"at"`
	Prev string    `json:"prev"` // hash of the line before, empty for the first
	Entry
	Hash string `json:"hash"` // hex SHA-256 of the line with an empty hash
}

func (l line) sum() string {
	l.Hash = ""
	b, err := json.Marshal(l)
	if err != nil { // texts, a number and a time of this century: cannot fail
		panic(err)
	}
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// Audit is an append-only file of JSON lines, each holding the hash of the one before: changing, removing
// or reordering a line breaks the chain at that place. Lines cut off the end are found by comparing Head
// with one kept elsewhere; serve logs it at start and end.
//
// Several processes may write one file, each line under its lock (flock), on a file system that carries it.
type Audit struct {
	mu   sync.Mutex
	file *os.File
	now  func() time.Time
	head Head
	size int64 // of the file up to the head, in bytes
}

// Head is the end of the chain.
type Head struct {
	Seq  int64
	Hash string
}

// ErrTampered is wrapped by every fault that Verify finds.
var ErrTampered = errors.New("audit log changed after it was written")

// OpenAudit opens or makes an audit log and verifies it whole: a broken one is not continued. A last line
// that a crash left half written was never confirmed to anyone and is cut off.
func OpenAudit(name string, now func() time.Time) (*Audit, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	a := &Audit{file: f, now: now}
	if err = lock(f); err == nil {
		err = errors.Join(a.catchUp(), unlock(f))
	}
	if err != nil {
		_ = f.Close() // the fault found is the one to tell
		return nil, fmt.Errorf("audit: %s: %w", name, err)
	}
	return a, nil
}

// catchUp follows the lines that were written since, by this process or another, and cuts off a half one: whoever was
// writing it is gone, since the lock is ours.
func (a *Audit) catchUp() error {
	head, whole, err := verify(a.head, io.NewSectionReader(a.file, a.size, math.MaxInt64-a.size))
	if err != nil {
		return err
	}
	a.head, a.size = head, a.size+whole
	info, err := a.file.Stat()
	switch {
	case err != nil:
		return err
	case info.Size() < a.size:
		return fmt.Errorf("line %d is gone: %w", a.head.Seq, ErrTampered)
	case info.Size() > a.size:
		return a.file.Truncate(a.size)
	}
	return nil
}

// Record appends an entry; when it returns nil the entry is on disk. A caller that gets an error must not
// show what it was about to show, nor do what it was about to do.
func (a *Audit) Record(_ context.Context, e Entry) (err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err = lock(a.file); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer func() { err = errors.Join(err, unlock(a.file)) }()
	if err := a.catchUp(); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	for _, text := range []*string{&e.Who, &e.Verb, &e.What, &e.Why} {
		*text = strings.ToValidUTF8(*text, "\uFFFD") // JSON would, and the hash must be over what can be read again
	}
	l := line{Seq: a.head.Seq + 1, At: a.now().UTC(), Prev: a.head.Hash, Entry: e}
	l.Hash = l.sum()
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	b = append(b, '\n')
	if err := a.write(b); err != nil {
		// a half-written line must not stand before the next one
		return errors.Join(fmt.Errorf("audit: %w", err), a.file.Truncate(a.size))
	}
	a.head, a.size = Head{l.Seq, l.Hash}, a.size+int64(len(b))
	return nil
}

func (a *Audit) write(b []byte) error {
	if _, err := a.file.Write(b); err != nil {
		return err
	}
	return a.file.Sync()
}

// Head gives the end of the chain, to be kept where whoever can write the file cannot.
func (a *Audit) Head() Head {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.head
}

// Close closes the file.
func (a *Audit) Close() error { return a.file.Close() }

// Verify walks a whole audit log and gives the end of its chain. The error wraps ErrTampered and names the
// first line that does not fit.
func Verify(name string) (Head, error) {
	f, err := os.Open(name)
	if err != nil {
		return Head{}, fmt.Errorf("audit: %w", err)
	}
	defer f.Close()
	head, whole, err := verify(Head{}, f)
	if err != nil {
		return head, fmt.Errorf("audit: %s: %w", name, err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != whole {
		return head, fmt.Errorf("audit: %s: line %d is half written: %w", name, head.Seq+1, errors.Join(err, ErrTampered))
	}
	return head, nil
}

// verify gives the end of the chain, which goes on from a head, and the length of the whole lines, in bytes.
func verify(head Head, f io.Reader) (_ Head, whole int64, err error) {
	r := bufio.NewReader(f)
	for {
		b, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return head, whole, nil // what is left has no line end
		}
		if err != nil {
			return head, whole, err
		}
		if head, err = follow(head, b); err != nil {
			return head, whole, err
		}
		whole += int64(len(b))
	}
}

// follow checks one line against the end of the chain so far, byte for byte.
func follow(head Head, b []byte) (Head, error) {
	var l line
	if json.Unmarshal(b, &l) != nil {
		return head, fmt.Errorf("line %d is not readable: %w", head.Seq+1, ErrTampered)
	}
	again, err := json.Marshal(l)
	if err != nil || !bytes.Equal(append(again, '\n'), b) || l.Seq != head.Seq+1 || l.Prev != head.Hash || l.Hash != l.sum() {
		return head, fmt.Errorf("line %d does not follow from the one before: %w", head.Seq+1, ErrTampered)
	}
	return Head{l.Seq, l.Hash}, nil
}
