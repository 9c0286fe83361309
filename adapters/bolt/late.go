package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"

	"go.etcd.io/bbolt"
)

// Some indexes have keys that lie anywhere: hashes of ids, slots and references. Put into its bucket at once, each entry
// would have a page of 4 KiB written for its 40 bytes. So a commit writes all of its own as one record of bLate, which is in the
// order of time, and they are kept in memory until many have gathered; those then move into their buckets in the order of
// the keys, a few with every later commit, so that what lies on one page is written once. Reading asks memory first. What
// had not moved when the gateway ended is read again from bLate when the file is opened.

// movingKey of bMeta holds, while a generation moves, the number of its last record and the last name that has moved.
var movingKey = []byte("moving")

// lateMost is how many entries gather before they move.
const lateMost = 64 << 10

// lateLetters are the buckets whose entries come late.
var lateLetters = map[string]byte{bIDs: 'i', bIdem: 'm', bRefs: 'r', bApplied: 'a', bHeads: 'h', bByCase: 'c', bCasesBy: 'b', bNamed: 'n'}

// lateNames are the same by their letter.
var lateNames = func() map[byte]string {
	out := map[byte]string{}
	for name, letter := range lateLetters {
		out[letter] = name
	}
	return out
}()

// lateName gives the name of an entry in memory: the bucket's letter and the key. Of the cases by what they are found by
// only patients lie anywhere.
func lateName(bucket string, k []byte) (string, bool) {
	letter, ok := lateLetters[bucket]
	if !ok || bucket == bCasesBy && k[0] != 'p' {
		return "", false
	}
	return string(letter) + string(k), true
}

// lateGroup gives the beginning that entries are asked for by; none where they are asked for by whole keys.
func lateGroup(name string) (string, bool) {
	switch lateNames[name[0]] {
	case bRefs:
		return name[:1+refSize], true
	case bByCase:
		return name[:1+16], true // the case's id
	case bCasesBy:
		return name[:len(name)-16], true // without time and number
	case bNamed:
		return name[:1+8], true // the case's number
	}
	return "", false
}

// generation is a part of the entries in memory. An entry without a value was removed.
type generation struct {
	entries map[string][]byte
	groups  map[string][]string // names by their beginning
	last    uint64              // number of the last record of bLate with some of them
	sorted  []string            // their names, once they move
	moved   int                 // of sorted
}

func newGeneration() *generation {
	return &generation{entries: map[string][]byte{}, groups: map[string][]string{}}
}

func (g *generation) set(name string, v []byte) {
	if _, known := g.entries[name]; !known {
		if group, ok := lateGroup(name); ok {
			g.groups[group] = append(g.groups[group], name)
		}
	}
	g.entries[name] = v
}

// late is what is in memory, oldest generation first: the last takes what is new, the one before it, if any, moves.
type late struct {
	mu   sync.RWMutex
	gens []*generation
	most int
}

// now gives the generations of this moment.
func (l *late) now() []*generation {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Clone(l.gens)
}

// get looks an entry up in generations; known tells that one of them says what it is.
func (l *late) get(gens []*generation, name string) (v []byte, known bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, g := range slices.Backward(gens) {
		if v, known = g.entries[name]; known {
			return v, true
		}
	}
	return nil, false
}

// group gives the names under a beginning, in no order and some perhaps twice, removed ones too.
func (l *late) group(gens []*generation, group string) (names []string) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, g := range gens {
		names = append(names, g.groups[group]...)
	}
	return names
}

// log writes what a transaction changed as one record, and moves some of what has gathered: so many that a generation has
// moved before the next is full. It gives what it moved.
func (l *late) log(tx *bbolt.Tx, fresh *generation) (moved int, err error) {
	if len(fresh.entries) == 0 {
		return 0, nil
	}
	b := tx.Bucket([]byte(bLate))
	if fresh.last, err = b.NextSequence(); err != nil {
		return 0, err
	}
	b.FillPercent = 0.95
	if err := b.Put(number(fresh.last), encodeLate(fresh.entries)); err != nil || len(l.gens) == 1 {
		return 0, err
	}
	return l.move(tx, 2*len(fresh.entries))
}

// move puts the next entries of the oldest generation into their buckets, and removes its records when it has done so.
func (l *late) move(tx *bbolt.Tx, n int) (int, error) {
	g := l.gens[0]
	names := g.sorted[g.moved:]
	names = names[:min(n, len(names))]
	for _, name := range names {
		b, v := tx.Bucket([]byte(lateNames[name[0]])), g.entries[name]
		var err error
		if v == nil {
			err = b.Delete([]byte(name[1:]))
		} else {
			err = b.Put([]byte(name[1:]), v)
		}
		if err != nil {
			return 0, err
		}
	}
	if g.moved+len(names) < len(g.sorted) {
		place := append(number(g.last), names[len(names)-1]...)
		return len(names), tx.Bucket([]byte(bMeta)).Put(movingKey, place)
	}
	b := tx.Bucket([]byte(bLate))
	var done [][]byte // a cursor must not delete under itself
	c := b.Cursor()
	for k, _ := c.First(); k != nil && binary.BigEndian.Uint64(k) <= g.last; k, _ = c.Next() {
		done = append(done, bytes.Clone(k))
	}
	for _, k := range done {
		if err := b.Delete(k); err != nil {
			return 0, err
		}
	}
	return len(names), tx.Bucket([]byte(bMeta)).Delete(movingKey)
}

// keep takes in what a committed transaction changed and moved.
func (l *late) keep(fresh *generation, moved int) {
	if len(fresh.entries) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.gens) > 1 {
		if g := l.gens[0]; g.moved+moved < len(g.sorted) {
			g.moved += moved
		} else {
			l.gens = l.gens[1:]
		}
	}
	newest := l.gens[len(l.gens)-1]
	newest.last = fresh.last
	for name, v := range fresh.entries {
		newest.set(name, v)
	}
	if len(l.gens) == 1 && len(newest.entries) >= l.most {
		l.seal()
	}
}

// seal ends the newest generation, which moves from now on, and begins another.
func (l *late) seal() {
	g := l.gens[len(l.gens)-1]
	g.sorted = slices.Sorted(maps.Keys(g.entries))
	l.gens = append(l.gens, newGeneration())
}

// load reads what had not moved, and how far it was.
func (l *late) load(tx *bbolt.Tx) error {
	l.gens = []*generation{newGeneration()}
	place := tx.Bucket([]byte(bMeta)).Get(movingKey)
	c := tx.Bucket([]byte(bLate)).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if len(l.gens) == 1 && place != nil && bytes.Compare(k, place[:8]) > 0 {
			l.seal()
		}
		g := l.gens[len(l.gens)-1]
		g.last = binary.BigEndian.Uint64(k)
		if err := decodeLate(v, g); err != nil {
			return err
		}
	}
	if len(l.gens) == 1 && (place != nil || len(l.gens[0].entries) >= l.most) {
		l.seal()
	}
	if place != nil {
		at, there := slices.BinarySearch(l.gens[0].sorted, string(place[8:]))
		if l.gens[0].moved = at; there {
			l.gens[0].moved++
		}
	}
	return nil
}

// encodeLate writes entries one after another: lengths of name and value (0: removed, else one more), name, value.
func encodeLate(entries map[string][]byte) []byte {
	var out []byte
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		v := entries[name]
		length := 0
		if v != nil {
			length = len(v) + 1
		}
		out = binary.AppendUvarint(binary.AppendUvarint(out, uint64(len(name))), uint64(length))
		out = append(append(out, name...), v...)
	}
	return out
}

func decodeLate(b []byte, into *generation) error {
	b = bytes.Clone(b)
	next := func() int {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b))+1 {
			return -1
		}
		b = b[size:]
		return int(n)
	}
	for len(b) > 0 {
		name, value := next(), next()
		if name < 2 || value < 0 || name+max(0, value-1) > len(b) || lateNames[b[0]] == "" {
			return fmt.Errorf("unreadable record in %s", bLate)
		}
		var v []byte
		if value > 0 {
			v = b[name : name+value-1 : name+value-1]
		}
		into.set(string(b[:name]), v)
		b = b[name+max(0, value-1):]
	}
	return nil
}

// get reads an entry; nil when there is none.
func (t *txn) get(bucket string, k []byte) []byte {
	if name, ok := lateName(bucket, k); ok {
		if v, known := t.late.get(t.gens, name); known {
			return v
		}
	}
	return t.bucket(bucket).Get(k)
}

func (t *txn) put(bucket string, k, v []byte) {
	t.wrote = true
	if name, ok := lateName(bucket, k); ok {
		t.fresh.set(name, append([]byte{}, v...))
		return
	}
	t.err = first(t.err, t.bucket(bucket).Put(k, v))
}

func (t *txn) del(bucket string, k []byte) {
	t.wrote = true
	if name, ok := lateName(bucket, k); ok {
		t.fresh.set(name, nil)
		return
	}
	t.err = first(t.err, t.bucket(bucket).Delete(k))
}

// lateKeys gives the keys under a prefix, in order, where entries of the bucket come late: false elsewhere.
func (t *txn) lateKeys(bucket string, prefix []byte) ([][]byte, bool) {
	name, ok := lateName(bucket, prefix)
	if !ok {
		return nil, false
	}
	names := t.late.group(t.gens, name)
	c := t.bucket(bucket).Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix) && k != nil; k, _ = c.Next() {
		names = append(names, name[:1]+string(k))
	}
	slices.Sort(names)
	var out [][]byte
	for _, n := range slices.Compact(names) {
		if v, known := t.late.get(t.gens, n); !known || v != nil {
			out = append(out, []byte(n[1:]))
		}
	}
	return out, true
}
