package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/observe"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/cases"
	"github.com/dermgate/dermgate/mapping/maps"
)

// shippedMaps compiles the shipped maps, once: they do not change while the program runs.
var shippedMaps = sync.OnceValues(func() (*mapping.Set, error) { return mapping.Load(maps.FS) })

// loadMaps compiles the shipped maps and, over them, a site's own.
func loadMaps(folder string) (*mapping.Set, error) {
	if folder == "" {
		return shippedMaps()
	}
	if f, err := os.Stat(folder); err != nil || !f.IsDir() {
		why := "there is no such folder of maps"
		if err == nil {
			why = "a file: want the folder of the maps"
		}
		return nil, mapping.Faults{{File: folder, Line: 1, Col: 1, Text: why, Layer: siteLayer}}
	}
	set, err := mapping.Load(maps.FS, os.DirFS(folder))
	var found mapping.Faults
	if err == nil {
		found = set.Notes()
	} else if !errors.As(err, &found) {
		return set, err
	}
	for _, f := range found {
		if f.Layer == siteLayer { // where the site finds it
			f.File = filepath.Join(folder, filepath.FromSlash(strings.TrimPrefix(f.File, "maps/")))
		}
	}
	return set, err
}

// hasMaps tells whether a folder has maps of a site, of whatever kind.
func hasMaps(folder string) bool {
	found := false
	_ = fs.WalkDir(os.DirFS(folder), ".", func(name string, d fs.DirEntry, err error) error { // what cannot be read, Load has told
		switch {
		case err != nil:
			return nil
		case mapping.Hidden(name) && d.IsDir():
			return fs.SkipDir
		case !d.IsDir() && !mapping.Hidden(name) && filepath.Ext(name) == ".yaml":
			found = true
			return fs.SkipAll
		}
		return nil
	})
	return found
}

// overlays holds the sources of a configuration to the overlays that the maps have. The error is config.Faults.
func overlays(cfg *config.Config, set *mapping.Set) error {
	var out config.Faults
	for i, s := range cfg.Sources {
		if s.Overlay == "" || slices.Contains(set.Senders(), s.Overlay) {
			continue
		}
		has := "the maps have no overlay"
		if all := set.Senders(); len(all) > 0 {
			has = "the maps have " + strings.Join(all, ", ")
		}
		out = append(out, cfg.Fault(fmt.Sprintf("sources[%d].overlay", i), fmt.Sprintf("no senders/%s.yaml: %s", s.Overlay, has)))
	}
	return out.Err()
}

// siteMaps are the maps in force. When a file of the site's folder changes, all are compiled, its cases are
// run and, where nothing fails, the new set is put in the place of the one before, which else stays. A
// message under way keeps the set it began with.
type siteMaps struct {
	folder  string // empty: the shipped maps only, which never change
	config  *config.Config
	options mapping.Options
	log     *slog.Logger
	metrics *observe.Metrics

	set   atomic.Pointer[mapping.Set]
	stale atomic.Bool // what is in the folder cannot be used

	seen  [sha256.Size]byte // the folder at the last look
	tried [sha256.Size]byte // the folder when it was compiled last
}

// openMaps compiles the maps that a gateway starts with and runs their cases. The error is mapping.Faults
// where either fails.
func openMaps(cfg *config.Config, log *slog.Logger, metrics *observe.Metrics) (*siteMaps, error) {
	o, err := mapFlags{}.options(cfg)
	if err != nil {
		return nil, err
	}
	m := &siteMaps{config: cfg, folder: cfg.Maps, options: o, log: log, metrics: metrics}
	m.seen = m.digest() // before reading: what changes meanwhile is seen at the first look
	m.tried = m.seen
	set, _, err := m.load()
	if err != nil {
		return nil, err
	}
	m.set.Store(set)
	return m, nil
}

// load compiles the maps and runs the cases beside the site's; it counts those.
func (m *siteMaps) load() (set *mapping.Set, count int, err error) {
	if set, err = loadMaps(m.folder); err != nil {
		return set, 0, err
	}
	if err = overlays(m.config, set); err != nil || m.folder == "" {
		return set, 0, err
	}
	var failed mapping.Faults
	err = eachCase(set, m.options, m.folder, func(path string, c cases.Came, trouble error) error {
		if errors.Is(trouble, cases.ErrNoCase) {
			return nil
		}
		count++
		line, what := 1, ""
		if trouble != nil {
			what = trouble.Error()
		} else if line, what = c.Fault(); what == "" {
			return nil
		}
		failed = append(failed, &mapping.Fault{File: path, Line: line, Col: 1, Text: what, Layer: siteLayer})
		return nil
	})
	if err == nil && len(failed) > 0 {
		err = failed
	}
	return set, count, err
}

// watch looks at the folder every so often until ctx ends.
func (m *siteMaps) watch(ctx context.Context, every time.Duration) {
	if m.folder == "" {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.look()
		}
	}
}

// look takes the folder's maps when they have changed and then stayed the same from one look to the next:
// a file that is being written, or one of several that belong together, is waited for.
func (m *siteMaps) look() {
	before := m.seen
	m.seen = m.digest()
	if m.seen == m.tried || m.seen != before {
		return
	}
	set, count, err := m.load()
	if m.digest() != m.seen { // some of it was read before a change and some after
		return
	}
	m.tried = m.seen
	if err == nil {
		m.set.Store(set)
	}
	m.stale.Store(err != nil)
	m.metrics.Maps(err != nil)
	if err != nil {
		m.refuse(err)
		return
	}
	m.log.Info("changed maps are in force", "path", m.folder, "digest", set.Digest(), "count", count)
}

// mostFaults is how many faults of one edit the log lists.
const mostFaults = 20

// refuse logs why changed maps are not taken.
func (m *siteMaps) refuse(err error) {
	const what = "changed maps cannot be used, those before stay in force"
	log := m.log.With("path", m.folder, "digest", m.set.Load().Digest())
	var faults mapping.Faults
	if !errors.As(err, &faults) {
		log.Error(what, "error", err)
		return
	}
	log.Error(what, "count", len(faults))
	for _, f := range faults[:min(len(faults), mostFaults)] {
		m.log.Error("fault of a map", "where", fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Col), "what", f.Text)
	}
}

// check fails while the maps in the folder are not those in force.
func (m *siteMaps) check(context.Context) error {
	if m.stale.Load() {
		return errors.New("the changed maps cannot be used, those before are in force")
	}
	return nil
}

// digest is over the names and contents of the folder's maps and cases. Times and sizes would be cheaper,
// and miss an edit within the clock's grain or a copy that keeps the time. What cannot be read counts with
// its error, so that it is tried, refused with that reason, and tried again when it can be.
func (m *siteMaps) digest() (sum [sha256.Size]byte) {
	if m.folder == "" {
		return sum
	}
	h := sha256.New()
	err := siteFiles(m.folder, func(path string) error {
		if ext := filepath.Ext(path); ext != ".yaml" && ext != cases.Extension {
			return nil
		}
		content := sha256.New()
		f, err := os.Open(path)
		if err == nil {
			_, err = io.Copy(content, f)
			f.Close()
		}
		fmt.Fprintf(h, "%q %x %v\n", path, content.Sum(nil), err)
		return nil
	})
	fmt.Fprint(h, err)
	return [sha256.Size]byte(h.Sum(nil))
}
