package blob

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// cache keeps files of a bucket in the folder of this process, sealed as in the bucket. What the process leaves behind
// is removed with that folder.
type cache struct {
	desk  *desk
	limit int64 // bytes

	mu      sync.Mutex
	entries map[string]*cached
	size    int64
}

type cached struct {
	path  string
	size  int64
	since time.Time
	used  time.Time
}

// temporary makes a file to be filled.
func (c *cache) temporary() (*os.File, error) {
	for again := false; ; again = true {
		dir, err := c.desk.open()
		if err != nil {
			return nil, err
		}
		file, err := os.CreateTemp(dir, temporary+"*") // mode 0600
		if !isGone(err) || again {
			return file, err
		}
		c.desk.leave() // somebody removed the folder
	}
}

// open opens what is kept under a name; nil when nothing is.
func (c *cache) open(name string) *os.File {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[name]
	if e == nil {
		return nil
	}
	file, err := os.Open(e.path)
	if err != nil {
		c.drop(name)
		return nil
	}
	e.used = time.Now()
	return file
}

// take keeps a file under a name, and tells whether it did: the file is the cache's then.
func (c *cache) take(name, path string, size int64) bool {
	if size > c.limit {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(name)
	kept := filepath.Join(filepath.Dir(path), "cached-"+strings.ReplaceAll(name, "/", "-"))
	if err := os.Rename(path, kept); err != nil {
		return false
	}
	now := time.Now()
	c.entries[name] = &cached{path: kept, size: size, since: now, used: now}
	for c.size += size; c.size > c.limit; {
		c.drop(c.oldest())
	}
	return true
}

// oldest gives the name of what was used longest ago.
func (c *cache) oldest() (name string) {
	for n, e := range c.entries {
		if name == "" || e.used.Before(c.entries[name].used) {
			name = n
		}
	}
	return name
}

func (c *cache) drop(name string) {
	if e := c.entries[name]; e != nil {
		os.Remove(e.path)
		c.size -= e.size
		delete(c.entries, name)
	}
}

func (c *cache) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(name)
}

// expire drops what was kept before a time.
func (c *cache) expire(before time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, e := range c.entries {
		if e.since.Before(before) {
			c.drop(name)
		}
	}
}
