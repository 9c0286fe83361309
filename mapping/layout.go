package mapping

import (
	"slices"
	"sync"

	"github.com/dermgate/dermgate/mapping/hl7"
)

// layout is how the segments of a message stand to each other, found out once a message: every place that a rule
// reads asks for it. Segments are numbers, their index in the message, -1 for none; a segment's name is its row.
type layout struct {
	m      *hl7.Message
	owners []int32 // of each segment: the one it belongs to
	names  []row   // of each segment
	rows   [256]row
	local  []string // names beyond the standard's, whose rows are the last
	count  row      // of the standard's names
	seen   []int32  // by row and segment: what relative has found, plus 2; empty: there would be too many
	bound  [3]row   // of the dependent segments, NTE first
}

// row is the place of a segment's name among those of a message, from 1; 0 for a name that does not stand in it.
type row uint16

// segName is a segment's name in a map.
type segName struct {
	letters string
	number  uint8 // hl7.SegmentNumber
}

func segNamed(letters string) segName { return segName{letters, uint8(hl7.SegmentNumber(letters))} }

// mostSeen is for how many pairs of a name and a segment relative keeps what it has found.
const mostSeen = 1 << 16

func (l *layout) begin(m *hl7.Message) {
	l.m, l.owners, l.names, l.local, l.count = m, m.Groups(), l.names[:0], l.local[:0], 0
	clear(l.rows[:])
	for i := range m.Segments() {
		n := m.Segment(i).Number()
		if n > 0 && l.rows[n] == 0 {
			l.count++
			l.rows[n] = l.count
		}
		l.names = append(l.names, l.rows[n])
	}
	for i, name := range l.names {
		if name == 0 {
			l.names[i] = l.localRow(m.Segment(i).Name())
		}
	}
	for i, s := range dependents() {
		l.bound[i] = l.rows[s.number]
	}
	l.seen = l.seen[:0]
	if n := (int(l.count) + len(l.local) + 1) * (len(l.names) + 1); n <= mostSeen {
		l.seen = slices.Grow(l.seen, n)[:n]
		clear(l.seen)
	}
}

// localRow gives the row of a name that is beyond the standard's, a new one when needed.
func (l *layout) localRow(name string) row {
	i := slices.Index(l.local, name)
	if i < 0 {
		i = len(l.local)
		l.local = append(l.local, name)
	}
	return l.count + 1 + row(i)
}

// row gives the row of a name.
func (l *layout) row(s segName) row {
	if s.number > 0 {
		return l.rows[s.number]
	}
	if i := slices.Index(l.local, s.letters); i >= 0 {
		return l.count + 1 + row(i)
	}
	return 0
}

// dependents are segments that belong to another one: outside it they are not looked for.
var dependents = sync.OnceValue(func() [3]segName { return [3]segName{segNamed("NTE"), segNamed("CTD"), segNamed("OBX")} })

// is tells whether a segment has a name.
func (l *layout) is(seg int, name row) bool { return seg >= 0 && name != 0 && l.names[seg] == name }

// next gives the first segment of a name from one on.
func (l *layout) next(name row, seg int) int {
	for ; name != 0 && seg < len(l.names); seg++ {
		if l.names[seg] == name {
			return seg
		}
	}
	return -1
}

// relative gives the segment of a name that a scope sees first: its own, one it belongs to, one that belongs
// to it, else the first in the message that is not another's: the timing of one order is not that of the next, nor is an
// order that a document came of that of an OBX in the document.
func (l *layout) relative(here int, name row) int {
	switch {
	case name == 0:
		return -1
	case here >= 0 && l.names[here] == name:
		return here
	case len(l.seen) == 0:
		return l.search(here, name)
	}
	at := &l.seen[int(name)*(len(l.names)+1)+here+1]
	if *at == 0 {
		*at = int32(l.search(here, name)) + 2
	}
	return int(*at) - 2
}

func (l *layout) search(here int, name row) int {
	if here < 0 {
		return l.next(name, 0)
	}
	for i := l.owners[here]; i >= 0; i = l.owners[i] {
		if l.names[i] == name {
			return int(i)
		}
	}
	if c := l.child(here, name, here+1); c >= 0 {
		return c
	}
	found := l.next(name, 0)
	if slices.Contains(l.bound[:], name) || l.owners[here] >= 0 && found >= 0 && l.m.Segment(here).MayBelongTo(l.m.Segment(found)) {
		return -1
	}
	for found >= 0 && l.anothers(here, found) {
		found = l.next(name, found+1)
	}
	return found
}

// anothers tells a segment that is there for another one of a scope's segment, or of one that this belongs to.
func (l *layout) anothers(here, found int) bool {
	if l.child(found, l.names[here], found+1) >= 0 {
		return true
	}
	for h := int32(here); h >= 0; h = l.owners[h] {
		for f := l.owners[found]; f >= 0; f = l.owners[f] {
			if f != h && l.names[f] == l.names[h] {
				return true
			}
		}
	}
	return false
}

// child gives the first segment of a name from one on that belongs to another.
func (l *layout) child(of int, name row, from int) int {
	for i := from; i < len(l.names); i++ {
		if l.names[i] == name && int(l.owners[i]) == of {
			return i
		}
	}
	return -1
}

// following gives the segments that a scope sees under a name one after another. Notes that follow each other
// are one: a map on the first sees all.
func (l *layout) following(here int, name row, last int) int {
	switch {
	case l.is(here, name):
		if next := last + 1; name == l.bound[0] && next < len(l.names) && l.names[next] == name {
			return next
		}
		return -1
	case here < 0:
		return l.next(name, last+1)
	}
	owner := l.owners[last]
	for h := int32(here); h >= 0 && owner >= 0; h = l.owners[h] {
		if h == owner {
			return l.child(int(h), name, last+1)
		}
	}
	return -1
}

// apart tells two segments that belong to different ones of a name, or of which one belongs to another segment of
// the other's name: a result to a second order is not a result of the first, nor is it of the first's specimen.
func (l *layout) apart(a, b int) bool {
	if a < 0 || b < 0 || a == b {
		return false
	}
	for i := int32(a); i >= 0; i = l.owners[i] {
		for j := int32(b); j >= 0; j = l.owners[j] {
			if i != j && l.names[i] == l.names[j] && (int(i) != a || int(j) != b) {
				return true
			}
		}
	}
	return false
}
