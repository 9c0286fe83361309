package file

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Source takes the files of one folder. All fields but Name and Path may be left zero.
type Source struct {
	Name    string           // configured name of the source
	Path    string           // the folder
	Poll    time.Duration    // between two looks; 0: a second
	Settle  time.Duration    // how long size and time of a file must stay the same; 0: it was renamed into place
	Limit   int64            // largest file in bytes; 0: 64 MiB
	Subject flow.Subject     // who stands behind the folder
	Log     *slog.Logger     // nil: slog.Default
	Now     func() time.Time // nil: time.Now
}

const (
	drainTime  = 10 * time.Second // for the file under way when Serve is to end
	acceptTime = time.Minute      // for one file to be kept
	longest    = time.Minute      // between two looks while the folder or the store is in trouble
	mostTries  = 5                // of a file that fails for a reason of its own
	mostListed = 10_000           // files of one look; the others wait for the next
)

// Open makes the folder and those in it where they are missing. The error names what could not be made.
func (s *Source) Open() error { return makeFolders(s.Path) }

// Serve takes files until ctx ends, finishes the one under way within ten seconds, and gives nil. Trouble
// with the folder or the store is logged when it begins and when it is over; Serve goes on.
func (s *Source) Serve(ctx context.Context, accept flow.Accept) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx)) // a file under way outlives ctx
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(drainTime, cancel) })()
	w := &worker{Source: s, accept: accept, seen: map[string]*sighting{}}
	for wait := time.Duration(0); ; wait = w.round(ctx, work) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// worker is a source at work: what it remembers from one look to the next.
type worker struct {
	*Source
	accept  flow.Accept
	seen    map[string]*sighting // by place: name, or .taking/name
	failed  int                  // looks in a row that ended in trouble
	trouble string               // said in the log already
}

// sighting is what is known of a file that is not taken yet.
type sighting struct {
	size     int64
	modified time.Time
	since    time.Time // when it was first seen with this size and time
	tries    int       // that failed for a reason of its own
	next     time.Time // not before
}

// round looks through the folder once and tells how long to wait for the next look. Files under way are
// worked on under work.
func (w *worker) round(ctx, work context.Context) time.Duration {
	more, err := w.look(ctx, work)
	w.say(err)
	if err != nil {
		w.failed++
		return backoff(w.poll(), w.failed)
	}
	w.failed = 0
	if more {
		return 0
	}
	return w.poll()
}

// say logs a trouble once, and once that it is over.
func (w *worker) say(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	log := w.log().With("source", w.Name, "path", w.Path)
	switch {
	case text == w.trouble:
	case err == nil:
		log.Info("files are taken again")
	default:
		log.Error("files are not taken", "error", err)
	}
	w.trouble = text
}

// look takes the files that are ready, those that a crash left under way first. more tells that there were
// too many for one look.
func (w *worker) look(ctx, work context.Context) (more bool, err error) {
	d, err := openFolder(w.Path)
	if errors.Is(err, errBusy) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("the folder: %w", bare(err))
	}
	defer d.close()
	files, cut, err := d.files()
	if err != nil {
		return false, fmt.Errorf("the folder: %w", bare(err))
	}
	w.forget(files)
	taken := 0
	for _, f := range files {
		if ctx.Err() != nil {
			return false, nil
		}
		if !w.ready(f) {
			continue
		}
		if err := w.take(work, d, f); err != nil {
			return false, err
		}
		taken++
	}
	return cut && taken > 0, nil
}

// ready tells whether a file has settled and is not to be left alone after a failure.
func (w *worker) ready(f entry) bool {
	now := time.Now()
	s := w.seen[f.place()]
	if s == nil || s.size != f.info.Size() || !s.modified.Equal(f.info.ModTime()) {
		s = &sighting{size: f.info.Size(), modified: f.info.ModTime(), since: now}
		w.seen[f.place()] = s
	}
	return (f.claimed || now.Sub(s.since) >= w.Settle) && !now.Before(s.next)
}

// forget drops what is known of files that are gone.
func (w *worker) forget(files []entry) {
	here := make(map[string]*sighting, len(files))
	for _, f := range files {
		if s := w.seen[f.place()]; s != nil {
			here[f.place()] = s
		}
	}
	w.seen = here
}

// backoff doubles a wait with each failure up to longest, give or take a tenth.
func backoff(poll time.Duration, failures int) time.Duration {
	d := min(poll<<min(failures, 16), max(poll, longest))
	return d - d/10 + rand.N(d/5+1)
}

func (s *Source) poll() time.Duration {
	if s.Poll > 0 {
		return s.Poll
	}
	return time.Second
}

func (s *Source) limit() int64 {
	if s.Limit > 0 {
		return s.Limit
	}
	return 64 << 20
}

func (s *Source) log() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.Default()
}

func (s *Source) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}
