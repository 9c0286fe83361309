package file

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// The folders inside the folder, and the other names it knows.
const (
	done     = "done"
	refused  = "refused"
	taking   = ".taking"
	lockName = ".lock"
	unnamed  = ".answer.part" // an answer being written

	hl7Suffix    = ".ack.hl7"
	fhirSuffix   = ".ack.json"
	reasonSuffix = ".reason.txt"
)

var suffixes = []string{hl7Suffix, fhirSuffix, reasonSuffix}

// Modes before the umask: the folder is often shared with its senders through a group.
const (
	folderMode = 0o770
	fileMode   = 0o660
)

// errBusy: another gateway is looking through the folder.
var errBusy = errors.New("another gateway takes from this folder")

// folder is one look at the folder, with its lock. Nothing is reached that lies outside of it.
type folder struct {
	root *os.Root
	lock *os.File
}

// makeFolders makes the folder, and those in it.
func makeFolders(dir string) error {
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return makeInner(root)
}

func makeInner(root *os.Root) error {
	made := false
	for _, name := range []string{done, refused, taking} {
		err := root.Mkdir(name, folderMode)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		made = made || err == nil
		if info, err := root.Stat(name); err != nil || !info.IsDir() {
			return cmp.Or(err, error(&fs.PathError{Op: "mkdir", Path: name, Err: errors.New(name + " is a file")}))
		}
	}
	if made {
		return syncFolder(root, ".")
	}
	return nil
}

// openFolder opens the folder for one look; errBusy when another holds its lock.
func openFolder(dir string) (*folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	lock, err := hold(root)
	if err == nil {
		if err = makeInner(root); err == nil {
			return &folder{root, lock}, nil
		}
		lock.Close()
	}
	root.Close()
	return nil, err
}

// hold takes the lock, on the file that has its name now: one that was removed meanwhile locks nobody out.
func hold(root *os.Root) (*os.File, error) {
	f, err := root.OpenFile(lockName, os.O_RDWR|os.O_CREATE|noWait, fileMode)
	if err != nil {
		return nil, err
	}
	if err = lock(f); err == nil {
		var held, named fs.FileInfo
		if held, err = f.Stat(); err == nil {
			if named, err = root.Lstat(lockName); err == nil && os.SameFile(held, named) {
				return f, nil
			}
			err = cmp.Or(err, errBusy)
		}
	}
	f.Close()
	return nil, err
}

func (d *folder) close() {
	d.lock.Close()
	d.root.Close()
}

// entry is a file that may be taken.
type entry struct {
	name    string
	claimed bool // before a crash or a failure: it is in .taking
	info    fs.FileInfo
}

func (e entry) place() string {
	if e.claimed {
		return path.Join(taking, e.name)
	}
	return e.name
}

// files lists what may be taken, in the order in which it is to be: first what was claimed before. cut tells
// that there are more.
func (d *folder) files() (files []entry, cut bool, err error) {
	claimed, _, err := d.list(taking, true)
	if err != nil {
		return nil, false, err
	}
	waiting, cut, err := d.list(".", false)
	return append(claimed, waiting...), cut, err
}

// list reads a folder and keeps the oldest mostListed, by time and name.
func (d *folder) list(dir string, claimed bool) (files []entry, cut bool, err error) {
	f, err := d.root.Open(dir)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	for more := true; more; {
		found, err := f.ReadDir(1024)
		more = err == nil
		if err != nil && err != io.EOF {
			return nil, false, err
		}
		for _, e := range found {
			info, err := e.Info() // of a link: its own
			if err == nil && info.Mode().IsRegular() && !hidden(e.Name()) {
				files = append(files, entry{e.Name(), claimed, info})
			}
		}
		if len(files) > 2*mostListed || !more {
			slices.SortFunc(files, func(a, b entry) int {
				return cmp.Or(a.info.ModTime().Compare(b.info.ModTime()), cmp.Compare(a.name, b.name))
			})
			if len(files) > mostListed {
				files, cut = files[:mostListed], true
			}
		}
	}
	return files, cut, nil
}

// hidden tells names of what is not whole yet.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasSuffix(strings.ToLower(name), ".part")
}

// claim is a file in .taking, under the name that it and its answer will have.
type claim struct {
	name string
	info fs.FileInfo
}

func (c claim) path() string { return path.Join(taking, c.name) }

// claim moves a file to .taking, or takes one over that is there. What a crash may have left of its answer is
// removed: it gets the same one again, or in the case of a refusal the one that holds now.
func (d *folder) claim(f entry, now time.Time) (claim, error) {
	if f.claimed && !d.placed(f.name) {
		return claim{f.name, f.info}, d.removeAnswers(f.name)
	}
	name, err := d.free(f.name, now)
	if err != nil {
		return claim{}, err
	}
	c := claim{name, f.info}
	return c, d.root.Rename(f.place(), c.path())
}

// placed tells whether somebody has put a file where a claimed one was to go.
func (d *folder) placed(name string) bool {
	for _, dir := range []string{done, refused} {
		if _, err := d.root.Lstat(path.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

func (d *folder) removeAnswers(name string) error {
	for _, dir := range []string{done, refused} {
		for _, suffix := range suffixes {
			if err := d.root.Remove(path.Join(dir, name+suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// giveBack puts a file back to where it was, unless another has its name now: then it stays in .taking and
// is taken from there. A link and no rename, since that would overwrite.
func (d *folder) giveBack(c claim) {
	if d.root.Link(c.path(), c.name) == nil {
		_ = d.root.Remove(c.path()) // a second name of a file that is offered again does no harm
	}
}

// errTooLarge: a file is over the limit.
var errTooLarge = errors.New("too large")

// read reads a claimed file, which must be the one that was listed.
func (d *folder) read(c claim, limit int64) ([]byte, error) {
	if c.info.Size() > limit {
		return nil, errTooLarge
	}
	f, err := d.root.OpenFile(c.path(), os.O_RDONLY|noWait, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw := make([]byte, c.info.Size())
	if _, err := io.ReadFull(f, raw); err == io.ErrUnexpectedEOF || err == io.EOF {
		return nil, errChanged
	} else if err != nil {
		return nil, err
	}
	if !d.unchanged(c) {
		return nil, errChanged
	}
	return raw, nil
}

// unchanged tells whether a claimed file is still what was listed.
func (d *folder) unchanged(c claim) bool {
	now, err := d.root.Lstat(c.path())
	return err == nil && os.SameFile(now, c.info) && now.Size() == c.info.Size() && now.ModTime().Equal(c.info.ModTime())
}

// finish makes the answer durable under its name and then moves the file beside it. Done again after a
// failure in between, it comes to the same.
func (d *folder) finish(c claim, v verdict) error {
	if len(v.answer) > 0 {
		if err := d.write(v.folder, c.name+v.suffix, v.answer); err != nil {
			return err
		}
	}
	if d.placed(c.name) {
		return fs.ErrExist // since the claim: the next look finds another name
	}
	if err := d.root.Rename(c.path(), path.Join(v.folder, c.name)); err != nil {
		return err
	}
	return cmp.Or(syncFolder(d.root, v.folder), syncFolder(d.root, taking))
}

func (d *folder) write(dir, name string, b []byte) error {
	f, err := d.root.OpenFile(path.Join(dir, unnamed), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = cmp.Or(err, f.Sync(), f.Close())
	if err == nil {
		err = d.root.Rename(path.Join(dir, unnamed), path.Join(dir, name))
	}
	return cmp.Or(err, syncFolder(d.root, dir))
}

// syncFolder makes the names in a folder durable.
func syncFolder(root *os.Root, dir string) error {
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
